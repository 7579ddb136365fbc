"""Small folders of JPEG images in ImageNet's layout, made of scikit-learn's digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def write_folder(folder: Path, classes: int = 3, train: int = 12, val: int = 4) -> Path:
    """Write ``train`` and ``val`` images of each class, 40 to 56 pixels a side, some grey."""
    digits = load_digits()
    for label in range(classes):
        images = digits.images[digits.target == label]
        for i in range(train + val):
            path = folder / ("train" if i < train else "val") / f"class{label}" / f"{i:03d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = Image.fromarray((images[i] * 15).astype(np.uint8)).resize((40 + i, 56))
            (pixels if i % 3 else pixels.convert("RGB")).save(path, quality=90)
    return folder
