"""What runs next: the study's declaration against what the ledger says is done. Knows no Ray."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property

from sparsetune.errors import TeacherError
from sparsetune.search.halving import HalvingRungs, RungCandidate, RungStop
from sparsetune.search.journal import SearchJournal
from sparsetune.search.plans import CellPlan, Configuration, TrialUse
from sparsetune.search.proposals import ConfigurationProposer
from sparsetune.spec import TrialSpec
from sparsetune.storage.ledger import Record, TrialState
from sparsetune.study import Minimize, Study
from sparsetune.study.budget import COST_AXES
from sparsetune.study.budget import trained_epochs as epochs_of
from sparsetune.study.selection import objective_of, winner_of

__all__ = ["CellPlan", "Configuration", "Planner", "TrialUse"]


class Planner:
    """Hands out trials in the order in which results are needed: dense cells, searches, then the winners' reports.

    Args:
        study: The declaration, extensions included.
        trials: What is known of every trial; the caller keeps it current.
        journal: Told every finished configuration; adaptive samplers ask it.
    """

    def __init__(
        self, study: Study, trials: Mapping[str, TrialState], journal: SearchJournal
    ) -> None:
        self.study = study
        self.trials = trials
        self.journal = journal
        self._rungs = (
            HalvingRungs(study.stopping, study.objective, study.equal) if study.stopping else None
        )
        several = study.configurations_per_cell > 1
        self.plans = {
            cell.name: CellPlan(cell, bool(cell.search) and several) for cell in study.cells()
        }
        self._proposals = ConfigurationProposer(study, self.plans, journal)
        self.running: set[str] = set()
        self._complete: set[str] = set()
        for trial in trials.values():
            for record in trial.proposed:
                self._recall(record)
        for plan in self.plans.values():
            # A trial that another cell proposed first comes before this cell's own, but an earlier number wins a tie.
            plan.configurations = dict(
                sorted(plan.configurations.items(), key=lambda item: item[1].index)
            )
            self._choose_winner(plan)

    def next(self) -> tuple[TrialUse | None, list[Record]]:
        """The next trial to run, now marked as running, and records of trials that got another use on the way.

        The use is None when nothing can start before a running trial ends, or when the study is done.
        """
        notes: list[Record] = []
        for plan in self.plans.values():
            if plan.cell.name in self._complete:
                continue
            complete = True
            for use in self._needed_uses(plan):
                trial = self.trials.get(use.trial_id)
                if use.trial_id not in self.running and not (trial and trial.finished):
                    if (first := self._teacher_of(use, notes)) is None:
                        complete = False
                        break  # all of the cell waits for its teacher
                    self.running.add(first.trial_id)
                    return first, notes
                if not use.is_recorded_in(trial):
                    notes.append(use.record())
                complete = complete and use.trial_id not in self.running
            if complete and plan.searched and self._proposals.is_control_final(plan):
                self._complete.add(plan.cell.name)
        return None, notes

    def _teacher_of(self, use: TrialUse, notes: list[Record]) -> TrialUse | None:
        """What must run before a use can: its teacher, or nothing else than itself; None while the teacher runs.

        Raises:
            TeacherError: if the teacher ended without logits to learn from.
        """
        teacher = self.teacher_use(use)
        if teacher is None:
            return use
        if teacher.trial_id in self.running:
            return None
        trial = self.trials.get(teacher.trial_id)
        if not (trial and trial.finished):
            return teacher
        if trial.status != "COMPLETE":
            raise TeacherError(
                f"the teacher {teacher.trial_id} of `{use.plan.cell.name}` must end well, got {trial.status}"
                f" ({(trial.ended or {}).get('error')}); change its recipe, and start the study under another name"
            )
        if not teacher.is_recorded_in(trial):
            notes.append(teacher.record())
        return use

    def teacher_use(self, use: TrialUse) -> TrialUse | None:
        """The teacher's use for the cell, where the trial of another use of it learns from one."""
        spec = use.configuration.spec.distill.teacher
        teacher = use.plan.teacher
        if spec is None or teacher is None or use.role == "teacher":
            return None
        return TrialUse(use.plan, "teacher", teacher, spec.seed)

    @cached_property
    def teachers(self) -> frozenset[str]:
        """Ids of all trials that others learn from."""
        uses = (
            TrialUse(plan, "report", Configuration(0, "base", plan.cell.spec), 0)
            for plan in self.plans.values()
        )
        return frozenset(teacher.trial_id for use in uses if (teacher := self.teacher_use(use)))

    def ended(self, trial_id: str) -> None:
        """Take note that a trial runs no more; unless the ledger says that it finished, it is handed out again."""
        self.running.discard(trial_id)

    def expected_epochs(self) -> dict[str, float]:
        """Epochs of every trial of the study by its id, or by a name of its own until its recipe is known."""
        return {
            name: epochs
            for plan in self.plans.values()
            for name, epochs in self.expected_cell_epochs(plan).items()
        }

    def expected_cell_epochs(self, plan: CellPlan) -> dict[str, float]:
        """The same of one cell."""
        if plan.longest is None:
            plan.longest = self._longest(plan)
        length = plan.longest
        epochs: dict[str, float] = {}
        for use in self._known(plan):
            trial = self.trials.get(use.trial_id)
            stopped = trial is not None and trial.status == "PRUNED"
            whole = epochs_of(use.configuration.spec)
            epochs[use.trial_id] = trial.last.get("epoch", 0.0) if trial and stopped else whole
        seeds = self.study.search_seeds if plan.searches and not plan.searched else 0
        missing = seeds * (self.study.configurations_per_cell - len(plan.configurations))
        roles = (
            () if plan.searched else ("report", "twin", "control") if plan.sparse else ("report",)
        )
        epochs |= {f"{plan.cell.name}/search/{i}": length for i in range(missing)}
        return epochs | {
            f"{plan.cell.name}/{r}/{i}": length
            for r in roles
            for i in range(self.study.report_seeds)
        }

    def _longest(self, plan: CellPlan) -> float:
        """The most epochs that a trial of the cell can take."""
        longest = plan.cell.at(
            {path: axis.ends()[-1] for path, axis in plan.cell.search.items() if path in COST_AXES}
        )
        limit = self.study.at_most.epochs if self.study.at_most else None
        if self.study.equal == "epochs":
            return max(epochs_of(plan.cell.spec), min(epochs_of(longest), limit or math.inf))
        # A searched ramp changes how far a trial is stretched.
        stretched = max(
            epochs_of(self._proposals.find_trial(spec))
            for spec in (longest, *plan.cell.corner_recipes())
        )
        return min(stretched, limit or math.inf)

    def stop_after_report(self, report: Record) -> RungStop | None:
        """What a report that is in the state already ends: its configuration, where a rung stops that.

        Only search trials are judged. One that serves several cells goes on as long as one of them lets it.
        """
        trial = self.trials[report["trial_id"]]
        uses = [use for use in trial.proposed if use["cell"] in self.plans]
        judged = report["trial_id"] not in self.teachers and all(
            use["role"] == "search" for use in uses
        )
        if self._rungs is None or not judged:
            return None
        for rung in self._rungs.rungs_reached(trial, report):
            stops = [self._stop_at_rung(self._rungs, use, rung) for use in uses]
            if stops and all(stops):
                return stops[0]
        return None

    def rung_fractions(self, use: TrialUse) -> list[float]:
        """Fractions of training at which a trial may be stopped."""
        return (
            list(self.study.stopping.rungs) if self.study.stopping and use.role == "search" else []
        )

    def _stop_at_rung(self, rungs: HalvingRungs, use: Record, rung: int) -> RungStop | None:
        configurations = self.plans[use["cell"]].configurations
        others = [
            self._candidate(c) for name, c in configurations.items() if name != use["config_id"]
        ]
        own = configurations[use["config_id"]]
        reason = rungs.stop_reason(self._candidate(own), others, rung)
        return RungStop(rung, reason, self._unfinished(own)) if reason else None

    def unended_trials(self) -> list[str]:
        """Trials of stopped configurations that a driver which died had no time to end."""
        configurations = [c for plan in self.plans.values() for c in plan.configurations.values()]
        return [
            trial_id for c in configurations if self._stopped(c) for trial_id in self._unfinished(c)
        ]

    def _unfinished(self, configuration: Configuration) -> list[str]:
        """Those of its search trials that were proposed and have not finished."""
        ids = [configuration.trial(seed)[0] for seed in self.study.seeds("search")]
        return [
            trial_id
            for trial_id in ids
            if trial_id in self.trials and not self.trials[trial_id].finished
        ]

    def _candidate(self, configuration: Configuration) -> RungCandidate:
        return RungCandidate(
            configuration.spec, [trial for trial in self._search_trials(configuration) if trial]
        )

    def _known(self, plan: CellPlan) -> Iterator[TrialUse]:
        if teacher := self.teacher_use(
            TrialUse(plan, "report", Configuration(0, "base", plan.cell.spec), 0)
        ):
            yield teacher
        for configuration in list(
            plan.configurations.values()
        ):  # the display asks from a thread of its own
            yield from self._search_uses(plan, configuration)
        yield from self._report_uses(plan)

    def _recall(self, record: Record) -> None:
        """Take a configuration from the ledger, with its place in the sampler's sequence."""
        plan = self.plans.get(record["cell"])
        self._proposals.restore_from_ledger(record)
        if plan is None or record["role"] != "search":
            return
        if record["config_id"] in plan.configurations:
            return
        spec = TrialSpec.model_validate({**record["spec"], "seed": 0})
        plan.configurations[record["config_id"]] = Configuration(
            record["index"], record["source"], spec
        )
        kind, _, number = record["source"].partition(":")
        plan.sampled = (
            max(plan.sampled, int(number) + 1) if number and kind != "known" else plan.sampled
        )

    def _needed_uses(self, plan: CellPlan) -> Iterator[TrialUse]:
        """Every use that the cell has for a trial now, done or not; proposes configurations while there is room."""
        if plan.searches and not plan.searched:
            for configuration in list(plan.configurations.values()):
                yield from self._search_uses(plan, configuration)
            while new := self._propose(plan):
                yield from self._search_uses(plan, new)
        self._choose_winner(plan)
        yield from self._report_uses(plan)

    def _report_uses(self, plan: CellPlan) -> Iterator[TrialUse]:
        if plan.winner is None or plan.twin is None:
            return
        control = self._proposals.control(plan) if plan.sparse and plan.searches else None
        for seed in self.study.seeds("report"):
            yield TrialUse(plan, "report", plan.winner, seed)
            if plan.sparse:
                yield TrialUse(plan, "twin", plan.twin, seed)
            if control and control.config_id != plan.winner.config_id:
                yield TrialUse(plan, "control", control, seed)

    def _search_uses(self, plan: CellPlan, configuration: Configuration) -> Iterator[TrialUse]:
        uses = [
            TrialUse(plan, "search", configuration, seed) for seed in self.study.seeds("search")
        ]
        if not self._stopped(configuration):
            return iter(uses)
        return (
            use
            for use in uses
            if use.trial_id in self.trials and self.trials[use.trial_id].finished
        )

    def _stopped(self, configuration: Configuration) -> bool:
        """Whether a rung stopped it: none of its seeds runs on or starts."""
        trials = self._search_trials(configuration) if self._rungs else []
        return any(trial is not None and trial.status == "PRUNED" for trial in trials)

    def _choose_winner(self, plan: CellPlan) -> None:
        """Name the winner once every configuration's search seeds have ended."""
        if plan.searched:
            return
        if not plan.searches:
            plan.winner = Configuration(0, "base", self._proposals.find_trial(plan.cell.spec))
            plan.searched = True
            return
        self._tell_finished(plan)
        if self._proposals.full(plan) and all(map(self._finished, plan.configurations.values())):
            objectives = {c.config_id: self._objective(c) for c in plan.configurations.values()}
            best = winner_of(objectives, minimize=isinstance(self.study.objective, Minimize))
            plan.winner = plan.configurations[best] if best else None
            plan.searched = True

    def _propose(self, plan: CellPlan) -> Configuration | None:
        """The cell's next configuration, told all that is finished and what is not; None when full or waiting."""
        if self._proposals.full(plan):
            return None
        self._tell_finished(plan)
        pending = [c for c in plan.configurations.values() if not self._finished(c)]
        return self._proposals.next(plan, pending)

    def _search_trials(self, configuration: Configuration) -> list[TrialState | None]:
        return [
            self.trials.get(configuration.trial(seed)[0]) for seed in self.study.seeds("search")
        ]

    def _finished(self, configuration: Configuration) -> bool:
        finished = all(
            trial is not None and trial.finished for trial in self._search_trials(configuration)
        )
        return finished or self._stopped(configuration)

    def _objective(self, configuration: Configuration) -> float | None:
        column = self.study.objective.column
        trials = self._search_trials(configuration)
        return objective_of(
            [t.last.get(column) if t and t.status == "COMPLETE" else None for t in trials]
        )

    def _tell_finished(self, plan: CellPlan) -> None:
        for configuration in plan.configurations.values():
            told = self.journal.has_configuration(plan.cell.name, configuration.config_id)
            if not told and self._finished(configuration):
                values = configuration.values(plan.cell.search)
                rungs = self._rungs.values(self._candidate(configuration)) if self._rungs else {}
                objective = self._objective(configuration)
                self.journal.tell(plan.cell.name, configuration.config_id, values, objective, rungs)


def build_planner(study: Study, trials: Mapping[str, TrialState]) -> Planner:
    """Plans a study from what is known of its trials, and writes nothing."""
    return Planner(study, trials, SearchJournal(None, study, study.cells()))
