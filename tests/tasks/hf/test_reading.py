"""Data sets of the library `datasets` from local files: formats, splits, labels, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from sparsetune.errors import DataError
from sparsetune.tasks.hf.labels import read_classes
from sparsetune.tasks.hf.reading import HubSource

ROWS = {"text": ["a", "b", "c", "d", "e"], "label": ["no", "yes", "no", "yes", "no"]}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSETUNE_CACHE", str(tmp_path / "cache"))


def source(dataset: str, train: str = "train", test: str | None = None) -> HubSource:
    return HubSource(f"hf:{dataset}", train, test)


def write(rows: datasets.Dataset, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    match path.suffix:
        case ".csv":
            rows.to_csv(str(path))
        case ".parquet":
            rows.to_parquet(str(path))
        case ".jsonl":
            rows.to_json(str(path))


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_a_folder_of_files_has_the_splits_of_their_names(tmp_path: Path, ending: str) -> None:
    rows = datasets.Dataset.from_dict(ROWS)
    write(rows, tmp_path / f"mine/train{ending}")
    write(rows.select([3, 4]), tmp_path / f"mine/validation{ending}")
    sets = source("mine").open_splits(tmp_path)
    assert (list(sets["train"]["text"]), list(sets["test"]["text"])) == (ROWS["text"], ["d", "e"])


def test_a_file_is_one_split_that_can_be_cut(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    write(datasets.Dataset.from_dict(ROWS), file)
    for name in ("rows.csv", str(file)):
        sets = source(name, "train[:60%]", "train[60%:]").open_splits(tmp_path)
        assert (list(sets["train"]["text"]), list(sets["test"]["text"])) == (
            ["a", "b", "c"],
            ["d", "e"],
        )


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    write(datasets.Dataset.from_dict(ROWS), file)
    cut = source("rows.csv", "train[:2]", "train[2:]")
    assert len(cut.open_splits(tmp_path)["test"]) == 3
    write(datasets.Dataset.from_dict(ROWS).select(range(4)), file)
    assert len(cut.open_splits(tmp_path)["test"]) == 2


def test_saved_data_keep_test_before_validation(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict(ROWS)
    parts = {"train": rows, "validation": rows.select([0]), "test": rows.select([1, 2])}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    assert len(source("saved").open_splits(tmp_path)["test"]) == 2
    assert len(source("saved", test="validation").open_splits(tmp_path)["test"]) == 1
    both = source("saved", "train+validation").open_splits(tmp_path)
    assert len(both["train"]) == 6
    rows.save_to_disk(str(tmp_path / "one"))
    assert len(source("one", "train[:3]", "train[3:]").open_splits(tmp_path)["test"]) == 2


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (source("rows.csv"), r"must have a split `test` or `validation`.*, got train; name one"),
        (source("rows.csv", "train", "train[80%:]"), "must share no rows, and share some of"),
        (source("rows.csv", "dev", "train"), r"`task.train_split` must be a split .* of train, or"),
        (source("rows.csv", "train", "train[5:]"), r"`task.test_split` must hold examples, got no"),
        (source("rows.txt"), r"must be a file of \.csv, \.tsv, \.json, \.jsonl, \.parquet"),
        (source("./nowhere"), r"/nowhere`, of `hf:./nowhere`, must be there; give a path below"),
        (source("empty"), r"`.*/empty` must be data that `datasets` reads: saved by `save_to_dis"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, asked: HubSource, told: str
) -> None:
    write(datasets.Dataset.from_dict(ROWS), tmp_path / "rows.csv")
    (tmp_path / "rows.txt").write_text("a\n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=told) as caught:
        asked.open_splits(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_hub_that_cannot_be_reached_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library would ask again for half a minute.
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    told = r"`hf:mylab/rows@v1` must be a data set of the Hugging Face hub .*, or lie at `.*rows@v1"
    with pytest.raises(DataError, match=told):
        source("mylab/rows@v1").open_splits(tmp_path)


def classes(train: list[Any], test: list[Any], feature: Any = None) -> tuple[Any, Any, Any]:
    features = datasets.Features({"y": feature}) if feature else None
    sets = {
        "train": datasets.Dataset.from_dict({"y": train}, features=features),
        "test": datasets.Dataset.from_dict({"y": test}, features=features),
    }
    found = read_classes(source("mine"), sets, "y")
    return found.numbers["train"].tolist(), found.numbers["test"].tolist(), found.names


def test_labels_are_numbered_by_their_order() -> None:
    assert classes(["b", "a", "b"], ["a"]) == ([1, 0, 1], [0], ("a", "b"))
    assert classes([10, 2, 2], [10]) == ([1, 0, 0], [1], ("2", "10"))
    assert classes([True, False], [True]) == ([1, 0], [1], ("False", "True"))


def test_class_labels_keep_their_numbers_and_names() -> None:
    feature = datasets.ClassLabel(names=["cat", "ant", "bee"])
    assert classes([2, 0], [1], feature) == ([2, 0], [1], ("cat", "ant", "bee"))


@pytest.mark.parametrize(
    ("train", "test", "feature", "told"),
    [
        (
            ["a", "b"],
            ["c"],
            None,
            r"`test`, row 0, `y`: a label must be one of the classes a, b",
        ),
        ([0, 1], [0, -1], None, r"`test`, row 1.*got -1; where the test split has no labels, set"),
        (["a", None], ["a"], None, r"`train`, row 1, `y`: a label must be .*, got none"),
        ([0.5, 1.0], [0.5], None, r"`train`, row 0, `y`: a label must be a class .*, got 0.5"),
        ([1, 1], [1], None, r"training examples of at least two classes in `y`, got one"),
        (
            [0, -1],
            [0],
            datasets.ClassLabel(num_classes=2),
            r"row 1.* classes 0, 1, got -1",
        ),
    ],
)
def test_a_label_that_is_no_class_is_refused_with_its_row(
    train: list[Any], test: list[Any], feature: Any, told: str
) -> None:
    with pytest.raises(DataError, match=told):
        classes(train, test, feature)
