"""Figures of curves and of arms side by side, from numbers that are already computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from sparsetune.study.questions.words import arm_words

from ..drawers import draws
from ..drawing.axes import (
    log_density,
    make_panels,
    set_x_axis,
    set_y_scale,
    sparsity_transform,
)
from ..drawing.line_styles import LineStyles, arm_styles
from ..drawing.marks import add_line_legend, draw_means, mean_limits
from ..drawing.style import DENSE_COLOUR, project_style
from ..measure import Measure
from ..quantities import line_name
from ..wording import list_names
from .comparison import Comparison
from .curve import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AxisTransform = Callable[[Any], Any]
"""Positions on the axis of given sparsities."""
ARM_LINE_STYLES = ("-", "--", ":", "-.")
"""Line styles of the arms that share one panel."""
DENSE_LINE_STYLES = ("--", ":", "-.")
"""Line styles of the dense networks in one panel."""
GAP_RELATIONS = {
    "twin": " minus dense network\nof same recipe and seed",
    "control": " minus\nrecipe of the dense network at 1x",
}
"""What is subtracted from the score, in the label of an axis."""
ARM_OFFSET = 0.005
"""Distance between the marks of two arms at one sparsity, as a part of the axis."""


@draws(Curve)
def draw_curve(curve: Curve, ax: Axes | None = None, axis: str = "density") -> Figure:
    """Draw means and intervals of a curve: a panel per arm, or all arms into ``ax``.

    Arms of one line each against sparsity share a panel.

    Args:
        curve: The numbers.
        ax: Where to draw; a new figure by default. There, line styles separate the arms.
        axis: Scale of an axis of sparsity, see `sparsity_transform`.
    """
    frame = curve.frame()
    arms = list(dict.fromkeys(frame["arm"]))
    # A logit has no place for 0, so the axis depends on all sparsities of the figure.
    transform = sparsity_transform(axis, frame.get("sparsity", []))
    one_line_each = curve.by is None and curve.x == "sparsity"
    together = ax is None and one_line_each and len(arms) > 1
    # Gaps are differences to dense: there is no dense level to draw beside them.
    if together and not curve.gap:
        return _draw_arms(frame, [curve.y], transform)
    with project_style():
        if ax is not None:
            return _draw_into(ax, curve, transform)
        if together:
            return _draw_gaps_together(curve, transform)
        return _draw_arm_panels(curve, transform)


def _draw_into(ax: Axes, curve: Curve, transform: AxisTransform) -> Figure:
    """Draw all arms into the axes of the caller's figure."""
    lines = _CurveLines(curve, transform)
    for position, arm in enumerate(lines.arms):
        style = {"linestyle": ARM_LINE_STYLES[position % len(ARM_LINE_STYLES)]}
        lines.draw_arm(ax, arm, style, prefix=arm)
    lines.format_panel(ax, labelled=True)
    ax.legend()
    return cast("Figure", ax.get_figure(root=True))


def _draw_gaps_together(curve: Curve, transform: AxisTransform) -> Figure:
    """Draw the gap of every arm into one panel, a line per arm."""
    lines = _CurveLines(curve, transform)
    (panel,) = make_panels(1)
    for arm, style in arm_styles(lines.frame).items():
        lines.draw_arm(panel, arm, style, prefix=arm)
    lines.format_panel(panel, labelled=True)
    return add_line_legend([panel], "arm", arms_by_right_end(lines.frame))


def _draw_arm_panels(curve: Curve, transform: AxisTransform) -> Figure:
    """Draw a panel per arm."""
    lines = _CurveLines(curve, transform)
    axes = make_panels(len(lines.arms))
    for arm, panel in zip(lines.arms, axes, strict=False):
        lines.draw_arm(panel, arm, {"linestyle": "-"})
        panel.set_title(arm_words(arm), **lines.styles.title(arm))
        lines.format_panel(panel, labelled=panel is axes[0])
    lines.styles.draw_keys(axes[-1], markersize=4.5, linewidth=1.5)
    return add_line_legend(axes, curve.by, lines.styles.values)


class _CurveLines:
    """Lines of a curve with their colours, drawn arm by arm."""

    def __init__(self, curve: Curve, transform: AxisTransform) -> None:
        self.curve = curve
        self.transform = transform
        self.frame = curve.frame()
        self.arms = [str(arm) for arm in dict.fromkeys(self.frame["arm"])]
        field = curve.by
        self.keys = self.frame[field] if field else pd.Series("", index=self.frame.index)
        self.limits = mean_limits(self.frame, curve.y.factor)
        self.styles = LineStyles(self.frame, self.keys, field)

    def draw_arm(
        self, panel: Axes, arm: str, arm_style: Mapping[str, Any], prefix: str = ""
    ) -> None:
        """Draw the lines of one arm.

        Args:
            panel: Where to draw.
            arm: The arm.
            arm_style: Style of its lines; a colour or marker in it replaces the line's own.
            prefix: Text before a line's name in the legend.
        """
        own = self.frame[self.frame["arm"] == arm]
        if self.curve.gap:
            panel.axhline(0, color="#555555", linewidth=1)
        for value, part in own.groupby(self.keys, sort=False):
            style = {**self.styles.line(arm, value), **arm_style}
            name = f"{prefix} {line_name(self.curve.by, value)}".strip()
            is_sparsity = self.curve.x == "sparsity"
            x = self.transform(part["sparsity"]) if is_sparsity else part[self.curve.x]
            draw_means(panel, x, part, self.curve.y.factor, style, name, self.limits)

    def format_panel(self, panel: Axes, labelled: bool) -> None:
        """Set the axes of a panel; ``labelled`` panels name the measure."""
        set_x_axis(panel, self.curve.x, self.frame[self.curve.x], self.transform)
        panel.set_ylabel(_y_label(self.curve) if labelled else "")


def _y_label(curve: Curve) -> str:
    """Label of the measure, or of its difference to the baseline."""
    if not curve.gap:
        return curve.y.label
    return curve.y.difference_label(GAP_RELATIONS[curve.gap])


@draws(Comparison)
def draw_comparison(comparison: Comparison) -> Figure:
    """Draw the measure and the cost of training against sparsity: two panels, a line per arm."""
    return _draw_arms(comparison.frame(), [comparison.y, Measure.by_name("total_flops")])


@dataclass(frozen=True)
class _ArmsPanel:
    """Rows of one panel of arms, with ``mean low high`` of its measure."""

    measure: Measure
    sparse: pd.DataFrame
    dense: pd.DataFrame


def _draw_arms(
    frame: pd.DataFrame, measures: Sequence[Measure], transform: AxisTransform = log_density
) -> Figure:
    """Draw a panel for each measure, a line per arm, dense networks as horizontal lines.

    Dense networks are named by arm if they differ.

    Args:
        frame: ``arm sparsity``; ``mean low high`` of the first measure; the others by their names.
        measures: Measures and costs that are drawn against sparsity.
        transform: Positions of sparsities on the axis.
    """
    sparse = frame[frame["sparsity"] > 0]
    dense = _dense_levels(frame[frame["sparsity"] == 0])
    styles = arm_styles(sparse)
    with project_style():
        axes = make_panels(len(measures), size=(4.4, 4.2), share=False)
        for measure, axis in zip(measures, axes, strict=True):
            column = measure.column
            panel = _ArmsPanel(
                measure, _values_as_means(sparse, column), _values_as_means(dense, column)
            )
            _draw_dense_levels(axis, panel)
            _draw_arm_lines(axis, panel, styles, transform)
            axis.set_ylabel(measure.label)
            set_x_axis(axis, "sparsity", sparse["sparsity"], transform)
            # After drawing, since the scale depends on the limits of what was drawn.
            set_y_scale(axis, measure, pd.concat([panel.sparse, panel.dense]))
        return add_line_legend(axes, "arm", arms_by_right_end(sparse))


def _values_as_means(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The frame with ``column`` as its ``mean low high``, if it has such a column."""
    # `draw_means` reads `mean low high`; a cost is a mean without an interval.
    if column not in frame:
        return frame
    values = frame.assign(mean=frame[column], low=frame[column], high=frame[column])
    # What a network costs does not depend on what it learned.
    return values.drop(columns="learned_nothing", errors="ignore")


def _draw_dense_levels(axis: Axes, panel: _ArmsPanel) -> None:
    """Draw a horizontal line for each dense network, dashed in different ways."""
    for rank, level in enumerate(panel.dense.dropna(subset="mean").to_dict("records")):
        height = panel.measure.factor * level["mean"]
        style = DENSE_LINE_STYLES[rank % len(DENSE_LINE_STYLES)]
        axis.axhline(
            height, linewidth=1.2, label=level["name"], color=DENSE_COLOUR, linestyle=style
        )


def _draw_arm_lines(
    axis: Axes,
    panel: _ArmsPanel,
    styles: Mapping[str, Mapping[str, Any]],
    transform: AxisTransform,
) -> None:
    """Draw a line per arm, a little beside its sparsities so that intervals can be told apart."""
    sparsity = panel.sparse["sparsity"]
    positions: pd.Series[Any] = pd.Series(transform(sparsity), sparsity.index)
    step = ARM_OFFSET * (positions.max() - positions.min())
    for rank, (arm, style) in enumerate(styles.items()):
        own = panel.sparse["arm"] == arm
        x = positions[own] + step * (rank - (len(styles) - 1) / 2)
        draw_means(axis, x, panel.sparse[own], panel.measure.factor, style, arm)


def _dense_levels(dense: pd.DataFrame) -> pd.DataFrame:
    """One row per dense network, with its ``name``.

    The only network is called ``dense``; several, such as those of arms that train for different
    lengths, are called ``gmp (dense)``.
    """
    key = ["mean", "low", "high"]
    measured = dense.dropna(subset="mean")
    arms = measured.groupby(key, dropna=False, sort=False)["arm"].agg(list)
    # Equal means and intervals are one network, which several arms have as their baseline.
    levels = measured.drop_duplicates(key).merge(arms.rename("arms").reset_index(), on=key)
    if len(levels) < 2:
        return levels.assign(name="dense")
    return levels.assign(name=[f"{list_names(arms, 2)} (dense)" for arms in levels["arms"]])


def arms_by_right_end(sparse: pd.DataFrame) -> list[str]:
    """Arms in the order of their lines' right ends.

    Lines that reach further right come first; of equally long ones, those with the higher mean.
    """
    ends = sparse.sort_values("sparsity", kind="stable").drop_duplicates("arm", keep="last")
    ordered = ends.sort_values(["sparsity", "mean"], ascending=False, kind="stable")
    return [str(arm) for arm in ordered["arm"]]
