"""Luck in a winner's validation value: the best of N looks better than it is on fresh seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...catalogue import paragraph, write
from ...catalogue.template import Sentence
from ...drawers import draw
from ...estimates.captions import count_words
from ...estimates.intervals import estimate_means
from ...estimates.means import cell_values, measure_columns
from ...estimates.pooled import POOLING_COLUMNS
from ...measure import Measure
from ...notebook import Shown
from ...tables.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPTIMISM_COLUMNS = [
    "configurations",
    "search",
    "n",
    "learned_nothing",
    "report",
    "low",
    "high",
    "luck",
    "luck_low",
    "luck_high",
    "sd",
    "pooled_sd",
    "df",
    "interval",
    "expected",
]


@dataclass(frozen=True)
class Optimism(Shown):
    """Each winner in the search that chose it and on fresh seeds: numbers, then the figure.

    Args:
        y: The objective, a validation measure.
        rows: Rows that `frame` returns.
        level: Coverage of the intervals, in (0, 1).
    """

    y: Measure
    rows: pd.DataFrame
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per cell with a search and a winner that was run again.

        Columns: ``cell arm sparsity epochs``, other sweep axes; ``configurations`` that were
        compared; ``search``, the winner's objective there; ``n report low high``, the same column
        of the same configuration over fresh seeds, of which ``learned_nothing`` did; ``luck
        luck_low luck_high``, the amount by which the search flattered it, positive if it did, the
        interval over the report seeds; ``sd pooled_sd df interval``, between report seeds;
        ``expected``, the luck of the best of that many equally good configurations: E[max of N
        standard normals] x pooled_sd / sqrt(search seeds).
        """
        return self.rows.copy()

    def plot(self) -> Figure:
        """Draw a line per cell: hollow the value in the search, filled the mean on fresh seeds.

        Raises:
            SparsetuneError: if no winner of a search was run again.
        """
        return draw(self)

    def note(self) -> str:
        """Meaning of the marks, for a caption, and the mean luck."""
        return paragraph(self._sentences())

    def _sentences(self) -> Iterator[Sentence]:
        rows = self.rows[self.rows["luck"].notna()]
        if rows.empty:
            yield write("optimism_none")
            return
        mean = estimate_means([rows["luck"]], [0], self.level).iloc[0]
        luck = self.y.in_difference_unit(self.y.change_text(mean["mean"]))
        if pd.notna(mean["low"]):
            ends = [self.y.change_text(mean[end]) for end in ("low", "high")]
            luck += f" ({100 * self.level:g} % interval {' to '.join(ends)})"
        tried = count_words(rows["configurations"], "configurations")
        yield write("optimism_marks", measure=self.y.phrase)
        yield write("optimism_hollow", tried=tried)
        level = f"{100 * self.level:g}"
        yield write("optimism_fresh", n=count_words(rows["n"], "fresh seeds"), level=level)
        networks = "1 network" if len(rows) == 1 else f"{len(rows)} networks"
        yield write("optimism_luck", luck=luck, networks=networks)
        if rows["expected"].notna().any():
            alone = self.y.in_difference_unit(self.y.change_text(rows["expected"].mean()))
            yield write("optimism_alone", alone=alone)
        yield write("optimism_left_out")


def optimism(
    results: Results, *, where: Mapping[str, Any] | None = None, level: float = 0.95, seed: int = 0
) -> Optimism:
    """Amount by which every winner's objective in the search was better than on fresh seeds.

    Args:
        results: A study that searches something, with fresh seeds for the winners; otherwise the
            frame is empty.
        where: Dotted fields and their values, as in `sparsity_curve`.
        level: Coverage of the intervals, in (0, 1).
        seed: Seed of the bootstrap, which replaces the t interval from n = 10 on.

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
    """
    y = results.design.objective
    table = results.cells().set_index("cell")
    has_search = bool(results.design.search) and len(table) > 0
    # Without fresh seeds the two values would be of the same runs.
    if y not in measure_columns(results) or not has_search or not results.fresh_seeds:
        empty = pd.DataFrame(columns=["cell", "arm", "sparsity", "epochs", *OPTIMISM_COLUMNS])
        return Optimism(results.measure(y or "val_error"), empty, level)
    cells, values, _ = cell_values(results, y, where)
    table = table.loc[table.index.isin(cells.index) & table.index.isin(_searched_cells(results))]
    cells = cells.loc[table.index]
    groups = [tuple(row) for row in cells[list(POOLING_COLUMNS)].itertuples(index=False)]
    bounds = results.measure(y).range
    found = estimate_means(values.loc[table.index], groups, level, seed, bounds)
    found = found.set_index(cells.index)
    found = found.rename(columns={"mean": "report"})
    configurations = table["configurations"].astype("Int64")
    found = found.assign(
        search=table["objective"].astype("float64"),
        configurations=configurations,
        learned_nothing=cells["learned_nothing"],
        expected=_expected_luck(configurations, found["pooled_sd"], results.design.search_seeds),
    )
    found = _add_luck(found, minimize=results.design.minimize)
    others = [path for path in results.design.other_axes() if path in cells]
    rows = cells[["arm", "sparsity", *others, "epochs"]].join(found[OPTIMISM_COLUMNS])
    return Optimism(results.measure(y), rows.dropna(subset=["luck"]).reset_index(), level)


def _add_luck(found: pd.DataFrame, minimize: bool) -> pd.DataFrame:
    """The frame with ``luck luck_low luck_high``, positive if the search looked better."""
    # A search flatters downwards if it minimises and upwards if it maximises.
    sign = 1 if minimize else -1
    low_end = "low" if minimize else "high"
    high_end = "high" if minimize else "low"
    return found.assign(
        luck=sign * (found["report"] - found["search"]),
        luck_low=sign * (found[low_end] - found["search"]),
        luck_high=sign * (found[high_end] - found["search"]),
    )


def _expected_luck(
    configurations: pd.Series[Any], sd: pd.Series[Any], search_seeds: int
) -> pd.Series[Any]:
    """Luck of the best of equally good configurations, by cell; NaN without configurations.

    Args:
        configurations: Number of compared configurations, by cell.
        sd: Standard deviation between seeds, by cell.
        search_seeds: Seeds of each configuration in the search.
    """
    counts = configurations.fillna(0)
    extremes = [expected_maximum(int(n)) if n > 0 else np.nan for n in counts]
    luck: pd.Series[Any] = pd.Series(extremes, configurations.index) * sd / np.sqrt(search_seeds)
    return luck


def expected_maximum(n: int) -> float:
    """E[max of n independent standard normals]: 0, 0.564, 0.846 for n = 1, 2, 3; exact to 1e-9."""
    from scipy.special import log_ndtr

    x = np.linspace(-12, 12, 24_001)
    # In logarithms, since powers of a small probability underflow.
    density = n * np.exp((n - 1) * log_ndtr(x) - x**2 / 2) / np.sqrt(2 * np.pi)
    return float(np.sum(x * density) * (x[1] - x[0]))


def _searched_cells(results: Results) -> set[Any]:
    """Names of the cells whose winner was compared with others on search seeds."""
    uses = results.uses()
    return set(uses.loc[uses["role"] == "search", "cell"])
