from __future__ import annotations

import numpy as np
import pytest

from sparsetune.answers import Sample, jackknife_values
from sparsetune.errors import SparsetuneError
from tests.answers.cases import judged


def f1(outcomes: np.ndarray) -> float:
    """F1 of pairs (predicted, true)."""
    predicted, true = outcomes[:, 0] > 0, outcomes[:, 1] > 0
    return float(2 * (predicted & true).sum() / (predicted.sum() + true.sum()))


def test_values_of_a_mean_are_the_examples_own() -> None:
    outcomes = np.array([[1.0], [0.0], [0.0], [5.0]])
    assert jackknife_values(lambda rows: float(rows.mean()), outcomes) == pytest.approx(
        [1, 0, 0, 5]
    )


def test_values_by_leaving_each_example_out() -> None:
    # Right, wrong, right, missed: F1 2/4 * 2 = 4/6.
    outcomes = np.array([[1, 1], [1, 0], [1, 1], [0, 1], [0, 0]])
    # Without each: 2/4, 4/5, 2/4, 4/5, 4/6.
    expected = [5 * 4 / 6 - 4 * score for score in (2 / 4, 4 / 5, 2 / 4, 4 / 5, 4 / 6)]
    assert jackknife_values(f1, outcomes) == pytest.approx(expected)


def test_their_spread_is_that_of_the_score_over_test_sets() -> None:
    rng = np.random.default_rng(0)

    def drawn() -> np.ndarray:
        true = rng.random(400) < 0.3
        return np.stack([true ^ (rng.random(400) < 0.1), true], axis=1)

    scores = [f1(drawn()) for _ in range(400)]
    values = jackknife_values(f1, drawn())
    assert values.std(ddof=1) / 20 == pytest.approx(np.std(scores), rel=0.2)


def test_differences_of_values_make_an_interval() -> None:
    rng = np.random.default_rng(0)
    true = rng.random(300) < 0.3
    values, scores = [], []
    for flipped in (0.05, 0.2):
        networks = [np.stack([true ^ (rng.random(300) < flipped), true], axis=1) for _ in range(3)]
        values.append(np.array([jackknife_values(f1, one) for one in networks]))
        scores.append(np.array([f1(one) for one in networks]))
    (bound,) = judged(Sample(scores[0] - scores[1], values[0] - values[1], ""), margin=0.01)
    assert bound.mean == pytest.approx((scores[0] - scores[1]).mean())
    assert bound.verdict == "yes"


@pytest.mark.parametrize("outcomes", [np.zeros((1, 2)), np.zeros(3)])
def test_two_examples_are_needed(outcomes: np.ndarray) -> None:
    with pytest.raises(SparsetuneError, match="two or more"):
        jackknife_values(f1, outcomes)
