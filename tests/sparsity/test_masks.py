import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.sparsity.allocation import Group
from sparsetune.sparsity.masks import compute_masks, count, intersection_over_union, keep_highest, pack, unpack

SCORES = st.lists(st.sampled_from([-math.inf, 0.0, 0.5, 1.0, 2.0, 3.0, math.inf]), min_size=1, max_size=60)


def test_the_lowest_scores_are_pruned() -> None:
    assert keep_highest(torch.tensor([3.0, 1.0, 2.0, 4.0]), 2).tolist() == [True, False, False, True]


def test_ties_go_in_order_of_index() -> None:
    assert keep_highest(torch.tensor([1.0, 1.0, 0.0, 1.0]), 2).tolist() == [False, True, False, True]


@given(scores=SCORES, data=st.data())
def test_exactly_the_first_of_a_stable_sort_are_pruned(scores: list[float], data: st.DataObject) -> None:
    pruned = data.draw(st.integers(0, len(scores)))
    order = sorted(range(len(scores)), key=lambda i: scores[i])
    kept = keep_highest(torch.tensor(scores), pruned)
    assert sorted(order[:pruned]) == (~kept).nonzero().flatten().tolist()


@given(seed=st.integers(0, 1000), pruned=st.integers(0, 5000))
def test_counts_are_exact_on_many_equal_scores(seed: int, pruned: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(5000, generator=generator).clamp(min=0)
    kept = keep_highest(scores, pruned)
    expected = scores.sort(stable=True).indices[:pruned].sort().values
    assert torch.equal((~kept).nonzero().flatten(), expected)


def test_a_global_group_has_one_threshold_and_a_layer_of_its_own_another() -> None:
    scores = {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor([3.0, 4.0])}
    together = compute_masks(scores, [Group(("a", "b"), 2)])
    assert together["a"].tolist() == [[False, False]]
    assert together["b"].tolist() == [True, True]
    apart = compute_masks(scores, [Group(("a",), 1), Group(("b",), 1)])
    assert apart["a"].tolist() == [[False, True]]
    assert apart["b"].tolist() == [False, True]


def test_an_active_zero_outlives_a_weight_outside_the_mask() -> None:
    scores = {"a": torch.tensor([0.0, 0.0, 1.0, 2.0])}
    within = {"a": torch.tensor([True, False, True, True])}
    assert compute_masks(scores, [Group(("a",), 1)], within)["a"].tolist() == [True, False, True, True]
    assert compute_masks(scores, [Group(("a",), 1)])["a"].tolist() == [False, True, True, True]


def test_counts_are_exact_where_scores_are_not_numbers() -> None:
    scores = {"a": torch.tensor([math.nan, 1.0, math.inf, math.nan])}
    assert count([compute_masks(scores, [Group(("a",), 2)])["a"]]) == 2


def test_intersection_over_union_by_hand() -> None:
    first = {"a": torch.tensor([True, True, False]), "b": torch.tensor([True])}
    second = {"a": torch.tensor([True, False, True]), "b": torch.tensor([True])}
    assert intersection_over_union(first, second) == 2 / 4
    nothing = {"a": torch.tensor([False])}
    assert math.isnan(intersection_over_union(nothing, nothing))


@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_packing_gives_back_the_mask(shape: list[int], seed: int) -> None:
    mask = {"a": torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.5}
    packed = pack(mask)
    assert packed["a"].numel() == math.ceil(mask["a"].numel() / 8)
    assert torch.equal(unpack(packed, {"a": torch.zeros(shape)})["a"], mask["a"])
