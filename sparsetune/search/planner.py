"""The next trial of a study, by its declaration and what the ledger says is done."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from functools import cached_property

from sparsetune.costs.remaining import RemainingCell, RemainingWork
from sparsetune.errors import TeacherError
from sparsetune.search.journal import Proposal, Result, SearchJournal
from sparsetune.search.plans import CellPlan, Configuration, TrialUse, search_states
from sparsetune.search.proposals import ConfigurationProposer
from sparsetune.search.stopping.rung_judge import RungJudge
from sparsetune.spec import TrialSpec
from sparsetune.storage.records import Ended, Proposed, Started
from sparsetune.storage.trial_state import TrialState
from sparsetune.study import Minimize, Study
from sparsetune.study.additions import Grant, granted_seeds, reached_look
from sparsetune.study.budget import COST_AXES, trained_epochs
from sparsetune.study.cells import is_searched
from sparsetune.study.questions.contrasts import Runs
from sparsetune.study.selection import objective_of, winner_of

__all__ = ["CellPlan", "Configuration", "Planner", "TrialUse"]


class Planner:
    """Names trials in the order in which results are needed: dense cells, searches, then reports.

    Args:
        study: The declaration, extensions included.
        trials: State of every trial; the caller keeps it current.
        journal: Told every configuration and its result; adaptive samplers ask it. None for a
            reader, which proposes nothing.
        stretches: For a reader, which builds no network and imports nothing of the user's: what the
            first launch resolved of trainings of equal FLOPs. None for a launch.
        grants: Report seeds that cells got at looks so far.
    """

    def __init__(
        self,
        study: Study,
        trials: Mapping[str, TrialState],
        journal: SearchJournal | None,
        stretches: Mapping[str, float] | None = None,
        grants: Iterable[Grant] = (),
    ) -> None:
        self.study = study
        self.trials = trials
        self.journal = journal
        self.plans: dict[str, CellPlan] = {}
        """Every cell of the study by its name, in the order in which results are needed."""
        for cell in study.cells():
            self.plans[cell.name] = CellPlan(cell, searches=is_searched(study, cell))
        self.judge = RungJudge(study, self.plans, trials)
        self._grants = [*grants]
        self._granted = granted_seeds(self._grants)
        self.running: set[str] = set()
        """Ids of the trials that were handed out and have not ended."""
        self._proposals = ConfigurationProposer(study, self.plans, journal, stretches)
        self._complete: set[str] = set()
        for trial in trials.values():
            for record in trial.proposed:
                self._restore(record)
        for plan in self.plans.values():
            # A trial that another cell proposed first comes before this cell's own, but an earlier
            # number wins a tie.
            numbered = sorted(plan.configurations.items(), key=lambda item: item[1].index)
            plan.configurations = dict(numbered)
            for configuration in plan.configurations.values():
                self._journal_proposal(plan, configuration)
            self._choose_winner(plan)

    def next(self) -> tuple[TrialUse | None, list[Proposed]]:
        """The next trial to run, marked as running, and records of further uses of known trials.

        The use is None when nothing can start before a running trial ends, or when the study is
        done.

        Raises:
            TeacherError: if a teacher that the next trial needs ended without logits.
        """
        notes: list[Proposed] = []
        for plan in self.plans.values():
            if plan.cell.name in self._complete:
                continue
            complete = True
            for use in self._needed_uses(plan):
                trial = self.trials.get(use.trial_id)
                if use.trial_id not in self.running and not (trial and trial.finished):
                    first = self._runnable(use, notes)
                    if first is None:
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

    @property
    def look(self) -> int:
        """Number of the declared look that is reached, from 1."""
        return reached_look(self._grants)

    def grant(self, grant: Grant) -> None:
        """Give cells further report seeds, whose trials are handed out from then on."""
        self._grants = [*self._grants, grant]
        self._granted = granted_seeds(self._grants)
        self._complete = self._complete.difference(grant.cells)

    def at_last_look(self) -> Planner:
        """A reader over the same trials, with the seeds of every look that may still follow."""
        seeds = self.study.looks()
        most = copy(self)
        if self.look < len(seeds):
            # What is settled stays settled: only cells of the last look can get further seeds.
            cells = self._grants[-1].cells if self._grants else [*self.plans]
            more = seeds[-1] - seeds[self.look - 1]
            most.grant(Grant(look=len(seeds), report_seeds=more, cells=cells))
        return most

    def report_seeds(self, plan: CellPlan) -> list[int]:
        """Seeds of a cell's report trials, and of their twins and controls."""
        return self.study.seeds("report", self._granted.get(plan.cell.name, 0))

    def compared(self, plan: CellPlan, runs: Runs) -> Configuration | None:
        """Configuration of a cell whose report runs a contrast is made of.

        None where it is not known, the cell has none, or the winner is the dense recipe itself, so
        that there is nothing to compare it with.
        """
        winner = plan.winner
        if runs == "winner":
            return winner
        if winner is None or not plan.sparse:
            return None
        if runs == "twin":
            return plan.twin
        control = self._proposals.control(plan) if plan.searches else None
        return control if control and control.config_id != winner.config_id else None

    def _runnable(self, use: TrialUse, notes: list[Proposed]) -> TrialUse | None:
        """The use itself, or its teacher where that must run first; None while the teacher runs.

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
            error = trial.ended.error if trial.ended else None
            raise TeacherError(
                f"the teacher {teacher.trial_id} of `{use.plan.cell.name}` must end well, got"
                f" {trial.status} ({error}); change its recipe,"
                " and start the study under another name"
            )
        if not teacher.is_recorded_in(trial):
            notes.append(teacher.record())
        return use

    def teacher_use(self, use: TrialUse) -> TrialUse | None:
        """The use of the trial that a use's trial learns from; None where it has no teacher."""
        spec = use.configuration.spec.distill.teacher
        teacher = use.plan.teacher
        if spec is None or teacher is None or use.role == "teacher":
            return None
        return TrialUse(use.plan, "teacher", teacher, spec.seed)

    @cached_property
    def teachers(self) -> frozenset[str]:
        """Ids of all trials that others learn from."""
        found = set()
        for plan in self.plans.values():
            use = self.teacher_use(self._base_use(plan))
            if use is not None:
                found.add(use.trial_id)
        return frozenset(found)

    @staticmethod
    def _base_use(plan: CellPlan) -> TrialUse:
        """A report of the cell's base recipe, which has the teacher of all its trials."""
        return TrialUse(plan, "report", Configuration(0, "base", plan.cell.spec), 0)

    def resolved_stretches(self) -> dict[str, float]:
        """Stretches of the recipes whose lengths the study is planned by, by their ids.

        Empty where trainings have equal epochs.
        """
        if self.study.equal == "train_flops":
            self.expected_epochs()  # asks for each of them
        return dict(self._proposals.stretches)

    @property
    def knows_lengths(self) -> bool:
        """False for a reader where only the user's own network tells how long trials are."""
        return not self._proposals.unknown

    def ended(self, trial_id: str) -> None:
        """Mark a trial as not running; unless it has finished, it is handed out again."""
        self.running.discard(trial_id)

    def remaining_work(self) -> RemainingWork:
        """Trials that have not finished, with the epochs that each still trains, cell by cell."""
        cells = []
        for plan in self.plans.values():
            epochs = self._remaining_epochs(self.expected_cell_epochs(plan))
            cells.append(RemainingCell(plan.cell.spec, epochs))
        finished = sum(trial.finished for trial in self.trials.values())
        return RemainingWork(cells, finished)

    def _remaining_epochs(self, epochs: Mapping[str, float]) -> dict[str, float]:
        """Epochs that each trial which has not finished still trains, of those it has in all."""
        left = {}
        for name, total in epochs.items():
            trial = self.trials.get(name)
            if trial is None or not trial.finished:
                left[name] = max(0.0, total - (trial.epochs if trial else 0.0))
        return left

    def expected_epochs(self) -> dict[str, float]:
        """Epochs of every trial of the study by its id; by a placeholder until that is known."""
        epochs: dict[str, float] = {}
        for plan in self.plans.values():
            epochs |= self.expected_cell_epochs(plan)
        return epochs

    def expected_cell_epochs(self, plan: CellPlan) -> dict[str, float]:
        """Epochs of every trial of one cell, named as in `expected_epochs`."""
        if plan.longest is None:
            plan.longest = self._longest(plan)
        epochs: dict[str, float] = {}
        for use in self._known(plan):
            trial = self.trials.get(use.trial_id)
            if trial is not None and trial.status == "PRUNED":
                # What a stopped trial has trained is all that it ever trains.
                epochs[use.trial_id] = trial.epochs
            else:
                epochs[use.trial_id] = use.configuration.epochs
        for name in self._unknown_names(plan):
            epochs[name] = plan.longest
        return epochs

    def _unknown_names(self, plan: CellPlan) -> Iterator[str]:
        """Placeholders for the trials whose recipe is not known yet."""
        if plan.searched:
            return
        if plan.searches:
            configurations = self.study.configurations_per_cell - len(plan.configurations)
            for number in range(self.study.search_seeds * configurations):
                yield f"{plan.cell.name}/search/{number}"
        for role in ("report", "twin", "control") if plan.sparse else ("report",):
            for number in range(len(self.report_seeds(plan))):
                yield f"{plan.cell.name}/{role}/{number}"

    def _longest(self, plan: CellPlan) -> float:
        """The most epochs that a trial of the cell can take."""
        search = plan.cell.search
        upper_ends = {path: search[path].ends()[-1] for path in search if path in COST_AXES}
        longest = plan.cell.at(upper_ends)
        limit = math.inf
        if self.study.at_most and self.study.at_most.epochs:
            limit = self.study.at_most.epochs
        if self.study.equal == "epochs":
            return max(trained_epochs(plan.cell.spec), min(trained_epochs(longest), limit))
        # A searched ramp changes how far a trial is stretched.
        recipes = (longest, *plan.cell.corner_recipes())
        return min(max(trained_epochs(self._proposals.find_trial(spec)) for spec in recipes), limit)

    def _known(self, plan: CellPlan) -> Iterator[TrialUse]:
        """Every use of the cell whose recipe is known."""
        teacher = self.teacher_use(self._base_use(plan))
        if teacher:
            yield teacher
        # A copy: the display asks from a thread of its own.
        for configuration in list(plan.configurations.values()):
            yield from self._search_uses(plan, configuration)
        yield from self._report_uses(plan)

    def _restore(self, record: Proposed) -> None:
        """Take a configuration from the ledger, with its place in the sampler's sequence."""
        plan = self.plans.get(record.cell)
        self._proposals.restore_from_ledger(record)
        if plan is None or record.role != "search":
            return
        if record.config_id in plan.configurations:
            plan.configurations[record.config_id].recorded[record.seed] = record.trial_id
            return
        spec = TrialSpec.model_validate({**record.spec, "seed": 0})
        configuration = Configuration(record.index, record.source, spec)
        configuration.recorded[record.seed] = record.trial_id
        plan.configurations[record.config_id] = configuration
        kind, _, number = record.source.partition(":")
        # Only sampled points have a number in the sampler's sequence; known ones have their own.
        if number and kind != "known":
            plan.sampled = max(plan.sampled, int(number) + 1)

    def _needed_uses(self, plan: CellPlan) -> Iterator[TrialUse]:
        """Every use of the cell now, done or not; proposes configurations while there is room."""
        if plan.searches and not plan.searched:
            for configuration in list(plan.configurations.values()):
                yield from self._search_uses(plan, configuration)
            while new := self._propose(plan):
                yield from self._search_uses(plan, new)
        self._choose_winner(plan)
        yield from self._report_uses(plan)

    def _report_uses(self, plan: CellPlan) -> Iterator[TrialUse]:
        if plan.winner is None:
            return
        twin = self.compared(plan, "twin")
        # A control that won is reported once, as the winner.
        control = self.compared(plan, "control")
        for seed in self.report_seeds(plan):
            yield TrialUse(plan, "report", plan.winner, seed)
            if twin:
                yield TrialUse(plan, "twin", twin, seed)
            if control:
                yield TrialUse(plan, "control", control, seed)

    def _search_uses(self, plan: CellPlan, configuration: Configuration) -> Iterator[TrialUse]:
        stopped = self.judge.has_stopped(configuration)
        for seed in self.study.seeds("search"):
            use = TrialUse(plan, "search", configuration, seed)
            trial = self.trials.get(use.trial_id)
            # Of a stopped configuration no further seed starts; those that ran stay in the record.
            if not stopped or (trial and trial.finished):
                yield use

    def _choose_winner(self, plan: CellPlan) -> None:
        """Name the winner once every configuration's search seeds have ended."""
        if plan.searched:
            return
        if not plan.searches:
            plan.winner = Configuration(0, "base", self._proposals.find_trial(plan.cell.spec))
            plan.searched = True
            return
        self._tell_finished(plan)
        configurations = plan.configurations.values()
        if self._proposals.full(plan) and all(map(self._finished, configurations)):
            objectives: dict[str, float | None] = {}
            for config_id, configuration in plan.configurations.items():
                objectives[config_id] = self._objective(configuration)
            best = winner_of(objectives, minimize=isinstance(self.study.objective, Minimize))
            plan.winner = plan.configurations[best] if best else None
            plan.searched = True

    def _propose(self, plan: CellPlan) -> Configuration | None:
        """The cell's next configuration; None when it is full or waits for its control."""
        if self._proposals.full(plan):
            return None
        self._tell_finished(plan)
        pending = [c for c in plan.configurations.values() if not self._finished(c)]
        new = self._proposals.next(plan, pending)
        if new:
            self._journal_proposal(plan, new)
        return new

    def _search_trials(self, configuration: Configuration) -> list[TrialState | None]:
        return search_states(configuration, self.trials, self.study.seeds("search"))

    def _finished(self, configuration: Configuration) -> bool:
        trials = self._search_trials(configuration)
        finished = all(trial is not None and trial.finished for trial in trials)
        return finished or self.judge.has_stopped(configuration)

    def _objective(self, configuration: Configuration) -> float | None:
        """Mean objective over the search seeds; None unless every one is complete."""
        return self._mean_objective(self._search_trials(configuration))

    def _mean_objective(self, trials: Iterable[TrialState | None]) -> float | None:
        """Mean objective of trials; None unless every one is complete."""
        column = self.study.objective.column
        values: list[float | None] = []
        for trial in trials:
            complete = trial is not None and trial.status == "COMPLETE"
            values.append(trial.last_value(column) if trial and complete else None)
        return objective_of(values)

    def winner_objective(self, plan: CellPlan) -> float | None:
        """Mean objective of a cell's winner over the seeds that chose it; None before it is chosen.

        Where nothing is searched, the mean over the report seeds, once each of them is complete.
        """
        winner = plan.winner
        if winner is None or not plan.searched:
            return None
        if plan.searches:
            return self._objective(winner)
        return self._mean_objective(
            search_states(winner, self.trials, self.report_seeds(plan)),
        )

    def _tell_finished(self, plan: CellPlan) -> None:
        """Tell the journal every finished configuration that it does not know yet."""
        if self.journal is None:
            return
        for configuration in plan.configurations.values():
            told = self.journal.has_result(plan.cell.name, configuration.config_id)
            if not told and self._finished(configuration):
                result = self._result(configuration)
                self.journal.tell(plan.cell.name, configuration.config_id, result)

    def _result(self, configuration: Configuration) -> Result:
        """The result of a configuration that has finished, with the time of its last trial."""
        trials = [trial for trial in self._search_trials(configuration) if trial]
        ends = _known_times(trial.ended for trial in trials if trial.ended)
        return Result(
            objective=self._objective(configuration),
            stopped=self.judge.has_stopped(configuration),
            rungs=self.judge.values(configuration),
            time=max(ends, default=time.time()),
        )

    def _journal_proposal(self, plan: CellPlan, configuration: Configuration) -> None:
        """Name a configuration to the journal, with the time at which its first trial began."""
        if not plan.searches or self.journal is None:
            return
        trials = [trial for trial in self._search_trials(configuration) if trial]
        begun = _known_times(start for trial in trials for start in trial.starts)
        proposed = _known_times(use for trial in trials for use in trial.proposed)
        proposal = Proposal(
            config_id=configuration.config_id,
            source=configuration.source,
            values=configuration.values(plan.cell.search),
            time=min(begun or proposed, default=time.time()),
        )
        self.journal.propose(plan.cell.name, proposal)


def _known_times(records: Iterable[Proposed | Started | Ended]) -> list[float]:
    """Times of records, without those that have none."""
    return [record.time for record in records if math.isfinite(record.time)]


def build_planner(
    study: Study,
    trials: Mapping[str, TrialState],
    stretches: Mapping[str, float] | None = None,
    grants: Iterable[Grant] = (),
) -> Planner:
    """A planner over the state of a study's trials, which writes nothing.

    Args:
        study: The declaration, extensions included.
        trials: State of every trial.
        stretches: As in `Planner`; None for a launch, which gets a journal in memory.
        grants: As in `Planner`.
    """
    if stretches is not None:
        return Planner(study, trials, None, stretches, grants)
    journal = SearchJournal(None, study, study.cells())
    return Planner(study, trials, journal, stretches, grants)
