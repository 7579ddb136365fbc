"""Augmentation of a batch on its device: random crops, mirrors and cutout, without a loop over images."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sparsetune.seeds import derived_seed

DRAWS_PER_IMAGE = 5
"""Numbers that an image's augmentation is a function of: row and column of the crop, mirror, centre of the cutout."""


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images; see `sparsetune.spec.task.ImageTask`.

    Args:
        crop: Pixels of black around the image, within which it is cut out anew.
        flip: Whether every other image is mirrored.
        cutout: Side of the square set to the mean colour; 0 for none.
        black: What black is per channel, (channels,), once inputs are normalised.
    """

    crop: int
    flip: bool
    cutout: int
    black: torch.Tensor

    def draws(self, seed: int, epoch: int, examples: int) -> torch.Tensor:
        """Numbers in [0, 1), (examples, `DRAWS_PER_IMAGE`): those of an example are a function of seed, epoch and its index."""
        generator = torch.Generator().manual_seed(derived_seed(seed, "augment", epoch))
        return torch.rand(examples, DRAWS_PER_IMAGE, generator=generator)

    def __call__(self, images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """The images (n, _, height, width), normalised, changed by their numbers (n, `DRAWS_PER_IMAGE`)."""
        row, column, mirrored, *centre = draws.unbind(1)
        if self.crop:
            images = self._cropped(images, row, column)
        if self.flip:
            images = torch.where((mirrored < 0.5)[:, None, None, None], images.flip(3), images)
        return self._cut_out(images, *centre) if self.cutout else images

    def _cropped(
        self, images: torch.Tensor, row: torch.Tensor, column: torch.Tensor
    ) -> torch.Tensor:
        """Windows of the image's size, out of the image within a frame of black."""
        (n, _, height, width), pad = images.shape, self.crop
        canvas = self.black.to(images.device)[None, :, None, None].repeat(
            n, 1, height + 2 * pad, width + 2 * pad
        )
        canvas[:, :, pad : pad + height, pad : pad + width] = images
        windows = canvas.unfold(2, height, 1).unfold(3, width, 1)
        top, left = (_to_integers(number, 2 * pad + 1) for number in (row, column))
        return windows[torch.arange(n, device=images.device), :, top, left]

    def _cut_out(self, images: torch.Tensor, *centre: torch.Tensor) -> torch.Tensor:
        """A square around a pixel of the image, its part inside the image at 0, which is the mean colour."""
        inside = [
            self._covered(number, size)
            for number, size in zip(centre, images.shape[2:], strict=True)
        ]
        return images * ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])

    def _covered(self, number: torch.Tensor, size: int) -> torch.Tensor:
        """Which rows (or columns) the square covers: (n, size)."""
        first = _to_integers(number, size) - self.cutout // 2
        pixels = torch.arange(size, device=number.device) - first[:, None]
        return (pixels >= 0) & (pixels < self.cutout)


def _to_integers(number: torch.Tensor, choices: int) -> torch.Tensor:
    """0 to ``choices`` - 1, each as often, from numbers in [0, 1)."""
    return (number * choices).long()
