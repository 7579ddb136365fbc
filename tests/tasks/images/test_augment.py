"""Augmentation on the device, against slicing and flipping image by image."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.tasks.images.augment import DRAWS_PER_IMAGE, Augmentation

BLACK = torch.tensor([-1.0, -2.0, -3.0])


def by_hand(
    image: torch.Tensor, draw: list[float], crop: int, flip: bool, cutout: int
) -> torch.Tensor:
    """One image (channels, height, width), by loops over pixels."""
    channels, height, width = image.shape
    row, column, mirrored, *centre = draw
    top = int(row * (2 * crop + 1)) - crop
    left = int(column * (2 * crop + 1)) - crop
    changed = torch.empty_like(image)
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                sy = y + top
                sx = x + left
                inside = 0 <= sy < height and 0 <= sx < width
                changed[c, y, x] = image[c, sy, sx] if inside else BLACK[c]
    if flip and mirrored < 0.5:
        changed = changed.flip(2)
    if cutout:
        y0, x0 = (
            int(u * size) - cutout // 2 for u, size in zip(centre, (height, width), strict=True)
        )
        changed[:, max(0, y0) : max(0, y0 + cutout), max(0, x0) : max(0, x0 + cutout)] = 0
    return changed


@given(
    crop=st.integers(0, 4),
    flip=st.booleans(),
    cutout=st.integers(0, 7),
    seed=st.integers(0, 99),
    height=st.integers(3, 7),
)
def test_a_batch_is_its_images_one_by_one(
    crop: int, flip: bool, cutout: int, seed: int, height: int
) -> None:
    augment = Augmentation(crop, flip, cutout, BLACK)
    images = torch.randn(3, 3, height, 5, generator=torch.Generator().manual_seed(seed))
    draws = augment.draws(seed, 1, 3)
    expected = [
        by_hand(image, draw, crop, flip, cutout)
        for image, draw in zip(images, draws.tolist(), strict=True)
    ]
    assert torch.equal(augment(images, draws), torch.stack(expected))


def test_nothing_asked_for_is_nothing_done() -> None:
    images = torch.randn(4, 3, 5, 5)
    augment = Augmentation(0, False, 0, BLACK)
    assert augment(images, augment.draws(0, 0, 4)) is images


def test_draws_are_an_examples_own() -> None:
    """A smaller batch of the same examples, in another order, is changed in the same way."""
    augment = Augmentation(4, True, 3, BLACK)
    images = torch.randn(6, 3, 8, 8)
    draws = augment.draws(5, 2, 6)
    assert draws.shape == (6, DRAWS_PER_IMAGE) and not torch.equal(draws, augment.draws(5, 3, 6))
    chosen = torch.tensor([4, 1])
    assert torch.equal(augment(images[chosen], draws[chosen]), augment(images, draws)[chosen])


def test_every_crop_and_mirror_is_as_frequent() -> None:
    augment = Augmentation(1, True, 0, torch.zeros(1))
    image = torch.arange(9.0).reshape(1, 1, 3, 3) + 1
    changed = augment(image.repeat(18_000, 1, 1, 1), augment.draws(0, 0, 18_000))
    _, counts = changed.flatten(1).unique(dim=0, return_counts=True)
    assert len(counts) == 18
    assert counts.float().mean() == 1000
    assert (counts - 1000).abs().max() < 5 * (1000 * 17 / 18) ** 0.5


@pytest.mark.gpu
def test_on_a_gpu_nothing_waits_for_the_host() -> None:
    augment = Augmentation(4, True, 8, BLACK.cuda())
    images = torch.randn(64, 3, 32, 32, device="cuda")
    draws = augment.draws(0, 0, 64).cuda()
    on_host = Augmentation(4, True, 8, BLACK)(images.cpu(), draws.cpu())
    torch.cuda.set_sync_debug_mode("error")
    try:
        changed = augment(images, draws)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(changed.cpu(), on_host)
