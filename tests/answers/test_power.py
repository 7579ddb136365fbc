from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sparsetune.answers import power, smallest_margin
from sparsetune.errors import SparsetuneError
from tests.answers.cases import judged, sample


def test_without_an_effect_power_is_the_level_of_one_bound() -> None:
    assert power(5, 1.0, 0.0, 0.04, 1) == pytest.approx(0.04)
    assert power(5, 1.0, 0.0, 0.04, 2) == pytest.approx(0.02)


@pytest.mark.parametrize(("n", "sides"), [(3, 1), (5, 2)])
def test_power_is_how_often_judging_says_yes(n: int, sides: int) -> None:
    rng = np.random.default_rng(0)
    expected = power(n, 0.3, 0.5, 0.02, sides)  # type: ignore[arg-type]
    bounds = [
        judged(sample(0.5 + 0.3 * rng.normal(size=n)), sides=sides, margin=1e-9, level=0.02)[0]  # type: ignore[arg-type]
        for _ in range(500)
    ]
    said = np.mean([bound.verdict == "yes" for bound in bounds])
    assert 0.1 < expected < 0.9
    assert said == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 500))


def test_power_grows_with_effect_seeds_and_shared_spread() -> None:
    found = [
        power(3, 0.3, 0.5, 0.01, 1),
        power(3, 0.3, 1.0, 0.01, 1),
        power(5, 0.3, 1.0, 0.01, 1),
        power(5, 0.3, 1.0, 0.01, 1, df=10),
    ]
    assert found == sorted(found)
    assert len(set(found)) == 4


@pytest.mark.parametrize("level", [1e-5, 1e-3, 0.05])
@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.parametrize("effect", [0.0, 1.0, 1e3])
def test_power_is_a_probability(level: float, n: int, effect: float) -> None:
    assert 0 <= power(n, 0.01, effect, level, 1) <= 1


@pytest.mark.parametrize("level", [1e-4, 0.05, 0.6])
@pytest.mark.parametrize("shift", [-1.0, 0.0, 0.5, 3.0])
def test_power_is_that_of_the_noncentral_t(level: float, shift: float) -> None:
    expected = stats.nct.sf(stats.t.isf(level, 4), 4, shift * math.sqrt(5))
    assert power(5, 1.0, shift, level, 1) == pytest.approx(expected, rel=1e-5)


def test_one_seed_shows_nothing() -> None:
    assert power(1, 0.3, 100.0, 0.05, 1) == 0


def test_inputs_in_range() -> None:
    with pytest.raises(SparsetuneError, match="above 0, got 0"):
        power(3, 0.0, 1.0, 0.05, 1)
    with pytest.raises(SparsetuneError, match="below 1, got 5"):
        power(3, 1.0, 1.0, 5, 1)


def test_360_images_cannot_show_a_margin_of_0_2_points() -> None:
    # 1.959964 sqrt(0.04 / 360)
    assert smallest_margin(360, 0.04, 0.05, 2) == pytest.approx(0.020660, rel=1e-4)
    assert smallest_margin(100_000, 0.004, 0.05, 1) < 0.002
