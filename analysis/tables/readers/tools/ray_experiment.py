"""Experiments of Ray Tune: the JSON files of its trials, without Ray and without its pickles.

Ray's own ``ExperimentAnalysis`` unpickles objects that it could not write as JSON. Here such values
are left unread.

Source: https://docs.ray.io/en/latest/tune/tutorials/tune-output.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ....catalogue import write
from ..formats.json_records import parse_json_lines, parse_json_object
from ..nested import flatten, merge_rows, rows_frame
from ..reading import Reader, Reading
from ..source import Source, open_source

SEPARATOR = "/"
"""What stands between the names of a nested value, as in Ray's own frames."""
RESULT_FILES = ("result.json", "progress.csv")
"""Files with a trial's results, of which the first that has any is read."""
_PICKLED = "CLOUDPICKLE_FALLBACK"
_ITERATION = "training_iteration"
_COLUMNS = {
    "trial_id": "trial_id",
    "status": "status",
    "step": _ITERATION,
    "seconds": "time_total_s",
}


@dataclass
class _Skipped:
    """What was not read of an experiment.

    Args:
        pickled: Names of values that only a pickle holds.
        torn: Files whose last line is cut off.
        repeated: Results that were reported again after a trial was restored.
    """

    pickled: dict[str, None] = field(default_factory=dict)
    torn: list[str] = field(default_factory=list)
    repeated: int = 0

    def notes(self) -> tuple[str, ...]:
        """Sentences for the reader of the results."""
        notes = []
        if self.pickled:
            names = ", ".join(f"`{name}`" for name in list(self.pickled)[:5])
            notes.append(str(write("reading_pickled", names=names)))
        if self.repeated:
            notes.append(str(write("reading_repeated", count=self.repeated)))
        notes += [str(write("reading_torn", file=file)) for file in self.torn]
        return tuple(notes)


def _is_state(name: str) -> bool:
    return name.startswith("experiment_state") and name.endswith(".json")


def is_experiment(source: Source) -> bool:
    """True for the folder of an experiment or of one trial, and for a trial's ``result.json``."""
    if not source.is_folder:
        return source.name == "result.json" and b'"training_iteration"' in source.head
    if source.has_file(_is_state, 0):
        return True
    return any((folder / "params.json").exists() for folder in _trial_folders(source))


def read_experiment(source: Source) -> Reading:
    """Every result of every trial, and a row for each trial without any.

    Raises:
        DataError: if a file is damaged other than by a cut at its end.
    """
    if not source.is_folder:
        return read_experiment(Source(source.path.absolute().parent))
    skipped = _Skipped()
    known = _known_trials(source, skipped)
    rows: list[dict[str, Any]] = []
    for folder in _trial_folders(source):
        rows += _trial_rows(folder, skipped)
    reported = {str(row.get("trial_id")) for row in rows}
    # A trial that failed before its first result would otherwise leave the survivors alone.
    rows += [trial for trial_id, trial in known.items() if trial_id not in reported]
    for row in rows:
        row.update(known.get(str(row.get("trial_id")), {}))
    # A trial's results hold the text of such a value, which differs from process to process.
    rows = [{name: row[name] for name in row if name not in skipped.pickled} for row in rows]
    trials = len({str(row.get("trial_id")) for row in rows})
    recognised = f"a Ray Tune experiment of {trials} trial{'' if trials == 1 else 's'}"
    return Reading(rows_frame(rows), source.stem, recognised, _COLUMNS, skipped.notes())


def _trial_folders(source: Source) -> list[Path]:
    """Folders with results: the given one, or those in it."""
    files = source.files(lambda name: name in RESULT_FILES, 1)
    return list(dict.fromkeys(file.parent for file in files))


def _known_trials(source: Source, skipped: _Skipped) -> dict[str, dict[str, Any]]:
    """Status and configuration of each trial by its id, from the newest state of the experiment."""
    states = source.files(_is_state, 0)
    if not states:
        return {}
    # Their names hold the time; a resumed experiment has several, of which the last is whole.
    state = _load(states[-1])
    trials: dict[str, dict[str, Any]] = {}
    for entry in state.get("trial_data", []):
        # A pair of texts: what the trial is, and how far it came.
        trial = parse_json_object(entry[0], states[-1].name)
        config = _without_pickles(trial.get("config") or {}, "config", skipped)
        trials[str(trial["trial_id"])] = {
            "trial_id": str(trial["trial_id"]),
            "status": trial.get("status"),
            **flatten(config, SEPARATOR, f"config{SEPARATOR}"),
        }
    return trials


def _load(path: Path) -> dict[str, Any]:
    return parse_json_object(open_source(path).text(), path.name)


def _without_pickles(value: Mapping[str, Any], name: str, skipped: _Skipped) -> dict[str, Any]:
    """A record without the values that Ray could only pickle."""
    kept: dict[str, Any] = {}
    for key, part in value.items():
        path = f"{name}{SEPARATOR}{key}" if name else key
        if isinstance(part, Mapping) and part.get("_type") == _PICKLED:
            skipped.pickled[path] = None
        elif isinstance(part, Mapping):
            kept[key] = _without_pickles(part, path, skipped)
        else:
            kept[key] = part
    return kept


def _trial_rows(folder: Path, skipped: _Skipped) -> list[dict[str, Any]]:
    """Results of one trial with its configuration; none where it has not reported."""
    rows = list(_result_rows(folder, skipped))
    reported = len(rows)
    # A trial that is restored from a checkpoint reports what came after it again.
    if all(_ITERATION in row for row in rows):
        rows = merge_rows(rows, [_ITERATION])
        skipped.repeated += reported - len(rows)
    params = folder / "params.json"
    if not params.exists():
        return rows
    config = _without_pickles(_load(params), "config", skipped)
    flat = flatten(config, SEPARATOR, f"config{SEPARATOR}")
    return [{**flat, **row} for row in rows]


def _result_rows(folder: Path, skipped: _Skipped) -> Iterator[dict[str, Any]]:
    results = folder / RESULT_FILES[0]
    if results.exists() and results.stat().st_size:
        name = f"{folder.name}/{results.name}"
        records, is_torn = parse_json_lines(open_source(results).text(), name)
        if is_torn:
            skipped.torn.append(name)
        for record in records:
            yield flatten(_without_pickles(record, "", skipped), SEPARATOR)
        return
    progress = folder / RESULT_FILES[1]
    if progress.exists() and progress.stat().st_size:
        frame = pd.read_csv(progress, dtype="str", keep_default_na=False)
        yield from frame.to_dict("records")  # type: ignore[misc]


RAY_TUNE = Reader("a Ray Tune experiment", is_experiment, read_experiment)
