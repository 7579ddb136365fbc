"""Figures of answers: the score against length or sparsity with bands, and effects by network."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from sparsetune.study.questions.words import arm_words, percent_words

from ..drawing.axes import log_density, make_panels, set_sparsity_axis
from ..drawing.line_styles import LineStyles, arm_styles, row_colours
from ..drawing.marks import (
    add_legend,
    attach_hover_texts,
    draw_dense_marks,
    draw_key,
    draw_learned_nothing,
    draw_spreads,
    is_near_learned,
    joined_means,
    pooled_text,
)
from ..drawing.style import DENSE_COLOUR, NEUTRAL_COLOUR, REGION_COLOUR, project_style
from ..measure import Measure
from ..quantities import line_name
from ..wording import hover_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAND_OPACITY = 0.16
BAND_ROOM = 1.0
"""Part of the means' range that bands may take up on either side; wider ones leave the picture."""
VERDICT_MARKERS = {"Yes": "o", "No": "s", "Not settled": "D", "Open": "D"}
"""Marker of an effect by the word of its verdict."""
SETTLED_WORDS = ("Yes", "No", "")
"""Words of verdicts whose markers are filled."""
TWIN_LABEL_WIDTH = 16
"""Characters in a line of the legend's entry for the dense twin."""
ROW_HEIGHT = 0.3
"""Height of a row of effects in inches."""


def draw_against_length(points: pd.DataFrame, measure: Measure) -> Figure:
    """Draw the score against training length: a panel per arm, a line per sparsity, dense black.

    An arm has its hue, and a higher sparsity a darker shade of it.

    Args:
        points: ``arm sparsity epochs mean low high n``; the dense network is in every arm.
        measure: The score.
    """
    arms = list(dict.fromkeys(points["arm"]))
    lengths = sorted(set(points["epochs"]))
    limits = _y_limits(points, measure)
    styles = LineStyles(points, points["sparsity"], "sparsity.target")
    with project_style():
        axes = make_panels(len(arms), size=_panel_size(len(arms)))
        for arm, axis in zip(arms, axes, strict=False):
            own = points[points["arm"] == arm]
            for sparsity in styles.values:
                line = own[own["sparsity"] == sparsity].sort_values("epochs")
                name = line_name("sparsity.target", sparsity)
                style = styles.line(arm, sparsity)
                _draw_band(axis, line["epochs"], line, measure.factor, style, name, limits)
            axis.set_xscale("log", base=2)
            axis.set_xticks(lengths, [f"{length:g}" for length in lengths])
            axis.minorticks_off()
            axis.set_xlabel("Training length (epochs)")
            if len(arms) > 1:
                axis.set_title(arm_words(arm), **styles.title(arm))
            _limit_y_axis(axis, limits)
        axes[0].set_ylabel(measure.label)
        names = styles.draw_keys(axes[-1], markersize=4.5, linewidth=1.6)
        return add_legend(axes, "Sparsity", names)


def draw_against_sparsity(points: pd.DataFrame, measure: Measure, twin_label: str) -> Figure:
    """Draw the score against sparsity: a line per arm, the dense twin of each in black.

    Args:
        points: ``arm sparsity mean low high n``, and ``twin``, the mean of the dense twins; NaN
            without one.
        measure: The score.
        twin_label: What the dense twin is, for the legend.
    """
    styles = arm_styles(points)
    limits = _y_limits(points, measure)
    with project_style():
        (axis,) = make_panels(1, size=_panel_size(1))
        for arm, style in styles.items():
            own = points[points["arm"] == arm].sort_values("sparsity")
            x = pd.Series(log_density(own["sparsity"]), own.index)
            name = arm_words(arm)
            _draw_band(axis, x, own, measure.factor, style, name, limits)
        twins = points.dropna(subset="twin").groupby("sparsity", as_index=False)["twin"].mean()
        if len(twins):
            (line,) = axis.plot(
                log_density(twins["sparsity"]),
                measure.factor * twins["twin"],
                color=DENSE_COLOUR,
                linestyle="--",
                linewidth=1.3,
                label=textwrap.fill(twin_label, TWIN_LABEL_WIDTH),
            )
            levels = zip(twins["sparsity"], measure.factor * twins["twin"], strict=True)
            texts = [
                hover_text(f"for {percent_words(sparsity)}", f"{level:.4g}")
                for sparsity, level in levels
            ]
            attach_hover_texts(line, texts)
        set_sparsity_axis(axis.xaxis, points["sparsity"])
        axis.set_ylabel(measure.label)
        _limit_y_axis(axis, limits)
        return add_legend([axis])


def _panel_size(count: int) -> tuple[float, float]:
    """Width and height of a panel in inches, so that the picture fills half of a wide page."""
    if count == 1:
        return (4.7, 3.3)
    return (2.7, 3.3) if count == 2 else (2.5, 2.6)


def _draw_band(
    axis: Axes,
    x: Any,
    line: pd.DataFrame,
    factor: float,
    style: Mapping[str, Any],
    name: str,
    limits: tuple[float, float],
) -> None:
    """Draw one line of means with its band of intervals, without networks that learned nothing.

    A mean over several configurations has a dotted bar, its spread.
    """
    mean = joined_means(line, factor)
    has_band = line["low"].notna() & line["high"].notna() & ~np.isnan(mean)
    if has_band.any():
        axis.fill_between(
            np.asarray(x, dtype=np.float64),
            np.asarray(factor * line["low"].where(has_band), dtype=np.float64),
            np.asarray(factor * line["high"].where(has_band), dtype=np.float64),
            color=style["color"],
            alpha=BAND_OPACITY,
            linewidth=0,
        )
    (drawn,) = axis.plot(x, mean, markersize=4.5, linewidth=1.6, label=name, **style)
    texts = list(_hover_texts(line, factor, name))
    attach_hover_texts(drawn, texts)
    draw_spreads(axis, x, line, factor, style["color"])
    draw_dense_marks(axis, x, line, factor, style["color"], texts)
    draw_learned_nothing(axis, x, line, factor, style["color"], texts, limits)


def _hover_texts(line: pd.DataFrame, factor: float, name: str) -> Iterator[str]:
    for row in line.to_dict("records"):
        where = [name]
        if "epochs" in row:
            where.append(f"{row['epochs']:g} epochs")
        elif row["sparsity"]:
            where.append(percent_words(row["sparsity"]))
        if row.get("configurations", 1) > 1:
            yield hover_text(", ".join(where), pooled_text(row, factor))
        else:
            yield hover_text(", ".join(where), _found(row, factor), row["n"])


def _found(row: Mapping[Any, Any], factor: float) -> str:
    if pd.isna(row["mean"]):
        return ""
    found = f"{factor * row['mean']:.4g}"
    if pd.notna(row["low"]) and pd.notna(row["high"]):
        found += f" ({factor * row['low']:.4g} to {factor * row['high']:.4g})"
    return found


def _y_limits(points: pd.DataFrame, measure: Measure) -> tuple[float, float]:
    """Ends of what the y axis shows: all means, and as much of bands as leaves the means apart.

    Networks that have learned nothing count only if they lie near the others.
    """
    near = points[is_near_learned(points)]
    if near.empty:
        return -np.inf, np.inf
    means = measure.factor * near["mean"]
    room = BAND_ROOM * max(float(means.max() - means.min()), 1e-9)
    low = measure.factor * near["low"].fillna(near["mean"]).min()
    high = measure.factor * near["high"].fillna(near["mean"]).max()
    bottom = max(float(low), float(means.min()) - room)
    top = min(float(high), float(means.max()) + room)
    if "spread_low" in near:
        # A bar that leaves the picture would not show where it ends.
        bottom = np.fmin(bottom, measure.factor * near["spread_low"].min())
        top = np.fmax(top, measure.factor * near["spread_high"].max())
    if measure.range is not None:
        bottom = max(bottom, measure.factor * measure.range[0])
        top = min(top, measure.factor * measure.range[1])
    return bottom, top


def _limit_y_axis(axis: Axes, limits: tuple[float, float]) -> None:
    """Show what lies within limits, with a margin."""
    bottom, top = limits
    if np.isfinite(bottom):
        edge = 0.05 * max(top - bottom, 1e-9)
        axis.set_ylim(bottom - edge, top + edge)


def has_cut_bands(points: pd.DataFrame) -> bool:
    """True if some band is so wide that it leaves the picture."""
    points = points[is_near_learned(points)]
    means = points["mean"].dropna()
    if means.empty:
        return False
    room = BAND_ROOM * (means.max() - means.min())
    return bool(
        (points["low"] < means.min() - room).any() or (points["high"] > means.max() + room).any()
    )


def draw_effects(rows: pd.DataFrame, measure: Measure, label: str) -> Figure:
    """Draw effects with their intervals, a row for each network, the margin shaded.

    The colour tells the arm, the marker the verdict.

    Args:
        rows: ``network arm sparsity mean low high n margin word``; the first row is drawn at the
            top.
        measure: What the effects are measured in.
        label: Label of the axis.
    """
    factor = measure.factor
    rows = rows[rows["mean"].notna()]
    height = max(1.7, ROW_HEIGHT * len(rows) + 1.0)
    with project_style():
        (axis,) = make_panels(1, size=(5.1, height))
        margin = rows["margin"].dropna()
        if len(margin):
            end = factor * margin.iloc[0]
            axis.axvspan(-end, end, color=REGION_COLOUR, lw=0)
        axis.axvline(0, color="#555555", linewidth=1)
        places = np.arange(len(rows))[::-1]
        placed = rows.assign(place=places, colour=row_colours(rows))
        for (word, colour), part in placed.groupby(["word", "colour"], sort=False):
            below = np.nan_to_num(factor * (part["mean"] - part["low"]))
            above = np.nan_to_num(factor * (part["high"] - part["mean"]))
            drawn = axis.errorbar(
                factor * part["mean"],
                part["place"],
                xerr=np.stack([below, above]),
                color=colour,
                **_verdict_style(str(word)),
                markersize=5.5,
                elinewidth=1.6,
                capsize=0,
            )
            texts = [
                hover_text(row["network"], _found(row, factor), row["n"])
                for row in part.to_dict("records")
            ]
            attach_hover_texts(drawn, texts)
        axis.set_yticks(places, [str(name) for name in rows["network"]])
        axis.set_ylim(-0.6, len(rows) - 0.4)
        axis.grid(visible=False, axis="y")
        axis.set_xlabel(label)
        # One kind of verdict needs no key.
        if rows["word"].nunique() < 2:
            return cast("Figure", axis.get_figure(root=True))
        for word in dict.fromkeys(rows["word"]):
            style = {"color": NEUTRAL_COLOUR, "markersize": 5.5, **_verdict_style(str(word))}
            draw_key(axis, str(word) or "estimate", **style)
        return add_legend([axis])


def _verdict_style(word: str) -> dict[str, Any]:
    """Marker of an effect: filled if it is settled."""
    style = {"marker": VERDICT_MARKERS.get(word, "o"), "linestyle": "none"}
    return style if word in SETTLED_WORDS else {**style, "markerfacecolor": "white"}
