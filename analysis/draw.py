"""Drawing: lines and intervals from frames that are already computed. One style, safe for colour-blind readers."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
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
    "axes.titley": 1.0,  # else placed anew at every drawing, which costs a fifth of it
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
PNG_DPI = 150
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
    "train_flops": "Training FLOPs (dense epochs)",
    "gpu_hours": "Time of a trial on its device (hours)",
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


def unit(column: str) -> str:
    """What a difference of a column is counted in: ``points`` of percent, or ``nats``."""
    return "points" if scale(column) > 1 else "nats"


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


def placing(axis: str, sparsities: Iterable[float]) -> Callable[[Any], Any]:
    """Where sparsities lie on an axis: ``density``, ``linear`` or ``logit``, on which dense stands left of the others.

    Args:
        axis: Which one.
        sparsities: All of the figure, since a logit has no place for 0.
    """
    if axis == "logit":
        inner = _logit([sparsity for sparsity in sparsities if sparsity > 0] or [0.5])
        dense = inner.min() - max(0.5, 0.2 * (inner.max() - inner.min()))
        return lambda sparsity: np.where(np.asarray(sparsity) > 0, _logit(sparsity), dense)
    return log_density if axis == "density" else lambda sparsity: np.asarray(sparsity, dtype=np.float64)


def _logit(sparsity: Any) -> Any:
    sparsity = np.maximum(np.asarray(sparsity, dtype=np.float64), 1e-12)
    return np.log(sparsity) - np.log1p(-sparsity)


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
    return {**dict.fromkeys(ordered, "black"), **dict(zip(coloured, chosen, strict=False))}


@contextmanager
def styled() -> Iterator[None]:
    """The project's style, for the figures made inside."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        yield


def curve(curve: Curve, ax: Axes | None = None, axis: str = "density") -> Figure:
    """Means and intervals of a curve: a panel per arm, or all arms into ``ax``, told apart by line style.

    Arms of one line each against sparsity share a panel. How sparsity lies on its axis, `placing` says.
    """
    frame, names = curve.frame(), curve.by
    arms = list(dict.fromkeys(frame["arm"]))
    place = placing(axis, frame.get("sparsity", []))
    together = not ax and names is None and curve.x == "sparsity" and len(arms) > 1
    if together and not curve.gap:
        return _arms_together(frame, [curve.y], place)
    with styled():
        axes = [ax or panels(1)[0]] * len(arms) if ax or together else panels(len(arms))
        lines = frame[names] if names else pd.Series("", index=frame.index)
        palette, styles = colours(lines, names), arm_styles(arms)
        for position, (arm, panel) in enumerate(zip(arms, axes, strict=False)):
            if curve.gap:
                panel.axhline(0, color="#555555", linewidth=1)
            for rank, (value, part) in enumerate(frame[frame["arm"] == arm].groupby(lines, sort=False)):
                style = {"color": palette[value], "marker": MARKERS[rank % len(MARKERS)]}
                style |= {"linestyle": ("-", "--", ":", "-.")[position % 4] if ax else "-"}
                name = line_name(names, value)
                x = place(part["sparsity"]) if curve.x == "sparsity" else part[curve.x]
                shown = f"{arm} {name}".strip() if ax or together else name
                _bars(panel, x, part, scale(curve.y), styles[arm] if together else style, shown)
            if not ax and not together:
                panel.set_title(arm)
            x_axis(panel, curve.x, frame[curve.x], place)
            panel.set_ylabel(_y_label(curve) if panel is axes[0] else "")
        if ax:
            ax.legend()
            return cast("Figure", ax.get_figure(root=True))
        return legend(axes[:1], "arm", by_right_end(frame)) if together else legend(axes, names, palette)


def _y_label(curve: Curve) -> str:
    """The measure, or what it is the difference of."""
    if not curve.gap:
        return label(curve.y)
    name, _, unit = label(curve.y).partition(" (")
    other = "dense twin" if curve.gap == "twin" else "dense recipe"
    return f"{name} minus {other}\n({'points)' if unit == '%)' else unit}"


def comparison(comparison: Comparison) -> Figure:
    """What arms keep, and what their training costs, against sparsity: two panels, a line per arm."""
    return _arms_together(comparison.frame(), [comparison.y, "total_flops"])


def _arms_together(frame: pd.DataFrame, columns: Sequence[str], place: Callable[[Any], Any] = log_density) -> Figure:
    """A panel for each column, a line per arm, dense networks as horizontal lines.

    Args:
        frame: ``arm sparsity mean low high``, which are of the first column, and the others by their names.
        columns: What is drawn against sparsity.
        place: Where a sparsity lies on the axis.
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
            for (arm, style), x in zip(styles.items(), _apart(lines, styles, place), strict=True):
                _bars(axis, x, lines[lines["arm"] == arm], scale(column), style, arm)
            axis.set_ylabel(label(column))
            x_axis(axis, "sparsity", sparse["sparsity"], place)
            _spread_out(axis, column, pd.concat([lines, levels]))
        return legend(axes, "arm", by_right_end(sparse))


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


def _apart(lines: pd.DataFrame, arms: Iterable[str], place: Callable[[Any], Any]) -> Iterator[Any]:
    """Each arm's positions on the axis, a little beside its sparsities so that intervals can be told apart."""
    positions = pd.Series(place(lines["sparsity"]), lines.index)
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
        return legend(axes, "sparsity.target", palette)


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


def save(figure: Figure, frame: pd.DataFrame, stem: Place) -> None:
    """Write ``stem`` as .pdf, .png, .svg and the .csv it was drawn from."""
    found = files(figure)
    with writing(stem.parent):
        write_durably(stem.with_suffix(".csv"), frame.to_csv(index=False))
        for kind, whole in found.items():
            write_durably(stem.with_suffix(f".{kind}"), whole)


def files(figure: Figure) -> dict[str, bytes]:
    """A figure as ``pdf``, ``png`` and ``svg``, equal bytes for equal figures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    found = {kind: io.BytesIO() for kind in ("pdf", "png", "svg")}
    with styled():
        settle(figure)
        # Not `savefig`, which would lay the figure out anew for each.
        FigureCanvasPdf(figure).print_pdf(found["pdf"], metadata={"CreationDate": None})
        figure.dpi = PNG_DPI  # a PDF leaves its own 72
        FigureCanvasAgg(figure).print_png(found["png"])
        FigureCanvasSVG(figure).print_svg(found["svg"], metadata={"Date": None})
    return {kind: file.getvalue() for kind, file in found.items()}


def settle(figure: Figure) -> None:
    """Lay a figure out once and hold its ticks and labels there, since each drawing would do all that again."""
    hold_ticks(figure)
    if engine := figure.get_layout_engine():
        engine.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        if axes.get_axes_locator() is not None:  # a colour bar takes its place only now
            axes.get_tightbbox()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        place = axis.label.get_transform().transform(axis.label.get_position())
        x, y = figure.transFigure.inverted().transform(place)
        axis.set_label_coords(x, y, transform=figure.transFigure)


def hold_ticks(figure: Figure) -> None:
    """Let every axis keep the ticks and their texts that it has now, the minor ones none."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = [tick for tick in axis.get_majorticklocs() if low <= tick <= high]
        formatter = axis.get_major_formatter()
        held = FixedFormatter(formatter.format_ticks(ticks))
        held.set_offset_string(formatter.get_offset())
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(held)
        axis.set_minor_locator(NullLocator())


def _bars(axis: Axes, x: Any, part: pd.DataFrame, factor: float, style: Mapping[str, Any], name: str) -> None:
    ends = factor * np.stack([part["mean"] - part["low"], part["high"] - part["mean"]])
    bars = axis.errorbar(
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
    describe(bars, [_told(row, factor) for row in part.to_dict("records")])


def describe(artist: Any, told: Sequence[str]) -> None:
    """Say what a reader who points at each of an artist's marks is told in the interactive figure, a line break apart.

    Without it that is where the mark lies.
    """
    artist.told = list(told)


def _told(row: Mapping[Any, Any], factor: float) -> str:
    """Where a mark stands, its mean with the interval, and n."""
    where = [f"{100 * row['sparsity']:.10g} % sparsity"] if "sparsity" in row else []
    where += [f"{row[length]:g} epochs" for length in ("epochs", "to_epochs") if length in row]
    mean, low, high = (factor * row[end] for end in ("mean", "low", "high"))
    said = f"{mean:.4g}" + (f" [{low:.4g}, {high:.4g}]" if low < high else "")
    return "\n".join([", ".join(where), said + (f", n = {row['n']}" if "n" in row else "")]).strip()


def x_axis(axis: Axes, x: str, values: Iterable[float], place: Callable[[Any], Any] = log_density) -> None:
    """The horizontal axis of a curve: ticks at the sparsities or lengths that there are, logarithmic ones of costs."""
    from matplotlib.ticker import LogLocator

    axis.set_xlabel(label(x))
    if x == "sparsity":
        sparsity_ticks(axis.xaxis, values, place)
    elif x == "epochs":
        ticks = sorted(set(values))
        axis.set_xscale("log", base=2)
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
    elif max(values, default=0) > FAR * min(values, default=0) > 0:  # of costs, no two are equal
        axis.set_xscale("log")
        far = max(values) > FAR**2 * min(values)
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 3) if far else (1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()


def sparsity_ticks(axis: Any, values: Iterable[float], place: Callable[[Any], Any] = log_density) -> None:
    """A tick at every sparsity of the study that has room, the highest first."""
    values, kept = [float(value) for value in values], list[float]()
    spread = float(np.ptp(place(sorted({0.0, *values})))) or 1.0
    for value in sorted(set(values), reverse=True):
        if all(abs(place(value) - place(other)) > 0.06 * spread for other in kept):
            kept.append(value)
    axis.set_ticks(place(kept), [f"{100 * value:.10g}" for value in kept])
    known = np.unique(np.asarray(list(values), dtype=np.float64))
    setattr(axis.axes, f"fmt_{axis.axis_name}data", partial(_nearest, known, place(known)))


def _nearest(sparsities: Any, places: Any, at: float) -> str:
    """The sparsity whose place on an axis is nearest, in percent."""
    return f"{100 * sparsities[np.abs(places - at).argmin()]:.10g}"


def legend(axes: Sequence[Axes], by: str | None, order: Iterable[Any]) -> Figure:
    """One legend for all panels, beside them; the names in ``order``."""
    found = _named(axes)
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
        return beside(axes, titles.get(by, by), names)
    return figure


def beside(axes: Sequence[Axes], title: str | None = None, names: Sequence[str] = ()) -> Figure:
    """One legend for all panels, beside them: every name once, in the order of ``names`` where that is given."""
    found = _named(axes)
    figure = cast("Figure", axes[0].get_figure(root=True))
    names = [*(names or found)]
    handles = [found[name] for name in names]
    figure.legend(handles, names, title=title, loc="outside right upper", alignment="left")
    return figure


def _named(axes: Sequence[Axes]) -> dict[str, Any]:
    """The handle of each name; of names in several panels the last one's."""
    return {name: handle for axis in axes for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)}
