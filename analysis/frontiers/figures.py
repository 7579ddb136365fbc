"""The figures of budgets, equal costs and the Pareto front: a measure against sparsity or training FLOPs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis import wording
from analysis.drawing.axes import log_density, make_panels, set_sparsity_ticks
from analysis.drawing.marks import add_legend, attach_hover_texts
from analysis.drawing.style import LINE_MARKERS, line_colours, project_style
from analysis.quantities import column_label, display_factor, line_name
from sparsetune.errors import SparsetuneError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.frontiers.budgets import BestAt
    from analysis.frontiers.iso_flops import IsoFlops
    from analysis.frontiers.pareto import ParetoFront

LIMIT_FORMATS = {
    "epochs": "{:.4g} epochs",
    "train_flops": "{:.3g} dense epochs",
    "gpu_hours": "{:.2g} h",
}
LOG_LOSS_RATIO = 3
"""From this ratio between the means' ends, a loss is drawn on a logarithmic axis."""


def draw_best(found: BestAt) -> Figure:
    """``y`` of the best cell against sparsity, a line per limit; an arm's mark at each where there are several."""
    frame = _require_rows(found.frame(), found.y)
    limits = sorted(set(frame["limit"]))
    arms = list(dict.fromkeys(frame.loc[frame["sparsity"] > 0, "arm"]))
    palette = line_colours(limits, "schedule.epochs")
    marks = {arm: LINE_MARKERS[rank % len(LINE_MARKERS)] for rank, arm in enumerate(arms)}
    with project_style():
        (panel,) = make_panels(1, size=(5.2, 4.0))
        for rank, limit in enumerate(limits):
            part = frame[frame["limit"] == limit].sort_values("sparsity")
            x = log_density(part["sparsity"]) + 0.035 * (rank - (len(limits) - 1) / 2)
            name = LIMIT_FORMATS[found.budget].format(limit)
            values = display_factor(found.y) * part["mean"]
            (line,) = panel.plot(
                x, values, color=palette[limit], linewidth=1.3, label=f"at most {name}"
            )
            attach_hover_texts(line, _hover_texts(part, display_factor(found.y)))
            for arm, own in part.assign(x=x).groupby("arm", sort=False):
                _draw_means(
                    panel,
                    own["x"],
                    own,
                    display_factor(found.y),
                    palette[limit],
                    marks.get(str(arm), "o"),
                )
        for arm in arms if len(arms) > 1 else ():
            panel.plot([], [], marks[arm], color="#777777", label=f"best: {arm}")
        set_sparsity_ticks(panel.xaxis, frame["sparsity"])
        panel.set_xlabel(column_label("sparsity"))
        panel.set_ylabel(column_label(found.y))
        return add_legend([panel])


def draw_iso_flops(found: IsoFlops) -> Figure:
    """``y`` against training FLOPs, a line per sparsity and a panel per arm; dense networks in every panel."""
    arms = _arms(_require_rows(found.points, found.y))
    palette = line_colours(found.points["sparsity"], "sparsity.target")
    with project_style():
        axes = make_panels(len(arms), size=(4.4, 3.8))
        for arm, panel in zip(arms, axes, strict=True):
            own = found.points[(found.points["arm"] == arm) | (found.points["sparsity"] == 0)]
            for rank, (sparsity, part) in enumerate(own.groupby("sparsity")):
                part = part.sort_values("train_flops")
                name = line_name("sparsity.target", sparsity)
                marker = LINE_MARKERS[rank % len(LINE_MARKERS)]
                values = display_factor(found.y) * part["mean"]
                style: dict[str, Any] = {
                    "color": palette[sparsity],
                    "linewidth": 1.3,
                    "markersize": 4.5,
                }
                (line,) = panel.plot(
                    part["train_flops"], values, marker, linestyle="-", label=name, **style
                )
                attach_hover_texts(line, _hover_texts(part, display_factor(found.y)))
                _draw_means(
                    panel,
                    part["train_flops"],
                    part,
                    display_factor(found.y),
                    palette[sparsity],
                    marker,
                )
            panel.set_title(arm if len(arms) > 1 else "")
            _set_cost_axes(panel, found.points, found.y)
        axes[0].set_ylabel(column_label(found.y))
        return add_legend(axes, "Sparsity")


def draw_front(found: ParetoFront) -> Figure:
    """``y`` against training FLOPs: filled on the front, hollow off it, faint where that is not sure."""
    frame = _require_rows(found.frame(), found.y)
    arms = _arms(frame)
    palette = line_colours(frame["sparsity"], "sparsity.target")
    with project_style():
        (panel,) = make_panels(1, size=(6.0, 4.4))
        for sparsity, part in frame.groupby("sparsity"):
            on = part[part["front"]].sort_values("train_flops")
            name = line_name("sparsity.target", sparsity)
            values = display_factor(found.y) * on["mean"]
            (line,) = panel.plot(
                on["train_flops"], values, color=palette[sparsity], linewidth=1.2, label=name
            )
            attach_hover_texts(line, _hover_texts(on, display_factor(found.y)))
            for row in part.to_dict("records"):
                arm = arms.index(row["arm"]) if row["arm"] in arms else 0
                one = pd.DataFrame([row])
                style = {"alpha": 1.0 if row["sure"] else 0.4, "fill": row["front"]}
                marker = LINE_MARKERS[arm % len(LINE_MARKERS)]
                _draw_means(
                    panel,
                    one["train_flops"],
                    one,
                    display_factor(found.y),
                    palette[sparsity],
                    marker,
                    **style,
                )
        for rank, named in enumerate(arms if len(arms) > 1 else ()):
            panel.plot([], [], LINE_MARKERS[rank % len(LINE_MARKERS)], color="#777777", label=named)
        _set_cost_axes(panel, frame, found.y)
        panel.set_ylabel(column_label(found.y))
        return add_legend([panel])


def _arms(frame: pd.DataFrame) -> list[str]:
    """The arms with sparse networks, or the dense ones where there is no other."""
    return list(dict.fromkeys(frame.loc[frame["sparsity"] > 0, "arm"])) or list(
        dict.fromkeys(frame["arm"])
    )


def _draw_means(
    panel: Axes,
    x: Any,
    part: pd.DataFrame,
    factor: float,
    colour: Any,
    marker: str,
    alpha: float = 1,
    fill: bool = True,
) -> None:
    """Means with their intervals."""
    means, low, high = (
        factor * part[name].to_numpy(dtype=np.float64) for name in ("mean", "low", "high")
    )
    panel.vlines(x, low, high, color=colour, linewidth=1.0, alpha=alpha)
    inside = colour if fill else "white"
    (marks,) = panel.plot(
        x, means, marker, color=colour, markerfacecolor=inside, markersize=5.5, alpha=alpha
    )
    attach_hover_texts(marks, _hover_texts(part, factor))


def _require_rows(frame: pd.DataFrame, y: str) -> pd.DataFrame:
    """The frame, if there is anything to draw."""
    if frame.empty:
        raise SparsetuneError(
            f"there is nothing to draw: no cell has both {y} and its cost over finished report trials"
        )
    return frame


def _hover_texts(part: pd.DataFrame, factor: float) -> list[str]:
    """What each mark says when pointed at."""
    told = []
    for row in part.to_dict("records"):
        sparsity = f"{100 * row['sparsity']:.10g} % sparsity"
        cost = row["train_flops"]
        known = [
            row["arm"] if row["sparsity"] else "dense",
            sparsity * bool(row["sparsity"]),
            f"{row['epochs']:g} epochs",
        ]
        known += [] if pd.isna(cost) else [f"{cost:.3g} dense epochs of FLOPs"]
        found = wording.format_interval(row["mean"], row["low"], row["high"], factor)
        told.append(
            wording.hover_text(
                ", ".join(filter(None, known)), found, row["n"], row.get("verdict", "")
            )
        )
    return told


def _set_cost_axes(panel: Axes, frame: pd.DataFrame, y: str) -> None:
    """Training FLOPs on a logarithmic axis with plain numbers; a loss too where its values lie far apart."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes: list[Any] = [panel.xaxis]
    panel.set_xscale("log")
    means = frame["mean"].to_numpy(dtype=np.float64)
    if y.endswith("loss") and means.min() > 0 and means.max() > LOG_LOSS_RATIO * means.min():
        panel.set_yscale("log")
        axes.append(panel.yaxis)
    for axis in axes:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("Training FLOPs (dense epochs, log scale)")
