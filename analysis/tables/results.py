"""Interface of results: the four pandas tables that every analysis reads, whatever their source."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsetune.errors import SparsetuneError
from sparsetune.notebook import html_text, html_title
from sparsetune.storage.trial_files.outcomes import Outcomes, Quantity

from ..measure import Measure
from ..notebook import frame_html
from .design import Design
from .measured import task_measure

P = ParamSpec("P")
T = TypeVar("T")


class Results(ABC):
    """Four tables of runs and the design behind them; missing values are NaN or NA, never 0.

    Every call returns a new frame, which pandas copies only when it is changed. `analysis.load`
    reads results from a study directory, `analysis.load_table` from any table of runs.
    """

    @property
    @abstractmethod
    def design(self) -> Design:
        """Objective and axes of the runs."""

    @property
    def fresh_seeds(self) -> bool:
        """True if no winner is reported on the runs that chose it, which a study guarantees."""
        return True

    def given_means(self, y: str) -> pd.DataFrame:
        """Statistics of trials that are means over several runs, as a table may have them.

        Args:
            y: The measured column.

        Returns:
            By trial: ``n``, the number of runs, ``sd``, the standard deviation of ``y`` over them,
            NaN where it is not known, and ``dense_id``, the trial that is the dense mean of the
            same recipe, missing where there is none. A study's trials are single runs: no row.
        """
        empty = pd.DataFrame({"n": [], "sd": []}, dtype="float64")
        return empty.assign(dense_id=pd.Series(dtype="string"))

    def measure(self, column: str) -> Measure:
        """Name, unit, direction and range of a measured column.

        A study's follow from its task's loss and metrics; those of a table, from the column's name.

        Args:
            column: Name of the column, such as ``test_score``.
        """
        if not self.design.measured:
            return Measure.by_name(column)
        return task_measure(self.design.measured, column, self._score_rises)

    def _score_rises(self) -> bool | None:
        """True if the score's metric is better when higher; None if no evaluation tells."""
        history = self._history
        known = history.reindex(columns=["val_score", "val_error"]).dropna()
        if known.empty:
            return None
        score, error = known.iloc[-1].astype("float64")
        # The error is 1 - score, or -score where less is better.
        return bool(abs(score + error) > 0.5)

    def __repr__(self) -> str:
        """Class, name and trials by status in one line: the tables have thousands."""
        return f"<{type(self).__name__} {self._title()}>"

    def _repr_html_(self) -> str:
        """Question, trials by status, and the cells, as a notebook shows them."""
        title = html_title(self._title())
        parts = [title, html_text(self.design.question), frame_html(self._cells)]
        return "\n".join(parts)

    def _title(self) -> str:
        """Name, and trials by status."""
        statuses = self._trials["status"].value_counts(sort=False)
        counts = [f"{count} {status}" for status, count in statuses.items()]
        return f"{self.design.name}: {', '.join(counts) or 'no trials yet'}"

    def trials(self) -> pd.DataFrame:
        """One row per trial.

        Returns:
            The columns of `sparsetune.spec.columns.TRIAL_COLUMNS`, then the configuration's dotted
            fields.
        """
        return self._trials.copy(deep=False)

    def history(self) -> pd.DataFrame:
        """One row per trial and evaluation.

        Returns:
            The columns of `sparsetune.spec.columns.HISTORY_COLUMNS`, then the configuration's
            dotted fields.
        """
        return self._history.copy(deep=False)

    def cells(self) -> pd.DataFrame:
        """One row per cell: progress, winner with its searched values, and control.

        Returns:
            The columns that `analysis.tables.selection.cells` lists.
        """
        return self._cells.copy(deep=False)

    def uses(self) -> pd.DataFrame:
        """One row per cell and role that a trial serves.

        `trials` shows only the first role of each trial in `ledger.ROLE_ORDER`.
        """
        return self._uses.copy(deep=False)

    def trial_outcomes(self, trial_id: str) -> Outcomes:
        """Outcomes of a trial on each example of the test set.

        Raises:
            SparsetuneError: if there are none, or they are damaged, with the reason.
            StorageError: if they cannot be read.
        """
        raise SparsetuneError(
            f"outcomes on single test examples are kept by a study's directory: trial {trial_id}"
            " has none"
        )

    def outcomes(self, trial_ids: Sequence[str], y: str = "test_accuracy") -> NDArray[np.float64]:
        """Outcomes of trials on the same test examples.

        Args:
            trial_ids: Trials that have read the test set, at least one.
            y: ``test_accuracy``, ``test_loss`` or ``test_score``.

        Returns:
            Shape [n_trials, n_examples]. The mean of a row is the trial's value of ``y``; of a
            score that is no mean over examples, a row holds jackknife pseudo-values, for groups of
            examples where there are many.

        Raises:
            SparsetuneError: if a trial has none, or its file is damaged; it names the trial.
            StorageError: if a file cannot be read.
        """
        quantity = self._outcome_quantity(y)
        rows: list[NDArray[np.float64]] = []
        for trial_id in trial_ids:
            row = self.trial_outcomes(trial_id).values(quantity)
            if row is None:
                raise SparsetuneError(f"trial {trial_id} kept no `{y}` of single test examples")
            if rows and len(row) != len(rows[0]):
                raise SparsetuneError(
                    f"trials must have one test set, got {len(rows[0]):,} examples of"
                    f" {trial_ids[0]} and {len(row):,} of {trial_id}"
                )
            rows.append(row)
        if not rows:
            raise SparsetuneError("outcomes are those of at least one trial, got none")
        return np.stack(rows)

    def _outcome_quantity(self, y: str) -> Quantity:
        """What outcomes a column is made of: its quantity, or the score that it holds.

        Raises:
            SparsetuneError: if the column has none.
        """
        match y:
            case "test_accuracy":
                return "accuracy"
            case "test_loss":
                return "loss"
        headlines = {task.metrics[0].column for task in self.design.measured}
        if y == "test_score" or {y.removeprefix("test_")} == headlines:
            return "score"
        raise SparsetuneError(
            "outcomes on single test examples are those of test_accuracy, test_loss or test_score,"
            f" got `{y}`"
        )

    @cached_property
    def _known(self) -> dict[Any, Any]:
        """Values of functions decorated with `cached_per_results`, by function and arguments."""
        return {}

    @property
    @abstractmethod
    def _trials(self) -> pd.DataFrame: ...

    @property
    @abstractmethod
    def _history(self) -> pd.DataFrame: ...

    @property
    @abstractmethod
    def _cells(self) -> pd.DataFrame: ...

    @property
    @abstractmethod
    def _uses(self) -> pd.DataFrame: ...


def cached_per_results(
    compute: Callable[Concatenate[Results, P], T],
) -> Callable[Concatenate[Results, P], T]:
    """Cache a function of results on the results, by its arguments.

    Callers must not change the value that they get, since later callers get the same object.

    Raises:
        SparsetuneError: when called with anything else than `Results`.
    """
    signature = inspect.signature(compute)

    @wraps(compute)
    def cached(results: Results, /, *args: P.args, **options: P.kwargs) -> T:
        if not isinstance(results, Results):
            raise SparsetuneError(
                "an analysis takes results: give `analysis.load(...)`,"
                f" got {type(results).__name__}"
            )
        # With defaults bound, a call that leaves an argument out shares the value of one that
        # gives it.
        bound = signature.bind(results, *args, **options)
        bound.apply_defaults()
        # The results themselves are no part of the key: the cache lives on them, and as long.
        arguments = list(bound.arguments.values())[1:]
        key = (compute.__module__, compute.__qualname__, *map(_hashable, arguments))
        if key not in results._known:
            results._known[key] = compute(results, *args, **options)
        value: T = results._known[key]
        return value

    return cached


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple(sorted((name, repr(one)) for name, one in value.items()))
    return tuple(value) if isinstance(value, list) else value
