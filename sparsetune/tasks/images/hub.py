"""Images of a data set that the library `datasets` reads, all of one size, in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from math import prod
from pathlib import Path
from typing import Any

import torch

from sparsetune.errors import DataError, first_line
from sparsetune.spec.task import DataSizes, ImageTask, TensorSize
from sparsetune.tasks.data_roots import given_root
from sparsetune.tasks.hf.labels import Classes, read_classes
from sparsetune.tasks.hf.library import import_quiet_datasets
from sparsetune.tasks.hf.reading import HubSource, require_columns
from sparsetune.tasks.images.pixels import LabelledImages, decode_faithfully, normalise_pixels
from sparsetune.tasks.images.resident import ResidentSource, bytes_digest
from sparsetune.tasks.task import evaluated_together

PIXELS_TOGETHER = 2**24
"""Bytes whose mean is summed at once: in double precision they take 128 MiB."""


@dataclass(frozen=True)
class HubImages:
    """Images and classes that a task names; called with the data root, it gives them as bytes.

    Args:
        source: Data set and splits.
        image: Column of the images.
        label: Column of the classes.
        resize: Side of the square that images are resized to, in pixels; None for none.
    """

    source: HubSource
    image: str
    label: str
    resize: int | None

    @classmethod
    def of(cls, task: ImageTask) -> HubImages:
        """Images of a task."""
        return cls(HubSource.of(task), task.image, task.label, task.resize)

    def __call__(self, data_root: Path | None) -> dict[str, LabelledImages]:
        """Bytes (n, channels, height, width) and classes (n,) of ``train`` and ``test``.

        Raises:
            DataError: if they are missing, of several sizes, or no images.
        """
        return _read_images(self, given_root(data_root))[0]

    def sizes(self, task: ImageTask, data_root: Path | None) -> DataSizes:
        """Sizes of the images.

        Raises:
            DataError: if they are missing, of several sizes, or no images.
        """
        sets, names = _read_images(self, given_root(data_root))
        pixels, _ = sets["train"]
        data, options = task.size_source()
        mean, deviation = _mean_and_deviation(pixels)
        sizes: DataSizes = DataSizes(
            data=data,
            options=dict(options),
            train=len(pixels),
            test=len(sets["test"][1]),
            inputs=TensorSize(shape=tuple(pixels.shape[1:]), dtype="float32"),
            n_outputs=len(names),
            classes=len(names),
            class_names=names,
            mean=mean,
            deviation=deviation,
            fingerprint=bytes_digest(self, data_root),
        )
        return sizes.checked()


@dataclass(frozen=True)
class LaunchedImages:
    """Images of which there must be as many, and of the shape, that a study was launched with."""

    images: HubImages
    sizes: DataSizes

    def __call__(self, data_root: Path | None) -> dict[str, LabelledImages]:
        """Bytes (n, channels, height, width) and classes (n,) of ``train`` and ``test``.

        Raises:
            DataError: if they are missing, or others.
        """
        sets = self.images(data_root)
        for name, known in (("train", self.sizes.train), ("test", self.sizes.test)):
            pixels, _ = sets[name]
            found = tuple(pixels.shape)
            expected = (known, *self.sizes.input_shape())
            if found != expected:
                raise DataError(
                    f"`{self.sizes.data}` must give the images that the study was launched with, of"
                    f" shape {expected} in `{name}`, got {found}; put them back, or start another"
                    " study (--name)"
                )
        return sets


def hub_source(task: ImageTask) -> ResidentSource:
    """Resolved data set of a task, held on the device whole."""
    sizes = task.sizes()
    shape = sizes.input_shape()
    images = HubImages.of(task)
    return ResidentSource(
        input_shape=shape,
        n_classes=sizes.n_outputs,
        prepare=images,
        read=LaunchedImages(images, sizes),
        normalised=partial(normalise_pixels, mean=sizes.mean, deviation=sizes.deviation),
        evaluated_together=evaluated_together(prod(shape)),
    )


# Few, since images may take much memory.
@lru_cache(maxsize=2)
def _read_images(
    images: HubImages, data_root: Path | None
) -> tuple[dict[str, LabelledImages], tuple[str, ...]]:
    """Bytes and classes of ``train`` and ``test``, and names of the classes."""
    source = images.source
    sets = source.open_splits(data_root)
    for rows in sets.values():
        columns = (("task.image", images.image), ("task.label", images.label))
        require_columns(source, rows, *columns)
    classes: Classes = read_classes(source, sets, images.label)
    folder = source.folder(data_root)
    decoded: dict[str, list[torch.Tensor]] = {}
    for name, rows in sets.items():
        decoded[name] = list(_decoded_rows(images, name, rows, folder))
    is_coloured = any(image.shape[0] == 3 for part in decoded.values() for image in part)
    first = decoded["train"][0]
    read: dict[str, LabelledImages] = {}
    for name, part in decoded.items():
        for row, image in enumerate(part):
            if image.shape[1:] != first.shape[1:]:
                raise DataError(_several_sizes(images, name, row, first, image))
        # Grey images among coloured ones become coloured.
        wide = [image.expand(3, -1, -1) for image in part] if is_coloured else part
        read[name] = torch.stack(wide), torch.from_numpy(classes.numbers[name])
    return read, classes.names


def forget_images() -> None:
    """Free the memory of images that were read."""
    _read_images.cache_clear()


def _several_sizes(
    images: HubImages, split: str, row: int, first: torch.Tensor, other: torch.Tensor
) -> str:
    _, height, width = first.shape
    _, other_height, other_width = other.shape
    return (
        f"`{images.source.dataset}` must have images of one size, got {width} x {height} and, in"
        f" `{split}`, row {row}, {other_width} x {other_height}; set `task.resize` to the side of a"
        " square, or keep the images in folders and declare a `FolderTask`, which crops them"
    )


def _decoded_rows(images: HubImages, split: str, rows: Any, folder: Path) -> Iterator[torch.Tensor]:
    """Images of a split as bytes, (1 or 3, height, width) each."""
    datasets = import_quiet_datasets()
    column = images.image
    if isinstance(rows.features[column], datasets.Image):
        # Bytes and paths as they are stored: we decode them ourselves.
        rows = rows.cast_column(column, datasets.Image(decode=False))
    for row, stored in enumerate(rows[column]):
        place = f"`{images.source.dataset}`, `{split}`, row {row}, `{column}`"
        file = _file_of(stored, folder)
        if file is None:
            rule = "must be an image, its bytes or the path of its file"
            raise DataError(f"{place} {rule}, got {type(stored).__name__}")
        named = f"{place} (`{file}`)" if isinstance(file, Path) else place
        try:
            yield _resized(decode_faithfully(file), images.resize)
        # Pillow raises all four on broken files.
        except (OSError, RuntimeError, ValueError, SyntaxError) as error:
            got = f"{type(error).__name__} ({first_line(error)})"
            raise DataError(f"{named} must be an image that can be read, got {got}") from error


def _file_of(stored: Any, folder: Path) -> Path | io.BytesIO | None:
    """File of a stored image: in memory, or at a path below ``folder``; None if it is none."""
    if isinstance(stored, dict):
        stored = stored.get("bytes") or stored.get("path")
    if isinstance(stored, bytes):
        return io.BytesIO(stored)
    return folder / stored if isinstance(stored, str) else None


def _resized(pixels: torch.Tensor, side: int | None) -> torch.Tensor:
    if side is None:
        return pixels
    from torchvision.transforms.v2 import functional

    resized: torch.Tensor = functional.resize(pixels, [side, side], antialias=True)
    return resized


def _mean_and_deviation(pixels: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of bytes (n, channels, height, width), in [0, 1]."""
    channels = pixels.shape[1]
    count = pixels.numel() // channels
    together = max(1, PIXELS_TOGETHER // pixels[0].numel())
    total = torch.zeros(channels, dtype=torch.float64)
    squares = torch.zeros(channels, dtype=torch.float64)
    for part in torch.split(pixels, together):
        values = part.double() / 255
        total += values.sum(dim=(0, 2, 3))
        squares += values.square().sum(dim=(0, 2, 3))
    mean = total / count
    deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
    # A channel that never varies stays 0.
    deviation[deviation < 1e-6] = 1
    return tuple(mean.float().tolist()), tuple(deviation.float().tolist())
