"""Budgets: what a configuration costs before it is trained, and what would have to cost less."""

from __future__ import annotations

from typing import Any

import pytest

from sparsetune.costs.configurations import budget_problems, is_affordable
from sparsetune.costs.training_flops import train_flops
from sparsetune.launch.preflight import preflight_problems
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.spec.task import ImageTask
from sparsetune.study import Arm, Study
from sparsetune.study.budget import Budget, trained_epochs
from sparsetune.study.space import Choice, IntRange, LogUniform

EPOCHS = {"schedule.epochs": IntRange(1, 8)}


def study(**fields: Any) -> Study:
    return Study(**{
        "name": "s", "arms": {"gmp": Arm({"sparsity.method": "gmp"})},
        "sweep": {"sparsity.target": [0, 0.9]}, "search": EPOCHS, **fields,
    })  # fmt: skip


def test_epochs_count_the_multiplier_in_and_are_whole_steps() -> None:
    schedule = ScheduleSpec(epochs=3, epoch_multiplier=1.5)
    assert trained_epochs(TrialSpec(schedule=schedule)) == 4.5
    assert (
        trained_epochs(TrialSpec(schedule=ScheduleSpec(epochs=0.33))) == 7 / 20
    )  # 6.6 of 20 steps


def test_flops_of_dense_training_are_its_epochs_and_of_a_static_mask_its_density() -> None:
    static = SparsitySpec(method="static", target=0.9, allocation="uniform")
    task = ImageTask(train_examples=12_800)
    assert train_flops(TrialSpec(task=task)) == pytest.approx(4)
    assert train_flops(TrialSpec(task=task, sparsity=static)) == pytest.approx(0.4, abs=1e-5)


def test_a_budget_bounds_one_unit_or_both() -> None:
    one_shot = TrialSpec(
        sparsity=SparsitySpec(method="one_shot", target=0.9, prune_at=0.5)
    )  # costs 2 + 0.2
    assert is_affordable(None, one_shot)
    assert is_affordable(Budget(epochs=4), one_shot) and not is_affordable(
        Budget(epochs=3.9), one_shot
    )
    assert is_affordable(Budget(train_flops=2.21), one_shot) and not is_affordable(
        Budget(train_flops=2.19), one_shot
    )
    assert not is_affordable(Budget(epochs=4, train_flops=2), one_shot)


@pytest.mark.parametrize(
    ("budget", "rule"),
    [
        ({}, "a budget must bound `epochs`, `train_flops` or both"),
        ({"epochs": 0}, "must be greater than 0"),
        ({"hours": 1}, "unknown field; valid are `epochs`, `train_flops`"),
    ],
)
def test_a_budget_that_cannot_be(budget: dict[str, Any], rule: str) -> None:
    (problem,) = study(at_most=budget).validate_declaration()
    assert problem.rule.startswith(rule)


@pytest.mark.parametrize("path", ["schedule.epochs", "schedule.epoch_multiplier"])
def test_an_axis_that_changes_the_cost_is_searched_only_under_a_budget(path: str) -> None:
    search = {path: IntRange(1, 2)}
    (problem,) = study(search=search).validate_declaration()
    assert (problem.path, problem.rule) == (
        f"search.{path}",
        "changes a trial's cost, so the longest run would always win; "
        "set `at_most`, or sweep it instead",
    )
    budgeted = study(search=search, at_most=Budget(epochs=8), known_base=True)
    assert budgeted.validate_declaration() == []


def test_no_budget_leaves_the_digest_and_a_budget_is_in_it() -> None:
    assert "at_most" not in study().given()
    assert (
        len(
            {
                study().digest(),
                study(at_most=Budget(epochs=4)).digest(),
                study(at_most={"epochs": 5}).digest(),
            }
        )
        == 3
    )


def problems(**fields: Any) -> list[str]:
    declared = study(**fields)
    # Epochs are judged with the declaration, FLOPs need its networks.
    found = declared.validate_declaration() or budget_problems(declared)
    return [str(problem) for problem in found]


def test_the_base_of_every_cell_must_fit_whatever_is_searched() -> None:
    fields = {
        "sweep": {"sparsity.target": [0, 0.9], "schedule.epoch_multiplier": [1, 2]},
        "at_most": Budget(epochs=4),
    }
    rule = "must hold every base recipe and known point; 8, the cost of the base of cell"
    for search in (EPOCHS, {"optim.lr": LogUniform(0.01, 1)}):
        (problem,) = problems(search=search, **fields)
        assert (
            problem
            == f"`at_most.epochs`: {rule} `gmp/target=0.9/epoch_multiplier=2`, would do, got 4"
        )
    assert problems(**{**fields, "at_most": Budget(epochs=8)}) == []


def test_known_points_must_fit_too() -> None:
    (problem,) = problems(
        known=[{"schedule.epochs": 2}, {"schedule.epochs": 7}], at_most=Budget(epochs=5)
    )
    assert problem.startswith(
        "`at_most.epochs`: must hold every base recipe and known point; 7, the cost of known.1 in"
    )


def test_flops_of_what_is_tried_first_must_fit() -> None:
    (problem,) = problems(at_most=Budget(train_flops=3))
    assert problem == (
        "`at_most.train_flops`: must hold every base recipe and known point; 4, the cost of the"
        " base of cell `dense`, would do, got 3"
    )


def test_an_axis_that_lies_outside_the_budget_as_a_whole_would_never_be_tried() -> None:
    (problem,) = problems(
        search={"schedule.epochs": Choice([6, 5])}, at_most=Budget(epochs=4), known_base=True
    )
    rule = "no value of this axis lies within `at_most.epochs`, of which 5 would do"
    assert problem == f"`search.schedule.epochs`: {rule}, got 4"


def test_the_preflight_names_what_does_not_fit() -> None:
    found = preflight_problems(
        study(search={"optim.lr": LogUniform(0.01, 1)}, at_most=Budget(train_flops=2)),
        needs_data=False,
    )
    assert [problem.path for problem in found] == ["at_most.train_flops"]
