"""Masks compared with a slow, obvious selection: a stable sort by class and score."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.sparsity.masks.exact import (
    LayerScores,
    Masks,
    compute_masks,
    select_on_cpu,
    select_on_device,
)

DTYPES = (torch.float32, torch.bfloat16, torch.float64)
SPECIAL = (0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan)
KINDS: dict[str, Callable[[np.random.Generator, int], np.ndarray[Any, Any]]] = {
    "distinct": lambda random, n: random.permutation(n) - n / 3,
    "normal": lambda random, n: random.standard_normal(n),
    "zeros": lambda random, n: random.standard_normal(n) * (random.random(n) < 0.1),
    "few values": lambda random, n: random.integers(-2, 3, n),
    "constant": lambda random, n: np.full(n, 0.5),
    "special": lambda random, n: random.choice(SPECIAL, n),
    "some special": lambda random, n: np.where(
        random.random(n) < 0.2, random.choice(SPECIAL, n), random.normal(size=n)
    ),
    "sorted": lambda random, n: np.sort(random.standard_normal(n)),
    "periodic": lambda random, n: np.arange(n) % 7 + 0.0,
}


@dataclass
class Case:
    scores: dict[str, torch.Tensor]
    groups: list[LayerGroup]
    within: Masks | None
    candidates: Masks | None


def reference(
    scores: list[torch.Tensor], pruned: int, within: Any, candidates: Any, absolute: bool
) -> list[int]:
    """Positions of a group's layers, one after the other, that are pruned."""
    values = torch.cat([score.double().flatten() for score in scores]).numpy()
    values = np.abs(values) if absolute else values
    classes = np.ones(values.size)
    if within:
        classes[~torch.cat([mask.flatten() for mask in within]).numpy()] = 0
    if candidates:
        classes[~torch.cat([mask.flatten() for mask in candidates]).numpy()] = 2
    values = np.where(
        classes == 1, np.nan_to_num(values, nan=np.inf, posinf=np.inf, neginf=-np.inf), 0.0
    )
    return sorted(np.lexsort((values, classes))[:pruned].tolist())


def flags(random: np.random.Generator, scores: dict[str, torch.Tensor]) -> Masks:
    share = random.choice([0.0, 0.1, 0.5, 1.0])
    return {
        name: torch.from_numpy(random.random(tuple(score.shape)) < share)
        for name, score in scores.items()
    }


@st.composite
def cases(draw: st.DrawFn) -> Case:
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(DTYPES))
    names = "abcd"[: draw(st.integers(1, 4))]
    scores = {}
    for name in names:
        shape = tuple(draw(st.lists(st.integers(1, 12), min_size=1, max_size=3)))
        values = KINDS[draw(st.sampled_from(sorted(KINDS)))](random, math.prod(shape))
        scores[name] = torch.from_numpy(np.asarray(values, float)).view(shape).to(dtype)
    within = flags(random, scores) if draw(st.booleans()) else None
    candidates = flags(random, scores) if draw(st.booleans()) else None
    cut = draw(st.integers(0, len(names)))
    groups = []
    for part in (names[:cut], names[cut:]):
        if part:
            if candidates:
                most = sum(int(candidates[name].count_nonzero()) for name in part)
            else:
                most = sum(scores[name].numel() for name in part)
            groups.append(LayerGroup(tuple(part), draw(st.integers(0, most))))
    return Case(scores, groups, within, candidates)


def check(case: Case, absolute: bool, masks: Masks) -> None:
    for group in case.groups:
        within = [case.within[name] for name in group.names] if case.within else None
        candidates = [case.candidates[name] for name in group.names] if case.candidates else None
        scores = [case.scores[name] for name in group.names]
        expected = reference(scores, group.pruned, within, candidates, absolute)
        found = torch.cat([masks[name].flatten() for name in group.names])
        assert (~found).nonzero().flatten().tolist() == expected
        assert all(masks[name].shape == case.scores[name].shape for name in group.names)


@given(case=cases(), absolute=st.booleans())
def test_exactly_the_first_of_a_stable_sort_are_pruned(case: Case, absolute: bool) -> None:
    masks = compute_masks(case.scores, case.groups, case.within, case.candidates, absolute=absolute)
    check(case, absolute, masks)


@given(case=cases(), absolute=st.booleans())
def test_bisection_for_devices_prunes_the_same(case: Case, absolute: bool) -> None:
    masks: Masks = {}
    for group in case.groups:
        layers = []
        for name in group.names:
            within = case.within[name] if case.within else None
            candidates = case.candidates[name] if case.candidates else None
            layers.append(LayerScores(case.scores[name], within, candidates))
        kept = select_on_device(layers, group.pruned, absolute)
        masks.update(zip(group.names, kept, strict=True))
    check(case, absolute, masks)


@given(
    kind=st.sampled_from(sorted(KINDS)),
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.integers(1, 60_000), min_size=1, max_size=4),
    share=st.floats(0, 1),
    masked=st.sampled_from(["no", "within", "candidates"]),
)
def test_large_layers_in_several_chunks(
    kind: str, seed: int, sizes: list[int], share: float, masked: str
) -> None:
    random = np.random.default_rng(seed)
    scores = {
        str(i): torch.from_numpy(np.asarray(KINDS[kind](random, n), np.float32))
        for i, n in enumerate(sizes)
    }
    some = flags(random, scores) if masked != "no" else None
    within = some if masked == "within" else None
    candidates = some if masked == "candidates" else None
    most = sum(int(mask.sum()) for mask in candidates.values()) if candidates else sum(sizes)
    case = Case(scores, [LayerGroup(tuple(scores), int(share * most))], within, candidates)
    check(case, False, compute_masks(case.scores, case.groups, case.within, case.candidates))


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9, 0.999, 1.0])
def test_both_ways_agree_on_a_quarter_of_a_million(kind: str, share: float) -> None:
    scores = torch.from_numpy(
        np.asarray(KINDS[kind](np.random.default_rng(0), 250_001), np.float32)
    )
    layers = [LayerScores(scores)]
    pruned = round(share * scores.numel())
    expected = reference([scores], pruned, None, None, False)
    for select in (select_on_cpu, select_on_device):
        assert (~select(layers, pruned)[0]).nonzero().flatten().tolist() == expected


@pytest.mark.parametrize("stride", range(1, 60, 2))
def test_a_sample_that_misleads_does_no_harm(stride: int) -> None:
    scores = torch.from_numpy(np.random.default_rng(0).standard_normal(100_000).astype(np.float32))
    # One of the strides is the selection's own.
    scores[::stride] = torch.arange(1000.0, 1000.0 + len(scores[::stride]))
    expected = reference([scores], 30_000, None, None, False)
    kept = select_on_cpu([LayerScores(scores)], 30_000)[0]
    assert (~kept).nonzero().flatten().tolist() == expected
