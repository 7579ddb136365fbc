"""States of the trainer of transformers: ``trainer_state.json``, of one run or many.

Source: https://huggingface.co/docs/transformers/main_classes/trainer, `TrainerState`
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsetune.errors import DataError

from ..formats.json_records import parse_json_object
from ..nested import flatten, merge_rows, rows_frame
from ..reading import Reader, Reading
from ..source import Source, open_source

STATE = "trainer_state.json"
MAX_DEPTH = 4
"""Levels below the given folder at which runs are looked for."""
_COLUMNS = {
    "trial_id": "run",
    "step": "step",
    "epoch": "epoch",
    "batch_loss": "loss",
    "schedule.epochs": "num_train_epochs",
}
_RENAMED = {"train_loss": "mean_loss_of_training"}
"""Names that mean something else with us: there the mean loss over all of training."""
_CHECKPOINT = "checkpoint-"


def _is_state(name: str) -> bool:
    return name == STATE


def is_state(source: Source) -> bool:
    """True for such a file, whatever its name, or a folder with some below it."""
    if source.is_folder:
        return source.has_file(_is_state, MAX_DEPTH)
    return b'"log_history"' in source.data() and source.head.lstrip().startswith(b"{")


def read_states(source: Source) -> Reading:
    """Rows of every run's log, one for each step.

    Raises:
        DataError: if a file is damaged or has no log.
    """
    states: dict[str, dict[str, Any]] = {}
    paths = source.files(_is_state, MAX_DEPTH) if source.is_folder else [source.path]
    for path in paths:
        state = parse_json_object(open_source(path).text(), path.name)
        if not isinstance(state.get("log_history"), list):
            raise DataError(f"`{path.name}` must have a list `log_history`, got none")
        run = _run_name(path, source)
        known = states.get(run, {})
        # Each checkpoint has the whole log before it: the last one counts.
        if state.get("global_step", 0) >= known.get("global_step", 0):
            states[run] = state
    rows = [row for run, state in states.items() for row in _state_rows(run, state)]
    count = f"{len(states)} run{'' if len(states) == 1 else 's'}"
    recognised = f"{count} of the trainer of transformers"
    return Reading(rows_frame(rows), source.stem, recognised, _COLUMNS)


def _run_name(path: Path, source: Source) -> str:
    """Folder of the run below the given one, without that of the checkpoint."""
    folder = path.parent
    if folder.name.startswith(_CHECKPOINT):
        folder = folder.parent
    if not source.is_folder or folder == source.path or folder == source.path.parent:
        return folder.absolute().name
    return folder.relative_to(source.path).as_posix()


def _state_rows(run: str, state: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of one run: what was logged at one step stands in one row."""
    same = {"run": run, "num_train_epochs": state.get("num_train_epochs")}
    rows: list[dict[str, Any]] = []
    for entry in state["log_history"]:
        if isinstance(entry, dict):
            values = flatten(entry, "/")
            named = {_RENAMED.get(name, name): value for name, value in values.items()}
            rows.append({**same, **named})
    return merge_rows(rows, ["step"]) or [same]


TRAINER = Reader("a `trainer_state.json`", is_state, read_states)
