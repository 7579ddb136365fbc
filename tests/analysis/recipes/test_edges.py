from __future__ import annotations

import numpy as np
import pytest

from analysis.recipes.optima.edges import edges
from analysis.recipes.optima.exhibits import edge_exhibits
from analysis.testing import ResultsBuilder
from sparsetune.study.space import Axis, IntRange, LogUniform, Uniform
from tests.analysis.recipes.test_optima import sobol

AXES: dict[str, Axis] = {
    "optim.lr": LogUniform(0.01, 1.0),
    "sparsity.ramp.start": Uniform(0.0, 0.3),
}


def bowl(
    best: float, curvature: float = 0.1, n: int = 24, at: tuple[Axis, ...] = ()
) -> ResultsBuilder:
    """One cell whose error is lowest at ``best`` of the learning rate's range, in units of it."""
    x = sobol(n, 2)
    noise = np.random.default_rng(0).normal(0, 0.002, n)
    return ResultsBuilder().search(
        "c", AXES, x, {"val_error": 0.1 + curvature * (x[:, 0] - best) ** 2 + noise}
    )


@pytest.mark.parametrize(
    ("best", "end", "wider"), [(1.1, "high", (0.01, 10**0.5)), (-0.1, "low", (0.01 / 10**0.5, 1))]
)
def test_an_optimum_beyond_the_range_is_found_and_says_which_way_to_widen(
    best: float, end: str, wider: tuple[float, float]
) -> None:
    rows = edges(bowl(best)).set_index("axis")
    row = rows.loc["optim.lr"]
    assert (row["end"], row["sure"]) == (end, True)
    assert (row["wider_low"], row["wider_high"]) == pytest.approx(wider)
    assert f"{'upper' if end == 'high' else 'lower'} end" in row["finding"]
    assert "(from 24 configurations)" in row["finding"]


def test_an_interval_that_only_reaches_the_end_is_not_sure() -> None:
    row = edges(bowl(0.75, curvature=0.02)).set_index("axis").loc["optim.lr"]
    assert row["low"] < 0.4
    assert row["high"] == pytest.approx(1.0)
    assert (row["end"], row["sure"]) == ("high", False)
    assert (
        f"the interval {row['low']:.3g} to 1 reaches the upper end:"
        " the best may lie at or beyond it" in row["finding"]
    )
    assert row["wider_high"] == pytest.approx(10**0.5)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_how_often_an_edge_is_sure() -> None:
    def sure(best: float, seed: int) -> bool:
        random = np.random.default_rng(seed)
        x = random.permutation((np.arange(24) + 0.5) / 24)[:, None]
        values = 0.1 + 0.08 * (x[:, 0] - best) ** 2 + random.normal(0, 0.004, 24)
        found = edges(
            ResultsBuilder().search("c", {"optim.lr": AXES["optim.lr"]}, x, {"val_error": values})
        )
        return bool(found["sure"].any())

    assert (
        np.mean([sure(best, seed) for seed, best in enumerate(np.linspace(0.1, 0.9, 161))]) <= 0.06
    )
    assert np.mean([sure(1.15, seed) for seed in range(40)]) >= 0.8


def test_an_optimum_inside_the_range_is_no_finding() -> None:
    assert "optim.lr" not in set(edges(bowl(0.5))["axis"])
    assert list(edge_exhibits(ResultsBuilder())) == []


def winner_at(
    unit: float, axis: Axis, path: str = "optim.weight_decay", n: int = 5
) -> ResultsBuilder:
    """Too few configurations for a surface, the best at ``unit`` of the range."""
    x = np.concatenate([[unit], np.linspace(0.2, 0.8, n - 1)])
    return ResultsBuilder().search(
        "c", {path: axis}, x[:, None], {"val_error": [0.1, *[0.2] * (n - 1)]}
    )


@pytest.mark.parametrize(
    ("unit", "found"), [(0.0499, ["low"]), (0.06, []), (0.94, []), (0.951, ["high"])]
)
def test_of_few_configurations_a_winner_within_five_percent_of_an_end_is_not_sure(
    unit: float, found: list[str]
) -> None:
    rows = edges(winner_at(unit, LogUniform(1e-6, 1e-3)))
    assert list(rows["end"]) == found
    assert not rows["sure"].any()
    assert rows["finding"].str.contains("too few configurations, so this may be chance").all()


@pytest.mark.parametrize(
    ("unit", "side", "end", "base"), [(1, "upper", "0.001", 2e-3), (0, "lower", "1e-06", 1e-7)]
)
def test_a_winner_outside_the_range_is_said_to_lie_there(
    unit: float, side: str, end: str, base: float
) -> None:
    inside = edges(winner_at(unit, LogUniform(1e-6, 1e-3))).iloc[0]["finding"]
    assert f"within 5 % of the range of the {side} end {end}; too few" in inside
    made = winner_at(unit, LogUniform(1e-6, 1e-3))
    made.cell_rows["c"]["optim.weight_decay"] = base
    finding = edges(made).iloc[0]["finding"]
    assert (
        f"the winner {base:.3g} lies beyond the {side} end {end} of the searched range; too few"
        in finding
    )


def test_there_is_nothing_beyond_a_natural_end() -> None:
    assert edges(winner_at(0.0, Uniform(0.0, 0.3), "sparsity.ramp.start")).empty
    assert edges(winner_at(0.9999, Uniform(0.3, 1.0), "sparsity.ramp.length")).empty
    row = edges(winner_at(0.9999, Uniform(0.3, 0.8), "sparsity.ramp.length")).iloc[0]
    assert (row["wider_low"], row["wider_high"]) == pytest.approx(
        (0.3, 1.0)
    )  # by half its width, but no further
    row = edges(winner_at(0.0, Uniform(0.3, 0.8), "sparsity.ramp.length")).iloc[0]
    assert (row["wider_low"], row["wider_high"]) == pytest.approx((0.05, 0.8))


def test_of_whole_numbers_only_the_ends_themselves_are_at_the_edge() -> None:
    assert edges(winner_at(0.2, IntRange(1, 30), "a.b")).empty
    row = edges(winner_at(0.99, IntRange(1, 30), "a.b")).iloc[0]
    assert (row["end"], row["wider_high"]) == ("high", 45)


def test_another_measure_than_the_objective_knows_no_winner() -> None:
    made = winner_at(0.0, LogUniform(1e-6, 1e-3))
    for row in made.trial_rows:
        row["val_loss"] = row["val_error"]
    assert len(edges(made)) == 1
    assert edges(made, "val_loss").empty
    assert len(list(edge_exhibits(made))) == 1
