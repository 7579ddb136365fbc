from pathlib import Path

import pytest
import torch
from torchvision.datasets import FashionMNIST

from sparsetune.errors import DataError
from sparsetune.spec.task import ImageTask
from sparsetune.tasks.images.small_sets import FASHION_MNIST_DATASET, _read_dataset
from sparsetune.tasks.kinds import load_task, prepare_data


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, and no network.

    The only mirror is a port of this machine that nothing listens on.
    """
    monkeypatch.setenv("SPARSETUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    _read_dataset.cache_clear()


@pytest.mark.data("FashionMNIST")
def test_packed_data_are_unpacked_into_the_cache_and_read(tmp_path: Path, data_root: Path) -> None:
    spec = ImageTask(train_examples=20_000)
    prepare_data(spec, data_root)
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == [
        "FashionMNIST"
    ]
    splits = load_task(spec, data_root=tmp_path / "cache").splits
    assert splits.train.targets.bincount().tolist() == [2000] * 10
    assert splits.validation.targets.bincount().tolist() == [600] * 10
    assert splits.train_subset.targets.bincount().tolist() == [1000] * 10
    assert splits.test.targets.bincount().tolist() == [1000] * 10
    assert abs(float(splits.train.inputs.mean())) < 0.01
    assert abs(float(splits.train.inputs.std()) - 1) < 0.01
    assert (
        load_task(ImageTask(train_examples=20_000, split_seed=1), data_root=data_root).splits
        is not splits
    )
    full = load_task(ImageTask(validation=0), data_root=data_root).splits
    assert (len(full.train), len(full.validation)) == (60_000, 0)
    assert torch.equal(full.test.inputs, splits.test.inputs)


def test_without_data_and_network_the_error_says_where_it_looked_and_what_to_set(
    tmp_path: Path,
) -> None:
    with pytest.raises(DataError) as caught:
        FASHION_MNIST_DATASET.prepare(tmp_path / "nothing")
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path / "nothing" / "FashionMNIST" / "raw") in message
    assert str(tmp_path / "cache" / "FashionMNIST" / "raw") in message
    assert "SPARSETUNE_DATA" in message
    assert not list((tmp_path / "cache").glob("*/"))


def test_a_damaged_file_is_never_taken_for_data(tmp_path: Path) -> None:
    raw = tmp_path / "damaged" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(b"torn")
    with pytest.raises(DataError):
        FASHION_MNIST_DATASET.prepare(tmp_path / "damaged")
    assert (raw / "train-images-idx3-ubyte.gz").read_bytes() == b"torn"


def test_a_torn_unpacked_file_is_named(tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, _checksum in FashionMNIST.resources:
        (raw / Path(name).stem).write_bytes(b"\0\0\x08\x03torn, and of no use")
    with pytest.raises(DataError, match="must hold whole files; delete it"):
        load_task(ImageTask(split_seed=99), data_root=tmp_path)


def test_a_cache_that_cannot_be_written_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPARSETUNE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match="NotADirectoryError"):
        FASHION_MNIST_DATASET.prepare(tmp_path)
