"""Additions to a study after its first launch: more seeds, configurations and sweep values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
