"""Forecast cost of the Fisher information, and studies whose memory it does not fit."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsetune.costs import fisher_cost
from sparsetune.costs.fisher_cost import FisherCost, count_estimates
from sparsetune.costs.forecast import cost_kind, forecast_study, measure_costs
from sparsetune.costs.timing import TrialCost, measure_cost
from sparsetune.errors import LimitError
from sparsetune.launch.launch import Options, launch
from sparsetune.launch.preview import preview_study
from sparsetune.search.planner import build_planner
from sparsetune.sparsity.fisher import pieces
from sparsetune.sparsity.fisher.blocks import BlockFisher
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import FisherSpec, RampSpec, SparsitySpec
from sparsetune.study import Study

COST = TrialCost(
    setup=0.5,
    step=0.01,
    example=1e-4,
    checkpoint=1000,
    model=300,
    fisher=7.0,
    fisher_bytes=99,
    fisher_pieces=2,
)
RAMP = RampSpec(updates=12)


def obert(**fisher: Any) -> TrialSpec:
    sparsity = SparsitySpec(method="obert", target=0.9, ramp=RAMP, fisher=FisherSpec(**fisher))
    return TrialSpec(schedule=ScheduleSpec(epochs=20), sparsity=sparsity)


def study(spec: TrialSpec) -> Study:
    return Study(name="s", question="?", base=spec, report_seeds=1)


def test_estimates_are_the_prunings_times_the_parts_of_each() -> None:
    assert count_estimates(obert()) == 12
    assert count_estimates(obert(recomputations=3)) == 36
    assert count_estimates(obert().with_values({"sparsity.score": "magnitude"})) == 0
    assert count_estimates(TrialSpec()) == 0


def test_every_estimate_is_in_the_time_by_hand() -> None:
    planner = build_planner(study(obert()), {})
    costs = {cost_kind(plan.cell.spec): COST for plan in planner.plans.values()}
    without = {kind: TrialCost(**{**COST.__dict__, "fisher": 0.0}) for kind in costs}
    sparse = [plan for plan in planner.plans.values() if plan.cell.spec.sparsity.method == "obert"]
    trials = sum(len(planner.expected_cell_epochs(plan)) for plan in sparse)
    assert trials == 2  # one that searches, one that reports
    found = forecast_study(planner.remaining_work(), costs)
    bare = forecast_study(planner.remaining_work(), without)
    assert found.seconds is not None
    assert bare.seconds is not None
    assert found.seconds - bare.seconds == pytest.approx(trials * 12 * 7)
    assert found.facts(1)["fisher"] == {"seconds": 7.0, "bytes": 99, "pieces": 2}
    line = (
        "An estimate of the Fisher takes 7 s and 1 KiB of a trial's memory, in 2 pieces, one after"
        " the other."
    )
    assert line in found.lines(1)


def test_trials_that_differ_in_the_fisher_are_timed_apart() -> None:
    kinds = {
        cost_kind(spec) for spec in (obert(), obert(gradients=8), TrialSpec(), TrialSpec(seed=1))
    }
    assert len(kinds) == 3
    other_score = obert().with_values({"sparsity.score": "magnitude"})
    assert cost_kind(other_score).fisher == ""


def test_the_measured_cost_is_near_that_of_the_estimate_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few, many = (measure_cost(obert(gradients=count)) for count in (32, 3200))
    assert few.fisher_pieces == many.fisher_pieces == 1
    assert few.fisher_bytes == many.fisher_bytes > 16_000 * 50 * 8
    assert many.fisher > 3 * few.fisher > 0
    assert measure_cost(TrialSpec()).fisher_part() == FisherCost()


def test_the_steps_of_a_trial_that_begins_with_its_fisher_are_timed_without_it() -> None:
    start = SparsitySpec(
        method="static", score="fisher", target=0.5, fisher=FisherSpec(gradients=100_000)
    )
    cost = measure_cost(TrialSpec(schedule=ScheduleSpec(epochs=2), sparsity=start))
    assert cost.setup < 2
    assert cost.fisher > 5


def test_what_does_not_fit_is_refused_and_says_what_would_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fisher_cost, "free_bytes", lambda device: 5e6)
    planner = build_planner(study(obert(block=500)), {})
    expected = forecast_study(
        planner.remaining_work(),
        measure_costs(planner.remaining_work(), device="cpu", threads=1, data_root=None),
    )
    assert expected.missing is None
    with pytest.raises(
        LimitError,
        match=r"blocks of 500 weights must fit into 80% of the memory .* got .* would do",
    ):
        expected.require_memory()
    assert any("sparsity.fisher.block" in line for line in expected.lines(1))
    fitting = build_planner(study(TrialSpec()), {})
    forecast_study(
        fitting.remaining_work(),
        measure_costs(fitting.remaining_work(), device="cpu", threads=1, data_root=None),
    ).require_memory()


def test_a_study_without_room_never_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fisher_cost, "free_bytes", lambda device: 5e6)
    with pytest.raises(
        LimitError, match=r"a smaller `sparsity\.fisher\.block` or fewer trials at once would do"
    ):
        launch(study(obert(block=500)), Options(storage=tmp_path, quiet=True))
    assert not list(tmp_path.iterdir())


def test_preview_shows_it() -> None:
    shown = preview_study(study(obert(gradients=16)), probe=True)["forecast"]
    assert shown["fisher"]["pieces"] == 1
    assert any(
        line.startswith("An estimate of the Fisher takes less than 1 s and 1")
        for line in shown["summary"]
    )
    assert preview_study(study(TrialSpec()), probe=True)["forecast"]["fisher"] is None


def test_memory_taken_is_not_more_than_said() -> None:
    weights = {"a": torch.ones(400_000), "b": torch.ones(300_000)}
    spec = FisherSpec(block=40, gradients=2)
    runs = pieces.plan_runs({name: weight.numel() for name, weight in weights.items()}, spec)
    gradients = [
        {name: torch.rand_like(weight) for name, weight in weights.items()} for _ in range(2)
    ]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    BlockFisher(weights, spec, lambda: gradients, 1).scores()
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown <= 1.05 * pieces.needed_bytes(runs, 1) + (32 << 20)
