"""Ramp-aware halving: which configurations a rung compares, and which of them goes no further. Knows no Ray.

All is a function of what the ledger holds, so that a resumed study judges as an uninterrupted one would. Asynchronous
successive halving in its stopping form (Li et al. 2020, section 3.1): a configuration is judged when a seed of it
reaches a rung, against those that were there before; the first goes on, and so does whatever ties with a survivor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Literal, NamedTuple

from sparsetune.durations import fraction_to_step
from sparsetune.sparsity.methods.plan import mask_schedule
from sparsetune.spec import TrialSpec
from sparsetune.storage.ledger import Record, TrialState
from sparsetune.study import Maximize, Minimize
from sparsetune.study.stopping import Halving

LOSS_COLUMNS = ("batch_loss", "train_loss")
"""A trial whose row has one of these missing or infinite ends there as DIVERGED."""
STEP_TOLERANCE = 1e-9
"""Of products of fractions with whole numbers of steps."""


class ComparisonGroup(NamedTuple):
    """Whom a configuration is compared with at a rung of its cell: those of equal length, in like phase.

    Where training FLOPs are equal, and not epochs, the length is that of the dense twin.
    """

    steps: int
    phase: str


class RungStanding(NamedTuple):
    """A configuration at a rung: its group, and the mean objective of its seeds there; infinite if one diverged."""

    group: ComparisonGroup
    value: float


class RungCandidate(NamedTuple):
    """A configuration as its cell's rungs see it: its recipe, and those of its search trials that were proposed."""

    spec: TrialSpec
    trials: Sequence[TrialState]

    @property
    def stopped(self) -> bool:
        """Whether a seed has ended at a rung, and so all of them do."""
        return any(trial.status == "PRUNED" for trial in self.trials)


class RungStop(NamedTuple):
    """The end of a configuration at a rung: its index, why, and the trials that it ends."""

    rung: int
    reason: str
    trials: list[str]


@dataclass(frozen=True)
class HalvingRungs:
    """The rungs of a study.

    Args:
        rule: Where they lie, how many go on, how long a network must be at target before it is compared.
        objective: What is compared.
        equal: What the study's networks of equal length share; see `Study.equal`.
    """

    rule: Halving
    objective: Minimize | Maximize
    equal: Literal["epochs", "train_flops"] = "epochs"

    def rungs_reached(self, trial: TrialState, row: Record) -> list[int]:
        """Index of each rung that a row of the trial is the first to reach; none if the trial ends with the row."""
        losses = [row[loss] for loss in LOSS_COLUMNS if loss in row]
        if row["progress"] >= 1 or any(loss is None or not math.isfinite(loss) for loss in losses):
            return []
        before = max(
            (at["progress"] for step, at in trial.reports.items() if step < row["step"]),
            default=0.0,
        )
        return [
            index for index, rung in enumerate(self.rule.rungs) if before < rung <= row["progress"]
        ]

    def standing_at(self, candidate: RungCandidate, rung: int) -> RungStanding | None:
        """How a configuration stands at the rung of this index; None where it is not compared.

        One with a diverged seed stands last at every rung that it reached, and at the first that it did not reach but
        would have been compared at.
        """
        rows = [row for trial in candidate.trials if (row := self._row(trial, rung))]
        rows = [
            row for row in rows if row["at_target"] and self._settled(candidate.spec, row["step"])
        ]
        diverged = any(trial.status == "DIVERGED" for trial in candidate.trials)
        if rows:
            values = [row.get(self.objective.column) for row in rows]
            known = [value for value in values if value is not None and math.isfinite(value)]
            value = self._worst if diverged or len(known) < len(rows) else fmean(known)
            return RungStanding(
                ComparisonGroup(self._length(candidate.spec), rows[0]["phase"]), value
            )
        index, group = self._missed_rung(candidate) or (None, None)
        return RungStanding(group, self._worst) if group and index == rung else None

    def values(self, candidate: RungCandidate) -> dict[int, float]:
        """The mean objective at each rung where the configuration was compared, by the rung's index."""
        standings = {
            index: self.standing_at(candidate, index) for index in range(len(self.rule.rungs))
        }
        return {
            index: at.value for index, at in standings.items() if at and math.isfinite(at.value)
        }

    def stop_reason(
        self, own: RungCandidate, others: Iterable[RungCandidate], rung: int
    ) -> str | None:
        """Why a configuration goes no further than this rung, in words; None if it goes on or is not compared.

        Of n configurations that its group has here, the best n / reduction go on, rounded up.

        Args:
            own: The configuration, with a row at the rung.
            others: The other configurations of its cell.
            rung: Index of the rung.
        """
        mine = self.standing_at(own, rung)
        if mine is None:
            return None
        met = [
            (other, at)
            for other in others
            if (at := self.standing_at(other, rung)) and at.group == mine.group
        ]
        rivals = [at.value for _, at in met]
        rank = 1 + sum(self._is_better(rival, mine.value) for rival in rivals)
        kept = math.ceil((len(rivals) + 1) / self.rule.reduction - STEP_TOLERANCE)
        ahead = [
            other
            for other, at in met
            if self._is_better(at.value, mine.value) and not other.stopped
        ]
        if rank <= kept or (
            math.isfinite(mine.value) and not ahead
        ):  # all ahead stopped later: somebody must arrive
            return None
        what = (
            f"{self.objective.column} {mine.value:.4g}"
            if math.isfinite(mine.value)
            else "a seed diverged"
        )
        place = f"rung {rung + 1} of {len(self.rule.rungs)} ({100 * self.rule.rungs[rung]:.3g} % of training)"
        return f"stopped at {place}: {what}, rank {rank} of {len(rivals) + 1}, of which {kept} may go on"

    def planned_group(self, spec: TrialSpec, step: int) -> ComparisonGroup | None:
        """The group of a configuration after so many steps; None where its plan is not settled at target there."""
        at = phase_span_at(spec, step)
        settled = at.sparsity == spec.sparsity.target and self._settled(spec, step)
        return ComparisonGroup(self._length(spec), at.phase) if settled else None

    def _length(self, spec: TrialSpec) -> int:
        return spec.twin_steps() if self.equal == "train_flops" else spec.total_steps()

    @property
    def _worst(self) -> float:
        return math.inf if isinstance(self.objective, Minimize) else -math.inf

    def _is_better(self, value: float, other: float) -> bool:
        return value < other if isinstance(self.objective, Minimize) else value > other

    def _row(self, trial: TrialState, rung: int) -> Record | None:
        """The trial's first row at or after a rung."""
        past = (
            step for step, row in trial.reports.items() if row["progress"] >= self.rule.rungs[rung]
        )
        first = min(past, default=None)
        return None if first is None else trial.reports[first]

    def _settled(self, spec: TrialSpec, step: int) -> bool:
        """Whether the mask has been as it is after ``step`` steps, in one phase, for long enough."""
        return (
            step - phase_span_at(spec, step).start
            >= self.rule.settle * spec.total_steps() - STEP_TOLERANCE
        )

    def _missed_rung(self, candidate: RungCandidate) -> tuple[int, ComparisonGroup] | None:
        """The first rung, with its group, that a diverged configuration missed and would have been compared at."""
        if not any(trial.status == "DIVERGED" for trial in candidate.trials):
            return None
        for index, rung in enumerate(self.rule.rungs):
            missed = not any(self._row(trial, index) for trial in candidate.trials)
            step = fraction_to_step(rung, candidate.spec.total_steps())
            if missed and (group := self.planned_group(candidate.spec, step)):
                return index, group
        return None


class PhaseSpan(NamedTuple):
    """A part of training in which neither phase nor sparsity changes, and the step at which it begins."""

    start: int
    phase: str
    sparsity: float


def phase_span_at(spec: TrialSpec, step: int) -> PhaseSpan:
    """The stretch that a row after ``step`` steps belongs to; a change at the very end counts for the last row."""
    last = spec.total_steps()
    return [
        part for part in _phase_spans(spec) if part.start < step or part.start == 0 or step == last
    ][-1]


@lru_cache(maxsize=16_384)
def _phase_spans(spec: TrialSpec) -> list[PhaseSpan]:
    """Every stretch of a trial in order, as planned."""
    found: list[PhaseSpan] = []
    for change in mask_schedule(spec):
        if not found or (change.phase, change.sparsity) != found[-1][1:]:
            found.append(PhaseSpan(change.step, change.phase, change.sparsity))
    return found
