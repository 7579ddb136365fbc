"""Event files read back with TensorBoard's own message types and compared with the ledger."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event

from sparsetune.errors import StorageError
from sparsetune.launch.followers.tensorboard import EventFileWriter
from sparsetune.search.planner import Planner, build_planner
from sparsetune.spec import TrialSpec
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import read_records
from sparsetune.storage.trial_state import apply_record, fold_records
from sparsetune.study import Study
from sparsetune.study.space import LogUniform
from tests.ledger_records import Plain, record


def events(folder: Path) -> Iterator[Event]:
    """Every event of a trial: records of length, its checksum, the message, its checksum."""
    for file in sorted(folder.glob("events.out.tfevents.*")):
        data = file.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            yield Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def scalars(folder: Path) -> dict[str, list[tuple[int, float, float]]]:
    """Step, value and time by tag, in the order of the file."""
    found: dict[str, list[tuple[int, float, float]]] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append(
                    (event.step, round(value.simple_value, 6), event.wall_time)
                )
    return found


def texts(folder: Path) -> str:
    values = (value for event in events(folder) for value in event.summary.value)
    return " ".join(part.decode() for value in values for part in value.tensor.string_val)


STUDY = Study(
    name="s", base=TrialSpec(), search={"optim.lr": LogUniform(0.01, 1)}, configurations_per_cell=2
)
SPEC = TrialSpec().with_values({"optim.lr": 0.25})
NAMES = {"trial_id": SPEC.trial_id(), "attempt": 1, "time": 100.0}
PROPOSED = {
    "type": "proposed",
    **NAMES,
    "config_id": SPEC.config_id(),
    "cell": "dense",
    "arm": "dense",
    "role": "search",
    "index": 0,
    "source": "base",
    "seed": 0,
    "spec": SPEC.given(),
}


def started(step: int = 0, attempt: int = 1) -> Plain:
    return {"type": "started", **NAMES, "attempt": attempt, "resumed_from_step": step}


def row(step: int, loss: float | None, time: float) -> Plain:
    return {
        "type": "report",
        **NAMES,
        "step": step,
        "time": time,
        "train_loss": loss,
        "phase": "dense",
        "lr": 0.5,
    }


def ended(**fields: Any) -> Plain:
    return {
        "type": "ended",
        **NAMES,
        "status": "COMPLETE",
        "error": None,
        "certified": True,
        **fields,
    }


@pytest.fixture
def launch(tmp_path: Path) -> tuple[EventFileWriter, Planner]:
    planner = build_planner(STUDY, fold_records([record(PROPOSED)]))
    return EventFileWriter(tmp_path, planner), planner


def follow(launch: tuple[EventFileWriter, Planner], *lines: Plain) -> Path:
    files, planner = launch
    for line in lines:
        apply_record(planner.trials, record(line))  # type: ignore[arg-type]
        files.follow(record(line))
    return files.folder / SPEC.trial_id()


def test_rows_as_they_come(launch: tuple[EventFileWriter, Planner]) -> None:
    follow(launch, started(), row(20, 0.5, 110.0), row(40, None, 120.0), row(50, math.nan, 125.0))
    folder = follow(launch, row(60, 0.25, 130.0))
    launch[0].close()
    assert scalars(folder) == {
        "train_loss": [(20, 0.5, 110.0), (60, 0.25, 130.0)],  # what is missing is absent, not 0
        "lr": [(20, 0.5, 110.0), (40, 0.5, 120.0), (50, 0.5, 125.0), (60, 0.5, 130.0)],
    }


def test_the_end_of_a_trial_with_its_searched_values(
    launch: tuple[EventFileWriter, Planner],
) -> None:
    row_20 = {**row(20, 0.5, 110.0), "val_error": 0.125}
    folder = follow(launch, started(), row_20, ended(test_loss=0.75, parameters=17_226, time=140.0))
    found = scalars(folder)
    assert (found["test_loss"], found["parameters"]) == (
        [(20, 0.75, 140.0)],
        [(20, 17_226.0, 140.0)],
    )
    assert "| optim.lr | 0.25 |" in texts(folder)
    assert "| status | COMPLETE |" in texts(folder)
    plugins = {
        v.metadata.plugin_data.plugin_name: v for e in events(folder) for v in e.summary.value
    }
    assert b"optim.lr" in plugins["hparams"].metadata.plugin_data.content + b"".join(
        v.metadata.plugin_data.content for e in events(folder) for v in e.summary.value
    )


def test_no_step_is_there_twice_after_a_resume(launch: tuple[EventFileWriter, Planner]) -> None:
    """Rows beyond the checkpoint are done again; those before it stay."""
    follow(launch, started(), row(20, 0.5, 110.0), row(40, 0.4, 120.0), row(60, 0.3, 130.0))
    launch[0].close()
    folder = follow(
        launch, started(step=40, attempt=2), row(60, 0.3, 230.0), row(80, 0.2, 240.0), ended()
    )
    assert scalars(folder)["train_loss"] == [
        (20, 0.5, 110.0),
        (40, 0.4, 120.0),
        (60, 0.3, 230.0),
        (80, 0.2, 240.0),
    ]


def test_trials_that_ended_before_are_written_once(half_done: StudyDirectory) -> None:
    planner = build_planner(half_done.study(), fold_records(read_records(half_done.ledger)))
    for _ in range(2):
        files = EventFileWriter(half_done.path, planner)
        files.catch_up()
        files.close()
    with_rows = {name for name, trial in planner.trials.items() if trial.finished and trial.reports}
    assert {path.name for path in files.folder.iterdir()} == with_rows
    assert len(with_rows) == 2
    for name in with_rows:
        expected = [(step, r.row["val_error"]) for step, r in planner.trials[name].reports.items()]
        assert [
            (step, value) for step, value, _ in scalars(files.folder / name)["val_error"]
        ] == expected


def test_an_object_store_is_refused(half_done: StudyDirectory) -> None:
    class Remote:
        """Not a folder."""

    with pytest.raises(StorageError, match="--tensorboard needs a study in a folder"):
        EventFileWriter(Remote(), build_planner(half_done.study(), {}))  # type: ignore[arg-type]
