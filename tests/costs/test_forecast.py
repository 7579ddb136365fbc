"""Epochs, time and bytes of what is left, by hand; and the timing itself, on digits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sparsetune.costs.forecast import (
    PROPOSED_BYTES,
    REPORT_BYTES,
    ROW_BYTES,
    START_SECONDS,
    TRIAL_SECONDS,
    Forecast,
    cost_kind,
    forecast_study,
    measure_costs,
)
from sparsetune.costs.remaining import RemainingCell, RemainingWork
from sparsetune.costs.timing import (
    TrialCost,
    measure_cost,
    measure_in_process,
    measure_in_subprocess,
)
from sparsetune.search.planner import Planner, build_planner
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.task import CustomTask, DataSizes, DigitsTask, ImageTask
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import read_records
from sparsetune.storage.records import Report, encode_record
from sparsetune.storage.trial_state import fold_records
from sparsetune.study import Study
from sparsetune.tasks.images.small_sets import FASHION_MNIST_DATASET
from tests.ledger_records import records

COST = TrialCost(setup=0.5, step=0.01, example=1e-4, checkpoint=1000, model=300)


def half(directory: StudyDirectory) -> Planner:
    return build_planner(directory.study(), fold_records(read_records(directory.ledger)))


def test_what_is_left_of_a_study_by_hand(half_done: StudyDirectory) -> None:
    """Eight trials of 4 or 8 epochs of 20 steps; three have finished, one has done 2 of 4
    epochs.

    Left are four trials: two dense ones and a sparse one of 8 epochs, and sparse ones of 2 and 4.
    An evaluation reads 1,293 training and 144 validation examples; there is one an epoch, and one
    of the test set a trial.
    """
    planner = half(half_done)
    found = forecast_study(
        planner.remaining_work(),
        {cost_kind(plan.cell.spec): COST for plan in planner.plans.values()},
        "alone",
    )
    assert (found.trials, found.epochs) == (5, 8 + 8 + 2 + 4 + 8)
    examples = 1293 + 144
    seconds = 5 * (0.5 + TRIAL_SECONDS) + 30 * 20 * 0.01 + (30 + 5) * examples * 1e-4
    assert found.seconds == pytest.approx(seconds)
    assert found.wall_seconds(2) == pytest.approx(START_SECONDS + seconds / 2)
    assert found.wall_seconds(100) == pytest.approx(START_SECONDS + seconds / 5)
    assert (found.models, found.kept) == (5 * 300, 3 * 300)
    assert (found.records, found.report) == (
        30 * ROW_BYTES + 5 * PROPOSED_BYTES,
        30 * ROW_BYTES + REPORT_BYTES,
    )
    assert (found.checkpoints(2), found.checkpoints(100), found.checkpoints(2, quota=700)) == (
        6000,
        15_000,
        700,
    )


def test_a_finished_study_costs_nothing_more() -> None:
    study = Study(name="s", base=TrialSpec(), report_seeds=1)
    trials = fold_records(
        records(
            [
                {
                    "type": "proposed",
                    "trial_id": spec.trial_id(),
                    "role": "report",
                    "cell": "dense",
                    "config_id": "c",
                }
                | {"spec": spec.given(), "seed": 1000, "time": 0}
                for spec in [TrialSpec(seed=1000)]
            ]
            + [{"type": "ended", "trial_id": TrialSpec(seed=1000).trial_id(), "status": "COMPLETE"}]
        )
    )
    found = forecast_study(build_planner(study, trials).remaining_work(), {})
    assert (found.trials, found.epochs, found.seconds, found.models) == (0, 0, 0, 0)


def test_what_could_not_be_timed_says_why(half_done: StudyDirectory) -> None:
    planner = half(half_done)
    first, *_ = {cost_kind(plan.cell.spec) for plan in planner.plans.values()}
    found = forecast_study(planner.remaining_work(), {first: "no data here"})
    assert (found.trials, found.epochs, found.seconds, found.missing) == (
        5,
        30,
        None,
        "no data here",
    )
    assert found.wall_seconds(2) is None
    assert found.facts(2)["model_bytes"] is None
    assert found.lines(2, keep_models=True) == ["Time and bytes are not known: no data here"]


def test_what_a_person_reads() -> None:
    found = Forecast(
        8,
        10.0,
        200.0,
        checkpoint=1 << 20,
        models=5 << 20,
        records=1 << 20,
        report=2 << 20,
        conditions="x",
    )
    assert found.lines(2, keep_models=True) == [
        "About 2 min 00 s with 2 trials at once (x).",
        "Writes at most 6 MiB of checkpoints while it runs, 5 MiB of models,"
        " 3 MiB of records and report.",
    ]
    (time, bytes_) = found.lines(1, keep_models=False, quota=2 << 20)
    assert time == "About 3 min 40 s with one trial at a time (x)."
    assert (
        bytes_ == "Writes at most 2 MiB of checkpoints while it runs, 3 MiB of records and report."
    )


def test_a_row_of_the_ledger_is_not_longer_than_its_forecast(half_done: StudyDirectory) -> None:
    from sparsetune.train import train

    rows: list[dict[str, object]] = []
    spec = TrialSpec(schedule=ScheduleSpec(epochs=1))
    train(spec, report=lambda row: rows.append(dict(row)))
    report = Report(trial_id=spec.trial_id(), attempt=1, row=rows[0], time=1795384087.0277963)
    assert 0.6 * ROW_BYTES < len(encode_record(report)) <= ROW_BYTES


@pytest.mark.parametrize("method", ["dense", "gmp", "acdc"])
def test_steps_are_timed_without_a_trace(method: str) -> None:
    spec = TrialSpec(schedule=ScheduleSpec(epochs=20))
    if method != "dense":
        spec = spec.with_values({"sparsity.method": method, "sparsity.target": 0.9})
    threads = torch.get_num_threads()
    state = torch.get_rng_state()
    cost = measure_cost(spec, threads=1)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert 1e-5 < cost.step < 1
    assert 1e-8 < cost.example < 1e-2
    assert cost.model == 68_904  # 17,226 parameters
    assert cost.checkpoint > 2 * cost.model  # and the optimizer's momentum


def test_a_larger_network_takes_longer() -> None:
    small, large = (measure_cost(TrialSpec(task=DigitsTask(batch_size=size))) for size in (8, 1024))
    assert large.step > small.step


def test_a_trial_of_one_step_is_timed() -> None:
    spec = TrialSpec(task=DigitsTask(batch_size=1293), schedule=ScheduleSpec(epochs=1, warmup=0))
    assert spec.total_steps() == 1
    cost = measure_cost(spec)
    assert cost.step > 0
    assert cost.checkpoint > 0


def torn_data(root: Path) -> None:
    """Fashion-MNIST's files, empty: found before a cache or a network is asked."""
    (root / "FashionMNIST" / "raw").mkdir(parents=True)
    for name in FASHION_MNIST_DATASET.unpacked:
        (root / "FashionMNIST" / "raw" / name).touch()


def test_data_that_cannot_be_read_are_a_reason(tmp_path: Path) -> None:
    torn_data(tmp_path)
    (reason,) = measure_in_process(
        [TrialSpec(task=ImageTask())], device="cpu", threads=1, data_root=tmp_path
    )
    assert isinstance(reason, str)
    assert str(tmp_path) in reason


@pytest.mark.cluster
def test_a_process_of_its_own_finds_the_same(tmp_path: Path) -> None:
    torn_data(tmp_path)
    wrong = TrialSpec(task=ImageTask())
    cost, reason = measure_in_subprocess(
        [TrialSpec(), wrong], device="cpu", threads=1, data_root=tmp_path
    )
    assert isinstance(cost, TrialCost)
    assert cost.model == 68_904
    assert isinstance(reason, str)
    assert str(tmp_path) in reason


@pytest.mark.cluster
def test_a_network_that_takes_its_process_down_only_costs_the_forecast() -> None:
    study = Study(
        name="s", base=TrialSpec(task=DigitsTask(model="tests.integration.models:Deadly"))
    )
    (reason,) = measure_costs(
        build_planner(study, {}).remaining_work(), device="cpu", threads=1, data_root=None
    ).values()
    assert reason == "timing ended with status 7: no message"


def test_a_validation_part_of_the_data_counts_in_every_evaluation() -> None:
    """Three evaluations (two epochs, the test) of 200 training and 60 validation examples."""
    task = CustomTask(data="mylab.data:load", model="mylab.nets:build", batch_size=50)
    sizes = DataSizes(data=task.data, train=200, validation=60, test=40, n_outputs=2)
    spec = TrialSpec(task=task.with_sizes((sizes,)), schedule=ScheduleSpec(epochs=2))
    work = RemainingWork([RemainingCell(spec, {"only": 2.0})])
    found = forecast_study(work, {cost_kind(spec): COST})
    seconds = 0.5 + TRIAL_SECONDS + 2 * 4 * 0.01 + 3 * (200 + 60) * 1e-4
    assert found.seconds == pytest.approx(seconds)
