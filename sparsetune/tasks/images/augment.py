"""Augmentation of a batch on its device: random crops, mirrors and cutout, all images at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sparsetune.seeds import derived_seed

DRAWS_PER_IMAGE = 5
"""Random numbers of an image: row and column of its crop, its mirror, centre of its cutout (2)."""


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images; see `sparsetune.spec.task.ImageTask`.

    Args:
        crop: Pixels of black added on each side, before a window of the image's size is cut out.
        flip: Mirror every image with probability 1/2.
        cutout: Side in pixels of the square that is set to the mean colour; 0 for none.
        black: Value of black after normalisation, (channels,).
    """

    crop: int
    flip: bool
    cutout: int
    black: torch.Tensor

    def draws(self, seed: int, epoch: int, examples: int) -> torch.Tensor:
        """Random numbers in [0, 1), (examples, `DRAWS_PER_IMAGE`).

        Those of an example are a function of the trial's seed, the epoch and the example's index.
        """
        generator = torch.Generator().manual_seed(derived_seed(seed, "augment", epoch))
        return torch.rand(examples, DRAWS_PER_IMAGE, generator=generator)

    def __call__(self, images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """Augmented copies of normalised images.

        Args:
            images: (n, channels, height, width).
            draws: Random numbers in [0, 1), (n, `DRAWS_PER_IMAGE`).

        Returns:
            (n, channels, height, width).
        """
        row, column, mirrored, centre_row, centre_column = draws.unbind(1)
        if self.crop:
            images = self._crop(images, row, column)
        if self.flip:
            is_mirrored = (mirrored < 0.5)[:, None, None, None]
            images = torch.where(is_mirrored, images.flip(3), images)
        if self.cutout:
            images = self._cut_out(images, centre_row, centre_column)
        return images

    def _crop(self, images: torch.Tensor, row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
        """Windows of the image's size, out of the image within a frame of black."""
        n, _, height, width = images.shape
        pad = self.crop
        black = self.black.to(images.device)[None, :, None, None]
        canvas = black.repeat(n, 1, height + 2 * pad, width + 2 * pad)
        canvas[:, :, pad : pad + height, pad : pad + width] = images
        # Views of every possible window, (n, channels, 2 pad + 1, 2 pad + 1, height, width).
        windows = canvas.unfold(2, height, 1).unfold(3, width, 1)
        top = _to_integers(row, 2 * pad + 1)
        left = _to_integers(column, 2 * pad + 1)
        return windows[torch.arange(n, device=images.device), :, top, left]

    def _cut_out(
        self, images: torch.Tensor, row: torch.Tensor, column: torch.Tensor
    ) -> torch.Tensor:
        """Images with a square around a random pixel set to 0, which is the mean colour."""
        _, _, height, width = images.shape
        rows = self._covered(row, height)[:, None, :, None]
        columns = self._covered(column, width)[:, None, None, :]
        return images * ~(rows & columns)

    def _covered(self, centre: torch.Tensor, size: int) -> torch.Tensor:
        """Rows (or columns) that the square covers: booleans (n, size)."""
        first = _to_integers(centre, size) - self.cutout // 2
        pixels = torch.arange(size, device=centre.device) - first[:, None]
        return (pixels >= 0) & (pixels < self.cutout)


def _to_integers(draw: torch.Tensor, choices: int) -> torch.Tensor:
    """Integers from 0 to ``choices`` - 1, equally likely, from numbers in [0, 1)."""
    return (draw * choices).long()
