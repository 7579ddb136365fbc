"""Budgets of whole studies: the counts that they pay for, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from sparsetune import (
    Arm,
    Budget,
    DigitsTask,
    Halving,
    LogUniform,
    ScheduleSpec,
    Study,
    TrialSpec,
    Uniform,
)
from sparsetune.errors import SparsetuneError
from sparsetune.launch.stated_budget import StatedBudget, parse_budget, with_budget
from sparsetune.search.planner import build_planner
from sparsetune.study.samplers import GP
from sparsetune.study.stopping import EARLY_HALVING


def study(epochs: float, **given: Any) -> Study:
    """One dense and one sparse cell of 10 epochs: n (10 + 10) + r (10 + 30) in all."""
    fields: dict[str, Any] = {
        "name": "budgeted",
        "base": TrialSpec(task=DigitsTask(), schedule=ScheduleSpec(epochs=10)),
        "arms": {"gmp": Arm({"sparsity.method": "gmp"})},
        "sweep": {"sparsity.target": [0, 0.9]},
        "search": {"optim.lr": LogUniform(0.01, 1)},
        "budget": Budget(epochs=epochs),
    }
    return Study(**{**fields, **given})


def counts(declared: Study, version: int = 4) -> tuple[int, int]:
    resolved = declared.under_defaults(version)
    assert not resolved.validate_declaration()
    return resolved.configurations_per_cell, resolved.report_seeds


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (120, (2, 2)),  # 2 * 20 + 2 * 40
        (159, (2, 2)),
        (160, (4, 2)),  # 4 * 20 + 2 * 40
        (199, (4, 2)),
        (200, (4, 3)),
        (264, (16, 3)),  # 0.45 * 16 * 20 + 3 * 40: cheaper than 8 that are not stopped
        (304, (16, 4)),
        (487, (16, 8)),  # 144 + 8 * 40 = 464
        (488, (32, 5)),  # 288 + 5 * 40
        (100_000, (32, 10)),
    ],
)
def test_a_budget_pays_for_counts(epochs: float, expected: tuple[int, int]) -> None:
    assert counts(study(epochs)) == expected


def test_before_early_stopping_was_the_default_a_configuration_costs_all_its_epochs() -> None:
    assert counts(study(487), version=3) == (16, 4)  # 16 * 20 + 4 * 40 = 480
    assert counts(study(487, stopping=Halving())) == (16, 4)
    assert counts(study(487, stopping=EARLY_HALVING)) == (16, 8)


def test_declared_counts_are_kept() -> None:
    assert counts(study(487, configurations_per_cell=5)) == (5, 9)  # 5 * 20 + 9 * 40 = 460
    assert counts(study(487, report_seeds=2)) == (32, 2)
    assert counts(study(487, until_settled=12)) == (32, 3)  # looks are at 3, 6 and 12 seeds
    assert counts(study(487, search_seeds=2)) == (16, 4)  # 0.45 * 16 * 40 + 4 * 40 = 448


def test_a_cell_that_searches_nothing_costs_no_search() -> None:
    # Seeds alone: 10 epochs of the dense network, 20 of the sparse one with its twin.
    assert counts(study(300, search={}))[1] == 10
    assert counts(study(100, search={}))[1] == 3


def test_a_searched_length_counts_as_its_longest() -> None:
    search = {"schedule.epoch_multiplier": Uniform(0.5, 2)}
    assert counts(study(240, search=search, at_most=Budget(epochs=20))) == (2, 2)  # twice as dear
    assert counts(study(240, search=search, at_most=Budget(epochs=10))) == (4, 4)


def test_the_expected_cost_is_what_the_planner_counts() -> None:
    for epochs in (120, 200):
        resolved = study(epochs).under_defaults(4)
        planned = build_planner(resolved, {}).expected_epochs()
        assert sum(planned.values()) == epochs


def test_the_choice_stays_when_defaults_are_resolved_again() -> None:
    resolved = study(300).under_defaults(4)
    assert isinstance(resolved.sampler, GP)
    assert resolved.under_defaults(4) == resolved
    assert resolved.quick().budget is None


def test_too_small_a_budget_says_what_would_do() -> None:
    (problem,) = study(119).under_defaults(4).validate_declaration()
    assert str(problem) == (
        "`budget.epochs`: must hold 2 configurations in each cell that searches and 2 report"
        " seeds, which cost 120; declare fewer cells or shorter training, got 119"
    )


def test_a_budget_is_in_the_unit_that_networks_share() -> None:
    flops = study(0, budget=Budget(train_flops=400))
    (problem,) = flops.under_defaults(4).validate_declaration()
    assert "must be in `epochs`" in str(problem)
    assert counts(flops.with_changes(equal="train_flops")) == (16, 6)


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("8 gpu hours", StatedBudget(8, "gpu hours")),
        ("1 GPU hour", StatedBudget(1, "gpu hours")),
        ("2,000 epochs", StatedBudget(2000, "epochs")),
        ("0.5 hours", StatedBudget(0.5, "hours")),
        ("1e3 train_flops", StatedBudget(1000, "train flops")),
    ],
)
def test_budgets_in_words(text: str, stated: StatedBudget) -> None:
    assert parse_budget(text) == stated


@pytest.mark.parametrize("text", ["8 days", "epochs", "0 epochs", "-3 epochs", "nan hours", ""])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(SparsetuneError, match="cpu hours, gpu hours"):
        parse_budget(text)


def test_a_stated_budget_replaces_declared_counts() -> None:
    declared = study(100, configurations_per_cell=3, report_seeds=4)
    divided = with_budget(declared, StatedBudget(200, "epochs"))
    assert (divided.configurations_per_cell, divided.report_seeds) == (4, 3)
    assert divided.budget == Budget(epochs=200)


def test_cpu_hours_become_epochs_by_timing_steps_here() -> None:
    declared = study(1, base=TrialSpec(task=DigitsTask(), schedule=ScheduleSpec(epochs=1)))
    one = with_budget(declared, StatedBudget(0.05, "cpu hours"))
    assert one.budget is not None
    assert one.budget.epochs is not None
    # An epoch of 23 steps and an evaluation of digits takes from 1 ms to 2 s anywhere.
    assert 90 < one.budget.epochs < 180_000
