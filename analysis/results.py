"""Results as pandas tables, wherever they come from: what every analysis reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import pandas as pd

from analysis import select
from analysis.design import Design


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
        """One row per trial: the columns of `sparsetune.tables.TRIALS`, then the configuration's dotted fields."""
        return self._trials.copy(deep=False)

    def history(self) -> pd.DataFrame:
        """One row per trial and evaluation: `sparsetune.tables.HISTORY`, then the configuration's dotted fields."""
        return self._history.copy(deep=False)

    def cells(self) -> pd.DataFrame:
        """One row per cell: progress, the winner with its searched values, the control (`analysis.select.cells`)."""
        return self._cells.copy(deep=False)

    def uses(self) -> pd.DataFrame:
        """One row per cell and role that a trial serves; `trials()` shows only the first of `ledger.ROLE_ORDER`."""
        return self._uses.copy(deep=False)

    @cached_property
    def _report_rows(self) -> pd.DataFrame:
        return select.reported(self)

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
