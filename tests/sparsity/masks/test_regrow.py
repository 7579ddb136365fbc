import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.sparsity.masks.regrow import exchange_weights
from sparsetune.sparsity.plans.exchanges import exchange_fraction
from sparsetune.spec.sparsity import Decay, RegrowSpec

VALUES = st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 1.0, 2.0, math.inf, math.nan])
KEPT = True
OUTSIDE = False


def reference(mask: list[bool], drop: list[float], grow: list[float], exchanged: int) -> list[bool]:
    """Drop and grow by stable sorts, NaN as infinity."""

    def ordered(places: list[int], scores: list[float]) -> list[int]:
        return sorted(places, key=lambda i: math.inf if math.isnan(scores[i]) else scores[i])

    kept = [i for i, inside in enumerate(mask) if inside]
    exchanged = min(exchanged, len(kept))
    survivors = set(kept) - set(ordered(kept, drop)[:exchanged])
    others = ordered([i for i in range(len(mask)) if i not in survivors], grow)
    grown = others[len(others) - exchanged :]
    return [i in survivors or i in grown for i in range(len(mask))]


def exchanged_by(
    mask: list[bool], drop: list[float], grow: list[float], exchanged: int
) -> list[bool]:
    new: list[bool] = exchange_weights(
        torch.tensor(mask), torch.tensor(drop), torch.tensor(grow), exchanged
    ).tolist()
    return new


def test_the_lowest_kept_weight_is_dropped_and_the_highest_other_grows() -> None:
    mask = [KEPT, KEPT, OUTSIDE, OUTSIDE]
    drop = [0.2, 0.9, 0.0, 0.0]
    grow = [0.1, 9.0, 0.5, 0.3]
    assert exchanged_by(mask, drop, grow, 1) == [OUTSIDE, KEPT, KEPT, OUTSIDE]
    # The second comes back: 9.0 is highest.
    assert exchanged_by(mask, drop, grow, 2) == [OUTSIDE, KEPT, KEPT, OUTSIDE]
    assert exchanged_by(mask, drop, [0.1, 0.2, 0.5, 0.3], 2) == [OUTSIDE, OUTSIDE, KEPT, KEPT]
    assert exchanged_by(mask, drop, grow, 0) == mask


def test_a_dropped_weight_may_come_back() -> None:
    mask = [KEPT, KEPT, OUTSIDE, OUTSIDE]
    drop = [0.2, 0.9, 0.0, 0.0]
    assert exchanged_by(mask, drop, [7.0, 0.0, 0.5, 0.3], 1) == mask


def test_of_equal_scores_the_first_are_dropped_and_the_last_grow() -> None:
    mask = [KEPT, KEPT, OUTSIDE, OUTSIDE]
    equal = [1.0, 1.0, 1.0, 1.0]
    assert exchanged_by(mask, equal, equal, 1) == [OUTSIDE, KEPT, OUTSIDE, KEPT]


def test_scores_outside_the_mask_are_not_looked_at_for_dropping_nor_inside_for_growing() -> None:
    mask = [KEPT, KEPT, OUTSIDE, OUTSIDE]
    drop = [-math.inf, -math.inf, -math.inf, -5.0]
    grow = [-math.inf, math.inf, -math.inf, -math.inf]
    assert exchanged_by(mask, drop, grow, 1) == [OUTSIDE, KEPT, OUTSIDE, KEPT]


def test_where_more_are_asked_than_are_kept_all_of_them_are_exchanged() -> None:
    mask = [KEPT, OUTSIDE, OUTSIDE, OUTSIDE]
    scores = [1.0, 2.0, 3.0, 4.0]
    assert exchanged_by(mask, scores, scores, 3) == [OUTSIDE, OUTSIDE, OUTSIDE, KEPT]
    assert exchanged_by([OUTSIDE] * 4, scores, scores, 3) == [OUTSIDE] * 4
    assert exchanged_by([KEPT] * 4, scores, scores, 9) == [KEPT] * 4


def test_the_mask_keeps_its_shape_and_the_old_one_its_values() -> None:
    mask = torch.tensor([[True, True], [False, False]])
    scores = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert exchange_weights(mask, scores, scores, 1).tolist() == [[False, True], [False, True]]
    assert mask.tolist() == [[True, True], [False, False]]


@given(
    places=st.lists(st.tuples(st.booleans(), VALUES, VALUES), min_size=1, max_size=40),
    exchanged=st.integers(0, 45),
)
def test_an_exchange_is_that_of_stable_sorts_and_keeps_the_count(
    places: list[tuple[bool, float, float]], exchanged: int
) -> None:
    mask, drop, grow = (list(column) for column in zip(*places, strict=True))
    new = exchanged_by(mask, drop, grow, exchanged)
    assert new == reference(mask, drop, grow, exchanged)
    assert sum(new) == sum(mask)


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("cosine", [0.4, 0.2 * (1 + math.sqrt(0.5)), 0.2, 0.0]),
        ("linear", [0.4, 0.3, 0.2, 0.0]),
        ("constant", [0.4, 0.4, 0.4, 0.4]),
    ],
)
def test_the_fraction_falls_as_declared(decay: Decay, expected: list[float]) -> None:
    spec = RegrowSpec(fraction=0.4, decay=decay)
    found = [exchange_fraction(step, 1000, spec) for step in (0, 250, 500, 1000)]
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("decay", get_args(Decay))
@given(end=st.integers(1, 10_000), data=st.data())
def test_every_decay_starts_at_the_fraction_and_never_rises(
    decay: Decay, end: int, data: st.DataObject
) -> None:
    spec = RegrowSpec(fraction=0.3, decay=decay)
    steps = sorted(data.draw(st.lists(st.integers(0, end), min_size=2)))
    values = [exchange_fraction(step, end, spec) for step in [0, *steps]]
    assert values[0] == 0.3
    assert values == sorted(values, reverse=True)
    assert values[-1] >= 0
