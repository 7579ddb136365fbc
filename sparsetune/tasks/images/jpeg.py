"""CIFAR-10 compressed by JPEG with loss, kept in two Parquet files. A number from it is none of CIFAR-10."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from sparsetune.errors import DataError, first_line
from sparsetune.tasks.data_roots import given_root
from sparsetune.tasks.images.folder import decode_image
from sparsetune.tasks.images.small_sets import Tensors, normalise_pixels

INPUT_SHAPE = (3, 32, 32)
N_CLASSES = 10
DATASET_FOLDER = "cifar10-jpeg"
CHANNEL_MEAN = (0.49125, 0.48209, 0.44652)
CHANNEL_DEVIATION = (0.24523, 0.24278, 0.26063)
"""Of the training set's channels after compression."""


def prepare_cifar10_jpeg(data_root: Path | None) -> dict[str, Path]:
    """The files of ``train`` and ``test``, columns ``image_jpeg`` (bytes) and ``label``.

    Raises:
        DataError: in one line, where it looked and what to set.
    """
    root = given_root(data_root)
    if root is None:
        rule = f"set --data-root or SPARSETUNE_DATA to the folder that holds `{DATASET_FOLDER}/*.parquet`"
        raise DataError(f"the JPEG copy of CIFAR-10 is never downloaded; {rule}")
    paths = {
        name: root / DATASET_FOLDER / f"cifar10_{name}_jpeg.parquet" for name in ("train", "test")
    }
    if missing := [f"`{path}`" for path in paths.values() if not path.is_file()]:
        raise DataError(
            f"{' and '.join(missing)} must be there; set --data-root or SPARSETUNE_DATA to another folder"
        )
    return paths


@lru_cache(maxsize=1)
def read_cifar10_jpeg(data_root: Path | None) -> dict[str, Tensors]:
    """``train`` (50,000 examples) and ``test`` (10,000): decoded bytes (n, 3, 32, 32), and classes (n,).

    Raises:
        DataError: if the files are missing or torn.
    """
    return {name: _read_parquet(path) for name, path in prepare_cifar10_jpeg(data_root).items()}


def _read_parquet(path: Path) -> Tensors:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=["image_jpeg", "label"])
        pixels = torch.stack(
            [decode_image(io.BytesIO(image)) for image in table["image_jpeg"].to_pylist()]
        )
        labels = table["label"].to_numpy().astype(np.int64)
    except (OSError, RuntimeError, pyarrow.ArrowException) as error:
        rule = "must be a whole Parquet file with columns `image_jpeg` and `label`"
        raise DataError(
            f"`{path}` {rule}, got {type(error).__name__} ({first_line(error)})"
        ) from error
    return pixels, torch.from_numpy(labels)


def normalise_jpeg(pixels: torch.Tensor) -> torch.Tensor:
    """Bytes to floats of mean 0 and variance 1 over the training set, per channel."""
    return normalise_pixels(pixels, CHANNEL_MEAN, CHANNEL_DEVIATION)
