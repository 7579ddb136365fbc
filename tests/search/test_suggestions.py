"""Suggestions of Optuna's samplers: steered by what was told, spread while others still run, within
the axes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from sparsetune.search.plans import Configuration
from sparsetune.search.sampling.optuna_form import to_optuna_trial
from sparsetune.search.sampling.points import sample_point, sample_sequence_point
from sparsetune.search.sampling.suggestions import suggest_values
from sparsetune.spec import TrialSpec
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.study import Study
from sparsetune.study.cells import Cell
from sparsetune.study.samplers import TPE, Adaptive, OptunaSampler
from sparsetune.study.space import Choice, LogUniform, Uniform, Value

SEARCH: dict[str, Any] = {"optim.lr": LogUniform(0.01, 1), "optim.momentum": Uniform(0, 0.8)}
GP = OptunaSampler("GPSampler", {"deterministic_objective": True}, n_startup=3)
CMA_ES = OptunaSampler("CmaEsSampler", {"popsize": 4}, n_startup=3)
no_cmaes = pytest.mark.skipif(find_spec("cmaes") is None, reason="needs the package cmaes")
ADAPTIVE = [
    TPE(n_startup=3),
    OptunaSampler("TPESampler", {"multivariate": False}, n_startup=3),
    OptunaSampler("NSGAIISampler", {"population_size": 4}, n_startup=3),
    OptunaSampler("NSGAIIISampler", {"population_size": 4}, n_startup=3),
    pytest.param(CMA_ES, marks=no_cmaes),
    GP,
]


def study(sampler: Adaptive, **fields: Any) -> Study:
    fields = {
        "name": "s",
        "search": SEARCH,
        "known_base": True,
        "sampler": sampler,
        "configurations_per_cell": 16,
        **fields,
    }
    declared = Study(**fields)
    assert declared.validate_declaration() == []
    return declared


def cell_of(declared: Study) -> Cell:
    return declared.cells()[-1]


def unit(point: Mapping[str, Value]) -> tuple[float, float]:
    """The point in the unit square."""
    return math.log(float(point["optim.lr"]) / 0.01) / math.log(100), float(
        point["optim.momentum"]
    ) / 0.8


def bowl(point: Mapping[str, Value]) -> float:
    x, y = unit(point)
    return (x - 0.3) ** 2 + (y - 0.6) ** 2


def told(declared: Study, values: list[float | None] | None = None) -> optuna.Study:
    """A cell that was told eight random points with these objectives; by default a bowl's."""
    cell = cell_of(declared)
    points = [sample_sequence_point(declared, cell, index) for index in range(8)]
    values = [bowl(point) for point in points] if values is None else values
    found = optuna.create_study()
    found.add_trials(
        [t for p, v in zip(points, values, strict=True) if (t := to_optuna_trial(cell, p, v))]
    )
    return found


RISING: list[float | None] = [float(k) for k in range(8)]


@pytest.mark.parametrize("sampler", ADAPTIVE, ids=lambda s: getattr(s, "name", s.kind))
def test_a_suggestion_depends_on_the_objectives_and_on_nothing_else(sampler: Adaptive) -> None:
    declared = study(sampler)
    cell = cell_of(declared)
    ahead = [suggest_values(declared, cell, k, told(declared, RISING)) for k in (8, 9)]
    assert ahead[0] == suggest_values(
        study(sampler), cell_of(study(sampler)), 8, told(declared, RISING)
    )
    assert all(SEARCH[path].contains(value) for point in ahead for path, value in point.items())
    assert ahead != [
        suggest_values(declared, cell, k, told(declared, RISING[::-1])) for k in (8, 9)
    ]


def test_an_argument_reaches_the_sampler() -> None:
    one, many = (
        study(OptunaSampler("TPESampler", {"n_ei_candidates": n}, n_startup=3)) for n in (1, 200)
    )
    found = [
        [bowl(suggest_values(s, cell_of(s), k, told(s))) for k in range(8, 16)] for s in (one, many)
    ]
    assert sum(found[1]) < sum(found[0])  # the best of many candidates lies nearer to the optimum


def spread(points: list[dict[str, Value]]) -> tuple[float, float]:
    """Smallest and mean distance between two of the points, in the unit square."""
    distances = [math.dist(unit(a), unit(b)) for a, b in itertools.combinations(points, 2)]
    return min(distances), sum(distances) / len(distances)


def asked_at_once(sampler: Adaptive, count: int, *, liar: bool) -> list[dict[str, Value]]:
    """Points for so many workers who ask before any of them has finished."""
    declared = study(sampler)
    known = told(declared)
    points = list[dict[str, Value]]()
    for k in range(count):
        point = sample_point(
            declared, cell_of(declared), 8 + k, known, pending=points if liar else ()
        )
        points.append(point or {})
    return points


def test_workers_who_ask_at_once_are_sent_apart() -> None:
    together, apart = (
        spread(asked_at_once(TPE(n_startup=3), 8, liar=liar)) for liar in (False, True)
    )
    assert together[1] < 0.3
    assert apart[0] > 0.08 and apart[1] > 0.4


def test_a_sampler_that_would_send_them_to_one_place_sends_them_apart() -> None:
    together, apart = (spread(asked_at_once(GP, 3, liar=liar)) for liar in (False, True))
    assert together[1] < 0.001
    assert apart[0] > 0.05


def test_the_lie_is_the_worst_objective_and_0_before_there_is_one() -> None:
    from sparsetune.search.sampling.suggestions import _worst_objective

    declared = study(TPE(n_startup=3))
    assert _worst_objective(told(declared, [*RISING[:7], None])) == 6
    assert _worst_objective(optuna.create_study()) == 0
    upwards = optuna.create_study(direction="maximize")
    upwards.add_trials(told(declared, RISING).trials)
    assert _worst_objective(upwards) == 0.0


def test_a_pending_configuration_outside_the_axes_is_not_told() -> None:
    declared = study(TPE(n_startup=3))
    outside = {"optim.lr": 5.0, "optim.momentum": 0.1}
    assert to_optuna_trial(cell_of(declared), outside, 0.1) is None
    one, other = (
        suggest_values(declared, cell_of(declared), 9, told(declared), pending)
        for pending in ([], [outside])
    )
    assert one == other


@pytest.mark.parametrize(("sampler", "count"), [(TPE(n_startup=3), 8), (GP, 2)], ids=["tpe", "gp"])
def test_rejected_points_turn_the_sampler_away(sampler: Adaptive, count: int) -> None:
    declared = study(sampler)
    cell = cell_of(declared)
    known = told(declared)
    first = [suggest_values(declared, cell, k, known) for k in range(8, 8 + count)]
    again = [
        suggest_values(declared, cell, 8 + count + k, known, rejected=first) for k in range(count)
    ]
    near, away = (
        [
            min(math.dist(unit(point), unit(other)) for other in first if other != point)
            for point in points
        ]
        for points in (first, again)
    )
    assert sum(away) > 3 * sum(near)


CONDITIONAL = {
    "sparsity.method": Choice(["gmp", "acdc"]),
    "sparsity.acdc.final": Uniform(0.1, 0.3),
    "sparsity.ramp.start": Uniform(0, 0.3),
    "optim.lr": LogUniform(0.01, 1),
}


@pytest.mark.parametrize("sampler", [TPE(n_startup=3), ADAPTIVE[2]], ids=["tpe", "nsga-ii"])
def test_a_suggestion_has_the_axes_that_its_own_choices_let_apply(sampler: Adaptive) -> None:
    base = TrialSpec(sparsity=SparsitySpec(method="gmp"))
    declared = study(sampler, base=base, sweep={"sparsity.target": [0.9]}, search=CONDITIONAL)
    cell = cell_of(declared)
    methods = [
        sample_sequence_point(declared, cell, index)["sparsity.method"] for index in range(8)
    ]
    bests = [
        told(declared, [float(method != best) for method in methods]) for best in ("gmp", "acdc")
    ]
    points = [suggest_values(declared, cell, k, found) for found in bests for k in range(8, 13)]
    own = {"gmp": "sparsity.ramp.start", "acdc": "sparsity.acdc.final"}
    for point in points:
        assert point.keys() == {"sparsity.method", "optim.lr", own[str(point["sparsity.method"])]}
    assert {point["sparsity.method"] for point in points} == {"gmp", "acdc"}


def test_a_conditional_axis_adapts_to_what_was_told_of_it() -> None:
    """Among AC/DC's configurations a longer final phase is better; gradual pruning is always
    worse.
    """
    base = TrialSpec(sparsity=SparsitySpec(method="gmp"))
    search = {path: CONDITIONAL[path] for path in list(CONDITIONAL)[:3]}
    declared = study(TPE(n_startup=3), base=base, sweep={"sparsity.target": [0.9]}, search=search)
    cell = cell_of(declared)
    found = optuna.create_study()
    for index in range(20):
        point = sample_sequence_point(declared, cell, index)
        found.add_trial(
            to_optuna_trial(cell, point, 1 - float(point.get("sparsity.acdc.final", 0)))
            or pytest.fail()
        )
    points = [suggest_values(declared, cell, k, found) for k in range(20, 40)]
    finals = [
        float(point["sparsity.acdc.final"]) for point in points if "sparsity.acdc.final" in point
    ]
    assert len(finals) > 15
    assert sum(finals) / len(finals) > 0.24


def test_rung_values_are_optunas_intermediate_values() -> None:
    trial = to_optuna_trial(
        cell_of(study(GP)), {"optim.lr": 0.1}, None, rungs={0: 0.5, 1: 0.25}, config_id="x"
    )
    assert trial and (trial.state, trial.intermediate_values) == (
        TrialState.PRUNED,
        {0: 0.5, 1: 0.25},
    )
    assert trial.user_attrs == {"config_id": "x"}


def test_none_is_suggested_and_told_where_it_is_an_option() -> None:
    """None of the score stands for the method's own, by which it is recorded in tables."""
    sparse = TrialSpec().edited({"sparsity.method": "gmp", "sparsity.target": 0.9})
    search = {
        "optim.clip_norm": Choice([None, 1.0]),
        "sparsity.score": Choice([None, "random"]),
    }
    cell = cell_of(study(TPE(n_startup=3), base=sparse, search=search))
    point = {"optim.clip_norm": None, "sparsity.score": None}
    configuration = Configuration(0, "base", cell.at(point))
    assert configuration.values(cell.search) == point
    other = {"optim.clip_norm": 1.0, "sparsity.score": "random"}
    assert Configuration(1, "tpe:0", cell.at(other)).values(cell.search) == other
    told = to_optuna_trial(cell, configuration.values(cell.search), 0.5)
    assert told is not None and told.params == point
