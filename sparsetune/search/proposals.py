"""What a cell tries next: its base recipe, the control, the known points, then what its sampler chooses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sparsetune.search.journal import SearchJournal
from sparsetune.search.plans import CellPlan, Configuration, trial_from_recipe
from sparsetune.search.sampling import sample_point
from sparsetune.spec import TrialSpec
from sparsetune.storage.ledger import Record
from sparsetune.study import Study
from sparsetune.study.space import Value

MAX_SKIPPED = 1000
"""Sampled points in a row that repeat known configurations or cost too much, after which a space counts as used up."""
MAX_OVERSHOOTS = 20
"""Points beyond the budget that an adaptive sampler is asked to replace, before random points do."""


class ConfigurationProposer:
    """Adds configurations to the cells of a study.

    Args:
        study: The declaration, extensions included.
        plans: Of every cell by its name.
        journal: What adaptive samplers were told.
    """

    def __init__(self, study: Study, plans: Mapping[str, CellPlan], journal: SearchJournal) -> None:
        self._study = study
        self._plans = plans
        self._journal = journal
        self._recorded: dict[str, TrialSpec] = {}

    def restore_from_ledger(self, record: Record) -> None:
        """Take a trial from the ledger: its recipe keeps the stretch that it got, should another be planned today."""
        if self._study.equal == "train_flops":
            trial = TrialSpec.model_validate({**record["spec"], "seed": 0})
            self._recorded[_recipe_id(trial)] = trial

    def find_trial(self, recipe: TrialSpec) -> TrialSpec:
        """The trial of a recipe with seed 0, as the ledger has it where it does."""
        recorded = self._recorded.get(_recipe_id(recipe)) if self._recorded else None
        return recorded or trial_from_recipe(self._study, recipe)

    def full(self, plan: CellPlan) -> bool:
        """Whether the cell has all configurations that it gets."""
        return plan.exhausted or len(plan.configurations) >= self._study.configurations_per_cell

    def next(self, plan: CellPlan, pending: Iterable[Configuration]) -> Configuration | None:
        """Add the cell's next configuration, unless it is full; None while it waits for its control.

        Args:
            plan: Of the cell.
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
            plan.known += 1
            spec = self.find_trial(plan.cell.known(point))
            if spec.config_id() not in plan.configurations:
                return self._add(plan, f"known:{number}", spec)
        return self._sample(
            plan, [configuration.values(plan.cell.search) for configuration in pending]
        )

    def control(self, plan: CellPlan) -> Configuration | None:
        """The dense winner's searched values in the cell's own trial; None without one, or where it costs too much."""
        source = self._plans[plan.cell.control_from] if plan.cell.control_from else None
        if source and source.winner and plan.control is None and not plan.uncontrolled:
            values = source.winner.values(source.cell.search)
            recipe = plan.cell.at(
                {path: value for path, value in values.items() if path not in plan.cell.point}
            )
            spec = self.find_trial(recipe)
            plan.uncontrolled = not self._affordable(spec)
            plan.control = None if plan.uncontrolled else Configuration(1, "control", spec)
        return plan.control

    def is_control_final(self, plan: CellPlan) -> bool:
        """Whether its control can no longer change; a retried search may still give the dense cell another winner."""
        return plan.cell.control_from is None or self._plans[plan.cell.control_from].searched

    def _sample(self, plan: CellPlan, pending: list[dict[str, Value]]) -> Configuration | None:
        kind = self._study.sampler.kind
        told = self._journal.told(plan.cell.name)
        drawn = sum(
            configuration.source.startswith(f"{kind}:")
            for configuration in plan.configurations.values()
        )
        tried: set[tuple[tuple[str, Value], ...]] = set()
        costly: list[dict[str, Value]] = []
        for attempt in range(MAX_SKIPPED):
            adaptive = (
                attempt == len(costly) < MAX_OVERSHOOTS
            )  # a sampler repeats itself in a small space
            values = sample_point(
                self._study, plan.cell, plan.sampled, told,
                pending=pending, rejected=costly, drawn=drawn, adaptive=adaptive,
            )  # fmt: skip
            if values is None:
                break
            plan.sampled += 1
            if (point := tuple(values.items())) in tried:
                continue  # a small space repeats its points; one that costs too much is rejected once
            tried.add(point)
            spec = self.find_trial(plan.cell.at(values))
            if not self._affordable(spec):
                costly.append(values)
            elif spec.config_id() not in plan.configurations:
                return self._add(plan, f"{kind}:{plan.sampled - 1}", spec)
        plan.exhausted = True
        return None

    def _affordable(self, spec: TrialSpec) -> bool:
        if self._study.at_most is None:
            return True
        from sparsetune.costs.configurations import (
            is_affordable,  # loads torch, which `status` need not wait for
        )

        return is_affordable(self._study.at_most, spec)

    def _add(self, plan: CellPlan, source: str, spec: TrialSpec) -> Configuration:
        configuration = Configuration(len(plan.configurations), source, spec)
        plan.configurations[configuration.config_id] = configuration
        return configuration


def _recipe_id(trial: TrialSpec) -> str:
    return trial.with_values({"schedule.stretch": 1}).config_id()
