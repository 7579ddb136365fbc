"""Pixels of an image: decoded from a file, and normalised per channel."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from PIL import Image

SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
"""Modes of Pillow with grey pixels of 16 bits."""
GREY = ("1", "L", "LA", "La")
"""Modes of Pillow with grey pixels of 8 bits or fewer."""
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


def decode_faithfully(file: Path | io.BytesIO) -> torch.Tensor:
    """Image as it looks, in bytes: (1, height, width) where it is grey, else (3, height, width).

    It is turned upright as its EXIF data say, and 16 bits are scaled to 8. Palettes and CMYK become
    RGB, without a colour profile.

    Raises:
        OSError: if it is missing, torn or no image.
        ValueError: if it is transparent somewhere, or its pixels have no known range.
    """
    from PIL import Image, ImageOps
    from torchvision.transforms.v2.functional import pil_to_tensor

    with Image.open(file) as opened:
        image = ImageOps.exif_transpose(opened)
    if image.mode in SIXTEEN_BITS:
        deep = np.asarray(image).astype(np.float64)
        return torch.from_numpy((deep / 257).round().astype(np.uint8))[None]
    if image.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits have no known range: save it with 8 or 16")
    if image.has_transparency_data and _least_alpha(image) < 255:
        raise ValueError("it is transparent: save it on a background, without an alpha channel")
    pixels: torch.Tensor = pil_to_tensor(image.convert("L" if image.mode in GREY else "RGB"))
    return pixels


def _least_alpha(image: Image.Image) -> int:
    """Least opacity of a pixel, from 0 to 255."""
    return int(np.asarray(image.convert("RGBA").getchannel("A")).min())


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
