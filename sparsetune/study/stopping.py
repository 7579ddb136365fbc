"""The rule by which a study stops configurations early.

`sparsetune.search.stopping.halving` carries it out.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from sparsetune.spec.declaration import Declaration

Fraction = Annotated[float, Field(gt=0, lt=1)]


def _check_rising(rungs: tuple[float, ...]) -> tuple[float, ...]:
    if list(rungs) != sorted(set(rungs)):
        raise ValueError("rungs must rise: each a larger fraction of training than the one before")
    return rungs


class Halving(Declaration):
    """Asynchronous successive halving with rungs at fractions of each trial's *own* training.

    A configuration is compared at a rung only within its cell, with configurations of equal length
    in the same phase, and once it has been at target for ``settle`` of training, or ``early``;
    elsewhere it is neither stopped nor counted. After ASHA (Li et al. 2020, arXiv 1810.05934),
    which compares epochs.
    """

    rungs: Annotated[tuple[Fraction, ...], Field(min_length=1), AfterValidator(_check_rising)] = (
        0.25,
        0.5,
        0.75,
    )
    """Fractions of training, rising. Each is judged at the first evaluation at or after it, unless
    that is the last one."""
    reduction: float = Field(default=3, gt=1)
    """At a rung the best 1/reduction of the configurations that reached it continue, rounded up; so
    do ties."""
    settle: float = Field(default=0.1, ge=0, lt=1)
    """Fraction of training at target, in one phase, before a configuration is compared."""
    settled_from: float = Field(default=0, ge=0, lt=1)
    """Fraction of training before which networks that have settled at target are not compared: a
    network that is sparse from the start may learn nothing for long, and then be the best."""
    early: bool = False
    """Compare networks before that too, with those of the same schedule of the learning rate: those
    of which nothing has been pruned yet, and those of one plan of AC/DC in the same phase."""


EARLY_HALVING = Halving(
    rungs=(1 / 12, 1 / 6, 1 / 3, 1 / 2, 3 / 4), reduction=4, settled_from=0.5, early=True
)
"""Rule of studies of many configurations that declare neither sampler nor stopping."""
