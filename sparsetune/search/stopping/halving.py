"""Ramp-aware halving: which configurations a rung compares, and which of them it stops.

Everything is a function of the ledger, so that a resumed study judges as an uninterrupted one
would. Asynchronous successive halving in its stopping form (Li et al. 2020, section 3.1): a
configuration is judged when a seed of it reaches a rung, against those that were there before. The
first continues, and so does whatever ties with a survivor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Literal, NamedTuple

from sparsetune.durations import fraction_to_step
from sparsetune.imports import is_import_path
from sparsetune.sparsity.methods.registry import known_method
from sparsetune.sparsity.plans.schedule import mask_schedule
from sparsetune.spec import TrialSpec
from sparsetune.storage.records import Report
from sparsetune.storage.trial_state import TrialState
from sparsetune.study import Maximize, Minimize
from sparsetune.study.stopping import Halving

LOSS_COLUMNS = ("batch_loss", "train_loss")
"""A trial whose row has one of these missing or infinite ends there as DIVERGED."""
STEP_TOLERANCE = 1e-9
"""Rounding of products of fractions with whole numbers of steps."""


class ComparisonGroup(NamedTuple):
    """Key of the configurations that are compared at a rung of a cell: equal length, like phase.

    Args:
        steps: Length of training in steps; the dense twin's where training FLOPs are equal.
        phase: Phase of the mask at the rung.
        past: Steps at which phases began so far, of networks that are compared before they have
            settled at target; empty of those that have.
        rate: Shape of the learning rate's schedule, of networks that have not settled.
    """

    steps: int
    phase: str
    past: tuple[int, ...] = ()
    rate: str = ""


class RungStanding(NamedTuple):
    """A configuration at a rung.

    Args:
        group: Whom it is compared with.
        value: Mean objective of its seeds there; infinite, on the bad side, if one diverged.
    """

    group: ComparisonGroup
    value: float


class RungCandidate(NamedTuple):
    """A configuration as its cell's rungs see it.

    Args:
        spec: Its recipe.
        trials: Its search trials that were proposed.
    """

    spec: TrialSpec
    trials: Sequence[TrialState]

    @property
    def stopped(self) -> bool:
        """True if a seed has ended at a rung, and so all of them do."""
        return any(trial.status == "PRUNED" for trial in self.trials)

    @property
    def diverged(self) -> bool:
        """True if a seed diverged."""
        return any(trial.status == "DIVERGED" for trial in self.trials)


class RungStop(NamedTuple):
    """The end of a configuration at a rung.

    Args:
        rung: Index of the rung.
        reason: Why, for people.
        trials: Ids of the trials that it ends.
    """

    rung: int
    reason: str
    trials: list[str]


@dataclass(frozen=True)
class HalvingRungs:
    """The rungs of a study.

    Args:
        rule: Where they lie, how many continue, how long a network must be at target before it
            counts.
        objective: The column that is compared.
        equal: What networks of equal length share; see `Study.equal`.
    """

    rule: Halving
    objective: Minimize | Maximize
    equal: Literal["epochs", "train_flops"] = "epochs"

    def rungs_reached(self, trial: TrialState, report: Report) -> list[int]:
        """Indices of rungs that a report is the first to reach; empty if the trial ends with it."""
        if report.progress >= 1 or _has_diverged(report):
            return []
        progress_before = 0.0
        for step, earlier in trial.reports.items():
            if step < report.step:
                progress_before = max(progress_before, earlier.progress)
        reached = []
        for index, rung in enumerate(self.rule.rungs):
            # A trial that is evaluated seldom reaches several rungs at once.
            if progress_before < rung <= report.progress:
                reached.append(index)
        return reached

    def standing_at(self, candidate: RungCandidate, rung: int) -> RungStanding | None:
        """Standing of a configuration at the rung of this index; None where it is not compared.

        One with a diverged seed stands last at every rung that it reached, and at the first that it
        did not reach but would have been compared at.
        """
        reports = self._compared_reports(candidate, rung)
        if reports:
            value = self._worst if candidate.diverged else self._mean_objective(reports)
            # The seeds of a configuration share their schedule, and so the group at a rung.
            group = self._group_of(candidate.spec, reports[0])
            assert group is not None
            return RungStanding(group, value)
        missed = self._missed_rung(candidate)
        if missed is None:
            return None
        index, group = missed
        return RungStanding(group, self._worst) if index == rung else None

    def _mean_objective(self, reports: Iterable[Report]) -> float:
        """Mean objective of reports; infinite, on the bad side, unless each has a finite one."""
        values = []
        for report in reports:
            value = report.number(self.objective.column)
            if value is None or not math.isfinite(value):
                return self._worst
            values.append(value)
        return fmean(values)

    def _compared_reports(self, candidate: RungCandidate, rung: int) -> list[Report]:
        """The first report of each trial at or after a rung, where it is compared with others."""
        found = []
        for trial in candidate.trials:
            report = self.first_report(trial, rung)
            if report is not None and self._group_of(candidate.spec, report):
                found.append(report)
        return found

    def values(self, candidate: RungCandidate) -> dict[int, float]:
        """Mean objective at each rung where the configuration was compared, by the rung's index."""
        found = {}
        for index in range(len(self.rule.rungs)):
            standing = self.standing_at(candidate, index)
            if standing and math.isfinite(standing.value):
                found[index] = standing.value
        return found

    def stop_reason(
        self, own: RungCandidate, others: Iterable[RungCandidate], rung: int
    ) -> str | None:
        """Why a configuration stops at a rung, in words; None if it continues or is not compared.

        Of n configurations that its group has here, the best n / reduction continue, rounded up.

        Args:
            own: The configuration, with a report at the rung.
            others: The other configurations of its cell.
            rung: Index of the rung.
        """
        mine = self.standing_at(own, rung)
        if mine is None:
            return None
        compared = 1
        rank = 1
        running_ahead = 0
        for other in others:
            standing = self.standing_at(other, rung)
            if standing is None or standing.group != mine.group:
                continue
            compared += 1
            # A tie does not lower the rank, so that the order of arrival does not decide it.
            if self._is_better(standing.value, mine.value):
                rank += 1
                running_ahead += not other.stopped
        kept = math.ceil(compared / self.rule.reduction - STEP_TOLERANCE)
        # Where all that were ahead were stopped later, somebody must arrive.
        if rank <= kept or (math.isfinite(mine.value) and not running_ahead):
            return None
        what = "a seed diverged"
        if math.isfinite(mine.value):
            what = f"{self.objective.column} {mine.value:.4g}"
        percent = 100 * self.rule.rungs[rung]
        where = f"rung {rung + 1} of {len(self.rule.rungs)} ({percent:.3g} % of training)"
        standing_text = f"rank {rank} of {compared}, of which {kept} may go on"
        return f"stopped at {where}: {what}, {standing_text}"

    def planned_group(self, spec: TrialSpec, step: int) -> ComparisonGroup | None:
        """Group of a configuration after so many steps; None where it is not compared."""
        if is_import_path(spec.sparsity.method):
            return None
        at = phase_span_at(spec, step)
        return self._group(spec, step, at.phase, at.sparsity == spec.sparsity.target)

    def _group_of(self, spec: TrialSpec, report: Report) -> ComparisonGroup | None:
        """Group of a configuration by its report; None where it is not compared."""
        return self._group(spec, report.step, report.phase, bool(report.row["at_target"]))

    def _group(
        self, spec: TrialSpec, step: int, phase: str, at_target: bool
    ) -> ComparisonGroup | None:
        """Whom a configuration is compared with after ``step`` steps, in this phase; None: nobody.

        Where the mask is still changing, the objective says little about the final one.
        """
        if is_import_path(spec.sparsity.method):
            return None  # its plan is its own code, which a status does not import
        length = self._length(spec)
        if at_target and self._settled(spec, step):
            is_late = step >= self.rule.settled_from * spec.total_steps() - STEP_TOLERANCE
            if is_late:
                return ComparisonGroup(length, phase)
        if not self.rule.early:
            return None
        past = _spans_until(spec, step)
        is_whole = len(past) == 1 and past[0].sparsity == 0
        if not is_whole and "acdc" not in known_method(spec.sparsity.method).fields:
            return None
        warmup = spec.schedule.warmup
        rate = f"{spec.schedule.lr}, warm-up {warmup.value:g} {warmup.unit}"
        begun = tuple(span.start for span in past)
        return ComparisonGroup(length, "dense" if is_whole else phase, begun, rate)

    def _length(self, spec: TrialSpec) -> int:
        return spec.twin_steps() if self.equal == "train_flops" else spec.total_steps()

    @property
    def _worst(self) -> float:
        return math.inf if isinstance(self.objective, Minimize) else -math.inf

    def _is_better(self, value: float, other: float) -> bool:
        return value < other if isinstance(self.objective, Minimize) else value > other

    def first_report(self, trial: TrialState, rung: int) -> Report | None:
        """The trial's first report at or after a rung; None before it."""
        fraction = self.rule.rungs[rung]
        steps = [step for step, report in trial.reports.items() if report.progress >= fraction]
        return trial.reports[min(steps)] if steps else None

    def _settled(self, spec: TrialSpec, step: int) -> bool:
        """True if the mask has been in one phase, as after ``step`` steps, for long enough."""
        settled_steps = step - phase_span_at(spec, step).start
        return settled_steps >= self.rule.settle * spec.total_steps() - STEP_TOLERANCE

    def _missed_rung(self, candidate: RungCandidate) -> tuple[int, ComparisonGroup] | None:
        """The first rung that a diverged configuration missed, with the group it would be in."""
        if not candidate.diverged:
            return None
        for index, rung in enumerate(self.rule.rungs):
            # One seed that arrived is enough: the configuration has a standing of its own there.
            if any(self.first_report(trial, index) for trial in candidate.trials):
                continue
            step = fraction_to_step(rung, candidate.spec.total_steps())
            group = self.planned_group(candidate.spec, step)
            if group:
                return index, group
        return None


def _has_diverged(report: Report) -> bool:
    """True if the trial ends as DIVERGED with this report, whatever its progress."""
    for column in LOSS_COLUMNS:
        if column in report.row and not _is_finite(report.row[column]):
            return True
    return False


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


class PhaseSpan(NamedTuple):
    """A part of training in which neither phase nor sparsity changes.

    Args:
        start: Step at which it begins.
        phase: Phase of the mask.
        sparsity: Planned sparsity, in [0, 1).
    """

    start: int
    phase: str
    sparsity: float


def phase_span_at(spec: TrialSpec, step: int) -> PhaseSpan:
    """The part of training of a report after ``step`` steps; the last one has the final change."""
    return _spans_until(spec, step)[-1]


def _spans_until(spec: TrialSpec, step: int) -> list[PhaseSpan]:
    """Parts of training that have begun by a report after ``step`` steps."""
    last = spec.total_steps()
    spans = _phase_spans(spec)
    # A change at `step` itself is made after the report, except at the very end.
    return [span for span in spans if span.start < step or span.start == 0 or step == last]


@lru_cache(maxsize=16_384)
def _phase_spans(spec: TrialSpec) -> list[PhaseSpan]:
    """Every part of a trial's training in order, as planned.

    A user's own ramp counts as rising at every update, so that configurations are compared after
    it: a status, which asks too, imports no code of the user's.
    """
    if is_import_path(spec.sparsity.ramp.shape):
        spec = spec.with_values({"sparsity.ramp.shape": "linear"})
    found: list[PhaseSpan] = []
    for change in mask_schedule(spec):
        # An exchange of weights changes neither, and so begins no new span.
        if not found or (change.phase, change.sparsity) != found[-1][1:]:
            found.append(PhaseSpan(change.step, change.phase, change.sparsity))
    return found
