"""What searches of several sizes are expected to find, from replays over recorded landscapes."""

from __future__ import annotations

from typing import NamedTuple

from sparsetune.study import Study
from sparsetune.study.samplers import GP, MIN_GP_CONFIGURATIONS, Sobol
from sparsetune.study.stopping import EARLY_HALVING

WHOLE_CONFIGURATIONS = 32
"""Sobol configurations, all trained to their end, of the search that others are compared with."""


class RecordedSearch(NamedTuple):
    """What searches of one size chose, as a mean over networks that served to choose no rule.

    Args:
        configurations: Configurations that the search tried.
        regret: Error on fresh seeds of what it chose minus that of what `WHOLE_CONFIGURATIONS`
            chose, in percentage points.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    configurations: int
    regret: float
    low: float
    high: float


RECORDED_SEARCHES = (
    RecordedSearch(8, 1.65, -0.19, 3.49),
    RecordedSearch(16, 0.69, -0.66, 2.05),
    RecordedSearch(32, -0.91, -1.79, -0.03),
)
"""Searches as a study makes them that does not say how: the rows `8 whole`, `default` and `GP 32,
early halving` of `studies/records/landscapes/regret.csv`."""


def regret_sentence(study: Study) -> str | None:
    """What searches of 8, 16 and 32 configurations find; None where a study says itself how to
    search, which is not on record.
    """
    if not _is_default_search(study):
        return None
    found = [_in_words(recorded) for recorded in RECORDED_SEARCHES]
    return (
        f"Compared with {WHOLE_CONFIGURATIONS} configurations that all train to their end, a search"
        f" finds recipes that are on fresh seeds {found[0]}, {found[1]}, and {found[2]}: means over"
        " recorded small networks, with 95 % intervals."
    )


def _in_words(recorded: RecordedSearch) -> str:
    """``0.2 points better (-2.4 to 2.8) with 16 configurations``."""
    better = recorded.regret < 0
    ends = (-recorded.high, -recorded.low) if better else (recorded.low, recorded.high)
    return (
        f"{abs(recorded.regret):.1f} points {'better' if better else 'worse'}"
        f" ({ends[0]:.1f} to {ends[1]:.1f}) with {recorded.configurations} configurations"
    )


def _is_default_search(study: Study) -> bool:
    """True if sampler and stopping are those of a study that declares neither."""
    if not any(cell.search for cell in study.cells()):
        return False
    if study.configurations_per_cell < MIN_GP_CONFIGURATIONS:
        return study.sampler == Sobol() and study.stopping is None
    return study.sampler == GP() and study.stopping == EARLY_HALVING
