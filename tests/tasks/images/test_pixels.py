"""Files of every kind of pixels: decoded as they look, or refused with their path."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sparsetune.spec.task import FolderTask
from sparsetune.tasks.images.folder import ImageFiles
from sparsetune.tasks.images.pixels import decode_faithfully

RED = (255, 0, 0)
RIGHT_SIDE_UP = 1
TURNED = 6
"""EXIF's orientation of a photograph that is to be turned by 90 degrees clockwise."""
ORIENTATION_TAG = 0x0112


def saved(image: Image.Image, kind: str = "png", **given: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **given)
    return io.BytesIO(file.getvalue())


def red_corner(mode: str = "RGB") -> Image.Image:
    """Black, 3 pixels wide and 2 high, whose upper left pixel is red."""
    image = Image.new("RGB", (3, 2))
    image.putpixel((0, 0), RED)
    return image.convert(mode)


def test_colours_of_a_palette_and_of_an_opaque_alpha_channel_are_seen() -> None:
    for mode in ("RGB", "P", "RGBA"):
        pixels = decode_faithfully(saved(red_corner(mode)))
        assert pixels.shape == (3, 2, 3)
        assert pixels[:, 0, 0].tolist() == [255, 0, 0]
        assert not pixels[:, 1].any()


def test_cmyk_is_its_colour() -> None:
    # No cyan, all magenta and yellow: red.
    image = Image.new("CMYK", (2, 2), (0, 255, 255, 0))
    assert decode_faithfully(saved(image, "tiff"))[:, 0, 0].tolist() == [255, 0, 0]


def test_grey_stays_one_channel() -> None:
    assert decode_faithfully(saved(Image.new("L", (3, 2), 7))).tolist() == [[[7] * 3] * 2]
    assert decode_faithfully(saved(Image.new("1", (1, 1), 1))).tolist() == [[[255]]]


def test_sixteen_bits_are_scaled_to_eight() -> None:
    # 257 steps of 16 bits are one of 8: 65535 / 257 = 255; 1000 / 257 = 3.89; 128 / 257 = 0.498
    image = Image.fromarray(np.array([[65535, 1000, 128, 0]], dtype=np.uint16))
    assert decode_faithfully(saved(image)).tolist() == [[[255, 4, 0, 0]]]


def test_a_photograph_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = TURNED
    pixels = decode_faithfully(saved(red_corner(), "png", exif=exif))
    assert pixels.shape == (3, 3, 2)
    # Clockwise: the upper left corner goes to the upper right.
    assert pixels[:, 0, 1].tolist() == [255, 0, 0]
    exif[ORIENTATION_TAG] = RIGHT_SIDE_UP
    assert decode_faithfully(saved(red_corner(), "png", exif=exif)).shape == (3, 2, 3)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (Image.new("RGBA", (2, 2), (255, 0, 0, 254)), "it is transparent: save it on a background"),
        (Image.new("LA", (2, 2), (9, 0)), "it is transparent"),
        (Image.new("I", (2, 2), 70_000), "pixels of 32 bits have no known range"),
        (Image.new("F", (2, 2), 0.5), "pixels of 32 bits have no known range"),
    ],
)
def test_what_has_no_one_look_is_refused(image: Image.Image, told: str) -> None:
    kind = "tiff" if image.mode in ("I", "F") else "png"
    with pytest.raises(ValueError, match=told):
        decode_faithfully(saved(image, kind))


def test_a_transparent_palette_is_refused() -> None:
    with pytest.raises(ValueError, match="it is transparent"):
        decode_faithfully(saved(red_corner("P"), transparency=0))


def test_a_folder_reads_them_as_it_declares(tmp_path: Path) -> None:
    (tmp_path / "turned.png").write_bytes(saved(Image.new("L", (32, 48), 9)).getvalue())
    clear = Image.new("RGBA", (32, 48), (255, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    paths = np.array([b"turned.png", b"clear.png"])
    targets = np.zeros(2, dtype=np.int64)
    for decoding, is_refused in (("pillow", False), ("faithful", True)):
        task = FolderTask(eval_resolution=16, eval_resize=16, decoding=decoding)
        files = ImageFiles(tmp_path, paths, targets, task)
        grey, _ = files[(0, None, 16)]
        assert grey.shape == (3, 16, 16)
        assert grey.unique().tolist() == [9]
        broken = getattr(files[(1, None, 16)], "reason", "")
        assert ("clear.png` must be an image that can be read" in broken) is is_refused
