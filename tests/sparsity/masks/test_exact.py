import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.sparsity.masks.exact import (
    Masks,
    compute_masks,
    count_nonzero,
    intersection_over_union,
    keep_highest,
    pack_masks,
    unpack_masks,
)


def kept_of(
    scores: torch.Tensor,
    pruned: int,
    within: Masks | None = None,
    candidates: Masks | None = None,
    absolute: bool = False,
) -> list[Any]:
    """The mask of one layer, `a`, as nested lists."""
    groups = [LayerGroup(("a",), pruned)]
    masks = compute_masks({"a": scores}, groups, within, candidates, absolute=absolute)
    return masks["a"].tolist()


def test_the_lowest_scores_are_pruned() -> None:
    scores = torch.tensor([3.0, 1.0, 2.0, 4.0])
    assert keep_highest(scores, 2).tolist() == [True, False, False, True]


def test_ties_go_in_order_of_index() -> None:
    scores = torch.tensor([1.0, 1.0, 0.0, 1.0])
    assert keep_highest(scores, 2).tolist() == [False, True, False, True]


@given(seed=st.integers(0, 1000), pruned=st.integers(0, 5000))
def test_counts_are_exact_on_many_equal_scores(seed: int, pruned: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(5000, generator=generator).clamp(min=0)
    kept = keep_highest(scores, pruned)
    expected = scores.sort(stable=True).indices[:pruned].sort().values
    assert torch.equal((~kept).nonzero().flatten(), expected)


def test_a_global_group_has_one_threshold_and_a_layer_of_its_own_another() -> None:
    scores = {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor([3.0, 4.0])}
    together = compute_masks(scores, [LayerGroup(("a", "b"), 2)])
    assert together["a"].tolist() == [[False, False]]
    assert together["b"].tolist() == [True, True]
    apart = compute_masks(scores, [LayerGroup(("a",), 1), LayerGroup(("b",), 1)])
    assert apart["a"].tolist() == [[False, True]]
    assert apart["b"].tolist() == [False, True]


def test_an_active_zero_outlives_a_weight_outside_the_mask() -> None:
    scores = torch.tensor([0.0, 0.0, 1.0, 2.0])
    within = {"a": torch.tensor([True, False, True, True])}
    assert kept_of(scores, 1, within) == [True, False, True, True]
    assert kept_of(scores, 1) == [False, True, True, True]


def test_weights_outside_go_first_in_order_even_before_minus_infinity() -> None:
    scores = torch.tensor([-math.inf, 5.0, 1.0, 4.0])
    within = {"a": torch.tensor([True, False, True, False])}
    assert kept_of(scores, 1, within) == [True, False, True, True]
    assert kept_of(scores, 2, within) == [True, False, True, False]
    assert kept_of(scores, 3, within) == [False, False, True, False]


def test_only_candidates_are_pruned() -> None:
    scores = torch.tensor([0.0, math.inf, 1.0, 2.0])
    candidates = {"a": torch.tensor([False, True, True, True])}
    assert kept_of(scores, 1, candidates=candidates) == [True, True, False, True]
    assert kept_of(scores, 3, candidates=candidates) == [True, False, False, False]


def test_weights_outside_that_are_no_candidates_stay() -> None:
    scores = torch.tensor([1.0, 2.0, 3.0])
    within = {"a": torch.tensor([False, True, False])}
    candidates = {"a": torch.tensor([False, True, True])}
    assert kept_of(scores, 1, within, candidates) == [True, True, False]


@pytest.mark.parametrize(
    "candidates", [None, {"a": torch.tensor([True, False]), "b": torch.tensor([True])}]
)
def test_a_group_cannot_ask_for_more_than_its_candidates(candidates: Masks | None) -> None:
    scores = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0])}
    most = 2 if candidates else 3
    masks = compute_masks(scores, [LayerGroup(("a", "b"), most)], candidates=candidates)
    assert count_nonzero(masks.values()) == 3 - most
    with pytest.raises(
        ValueError, match=f"at most its {most} candidates, got {most + 1} of a, b; lower"
    ):
        compute_masks(scores, [LayerGroup(("a", "b"), most + 1)], candidates=candidates)


def test_absolute_values_need_no_copy() -> None:
    weights = torch.tensor([-3.0, 0.5, -0.25, 2.0])
    assert kept_of(weights, 2, absolute=True) == [True, False, False, True]
    assert kept_of(weights, 2) == [False, True, False, True]
    assert weights.tolist() == [-3.0, 0.5, -0.25, 2.0]


def test_what_is_no_number_is_infinite_and_ties_with_infinity() -> None:
    scores = torch.tensor([math.nan, 1.0, math.inf, math.nan])
    assert keep_highest(scores, 2).tolist() == [False, False, True, True]
    assert keep_highest(scores, 3).tolist() == [False, False, False, True]


def test_parameters_and_transposed_scores_are_read_in_order() -> None:
    weight = torch.nn.Parameter(torch.tensor([[1.0, 4.0], [2.0, 3.0]]))
    assert kept_of(weight.t(), 2) == [[False, False], [True, True]]


def test_counts_are_exact_where_scores_are_not_numbers() -> None:
    scores = {"a": torch.tensor([math.nan, 1.0, math.inf, math.nan])}
    assert count_nonzero([compute_masks(scores, [LayerGroup(("a",), 2)])["a"]]) == 2


def test_intersection_over_union_by_hand() -> None:
    first = {"a": torch.tensor([True, True, False]), "b": torch.tensor([True])}
    second = {"a": torch.tensor([True, False, True]), "b": torch.tensor([True])}
    assert intersection_over_union(first, second) == 2 / 4
    nothing = {"a": torch.tensor([False])}
    assert math.isnan(intersection_over_union(nothing, nothing))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.bool])
def test_entries_that_are_not_zero_are_counted(dtype: torch.dtype) -> None:
    some = torch.tensor([0.0, -0.0, 1.0, math.nan, 1e-30]).to(dtype)
    ones = torch.ones((2, 2), dtype=dtype)
    assert count_nonzero([some, ones]) == 7
    assert count_nonzero([]) == 0


@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_packing_gives_back_the_mask(shape: list[int], seed: int) -> None:
    mask = {"a": torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.5}
    packed = pack_masks(mask)
    assert packed["a"].numel() == math.ceil(mask["a"].numel() / 8)
    assert torch.equal(unpack_masks(packed, {"a": torch.zeros(shape)})["a"], mask["a"])
