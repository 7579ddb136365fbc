"""Configurations of a cell's search, and the uses that a study has for their trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import Role
from sparsetune.storage.ledger import Record, TrialState
from sparsetune.study import Study
from sparsetune.study.cells import Cell
from sparsetune.study.space import Value


def trial_from_recipe(study: Study, recipe: TrialSpec) -> TrialSpec:
    """The trial of a recipe: stretched where the study equals training FLOPs."""
    if study.equal == "epochs":
        return recipe
    from sparsetune.costs.configurations import (
        match_dense_flops,  # loads torch, which `status` need not wait for
    )

    return match_dense_flops(recipe)


@dataclass(frozen=True)
class Configuration:
    """One point of a cell's search space: its number in the cell, where it came from, its trial with seed 0."""

    index: int
    source: str
    spec: TrialSpec

    @property
    def config_id(self) -> str:
        """Digest of the recipe, which is the same for every seed."""
        return self.spec.config_id()

    def trial(self, seed: int) -> tuple[str, TrialSpec]:
        """Id and declaration of the trial with this seed."""
        spec = self.spec.with_seed(seed)
        return spec.trial_id(), spec

    def values(self, paths: Mapping[str, object]) -> dict[str, Value]:
        """Its values of those of these dotted fields that apply: a searched choice of optimizer may rule some out."""
        columns = self.spec.columns()
        return {path: columns[path] for path in paths if path in columns}


@dataclass
class CellPlan:
    """A cell, the configurations proposed in it so far, and what follows from its winner once there is one."""

    cell: Cell
    searches: bool
    configurations: dict[str, Configuration] = field(default_factory=dict)
    known: int = 0
    """Known points of the study that were looked at."""
    sampled: int = 0
    """Points taken from the sampler's sequence."""
    exhausted: bool = False
    searched: bool = False
    winner: Configuration | None = None
    control: Configuration | None = None
    uncontrolled: bool = False
    """Whether its control would cost more than the study's budget."""
    longest: float | None = None
    """The most epochs that a trial of it can take, once that was worked out."""

    @property
    def sparse(self) -> bool:
        """Whether the cell prunes; then its winner has twins."""
        return self.cell.spec.sparsity.method != "dense"

    @cached_property
    def twin(self) -> Configuration | None:
        """The winner's recipe, dense; ask only when the winner is known."""
        return (
            Configuration(self.winner.index, "twin", self.winner.spec.dense())
            if self.winner
            else None
        )

    @cached_property
    def teacher(self) -> Configuration | None:
        """The trial that the cell's trials learn from, where they do; its seed is declared."""
        spec = self.cell.spec.distill.teacher
        return Configuration(0, "teacher", spec.with_values({"seed": 0})) if spec else None


class TrialUse(NamedTuple):
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

    def is_recorded_in(self, trial: TrialState | None) -> bool:
        """Whether the ledger has this use of the trial already."""
        uses = trial.proposed if trial else []
        return any(use["cell"] == self.plan.cell.name and use["role"] == self.role for use in uses)
