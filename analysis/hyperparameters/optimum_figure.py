"""The figures of `analysis.hyperparameters.optima`: where optima lie against sparsity, and what they were read from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from analysis.draw import MARKERS, colours, label, line_name, log_density, panels, scale, sparsity_ticks, styled
from analysis.exhibit import Exhibit
from analysis.means import with_dense
from sparsetune.space import LogUniform

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.hyperparameters.optima import Optima

NAMES = {"optim.lr": "Learning rate", "sparsity.target": "Sparsity"}
SHARES = ("sparsity.ramp.start", "sparsity.ramp.length")
"""Axes that are drawn in percent of training."""
RESPONSES = "Every configuration that counts; triangles at the top: the worst ones, diverged ones among them. Shaded:"
"""How a caption of single responses begins."""
APART = 0.1
"""Distance between the marks of one sparsity, on the axis of log density."""


def axis_name(path: str) -> str:
    """A search axis in words."""
    words = " ".join(path.split(".")[1:]).replace("_", " ").capitalize()
    return NAMES.get(path, f"{words} (% of training)" if path in SHARES else words)


def optima(found: Optima) -> Figure:
    """Medians and intervals against sparsity: a column of panels per search axis, a row per arm, a line per length."""
    frame, lines = _lines(found)
    axes, arms = list(dict.fromkeys(frame["axis"])), list(dict.fromkeys(frame["arm"]))
    palette = _palette(lines)
    with styled():
        grid = panels(len(axes) * len(arms), columns=len(axes), size=(3.1, 3.0), share=False)
        for panel, (arm, path) in zip(grid, ((arm, path) for arm in arms for path in axes), strict=True):
            part = frame[(frame["arm"] == arm) & (frame["axis"] == path)]
            for rank, line in enumerate(lines):
                style = {"color": palette[line], "marker": MARKERS[rank % len(MARKERS)]}
                own = part[part["line"] == line].sort_values("sparsity")
                _line(panel, own, APART * (rank - (len(lines) - 1) / 2), style, line, _factor(path))
            _ranged(panel, found, path)
            sparsity_ticks(panel.xaxis, frame["sparsity"])
            panel.set_xlim(*(log_density([0, frame["sparsity"].max()]) + np.array([-0.35, 0.35])))
            panel.set_title(axis_name(path) if len(arms) == 1 else f"{arm}: {axis_name(path).lower()}")
            panel.set_xlabel(label("sparsity"))
            panel.tick_params(labelbottom=True)
        grid[0].set_ylabel(f"Best for {label(found.y).split(' (')[0].lower()}")
        return _legend(grid, lines)


def response(found: Optima, path: str) -> Figure:
    """What one axis's optima were read from: ``y`` of every configuration against it, a panel per cell."""
    frame, lines = _lines(found)
    frame = frame[frame["axis"] == path]
    sparsities = sorted(set(frame["sparsity"]))
    arms = list(dict.fromkeys(frame["arm"]))
    rows = [(arm, line) for arm in arms for line in lines]
    with styled():
        grid = panels(len(rows) * len(sparsities), columns=len(sparsities), size=(2.6, 2.3), share=False)
        wanted = [(arm, line, s) for arm, line in rows for s in sparsities]
        for number, (panel, (arm, line, sparsity)) in enumerate(zip(grid, wanted, strict=True)):
            own = frame[(frame["arm"] == arm) & (frame["line"] == line) & (frame["sparsity"] == sparsity)]
            panel.set_visible(len(own) > 0)
            for row in own.to_dict("records"):
                _points(panel, found, row, path)
            name = ", ".join(part for part in (arm if len(arms) > 1 else "", line) if part)
            panel.set_title(", ".join(part for part in (line_name("sparsity.target", sparsity), name) if part))
            _ranged(panel, found, path, vertical=False)
            if number % len(sparsities) == 0:
                panel.set_ylabel(label(found.y))
            panel.tick_params(labelbottom=number >= len(wanted) - len(sparsities))
        for panel in grid[-len(sparsities) :]:
            panel.set_xlabel(axis_name(path))
        return cast("Figure", grid[0].get_figure(root=True))


def _lines(found: Optima) -> tuple[pd.DataFrame, list[str]]:
    """The located rows with ``sparsity`` and the name of their ``line``, dense ones in every arm; the lines' names."""
    frame = found.frame().dropna(subset="value").set_index("cell", drop=False)
    others = [name for name in map(str, found.cells) if "." in name and name != "sparsity.target"]
    frame = frame.sort_values(others, kind="stable")
    names = [[line_name(path, row[path]) for path in others] for row in frame.to_dict("records")]
    frame = frame.assign(line=[", ".join(filter(None, parts)) for parts in names], sparsity=frame["sparsity.target"])
    return with_dense(frame), list(dict.fromkeys(frame["line"]))


def _palette(lines: Sequence[str]) -> dict[str, Any]:
    ranked = colours(range(len(lines)), "schedule.epoch_multiplier")
    return {line: ranked[rank] for rank, line in enumerate(lines)}


def _line(panel: Axes, part: pd.DataFrame, aside: float, style: dict[str, Any], name: str, factor: float) -> None:
    """One line, broken where nothing is located: those marks are hollow and their bars faint."""
    x = log_density(part["sparsity"]) + aside
    columns = ("value", "low", "high", "flat_low", "flat_high")
    values, low, high, *flat = (factor * part[column].to_numpy(dtype=np.float64) for column in columns)
    lost = part["verdict"].eq("not located").to_numpy()
    panel.plot(x, np.where(lost, np.nan, values), linewidth=1.3, markersize=5, label=name or None, **style)
    colour, marker = style["color"], style["marker"]
    panel.plot(x[lost], values[lost], marker, color=colour, markerfacecolor="white", markersize=5, alpha=0.45)
    panel.vlines(x, *flat, color=colour, linewidth=5, alpha=0.16)
    for k in range(len(part)):
        panel.vlines(x[k], low[k], high[k], color=colour, linewidth=1.1, alpha=0.3 if lost[k] else 0.9)
    verdicts = part["verdict"].to_numpy()
    for ends, end, sign in ((low, "at most", "v"), (high, "at least", "^")):
        for place, at in zip(x[verdicts == end], ends[verdicts == end], strict=True):
            panel.plot(place, at, sign, color=colour, markersize=5)


def _points(panel: Axes, found: Optima, row: dict[Any, Any], path: str) -> None:
    """Configurations of one cell, diverged ones as crosses at the top, and the optimum's interval behind them."""
    points = found.response(row["cell"])
    points, factor = points[points["axis"] == path], _factor(path)
    x, y = factor * points["x"].to_numpy(dtype=np.float64), scale(found.y) * points["value"].to_numpy(dtype=np.float64)
    middle, worst = np.nanmedian(y), np.nanquantile(y, 0.85)
    beyond = np.isnan(y) | (y > worst) if middle - np.nanmin(y) <= np.nanmax(y) - middle else np.isnan(y)
    faint = 0.12 if row["verdict"] == "not located" else 0.25
    panel.axvspan(factor * row["low"], factor * row["high"], color="#0055aa", alpha=faint, linewidth=0)
    panel.plot(x[~beyond], y[~beyond], "o", color="#333333", markersize=3.2, alpha=0.7)
    panel.plot(x[beyond], np.full(beyond.sum(), worst), "^", color="#cc3311", markersize=3.5, alpha=0.8)


def _factor(path: str) -> float:
    return 100.0 if path in SHARES else 1.0


def _ranged(panel: Axes, found: Optima, path: str, vertical: bool = True) -> None:
    """The searched range from edge to edge, on its own scale."""
    ranges = [axis for (_, name), axis in found.ranges.items() if name == path]
    low, high = min(axis.low for axis in ranges), max(axis.high for axis in ranges)
    logarithmic = all(isinstance(axis, LogUniform) for axis in ranges)
    room = (high / low) ** 0.04 if logarithmic else 0.04 * (high - low)
    ends = (low / room, high * room) if logarithmic else (low - room, high + room)
    ends = (_factor(path) * ends[0], _factor(path) * ends[1])
    if logarithmic:
        (panel.set_yscale if vertical else panel.set_xscale)("log")
        _log_ticks(panel.yaxis if vertical else panel.xaxis, high / low)

    (panel.set_ylim if vertical else panel.set_xlim)(*ends)


def _log_ticks(axis: Any, ratio: float) -> None:
    """Plain numbers: 1, 2 and 5 of each decade where there are few decades; the style draws no mathematics."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 1000 else (1,)))
    text = (
        (lambda v, _: f"{v:.3g}") if ratio < 1000 else (lambda v, _: f"1e{round(np.log10(v))}" if v < 1 else f"{v:g}")
    )
    axis.set_major_formatter(FuncFormatter(text))
    axis.set_minor_formatter(NullFormatter())


def _legend(grid: Sequence[Axes], lines: Sequence[str]) -> Figure:
    figure = cast("Figure", grid[0].get_figure(root=True))
    handles, names = grid[0].get_legend_handles_labels()
    if names and len(lines) > 1:
        figure.legend(handles, names, title="Epochs", loc="outside right upper", alignment="left")
    return figure


def exhibits(found: Optima, whole: bool = True) -> Iterator[Exhibit]:
    """The map of the optima and, where ``whole``, what they were read from and how they move; none without an optimum.

    Args:
        found: The optima.
        whole: False for a second measure beside the objective.
    """
    frame = found.frame().dropna(subset="value")
    if frame.empty:
        return
    suffix, measure = "" if whole else f"-{found.y}", label(found.y).split(" (")[0]
    title = f"Where the best hyperparameters lie, for {measure.lower()}"
    points = {path: label("sparsity") if path == "sparsity.target" else axis_name(path) for path in _sweep(found)}
    columns = {"arm": "Arm", **points, "axis": "Axis", "n": "n", "value": "Best", "low": "Low", "high": "High"}
    columns |= {"flat_low": "Flat from", "flat_high": "to", "winner": "Winner", "verdict": "Verdict"}
    yield Exhibit(f"optimum{suffix}", title, found.frame(), found.note(), found.plot, columns)
    shifts = found.shifts()
    if len(shifts):
        columns = {"arm": "Arm", "axis": "Axis", "along": "Along", "from": "From", "to": "To", "cell": "Cell", "n": "n"}
        columns |= {"shift": "Shift", "low": "Low", "high": "High", "p_holm": "p (Holm)", "verdict": "Verdict"}
        title = f"How the best hyperparameters move, for {measure.lower()}"
        yield Exhibit(f"shifts{suffix}", title, shifts, _shift_note(shifts, found.level), None, columns)
    for path in dict.fromkeys(frame.loc[frame["verdict"] != "not located", "axis"]) if whole else ():
        rows = found.points[found.points["axis"] == path]
        title = f"{measure} against {axis_name(path).split(' (')[0].lower()}"
        note = f"{RESPONSES} the {100 * found.level:g} % interval of the best value, on average over the other axes."
        yield Exhibit(f"response-{path.replace('.', '_')}", title, rows, note, partial(response, found, path))


def _sweep(found: Optima) -> list[str]:
    return [name for name in map(str, found.cells) if "." in name]


def _shift_note(shifts: pd.DataFrame, level: float) -> str:
    """What the table compares, and what was found in a sentence."""
    moved = int(shifts["verdict"].str.startswith(("higher", "lower")).sum())
    found = f"{moved} of {len(shifts)} comparisons show a shift" if moved else "No evidence of a shift"
    return (
        f"{found}; all {len(shifts)} comparisons are corrected together (Holm). Each cell is compared with the lowest"
        " sparsity that searches the axis, or with the shortest training, all else equal. Factors on logarithmic axes,"
        f" differences on others, with {100 * level:g} % intervals that are not corrected."
    )
