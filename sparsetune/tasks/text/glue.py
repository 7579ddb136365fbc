"""Tasks of GLUE, from TSV files in GLUE's layout or from the Hugging Face hub.

Source: Wang et al. 2018, arXiv 1804.07461.
"""

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
from sparsetune.tasks.hf.library import import_quiet_datasets
from sparsetune.tasks.text.tsv import read_tsv, write_tsv

HUB_DATASET = "nyu-mll/glue"


@dataclass(frozen=True)
class GlueTask:
    """Task as GLUE publishes it.

    Args:
        folder: GLUE's name of the task, and of its folder.
        config: Name of the configuration on the hub.
        texts: Columns of the texts in TSV, one or two.
        hub_texts: Columns of the texts on the hub, whose label is always ``label``.
        label: Column of the label in TSV.
        classes: Labels in TSV, by the hub's class number; empty where the label is a score from 0
            to 5.
        header: Columns of a file that has no header line; empty for a file that has one.
        dev: Name of the dev set's file, without ``.tsv``.
        hub_dev: Name of the dev split on the hub.
        torn: The published file has rows torn by line breaks in its texts; the hub leaves them out
            too.
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
        """Files of ``train`` and ``test``: GLUE's own test set has no labels and is never read."""
        return {"train": folder / "train.tsv", "test": folder / f"{self.dev}.tsv"}

    def columns(self) -> tuple[str, ...]:
        """Columns that are read: the texts, then the label."""
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
"""Tasks by the name of the data set."""


@dataclass(frozen=True)
class Sentences:
    """Labelled sentences, or pairs of them.

    Args:
        first: Sentences, or the first of each pair, (n,).
        second: Second sentence of each pair, (n,); None for a task of single sentences.
        labels: Class numbers as int64, or scores as float64, (n,).
    """

    first: list[str]
    second: list[str] | None
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.first)


def output_count(task: TextTask) -> int:
    """Number of outputs of the head: the classes, or 1 where a score is predicted."""
    return len(GLUE_TASKS[task.dataset].classes) or 1


def read_glue(task: TextTask, data_root: Path | None) -> dict[str, Sentences]:
    """Sentences of ``train`` and of ``test``, which is GLUE's dev set, in the files' order.

    Raises:
        DataError: in one line, the first fault found, with its file and line.
    """
    published = GLUE_TASKS[task.dataset]
    files = _task_files(task, data_root)
    return {name: _read_split(path, published) for name, path in files.items()}


def check_train_size(task: TextTask, rows: int) -> None:
    """Check that a training set of ``rows`` examples fits the declaration.

    It may be GLUE's own, or a part of it that suffices.

    Raises:
        DataError: if it is smaller than validation and training need, or larger than GLUE's.
    """
    held_out = task.held_out()
    train_size = task.train_size()
    needed = held_out + train_size
    file = f"{GLUE_TASKS[task.dataset].folder}'s train.tsv"
    if rows < needed:
        raise DataError(
            f"{file} must have the {needed:,} rows that `task.validation` ({held_out:,}) and"
            f" training ({train_size:,}) need, got {rows:,}; set `task.train_examples` and"
            " `task.validation` to numbers that fit, or read the official file"
        )
    if rows > task.pool():
        rule = f"{file} must have at most GLUE's {task.pool():,} rows"
        raise DataError(f"{rule}, got {rows:,}: another file?")


def glue_digest(task: TextTask, data_root: Path | None) -> str:
    """Twelve hexadecimal digits that name the task and every byte of its files.

    The task's name says which columns are read.

    Raises:
        DataError: if there are no files.
    """
    digest = hashlib.sha256(task.dataset.encode())
    for path in _task_files(task, data_root).values():
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def _task_files(task: TextTask, data_root: Path | None) -> dict[str, Path]:
    """Files of ``train`` and ``test``, downloaded where the task's folder does not exist."""
    published = GLUE_TASKS[task.dataset]
    root = given_root(data_root)
    folder = (root or Path.cwd()) / Path(task.folder or f"glue/{published.folder}").expanduser()
    if task.folder is None and (root is None or not folder.is_dir()):
        return _download_task(published, folder if root else None)
    files = published.files(folder)
    missing = " and ".join(f"`{path}`" for path in files.values() if not path.is_file())
    if missing:
        advice = "set `task.folder`, or --data-root or SPARSETUNE_DATA to the folder above it"
        raise DataError(f"{missing} must be there; {advice}")
    return files


def _download_task(published: GlueTask, looked: Path | None) -> dict[str, Path]:
    """Files of a task from the hub, written in GLUE's layout to the cache.

    So there is one format to read, wherever the data are from.
    """
    files = published.files(cache_root() / "glue" / published.folder)
    splits = {"train": "train", "test": published.hub_dev}
    files["train"].parent.mkdir(parents=True, exist_ok=True)
    # Several trials may start at once, and one download serves them all.
    with FileLock(files["train"].parent / "download.lock"):
        missing = [name for name, path in files.items() if not path.is_file()]
        if missing:
            hub = _hub_splits(published, looked)
            for name in missing:
                _write_split(files[name], published, hub[splits[name]])
    return files


def _hub_splits(published: GlueTask, looked: Path | None) -> Any:
    """Splits of a task on the hub, by the hub's names."""
    datasets = import_quiet_datasets()
    cache = str(cache_root() / "datasets")
    try:
        return datasets.load_dataset(HUB_DATASET, published.config, cache_dir=cache)
    except Exception as error:  # of many libraries: sockets, HTTP clients, the hub's own, Parquet
        folder = f"a folder `glue/{published.folder}` below --data-root or SPARSETUNE_DATA"
        if looked:
            folder = f"`{looked}`"
        files = " and ".join(path.name for path in published.files(Path()).values())
        rule = f"must come from the hub's `{HUB_DATASET}` or from files"
        got = f"{type(error).__name__} ({first_line(error)})"
        raise DataError(
            f"GLUE's {published.folder} {rule}, got {got}; {folder} with {files} would serve"
        ) from error


def _write_split(path: Path, published: GlueTask, split: Any) -> None:
    columns: dict[str, Sequence[str]] = {}
    for name, hub_name in zip(published.texts, published.hub_texts, strict=True):
        columns[name] = split[hub_name][:]
    if published.classes:
        columns[published.label] = [published.classes[label] for label in split["label"]]
    else:
        columns[published.label] = [str(label) for label in split["label"]]
    write_tsv(path, columns, published.header)


def _read_split(path: Path, published: GlueTask) -> Sentences:
    rows = read_tsv(path, published.columns(), published.header, published.torn)
    label_by_line = dict(zip(rows.lines, rows.columns[published.label], strict=True))
    labels = _parse_labels(label_by_line, published.classes, path)
    first = rows.columns[published.texts[0]]
    second = rows.columns[published.texts[1]] if len(published.texts) == 2 else None
    return Sentences(first, second, labels)


def _parse_labels(
    label_by_line: Mapping[int, str], classes: Sequence[str], path: Path
) -> NDArray[Any]:
    """Class numbers, or scores where there are no classes, (n,).

    Raises:
        DataError: for a label that is no class, or no score.
    """
    for line, label in label_by_line.items():
        is_valid = label in classes if classes else _is_score(label)
        if not is_valid:
            valid = f"one of {', '.join(classes)}" if classes else "a number from 0 to 5"
            raise DataError(f"`{path}`, line {line}: a label must be {valid}, got {label!r}")
    labels = list(label_by_line.values())
    if not classes:
        return np.array(labels, dtype=np.float64)
    number_by_class = {name: number for number, name in enumerate(classes)}
    return np.array([number_by_class[label] for label in labels], dtype=np.int64)


def _is_score(label: str) -> bool:
    try:
        return 0 <= float(label) <= 5
    except ValueError:
        return False
