"""Combinations that cannot work are refused with the reason; `train/test_resume` trains others."""

from itertools import product
from typing import get_args

import pytest

from sparsetune.errors import DeclarationError
from sparsetune.sparsity.combinations import layer_problems
from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.methods.registry import METHODS
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import Allocation, Score, SparsitySpec
from sparsetune.study.rules.combinations import combination_problems
from sparsetune.train import train

LAYERS = [Layer("conv.weight", (8, 3, 3, 3)), Layer("fc.weight", (10, 8))]


@pytest.mark.parametrize(
    ("given", "path", "said"),
    [
        ({"method": "sr_ste", "target": 0.5}, "pattern", "2:4"),
        (
            {"method": "sr_ste", "target": 0.5, "pattern": "2:4", "score": "random"},
            "score",
            "magnitude",
        ),
        (
            {"method": "rigl", "target": 0.5, "pattern": "2:4", "allocation": "uniform"},
            "pattern",
            "unstructured",
        ),
        (
            {"method": "gmp", "target": 0.5, "pattern": "2:4", "allocation": "erk"},
            "allocation",
            "uniform",
        ),
        ({"method": "set", "target": 0.5, "score": "fisher"}, "score", "saliency"),
        (
            {"method": "ste", "target": 0.5, "pattern": "2:4", "allocation": "uniform"},
            "pattern",
            "`sr_ste`",
        ),
        ({"method": "gmp", "target": 0.9, "pattern": "1:4"}, "target", "0.75 would do"),
        ({"method": "transfer", "target": 0.9}, "checkpoint", "transfer needs"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(
    given: dict[str, object], path: str, said: str
) -> None:
    (problem,) = combination_problems(SparsitySpec(**given))
    assert problem.path == f"sparsity.{path}"
    assert said in problem.rule


def test_every_other_pair_of_axes_is_allowed() -> None:
    refused = set()
    for method, score, allocation in product(
        list(METHODS)[1:], get_args(Score), get_args(Allocation)
    ):
        needed = {"sr_ste": {"pattern": "2:4"}, "transfer": {"checkpoint": "sparse"}}.get(
            method, {}
        )
        spec = SparsitySpec(method=method, target=0.5, score=score, allocation=allocation, **needed)
        if combination_problems(spec):
            refused.add((method, score, allocation))
    grown = {(m, "fisher", a) for m in ("set", "rigl", "granet") for a in get_args(Allocation)}
    other_scores = {
        (m, s, a)
        for m in ("sr_ste", "ste", "top_kast", "powerpropagation")
        for s in get_args(Score)[1:]
        for a in get_args(Allocation)
    }
    other_allocations = {
        ("sr_ste", s, a) for s in get_args(Score) for a in ("erk", "er", "explicit")
    }
    assert refused == grown | other_scores | other_allocations


def test_a_pattern_that_does_not_divide_a_layer_names_it() -> None:
    spec = SparsitySpec(method="gmp", target=0.5, pattern="2:4")
    (problem,) = layer_problems(LAYERS, spec)
    assert "conv.weight" in problem.rule + problem.got
    assert not layer_problems(LAYERS, spec.model_copy(update={"spared": ("conv.*",)}))
    assert not layer_problems(LAYERS, SparsitySpec())


@pytest.mark.parametrize(
    "given",
    [
        {"method": "sr_ste"},
        {"method": "gmp", "spared": ("nothing.here",)},
        {"method": "gmp", "allocation": "explicit", "layers": (("*", 0.4),)},
    ],
)
def test_train_refuses_them_too(given: dict[str, object]) -> None:
    spec = TrialSpec(schedule=ScheduleSpec(epochs=1), sparsity=SparsitySpec(target=0.5, **given))
    with pytest.raises(DeclarationError):
        train(spec)
