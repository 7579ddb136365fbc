"""Curves, arms side by side and gains, from frames that are already computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from analysis.drawing.axes import (
    log_density,
    make_panels,
    set_x_axis,
    set_y_scale,
    sparsity_transform,
)
from analysis.drawing.marks import add_line_legend, draw_means
from analysis.drawing.style import LINE_MARKERS, arm_styles, line_colours, project_style
from analysis.quantities import column_label, display_factor, line_name
from analysis.wording import list_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.curves.comparison import Comparison
    from analysis.curves.curve import Curve


def draw_curve(curve: Curve, ax: Axes | None = None, axis: str = "density") -> Figure:
    """Means and intervals of a curve: a panel per arm, or all arms into ``ax``, told apart by line style.

    Arms of one line each against sparsity share a panel. How sparsity lies on its axis, `sparsity_transform` says.
    """
    frame = curve.frame()
    names = curve.by
    arms = list(dict.fromkeys(frame["arm"]))
    place = sparsity_transform(axis, frame.get("sparsity", []))
    together = not ax and names is None and curve.x == "sparsity" and len(arms) > 1
    if together and not curve.gap:
        return _draw_arms(frame, [curve.y], place)
    with project_style():
        axes = [ax or make_panels(1)[0]] * len(arms) if ax or together else make_panels(len(arms))
        lines = frame[names] if names else pd.Series("", index=frame.index)
        palette = line_colours(lines, names)
        styles = arm_styles(arms)
        for position, (arm, panel) in enumerate(zip(arms, axes, strict=False)):
            if curve.gap:
                panel.axhline(0, color="#555555", linewidth=1)
            for rank, (value, part) in enumerate(
                frame[frame["arm"] == arm].groupby(lines, sort=False)
            ):
                style = {"color": palette[value], "marker": LINE_MARKERS[rank % len(LINE_MARKERS)]}
                style |= {"linestyle": ("-", "--", ":", "-.")[position % 4] if ax else "-"}
                name = line_name(names, value)
                x = place(part["sparsity"]) if curve.x == "sparsity" else part[curve.x]
                shown = f"{arm} {name}".strip() if ax or together else name
                draw_means(
                    panel,
                    x,
                    part,
                    display_factor(curve.y),
                    styles[arm] if together else style,
                    shown,
                )
            if not ax and not together:
                panel.set_title(arm)
            set_x_axis(panel, curve.x, frame[curve.x], place)
            panel.set_ylabel(_y_label(curve) if panel is axes[0] else "")
        if ax:
            ax.legend()
            return cast("Figure", ax.get_figure(root=True))
        return (
            add_line_legend(axes[:1], "arm", arms_by_right_end(frame))
            if together
            else add_line_legend(axes, names, palette)
        )


def _y_label(curve: Curve) -> str:
    """The measure, or what it is the difference of."""
    if not curve.gap:
        return column_label(curve.y)
    name, _, unit = column_label(curve.y).partition(" (")
    other = "dense twin" if curve.gap == "twin" else "dense recipe"
    return f"{name} minus {other}\n({'points)' if unit == '%)' else unit}"


def draw_comparison(comparison: Comparison) -> Figure:
    """What arms keep, and what their training costs, against sparsity: two panels, a line per arm."""
    return _draw_arms(comparison.frame(), [comparison.y, "total_flops"])


def _draw_arms(
    frame: pd.DataFrame, columns: Sequence[str], place: Callable[[Any], Any] = log_density
) -> Figure:
    """A panel for each column, a line per arm, dense networks as horizontal lines, named by arm where they differ.

    Args:
        frame: ``arm sparsity mean low high``, which are of the first column, and the others by their names.
        columns: What is drawn against sparsity.
        place: Where a sparsity lies on the axis.
    """
    sparse = frame[frame["sparsity"] > 0]
    dense = _levels(frame[frame["sparsity"] == 0])
    styles = arm_styles(sparse["arm"])
    with project_style():
        axes = make_panels(len(columns), size=(4.4, 4.2), share=False)
        for column, axis in zip(columns, axes, strict=True):
            own = {"mean": column, "low": column, "high": column} if column in frame else {}
            lines, levels = (
                part.assign(**{k: part[v] for k, v in own.items()}) for part in (sparse, dense)
            )
            for level in levels.dropna(subset="mean").to_dict("records"):
                style = {
                    "color": styles.get(level["of"], {}).get("color", "black"),
                    "linestyle": "--",
                }
                axis.axhline(
                    display_factor(column) * level["mean"],
                    linewidth=1.2,
                    label=level["name"],
                    **style,
                )
            for (arm, style), x in zip(
                styles.items(), _offset_positions(lines, styles, place), strict=True
            ):
                draw_means(axis, x, lines[lines["arm"] == arm], display_factor(column), style, arm)
            axis.set_ylabel(column_label(column))
            set_x_axis(axis, "sparsity", sparse["sparsity"], place)
            set_y_scale(axis, column, pd.concat([lines, levels]))
        return add_line_legend(axes, "arm", arms_by_right_end(sparse))


def _levels(dense: pd.DataFrame) -> pd.DataFrame:
    """One row per dense network, with its ``name``, and ``of``, its arm, empty where several share the network.

    The only network is ``dense``; several, as of arms that train for other lengths, are ``gmp (dense)``.
    """
    key = ["mean", "low", "high"]
    measured = dense.dropna(subset="mean")
    arms = (
        measured.groupby(key, dropna=False, sort=False)["arm"]
        .agg(list)
        .rename("arms")
        .reset_index()
    )
    levels = measured.drop_duplicates(key).merge(arms, on=key)
    one = len(levels) < 2
    names = ["dense" if one else f"{list_names(own, 2)} (dense)" for own in levels["arms"]]
    of = [
        "" if one or len(own) > 1 else str(own[0]).removeprefix("dense-") for own in levels["arms"]
    ]
    return levels.assign(name=names, of=of)


def arms_by_right_end(sparse: pd.DataFrame) -> list[str]:
    """Arms from the highest to the lowest mean where their lines end, those that reach furthest right first."""
    ends = sparse.sort_values("sparsity", kind="stable").drop_duplicates("arm", keep="last")
    return [
        str(arm)
        for arm in ends.sort_values(["sparsity", "mean"], ascending=False, kind="stable")["arm"]
    ]


def _offset_positions(
    lines: pd.DataFrame, arms: Iterable[str], place: Callable[[Any], Any]
) -> Iterator[Any]:
    """Each arm's positions on the axis, a little beside its sparsities so that intervals can be told apart."""
    positions = pd.Series(place(lines["sparsity"]), lines.index)
    step = 0.005 * (positions.max() - positions.min())
    names = list(arms)
    for rank, arm in enumerate(names):
        yield positions[lines["arm"] == arm] + step * (rank - (len(names) - 1) / 2)


def draw_gains(frame: pd.DataFrame, y: str) -> Figure:
    """Extension gain of each sparsity at each longer length, claimed steps only, a panel per arm."""
    frame = frame[frame["claimed"].eq(True) & (frame["n"] > 0)]
    arms = list(dict.fromkeys(frame["arm"]))
    lengths = sorted(set(frame["to_epochs"]))
    with project_style():
        axes = make_panels(len(arms))
        palette = line_colours(frame["sparsity"], "sparsity.target")
        for arm, axis in zip(arms, axes, strict=False):
            axis.axhline(0, color="#555555", linewidth=1)
            for rank, (sparsity, colour) in enumerate(palette.items()):
                part = frame[(frame["arm"] == arm) & (frame["sparsity"] == sparsity)]
                x = part["to_epochs"].map(lengths.index) + 0.14 * (rank - (len(palette) - 1) / 2)
                style = {
                    "color": colour,
                    "marker": LINE_MARKERS[rank % len(LINE_MARKERS)],
                    "linestyle": "none",
                }
                draw_means(
                    axis,
                    x,
                    part.assign(mean=part["gain"]),
                    display_factor(y),
                    style,
                    line_name("sparsity.target", sparsity),
                )
            axis.set_title(arm)
            axis.set_xticks(range(len(lengths)), [f"{length:g}" for length in lengths])
            axis.set_xlim(-0.6, len(lengths) - 0.4)
            axis.set_xlabel("Trained for (epochs)")
        name, _, unit = column_label(y).partition(" (")
        axes[0].set_ylabel(f"{name}: gain beyond dense\n({'points)' if unit == '%)' else unit}")
        return add_line_legend(axes, "sparsity.target", palette)
