"""Grids by hand: their order, their size, and what must fit."""

from __future__ import annotations

from typing import Any

import pytest

from sparsetune.spec import OptimSpec, TrialSpec
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.study import Arm, Study, require_valid
from sparsetune.study.cells import Cell
from sparsetune.study.grid import grid_points, grid_size
from sparsetune.study.samplers import Grid, Random, Sobol
from sparsetune.study.space import Choice, IntRange, LogUniform, Uniform

GMP = TrialSpec(sparsity=SparsitySpec(method="gmp"))


def study(
    search: dict[str, Any], *, n: int = 100, points: int | None = None, **fields: Any
) -> Study:
    grid = Grid(points=points) if points else Grid()
    return Study(
        **{
            "name": "s",
            "search": search,
            "sampler": grid,
            "configurations_per_cell": n,
            "known_base": True,
            **fields,
        }
    )


def cell(declared: Study, name: str = "dense") -> Cell:
    return next(cell for cell in declared.cells() if cell.name == name)


def points(declared: Study, name: str = "dense") -> list[dict[str, Any]]:
    assert isinstance(declared.sampler, Grid)
    return list(grid_points(cell(declared, name), declared.sampler))


def test_the_last_axis_changes_fastest_and_ranges_are_spaced_on_their_own_scale() -> None:
    declared = study(
        {"optim.lr": LogUniform(0.01, 1), "task.batch_size": IntRange(31, 32)}, points=3
    )
    assert points(declared) == [
        {"optim.lr": rate, "task.batch_size": size}
        for rate in (0.01, 0.1, 1.0)
        for size in (31, 32)
    ]


def test_linear_ranges_hold_both_ends_and_a_choice_every_option() -> None:
    declared = study(
        {"optim.momentum": Uniform(0, 0.9), "optim.nesterov": Choice([False, True])}, points=4
    )
    found = points(declared)
    assert [point["optim.momentum"] for point in found[::2]] == [0, 0.3, 0.6, 0.9]
    assert [point["optim.nesterov"] for point in found[:2]] == [False, True]


CONDITIONAL = {
    "sparsity.method": Choice(["gmp", "acdc"]),
    "sparsity.acdc.final": Uniform(0.1, 0.3),
    "sparsity.ramp.start": Choice([0, 0.1, 0.2]),
}


def test_an_axis_counts_only_where_a_choice_lets_it_apply() -> None:
    declared = study(CONDITIONAL, points=2, base=GMP, sweep={"sparsity.target": [0.9]})
    assert require_valid(declared) is not None
    assert points(declared, "gmp/target=0.9") == [
        {"sparsity.method": "gmp", "sparsity.ramp.start": 0},
        {"sparsity.method": "gmp", "sparsity.ramp.start": 0.1},
        {"sparsity.method": "gmp", "sparsity.ramp.start": 0.2},
        {"sparsity.method": "acdc", "sparsity.acdc.final": 0.1},
        {"sparsity.method": "acdc", "sparsity.acdc.final": 0.3},
    ]
    assert grid_size(cell(declared, "gmp/target=0.9"), Grid(points=2)) == 5


def problems(declared: Study) -> list[str]:
    return [str(problem) for problem in declared.validate_declaration()]


RATES = {"optim.lr": Choice([0.05, 0.1, 0.2]), "task.batch_size": IntRange(32, 33)}


def test_a_grid_that_does_not_fit_names_the_number_that_would_do() -> None:
    on_it = TrialSpec.model_validate({"task": {"kind": "digits", "batch_size": 32}})
    (problem,) = problems(study(RATES, n=5, base=on_it))
    assert (
        problem
        == "`configurations_per_cell`: must hold the whole grid: 6 points; 6 would do, got 5"
    )
    assert problems(study(RATES, n=6, base=on_it)) == []


def test_what_is_tried_first_and_lies_beside_the_grid_counts_too() -> None:
    off = TrialSpec(optim=OptimSpec(lr=0.3))
    sparse = {
        "base": off.edited({"sparsity.method": "gmp"}),
        "sweep": {"sparsity.target": [0, 0.9]},
    }
    known = [{"optim.lr": 0.05, "task.batch_size": 33}]
    (problem,) = problems(study(RATES, n=7, known=known, **sparse))
    assert problem == (
        "`configurations_per_cell`: must hold the whole grid: 6 points and 2 beside it (the"
        " base, the control, known points); 8 would do, got 7"
    )
    assert problems(study(RATES, n=8, known=known, **sparse)) == []


def test_a_range_needs_points() -> None:
    (problem,) = problems(
        study({"optim.lr": LogUniform(0.01, 1), "task.batch_size": IntRange(1, 2)})
    )
    assert problem == (
        "`sampler.points`: must be given, as in `Grid(points=5)`, for ranges of real numbers:"
        " optim.lr"
    )
    (problem,) = problems(
        study({"optim.lr": LogUniform(0.01, 1)}, sampler={"kind": "grid", "points": 1})
    )
    assert problem.startswith("`sampler.points`: must be greater than or equal to 2, got 1")


def test_a_grid_becomes_random_in_the_quick_form() -> None:
    assert (
        require_valid(study(RATES, arms={"gmp": Arm({"sparsity.method": "gmp"})}).quick()).sampler
        == Random()
    )


def test_the_sampler_is_part_of_the_digest() -> None:
    digests = {study(RATES, points=n).digest() for n in (None, 2, 3)} | {
        study(RATES, sampler=Sobol()).digest()
    }
    assert len(digests) == 4


@pytest.mark.parametrize("index", [0, 3, 5])
def test_a_point_is_a_function_of_its_number(index: int) -> None:
    assert points(study(RATES))[index] == points(study(RATES, seed=7))[index]
