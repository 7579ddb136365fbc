"""The next configuration of a cell: base recipe, control, known points, sampled points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sparsetune.search.journal import SearchJournal
from sparsetune.search.plans import CellPlan, Configuration, trial_from_recipe
from sparsetune.search.sampling.points import sample_point
from sparsetune.spec import TrialSpec
from sparsetune.storage.records import Proposed
from sparsetune.study import Study
from sparsetune.study.space import Value

MAX_SKIPPED = 1000
"""A space counts as used up after so many sampled points in a row that repeat or cost too much."""
MAX_OVERSHOOTS = 20
"""Points beyond the budget that an adaptive sampler may replace, before random points do."""


class ConfigurationProposer:
    """Adds configurations to the cells of a study.

    Args:
        study: The declaration, extensions included.
        plans: Every cell by its name.
        journal: Knows the finished configurations, for adaptive samplers; None for a reader, which
            proposes nothing.
        stretches: Stretches that the first launch worked out, by `recipe_id`, for a reader that
            builds no network; None to work them out.
    """

    def __init__(
        self,
        study: Study,
        plans: Mapping[str, CellPlan],
        journal: SearchJournal | None,
        stretches: Mapping[str, float] | None = None,
    ) -> None:
        self._study = study
        self._plans = plans
        self._journal = journal
        self._reads_only = stretches is not None
        self.stretches: dict[str, float] = {**(stretches or {})}
        """Stretches that are known or were worked out, by `recipe_id`."""
        self.unknown: set[str] = set()
        """Recipes, by id, of which neither the ledger nor the first launch tells the stretch."""
        self._recorded: dict[str, TrialSpec] = {}

    def restore_from_ledger(self, record: Proposed) -> None:
        """Keep the stretch that a recorded trial got, also where another would be planned today."""
        if self._study.equal == "train_flops":
            trial = TrialSpec.model_validate({**record.spec, "seed": 0})
            self._recorded[recipe_id(trial)] = trial

    def find_trial(self, recipe: TrialSpec) -> TrialSpec:
        """The trial of a recipe with seed 0; the ledger's own, where it has one.

        A reader leaves a recipe as it is whose stretch is not known, and notes it in `unknown`.
        """
        recorded = self._recorded.get(recipe_id(recipe)) if self._recorded else None
        if recorded or self._study.equal == "epochs":
            return recorded or recipe
        name = recipe_id(recipe)
        if not self._reads_only:
            trial = trial_from_recipe(self._study, recipe)
            self.stretches[name] = trial.schedule.stretch
            return trial
        if name not in self.stretches:
            self.unknown.add(name)
            return recipe
        return recipe.with_values({"schedule.stretch": self.stretches[name]})

    def full(self, plan: CellPlan) -> bool:
        """True if the cell has all configurations that it gets."""
        return plan.exhausted or len(plan.configurations) >= self._study.configurations_per_cell

    def next(self, plan: CellPlan, pending: Iterable[Configuration]) -> Configuration | None:
        """Add the cell's next configuration; None if it is full or waits for its control.

        Args:
            plan: The cell.
            pending: Its configurations that have not finished.
        """
        if self.full(plan):
            return None
        if not plan.configurations:
            return self._add(plan, "base", self.find_trial(plan.cell.spec))
        if not self.is_control_final(plan):
            return None
        control = self.control(plan)
        if control and control.config_id not in plan.configurations:
            return self._add(plan, "control", control.spec)
        for number, point in enumerate(self._study.known[plan.known :], plan.known):
            # Counted also where the point repeats a configuration, so that it is tried once only.
            plan.known += 1
            spec = self.find_trial(plan.cell.known(point))
            if spec.config_id() not in plan.configurations:
                return self._add(plan, f"known:{number}", spec)
        pending_values = [configuration.values(plan.cell.search) for configuration in pending]
        return self._sample(plan, pending_values)

    def control(self, plan: CellPlan) -> Configuration | None:
        """The dense winner's recipe in this cell; None without one, or where it costs too much."""
        source = self._plans[plan.cell.control_from] if plan.cell.control_from else None
        if source and source.winner and plan.control is None and not plan.uncontrolled:
            values = source.winner.values(source.cell.search)
            # What the study sweeps keeps its value in this cell.
            own = {path: value for path, value in values.items() if path not in plan.cell.point}
            spec = self.find_trial(plan.cell.at(own))
            plan.uncontrolled = not self._is_control_affordable(plan, spec)
            plan.control = None if plan.uncontrolled else Configuration(1, "control", spec)
        return plan.control

    def is_control_final(self, plan: CellPlan) -> bool:
        """True if its control can no longer change, as a retried dense search could make it."""
        return plan.cell.control_from is None or self._plans[plan.cell.control_from].searched

    def _sample(self, plan: CellPlan, pending: list[dict[str, Value]]) -> Configuration | None:
        kind = self._study.sampler.kind
        assert self._journal, "a reader proposes nothing"
        known = self._journal.optuna_study(plan.cell.name)
        prefix = f"{kind}:"
        configurations = plan.configurations.values()
        # The start-up of an adaptive sampler counts what was tried, not what was skipped.
        drawn = sum(configuration.source.startswith(prefix) for configuration in configurations)
        tried: set[tuple[tuple[str, Value], ...]] = set()
        costly: list[dict[str, Value]] = []
        for attempt in range(MAX_SKIPPED):
            # Adaptive only while every point so far cost too much: a sampler repeats itself in a
            # small space.
            adaptive = attempt == len(costly) < MAX_OVERSHOOTS
            values = sample_point(
                self._study, plan.cell, plan.sampled, known,
                pending=pending, rejected=costly, drawn=drawn, adaptive=adaptive,
            )  # fmt: skip
            if values is None:
                break
            plan.sampled += 1
            point = tuple(values.items())
            if point in tried:
                # A small space repeats its points; one that costs too much is rejected once.
                continue
            tried.add(point)
            spec = self.find_trial(plan.cell.at(values))
            if not self._affordable(spec):
                costly.append(values)
            elif spec.config_id() not in plan.configurations:
                return self._add(plan, f"{kind}:{plan.sampled - 1}", spec)
        plan.exhausted = True
        return None

    def _is_control_affordable(self, plan: CellPlan, spec: TrialSpec) -> bool:
        budget = self._study.at_most
        if not self._reads_only or budget is None or budget.train_flops is None:
            return self._affordable(spec)
        # What the launch decided: a control comes second, so that a cell which went on has none.
        proposed = [one.source for one in plan.configurations.values()]
        return spec.config_id() in plan.configurations or proposed[1:] == []

    def _affordable(self, spec: TrialSpec) -> bool:
        if self._study.at_most is None:
            return True
        # Loads torch, which `status` need not wait for.
        from sparsetune.costs.configurations import is_affordable

        return is_affordable(self._study.at_most, spec)

    def _add(self, plan: CellPlan, source: str, spec: TrialSpec) -> Configuration:
        configuration = Configuration(len(plan.configurations), source, spec)
        plan.configurations[configuration.config_id] = configuration
        return configuration


def recipe_id(trial: TrialSpec) -> str:
    """Id of a trial's recipe, whatever stretch it was given."""
    return trial.with_values({"schedule.stretch": 1}).config_id()
