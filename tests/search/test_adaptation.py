"""Optuna's samplers by name: which exist, which cannot be used and why, and which do not adapt as
declared.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
from optuna.samplers import TPESampler

from sparsetune.launch.preflight import preflight_problems
from sparsetune.search.sampling.adaptation import sampler_problems
from sparsetune.study import Arm, Study
from sparsetune.study.samplers import TPE, OptunaSampler
from sparsetune.study.space import Choice, LogUniform, Uniform

SEARCH: dict[str, Any] = {"optim.lr": LogUniform(0.01, 1), "optim.momentum": Uniform(0, 0.8)}
NAMES = (
    "must be a sampler of Optuna that adapts: CmaEsSampler, GPSampler, NSGAIIISampler,"
    " NSGAIISampler, TPESampler"
)


def refusal(**arguments: Any) -> str:
    """Python's message for arguments that TPESampler does not take; its words vary by version."""
    with pytest.raises(TypeError) as caught:
        TPESampler(**arguments)
    return str(caught.value)


def study(name: str, arguments: dict[str, Any] | None = None, **fields: Any) -> Study:
    sampler = OptunaSampler(name, arguments or {}, n_startup=3)
    declared = Study(
        **{
            "name": "s",
            "search": SEARCH,
            "known_base": True,
            "sampler": sampler,
            "configurations_per_cell": 12,
            **fields,
        }
    )
    assert declared.validate_declaration() == []
    return declared


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("TPESampler", {"multivariate": True, "n_ei_candidates": 8}),
        ("NSGAIISampler", {"population_size": 4}),
    ],
)
def test_a_sampler_that_adapts_is_taken(name: str, arguments: dict[str, Any]) -> None:
    assert sampler_problems(study(name, arguments)) == []


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("TPE", {}, f"`sampler.name`: {NAMES}, got 'TPE'"),
        ("BaseSampler", {}, f"`sampler.name`: {NAMES}, got 'BaseSampler'"),
        ("nsgaii", {}, f"`sampler.name`: {NAMES}, got 'nsgaii'"),
        ("RandomSampler", {}, "`sampler.name`: it does not adapt; declare `Random()`"),
        ("QMCSampler", {}, "`sampler.name`: it does not adapt; declare `Sobol()`"),
        (
            "GridSampler",
            {"search_space": {}},
            "`sampler.name`: it does not adapt; declare `Grid()`",
        ),
        ("BruteForceSampler", {}, "`sampler.name`: it does not adapt; declare `Grid()`"),
        ("PartialFixedSampler", {}, "`sampler.name`: it wraps another sampler"),
        (
            "TPESampler",
            {"seed": 1},
            "`sampler.arguments.seed`: must not be given: every suggestion has a seed",
        ),
        (
            "GPSampler",
            {"n_startup_trials": 1},
            "`sampler.arguments.n_startup_trials`: must not be given",
        ),
        (
            "TPESampler",
            {"n_candidates": 8},
            f"`sampler.arguments`: Optuna's TPESampler refuses them: {refusal(n_candidates=8)},"
            " got {'n_candidates': 8}",
        ),
        (
            "TPESampler",
            {"multivariate": False, "group": True},
            "`sampler.arguments`: Optuna's TPESampler refuses them",
        ),
        (
            "NSGAIISampler",
            {"population_size": 1},
            "`sampler.arguments`: Optuna's NSGAIISampler refuses them",
        ),
        (
            "NSGAIISampler",
            {"population_size": 50},
            "`sampler`: must adapt: in cell `dense`, told 11 configurations of another objective,"
            " it suggests the same",
        ),
    ],
)
def test_a_sampler_that_cannot_be_used(name: str, arguments: dict[str, Any], problem: str) -> None:
    (found,) = sampler_problems(study(name, arguments))
    assert str(found).startswith(problem)


@pytest.mark.skipif(find_spec("cmaes") is not None, reason="the package cmaes is here")
def test_a_missing_package_is_named() -> None:
    (found,) = sampler_problems(study("CmaEsSampler", {"popsize": 4}))
    assert (
        str(found)
        == "`sampler.name`: needs the package `cmaes`, which is not installed, got CmaEsSampler"
    )


def test_a_space_that_is_tried_whole_needs_no_proof() -> None:
    small = {"optim.lr": Choice([0.1, 0.2])}
    assert sampler_problems(study("NSGAIISampler", {"population_size": 50}, search=small)) == []


def test_every_search_space_of_the_study_is_asked() -> None:
    arms = {
        "gmp": Arm(
            {"sparsity.method": "gmp"},
            search={"optim.lr": Choice([0.1, 0.2]), "optim.momentum": Choice([0.9])},
        ),
        "acdc": Arm({"sparsity.method": "acdc"}),
    }
    declared = study(
        "NSGAIISampler", {"population_size": 50}, arms=arms, sweep={"sparsity.target": [0.9]}
    )
    (found,) = sampler_problems(declared)
    assert "in cell `dense-acdc`" in found.rule or "in cell `acdc/target=0.9`" in found.rule


def test_the_studys_own_samplers_need_no_check() -> None:
    assert sampler_problems(study("TPESampler").with_changes(sampler=TPE(n_startup=3))) == []


def test_the_preflight_asks_before_anything_starts() -> None:
    assert [problem.path for problem in preflight_problems(study("Bayes"), needs_data=False)] == [
        "sampler.name"
    ]
