"""One rule of colours for all figures of a report: the hue tells the arm, dense is black."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.markers import MarkerStyle

import analysis
from analysis.drawing.line_styles import (
    LineStyles,
    _lightness,
    arm_styles,
    numbered_arms,
    row_colours,
    shades,
)
from analysis.drawing.style import ARM_COLOURS
from analysis.page.figure_export import FigureExporter
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.study import Arm, Study
from sparsetune.study.space import LogUniform
from tests.analysis.simulation import Simulation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEARCHED = Study(
    name="searched",
    base=TrialSpec(schedule=ScheduleSpec(epochs=4)),
    arms={"gmp": Arm({"sparsity.method": "gmp"}), "acdc": Arm({"sparsity.method": "acdc"})},
    sweep={"sparsity.target": [0, 0.9, 0.98], "schedule.epoch_multiplier": [1, 2]},
    search={"optim.lr": LogUniform(0.01, 1.0)},
    configurations_per_cell=8,
    report_seeds=2,
)
GREY_SATURATION = 0.08
"""Colours of a lower saturation are grey."""
OTHER_RULES = ("verdicts",)
"""Figures that show no arm and no sparsity by colour, but a map of verdicts."""


def hue(colour: Any) -> float | None:
    """Hue of a colour, in [0, 1]; None for black, greys and white."""
    red, green, blue = to_rgb(colour)
    found, saturation, _ = colorsys.rgb_to_hsv(red, green, blue)
    return found if saturation > GREY_SATURATION else None


def lightness(colour: Any) -> float:
    return float(_lightness(np.array([to_rgb(colour)]))[0])


def drawn_colours(figure: Figure) -> Iterator[Any]:
    """Colours of all lines, marks, bands and titles."""
    for axes in figure.axes:
        yield axes.title.get_color()
        for line in axes.get_lines():
            if line.get_linestyle() != "None":
                yield line.get_color()
            if line.get_marker() != "None":
                yield line.get_markeredgecolor()
                if MarkerStyle(line.get_marker()).is_filled():
                    yield line.get_markerfacecolor()
        for collection in axes.collections:
            yield from [*collection.get_facecolor(), *collection.get_edgecolor()]
        for patch in axes.patches:
            yield patch.get_facecolor()


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figure]:
    """Every figure of one report, by its name."""
    path = Simulation(SEARCHED, tmp_path_factory.mktemp("hues") / "s").run()
    drawn: dict[str, Figure] = {}
    order = FigureExporter.order

    def keep(exporter: FigureExporter, drawer: Any, stem: Any) -> Any:
        drawn[stem.name] = drawer()
        return order(exporter, drawer, stem)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FigureExporter, "order", keep)
        analysis.report(path)
    return drawn


def test_no_figure_of_a_report_has_other_hues_than_those_of_arms(
    figures: dict[str, Figure],
) -> None:
    arms = {hue(colour) for colour in ARM_COLOURS[:2]}
    assert len(figures) > 20
    for name, figure in figures.items():
        if name in OTHER_RULES:
            continue
        hues = [found for found in map(hue, drawn_colours(figure)) if found is not None]
        others = [one for one in hues if min(abs(one - arm) for arm in arms) > 0.01]
        assert others == [], name


def test_an_arm_has_one_hue_in_all_figures_of_a_report(figures: dict[str, Figure]) -> None:
    of_arm = dict(zip(("gmp", "acdc"), ARM_COLOURS, strict=False))
    named = 0
    for name, figure in figures.items():
        for axes in figure.axes:
            first = axes.get_title().lower().replace("/", "").partition(":")[0].partition(",")[0]
            if first in of_arm and name not in OTHER_RULES:
                assert to_hex(axes.title.get_color()) == of_arm[first], name
                named += 1
    assert named > 20


def test_dense_lines_are_black_in_all_figures_of_a_report(figures: dict[str, Figure]) -> None:
    found = []
    for figure in figures.values():
        for axes in figure.axes:
            found += [line.get_color() for line in axes.get_lines() if line.get_label() == "dense"]
    assert len(found) > 10
    assert {to_hex(colour) for colour in found} == {"#000000"}


def test_the_dense_end_of_a_line_against_sparsity_is_black(figures: dict[str, Figure]) -> None:
    # Sparsity 0 is at 0, and drawn last.
    for axes in figures["test_accuracy-sparsity"].axes:
        at_dense = [line for line in axes.get_lines() if list(line.get_xdata()) == [0]]
        assert {to_hex(line.get_color()) for line in at_dense} == {"#000000"}


def test_a_figure_of_few_arms_keeps_the_hues_of_the_study() -> None:
    alone = pd.DataFrame({"arm": ["acdc"], "sparsity": [0.9]})
    with numbered_arms(["gmp", "acdc"]):
        assert arm_styles(alone)["acdc"]["color"] == ARM_COLOURS[1]
    assert arm_styles(alone)["acdc"]["color"] == ARM_COLOURS[0]


def test_arms_of_dense_networks_alone_are_black_and_take_no_hue() -> None:
    frame = pd.DataFrame({"arm": ["none", "gmp", "gmp"], "sparsity": [0, 0, 0.9]})
    assert arm_styles(frame)["none"]["color"] == "black"
    assert row_colours(frame) == ["black", "black", ARM_COLOURS[0]]


@pytest.mark.parametrize("colour", ARM_COLOURS)
def test_shades_keep_the_hue_and_get_darker_with_sparsity(colour: str) -> None:
    found = shades(colour, [0.98, 0, 0.8, 0.95, 0.9], "sparsity.target")
    assert list(found) == [0, 0.8, 0.9, 0.95, 0.98]
    assert found[0] == "black"
    sparse = [found[sparsity] for sparsity in (0.8, 0.9, 0.95, 0.98)]
    assert [hue(one) for one in sparse] == pytest.approx([hue(colour)] * 4, abs=0.02)
    assert np.diff([lightness(one) for one in sparse]) == pytest.approx([-40 / 3] * 3, abs=1.5)


def test_a_single_sparsity_has_the_colour_of_its_arm() -> None:
    assert shades("#332288", [0, 0.9], "sparsity.target")[0.9] == "#332288"


def test_the_legend_of_several_arms_shows_shades_in_grey() -> None:
    from matplotlib.figure import Figure as NewFigure

    frame = pd.DataFrame({"arm": ["gmp", "gmp", "acdc"], "sparsity": [0.9, 0.95, 0.9]})
    for rows, is_grey in ((frame, True), (frame[:2], False)):
        axis = NewFigure().subplots()
        styles = LineStyles(rows, rows["sparsity"], "sparsity.target")
        assert styles.draw_keys(axis) == ["90 %", "95 %"]
        assert {hue(line.get_color()) is None for line in axis.get_lines()} == {is_grey}


def test_every_logarithmic_axis_of_sparsity_in_a_report_says_so(figures: dict[str, Figure]) -> None:
    found = 0
    for name, figure in figures.items():
        for axes in figure.axes:
            ticks = {label.get_text() for label in axes.get_xticklabels()}
            # The map of verdicts has a column for each sparsity, which is no scale.
            is_bare = {"90", "98"} <= ticks and name not in OTHER_RULES
            assert not is_bare, f"{name}: sparsities without the weights left"
            found += "98\n2" in ticks
    assert found > 5
