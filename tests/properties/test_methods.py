"""Properties of every method, for any target, allocation, ramp, optimizer and training length."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sparsetune.sparsity.masks.exact import Masks
from sparsetune.sparsity.methods.registry import METHODS
from sparsetune.sparsity.plans.changes import MaskChange
from sparsetune.sparsity.plans.schedule import mask_schedule
from sparsetune.spec.sparsity import (
    AcdcSpec,
    FisherSpec,
    RampSpec,
    RegrowSpec,
    SparsitySpec,
    TopKastSpec,
    parse_pattern,
)
from sparsetune.study.rules.combinations import combination_problems
from tests.sparsity import reference
from tests.sparsity.small import SmallRun

SIZES = {"0.weight": 20 * 16, "2.weight": 16 * 12, "4.weight": 12 * 5}
SHAPES = {"0.weight": (16, 20), "2.weight": (12, 16), "4.weight": (5, 12)}
N_M = ("1:2", "1:4", "2:4", "3:4")
DENSE_START = ("dense", "one_shot", "gmp", "acdc", "granet", "obert", "powerpropagation")

fraction = st.floats(0, 1)
ramps = st.builds(
    RampSpec,
    shape=st.sampled_from(["cubic", "linear", "exponential"]),
    start=st.floats(0, 0.5),
    length=st.floats(0, 0.5),
    first=st.sampled_from([0.0, 0.3, 0.7]),
    updates=st.integers(1, 30),
) | st.builds(RampSpec, shape=st.just("stepped"), levels=st.sampled_from([(0.5,), (0.3, 0.6, 0.9)]))
lengths = st.floats(0.01, 0.3)
acdcs = st.builds(
    AcdcSpec,
    warmup=lengths,
    compress=lengths,
    decompress=lengths,
    last_dense=lengths,
    final=lengths,
)
regrows = st.builds(
    RegrowSpec,
    fraction=st.floats(0.01, 0.99),
    decay=st.sampled_from(["cosine", "linear", "constant"]),
    every=st.integers(1, 9).map("{} steps".format),
    until=st.floats(0.3, 1),
    batches=st.integers(1, 4),
)


@st.composite
def allocations(draw: st.DrawFn) -> dict[str, Any]:
    """A target shared among the three layers."""
    name = draw(st.sampled_from(["global", "uniform", "erk", "er", "explicit"]))
    if name != "explicit":
        spared = draw(st.none() | st.sampled_from([(), ("2",), ("0", "4*")]))
        return {"allocation": name, "target": draw(st.floats(0.01, 0.99)), "spared": spared}
    layers = {layer: draw(st.floats(0, 0.99)) for layer in SIZES}
    pruned = sum(sparsity * SIZES[layer] for layer, sparsity in layers.items())
    overall = pruned / sum(SIZES.values())
    assume(overall > 0)
    return {"allocation": name, "target": overall, "layers": tuple(layers.items())}


@st.composite
def patterns(draw: st.DrawFn) -> dict[str, Any]:
    """N:M, with the target that goes with it."""
    pattern = draw(st.sampled_from(N_M))
    n, m = parse_pattern(pattern) or (0, 0)
    return {
        "pattern": pattern,
        "target": 1 - n / m,
        "allocation": draw(st.sampled_from(["global", "uniform"])),
    }


def sparsities(method: str) -> st.SearchStrategy[SparsitySpec]:
    fields = {
        "acdc": acdcs,
        "ramp": ramps,
        "regrow": regrows,
        "prune_at": fraction,
        "top_kast": st.builds(TopKastSpec, backward=st.floats(1, 9), decay=st.floats(0, 0.1)),
        "power": st.sampled_from([1, 1.5, 3]),
        "fisher": st.builds(
            FisherSpec, block=st.just(6), gradients=st.just(3), recomputations=st.integers(1, 3)
        ),
        "score": st.sampled_from([None, "magnitude", "random", "saliency", "fisher"]),
        "reset": st.sampled_from([None, "none", "grown", "all"]),
    }
    given = st.tuples(st.fixed_dictionaries(fields), allocations() | patterns())
    start = {"method": method, "checkpoint": "sparse" if method == "transfer" else None}
    specs = given.map(lambda parts: SparsitySpec(**{**start, **parts[0], **parts[1]}))
    return specs.filter(lambda spec: not combination_problems(spec))


def runs(method: str) -> st.SearchStrategy[SmallRun]:
    """Short trainings, of fewer steps than some schedules would need too."""
    given = sparsities(method) if method != "dense" else st.just(SparsitySpec())
    return st.builds(
        SmallRun,
        given,
        steps=st.integers(2, 30),
        seed=st.integers(0, 3),
        name=st.sampled_from(["sgd", "adamw"]),
        weight_decay=st.sampled_from([0.0, 0.1]),
    )


def made(run: SmallRun) -> MaskChange:
    """The last change made so far; at the end of training, the last of all."""
    changes = mask_schedule(run.spec)
    if run.at == run.steps:
        return changes[-1]
    return [change for change in changes if change.step < run.at][-1]


def pruned_in(masks: Masks) -> dict[str, int]:
    return {name: int((~mask).sum()) for name, mask in masks.items()}


def kept_in(masks: Masks) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def assert_counts(run: SmallRun, masks: Masks) -> None:
    """Counts by hand: in total under `global`, else by layer, halves up; ERK's within a half."""
    spec = run.sparsifier._spec
    sparsity = made(run).sparsity
    pruned = pruned_in(masks)
    others = [
        layer
        for layer in SIZES
        if not any(layer.startswith(name.strip("*")) for name in spec.spared or ())
    ]
    assert all(pruned[layer] == 0 for layer in SIZES if layer not in others)
    asked = {layer: math.floor(sparsity * SIZES[layer] + 0.5) for layer in others}
    if spec.allocation == "explicit":
        share = sparsity / spec.target
        asked = {layer: math.floor(own * share * SIZES[layer] + 0.5) for layer, own in spec.layers}
    if spec.allocation in ("er", "erk"):
        kept = reference.erk_kept({layer: SHAPES[layer] for layer in others}, sparsity)
        assert all(abs(SIZES[layer] - pruned[layer] - kept[layer]) < 0.5 + 1e-6 for layer in others)
    elif spec.allocation == "global":
        total = sum(SIZES[layer] for layer in others)
        assert sum(pruned.values()) == math.floor(sparsity * total + 0.5)
    else:
        assert {layer: pruned[layer] for layer in others} == asked


def assert_pattern(run: SmallRun, masks: Masks) -> None:
    """Each M weights of a row keep N at the target, and never fewer on the way."""
    n_m = parse_pattern(run.spec.sparsity.pattern)
    if n_m:
        n, m = n_m
        fewest = min(int(mask.view(-1, m).sum(1).min()) for mask in masks.values())
        most = max(int(mask.view(-1, m).sum(1).max()) for mask in masks.values())
        assert n <= fewest <= most <= (n if made(run).sparsity == run.spec.sparsity.target else m)


@pytest.mark.parametrize("method", list(METHODS))
@settings(max_examples=40)
@given(data=st.data())
def test_counts_are_as_planned_and_weights_outside_the_mask_zero_after_every_step(
    method: str, data: st.DataObject
) -> None:
    run = data.draw(runs(method))
    while run.at < run.steps:
        run.step()
        weights = run.effective()
        masks = run.masks()
        assert_counts(run, masks)
        assert_pattern(run, masks)
        assert all((weights[name][~mask] == 0).all() for name, mask in masks.items())
        assert run.sparsifier.sparsity() == sum(pruned_in(masks).values()) / sum(SIZES.values())
    assert run.sparsifier.at_target()
    # Each weight takes part in one product.
    assert run.sparsifier.inference_flops == pytest.approx(1 - run.sparsifier.sparsity())
    assert 0 <= run.sparsifier.structure.ever_active() <= 1


Slots = dict[str, dict[str, torch.Tensor]]


def assert_slots(reset: str, before: tuple[Slots, Masks], after: tuple[Slots, Masks]) -> None:
    """Slots are zero where weights came back, as declared, and elsewhere as they were."""
    returned = {layer: after[1][layer] & ~mask for layer, mask in before[1].items()}
    for layer, slots in before[0].items():
        for name, slot in slots.items():
            expected = slot
            if reset == "all" and kept_in(returned):
                expected = torch.zeros_like(slot)
            elif reset == "grown" and slot.shape == returned[layer].shape:  # not a count of steps
                expected = slot.masked_fill(returned[layer], 0)
            assert torch.equal(after[0][layer][name], expected), (layer, name)


@pytest.mark.parametrize("method", ["gmp", "acdc", "set", "rigl", "granet"])
@settings(max_examples=40)
@given(data=st.data())
def test_slots_after_every_change_are_as_declared(method: str, data: st.DataObject) -> None:
    run = data.draw(runs(method))
    reset = run.sparsifier._spec.reset or "none"
    while run.at < run.steps:
        before = run.slots(), run.masks()
        run.begin()
        assert_slots(reset, before, (run.slots(), run.masks()))
        run.backward()
        run.optimize()
        before = run.slots(), run.masks()
        run.settle()
        assert_slots(reset, before, (run.slots(), run.masks()))


@pytest.mark.parametrize(
    "method", ["static", "one_shot", "gmp", "obert", "powerpropagation", "transfer"]
)
@settings(max_examples=40)
@given(data=st.data())
def test_masks_of_a_gradual_ramp_nest(method: str, data: st.DataObject) -> None:
    run = data.draw(runs(method))
    while run.at < run.steps:
        before = run.masks()
        run.step()
        assert all((mask <= before[name]).all() for name, mask in run.masks().items())
    rows = run.sparsifier.structure.summary()
    sparsities = [row["sparsity"] for row in rows]
    assert sparsities == sorted(sparsities)
    assert sparsities[-1] == run.sparsifier.sparsity()


@settings(max_examples=40)
@given(
    pattern=st.sampled_from(N_M), steps=st.integers(2, 20), name=st.sampled_from(["sgd", "adamw"])
)
def test_sr_ste_keeps_n_of_every_m_and_all_weights_learn(
    pattern: str, steps: int, name: str
) -> None:
    n, m = parse_pattern(pattern) or (0, 0)
    run = SmallRun(
        SparsitySpec(method="sr_ste", pattern=pattern, target=1 - n / m),
        steps=steps,
        name=name,
        lr=0.01,
    )
    first = run.values()
    while run.at < run.steps:
        run.step()
        for layer, weight in run.effective().items():
            assert ((weight != 0).view(-1, m).sum(1) == n).all()
            dense = run.weights[layer]
            assert (dense != 0).all()
            kept = dense.detach().abs().masked_fill(weight == 0, math.inf).view(-1, m).amin(1)
            assert (kept[:, None] >= dense.abs().masked_fill(weight != 0, 0).view(-1, m)).all()
        assert run.sparsifier.sparsity() == 1 - n / m
    live = run.weights["2.weight"] != first["2.weight"]
    assert live.all()


@pytest.mark.parametrize("method", list(METHODS))
@settings(max_examples=20)
@given(seed=st.integers(0, 9), target=st.floats(0.2, 0.9))
def test_ever_active_is_the_union_of_all_masks(method: str, seed: int, target: float) -> None:
    chosen: dict[str, Any] = {"target": 0} if method == "dense" else {"target": target}
    chosen = {"pattern": "1:4", "target": 0.75} if method == "sr_ste" else chosen
    regrow = RegrowSpec(every="2 steps")
    fisher = FisherSpec(block=4, gradients=2)
    spec = SparsitySpec(
        method=method, regrow=regrow, fisher=fisher, ramp=RampSpec(updates=3), **chosen
    )
    run = SmallRun(spec, steps=20, seed=seed)
    union = {
        name: torch.zeros_like(weight, dtype=torch.bool) for name, weight in run.weights.items()
    }
    shares = []
    while run.at < run.steps:
        run.step()
        with run.sparsifier.effective_weights():
            run.sparsifier.record_dynamic_mask()
            union = {name: union[name] | mask for name, mask in run.masks().items()}
        shares.append(run.sparsifier.structure.ever_active())
        assert shares[-1] == kept_in(union) / sum(SIZES.values())
    assert shares == sorted(shares)
    if method in DENSE_START:
        assert shares[0] == 1
    elif method in ("static", "transfer"):
        assert set(shares) == {kept_in(run.masks()) / sum(SIZES.values())}
    else:
        assert shares[-1] > kept_in(run.masks()) / sum(SIZES.values())
