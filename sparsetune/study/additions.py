"""Additions to a study after its first launch: more seeds, configurations and sweep values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sparsetune.study.space import Value


@dataclass(frozen=True, kw_only=True)
class Additions:
    """Values that one `sparsetune resume` adds to a declaration.

    Args:
        report_seeds: Further seeds for the winner of every cell, a count.
        configurations_per_cell: Further configurations for every cell that searches, a count.
        sweep: New values by sweep axis, named as in `Study.sweep_axes`.
    """

    report_seeds: int = 0
    configurations_per_cell: int = 0
    sweep: Mapping[str, Sequence[Value]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Report seeds that some cells get at a look, since it needs them to settle answers.

    Args:
        look: Number of the look that the seeds are for, from 2.
        report_seeds: Further seeds for each of the cells, a count.
        cells: Names of the cells.
    """

    look: int
    report_seeds: int
    cells: Sequence[str]


def granted_seeds(records: Iterable[object]) -> dict[str, int]:
    """Report seeds of each cell beyond those of every cell; cells without any are left out.

    Args:
        records: Records of a ledger, of which those that are a `Grant` count.
    """
    seeds: Counter[str] = Counter()
    for record in records:
        if isinstance(record, Grant):
            seeds.update(dict.fromkeys(record.cells, record.report_seeds))
    return dict(seeds)


def reached_look(records: Iterable[object]) -> int:
    """Number of the declared look that a study has reached, from 1.

    Args:
        records: Records of a ledger, of which those that are a `Grant` count.
    """
    return max((record.look for record in records if isinstance(record, Grant)), default=1)
