"""What a report shows, in order: which exhibits stand under which heading. A new analysis is a line in `SECTIONS`."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from analysis import structure
from analysis.curves import curve, histories
from analysis.curves.comparison import COST_COLUMNS, cell_costs, compare_arms
from analysis.curves.figures import draw_gains
from analysis.estimates.means import cell_values, is_measured
from analysis.exhibit import Exhibit
from analysis.frontiers import pareto
from analysis.lengths import saturation, verdicts
from analysis.lengths.extension import extension_gain
from analysis.lengths.summary import summary
from analysis.quantities import column_label, measure_name
from analysis.ramps import atlas
from analysis.recipes import edges, importance, optima, optimism
from analysis.recipes.optimum_figure import axis_name
from analysis.recipes.retuning import retuning_gain
from analysis.tables.results import Results
from analysis.tables.selection import report_rows
from analysis.wording import format_value
from sparsetune.errors import SparsetuneError

Exhibits = Callable[[Results, str, Mapping[str, Any]], Iterator[Exhibit]]
"""What an analysis offers: exhibits of results, of a headline measure, where dotted fields have one value each."""


@dataclass(frozen=True)
class Combination:
    """One value of each sweep axis besides sparsity and training length, which a figure cannot show several of.

    Args:
        where: The axes and their values.
        y: The headline measure.
        suffix: Of its file names; empty where it is the only one.
    """

    where: Mapping[str, Any]
    y: str
    suffix: str = ""

    @property
    def title(self) -> str:
        """For a heading; empty where it is the only one."""
        return ", ".join(f"{path} {format_value(given)}" for path, given in self.where.items())


def combinations(results: Results) -> Iterator[Combination]:
    """Every one of the study; usually a single one that fixes nothing."""
    rows = report_rows(results)
    others = [path for path in results.design.other_axes() if path in rows]
    values = [list(dict.fromkeys(rows[path].dropna())) for path in others]
    for number, chosen in enumerate(itertools.product(*values)):
        where = dict(zip(others, chosen, strict=True))
        yield Combination(where, headline_measure(results, where), f"-{number}" if others else "")


def headline_measure(results: Results, where: Mapping[str, Any] | None = None) -> str:
    """What cells are judged by: accuracy where it was measured, else the task's score; on validation without a test."""
    measures = ("test_accuracy", "test_score", "val_accuracy", "val_score")
    found = (y for y in measures if cell_values(results, y, where)[1].notna().any(axis=None))
    return next(found, "test_accuracy")


def main_table(results: Results, at: Combination) -> pd.DataFrame:
    """The main table: `analysis.summary.summary` with the costs of each row beside it; empty without its measure."""
    if not is_measured(results, at.y):
        return pd.DataFrame()
    found = summary(results, at.y, where=at.where)
    spent = cell_costs(results, at.where)
    named = spent.assign(arm=spent["arm"].where(spent["sparsity"] > 0, "dense"))
    keys = ["arm", "sparsity", "epochs"]
    merged = found.merge(named[[*keys, *COST_COLUMNS]].drop_duplicates(keys), on=keys, how="left")
    steps = [
        f"{format_value(row['from_epochs'])} to {format_value(row['to_epochs'])}"
        for row in merged.to_dict("records")
    ]
    merged = merged.assign(
        step=pd.Series(steps, merged.index, dtype="str").where(merged["verdict"] != "", "")
    )
    if (
        not merged["gain"].notna().any() and merged["arm"].nunique() > 2
    ):  # arms side by side, the best first
        merged = merged.sort_values(
            ["sparsity", "mean"], ascending=[True, False], kind="stable", ignore_index=True
        )
    shown = {"extra_flops": merged["extra_flops"].gt(0), "ever_active": merged["ever_active"].lt(1)}
    return merged.drop(columns=[name for name, says in shown.items() if not says.any()])


def main_table_headings(y: str, one_length: bool) -> dict[str, str]:
    """The headings of `main_table`, for a page's table."""
    return {
        **{"arm": "Arm", "sparsity": "Sparsity (%)"},
        **({} if one_length else {"epochs": "Length\n(epochs)"}),
        **{"mean low high": f"{measure_name(y)} (%)\n[95 % interval]", "n": "n"},
        **{"difference difference_low difference_high": "Minus dense\ntwin (points)"},
        **{"training_flops": "Training\nFLOPs (%)", "extra_flops": "Mask choice\nFLOPs (%)"},
        **{"inference_flops": "Inference\nFLOPs (%)", "ever_active": "Ever active\n(%)"},
        **{
            "step": "Longer training\n(epochs)",
            "gain gain_low gain_high": "Gain beyond\ndense (points)",
        },
        "verdict": "Verdict",
    }


def comparison_exhibits(results: Results, y: str, where: Mapping[str, Any]) -> Iterator[Exhibit]:
    """Arms side by side, where several share a sparsity."""
    compared = compare_arms(results, y, where=where)
    if compared.shared():
        length = f", after {compared.epochs:g} epochs" if results.design.lengths() else ""
        title = f"{measure_name(y)} and cost of training against sparsity{length}"
        yield Exhibit("comparison", title, compared.frame(), compared.note(), compared.plot)


def extension_exhibits(results: Results, y: str, where: Mapping[str, Any]) -> Iterator[Exhibit]:
    """What longer training gains beyond dense, where that may be claimed."""
    gains = extension_gain(results, y, where=where)
    claimed = gains[gains["claimed"].eq(True) & gains["n"].gt(0)]
    if claimed.empty:
        return
    note = (
        f"{measure_name(y)} gained from {claimed['from_epochs'].iloc[0]:g} epochs on (the shortest length at which dense is"
        f" within 0.2 points of its best) minus what dense gained, paired by seed, n = {claimed['n'].max()};"
        " bars: 95 % t intervals, not corrected for the number of comparisons. The same dense runs choose the start,"
        " which makes gains too large where dense lengths are nearly as good: by 0.1 to 0.3 points at n = 3 in a"
        " simulation whose seeds vary by 0.3."
    )
    title = "What longer training gains beyond dense"
    yield Exhibit("extension-gain", title, gains, note, partial(draw_gains, gains, y))


def retuning_exhibits(results: Results, y: str, where: Mapping[str, Any]) -> Iterator[Exhibit]:
    """What tuning in each cell gained over the dense recipe."""
    gains = retuning_gain(results, y)
    cells = cell_values(results, y, where)[0].index
    gains = gains[gains["cell"].isin(cells)]
    columns = {
        "cell": "Cell",
        "control": f"{measure_name(y)} of\nthe control (%)",
        "winner": "of the winner (%)",
    }
    columns |= {"gain low high": "Gain (points)\n[95 % interval]", "n": "n"}
    note = (
        "The control is the dense winner at the shortest length, run unchanged; differences are paired by report seed,"
        " t intervals with the standard deviation pooled over an arm's cells of one sparsity, not corrected for their"
        " number. A control that diverged on some seeds has no value: those that are left would flatter it."
    )
    if len(gains):
        columns |= (
            {"control_diverged": "Diverged\ncontrols"} if gains["control_diverged"].any() else {}
        )
        yield Exhibit(
            "retuning",
            "What tuning in the cell gained over the dense recipe",
            gains,
            note,
            None,
            columns,
        )


SECTIONS: Mapping[str, tuple[Exhibits, ...]] = {
    "Is the sparse network under-trained?": (
        verdicts.exhibits,
        saturation.exhibits,
        extension_exhibits,
    ),
    "Curves": (curve.exhibits,),
    "Best hyperparameters": (optima.exhibits, edges.exhibits, atlas.exhibits, importance.exhibits),
    "What tuning is worth": (retuning_exhibits, optimism.exhibits),
    "What to spend": (pareto.exhibits,),
    "Structure of the sparse networks": (structure.exhibits,),
    "During training": (histories.exhibits,),
}
"""Heading to the analyses whose exhibits stand under it, each once per combination."""


def combination_exhibits(
    results: Results, at: Combination, analyses: tuple[Exhibits, ...]
) -> Iterator[Exhibit | SparsetuneError]:
    """What the analyses show; an error where one lacks what it needs, so that the others still can."""
    for analysis in analyses:
        try:
            yield from analysis(results, at.y, at.where)
        except SparsetuneError as error:
            yield error
        except Exception as error:  # one analysis that fails must not take the others' place
            yield fault_message(analysis.__module__, error)


def fault_message(what: str, error: Exception) -> SparsetuneError:
    """What the page says instead of something that our own fault keeps from it; also said as a warning."""
    text = f"{what}: not shown for a fault of sparsetune, please report it ({type(error).__name__}: {error})"
    warnings.warn(text, RuntimeWarning, stacklevel=2)
    return SparsetuneError(text)


def cell_headings(results: Results, cells: pd.DataFrame) -> dict[str, str]:
    """The headings of the table of cells."""
    design = results.design
    sweep = {path: axis_name(path) for path in cells if path in design.points()}
    search = {
        path: axis_name(path) for path in cells if path in design.search and path not in sweep
    }
    return {
        **{"arm": "Arm"}
        | sweep
        | {"pruned": "Pruned weights", "searched": "Configurations"}
        | search,
        **{"objective": column_label(design.objective or "objective"), "reported": "Report trials"},
        **({"flops_ratio": "FLOPs over\ntwin's"} if design.equal == "train_flops" else {}),
        **{
            "stopped": "Stopped early",
            "diverged": "Diverged",
            "failed": "Failed",
            "winner_id": "Winner",
        },
        "state": "State",
    }
