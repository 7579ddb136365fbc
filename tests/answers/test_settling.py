"""Looks that are declared: their levels, what stays settled, and what stopping early costs."""

from __future__ import annotations

import numpy as np
import pytest

from sparsetune.answers import Asked, Bound, judge, judge_looks, look_level
from sparsetune.errors import SparsetuneError
from tests.answers.cases import asked, sample
from tests.answers.simulation.settling import DECLARED, MARGIN, SHARES, stopping

LOOKS = (3, 6, 12)


@pytest.mark.parametrize(
    ("look", "expected"),
    # 3.0396 % in parts of 3, 6 and 12 of 21; then what the second and third stage may spend.
    [(1, 0.00434235), (2, 0.00868469), (3, 0.0173694), (4, 0.00759909), (5, 0.00337737)],
)
def test_declared_looks_share_the_first_stage_by_their_seeds(look: int, expected: float) -> None:
    assert look_level(0.05, look, LOOKS) == pytest.approx(expected, rel=1e-5)


def test_looks_never_spend_more_than_the_level() -> None:
    spent = sum(look_level(0.05, look, LOOKS) for look in range(1, 100_000))
    assert 0.0499 < spent < 0.05


def test_looks_are_counted_from_one() -> None:
    with pytest.raises(SparsetuneError, match="`look` is counted from 1, got 0"):
        look_level(0.05, 0, LOOKS)


FIRST = [1.0, 1.1, 0.9]
LATER = [-2.0, 2.0, 0.0]
"""The first three seeds settle a yes, which all six would take back."""


def family(look: int) -> list[Asked]:
    """One contrast that the first look settles, and one that no look does."""
    n = LOOKS[look - 1]
    wide = [3.0, -3.0, 1.0, -1.0, 2.0, -2.0] * 2
    return [asked(sample([*FIRST, *LATER][:n], "a"), sample(wide[:n], "b"), margin=0.5)]


def test_what_a_look_settles_stays_as_it_was() -> None:
    first, second = judge_looks(family, looks=[1, 2], declared=LOOKS)
    assert (first.verdict, first.look, first.n) == ("yes", 1, 3)
    assert first == judge(family(1), declared=LOOKS)[0]
    assert first.level == pytest.approx(0.00434235 / 2, rel=1e-5)
    assert judge(family(2), look=2, declared=LOOKS)[0].verdict == "not settled"
    assert (second.verdict, second.look, second.n) == ("not settled", 2, 6)
    assert second.level == pytest.approx(0.00868469 / 2, rel=1e-5)


def test_while_a_look_runs_only_what_is_not_settled_is_open() -> None:
    found = judge_looks(family, looks=[1, 2], declared=LOOKS, is_complete=False)
    assert [bound.verdict for bound in found] == ["yes", "open"]


@pytest.mark.parametrize(
    ("values", "collapsed", "needs"),
    [
        ([1.0, -1.0, 0.5], 0, True),  # just too wide
        ([1.0], 0, True),
        ([1.0, 1.0, 1.0], 0, True),  # further seeds may show a spread
        (FIRST, 0, False),  # settled
        ([], 0, False),  # it diverged, or learned nothing
        ([1.0, np.nan, 0.5], 0, False),
        ([1.0, 0.9, 1.1], 1, False),
    ],
)
def test_seeds_help_only_where_they_can(values: list[float], collapsed: int, needs: bool) -> None:
    measured = sample(values, collapsed=(collapsed, 0), runs=(4, 4))
    (bound,) = judge([asked(measured, margin=0.5)])
    assert bound.needs_seeds is needs


def test_an_open_answer_needs_no_seeds_before_its_trials_have_ended() -> None:
    (bound,) = judge([asked(sample([1.0, -1.0]))], is_complete=False)
    assert (bound.verdict, bound.needs_seeds) == ("open", False)


def test_the_simulation_of_one_contrast_judges_as_reports_do() -> None:
    rng = np.random.default_rng(1)
    values = 1.0 + rng.standard_normal((60, DECLARED[-1]))
    verdicts: list[Bound] = []
    for own in values:
        for look in range(1, len(DECLARED) + 1):
            (bound,) = judge_looks(
                lambda k, own=own: [asked(sample(own[: DECLARED[k - 1]]), margin=MARGIN)],  # type: ignore[misc]
                looks=range(1, look + 1),
                declared=DECLARED,
            )
            if bound.is_settled:
                break
        verdicts.append(bound)
    found = stopping(1.0, 1.0, draws=60, differences=lambda rng, shape: values - 1.0)
    assert found.yes == np.mean([bound.verdict == "yes" for bound in verdicts])
    assert found.no == np.mean([bound.verdict == "no" for bound in verdicts])
    assert found.seeds == np.mean([bound.n for bound in verdicts])
    assert found.bias == pytest.approx(np.mean([bound.mean - 1.0 for bound in verdicts]))


@pytest.mark.parametrize("share", SHARES.values(), ids=SHARES.keys())
def test_stopping_keeps_the_level_and_costs_little(share: float) -> None:
    nothing = stopping(0.0, share)
    # 3.04 % of the first stage at most, with twice the standard error of 40,000 draws.
    assert nothing.yes <= 0.0304 * share + 0.002
    at_margin = stopping(MARGIN, share)
    assert at_margin.no <= 0.0304 * share + 0.002
    for gain in (0.0, 0.5, 1.0, 2.0, 4.0):
        found = stopping(gain, share)
        # The last interval misses on either side.
        assert found.covered >= 1 - 2 * 0.0304 * share - 0.003
        assert abs(found.bias) < 0.08
        assert found.seeds <= DECLARED[-1]
    large = stopping(4.0, share)
    assert large.yes > 0.999
    assert large.seeds < 6.5


def test_looks_that_each_had_the_whole_level_would_be_wrong_more_often() -> None:
    """Otherwise the rates above would say nothing of how the level is spent."""
    often = range(3, 13)
    assert stopping(0.0, 1.0, often).yes <= 0.0304 + 0.002
    # So large a share gives the last look the whole level, and no other more.
    assert stopping(0.0, sum(often) / often[-1], often).yes > 1.5 * 0.0304
