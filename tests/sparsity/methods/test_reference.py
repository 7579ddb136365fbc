"""RigL, GMP and AC/DC compared with an independent NumPy version: equal masks and weights."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from sparsetune.spec.sparsity import PUBLISHED_ACDC, RampSpec, RegrowSpec, SparsitySpec
from tests.sparsity import reference
from tests.sparsity.small import SmallRun

STEPS = 100
RECIPE = reference.Recipe(STEPS, lr=0.05, momentum=0.9, weight_decay=0.01)


def run_of(**sparsity: object) -> SmallRun:
    optim = {"momentum": RECIPE.momentum, "weight_decay": RECIPE.weight_decay}
    return SmallRun(SparsitySpec(**sparsity), steps=STEPS, lr=RECIPE.lr, **optim)


def weights_of(run: SmallRun) -> reference.Weights:
    return {name: value.numpy().copy() for name, value in run.values().items()}


def gradients_for(run: SmallRun) -> reference.Gradients:
    """Dense gradients on the run's batches by autograd.

    They are taken of copies: the run's own weights and gradients stay.
    """

    def gradients(weights: reference.Weights, step: int) -> reference.Weights:
        copies = {
            name: torch.from_numpy(weight.copy()).requires_grad_()
            for name, weight in weights.items()
        }
        batch = run.batch(step)
        loss = cross_entropy(functional_call(run.model, copies, batch.inputs), batch.targets)
        found = torch.autograd.grad(loss, list(copies.values()))
        return {name: gradient.numpy() for name, gradient in zip(copies, found, strict=True)}

    return gradients


def assert_same_steps(run: SmallRun, trace: reference.Trace) -> int:
    """Both take every step with equal masks and weights; how many steps changed the mask."""
    changes = 0
    previous = {name: mask.numpy() for name, mask in run.masks().items()}
    for masks, weights in trace:
        run.step()
        for name, mask in run.masks().items():
            np.testing.assert_array_equal(
                mask.numpy(), masks[name], err_msg=f"{name} after step {run.at}"
            )
        for name, value in run.values().items():
            np.testing.assert_allclose(
                value.numpy(), weights[name], rtol=1e-4, atol=1e-6, err_msg=f"step {run.at}"
            )
        changes += any((masks[name] != previous[name]).any() for name in masks)
        previous = masks
    assert run.at == STEPS
    return changes


def test_the_reference_is_independent() -> None:
    tree = ast.parse(Path(reference.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported == {
        "__future__",
        "math",
        "collections.abc",
        "dataclasses",
        "numpy",
        "numpy.typing",
    }


@pytest.mark.parametrize("target", [0.5, 0.9, 0.98])
def test_gmp(target: float) -> None:
    run = run_of(method="gmp", target=target, ramp=RampSpec(start=0.1, length=0.6, updates=15))
    trace = reference.gmp(
        weights_of(run), gradients_for(run), RECIPE, target, start=10, end=70, gap=4
    )
    assert assert_same_steps(run, trace) >= 14  # the last may prune nothing more


@pytest.mark.parametrize("target", [0.5, 0.9])
def test_acdc(target: float) -> None:
    """The published plan of 100 epochs, an epoch a step."""
    run = run_of(method="acdc", target=target, acdc=PUBLISHED_ACDC)
    phases = [*((first, first + 5) for first in range(10, 80, 10)), (85, 101)]
    trace = reference.acdc(weights_of(run), gradients_for(run), RECIPE, target, phases)
    assert assert_same_steps(run, trace) == 15


@pytest.mark.parametrize("reset", ["grown", "none"])
@pytest.mark.parametrize(("every", "batches"), [(5, 1), (4, 3), (3, 3)])
@pytest.mark.parametrize(
    "layers", [{"allocation": "erk"}, {"allocation": "uniform", "spared": ("0", "4")}]
)
def test_rigl(layers: dict[str, object], every: int, batches: int, reset: str) -> None:
    regrow = RegrowSpec(fraction=0.5, every=f"{every} steps", batches=batches)
    run = run_of(method="rigl", target=0.8, regrow=regrow, reset=reset, **layers)
    weights = weights_of(run)
    run.begin()  # draws the first mask
    trace = reference.rigl(
        weights,
        {name: mask.numpy() for name, mask in run.masks().items()},
        gradients_for(run),
        RECIPE,
        fraction=0.5,
        every=every,
        until=75,
        batches=batches,
        reset_grown=reset == "grown",
    )
    assert assert_same_steps(run, trace) >= 10  # late updates may exchange nothing


@pytest.mark.parametrize("sparsity", [0.3, 0.8, 0.95])
def test_the_random_mask_that_rigl_starts_from_has_the_counts_of_erk(sparsity: float) -> None:
    run = run_of(method="rigl", target=sparsity, regrow=RegrowSpec(every="5 steps"))
    run.begin()
    shapes = {name: tuple(weight.shape) for name, weight in run.weights.items()}
    expected = reference.erk_kept(shapes, sparsity)
    for name, mask in run.masks().items():
        pruned = math.floor(mask.numel() - expected[name] + 0.5)
        assert int((~mask).sum()) == pruned
    dense = sum(bool(mask.all()) for mask in run.masks().values())
    assert dense == {0.3: 1, 0.8: 0, 0.95: 0}[sparsity]
