"""What happened during training: the evaluations of the winners' report trials, a line per seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.estimates.means import add_dense_points, cell_values
from analysis.exhibit import Exhibit
from analysis.quantities import column_label, display_factor, line_name, measure_name
from analysis.tables.results import Results
from analysis.tables.selection import report_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRACE_COLUMNS = ["arm", "sparsity", "epochs", "seed", "trial_id", "progress"]
MAX_FIGURE_POINTS = 12_000
"""Points of a figure; of longer histories evaluations are left out, the last one never."""


def exhibits(results: Results, y: str, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """Losses over training, and the sparsity of the mask; nothing where no trial was evaluated twice."""
    history = winners_history(results, where)
    note = "Winners' report trials, a line per seed."
    if results.design.lengths() and history["epochs"].nunique() > 2:
        note += " Of more than three training lengths the shortest, middle and longest are drawn."
    for column in ("val_loss", "train_loss"):
        rows = history.dropna(subset=column)
        if _has_line(rows):
            title = f"{measure_name(column)} over training"
            yield Exhibit(
                f"history-{column}",
                title,
                rows[[*TRACE_COLUMNS, column]],
                note,
                partial(draw_histories, rows, column),
            )
    first = history[
        history["seed"] == history.groupby(["arm", "epochs", "sparsity"])["seed"].transform("min")
    ]
    rows = first.dropna(subset="sparsity_now")
    if _has_line(rows) and rows["sparsity_now"].gt(0).any():
        caption = note.replace("a line per", "first")
        figure = partial(draw_histories, rows, "sparsity_now")
        yield Exhibit(
            "history-sparsity",
            "Sparsity of the mask over training",
            rows[[*TRACE_COLUMNS, "sparsity_now"]],
            caption,
            figure,
        )


def _has_line(rows: pd.DataFrame) -> bool:
    """Whether a trial has two evaluations: one makes no line."""
    return bool(rows.duplicated(["arm", "trial_id"]).any())


def winners_history(results: Results, where: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Every evaluation of the winners' report trials: ``arm sparsity epochs seed trial_id progress`` and the measures.

    ``sparsity`` is the target, ``sparsity_now`` the mask's; dense trials appear in every arm. Of more than three
    training lengths the shortest, the middle and the longest stay.
    """
    rows = report_rows(results)
    cells = cell_values(results, "val_loss", where)[0]
    rows = add_dense_points(
        rows[rows["cell"].isin(cells.index)].assign(sparsity=rows["sparsity.target"])
    )
    lengths = sorted(set(rows["epochs"].dropna()))
    if len(lengths) > 3:
        rows = rows[rows["epochs"].isin([lengths[0], lengths[len(lengths) // 2], lengths[-1]])]
    history = results.history().rename(columns={"sparsity": "sparsity_now"})
    kept = [name for name in history.columns if name not in ("arm", "cell")]
    history = history.loc[history["trial_id"].isin(set(rows["trial_id"])), kept]
    return rows[["arm", "sparsity", "epochs", "trial_id"]].merge(
        history, on="trial_id", suffixes=("", "_")
    )


def draw_histories(frame: pd.DataFrame, y: str) -> Figure:
    """``y`` over training, a thin line per trial coloured by its sparsity; rows of panels are arms, columns lengths.

    Where every arm has one length, the arms follow each other in three columns.

    Args:
        frame: One row per trial and evaluation: ``arm sparsity epochs trial_id progress`` and ``y``.
        y: The column; sparsity itself is drawn on the log-density axis.
    """
    from analysis.drawing.axes import make_panels, set_sparsity_ticks
    from analysis.drawing.marks import add_line_legend
    from analysis.drawing.style import line_colours, project_style

    arms = list(dict.fromkeys(frame["arm"]))
    lengths = sorted(set(frame["epochs"]))
    trained = set(zip(frame["arm"], frame["epochs"], strict=True))
    one_each = len(trained) == len(arms)
    wanted = [
        (arm, length)
        for arm in arms
        for length in lengths
        if not one_each or (arm, length) in trained
    ]
    columns = min(3, len(arms) if one_each else len(lengths))
    with project_style():
        axes = make_panels(len(wanted), columns=columns, size=(3.3, 2.3))
        palette = line_colours(frame["sparsity"], "sparsity.target")
        for (arm, length), axis in zip(wanted, axes, strict=False):
            _draw_lines(
                axis,
                frame[(frame["arm"] == arm) & (frame["epochs"] == length)],
                y,
                palette,
                _evaluation_stride(frame),
            )
            axis.set_title(f"{arm}, {length:g} epochs" if len(lengths) > 1 else arm)
            axis.set_xlim(0, 100)
            if y == "sparsity_now":
                set_sparsity_ticks(axis.yaxis, [0, *frame["sparsity"]])
        for axis in axes[::columns]:
            axis.set_ylabel(column_label(y))
        for axis in axes[-columns:]:
            axis.set_xlabel(column_label("progress"))
            axis.tick_params(labelbottom=True)
        return add_line_legend(axes, "sparsity.target", palette)


def _draw_lines(
    axis: Axes, panel: pd.DataFrame, y: str, palette: Mapping[Any, Any], step: int
) -> None:
    """The lines of one panel, those of one sparsity as one artist with gaps between trials."""
    from analysis.drawing.axes import log_density

    for sparsity, rows in panel.groupby("sparsity"):
        parts = []
        for _, trial in rows.sort_values(["seed", "trial_id", "progress"]).groupby(
            "trial_id", sort=False
        ):
            kept = trial.iloc[::-step].iloc[::-1]
            parts += [kept[["progress", y]], pd.DataFrame([[np.nan] * 2], columns=["progress", y])]
        line = pd.concat([part.astype("float64") for part in parts], ignore_index=True)
        values = log_density(line[y]) if y == "sparsity_now" else display_factor(y) * line[y]
        style = {"color": palette[sparsity], "linewidth": 1.1, "alpha": 0.85}
        axis.plot(
            100 * line["progress"], values, label=line_name("sparsity.target", sparsity), **style
        )


def _evaluation_stride(frame: pd.DataFrame) -> int:
    """Every which evaluation is drawn."""
    return -(-len(frame) // MAX_FIGURE_POINTS)
