"""A sparse training as an objective of Optuna, for any of its samplers and pruners."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sparsetune.errors import DeclarationError, Problem, SparsetuneError
from sparsetune.integrations.configured import (
    TableRow,
    configured,
    distinct_rows,
    field_columns,
)
from sparsetune.spec import TrialSpec
from sparsetune.study import Maximize, Minimize, Study
from sparsetune.study.space import Axis

if TYPE_CHECKING:
    import optuna

    from sparsetune.train.checkpoint import Row
    from sparsetune.train.loop import TrialResult

RECIPE_ATTRIBUTE = "recipe"
"""User attribute of Optuna's trial: its declaration, as `TrialSpec.given` returns it."""
RESULT_ATTRIBUTE = "result"
"""User attribute of Optuna's trial: columns of its last evaluation."""


@dataclass(frozen=True)
class _Settings:
    """Arguments of `optuna_objective` about a training."""

    device: str
    read_test: bool
    data_root: Path | None
    checkpoints: Path | None
    checkpoint_seconds: float


def optuna_objective(
    base: TrialSpec,
    space: Mapping[str, Axis],
    objective: Minimize | Maximize | None = None,
    *,
    device: str = "cpu",
    read_test: bool = False,
    data_root: Path | None = None,
    checkpoints: Path | None = None,
    checkpoint_seconds: float = 30.0,
) -> Callable[[optuna.Trial], float]:
    """Objective for `optuna.Study.optimize` that trains the base with values of the space.

    Its value is that of the last evaluation. Pruners see every evaluation at which the mask has its
    target sparsity, by step: before, a network is denser than asked for and looks too good. A
    training that diverges counts as pruned.

    Args:
        base: The declaration that the space varies.
        space: Search axes by dotted field, as in ``Study(search=…)``; axes that do not apply under
            a searched choice are not suggested.
        objective: Column to optimise, which the direction of Optuna's study must fit; by default
            ``Minimize("val_error")``.
        device: As torch names it.
        read_test: Measure the test split at the end of each training.
        data_root: Folder that data sets lie in.
        checkpoints: Folder for checkpoints, by which a training that was interrupted continues
            exactly when a later trial of Optuna has its values; None for none.
        checkpoint_seconds: Least seconds between two checkpoints.

    Raises:
        DeclarationError: naming everything in the base or the space that cannot run.
    """
    goal = objective or Minimize(column="val_error")
    settings = _Settings(device, read_test, data_root, checkpoints, checkpoint_seconds)
    # Optuna tries no base: it may lie outside the space.
    study = Study(name="optuna", base=base, search=dict(space), objective=goal, known_base=True)
    if problems := study.validate_declaration():
        raise DeclarationError(problems, "the base and the space")
    cell = next(cell for cell in study.cells() if not cell.added)

    def trained_value(trial: optuna.Trial) -> float:
        from sparsetune.search.sampling.optuna_form import ask_values

        _require_direction(trial.study, goal)
        spec = configured(base, ask_values(trial, cell))
        trial.set_user_attr(RECIPE_ATTRIBUTE, spec.given())
        training = _OptunaTraining(trial, goal.column)
        final = training.run(spec, settings)
        if final.status == "INVALID":
            rule = "the final weights must have the sparsity asked for"
            raise SparsetuneError(f"{rule}, got: {final.error}")
        return training.value()

    return trained_value


def _require_direction(study: optuna.Study, goal: Minimize | Maximize) -> None:
    """Refuse a study that would look for the worst.

    Raises:
        DeclarationError: if its direction is not that of the objective.
    """
    direction = "minimize" if isinstance(goal, Minimize) else "maximize"
    given = study.direction.name.lower()
    if given != direction:
        rule = f"must be {direction!r} for the objective {goal.column!r}"
        raise DeclarationError([Problem("direction", rule, repr(given))], "Optuna's study")


class _OptunaTraining:
    """One training that reports to a trial of Optuna.

    Args:
        trial: Optuna's trial.
        column: Column of the objective.
    """

    def __init__(self, trial: optuna.Trial, column: str) -> None:
        self._trial = trial
        self._column = column
        self._row: Row = {}

    def run(self, spec: TrialSpec, settings: _Settings) -> TrialResult:
        """Train or continue, and leave the result with Optuna's trial.

        Raises:
            optuna.TrialPruned: if a pruner stops it, or it diverges.
        """
        import optuna

        from sparsetune.train import train
        from sparsetune.train.checkpoint import Checkpoints, latest_checkpoint

        # The recipe's folder has one for each trial of Optuna: two may train it at once.
        folder = settings.checkpoints / spec.trial_id() if settings.checkpoints else None
        own = folder / str(self._trial.number) if folder else None
        earlier = sorted(folder.iterdir()) if folder and folder.is_dir() else []
        resumed = latest_checkpoint(earlier)
        try:
            # Those of an earlier trial of Optuna, which this one has not reported.
            for row in resumed.reports if resumed else []:
                self._report(row)
            final = train(
                spec,
                report=self._report,
                resume_from=resumed,
                read_test=settings.read_test,
                checkpoints=Checkpoints(own, settings.checkpoint_seconds) if own else None,
                data_root=settings.data_root,
                device=settings.device,
            )
        except optuna.TrialPruned:
            self._keep({"status": "PRUNED"})
            _clear_checkpoints(folder)
            raise
        self._keep({"status": final.status, "certified": final.certified, **final.test})
        _clear_checkpoints(folder)
        if final.status == "DIVERGED":
            raise optuna.TrialPruned(final.error)
        return final

    def value(self) -> float:
        """Value of the objective at the last evaluation."""
        value = self._row[self._column]
        return math.nan if value is None else float(value)

    def _report(self, row: Row) -> None:
        """Report an evaluation at target sparsity; raises where the pruner stops the trial."""
        import optuna

        self._row = row
        value = self.value()
        if not row["at_target"] or not math.isfinite(value):
            return
        self._trial.report(value, step=int(row["step"] or 0))
        if self._trial.should_prune():
            raise optuna.TrialPruned

    def _keep(self, ending: TableRow) -> None:
        # JSON has no NaN, and some storages refuse it.
        row = {name: _finite(value) for name, value in {**self._row, **ending}.items()}
        self._trial.set_user_attr(RESULT_ATTRIBUTE, row)


def _clear_checkpoints(folder: Path | None) -> None:
    """Delete the checkpoints of a training that has ended, those of all its attempts."""
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def _finite(value: float | int | str | bool | None) -> float | int | str | bool | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def optuna_rows(study: optuna.Study) -> list[TableRow]:
    """Rows of an Optuna study over `optuna_objective`: the last evaluation of each trial.

    ``load_table(pandas.DataFrame(optuna_rows(study)))`` reads them. A trial that failed has its
    recipe alone, one that is not trained yet has no row, and of trials with equal recipes one
    stays, a complete one where there is any.
    """
    trainings: list[tuple[str, list[TableRow]]] = []
    for trial in study.get_trials(deepcopy=False):
        if RECIPE_ATTRIBUTE not in trial.user_attrs:
            continue
        spec = TrialSpec.model_validate(trial.user_attrs[RECIPE_ATTRIBUTE])
        row: TableRow = {
            **field_columns(spec),
            "trial_id": str(trial.number),
            "status": trial.state.name,
            **trial.user_attrs.get(RESULT_ATTRIBUTE, {}),
        }
        trainings.append((spec.trial_id(), [row]))
    return distinct_rows(trainings)
