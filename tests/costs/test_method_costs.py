"""Cost of each method over a training, against the formulas of Evci et al. 2020, appendix H.

Three layers of 144 weights under `uniform`, so that a network of density d costs f_S = d forward,
and the dense one f_D = 1. Costs are in steps of the dense network, 3 f_D: a backward pass costs two
forward passes.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from sparsetune.sparsity.methods.registry import METHODS
from sparsetune.spec.sparsity import PUBLISHED_ACDC, FisherSpec, RampSpec, RegrowSpec, SparsitySpec
from tests.sparsity.small import EXAMPLES, SmallRun

STEPS = 100
RAMP = RampSpec(shape="linear", start=0.2, length=0.5, updates=10)
REGROW = RegrowSpec(every="10 steps", until="95 steps")
FISHER = FisherSpec(block=6, gradients=6, batch_size=4, recomputations=2)


def density(sparsity: float) -> float:
    """Density of a layer, a whole number of weights."""
    return 1 - math.floor(sparsity * 144 + 0.5) / 144


F_S = density(0.9)
F_D = 1.0
PRUNING = [density(0.09 * min(10, max(0, (step - 20) // 5))) for step in range(STEPS)]
"""At every step of `RAMP`: ten updates, five steps apart."""
GRANET = [density(0.18 * min(5, max(0, (step - 21) // 10))) for step in range(STEPS)]
"""With updates every ten steps of the ramp, each after its step."""
GATHERED = sum(F_D - GRANET[step] for step in range(30, 95, 10)) / 3
PARTS = [density(0.09 * k / 2) for k in range(20)]
"""Before each part of ten updates in two parts."""

EXPECTED: dict[str, tuple[dict[str, Any], float, float]] = {
    "dense": ({"target": 0}, STEPS, 0),
    "static": ({}, STEPS * F_S, 0),
    "one_shot": ({"prune_at": 0.25}, 25 * F_D + 75 * F_S, 0),
    "gmp": ({"ramp": RAMP}, sum(PRUNING), 0),
    "acdc": ({"acdc": PUBLISHED_ACDC}, 50 * F_D + 50 * F_S, 0),
    "set": ({"regrow": REGROW}, STEPS * F_S, 0),
    "rigl": ({"regrow": REGROW}, 91 * F_S, 9 * (2 * F_S + F_D) / 3),
    "granet": ({"ramp": RAMP, "regrow": REGROW}, sum(GRANET), GATHERED),
    "sr_ste": ({"pattern": "1:4", "target": 0.75}, STEPS * (2 * 0.25 + F_D) / 3, 0),
    "ste": ({}, STEPS * (2 * F_S + F_D) / 3, 0),
    "top_kast": ({}, STEPS * (2 * F_S + density(0.8)) / 3, 0),
    "powerpropagation": ({"ramp": RAMP}, sum(PRUNING), 0),
    "obert": ({"ramp": RAMP, "fisher": FISHER}, sum(PRUNING), 6 * 4 / EXAMPLES * sum(PARTS)),
    "transfer": ({"target": 31 / 36}, STEPS * 5 / 36, 0),
}
"""Declaration of each method, cost of its training, and cost of passes that only choose masks."""


def run_of(**sparsity: Any) -> SmallRun:
    given = {"target": 0.9, "allocation": "uniform"} | sparsity
    return SmallRun(SparsitySpec(**given), steps=STEPS, sizes=(12, 12, 12, 12))


def costs(run: SmallRun) -> tuple[float, float]:
    return run.sparsifier.dense_steps, run.sparsifier.extra_steps


def test_the_table_has_every_method() -> None:
    assert list(EXPECTED) == list(METHODS)


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_costs_what_its_steps_do(method: str) -> None:
    given, training, extra = EXPECTED[method]
    assert costs(run_of(method=method, **given).run()) == pytest.approx((training, extra))


def test_the_mean_step_of_rigl_is_the_published_one() -> None:
    """(3 f_S dT + 2 f_S + f_D) / (dT + 1), over nine updates after dT = 9 steps each."""
    run = run_of(method="rigl", regrow=REGROW).run(1)
    before = sum(costs(run))
    mean = (sum(costs(run.run(91))) - before) / 90
    assert mean == pytest.approx((3 * F_S * 9 + 2 * F_S + F_D) / (9 + 1) / 3)


def test_the_mean_step_of_pruning_is_the_published_one() -> None:
    """3 f_D (1 - s_t), the mean over t, for any ramp."""
    run = run_of(method="gmp", ramp=RampSpec(first=0.5, start=0.1, length=0.9, updates=30))
    sparsities = []
    for _ in range(STEPS):
        run.begin()
        sparsities.append(run.sparsifier.sparsity())
        run.backward()
        run.optimize()
        run.settle()
    assert len(set(sparsities)) > 20
    assert costs(run) == (
        pytest.approx(sum(3 * F_D * (1 - sparsity) for sparsity in sparsities) / 3),
        0,
    )


def test_gathering_over_more_batches_costs_their_dense_weight_gradients() -> None:
    run = run_of(method="rigl", regrow=REGROW.model_copy(update={"batches": 3})).run()
    beside = (2 * F_S + F_D) / 3 + 2 * (F_D - F_S) / 3
    assert costs(run) == pytest.approx((91 * F_S, 9 * beside))


def test_saliency_costs_a_step_a_batch_with_all_weight_gradients() -> None:
    at_start = run_of(method="static", score="saliency", saliency_batches=3).run()
    assert costs(at_start) == pytest.approx((STEPS * F_S, 3))
    on_a_ramp = run_of(method="gmp", score="saliency", saliency_batches=2, ramp=RAMP).run()
    before = [density(0.09 * k) for k in range(10)]
    assert costs(on_a_ramp) == pytest.approx(
        (sum(PRUNING), 2 * sum(2 * d + F_D for d in before) / 3)
    )
