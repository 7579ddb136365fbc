"""A study that stops configurations early, on a real Ray: who is stopped, what stays on disk, what
a resume does.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from sparsetune import (
    DigitsTask,
    Halving,
    LogUniform,
    OptimSpec,
    RampSpec,
    ScheduleSpec,
    SparsitySpec,
    Study,
    TrialSpec,
)
from sparsetune.launch.launch import Options, launch
from tests.integration.runs import alone, assert_equal_to_training_alone, rows, trials
from tests.ledger_records import plain_records

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300), pytest.mark.usefixtures("ray_session")]

STUDY = Study(
    name="stopping",
    base=TrialSpec(
        task=DigitsTask(),
        optim=OptimSpec(lr=0.1),
        schedule=ScheduleSpec(epochs=12),
        sparsity=SparsitySpec(
            method="gmp", target=0.9, ramp=RampSpec(start=0, length=0.1, updates=10)
        ),
    ),
    search={"optim.lr": LogUniform(0.0005, 0.5)},
    stopping=Halving(rungs=[0.25, 0.5, 0.75]),
    configurations_per_cell=6,
    search_seeds=2,
    report_seeds=1,
)


def test_stopped_configurations_end_at_a_rung_and_are_never_run_again(tmp_path: Path) -> None:
    outcome = launch(STUDY, Options(storage=tmp_path, checkpoint_seconds=0, quiet=True))
    states = trials(outcome.directory)
    records = plain_records(outcome.directory / "ledger")
    assert outcome.exit_status == 0
    assert set(Counter(state.status for state in states.values())) == {"COMPLETE", "PRUNED"}

    stopped = {name: state for name, state in states.items() if state.status == "PRUNED"}
    for name, state in stopped.items():
        assert state.use.role == "search" and str(state.ended.error).startswith("stopped at rung ")
        assert (
            state.last.progress if state.last else 0.0
        ) < 1  # a seed that was waiting for its worker has no row
        assert not list((outcome.directory / "trials" / name).rglob("checkpoint-*"))
        expected, _ = alone(state.use.spec, read_test=False)
        assert rows(state) == expected[: len(state.reports)]
    winner = next(state for state in states.values() if state.use.role == "report")
    assert_equal_to_training_alone(winner)

    pids = {record["pid"] for record in records if record["type"] == "started"}
    assert len(pids) <= 2, "a stopped trial must not cost its worker"
    told_by_configuration(outcome.directory, {state.use.config_id for state in stopped.values()})

    again = launch(STUDY, Options(storage=tmp_path, quiet=True))
    assert plain_records(again.directory / "ledger") == records


def told_by_configuration(directory: Path, stopped: set[str]) -> None:
    """Optuna has a trial per configuration: PRUNED with its rungs, or COMPLETE."""
    storage = JournalStorage(JournalFileBackend(str(directory / "search.journal")))
    told = [trial for name in optuna.get_all_study_names(storage) for trial in optuna.load_study(
        study_name=name, storage=storage).trials]  # fmt: skip
    assert len(told) == 2 * STUDY.configurations_per_cell
    pruned = {trial.user_attrs["config_id"] for trial in told if trial.state.name == "PRUNED"}
    assert pruned == stopped
    assert all(trial.intermediate_values and trial.last_step in (0, 1, 2) for trial in told)
