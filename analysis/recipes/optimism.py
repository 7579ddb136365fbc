"""How much of a winner's validation value is luck: the best of N looks better than it is on fresh seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.estimates.intervals import estimate_means
from analysis.estimates.means import MEASURE_COLUMNS, POOLING_COLUMNS, cell_values, format_span
from analysis.exhibit import Exhibit
from analysis.quantities import column_label, difference_unit, display_factor, measure_name
from analysis.tables.results import Results
from sparsetune.errors import SparsetuneError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPTIMISM_COLUMNS = [
    "configurations",
    "search",
    "n",
    "report",
    "low",
    "high",
    "luck",
    "luck_low",
    "luck_high",
]
OPTIMISM_COLUMNS += ["sd", "pooled_sd", "df", "interval", "expected"]


@dataclass(frozen=True)
class Optimism:
    """Each winner in the search that chose it and on fresh seeds: numbers (`frame`), then picture (`plot`).

    Args:
        y: The objective, a validation column.
        rows: What `frame` returns.
        level: Coverage of the intervals.
    """

    y: str
    rows: pd.DataFrame
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per cell with a search and a winner that was run again.

        Columns: ``cell arm sparsity epochs``, other sweep axes; ``configurations`` that were compared; ``search``, the
        winner's objective there; ``n report low high``, the same column of the same configuration over fresh seeds;
        ``luck luck_low luck_high``, by how much the search flattered it, positive where it did, the interval over the
        report seeds; ``sd pooled_sd df interval``, between report seeds; ``expected``, what luck alone gives the best
        of that many equally good configurations: E[max of N standard normals] x pooled_sd / sqrt(search seeds).
        """
        return self.rows.copy()

    def plot(self) -> Figure:
        """Draw a line per cell: hollow what the search saw, filled with its interval what fresh seeds show."""
        from analysis.recipes import optimism_figure

        return optimism_figure.draw_optimism(self)

    def note(self) -> str:
        """What the marks mean, for a caption, and how much luck there was on average."""
        rows = self.rows[self.rows["luck"].notna()]
        if rows.empty:
            return "No cell has a search and a winner that was run again."
        factor = display_factor(self.y)
        mean = estimate_means([rows["luck"]], [0], self.level).iloc[0]
        ends = (
            f" [{factor * mean['low']:.2f}, {factor * mean['high']:.2f}]"
            if pd.notna(mean["low"])
            else ""
        )
        note = (
            f"{measure_name(self.y)} of each cell's winner: hollow, in the search that chose it as best"
            f" of N = {format_span(rows['configurations'])}; filled, over n = {format_span(rows['n'])} fresh seeds, with"
            f" {100 * self.level:g} % intervals. The search flattered it by"
            f" {factor * mean['mean']:.2f}{ends} {difference_unit(self.y)} on average over {len(rows)} cells"
        )
        if rows["expected"].isna().all():
            return note + "."
        return (
            f"{note}; were all configurations of a cell equally good, luck alone would give"
            f" {factor * rows['expected'].mean():.2f}. Neither enters a curve: those are over fresh seeds."
        )


def optimism(
    results: Results, *, where: Mapping[str, Any] | None = None, level: float = 0.95, seed: int = 0
) -> Optimism:
    """How far every winner's objective in the search was above what fresh seeds show, in the objective's direction.

    Args:
        results: A study that searches something, with fresh seeds for the winners; else the frame is empty.
        where: Dotted fields and their values, as in `sparsity_curve`.
        level: Coverage of the intervals.
        seed: Of the bootstrap, which takes over from the t interval at n = 10.

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
    """
    y = results.design.objective
    table = results.cells().set_index("cell")
    if (
        y not in MEASURE_COLUMNS
        or not results.design.search
        or not len(table)
        or not results.fresh_seeds
    ):
        return Optimism(
            y or "",
            pd.DataFrame(columns=["cell", "arm", "sparsity", "epochs", *OPTIMISM_COLUMNS]),
            level,
        )
    cells, values, _ = cell_values(results, y, where)
    table = table.loc[table.index.isin(cells.index) & table.index.isin(_searched_cells(results))]
    cells = cells.loc[table.index]
    values = values.loc[table.index]
    found = estimate_means(
        values,
        [tuple(row) for row in cells[list(POOLING_COLUMNS)].itertuples(index=False)],
        level,
        seed,
    )
    found = found.set_index(cells.index).rename(columns={"mean": "report"})
    better = 1 if results.design.minimize else -1
    luck = {"luck": "report", "luck_low": "low", "luck_high": "high"}
    if not results.design.minimize:
        luck |= {"luck_low": "high", "luck_high": "low"}
    search = table["objective"].astype("float64")
    number = table["configurations"].astype("Int64")
    found = found.assign(search=search, configurations=number)
    found = found.assign(**{name: better * (found[end] - search) for name, end in luck.items()})
    extremes = pd.Series(
        [expected_maximum(int(n)) if n > 0 else np.nan for n in number.fillna(0)], number.index
    )
    found = found.assign(
        expected=extremes * found["pooled_sd"] / np.sqrt(results.design.search_seeds)
    )
    others = [path for path in results.design.other_axes() if path in cells]
    rows = (
        cells[["arm", "sparsity", *others, "epochs"]]
        .join(found[OPTIMISM_COLUMNS])
        .dropna(subset=["luck"])
    )
    return Optimism(y, rows.reset_index(), level)


def expected_maximum(n: int) -> float:
    """E[max of n independent standard normals]: 0, 0.564, 0.846 for n = 1, 2, 3; to 1e-9."""
    from scipy.special import log_ndtr

    x = np.linspace(-12, 12, 24_001)
    density = n * np.exp((n - 1) * log_ndtr(x) - x**2 / 2) / np.sqrt(2 * np.pi)
    return float(np.sum(x * density) * (x[1] - x[0]))


def exhibits(results: Results, y: str, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """The winners in search and on fresh seeds, where something was searched; whatever ``y`` the report shows."""
    if results.design.objective and results.design.search and not results.fresh_seeds:
        raise SparsetuneError(
            "how much of the best is luck takes winners that ran again, on seeds that did not choose"
        )
    found = optimism(results, where=where)
    if len(found.frame()):
        unit = column_label(found.y).rpartition("(")[2].rstrip(")")
        apart = "points" if unit == "%" else unit
        columns = {
            "cell": "Cell",
            "configurations": "Best of",
            "search": f"In the\nsearch ({unit})",
        }
        columns |= {"report low high": f"On fresh seeds ({unit})\n[95 % interval]", "n": "n"}
        columns |= {
            "luck luck_low luck_high": f"Luck ({apart})\n[95 % interval]",
            "expected": f"Luck\nalone ({apart})",
        }
        yield Exhibit(
            "optimism",
            "How much of the best is luck",
            found.frame(),
            found.note(),
            found.plot,
            columns,
        )


def _searched_cells(results: Results) -> set[Any]:
    """Cells whose winner was compared with others on search seeds."""
    uses = results.uses()
    return set(uses.loc[uses["role"] == "search", "cell"])
