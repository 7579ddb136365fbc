"""Public sets of small images, read by torchvision from local files or from the network."""

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
from sparsetune.tasks.images.pixels import LabelledImages, normalise_pixels


@dataclass(frozen=True)
class TorchvisionDataset:
    """Data set that torchvision downloads, checks and reads.

    Args:
        title: Name in messages.
        loader: Name of its class in ``torchvision.datasets``.
        folder: Folder that torchvision reads below its root.
        unpacked: Names of all files that it reads in that folder.
        packed: Pattern, below the root, of the archives that it unpacks.
        input_shape: Shape of an example, (channels, height, width).
        n_classes: Number of classes.
        mean: Mean of the training set's pixels per channel, in [0, 1].
        deviation: Their standard deviation per channel.
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
        """Root below which torchvision finds the unpacked set; unpack or download it if need be.

        Looks in ``data_root`` (or ``$SPARSETUNE_DATA``), which may be read-only and packed, then in
        the cache (``$SPARSETUNE_CACHE``, by default ``~/.cache/sparsetune``), then on the network.
        torchvision checks every file that it unpacks.

        Raises:
            DataError: in one line, where it looked and what to set.
        """
        given = given_root(data_root)
        cache = cache_root()
        roots = [cache] if given is None else [given, cache]
        for root in roots:
            if self._is_unpacked(root):
                return root
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with FileLock(cache / f"{self.loader}.lock"):
                # Another process may have unpacked it while this one waited for the lock.
                if not self._is_unpacked(cache):
                    self._unpack_into(cache, given or cache)
        except (OSError, RuntimeError) as error:  # RuntimeError: every mirror of torchvision fails
            looked = " and ".join(f"`{root / self.folder}`" for root in roots)
            raise DataError(
                f"{self.title} must lie in {looked} or be downloadable, got {type(error).__name__}"
                f" ({first_line(error)}); set --data-root or SPARSETUNE_DATA to"
                f" the folder that holds `{self.packed}`"
            ) from error
        return cache

    def read(self, data_root: Path | None) -> dict[str, LabelledImages]:
        """Bytes (n, *input_shape) and classes (n,) of ``train`` and ``test``.

        Raises:
            DataError: if the data are neither at hand nor downloadable, or torn.
        """
        return _read_dataset(self, data_root)

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Floats of mean 0 and variance 1 over the training set, per channel, from bytes."""
        return normalise_pixels(pixels, self.mean, self.deviation)

    def _is_unpacked(self, root: Path) -> bool:
        return all((root / self.folder / name).is_file() for name in self.unpacked)

    def _unpack_into(self, cache: Path, given: Path) -> None:
        """Let torchvision check and unpack, or download, in a folder of its own; then move that.

        A process that is killed meanwhile leaves nothing torn in the cache.
        """
        top = Path(self.folder).parts[0]
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            for packed in sorted(given.glob(self.packed)):
                copy = Path(temporary) / packed.relative_to(given)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(packed, copy)
            # torchvision prints every mirror that it tries.
            with contextlib.redirect_stdout(io.StringIO()):
                self.dataset()(temporary, download=True)
            shutil.rmtree(cache / top, ignore_errors=True)
            os.rename(Path(temporary) / top, cache / top)

    def dataset(self) -> Any:
        """Class of the data set in ``torchvision.datasets``."""
        # Importing takes seconds, which only a trial on these data should pay.
        from torchvision import datasets

        return getattr(datasets, self.loader)


@lru_cache(maxsize=1)
def _read_dataset(
    published: TorchvisionDataset, data_root: Path | None
) -> dict[str, LabelledImages]:
    root = published.prepare(data_root)
    dataset = published.dataset()
    try:
        train = dataset(root, train=True, download=False)
        test = dataset(root, train=False, download=False)
    # torchvision checks what it reads by assertions, among others.
    except (RuntimeError, ValueError, OSError, AssertionError, EOFError) as error:
        rule = "must hold whole files; delete it, and it is unpacked again"
        folder = root / published.folder
        raise DataError(f"`{folder}` {rule}, got {type(error).__name__}") from error
    shape = published.input_shape
    return {"train": _to_tensors(train, shape), "test": _to_tensors(test, shape)}


def _to_tensors(data: Any, shape: tuple[int, int, int]) -> LabelledImages:
    """Bytes (n, *shape) and classes (n,) of a torchvision data set."""
    pixels = torch.as_tensor(data.data)
    classes = torch.as_tensor(data.targets).long()
    if pixels.dim() == 3:  # grey images are stored without a channel, coloured ones with it last
        return pixels.reshape(-1, *shape), classes
    return pixels.permute(0, 3, 1, 2).contiguous().reshape(-1, *shape), classes


FASHION_MNIST_DATASET = TorchvisionDataset(
    title="Fashion-MNIST",
    loader="FashionMNIST",
    folder="FashionMNIST/raw",
    unpacked=(
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ),
    packed="FashionMNIST/raw/*.gz",
    input_shape=(1, 28, 28),
    n_classes=10,
    mean=(0.2860,),
    deviation=(0.3530,),
)
"""Xiao et al. 2017, arXiv 1708.07747."""
CIFAR10_DATASET = TorchvisionDataset(
    title="CIFAR-10",
    loader="CIFAR10",
    folder="cifar-10-batches-py",
    unpacked=(
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
        "test_batch",
        "batches.meta",
    ),
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
