"""Run folders of Weights & Biases, offline or online: ``offline-run-*`` and ``run-*``.

The ``.wandb`` file holds everything. Where it is missing, ``files/config.yaml``,
``files/wandb-summary.json`` and ``files/wandb-history.jsonl`` are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sparsetune.errors import DataError

from ....catalogue import write
from ..formats.json_records import parse_json_lines, parse_json_object
from ..nested import flatten, rows_frame
from ..reading import Reader, Reading
from ..source import Source, open_source
from .wandb_log import HEADER, Fields, LogReader, messages, parse_message, text, texts

SEPARATOR = "."
CONFIG_PREFIX = "config."
SUMMARY_PREFIX = "summary."
"""Before a value of the summary that the run's history does not end with."""
_COLUMNS = {
    "trial_id": "run_id",
    "status": "state",
    "step": "_step",
    "seconds": "_runtime",
}
# Field numbers of `wandb/proto/wandb_internal.proto`.
_HISTORY, _SUMMARY, _CONFIG, _RUN, _EXIT = 2, 3, 5, 17, 18
_ITEM = 1
"""Items of a history, a configuration or a summary."""
_KEY, _NESTED_KEY, _VALUE_JSON = 1, 2, 16
_RUN_ID, _RUN_CONFIG, _RUN_NAME = 1, 4, 8
_EXIT_CODE = 1
_HISTORY_STEP, _STEP_NUMBER = 2, 1


@dataclass
class _Run:
    """One run as it was logged.

    Args:
        run_id: Its id.
        name: Its name on the page.
        state: ``finished``, ``failed``, or ``running`` for one without an end.
        config: Values of the configuration by their joined names.
        summary: The same of the summary.
        history: Rows of the history.
        is_torn: True if the file's last record is cut off.
    """

    run_id: str
    name: str = ""
    state: str = "running"
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    is_torn: bool = False

    def rows(self) -> list[dict[str, Any]]:
        """The history, or one row without any; what only the summary has stands in the last."""
        rows = [dict(row) for row in self.history] or [{}]
        last: dict[str, Any] = {}
        for row in rows:
            last.update(row)
        for name, value in self.summary.items():
            if not name.startswith("_") and last.get(name) != value:
                rows[-1][f"{SUMMARY_PREFIX}{name}"] = value
        config = {f"{CONFIG_PREFIX}{name}": value for name, value in self.config.items()}
        same = {"run_id": self.run_id, "name": self.name, "state": self.state, **config}
        return [{**same, **row} for row in rows]


def _is_log(name: str) -> bool:
    return name.endswith(".wandb")


def _is_run_file(name: str) -> bool:
    return _is_log(name) or name == "wandb-summary.json"


def _is_run_folder(folder: Path) -> bool:
    return folder.name.startswith(("run-", "offline-run-"))


def is_run(source: Source) -> bool:
    """True for a run's folder, one with such folders in it, or a ``.wandb`` file."""
    if not source.is_folder:
        return source.head.startswith(HEADER)
    return bool(_run_folders(source))


def _run_folders(source: Source) -> list[Path]:
    """Folders of runs: the given one, or those in it or in its ``wandb``."""
    found: dict[Path, None] = {}
    for file in source.files(_is_run_file, 3):
        folder = file.parent.parent if file.parent.name == "files" else file.parent
        if _is_log(file.name) or _is_run_folder(folder):
            found[folder] = None
    return list(found)


def read_runs(source: Source) -> Reading:
    """Rows of the history of every run.

    Raises:
        DataError: if a file is damaged other than by a cut at its end.
    """
    if source.is_folder:
        runs = [_read_folder(folder) for folder in _run_folders(source)]
    else:
        runs = [_read_log(source)]
    rows = [row for run in runs for row in run.rows()]
    count = f"{len(runs)} run{'' if len(runs) == 1 else 's'}"
    torn = [run.run_id for run in runs if run.is_torn]
    notes = tuple(str(write("reading_torn", file=f"run-{run}.wandb")) for run in torn)
    recognised = f"{count} of Weights & Biases, from its folders"
    return Reading(rows_frame(rows), source.stem, recognised, _COLUMNS, notes)


def _read_folder(folder: Path) -> _Run:
    logs = sorted(path for path in folder.iterdir() if _is_log(path.name))
    return _read_log(open_source(logs[0])) if logs else _read_files(folder)


def _read_log(source: Source) -> _Run:
    """A run from its ``.wandb`` file."""
    run = _Run(source.path.stem.removeprefix("run-"))
    if not source.head.startswith(HEADER):
        raise DataError(
            f"`{source.name}` must begin as files of Weights & Biases do: it is damaged"
        )
    log = LogReader(source.data())
    try:
        for record in log:
            _add_record(run, parse_message(record))
    except DataError as error:
        raise DataError(f"`{source.name}` is damaged: {error}") from error
    run.is_torn = log.is_torn
    return run


def _add_record(run: _Run, record: Fields) -> None:
    """Take one record of the log into the run."""
    for part in messages(record, _RUN):
        run.run_id = text(part, _RUN_ID) or run.run_id
        run.name = text(part, _RUN_NAME) or run.name
        for config in messages(part, _RUN_CONFIG):
            run.config.update(_items(config))
    for part in messages(record, _CONFIG):
        run.config.update(_items(part))
    for part in messages(record, _SUMMARY):
        run.summary.update(_items(part))
    for part in messages(record, _HISTORY):
        row = _items(part)
        for step in messages(part, _HISTORY_STEP):
            row.setdefault("_step", (step.get(_STEP_NUMBER) or [0])[-1])
        run.history.append({name: value for name, value in row.items() if name != "_wandb"})
    for part in messages(record, _EXIT):
        code = (part.get(_EXIT_CODE) or [0])[-1]
        run.state = "failed" if code else "finished"


def _items(part: Fields) -> dict[str, Any]:
    """Names and values of a part of a record, nested ones with joined names."""
    found: dict[str, Any] = {}
    for item in messages(part, _ITEM):
        name = text(item, _KEY) or SEPARATOR.join(texts(item, _NESTED_KEY))
        try:
            value = json.loads(text(item, _VALUE_JSON) or "null")
        except json.JSONDecodeError as error:
            raise DataError(f"the value of `{name}` is no JSON: {error.msg}") from error
        found.update(flatten({name: value}, SEPARATOR))
    return {name: value for name, value in found.items() if not name.startswith("_wandb.")}


def _read_files(folder: Path) -> _Run:
    """A run from what it kept beside the log."""
    files = folder / "files"
    place = files if files.is_dir() else folder
    run = _Run(folder.name.rpartition("-")[2], state="")
    summary = _read_json(place / "wandb-summary.json")
    run.summary = flatten(summary, SEPARATOR)
    run.config = flatten(_read_config(place / "config.yaml"), SEPARATOR)
    history = place / "wandb-history.jsonl"
    if history.exists():
        records, run.is_torn = parse_json_lines(open_source(history).text(), history.name)
        run.history = [flatten(record, SEPARATOR) for record in records]
    return run


def _read_json(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    return parse_json_object(open_source(path).text(), path.name)


def _read_config(path: Path) -> dict[str, Any]:
    """Configuration of a run, each value of which stands under ``value``."""
    import yaml

    if not path.exists():
        return {}
    document = yaml.safe_load(open_source(path).text())
    if not isinstance(document, dict):
        raise DataError(f"`{path.name}` must hold names and values, got {type(document).__name__}")
    found: dict[str, Any] = {}
    for name, entry in document.items():
        if isinstance(entry, dict) and "value" in entry and name != "_wandb":
            found[str(name)] = entry["value"]
    return found


WANDB = Reader("a Weights & Biases run", is_run, read_runs)
