"""Drawing: lines and intervals from frames that are already computed. One style, safe for colour-blind readers."""

from __future__ import annotations

import io
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from sparsetune.places import Place
from sparsetune.store import write_durably, writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.comparison import Comparison
    from analysis.curves import Curve

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelcolor": "#333333",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "axes.edgecolor": "#888888",
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.size": 10,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "sparsetune",
    "text.parse_math": False,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
}
MARKERS = "osD^vPX*"
ARM_MARKERS = "osD^vPX<>ph"
ARM_COLOURS = (
    *("#332288", "#ee7733", "#009988", "#cc3311", "#33aadd", "#aa3377"),
    *("#999933", "#0055aa", "#ee99aa", "#117733", "#882255", "#777777"),
)
FAR = 5
"""From this ratio between its ends, an axis is logarithmic."""
ACCURACIES = (0, 20, 50, 70, 80, 90, 95, 97, 98, 99, 99.5, 99.8, 99.9)
"""Ticks where an accuracy is drawn by the logarithm of its error, in percent."""
SPLITS = {"train": "Training", "val": "Validation", "test": "Test"}
QUANTITIES = {
    "loss": "loss (nats)",
    "entropy": "entropy (nats)",
    "accuracy": "accuracy (%)",
    "score": "score (%)",
    "error": "error (%)",
}
LABELS = {
    "sparsity": "Sparsity (%)",
    "sparsity_now": "Sparsity of the mask (%)",
    "epochs": "Training length (epochs, log scale)",
    "progress": "Training done (%)",
    "train_flops": "Training cost (dense epochs)",
    "total_flops": "Training FLOPs (fraction of dense)",
    "inference_flops": "Inference cost (fraction of dense)",
    "lr": "Learning rate",
}
PERCENT = ("accuracy", "score", "error")


def label(column: str) -> str:
    """A column in words, with its unit."""
    split, _, quantity = column.partition("_")
    if split in SPLITS and quantity in QUANTITIES:
        return f"{SPLITS[split]} {QUANTITIES[quantity]}"
    return LABELS.get(column, column.replace("_", " ").capitalize())


def scale(column: str) -> float:
    """What a column is multiplied with before it is drawn or printed: fractions become percent."""
    return 100.0 if column.rpartition("_")[2] in PERCENT else 1.0


def line_name(by: str | None, value: Any) -> str:
    """A line of the legend: ``2x``, ``8 epochs``, ``98 %``, or the field with its value."""
    if by is None or pd.isna(value):
        return ""
    if by == "sparsity.target":
        return "dense" if value == 0 else f"{100 * value:.10g} %"
    forms = {"schedule.epoch_multiplier": "{:g}x", "schedule.epochs": "{:g} epochs"}
    return forms[by].format(value) if by in forms else f"{by.rpartition('.')[2]} {value}"


def log_density(sparsity: Any) -> Any:
    """Position of a sparsity on the axis: -ln(1 - s), where 0, 0.8, 0.9, 0.95, 0.98 and 0.99 are all readable."""
    return -np.log1p(-np.asarray(sparsity, dtype=np.float64))


def colours(values: Iterable[Hashable], by: str | None) -> dict[Any, Any]:
    """A colour for each line, from a sequential map: sparsity and any other field have one each; dense is black."""
    from matplotlib import colormaps

    ordered = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    sparsity = by == "sparsity.target"
    coloured = [value for value in ordered if not (sparsity and value == 0)]
    ends = (0.88, 0.12) if sparsity else (0.78, 0.08)
    chosen = colormaps["viridis" if sparsity else "inferno"](
        np.linspace(*ends, len(coloured)) if len(coloured) > 1 else [ends[1]]
    )
    return {**dict.fromkeys(ordered, "black"), **dict(zip(coloured, chosen, strict=True))}


@contextmanager
def styled() -> Iterator[None]:
    """The project's style, for the figures made inside."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def curve(curve: Curve, ax: Axes | None = None) -> Figure:
    """Means and intervals of a curve: a panel per arm, or all arms into ``ax``, told apart by line style.

    Arms of one line each against sparsity share a panel.
    """
    frame, names = curve.frame(), curve.by
    arms = list(dict.fromkeys(frame["arm"]))
    if not ax and names is None and curve.x == "sparsity" and len(arms) > 1:
        return _arms_together(frame, [curve.y])
    with styled():
        axes = [ax] * len(arms) if ax else panels(len(arms))
        lines = frame[names] if names else pd.Series("", index=frame.index)
        palette = colours(lines, names)
        for position, (arm, axis) in enumerate(zip(arms, axes, strict=False)):
            for rank, (value, part) in enumerate(frame[frame["arm"] == arm].groupby(lines, sort=False)):
                style = {"color": palette[value], "marker": MARKERS[rank % len(MARKERS)]}
                style |= {"linestyle": ("-", "--", ":", "-.")[position % 4] if ax else "-"}
                name = line_name(names, value)
                x = log_density(part["sparsity"]) if curve.x == "sparsity" else part[curve.x]
                _bars(axis, x, part, scale(curve.y), style, f"{arm} {name}".strip() if ax else name)
            if not ax:
                axis.set_title(arm)
            _x_axis(axis, curve.x, frame[curve.x])
            axis.set_ylabel(label(curve.y) if axis is axes[0] else "")
        if ax:
            ax.legend()
            return cast("Figure", ax.get_figure(root=True))
        return _legend(axes, names, palette)


def comparison(comparison: Comparison) -> Figure:
    """What arms keep, and what their training costs, against sparsity: two panels, a line per arm."""
    return _arms_together(comparison.frame(), [comparison.y, "total_flops"])


def _arms_together(frame: pd.DataFrame, columns: Sequence[str]) -> Figure:
    """A panel for each column, a line per arm, dense networks as horizontal lines.

    Args:
        frame: ``arm sparsity mean low high``, which are of the first column, and the others by their names.
        columns: What is drawn against sparsity.
    """
    sparse, dense = frame[frame["sparsity"] > 0], frame[frame["sparsity"] == 0].drop_duplicates(["mean", "low", "high"])
    styles = arm_styles(sparse["arm"])
    with styled():
        axes = panels(len(columns), size=(4.4, 4.2), share=False)
        for column, axis in zip(columns, axes, strict=True):
            own = {"mean": column, "low": column, "high": column} if column in frame else {}
            lines, levels = (part.assign(**{k: part[v] for k, v in own.items()}) for part in (sparse, dense))
            for level in scale(column) * levels["mean"].dropna():
                axis.axhline(level, color="black", linestyle="--", linewidth=1.2, label="dense")
            for (arm, style), x in zip(styles.items(), _apart(lines, styles), strict=True):
                _bars(axis, x, lines[lines["arm"] == arm], scale(column), style, arm)
            axis.set_ylabel(label(column))
            _x_axis(axis, "sparsity", sparse["sparsity"])
            _spread_out(axis, column, pd.concat([lines, levels]))
        return _legend(axes, "arm", by_right_end(sparse))


def arm_styles(arms: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A colour and a marker for each arm, in order; a pair comes again after 132."""
    return {
        arm: {"color": ARM_COLOURS[i % len(ARM_COLOURS)], "marker": ARM_MARKERS[i % len(ARM_MARKERS)], "linestyle": "-"}
        for i, arm in enumerate(dict.fromkeys(arms))
    }


def by_right_end(sparse: pd.DataFrame) -> list[str]:
    """Arms from the highest to the lowest mean where their lines end, those that reach furthest right first."""
    ends = sparse.sort_values("sparsity", kind="stable").drop_duplicates("arm", keep="last")
    return [str(arm) for arm in ends.sort_values(["sparsity", "mean"], ascending=False, kind="stable")["arm"]]


def _apart(lines: pd.DataFrame, arms: Iterable[str]) -> Iterator[Any]:
    """Each arm's positions on the axis, a little beside its sparsities so that intervals can be told apart."""
    positions = pd.Series(log_density(lines["sparsity"]), lines.index)
    step = 0.005 * (positions.max() - positions.min())
    names = list(arms)
    for rank, arm in enumerate(names):
        yield positions[lines["arm"] == arm] + step * (rank - (len(names) - 1) / 2)


def _spread_out(axis: Axes, column: str, drawn: pd.DataFrame) -> None:
    """A logarithmic y axis where values lie far apart: of a loss or cost, or of the error behind an accuracy."""
    from matplotlib.ticker import LogLocator, NullLocator

    fraction = column.rpartition("_")[2] in ("accuracy", "score")
    means = drawn["mean"].dropna().to_numpy(np.float64)
    least, most = _ends(1 - means if fraction else means)
    if not most > FAR * least > 0:
        low, high = axis.get_ylim()
        if column == "total_flops":
            axis.set_ylim(0, None)
        elif fraction:  # an interval of two seeds may end beyond what there is
            axis.set_ylim(max(0.0, low), min(100.0, high))
        return
    if fraction:
        axis.set_yscale("function", functions=(_by_error, _of_error))
        axis.set_ylabel(f"{label(column)[:-1]}, by the logarithm of the error)")
        low, high = _ends(drawn[["low", "mean", "high"]].to_numpy(np.float64))
        top = max(1 - least / 1.3, min(high, 1 - least / 2))
        axis.set_ylim(max(0.0, 100 * low - 5), 100 * top)
        axis.set_yticks([tick for tick in ACCURACIES if axis.get_ylim()[0] <= tick <= axis.get_ylim()[1]])
    else:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter("{x:g}")


def _ends(values: Any) -> tuple[float, float]:
    """The lowest and highest, NaN left out; NaN where there is none."""
    known = values[~np.isnan(values)]
    return (float(known.min()), float(known.max())) if known.size else (math.nan, math.nan)


def _by_error(percent: Any) -> Any:
    return -np.log(np.maximum(100.0 - np.asarray(percent, dtype=np.float64), 1e-6))


def _of_error(position: Any) -> Any:
    return 100.0 - np.exp(-np.asarray(position, dtype=np.float64))


def gains(frame: pd.DataFrame, y: str) -> Figure:
    """Extension gain of each sparsity at each longer length, claimed steps only, a panel per arm."""
    frame = frame[frame["claimed"].eq(True) & (frame["n"] > 0)]
    arms, lengths = list(dict.fromkeys(frame["arm"])), sorted(set(frame["to_epochs"]))
    with styled():
        axes = panels(len(arms))
        palette = colours(frame["sparsity"], "sparsity.target")
        for arm, axis in zip(arms, axes, strict=False):
            axis.axhline(0, color="#555555", linewidth=1)
            for rank, (sparsity, colour) in enumerate(palette.items()):
                part = frame[(frame["arm"] == arm) & (frame["sparsity"] == sparsity)]
                x = part["to_epochs"].map(lengths.index) + 0.14 * (rank - (len(palette) - 1) / 2)
                style = {"color": colour, "marker": MARKERS[rank % len(MARKERS)], "linestyle": "none"}
                _bars(axis, x, part.assign(mean=part["gain"]), scale(y), style, line_name("sparsity.target", sparsity))
            axis.set_title(arm)
            axis.set_xticks(range(len(lengths)), [f"{length:g}" for length in lengths])
            axis.set_xlim(-0.6, len(lengths) - 0.4)
            axis.set_xlabel("Trained for (epochs)")
        name, _, unit = label(y).partition(" (")
        axes[0].set_ylabel(f"{name}: gain beyond dense\n({'points)' if unit == '%)' else unit}")
        return _legend(axes, "sparsity.target", palette)


def shade_below(figure: Figure, x: float) -> None:
    """Shade every panel left of ``x``."""
    for axis in figure.axes:
        axis.axvspan(axis.get_xlim()[0], x, color="#f1f1f1", zorder=-1, linewidth=0)


def histories(frame: pd.DataFrame, y: str) -> Figure:
    """``y`` over training, a thin line per trial coloured by its sparsity; rows of panels are arms, columns lengths.

    Where every arm has one length, the arms follow each other in three columns.

    Args:
        frame: One row per trial and evaluation: ``arm sparsity epochs trial_id progress`` and ``y``.
        y: The column; sparsity itself is drawn on the log-density axis.
    """
    arms, lengths = list(dict.fromkeys(frame["arm"])), sorted(set(frame["epochs"]))
    wanted = [(arm, length) for arm in arms for length in lengths]
    trained = set(zip(frame["arm"], frame["epochs"], strict=True))
    one_each = len(trained) == len(arms)
    wanted = [pair for pair in wanted if pair in trained] if one_each else wanted
    with styled():
        columns = min(3, len(arms) if one_each else len(lengths))
        axes = panels(len(wanted), columns=columns, size=(3.3, 2.3))
        palette = colours(frame["sparsity"], "sparsity.target")
        for (arm, length), axis in zip(wanted, axes, strict=False):
            panel = frame[(frame["arm"] == arm) & (frame["epochs"] == length)]
            for sparsity in sorted(set(panel["sparsity"])):
                for position, (_, trial) in enumerate(
                    panel[panel["sparsity"] == sparsity].groupby("trial_id", sort=False)
                ):
                    values = log_density(trial[y]) if y == "sparsity_now" else scale(y) * trial[y]
                    name = line_name("sparsity.target", sparsity) if position == 0 else None
                    axis.plot(
                        100 * trial["progress"], values, color=palette[sparsity], linewidth=1.1, alpha=0.85, label=name
                    )
            axis.set_title(f"{arm}, {length:g} epochs" if len(lengths) > 1 else arm)
            axis.set_xlim(0, 100)
            if y == "sparsity_now":
                sparsity_ticks(axis.yaxis, [0, *frame["sparsity"]])
        for axis in axes[::columns]:
            axis.set_ylabel(label(y))
        for axis in axes[-columns:]:
            axis.set_xlabel(label("progress"))
            axis.tick_params(labelbottom=True)
        return _legend(axes, "sparsity.target", palette)


def panels(count: int, columns: int = 3, size: tuple[float, float] = (4.2, 3.4), share: bool = True) -> Sequence[Axes]:
    """Axes in a grid, each of a ``size`` in inches, with a common y axis where they ``share`` one."""
    from matplotlib.figure import Figure

    columns = max(1, min(columns, count))
    rows = math.ceil(max(count, 1) / columns)
    width, height = size
    figure = Figure(figsize=(width * columns + 1.3, height * rows + 0.2), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=share, squeeze=False).ravel().tolist()
    for axis in axes[max(count, 1) :]:
        axis.remove()
    kept: Sequence[Axes] = axes[: max(count, 1)]
    return kept


def save(figure: Figure, frame: pd.DataFrame, stem: Place) -> str:
    """Write ``stem`` as .png, .svg and the .csv it was drawn from; returns the SVG as it goes into a page."""
    png, svg = io.BytesIO(), io.BytesIO()
    with styled():
        figure.savefig(png, format="png", dpi=150)
        figure.savefig(svg, format="svg", metadata={"Date": None})
    with writing(stem.parent):
        write_durably(stem.with_suffix(".csv"), frame.to_csv(index=False))
        write_durably(stem.with_suffix(".png"), png.getvalue())
        write_durably(stem.with_suffix(".svg"), svg.getvalue())
    whole = svg.getvalue().decode()
    return whole[whole.index("<svg") :]


def _bars(axis: Axes, x: Any, part: pd.DataFrame, factor: float, style: Mapping[str, Any], name: str) -> None:
    ends = factor * np.stack([part["mean"] - part["low"], part["high"] - part["mean"]])
    axis.errorbar(
        x,
        factor * part["mean"],
        yerr=np.nan_to_num(ends),
        label=name,
        markersize=4.5,
        linewidth=1.5,
        elinewidth=1,
        capsize=2,
        **style,
    )


def _x_axis(axis: Axes, x: str, values: Iterable[float]) -> None:
    axis.set_xlabel(label(x))
    if x == "sparsity":
        sparsity_ticks(axis.xaxis, values)
    else:
        ticks = sorted(set(values))
        axis.set_xscale("log", base=2)
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()


def sparsity_ticks(axis: Any, values: Iterable[float]) -> None:
    """A tick at every sparsity of the study that has room, the highest first."""
    kept: list[float] = []
    spread = float(log_density(max(values, default=0))) or 1.0
    for value in sorted(set(values), reverse=True):
        if all(abs(log_density(value) - log_density(other)) > 0.06 * spread for other in kept):
            kept.append(value)
    axis.set_ticks(log_density(kept), [f"{100 * value:.10g}" for value in kept])


def _legend(axes: Sequence[Axes], by: str | None, order: Iterable[Any]) -> Figure:
    """One legend for all panels, beside them; the names in ``order``."""
    found = {name: handle for axis in axes for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure = cast("Figure", axes[0].get_figure(root=True))
    if by and found:
        titles = {
            "arm": None,
            "sparsity.target": "Sparsity",
            "schedule.epoch_multiplier": "Epochs",
            "schedule.epochs": "Trained for",
        }
        ordered = [line_name(None if by == "arm" else by, value) or str(value) for value in order]
        names = sorted(found, key=lambda name: ordered.index(name) if name in ordered else -1)
        handles = [found[name] for name in names]
        figure.legend(handles, names, title=titles.get(by, by), loc="outside right upper", alignment="left")
    return figure
