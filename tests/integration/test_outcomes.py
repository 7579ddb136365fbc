"""Trials that diverge, raise or take their worker down are rows with a reason; the study goes on
and says so.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from sparsetune import Choice, DigitsTask, OptimSpec, ScheduleSpec, Study, TrialSpec
from sparsetune.errors import HopelessStudyError
from sparsetune.launch.extension import Extension
from sparsetune.launch.failures import HOPELESS_FAILURES, MAX_ATTEMPTS
from sparsetune.launch.launch import Options, Outcome, launch
from sparsetune.spec.sparsity import SparsitySpec
from tests.integration.runs import alone, rows, trials
from tests.ledger_records import plain_records

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300), pytest.mark.usefixtures("ray_session")]


def study(name: str, model: str = "mlp", rates: tuple[float, ...] = (0.1,)) -> Study:
    """Four or more configurations of one dense cell that differ in the learning rate."""
    return Study(
        name=name,
        base=TrialSpec(
            task=DigitsTask(model=model), optim=OptimSpec(lr=0.1), schedule=ScheduleSpec(epochs=2)
        ),
        search={"optim.lr": Choice(rates)} if len(rates) > 1 else {},
        configurations_per_cell=len(rates),
        report_seeds=1,
    )


def test_diverged_and_raising_trials_are_rows_and_the_study_goes_on(tmp_path: Path) -> None:
    declared = study("fragile", "tests.integration.models:Fragile", rates=(0.1, 30.0, 1e20, 0.05))
    outcome = launch(declared, Options(storage=tmp_path, quiet=True))
    states = trials(outcome.directory)
    search = {
        TrialSpec.model_validate(s.use.spec).optim.lr: s
        for s in states.values()
        if s.use.role == "search"
    }
    assert (
        search[30.0].status == "FAILED"
        and "RuntimeError: the logits left the range" in search[30.0].ended.error
    )
    assert search[1e20].status == "DIVERGED" and "by step" in search[1e20].ended.error
    assert search[0.1].status == search[0.05].status == "COMPLETE"
    (report,) = (state for state in states.values() if state.use.role == "report")
    assert report.status == "COMPLETE" and TrialSpec.model_validate(report.use.spec).optim.lr in (
        0.1,
        0.05,
    )
    folder = outcome.directory / "trials" / search[30.0].use.trial_id / "attempt-1"
    assert "models.py" in (folder / "error.txt").read_text()
    assert outcome.exit_status == 1
    again = launch(declared, Options(storage=tmp_path, quiet=True))
    assert again.counts == outcome.counts, "a failed trial is not run again by itself"


def test_exit_status_tells_lost_cells_from_good_ends(tmp_path: Path) -> None:
    assert Outcome(tmp_path, Counter(COMPLETE=3, DIVERGED=1)).exit_status == 0
    assert Outcome(tmp_path, Counter(DIVERGED=3), unsettled=("dense",)).exit_status == 1
    assert Outcome(tmp_path, Counter(COMPLETE=3, INVALID=1)).exit_status == 1
    assert Outcome(tmp_path, Counter(COMPLETE=3), interrupted=True).exit_status == 130


def test_a_study_without_enough_memory_anywhere_tries_again_and_then_stops_early(
    tmp_path: Path,
) -> None:
    declared = study(
        "greedy", "tests.integration.models:Greedy", rates=tuple(k / 100 for k in range(1, 11))
    )
    with pytest.raises(
        HopelessStudyError,
        match=f"first {HOPELESS_FAILURES} trials all failed.*(?s:.)*can't allocate memory",
    ):
        launch(declared, Options(storage=tmp_path, quiet=True))
    states = trials(tmp_path / "greedy")
    ends = [state for state in states.values() if state.ended]
    assert {state.status for state in ends} == {"FAILED"} and {
        state.attempts for state in ends
    } == {MAX_ATTEMPTS}
    assert len(ends) >= HOPELESS_FAILURES and len(states) < 10
    records = plain_records(tmp_path / "greedy" / "ledger")
    reasons = [
        record["reason"]
        for record in records
        if record["type"] == "started" and record["attempt"] > 1
    ]
    assert len(reasons) >= 2 * HOPELESS_FAILURES and all(
        "can't allocate memory" in reason for reason in reasons
    )


def test_dying_worker_is_retried_then_failed(tmp_path: Path) -> None:
    outcome = launch(
        study("deadly", "tests.integration.models:Deadly"), Options(storage=tmp_path, quiet=True)
    )
    (state,) = trials(outcome.directory).values()
    assert state.status == "FAILED" and state.attempts == 3
    assert outcome.exit_status == 1


def test_failed_trials_are_retried_from_their_checkpoints_when_asked_for(tmp_path: Path) -> None:
    """Eighty steps, of which one attempt manages fifty."""
    declared = study("tiring", "tests.integration.models:Tiring")
    declared = declared.with_changes(
        base=declared.base.edited({"schedule.epochs": 4}), report_seeds=2
    )
    options = Options(storage=tmp_path, quiet=True, checkpoint_seconds=0)
    first = launch(declared, options)
    assert (first.counts, first.exit_status) == ({"FAILED": 2}, 1)
    second = launch(declared, options, extend=Extension(retry_failed=True))
    assert (second.counts, second.exit_status) == ({"COMPLETE": 2}, 0)
    starts = [r for r in plain_records(second.directory / "ledger") if r["type"] == "started"]
    assert [(r["attempt"], r["resumed_from_step"]) for r in starts] == [
        (1, 0),
        (1, 0),
        (2, 40),
        (2, 40),
    ]
    for state in trials(second.directory).values():
        untiring = {**state.use.spec, "task": {**state.use.spec["task"], "model": "mlp"}}
        expected, final = alone(untiring, read_test=True)
        assert rows(state) == expected
        assert {name: state.ended.value(name) for name in final} == final
    third = launch(declared, options, extend=Extension(retry_failed=True))
    assert third.counts == second.counts
    assert [r["type"] for r in plain_records(third.directory / "ledger")].count("extended") == 1, (
        "nothing had failed"
    )


def test_extension_runs_only_what_was_added(tmp_path: Path) -> None:
    declared = study("longer", rates=(0.1, 0.05, 0.02, 0.01)).with_changes(
        configurations_per_cell=2
    )
    first = launch(declared, Options(storage=tmp_path, quiet=True))
    before = set(trials(first.directory))
    assert len(before) == 3
    added = Extension(report_seeds=2, configurations_per_cell=1)
    second = launch(declared, Options(storage=tmp_path, quiet=True), extend=added)
    after = trials(second.directory)
    assert before < set(after) and all(after[trial].attempts == 1 for trial in before)
    roles = [after[trial].use.role for trial in set(after) - before]
    assert roles.count("search") == 1 and roles.count("report") in (2, 3)
    assert launch(declared, Options(storage=tmp_path, quiet=True)).counts == second.counts


def test_sparse_cells_have_winner_twin_and_control(tmp_path: Path) -> None:
    declared = Study(
        name="roles",
        base=TrialSpec(
            schedule=ScheduleSpec(epochs=4),
            sparsity=SparsitySpec(method="gmp", target=0.9),
            optim=OptimSpec(lr=1e-4),
        ),
        search={"optim.lr": Choice([1e-4, 0.05, 0.1])},
        configurations_per_cell=3,
        report_seeds=2,
    )
    outcome = launch(declared, Options(storage=tmp_path, quiet=True))
    states = trials(outcome.directory)
    sparse = [s for s in states.values() if s.use.cell == "gmp" and s.use.role == "report"]
    assert len(sparse) == 2
    for state in sparse:
        assert state.ended.certified is True and state.ended.columns["test_accuracy"] > 0
        twin = states[state.use.twin_id]
        assert (
            twin.status == "COMPLETE"
            and twin.last.row["sparsity"] == 0
            and twin.use.seed == state.use.seed
        )
