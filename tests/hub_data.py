"""Small data sets as the library `datasets` saves them, of scikit-learn's digits and of words."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import datasets
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

GOOD = ("fine", "warm", "bright")
BAD = ("dull", "cold", "tired")


def digit_images(first: int, last: int) -> tuple[list[Image.Image], list[int]]:
    """Grey images of 8 x 8 and their classes."""
    digits = load_digits()
    pixels = (digits.images[first:last] * 15).astype(np.uint8)
    return [Image.fromarray(each) for each in pixels], digits.target[first:last].tolist()


def png_bytes(image: Image.Image) -> bytes:
    """An image as a file."""
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def digit_sets(train: int = 300, test: int = 100) -> datasets.DatasetDict:
    """Digits with the columns ``picture`` and ``digit``, of classes ``d0`` to ``d9``."""
    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "digit": datasets.ClassLabel(names=[f"d{number}" for number in range(10)]),
        }
    )
    sets = {}
    for name, first, last in (("train", 0, train), ("test", train, train + test)):
        images, classes = digit_images(first, last)
        stored = [{"bytes": png_bytes(image), "path": None} for image in images]
        columns = {"picture": stored, "digit": classes}
        sets[name] = datasets.Dataset.from_dict(columns, features=features)
    return datasets.DatasetDict(sets)


def write_pairs(file: Path, rows: int) -> Path:
    """Write a CSV file of pairs of texts, ``a`` and ``b``, and their labels, ``y``: pos or neg."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["a", "b", "y"])
        for row in range(rows):
            words = GOOD if row % 2 else BAD
            writer.writerow([f"the plot, {words[row % 3]}", "end", "pos" if row % 2 else "neg"])
    return file
