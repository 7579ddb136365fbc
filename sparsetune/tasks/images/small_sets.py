"""Public sets of small images through torchvision, from files at hand or from the network."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from sparsetune.errors import DataError, first_line
from sparsetune.tasks.data_roots import cache_root, given_root

Tensors = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class TorchvisionDataset:
    """A set that torchvision downloads, checks and reads.

    Args:
        title: For people.
        loader: Its class in ``torchvision.datasets``.
        folder: What torchvision looks for below its root.
        unpacked: Files in that folder, all of which it reads.
        packed: A pattern, below the root, of what it unpacks.
        input_shape: (channels, height, width).
        n_classes: Number of classes.
        mean: Of the training set's pixels, per channel, in [0, 1].
        deviation: Their standard deviation.
    """

    title: str
    loader: str
    folder: str
    unpacked: tuple[str, ...]
    packed: str
    input_shape: tuple[int, int, int]
    n_classes: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def prepare(self, data_root: Path | None) -> Path:
        """The folder below which torchvision finds the set unpacked, after unpacking or downloading where need be.

        Looks in ``data_root`` (or ``$SPARSETUNE_DATA``), which may be read-only and packed, then in the cache
        (``$SPARSETUNE_CACHE``, by default ``~/.cache/sparsetune``), then on the network. torchvision checks every file.

        Raises:
            DataError: in one line, where it looked and what to set.
        """
        given = given_root(data_root)
        cache = cache_root()
        roots = [root for root in (given, cache) if root is not None]
        if unpacked := next((root for root in roots if self._is_unpacked(root)), None):
            return unpacked
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with FileLock(cache / f"{self.loader}.lock"):
                if not self._is_unpacked(cache):
                    self._unpack_into(cache, given or cache)
        except (
            OSError,
            RuntimeError,
        ) as error:  # torchvision raises RuntimeError where every mirror fails
            looked = " and ".join(f"`{root / self.folder}`" for root in roots)
            raise DataError(
                f"{self.title} must lie in {looked} or be downloadable, got {type(error).__name__}"
                f" ({first_line(error)}); set --data-root or SPARSETUNE_DATA to"
                f" the folder that holds `{self.packed}`"
            ) from error
        return cache

    def read(self, data_root: Path | None) -> dict[str, Tensors]:
        """``train`` and ``test``: bytes (n, *input_shape) and classes (n,).

        Raises:
            DataError: if the data are neither at hand nor downloadable, or torn.
        """
        return _read_dataset(self, data_root)

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Bytes to floats of mean 0 and variance 1 over the training set, per channel."""
        return normalise_pixels(pixels, self.mean, self.deviation)

    def _is_unpacked(self, root: Path) -> bool:
        return all((root / self.folder / name).is_file() for name in self.unpacked)

    def _unpack_into(self, cache: Path, given: Path) -> None:
        """Let torchvision check and unpack in a folder of its own, then move it: a kill leaves nothing torn."""
        top = Path(self.folder).parts[0]
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            for packed in sorted(given.glob(self.packed)):
                copy = Path(temporary) / packed.relative_to(given)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(packed, copy)
            with contextlib.redirect_stdout(
                io.StringIO()
            ):  # torchvision prints every mirror that it tries
                self.dataset()(temporary, download=True)
            shutil.rmtree(cache / top, ignore_errors=True)
            os.rename(Path(temporary) / top, cache / top)

    def dataset(self) -> Any:
        """Torchvision's class."""
        from torchvision import datasets  # seconds, which only a trial on these data should pay

        return getattr(datasets, self.loader)


@lru_cache(maxsize=1)
def _read_dataset(published: TorchvisionDataset, data_root: Path | None) -> dict[str, Tensors]:
    root = published.prepare(data_root)
    try:
        sets = {
            name: published.dataset()(root, train=name == "train", download=False)
            for name in ("train", "test")
        }
    except (
        RuntimeError,
        ValueError,
        OSError,
        AssertionError,
        EOFError,
    ) as error:  # torchvision asserts what it reads
        rule = "must hold whole files; delete it, and it is unpacked anew"
        raise DataError(
            f"`{root / published.folder}` {rule}, got {type(error).__name__}"
        ) from error
    return {name: _to_tensors(data, published.input_shape) for name, data in sets.items()}


def _to_tensors(data: Any, shape: tuple[int, int, int]) -> Tensors:
    """As channels, height, width; torchvision keeps grey images without channels and coloured ones with those last."""
    pixels = torch.as_tensor(data.data)
    pixels = pixels.unsqueeze(1) if pixels.dim() == 3 else pixels.permute(0, 3, 1, 2).contiguous()
    return pixels.reshape(-1, *shape), torch.as_tensor(data.targets).long()


def normalise_pixels(
    pixels: torch.Tensor, mean: tuple[float, ...], deviation: tuple[float, ...]
) -> torch.Tensor:
    """Bytes (n, channels, height, width) to floats of mean 0 and variance 1 per channel."""
    if len(mean) == 1:
        return (pixels.float() / 255 - mean[0]) / deviation[0]
    middle, scale = (
        torch.tensor(values, device=pixels.device)[:, None, None] for values in (mean, deviation)
    )
    return (pixels.float() / 255 - middle) / scale


FASHION_MNIST_DATASET = TorchvisionDataset(
    title="Fashion-MNIST",
    loader="FashionMNIST",
    folder="FashionMNIST/raw",
    unpacked=tuple(
        f"{part}-{kind}-ubyte"
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    ),
    packed="FashionMNIST/raw/*.gz",
    input_shape=(1, 28, 28),
    n_classes=10,
    mean=(0.2860,),
    deviation=(0.3530,),
)
"""Xiao et al. 2017."""
CIFAR10_DATASET = TorchvisionDataset(
    title="CIFAR-10",
    loader="CIFAR10",
    folder="cifar-10-batches-py",
    unpacked=(*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"),
    packed="cifar-10-python.tar.gz",
    input_shape=(3, 32, 32),
    n_classes=10,
    mean=(0.4914, 0.4822, 0.4465),
    deviation=(0.2470, 0.2435, 0.2616),
)
"""Krizhevsky 2009."""
CIFAR100_DATASET = TorchvisionDataset(
    title="CIFAR-100",
    loader="CIFAR100",
    folder="cifar-100-python",
    unpacked=("train", "test", "meta"),
    packed="cifar-100-python.tar.gz",
    input_shape=(3, 32, 32),
    n_classes=100,
    mean=(0.5071, 0.4865, 0.4409),
    deviation=(0.2673, 0.2564, 0.2762),
)
"""Krizhevsky 2009."""
