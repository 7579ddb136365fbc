"""What a real launch takes and leaves: memory recorded, checkpoints within their quota, time and
bytes as foretold.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import analysis
from sparsetune import DigitsTask, ScheduleSpec, Study, TrialSpec
from sparsetune.errors import LimitError
from sparsetune.launch.followers.tracker import finite_numbers
from sparsetune.launch.launch import Options, launch
from sparsetune.launch.local_forecast import forecast_on_this_machine
from sparsetune.search.planner import build_planner
from sparsetune.spec.sparsity import SparsitySpec
from tests.integration.runs import assert_equal_to_training_alone, trials
from tests.launch.followers.test_tensorboard import scalars, single
from tests.ledger_records import plain_records

pytestmark = [pytest.mark.timeout(300)]


def study(name: str, epochs: int = 4) -> Study:
    """A cell with two report trials and their twins."""
    return Study(
        name=name,
        base=TrialSpec(
            task=DigitsTask(),
            schedule=ScheduleSpec(epochs=epochs),
            sparsity=SparsitySpec(method="gmp", target=0.9),
        ),
        report_seeds=2,
    )


@pytest.mark.cluster
@pytest.mark.usefixtures("ray_session")
def test_memory_events_and_a_quota_without_room(tmp_path: Path) -> None:
    options = Options(
        storage=tmp_path, quiet=True, checkpoint_seconds=0, checkpoint_gib=1e-4, tensorboard=True
    )
    outcome = launch(study("small"), options)
    assert outcome.exit_status == 0
    records = plain_records(outcome.directory / "ledger")
    notes = [record for record in records if record["type"] == "note"]
    assert {record["trial_id"] for record in notes} == set(trials(outcome.directory))
    assert len(notes) == 4
    assert all("raise --checkpoint-gib" in record["note"] for record in notes)
    assert not list((outcome.directory / "trials").glob("*/*/checkpoint-*"))
    for trial_id, state in trials(outcome.directory).items():
        assert_equal_to_training_alone(state)
        assert 1 << 26 < state.ended.columns["peak_memory"] < state.starts[-1].device_memory
        (ended,) = (outcome.directory / "tensorboard").glob(f"*/{trial_id}")
        written = scalars(ended.parent)
        recorded: dict[str, list[tuple[int, float, float]]] = {}
        for step, report in sorted(state.reports.items()):
            for name, value in finite_numbers(report.row).items():
                recorded.setdefault(name, []).append((step, single(value), report.time))
        for name, value in finite_numbers(state.ended.columns).items():
            recorded[name] = [(max(state.reports), single(value), state.ended.time)]
        assert written == recorded
    frame = analysis.load(outcome.directory).trials()
    assert frame["peak_memory"].notna().all()
    again = launch(study("small"), options)
    assert again.counts == outcome.counts
    assert plain_records(again.directory / "ledger") == records


@pytest.mark.cluster
def test_what_cannot_fit_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    for limits in ({"max_hours": 1e-4}, {"max_gib": 1e-6}, {"max_gib": 1e-4, "keep_models": True}):
        with pytest.raises(LimitError, match="got a forecast of"):
            launch(study("large", epochs=400), Options(storage=tmp_path, quiet=True, **limits))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_the_forecast_against_a_real_launch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training and evaluation of all trials, of which Ray and its workers' start are no part."""
    declared = study("timed", epochs=200)
    expected, slots = forecast_on_this_machine(build_planner(declared, {}).remaining_work())
    outcome = launch(declared, Options(storage=tmp_path, quiet=True, keep_models=True))
    actual = sum(state.last.row["seconds"] for state in trials(outcome.directory).values())
    size = sum(path.stat().st_size for path in (outcome.directory / "ledger").iterdir())
    models = sum(path.stat().st_size for path in outcome.directory.rglob("model.safetensors"))
    with capsys.disabled():
        print(
            f"\nforecast {expected.seconds:.1f} s of trials at {slots} at once,"
            f" actual {actual:.1f} s"
        )
        print(
            f"forecast {expected.records} and {expected.models} bytes, actual {size} and {models}"
        )
    assert expected.seconds is not None
    assert actual / 2 < expected.seconds < 2 * actual
    assert size <= expected.records < 2 * size
    assert models == pytest.approx(expected.models, rel=0.05)
