"""Results as pandas tables, wherever they come from: what every analysis reads."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from analysis.tables.design import Design
from sparsetune.errors import SparsetuneError

P = ParamSpec("P")
T = TypeVar("T")


class Results(ABC):
    """Four tables and what they were meant to show; missing is NaN or NA, never 0.

    Each call gives a frame of its own, which pandas copies only once it is changed. `analysis.load` makes them of a
    study directory, `analysis.load_table` of anybody's runs.
    """

    @property
    @abstractmethod
    def design(self) -> Design:
        """What the runs were meant to show."""

    @property
    def fresh_seeds(self) -> bool:
        """Whether no winner is reported on the runs that chose it; always so in a study."""
        return True

    def trials(self) -> pd.DataFrame:
        """One row per trial: the columns of `sparsetune.spec.columns.TRIAL_COLUMNS`, then the configuration's dotted fields."""
        return self._trials.copy(deep=False)

    def history(self) -> pd.DataFrame:
        """One row per trial and evaluation: `sparsetune.spec.columns.HISTORY_COLUMNS`, then the configuration's dotted fields."""
        return self._history.copy(deep=False)

    def cells(self) -> pd.DataFrame:
        """One row per cell: progress, the winner with its searched values, the control (`analysis.tables.selection.cells`)."""
        return self._cells.copy(deep=False)

    def uses(self) -> pd.DataFrame:
        """One row per cell and role that a trial serves; `trials()` shows only the first of `ledger.ROLE_ORDER`."""
        return self._uses.copy(deep=False)

    @cached_property
    def _known(self) -> dict[Any, Any]:
        """What functions that are asked `cached_per_results` have given."""
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
    """Let a function of results compute only once for equal arguments; nobody may change what it gives."""
    signature = inspect.signature(compute)

    @wraps(compute)
    def asked(results: Results, /, *args: P.args, **options: P.kwargs) -> T:
        if not isinstance(results, Results):
            raise SparsetuneError(
                f"an analysis takes results: give `analysis.load(...)`, got {type(results).__name__}"
            )
        given = signature.bind(results, *args, **options)
        given.apply_defaults()
        key = (
            compute.__module__,
            compute.__qualname__,
            *map(_hashable, list(given.arguments.values())[1:]),
        )
        if key not in results._known:
            results._known[key] = compute(results, *args, **options)
        found: T = results._known[key]
        return found

    return asked


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple(sorted((name, repr(one)) for name, one in value.items()))
    return tuple(value) if isinstance(value, list) else value
