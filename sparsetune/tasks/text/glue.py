"""The tasks of GLUE (Wang et al. 2018, arXiv 1804.07461), from TSV files in GLUE's layout or from the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from sparsetune.errors import DataError, first_line
from sparsetune.spec.task import TextTask
from sparsetune.tasks.data_roots import cache_root, given_root
from sparsetune.tasks.text.tsv import import_quiet_datasets, read_tsv, write_tsv

HUB_DATASET = "nyu-mll/glue"


@dataclass(frozen=True)
class GlueTask:
    """A task as GLUE publishes it.

    Args:
        folder: GLUE's name for it.
        config: The hub's.
        texts: Columns of the texts in TSV.
        hub_texts: The same on the hub, whose label is always ``label``.
        label: Column of the label in TSV.
        classes: Labels in TSV, by the hub's class number; empty where the label is a score from 0 to 5.
        header: Columns of a file that has no header line; empty for a file that has one.
        dev: The dev set's file is ``<dev>.tsv``.
        hub_dev: The same on the hub.
        torn: Whether the published file has rows torn by line breaks in its texts; the hub leaves them out too.
    """

    folder: str
    config: str
    texts: tuple[str, ...]
    hub_texts: tuple[str, ...]
    label: str = "label"
    classes: tuple[str, ...] = ("0", "1")
    header: tuple[str, ...] = ()
    dev: str = "dev"
    hub_dev: str = "validation"
    torn: bool = False

    def files(self, folder: Path) -> dict[str, Path]:
        """The files of ``train`` and ``test``; GLUE's own test set has no labels and is never read."""
        return {"train": folder / "train.tsv", "test": folder / f"{self.dev}.tsv"}

    def columns(self) -> tuple[str, ...]:
        """Those that are read."""
        return *self.texts, self.label


PAIR_COLUMNS = ("sentence1", "sentence2")
ENTAILMENT_CLASSES = ("entailment", "not_entailment")
MNLI_MATCHED = GlueTask(
    "MNLI",
    "mnli",
    PAIR_COLUMNS,
    ("premise", "hypothesis"),
    label="gold_label",
    classes=("entailment", "neutral", "contradiction"),
    dev="dev_matched",
    hub_dev="validation_matched",
)
QUESTION_COLUMNS = ("question1", "question2")
GLUE_TASKS = {
    "cola": GlueTask(
        "CoLA",
        "cola",
        ("sentence",),
        ("sentence",),
        header=("source", "label", "original_mark", "sentence"),
    ),
    "sst2": GlueTask("SST-2", "sst2", ("sentence",), ("sentence",)),
    "mrpc": GlueTask("MRPC", "mrpc", ("#1 String", "#2 String"), PAIR_COLUMNS, label="Quality"),
    "qqp": GlueTask(
        "QQP", "qqp", QUESTION_COLUMNS, QUESTION_COLUMNS, label="is_duplicate", torn=True
    ),
    "stsb": GlueTask("STS-B", "stsb", PAIR_COLUMNS, PAIR_COLUMNS, label="score", classes=()),
    "mnli": MNLI_MATCHED,
    "mnli_mismatched": replace(MNLI_MATCHED, dev="dev_mismatched", hub_dev="validation_mismatched"),
    "qnli": GlueTask(
        "QNLI",
        "qnli",
        ("question", "sentence"),
        ("question", "sentence"),
        classes=ENTAILMENT_CLASSES,
    ),
    "rte": GlueTask("RTE", "rte", PAIR_COLUMNS, PAIR_COLUMNS, classes=ENTAILMENT_CLASSES),
    "wnli": GlueTask("WNLI", "wnli", PAIR_COLUMNS, PAIR_COLUMNS),
}
"""By the name of the data set."""


@dataclass(frozen=True)
class Sentences:
    """Labelled sentences, or pairs of them.

    Args:
        first: The sentences.
        second: Their seconds; None for a task of single sentences.
        labels: Class numbers (n,) int64, or scores float64.
    """

    first: list[str]
    second: list[str] | None
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.first)


def output_count(task: TextTask) -> int:
    """Outputs of the head: classes, or 1 where a score is predicted."""
    return len(GLUE_TASKS[task.dataset].classes) or 1


def read_glue(task: TextTask, data_root: Path | None) -> dict[str, Sentences]:
    """``train`` and ``test``, which is GLUE's dev set, in the files' order.

    Raises:
        DataError: in one line, the first fault found, with its file and line.
    """
    published = GLUE_TASKS[task.dataset]
    return {
        name: _read_split(path, published) for name, path in _task_files(task, data_root).items()
    }


def check_train_size(task: TextTask, rows: int) -> None:
    """That a training set of ``rows`` examples serves what is declared: GLUE's own, or a part of it that suffices.

    Raises:
        DataError: if it is smaller than validation and training need, or larger than GLUE's.
    """
    needed = task.held_out() + task.train_size()
    name = GLUE_TASKS[task.dataset].folder
    if rows < needed:
        raise DataError(
            f"{name}'s train.tsv must have the {needed:,} rows that `task.validation` ({task.held_out():,}) and"
            f" training ({task.train_size():,}) need, got {rows:,}; set `task.train_examples` and `task.validation` to"
            " numbers that fit, or read the official file"
        )
    if rows > task.pool():
        raise DataError(
            f"{name}'s train.tsv must have at most GLUE's {task.pool():,} rows, got {rows:,}: another file?"
        )


def glue_digest(task: TextTask, data_root: Path | None) -> str:
    """Twelve hexadecimal digits that name the task, since it says which columns are read, and every byte of its files.

    Raises:
        DataError: if there are none.
    """
    digest = hashlib.sha256(task.dataset.encode())
    for path in _task_files(task, data_root).values():
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def _task_files(task: TextTask, data_root: Path | None) -> dict[str, Path]:
    """The task's two files, downloaded where none lie in its folder."""
    published = GLUE_TASKS[task.dataset]
    root = given_root(data_root)
    folder = (root or Path.cwd()) / Path(task.folder or f"glue/{published.folder}").expanduser()
    if task.folder is None and (root is None or not folder.is_dir()):
        return _download_task(published, folder if root else None)
    files = published.files(folder)
    if missing := [f"`{path}`" for path in files.values() if not path.is_file()]:
        rule = "must be there; set `task.folder`, or --data-root or SPARSETUNE_DATA to the folder above it"
        raise DataError(f"{' and '.join(missing)} {rule}")
    return files


def _download_task(published: GlueTask, looked: Path | None) -> dict[str, Path]:
    """The hub's task in GLUE's layout, kept in the cache: what is read has one form, wherever it is from."""
    files = published.files(cache_root() / "glue" / published.folder)
    splits = {"train": "train", "test": published.hub_dev}
    files["train"].parent.mkdir(parents=True, exist_ok=True)
    with FileLock(files["train"].parent / "download.lock"):
        if missing := [name for name, path in files.items() if not path.is_file()]:
            hub = _hub_splits(published, looked)
            for name in missing:
                _write_split(files[name], published, hub[splits[name]])
    return files


def _hub_splits(published: GlueTask, looked: Path | None) -> Any:
    """The hub's splits by name."""
    datasets = import_quiet_datasets()
    serves = (
        f"`{looked}`"
        if looked
        else f"a folder `glue/{published.folder}` below --data-root or SPARSETUNE_DATA"
    )
    try:
        return datasets.load_dataset(
            HUB_DATASET, published.config, cache_dir=str(cache_root() / "datasets")
        )
    except Exception as error:  # of many libraries: sockets, HTTP clients, the hub's own, Parquet
        files = " and ".join(path.name for path in published.files(Path()).values())
        raise DataError(
            f"GLUE's {published.folder} must come from the hub's `{HUB_DATASET}` or from files, got {type(error).__name__}"
            f" ({first_line(error)}); {serves} with {files} would serve"
        ) from error


def _write_split(path: Path, published: GlueTask, split: Any) -> None:
    labels = [
        published.classes[label] if published.classes else str(label) for label in split["label"]
    ]
    texts = (split[column][:] for column in published.hub_texts)
    write_tsv(path, dict(zip(published.columns(), (*texts, labels), strict=True)), published.header)


def _read_split(path: Path, published: GlueTask) -> Sentences:
    rows = read_tsv(path, published.columns(), published.header, published.torn)
    labels = dict(zip(rows.lines, rows.columns[published.label], strict=True))
    first, *second = (rows.columns[name] for name in published.texts)
    return Sentences(
        first, second[0] if second else None, _parse_labels(labels, published.classes, path)
    )


def _parse_labels(labels: Mapping[int, str], classes: Sequence[str], path: Path) -> NDArray[Any]:
    """Class numbers, or scores, of labels by their line.

    Raises:
        DataError: for a label outside the task's.
    """
    number_of = {name: number for number, name in enumerate(classes)}
    for line, label in labels.items():
        if not (label in number_of if classes else _is_score(label)):
            rule = f"one of {', '.join(classes)}" if classes else "a number from 0 to 5"
            raise DataError(f"`{path}`, line {line}: a label must be {rule}, got {label!r}")
    if classes:
        return np.array([number_of[label] for label in labels.values()], dtype=np.int64)
    return np.array(list(labels.values()), dtype=np.float64)


def _is_score(label: str) -> bool:
    try:
        return 0 <= float(label) <= 5
    except ValueError:
        return False
