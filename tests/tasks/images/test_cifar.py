"""CIFAR through torchvision's own reader, and the copy that JPEG compressed."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import datasets

from sparsetune.errors import DataError
from sparsetune.spec.task import ImageTask
from sparsetune.tasks.images.jpeg import read_cifar10_jpeg
from sparsetune.tasks.images.resident import ResidentSplit
from sparsetune.tasks.images.small_sets import (
    CIFAR10_DATASET,
    CIFAR100_DATASET,
    _read_dataset,
    normalise_pixels,
)
from sparsetune.tasks.kinds import load_task, prepare_data


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, and no network."""
    monkeypatch.setenv("SPARSETUNE_CACHE", str(tmp_path / "cache"))
    for loader in (datasets.CIFAR10, datasets.CIFAR100):
        monkeypatch.setattr(loader, "url", "http://127.0.0.1:9/")
    _read_dataset.cache_clear()


def write(
    root: Path, loader: Any, monkeypatch: pytest.MonkeyPatch
) -> dict[str, np.ndarray[Any, Any]]:
    """Write a few images in the published format, under the published names.

    torchvision then expects their checksums.
    """
    folder = root / loader.base_folder
    folder.mkdir(parents=True)
    written = {}
    lists = {}
    for attribute, examples in (("train_list", 20), ("test_list", 10)):
        checked = []
        for name, _ in getattr(loader, attribute):
            pixels = np.random.RandomState(len(written)).randint(
                0, 256, (examples, 3072), dtype=np.uint8
            )
            labels = [i % 10 for i in range(examples)]
            kind = "fine_labels" if loader is datasets.CIFAR100 else "labels"
            content = pickle.dumps({"data": pixels, kind: labels})
            (folder / name).write_bytes(content)
            checked.append([name, hashlib.md5(content).hexdigest()])
            written[name] = pixels
        lists[attribute] = checked
    meta = pickle.dumps({loader.meta["key"]: [str(i) for i in range(100)]})
    (folder / loader.meta["filename"]).write_bytes(meta)
    for attribute, checked in lists.items():
        monkeypatch.setattr(loader, attribute, checked)
    monkeypatch.setattr(loader, "meta", {**loader.meta, "md5": hashlib.md5(meta).hexdigest()})
    return written


@pytest.mark.parametrize(
    ("published", "loader"),
    [(CIFAR10_DATASET, datasets.CIFAR10), (CIFAR100_DATASET, datasets.CIFAR100)],
)
def test_images_come_as_channels_rows_columns(
    published: Any, loader: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write(tmp_path / "root", loader, monkeypatch)
    sets = published.read(tmp_path / "root")
    name = loader.train_list[0][0]
    assert sets["train"][0].shape == (20 * len(loader.train_list), 3, 32, 32)
    assert torch.equal(
        sets["train"][0][:20], torch.from_numpy(written[name]).reshape(20, 3, 32, 32)
    )
    assert sets["train"][1][:12].tolist() == [*range(10), 0, 1]


def test_channels_are_normalised_each_by_its_own(tmp_path: Path) -> None:
    pixels = torch.full((2, 3, 4, 4), 51, dtype=torch.uint8)
    expected = [
        (0.2 - mean) / deviation
        for mean, deviation in zip(CIFAR10_DATASET.mean, CIFAR10_DATASET.deviation, strict=True)
    ]
    assert normalise_pixels(pixels, CIFAR10_DATASET.mean, CIFAR10_DATASET.deviation)[
        1, :, 2, 3
    ].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_without_data_and_network_one_line_says_what_to_set(dataset: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"CIFAR-100? must lie in .*python\.tar\.gz") as caught:
        prepare_data(ImageTask(dataset=dataset, model="resnet8"), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_torn_file_is_named(tmp_path: Path) -> None:
    folder = tmp_path / CIFAR10_DATASET.folder
    folder.mkdir()
    for name in CIFAR10_DATASET.unpacked:
        (folder / name).write_bytes(b"torn")
    with pytest.raises(DataError, match="cifar-10-batches-py` must hold whole files; delete it"):
        CIFAR10_DATASET.read(tmp_path)


def test_the_compressed_copy_is_never_looked_for_on_a_network(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="the JPEG copy of CIFAR-10 is never downloaded; set --data-root"
    ):
        prepare_data(ImageTask(dataset="cifar10_jpeg", model="resnet8"), None)
    with pytest.raises(DataError, match=r"cifar10_train_jpeg\.parquet` and .* must be there"):
        prepare_data(ImageTask(dataset="cifar10_jpeg", model="resnet8"), tmp_path)


def test_a_torn_copy_is_named(tmp_path: Path) -> None:
    (tmp_path / "cifar10-jpeg").mkdir()
    for name in ("train", "test"):
        (tmp_path / "cifar10-jpeg" / f"cifar10_{name}_jpeg.parquet").write_bytes(b"torn")
    read_cifar10_jpeg.cache_clear()
    with pytest.raises(
        DataError, match=r"cifar10_train_jpeg.parquet` must be a whole Parquet file"
    ):
        read_cifar10_jpeg(tmp_path)


@pytest.mark.data("cifar10-jpeg")
def test_the_compressed_copy_has_the_statistics_that_its_notes_give(data_root: Path) -> None:
    task = ImageTask(dataset="cifar10_jpeg", model="resnet8", train_examples=10_000)
    splits = load_task(task, data_root=data_root).splits
    train = splits.train
    test = splits.test
    assert isinstance(train, ResidentSplit) and isinstance(test, ResidentSplit)
    assert (len(train), len(test)) == (10_000, 10_000)
    assert train.targets.bincount().tolist() == [1000] * 10
    assert train.inputs.mean((0, 2, 3)).abs().max() < 0.02
    assert (train.inputs.std((0, 2, 3)) - 1).abs().max() < 0.02
