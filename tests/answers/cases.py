"""Families of questions for tests."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sparsetune.answers import Asked, Bound, Contrast, Sample, Sides, judge


def sample(differences: Sequence[float], group: str = "gmp 0.98", **fields: object) -> Sample:
    """A sample without examples."""
    return Sample(np.array(differences, dtype=float), None, group, **fields)  # type: ignore[arg-type]


def asked(*samples: Sample, sides: Sides = 1, margin: float = 1.0, name: str = "gain") -> Asked:
    """One question with a contrast for each sample, none of them primary."""
    contrasts = [Contrast(str(number), one) for number, one in enumerate(samples)]
    return Asked(name, sides, margin, contrasts)


def judged(
    *samples: Sample, sides: Sides = 1, margin: float = 1.0, level: float = 0.05
) -> list[Bound]:
    """Bounds of one question at its first stage, where every contrast has this level."""
    family = [asked(*samples, sides=sides, margin=margin)]
    return judge(family, level=level * len(samples) * math.pi**2 / 6)
