"""What runs next: the study's declaration against what the ledger says is done. Knows no Ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from sparsetune.cells import Cell
from sparsetune.ledger import Record, TrialState
from sparsetune.selection import objective_of, winner_of
from sparsetune.space import Value
from sparsetune.spec import TrialSpec
from sparsetune.study import Minimize, Study, known_spec
from sparsetune.tables import Role
from sparsetune.tune.journal import Journal
from sparsetune.tune.sampling import sample

MAX_DUPLICATES = 1000
"""Sampled points in a row that repeat known configurations, after which a small space counts as used up."""


@dataclass(frozen=True)
class Configuration:
    """One point of a cell's search space: its number in the cell, where it came from, its trial with seed 0."""

    index: int
    source: str
    spec: TrialSpec
    _trials: dict[int, tuple[str, TrialSpec]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def config_id(self) -> str:
        """Names the recipe, whatever the seed."""
        return self.spec.config_id()

    def trial(self, seed: int) -> tuple[str, TrialSpec]:
        """Id and declaration of the trial with this seed."""
        if seed not in self._trials:
            spec = self.spec.with_values({"seed": seed})
            self._trials[seed] = (spec.trial_id(), spec)
        return self._trials[seed]

    def values(self, paths: Mapping[str, object]) -> dict[str, Value]:
        """Its values of those of these dotted fields that apply: a searched choice of optimizer may rule some out."""
        columns = self.spec.columns()
        return {path: columns[path] for path in paths if path in columns}


@dataclass
class CellPlan:
    """A cell, the configurations proposed in it so far, and what follows from its winner once there is one."""

    cell: Cell
    searches: bool
    known: Iterator[tuple[str, TrialSpec]]
    configurations: dict[str, Configuration] = field(default_factory=dict)
    sampled: int = 0
    exhausted: bool = False
    searched: bool = False
    winner: Configuration | None = None
    control: Configuration | None = None

    @property
    def sparse(self) -> bool:
        """Whether the cell prunes; then its winner has twins."""
        return self.cell.spec.sparsity.method != "dense"

    @cached_property
    def twin(self) -> Configuration | None:
        """The winner's recipe, dense; ask only when the winner is known."""
        return Configuration(self.winner.index, "twin", self.winner.spec.dense()) if self.winner else None


class Use(NamedTuple):
    """A trial in one role for one cell. The same trial may serve several."""

    plan: CellPlan
    role: Role
    configuration: Configuration
    seed: int

    @property
    def trial_id(self) -> str:
        """Id of the trial that serves."""
        return self.configuration.trial(self.seed)[0]

    def record(self) -> Record:
        """The ledger's ``proposed`` record."""
        trial_id, spec = self.configuration.trial(self.seed)
        record: Record = {
            "type": "proposed",
            "trial_id": trial_id,
            "config_id": self.configuration.config_id,
            "cell": self.plan.cell.name,
            "arm": "dense" if self.role == "twin" else self.plan.cell.arm,
            "role": self.role,
            "index": self.configuration.index,
            "source": self.configuration.source,
            "seed": self.seed,
            "spec": spec.given(),
        }
        if self.role in ("report", "control") and self.plan.sparse:
            record["twin_id"] = spec.dense().trial_id()
        return record

    def known_to(self, trial: TrialState | None) -> bool:
        """Whether the ledger has this use of the trial already."""
        uses = trial.proposed if trial else []
        return any(use["cell"] == self.plan.cell.name and use["role"] == self.role for use in uses)


class Planner:
    """Hands out trials in the order in which results are needed: dense cells, searches, then the winners' reports.

    Args:
        study: The declaration, extensions included.
        trials: What is known of every trial; the caller keeps it current.
        journal: Told every finished configuration; adaptive samplers ask it.
    """

    def __init__(self, study: Study, trials: Mapping[str, TrialState], journal: Journal) -> None:
        self.study = study
        self.trials = trials
        self.journal = journal
        several = study.configurations_per_cell > 1
        self.plans = {
            cell.name: CellPlan(cell, bool(cell.search) and several, _known(study, cell)) for cell in study.cells()
        }
        self.running: set[str] = set()
        self._complete: set[str] = set()
        for trial in trials.values():
            for record in trial.proposed:
                self._recall(record)
        for plan in self.plans.values():
            # A trial that another cell proposed first comes before this cell's own, but an earlier number wins a tie.
            plan.configurations = dict(sorted(plan.configurations.items(), key=lambda item: item[1].index))
            self._settle(plan)

    def next(self) -> tuple[Use | None, list[Record]]:
        """The next trial to run, now marked as running, and records of trials that got another use on the way.

        The use is None when nothing can start before a running trial ends, or when the study is done.
        """
        notes: list[Record] = []
        for plan in self.plans.values():
            if plan.cell.name in self._complete:
                continue
            complete = True
            for use in self._wanted(plan):
                trial = self.trials.get(use.trial_id)
                if use.trial_id not in self.running and not (trial and trial.finished):
                    self.running.add(use.trial_id)
                    return use, notes
                if not use.known_to(trial):
                    notes.append(use.record())
                complete = complete and use.trial_id not in self.running
            if complete and plan.searched and self._controlled(plan):
                self._complete.add(plan.cell.name)
        return None, notes

    def ended(self, trial_id: str) -> None:
        """Take note that a trial runs no more; unless the ledger says that it finished, it is handed out again."""
        self.running.discard(trial_id)

    def outlook(self) -> dict[str, float]:
        """Epochs of every trial of the study by its id, or by a name of its own until its recipe is known."""
        epochs: dict[str, float] = {}
        for plan in self.plans.values():
            length = plan.cell.spec.total_steps() / plan.cell.spec.steps_per_epoch()
            known = [use.trial_id for use in self._known(plan)]
            epochs |= dict.fromkeys(known, length)
            seeds = self.study.search_seeds if plan.searches and not plan.searched else 0
            missing = seeds * (self.study.configurations_per_cell - len(plan.configurations))
            roles = () if plan.searched else ("report", "twin", "control") if plan.sparse else ("report",)
            epochs |= {f"{plan.cell.name}/search/{i}": length for i in range(missing)}
            epochs |= {f"{plan.cell.name}/{r}/{i}": length for r in roles for i in range(self.study.report_seeds)}
        return epochs

    def _known(self, plan: CellPlan) -> Iterator[Use]:
        for configuration in list(plan.configurations.values()):  # the display asks from a thread of its own
            yield from self._search_uses(plan, configuration)
        yield from self._report_uses(plan)

    def _recall(self, record: Record) -> None:
        """Take a configuration from the ledger, with its place in the sampler's sequence."""
        plan = self.plans.get(record["cell"])
        if plan is None or record["role"] != "search" or record["config_id"] in plan.configurations:
            return
        spec = TrialSpec.model_validate({**record["spec"], "seed": 0})
        plan.configurations[record["config_id"]] = Configuration(record["index"], record["source"], spec)
        kind, _, number = record["source"].partition(":")
        plan.sampled = max(plan.sampled, int(number) + 1) if number and kind != "known" else plan.sampled

    def _wanted(self, plan: CellPlan) -> Iterator[Use]:
        """Every use that the cell has for a trial now, done or not; proposes configurations while there is room."""
        if plan.searches and not plan.searched:
            for configuration in list(plan.configurations.values()):
                yield from self._search_uses(plan, configuration)
            while new := self._propose(plan):
                yield from self._search_uses(plan, new)
        self._settle(plan)
        yield from self._report_uses(plan)

    def _report_uses(self, plan: CellPlan) -> Iterator[Use]:
        if plan.winner is None or plan.twin is None:
            return
        control = self._control(plan) if plan.sparse and plan.searches else None
        for seed in self.study.seeds("report"):
            yield Use(plan, "report", plan.winner, seed)
            if plan.sparse:
                yield Use(plan, "twin", plan.twin, seed)
            if control and control.config_id != plan.winner.config_id:
                yield Use(plan, "control", control, seed)

    def _search_uses(self, plan: CellPlan, configuration: Configuration) -> Iterator[Use]:
        return (Use(plan, "search", configuration, seed) for seed in self.study.seeds("search"))

    def _settle(self, plan: CellPlan) -> None:
        """Name the winner once every configuration's search seeds have ended."""
        if plan.searched:
            return
        if not plan.searches:
            plan.winner = Configuration(0, "base", plan.cell.spec)
            plan.searched = True
            return
        self._tell_finished(plan)
        full = plan.exhausted or len(plan.configurations) >= self.study.configurations_per_cell
        if full and all(self._finished(configuration) for configuration in plan.configurations.values()):
            objectives = {c.config_id: self._objective(c) for c in plan.configurations.values()}
            best = winner_of(objectives, minimize=isinstance(self.study.objective, Minimize))
            plan.winner = plan.configurations[best] if best else None
            plan.searched = True

    def _propose(self, plan: CellPlan) -> Configuration | None:
        """Add the cell's next configuration: base, control, known points, sampled ones; None when full or waiting."""
        if plan.exhausted or len(plan.configurations) >= self.study.configurations_per_cell:
            return None
        if not plan.configurations:
            return self._add(plan, "base", plan.cell.spec)
        if not self._controlled(plan):
            return None
        control = self._control(plan)
        if control and control.config_id not in plan.configurations:
            return self._add(plan, "control", control.spec)
        for source, spec in plan.known:
            if spec.config_id() not in plan.configurations:
                return self._add(plan, source, spec)
        return self._sample(plan)

    def _control(self, plan: CellPlan) -> Configuration | None:
        """The dense winner's searched values in the cell's own trial; None where no dense cell gives one."""
        source = self.plans[plan.cell.control_from].winner if plan.cell.control_from else None
        if source and plan.control is None:
            values = source.values(self.plans[plan.cell.control_from or ""].cell.search)
            fixed = {path: value for path, value in values.items() if path not in plan.cell.point}
            plan.control = Configuration(1, "control", plan.cell.spec.with_values(fixed))
        return plan.control

    def _controlled(self, plan: CellPlan) -> bool:
        """Whether its control can no longer change; a retried search may still give the dense cell another winner."""
        return plan.cell.control_from is None or self.plans[plan.cell.control_from].searched

    def _sample(self, plan: CellPlan) -> Configuration | None:
        self._tell_finished(plan)
        tried: set[tuple[Value, ...]] = set()
        for _ in range(MAX_DUPLICATES):
            told = self.journal.told(plan.cell.name)
            values = sample(self.study, plan.cell, plan.sampled, told, adaptive=not tried)
            plan.sampled += 1
            if (point := tuple(values.values())) in tried:
                continue  # a small space repeats its points, and building a trial of each takes milliseconds
            tried.add(point)
            spec = plan.cell.spec.with_values(values)
            if spec.config_id() not in plan.configurations:
                return self._add(plan, f"{self.study.sampler.kind}:{plan.sampled - 1}", spec)
        plan.exhausted = True
        return None

    def _add(self, plan: CellPlan, source: str, spec: TrialSpec) -> Configuration:
        configuration = Configuration(len(plan.configurations), source, spec)
        plan.configurations[configuration.config_id] = configuration
        return configuration

    def _search_trials(self, configuration: Configuration) -> list[TrialState | None]:
        return [self.trials.get(configuration.trial(seed)[0]) for seed in self.study.seeds("search")]

    def _finished(self, configuration: Configuration) -> bool:
        return all(trial is not None and trial.finished for trial in self._search_trials(configuration))

    def _objective(self, configuration: Configuration) -> float | None:
        column = self.study.objective.column
        trials = self._search_trials(configuration)
        return objective_of([t.last.get(column) if t and t.status == "COMPLETE" else None for t in trials])

    def _tell_finished(self, plan: CellPlan) -> None:
        for configuration in plan.configurations.values():
            if self._finished(configuration):
                values = configuration.values(plan.cell.search)
                self.journal.tell(plan.cell.name, configuration.config_id, values, self._objective(configuration))


def _known(study: Study, cell: Cell) -> Iterator[tuple[str, TrialSpec]]:
    """Source and recipe of each known point in the cell, in order, built as they are asked for."""
    return ((f"known:{number}", known_spec(cell, point)) for number, point in enumerate(study.known))
