"""Error rates of whole reports; the tables are in docs/answers/simulation.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sparsetune.answers import Asked, judge
from tests.answers.simulation.coverage import SEEDS, SPREADS, TEST_SETS, coverage
from tests.answers.simulation.rates import is_false_yes
from tests.answers.simulation.scenarios import (
    ERRORS,
    LOOKS,
    MARGINS,
    MIXTURES,
    NORMAL,
    NULLS,
    SEARCHES,
    SETTLED,
    Scenario,
)
from tests.answers.simulation.sequence import compare
from tests.answers.simulation.table import DRAWS
from tests.answers.simulation.truths import nothing

PAGE = Path(__file__).parents[2] / "docs/answers/simulation.md"
QUICK = (
    NULLS[0],
    NULLS[2],
    NULLS[4],
    MARGINS[2],
    MIXTURES[1],
    SEARCHES[0],
    LOOKS[3],
    *SETTLED[1:4],
)
QUICK_DRAWS = 200


@pytest.mark.parametrize("scenario", QUICK, ids=lambda scenario: scenario.name)
def test_reports_are_seldom_wrong(scenario: Scenario) -> None:
    assert scenario.rates(QUICK_DRAWS).either <= scenario.max_error


def test_reports_settle_what_is_there() -> None:
    found = MIXTURES[1].rates(QUICK_DRAWS)
    assert found.primary_yes > 0.5
    assert found.settled > 0.5


def test_contrasts_judged_one_by_one_would_often_be_wrong() -> None:
    """Otherwise the rates above would say nothing of the family."""
    wrong = []
    for number in range(40):
        study = Scenario("", NORMAL, nothing).study(np.random.default_rng(number))
        bounds = [
            judge([Asked("alone", asked.sides, asked.margin, [contrast])])[0]
            for asked in study.drawn.family(study.margin)
            for contrast in asked.contrasts
        ]
        wrong.append(any(map(is_false_yes, bounds, study.drawn.truths())))
    assert np.mean(wrong) > 0.2


def test_a_fixed_sequence_that_any_answer_continues_spends_its_level_again() -> None:
    found = compare(8)
    assert found.sequence > 3 * 0.05
    assert found.bonferroni <= 0.05


def test_a_draw_does_not_depend_on_the_number_of_draws() -> None:
    scenario = MIXTURES[1]
    first, again = (scenario.study(np.random.default_rng([0, 3])) for _ in range(2))
    assert np.array_equal(first.drawn.values, again.drawn.values, equal_nan=True)


def test_the_page_has_every_scenario() -> None:
    page = PAGE.read_text()
    assert [scenario.name for scenario in ERRORS if f"| {scenario.name} |" not in page] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", ERRORS, ids=lambda scenario: scenario.name)
def test_error_rates_over_all_draws(scenario: Scenario) -> None:
    assert scenario.rates(DRAWS).either <= scenario.max_error


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("n_examples", TEST_SETS)
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("spread", SPREADS)
def test_coverage_over_all_draws(n_examples: int, seeds: int, spread: float) -> None:
    found = coverage(n_examples, seeds, spread, DRAWS)
    # The limits, 93 and 98 %, with twice the standard error of the simulation.
    assert found.covered >= 0.93 - 0.01
    if seeds > 2:
        assert found.covered <= 0.98 + 0.006
