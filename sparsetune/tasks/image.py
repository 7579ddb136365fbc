"""Fashion-MNIST through torchvision, from files at hand or from the network (Xiao et al. 2017)."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

import torch
from filelock import FileLock

from sparsetune.errors import DataError

INPUT_SHAPE = (1, 28, 28)
N_CLASSES = 10
MEAN, STANDARD_DEVIATION = 0.2860, 0.3530
"""Of the training set's pixels."""
UNPACKED = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
"""The four files that torchvision reads."""


def prepare_fashion_mnist(data_root: Path | None) -> Path:
    """The folder in which torchvision finds Fashion-MNIST unpacked, after unpacking or downloading it where need be.

    Looks in ``data_root`` (or ``$SPARSETUNE_DATA``), which may be read-only and packed, then in the cache
    (``$SPARSETUNE_CACHE``, by default ``~/.cache/sparsetune``), then on the network. torchvision checks every file.

    Raises:
        DataError: in one line, where it looked and what to set.
    """
    given, cache = _given_root(data_root), _cache()
    roots = [root for root in (given, cache) if root is not None]
    if unpacked := next((root for root in roots if _is_unpacked(root)), None):
        return unpacked
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / "FashionMNIST.lock"):
            if not _is_unpacked(cache):
                _unpack_into(cache, given)
    except (OSError, RuntimeError) as error:  # torchvision raises RuntimeError where every mirror fails
        looked = " and ".join(f"`{root / 'FashionMNIST' / 'raw'}`" for root in roots)
        raise DataError(
            f"Fashion-MNIST must lie in {looked} or be downloadable, got {type(error).__name__}"
            f" ({str(error).splitlines()[0] if str(error) else 'no reason'}); set --data-root or SPARSETUNE_DATA to the"
            " folder that holds `FashionMNIST/raw/*.gz`"
        ) from error
    return cache


@lru_cache(maxsize=1)
def read_fashion_mnist(data_root: Path | None) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """``train`` (60,000 examples) and ``test`` (10,000): raw bytes (n, 1, 28, 28), and classes (n,).

    Raises:
        DataError: if the data are neither at hand nor downloadable, or torn.
    """
    from torchvision.datasets import FashionMNIST  # seconds, which only a trial on these data should pay

    root = prepare_fashion_mnist(data_root)
    try:
        sets = {name: FashionMNIST(root, train=name == "train", download=False) for name in ("train", "test")}
    except (RuntimeError, ValueError, OSError, AssertionError) as error:  # torchvision asserts what it reads
        rule = "must hold whole files; delete it, and it is unpacked anew"
        raise DataError(f"`{root / 'FashionMNIST' / 'raw'}` {rule}, got {type(error).__name__}") from error
    return {name: (data.data.unsqueeze(1), data.targets.long()) for name, data in sets.items()}


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """Bytes to floats of mean 0 and variance 1 over the training set."""
    return (pixels.float() / 255 - MEAN) / STANDARD_DEVIATION


def _given_root(data_root: Path | None) -> Path | None:
    given = data_root or os.environ.get("SPARSETUNE_DATA")
    return Path(given).expanduser().resolve() if given else None


def _cache() -> Path:
    return Path(os.environ.get("SPARSETUNE_CACHE") or "~/.cache/sparsetune").expanduser().resolve()


def _is_unpacked(root: Path) -> bool:
    raw = root / "FashionMNIST" / "raw"
    return all((raw / name).is_file() for name in UNPACKED)


def _unpack_into(cache: Path, given: Path | None) -> None:
    """Let torchvision check and unpack in a folder of its own, then move it: a killed process leaves nothing torn."""
    from torchvision.datasets import FashionMNIST

    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        raw = Path(temporary) / "FashionMNIST" / "raw"
        raw.mkdir(parents=True)
        for packed in sorted((given or cache).glob("FashionMNIST/raw/*.gz")):
            shutil.copyfile(packed, raw / packed.name)
        with contextlib.redirect_stdout(io.StringIO()):  # torchvision prints every mirror that it tries
            FashionMNIST(temporary, download=True)
        shutil.rmtree(cache / "FashionMNIST", ignore_errors=True)
        os.rename(Path(temporary) / "FashionMNIST", cache / "FashionMNIST")
