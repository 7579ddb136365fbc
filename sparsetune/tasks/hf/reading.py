"""Splits of a data set ``hf:…``: found on a disk or on the hub, and cut as the task declares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsetune.errors import DataError, first_line
from sparsetune.spec.task import HUB_PREFIX, HubTask
from sparsetune.tasks.data_roots import cache_root, given_root
from sparsetune.tasks.hf.library import import_quiet_datasets

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".csv": ("csv", {}),
    ".tsv": ("csv", {"sep": "\t"}),
    ".json": ("json", {}),
    ".jsonl": ("json", {}),
    ".parquet": ("parquet", {}),
}
"""Readers of `datasets` by a file's ending, with their arguments."""
HUB_NAME = re.compile(
    r"(?P<name>[\w.-]+(/[\w.-]+)?)(:(?P<config>[^@:]+))?(@(?P<revision>[\w./-]+))?"
)
"""A data set of the hub, its configuration and its revision."""
TEST_SPLITS = ("test", "validation")
"""Splits that may be the test set where a task names none; the first that there is."""

SplitRows = list[tuple[str, range]]
"""Names of whole splits, with the rows that are taken of each."""


@dataclass(frozen=True)
class HubSource:
    """What a task reads with the library `datasets`.

    Args:
        dataset: Name of the data, ``hf:…``.
        train_split: Split to train on, or a part of one.
        test_split: Split that is the test set; None for the first of `TEST_SPLITS`.
    """

    dataset: str
    train_split: str
    test_split: str | None

    @classmethod
    def of(cls, task: HubTask) -> HubSource:
        """Source of a task."""
        return cls(task.dataset, task.train_split, task.test_split)

    def folder(self, data_root: Path | None) -> Path:
        """Folder that relative paths in the data are below."""
        path = self._path(data_root)
        return path if path.is_dir() else path.parent

    def open_splits(self, data_root: Path | None) -> dict[str, Any]:
        """Data sets ``train`` and ``test``, whose rows the library maps from its cache.

        Raises:
            DataError: in one line, where the data were looked for, or which splits there are.
        """
        sets = self._open(data_root)
        lengths = {name: len(rows) for name, rows in sets.items()}
        test_split = self.test_split or next(
            (name for name in TEST_SPLITS if name in sets and name != self.train_split), None
        )
        if test_split is None:
            found = ", ".join(sets)
            rule = f"`{self.dataset}` must have a split `test` or `validation` as its test set"
            advice = (
                "name one by `task.test_split`, or cut one in two, as with"
                " `train_split='train[:80%]', test_split='train[80%:]'`"
            )
            raise DataError(f"{rule}, got {found}; {advice}")
        train = self._rows_of("train_split", self.train_split, lengths)
        test = self._rows_of("test_split", test_split, lengths)
        for name, trained in train:
            for other, tested in test:
                if name == other and set(trained) & set(tested):
                    raise DataError(
                        f"`{self.dataset}`: `task.train_split` and `task.test_split` must share no"
                        f" rows, and share some of `{name}`"
                    )
        return {"train": _selected(sets, train), "test": _selected(sets, test)}

    def _rows_of(self, field: str, split: str, lengths: Mapping[str, int]) -> SplitRows:
        """Rows that the name of a split, or of a part of one, asks for."""
        datasets = import_quiet_datasets()
        try:
            parts = datasets.ReadInstruction.from_spec(split).to_absolute(dict(lengths))
        except (ValueError, AssertionError) as error:
            listed = ", ".join(lengths)
            rule = f"`task.{field}` must be a split of `{self.dataset}`, of {listed}"
            raise DataError(f"{rule}, or a part as `train[:80%]`, got {split!r}") from error
        rows = [(part.splitname, range(part.from_, part.to)) for part in parts]
        if not any(chosen for _, chosen in rows):
            raise DataError(f"`task.{field}` must hold examples, got none in {split!r}")
        return rows

    def _path(self, data_root: Path | None) -> Path:
        """Path of local data; it need not exist."""
        root = given_root(data_root) or Path.cwd()
        return root / Path(self.dataset.removeprefix(HUB_PREFIX)).expanduser()

    def _open(self, data_root: Path | None) -> Mapping[str, Any]:
        """Every split of the data by name."""
        path = self._path(data_root)
        if path.exists():
            return self._open_path(path)
        given = self.dataset.removeprefix(HUB_PREFIX)
        named = HUB_NAME.fullmatch(given)
        if named is None or given.startswith(("/", ".", "~")):
            advice = "give a path below --data-root or SPARSETUNE_DATA, or `hf:owner/name`"
            raise DataError(f"`{path}`, of `{self.dataset}`, must be there; {advice}")
        try:
            return self._load(named["name"], name=named["config"], revision=named["revision"])
        except Exception as error:  # of many libraries: sockets, HTTP clients, the hub's own
            got = f"{type(error).__name__} ({first_line(error)})"
            raise DataError(
                f"`{self.dataset}` must be a data set of the Hugging Face hub that can be reached,"
                f" or lie at `{path}`, got {got}"
            ) from error

    def _open_path(self, path: Path) -> Mapping[str, Any]:
        datasets = import_quiet_datasets()
        try:
            if path.is_file():
                if path.suffix not in FORMATS:
                    valid = ", ".join(FORMATS)
                    raise DataError(f"`{path}` must be a file of {valid}, or a folder of such")
                reader, arguments = FORMATS[path.suffix]
                return self._load(reader, data_files={"train": str(path)}, **arguments)
            if (path / "dataset_dict.json").is_file():
                saved: Mapping[str, Any] = datasets.load_from_disk(str(path))
                return saved
            if (path / "dataset_info.json").is_file() and (path / "state.json").is_file():
                return {"train": datasets.load_from_disk(str(path))}
            return self._load(str(path))
        except DataError:
            raise
        except Exception as error:  # of many libraries: Arrow's, pandas', those of `datasets`
            got = f"{type(error).__name__} ({first_line(error)})"
            rule = "must be data that `datasets` reads: saved by `save_to_disk`, or csv, json or"
            raise DataError(f"`{path}` {rule} parquet files, got {got}") from error

    def _load(self, reader: str, /, **arguments: Any) -> Mapping[str, Any]:
        datasets = import_quiet_datasets()
        # In our own cache, which tells changed files by their time.
        cache = str(cache_root() / "datasets")
        sets: Mapping[str, Any] = datasets.load_dataset(reader, cache_dir=cache, **arguments)
        return sets


def _selected(sets: Mapping[str, Any], rows: SplitRows) -> Any:
    parts = [sets[name].select(chosen) for name, chosen in rows]
    return parts[0] if len(parts) == 1 else import_quiet_datasets().concatenate_datasets(parts)


def require_columns(source: HubSource, rows: Any, *columns: tuple[str, str]) -> None:
    """Refuse data without a column that a task names.

    Args:
        source: Where the data are from.
        rows: One of the splits.
        columns: Fields of the task, each with the name of a column that it gives.

    Raises:
        DataError: naming the columns that there are.
    """
    for field, name in columns:
        if name not in rows.column_names:
            found = ", ".join(rows.column_names)
            rule = f"`{source.dataset}` must have the column `{name}`"
            raise DataError(f"{rule}, its columns are {found}; set `{field}`")
