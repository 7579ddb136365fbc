"""Pixels of an image: decoded from a file, and normalised per channel."""

from __future__ import annotations

import io
from pathlib import Path

import torch

LabelledImages = tuple[torch.Tensor, torch.Tensor]
"""Inputs (n, channels, height, width) and class numbers (n,)."""


def decode_image(file: Path | io.BytesIO) -> torch.Tensor:
    """Image as bytes, (3, height, width); grey becomes three equal channels.

    Raises:
        OSError: if it is missing, torn or no image.
    """
    from PIL import Image
    from torchvision.transforms.v2.functional import pil_to_tensor

    with Image.open(file) as image:
        pixels: torch.Tensor = pil_to_tensor(image.convert("RGB"))
    return pixels


def normalise_pixels(
    pixels: torch.Tensor, mean: tuple[float, ...], deviation: tuple[float, ...]
) -> torch.Tensor:
    """Floats of mean 0 and variance 1 per channel, from bytes (n, channels, height, width).

    Args:
        pixels: Bytes from 0 to 255.
        mean: Mean per channel, of pixels in [0, 1].
        deviation: Their standard deviation per channel.
    """
    if len(mean) == 1:
        return (pixels.float() / 255 - mean[0]) / deviation[0]
    middle = per_channel(mean, pixels.device)
    scale = per_channel(deviation, pixels.device)
    return (pixels.float() / 255 - middle) / scale


def per_channel(values: tuple[float, ...], device: str | torch.device) -> torch.Tensor:
    """Values as a tensor (channels, 1, 1), which broadcasts over an image's height and width."""
    return torch.tensor(values, device=device)[:, None, None]
