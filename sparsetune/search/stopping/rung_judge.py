"""Decisions at the rungs of a running study: which trials a report ends."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sparsetune.search.plans import CellPlan, Configuration, search_states
from sparsetune.search.stopping.halving import HalvingRungs, RungCandidate, RungStop
from sparsetune.spec.columns import Role
from sparsetune.storage.records import Proposed, Report
from sparsetune.storage.trial_state import TrialState
from sparsetune.study import Study


class RungJudge:
    """Applies a study's ``stopping`` to its cells; without one it stops nothing.

    Args:
        study: The declaration, extensions included.
        plans: Every cell by its name.
        trials: State of every trial; the caller keeps it current.
    """

    def __init__(
        self, study: Study, plans: Mapping[str, CellPlan], trials: Mapping[str, TrialState]
    ) -> None:
        self._study = study
        self._plans = plans
        self._trials = trials
        self._seeds = study.seeds("search")
        self.rungs: HalvingRungs | None = None
        """The rungs of the study; None where it declares no stopping."""
        if study.stopping:
            self.rungs = HalvingRungs(study.stopping, study.objective, study.equal)

    def fractions(self, role: Role) -> tuple[float, ...]:
        """Fractions of training at which a trial of this role may be stopped, each in (0, 1)."""
        if self._study.stopping is None or role != "search":
            return ()
        return tuple(self._study.stopping.rungs)

    def has_stopped(self, configuration: Configuration) -> bool:
        """True if a rung stopped the configuration: none of its seeds runs or starts."""
        return self.rungs is not None and self._candidate(configuration).stopped

    def values(self, configuration: Configuration) -> dict[int, float]:
        """Mean objective at each rung where the configuration was compared, by the rung's index."""
        return self.rungs.values(self._candidate(configuration)) if self.rungs else {}

    def reaches_rung(self, report: Report) -> bool:
        """True if a report is the first of its trial to reach a rung, where it may be stopped.

        Args:
            report: A report, whether it is in the trial's state or not.
        """
        if self.rungs is None:
            return False
        return bool(self.rungs.rungs_reached(self._trials[report.trial_id], report))

    def stop_after(self, report: Report, teachers: Collection[str]) -> RungStop | None:
        """The end of a configuration that a report brings about; None where it brings about none.

        Only search trials are judged. One that serves several cells continues as long as one of
        them lets it.

        Args:
            report: A report that is in the trial's state already.
            teachers: Ids of trials that others learn from, which are never stopped.
        """
        if self.rungs is None or report.trial_id in teachers:
            return None
        trial = self._trials[report.trial_id]
        uses = [use for use in trial.proposed if use.cell in self._plans]
        # What a report or a twin needs must train to its end, also where a search uses it.
        if any(use.role != "search" for use in uses):
            return None
        for rung in self.rungs.rungs_reached(trial, report):
            stop = self._stop_in_every_cell(self.rungs, uses, rung)
            if stop is not None:
                return stop
        return None

    def unended_trials(self) -> list[str]:
        """Trials of stopped configurations that a driver which died had no time to end."""
        found: list[str] = []
        for plan in self._plans.values():
            for configuration in plan.configurations.values():
                if self.has_stopped(configuration):
                    found += self._unfinished(configuration)
        return found

    def _stop_in_every_cell(
        self, rungs: HalvingRungs, uses: Sequence[Proposed], rung: int
    ) -> RungStop | None:
        """The end at a rung, in the words of the first cell; None if a cell lets it continue."""
        first_stop: RungStop | None = None
        for use in uses:
            stop = self._stop_in_cell(rungs, use, rung)
            if stop is None:
                return None
            first_stop = first_stop or stop
        return first_stop

    def _stop_in_cell(self, rungs: HalvingRungs, use: Proposed, rung: int) -> RungStop | None:
        configurations = self._plans[use.cell].configurations
        own = configurations[use.config_id]
        others = []
        for config_id, other in configurations.items():
            if config_id != use.config_id:
                others.append(self._candidate(other))
        reason = rungs.stop_reason(self._candidate(own), others, rung)
        return RungStop(rung, reason, self._unfinished(own)) if reason else None

    def _unfinished(self, configuration: Configuration) -> list[str]:
        """Ids of its search trials that were proposed and have not finished."""
        unfinished = []
        for seed in self._seeds:
            trial_id = configuration.trial_id(seed)
            trial = self._trials.get(trial_id)
            if trial is not None and not trial.finished:
                unfinished.append(trial_id)
        return unfinished

    def _candidate(self, configuration: Configuration) -> RungCandidate:
        states = search_states(configuration, self._trials, self._seeds)
        # The seeds of a configuration are proposed one after the other.
        proposed = [trial for trial in states if trial is not None]
        return RungCandidate(configuration.spec, proposed)
