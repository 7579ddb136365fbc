"""CIFAR-10 compressed by lossy JPEG, in two Parquet files.

Accuracies on it are not comparable with those on CIFAR-10 itself.
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from sparsetune.errors import DataError, first_line
from sparsetune.tasks.data_roots import given_root
from sparsetune.tasks.images.pixels import LabelledImages, decode_image, normalise_pixels

INPUT_SHAPE = (3, 32, 32)
N_CLASSES = 10
DATASET_FOLDER = "cifar10-jpeg"
CHANNEL_MEAN = (0.49125, 0.48209, 0.44652)
"""Mean of the training set's pixels per channel, in [0, 1], after compression."""
CHANNEL_DEVIATION = (0.24523, 0.24278, 0.26063)
"""Standard deviation of the same pixels per channel."""


def prepare_cifar10_jpeg(data_root: Path | None) -> dict[str, Path]:
    """Files of ``train`` and ``test``, with the columns ``image_jpeg`` (bytes) and ``label``.

    Raises:
        DataError: in one line, where it looked and what to set.
    """
    root = given_root(data_root)
    if root is None:
        files = f"`{DATASET_FOLDER}/*.parquet`"
        rule = f"set --data-root or SPARSETUNE_DATA to the folder that holds {files}"
        raise DataError(f"the JPEG copy of CIFAR-10 is never downloaded; {rule}")
    paths = {
        name: root / DATASET_FOLDER / f"cifar10_{name}_jpeg.parquet" for name in ("train", "test")
    }
    missing = [f"`{path}`" for path in paths.values() if not path.is_file()]
    if missing:
        advice = "set --data-root or SPARSETUNE_DATA to another folder"
        raise DataError(f"{' and '.join(missing)} must be there; {advice}")
    return paths


@lru_cache(maxsize=1)
def read_cifar10_jpeg(data_root: Path | None) -> dict[str, LabelledImages]:
    """Decoded bytes (n, 3, 32, 32) and classes (n,) of ``train`` (50,000) and ``test`` (10,000).

    Raises:
        DataError: if the files are missing or torn.
    """
    return {name: _read_parquet(path) for name, path in prepare_cifar10_jpeg(data_root).items()}


def _read_parquet(path: Path) -> LabelledImages:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=["image_jpeg", "label"])
        files = table["image_jpeg"].to_pylist()
        pixels = torch.stack([decode_image(io.BytesIO(file)) for file in files])
        labels = table["label"].to_numpy().astype(np.int64)
    except (OSError, RuntimeError, pyarrow.ArrowException) as error:
        rule = "must be a whole Parquet file with columns `image_jpeg` and `label`"
        got = f"{type(error).__name__} ({first_line(error)})"
        raise DataError(f"`{path}` {rule}, got {got}") from error
    return pixels, torch.from_numpy(labels)


def normalise_jpeg(pixels: torch.Tensor) -> torch.Tensor:
    """Floats of mean 0 and variance 1 over the training set, per channel, from bytes."""
    return normalise_pixels(pixels, CHANNEL_MEAN, CHANNEL_DEVIATION)
