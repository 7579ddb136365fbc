"""Event files of TensorBoard through its own loader: scalars, and the plugin's hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sparsetune.errors import DataError

from ..nested import merge_rows, rows_frame
from ..reading import Reader, Reading
from ..source import Source

MAX_DEPTH = 4
"""Levels below the given folder at which event files are looked for."""
HYPERPARAMETER_PREFIX = "hparams/"
_COLUMNS = {"trial_id": "run", "step": "step"}
_NAME_PART = "tfevents"
_HYPERPARAMETER_PLUGIN = "hparams"
_WAY_OUT = "`pip install 'sparsetune[tensorboard]'`, or save its scalars as CSV from its page"


def _is_events(name: str) -> bool:
    return _NAME_PART in name


def is_events(source: Source) -> bool:
    """True for an event file, or a folder with some below it."""
    if source.is_folder:
        return source.has_file(_is_events, MAX_DEPTH)
    return _is_events(source.name) and bool(source.head)


def read_events(source: Source) -> Reading:
    """A row for each run and step, a column for each tag; a folder with event files is a run.

    Raises:
        DataError: if TensorBoard is not installed, or there is no scalar.
    """
    paths = source.files(_is_events, MAX_DEPTH) if source.is_folder else [source.path]
    runs = dict.fromkeys(_run_name(path, source) for path in paths)
    rows: list[dict[str, Any]] = []
    for run in runs:
        logged: list[dict[str, Any]] = []
        given: dict[str, Any] = {}
        # Files of a run that went on follow each other by the time in their names.
        for path in (path for path in paths if _run_name(path, source) == run):
            for step, name, value in _values(path):
                if name.startswith(HYPERPARAMETER_PREFIX):
                    given[name] = value
                else:
                    logged.append({"step": step, name: value})
        rows += [{"run": run, **given, **row} for row in merge_rows(logged, ["step"])]
    if not rows:
        raise DataError(f"`{source.name}` must hold scalars of TensorBoard, got none")
    count = f"{len(runs)} run{'' if len(runs) == 1 else 's'}"
    return Reading(rows_frame(rows), source.stem, f"{count} of TensorBoard", _COLUMNS)


def _run_name(path: Path, source: Source) -> str:
    if not source.is_folder or path.parent == source.path:
        return path.absolute().parent.name
    return path.parent.relative_to(source.path).as_posix()


def _values(path: Path) -> Iterator[tuple[int, str, Any]]:
    """Step, name and value of each scalar and hyperparameter of a file."""
    try:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util.tensor_util import make_ndarray
    except ModuleNotFoundError as error:
        raise DataError(f"TensorBoard reads `{path.name}`: {_WAY_OUT}") from error
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            plugin = value.metadata.plugin_data
            if plugin.plugin_name == _HYPERPARAMETER_PLUGIN:
                for name, given in _hyperparameters(plugin.content):
                    yield event.step, f"{HYPERPARAMETER_PREFIX}{name}", given
            elif value.HasField("tensor"):
                tensor = make_ndarray(value.tensor)
                if tensor.size == 1 and tensor.dtype.kind in "fiu":
                    yield event.step, value.tag, tensor.item()


def _hyperparameters(content: bytes) -> Iterator[tuple[str, Any]]:
    """Names and values that a session began with."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    session = HParamsPluginData.FromString(content).session_start_info
    for name, value in session.hparams.items():
        kind = value.WhichOneof("kind")
        yield name, getattr(value, kind) if kind else None


TENSORBOARD = Reader("TensorBoard event files", is_events, read_events)
