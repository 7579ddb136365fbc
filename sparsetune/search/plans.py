"""Configurations of a cell's search, and the uses that a study has for their trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import Role
from sparsetune.storage.records import Proposed
from sparsetune.storage.trial_state import TrialState
from sparsetune.study import Study
from sparsetune.study.budget import trained_epochs
from sparsetune.study.cells import Cell
from sparsetune.study.choices import searched_values
from sparsetune.study.space import Axis, Value


def trial_from_recipe(study: Study, recipe: TrialSpec) -> TrialSpec:
    """The trial of a recipe: stretched where the study equals training FLOPs."""
    if study.equal == "epochs":
        return recipe
    # Loads torch, which `status` need not wait for.
    from sparsetune.costs.equal_flops import match_dense_flops

    return match_dense_flops(recipe)


@dataclass(frozen=True)
class Configuration:
    """One point of a cell's search space.

    Args:
        index: Its number in the cell, from 0.
        source: Where it comes from, as in `sparsetune.storage.records.Proposed`.
        spec: Its trial with seed 0.
        recorded: Ids of its trials that the ledger has, by seed: working them out takes time.
    """

    index: int
    source: str
    spec: TrialSpec
    recorded: dict[int, str] = field(default_factory=dict, compare=False)

    @property
    def config_id(self) -> str:
        """Digest of the recipe, which is the same for every seed."""
        return self.spec.config_id()

    @cached_property
    def epochs(self) -> float:
        """Epochs of one of its trials that is trained to its end."""
        return trained_epochs(self.spec)

    def trial_id(self, seed: int) -> str:
        """Id of the trial with this seed."""
        return self.recorded.get(seed) or self.trial(seed)[0]

    def trial(self, seed: int) -> tuple[str, TrialSpec]:
        """Id and declaration of the trial with this seed."""
        spec = self.spec.with_seed(seed)
        return spec.trial_id(), spec

    def values(self, search: Mapping[str, Axis]) -> dict[str, Value]:
        """Its values of the search axes that apply; a searched optimizer may rule some out."""
        return searched_values(self.spec, search)


@dataclass
class CellPlan:
    """A cell, the configurations proposed in it so far, and what follows from its winner.

    Args:
        cell: The cell.
        searches: Whether it compares configurations.
        configurations: Those proposed so far, by their ids, in order of their numbers.
        known: Number of the study's known points that were tried or skipped.
        sampled: Number of points taken from the sampler's sequence.
        exhausted: Whether its space holds no further configuration.
        searched: Whether its search is over.
        winner: The configuration that won; None before, and where none may win.
        control: The dense winner's recipe in this cell; None before it is known, and where there is
            none.
        uncontrolled: Whether its control would cost more than the study's budget.
        longest: The most epochs that a trial of it can take; None until it was worked out.
    """

    cell: Cell
    searches: bool
    configurations: dict[str, Configuration] = field(default_factory=dict)
    known: int = 0
    sampled: int = 0
    exhausted: bool = False
    searched: bool = False
    winner: Configuration | None = None
    control: Configuration | None = None
    uncontrolled: bool = False
    longest: float | None = None

    @property
    def sparse(self) -> bool:
        """True if the cell prunes; then its winner has twins."""
        return self.cell.spec.sparsity.prunes

    @cached_property
    def twin(self) -> Configuration | None:
        """The winner's recipe, dense; ask only when the winner is known."""
        if self.winner is None:
            return None
        return Configuration(self.winner.index, "twin", self.winner.spec.dense())

    @cached_property
    def teacher(self) -> Configuration | None:
        """The trial that the cell's trials learn from; None where they have no teacher."""
        spec = self.cell.spec.distill.teacher
        return Configuration(0, "teacher", spec.with_values({"seed": 0})) if spec else None


class TrialUse(NamedTuple):
    """A trial in one role for one cell. One trial may serve several.

    Args:
        plan: The cell.
        role: What the cell uses the trial for.
        configuration: The trial's configuration.
        seed: The trial's seed.
    """

    plan: CellPlan
    role: Role
    configuration: Configuration
    seed: int

    @property
    def trial_id(self) -> str:
        """Id of the trial."""
        return self.configuration.trial_id(self.seed)

    def record(self) -> Proposed:
        """The record that proposes this use."""
        trial_id, spec = self.configuration.trial(self.seed)
        # Search trials have no twin: it would double the search, and nothing compares them with it.
        has_twin = self.role in ("report", "control") and self.plan.sparse
        return Proposed(
            trial_id=trial_id,
            config_id=self.configuration.config_id,
            cell=self.plan.cell.name,
            arm="dense" if self.role == "twin" else self.plan.cell.arm,
            role=self.role,
            index=self.configuration.index,
            source=self.configuration.source,
            seed=self.seed,
            spec=spec.given(),
            twin_id=spec.dense().trial_id() if has_twin else None,
        )

    def is_recorded_in(self, trial: TrialState | None) -> bool:
        """True if the ledger has this use of the trial already."""
        uses = trial.proposed if trial else []
        return any(use.cell == self.plan.cell.name and use.role == self.role for use in uses)


def search_states(
    configuration: Configuration, trials: Mapping[str, TrialState], seeds: Sequence[int]
) -> list[TrialState | None]:
    """State of a configuration's search trial of each seed; None for one that was not proposed."""
    return [trials.get(configuration.trial_id(seed)) for seed in seeds]
