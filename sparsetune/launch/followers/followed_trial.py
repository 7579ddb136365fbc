"""A trial as its followers see it: its name for people, its place in the study, its recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sparsetune.search.planner import CellPlan, Planner
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import Role
from sparsetune.storage.records import ColumnValue, Proposed, Report
from sparsetune.storage.trial_state import TrialState
from sparsetune.study.budget import trained_epochs

NAMED_FIELDS = ("sparsity.target", "schedule.epochs", "schedule.epoch_multiplier")
"""Fields that every name shows, as the sparsity and the length."""


@dataclass(frozen=True)
class FollowedTrial:
    """One trial, when an attempt of it begins.

    Args:
        name: For people, unique in the study: ``gmp 98% 64 epochs seed 1000``.
        study: Name of the study.
        objective: Column that the study optimises.
        trial_id: Digest of the trial's declaration.
        config_id: Digest of the declaration without its seed.
        cell: Name of the first cell that used the trial.
        arm: Name of the cell's arm.
        role: What that cell uses the trial for.
        seed: The trial's seed.
        proposed: When it was first proposed, in seconds since 1970.
        started: When the attempt began, in seconds since 1970; None before the first.
        attempt: Number of the attempt; 0 before the first.
        searched: Its values of the fields that the cell searches, by dotted name.
        recipe: Every field of its declaration that applies, by dotted name.
        earlier: Evaluations of earlier attempts that count, by step.
    """

    name: str
    study: str
    objective: str
    trial_id: str
    config_id: str
    cell: str
    arm: str
    role: Role
    seed: int
    proposed: float
    started: float | None
    attempt: int
    searched: Mapping[str, ColumnValue]
    recipe: Mapping[str, ColumnValue]
    earlier: tuple[Report, ...]

    @property
    def run_id(self) -> str:
        """Id of the trial's run in a tracker, the same however often it is resumed.

        Another study directory's trial of the same declaration is another run.
        """
        return f"{self.trial_id}-{round(self.proposed * 1000):x}"


def followed_trial(planner: Planner, state: TrialState, earlier: Iterable[Report]) -> FollowedTrial:
    """The trial of a state, as its followers see it.

    Args:
        planner: Knows what the trial's cell searches.
        state: The trial's state.
        earlier: Evaluations of earlier attempts that count.
    """
    # The first use never changes, so that neither does the name.
    use = state.proposed[0]
    spec = TrialSpec.model_validate(use.spec)
    recipe = spec.columns()
    plan = planner.plans.get(use.cell)
    axes = plan.cell.search if plan else {}
    return FollowedTrial(
        name=run_name(use, spec, plan),
        study=planner.study.name,
        objective=planner.study.objective.column,
        trial_id=use.trial_id,
        config_id=use.config_id,
        cell=use.cell,
        arm=use.arm,
        role=use.role,
        seed=use.seed,
        proposed=use.time,
        started=state.starts[-1].time if state.starts else None,
        attempt=state.attempts,
        searched={path: recipe[path] for path in axes if path in recipe},
        recipe=recipe,
        earlier=tuple(sorted(earlier, key=lambda report: report.step)),
    )


def run_name(use: Proposed, spec: TrialSpec, plan: CellPlan | None) -> str:
    """Name of a trial's run: arm, sparsity, length, other sweep axes, configuration, role, seed.

    Args:
        use: The first use of the trial.
        spec: Its declaration.
        plan: The cell of the use; None where the study has it no more.
    """
    arm, target = use.arm, spec.sparsity.target
    if plan:
        # A twin is dense: it is named by the cell that it is compared with.
        arm, target = plan.cell.arm, plan.cell.spec.sparsity.target
    parts = [arm]
    if target:
        parts.append(f"{100 * target:g}%")
    parts.append(f"{trained_epochs(spec):g} epochs")
    point = plan.cell.point if plan else {}
    for path, value in point.items():
        if path not in NAMED_FIELDS:
            parts.append(f"{path.rpartition('.')[2]}={value}")
    if plan and plan.searches:
        parts.append(f"config {use.index}")
    if use.role != "report":
        parts.append(use.role)
    parts.append(f"seed {use.seed}")
    return " ".join(parts)
