"""Networks that have learned nothing have marks of their own in figures of scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import analysis
from analysis.answers.figures import draw_against_length, draw_against_sparsity
from analysis.drawing.marks import LEARNED_NOTHING, has_learned_nothing, is_key, mean_limits
from analysis.measure import Measure
from analysis.page.figure_export import FigureExporter
from sparsetune.spec import TrialSpec
from tests.analysis.exact import TWO_ARMS, Exact, seed_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Figures = dict[str, Figure]

ACCURACY = Measure.by_name("test_accuracy")
AT_CHANCE = 0.1
FIGURES_OF_SCORES = (
    "answer",
    "comparison",
    "iso-flops",
    "pareto-front",
    "test_accuracy-sparsity",
    "test_accuracy-twin-sparsity",
    "test_accuracy-epochs",
    "test_accuracy-train_flops",
    "val_loss-sparsity",
)
"""Figures of `report` that show the score of the shortest training at 98 %, or of the longest."""


def is_weak(spec: TrialSpec) -> bool:
    """True for both arms at 98 % after the shorter and after the longer training."""
    return spec.sparsity.target == 0.98


def score(spec: TrialSpec) -> float:
    noise = 0.001 * (seed_number(spec) % 3)
    return (AT_CHANCE if is_weak(spec) else 0.9 - 0.05 * spec.sparsity.target) + noise


class Priced(Exact):
    """Trainings that cost more the longer they are, and losses that fall as the score rises."""

    def rows(self, spec: TrialSpec) -> Iterator[Mapping[str, Any]]:
        """The evaluations of `Exact` with other costs and losses."""
        epochs = spec.total_steps() / spec.steps_per_epoch()
        for row in super().rows(spec):
            flops = row["progress"] * epochs * (1 - spec.sparsity.target / 2)
            yield {**row, "train_flops": flops, "val_loss": row["val_error"]}


def drawn(path: Path, learned_nothing: Callable[[TrialSpec], bool]) -> Figures:
    """Every figure of the report on a study, by its name."""
    found: Figures = {}
    order = FigureExporter.order

    def keep(exporter: FigureExporter, drawer: Any, stem: Any) -> Any:
        found[stem.name] = drawer()
        return order(exporter, drawer, stem)

    Priced(TWO_ARMS, path, score, learned_nothing=learned_nothing).run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FigureExporter, "order", keep)
        analysis.report(path)
    return found


def crosses(figure: Figure) -> Iterator[Any]:
    """Hollow crosses of a figure, without the legend's."""
    for axes in figure.axes:
        for line in axes.get_lines():
            is_cross = line.get_marker() == "X" and to_hex(line.get_markerfacecolor()) == "#ffffff"
            if is_cross and not is_key(line) and len(line.get_xdata()):
                yield line


def legend_names(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    """AC/DC learned nothing at 98 %; GMP is as weak there, but not constant."""
    return drawn(
        tmp_path_factory.mktemp("lost") / "s",
        lambda spec: is_weak(spec) and spec.sparsity.method == "acdc",
    )


@pytest.fixture(scope="module")
def innocent(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    """The same scores, and all networks but one of five are not constant."""
    return drawn(
        tmp_path_factory.mktemp("weak") / "s",
        lambda spec: is_weak(spec) and seed_number(spec) == 0,
    )


@pytest.mark.parametrize("name", FIGURES_OF_SCORES)
def test_figures_of_scores_mark_them_in_the_hue_of_their_arm(marked: Figures, name: str) -> None:
    figure = marked[name]
    marks = list(crosses(figure))
    assert marks
    colours = {to_hex(line.get_color()) for line in marks}
    # AC/DC is the second arm, orange in all shades: more red than green, more green than blue.
    assert all(int(c[1:3], 16) > int(c[3:5], 16) > int(c[5:7], 16) for c in colours)
    assert legend_names(figure).count(LEARNED_NOTHING) == 1
    assert legend_names(figure)[-1] == LEARNED_NOTHING


@pytest.mark.parametrize("name", FIGURES_OF_SCORES)
def test_no_line_leads_through_them(marked: Figures, name: str) -> None:
    lines = [line for axes in marked[name].axes for line in axes.get_lines()]
    joined = [line for line in lines if line.get_linestyle() == "-"]
    for cross in crosses(marked[name]):
        x, y = cross.get_xdata()[0], cross.get_ydata()[0]
        own = [line for line in joined if line.axes is cross.axes]
        own = [line for line in own if to_hex(line.get_color()) == to_hex(cross.get_color())]
        for line in own:
            places = np.column_stack([line.get_xdata(), line.get_ydata()]).astype(float)
            assert not np.isclose(places, [x, y]).all(axis=1).any()


def test_a_figure_of_costs_does_not_mark_them(marked: Figures) -> None:
    scores, costs = marked["comparison"].axes
    assert any(line.axes is scores for line in crosses(marked["comparison"]))
    assert not any(line.axes is costs for line in crosses(marked["comparison"]))


def test_weak_networks_whose_answers_vary_are_joined_and_not_marked(innocent: Figures) -> None:
    assert set(FIGURES_OF_SCORES) <= set(innocent)
    for name, figure in innocent.items():
        assert not list(crosses(figure)), name
        assert LEARNED_NOTHING not in legend_names(figure), name
    for axes in innocent["answer"].axes:
        lines = [line for line in axes.get_lines() if line.get_label() == "98 %"]
        heights = np.concatenate([line.get_ydata() for line in lines])
        assert heights == pytest.approx([100 * AT_CHANCE] * 2, abs=0.2)


def test_hover_texts_name_them(marked: Figures) -> None:
    bars = [one for axes in marked["answer"].axes for one in axes.containers]
    texts = [text for one in bars for text in one.hover_texts]
    assert texts and all(text.endswith(f", {LEARNED_NOTHING}") for text in texts)


@pytest.mark.parametrize(
    ("count", "n", "expected"), [(3, 3, True), (2, 3, False), (0, 3, False), (None, 3, False)]
)
def test_all_networks_of_a_cell_must_have_learned_nothing(
    count: int | None, n: int, expected: bool
) -> None:
    frame = pd.DataFrame({"n": [n], "learned_nothing": pd.array([count], dtype="Int64")})
    assert has_learned_nothing(frame).tolist() == [expected]
    assert not has_learned_nothing(frame[["n"]]).any(), "an older directory does not know"


def lost_points(lost: float) -> pd.DataFrame:
    """Two lengths of GMP at 90 %, of which the shorter learned nothing, and dense networks."""
    mean = pd.Series([0.9, 0.92, lost, 0.85])
    columns = {"arm": "gmp", "sparsity": [0.0, 0.0, 0.9, 0.9], "epochs": [2.0, 8.0, 2.0, 8.0]}
    frame = pd.DataFrame({**columns, "n": 3, "learned_nothing": [0, 0, 3, 0], "twin": np.nan})
    return frame.assign(mean=mean, low=mean - 0.001, high=mean + 0.001)


def written(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_far_from_all_others_they_are_at_the_edge_with_their_value_beside_them() -> None:
    figure = draw_against_length(lost_points(0.1), ACCURACY)
    (axes,) = figure.axes
    (cross,) = crosses(figure)
    assert written(axes) == ["↓ 10"]
    bottom, top = axes.get_ylim()
    assert bottom < cross.get_ydata()[0] < 85 < top
    assert bottom > 80, "the others keep their room"


def test_near_the_others_they_are_at_their_place() -> None:
    figure = draw_against_length(lost_points(0.80), ACCURACY)
    (cross,) = crosses(figure)
    assert cross.get_ydata()[0] == pytest.approx(80)
    assert written(figure.axes[0]) == []


def test_a_figure_of_lost_networks_alone_shows_them() -> None:
    points = lost_points(0.1).assign(learned_nothing=3)
    points = points[points["epochs"] == 2]
    figure = draw_against_sparsity(points, ACCURACY, "dense network")
    heights = [line.get_ydata() for line in crosses(figure)]
    assert np.concatenate(heights) == pytest.approx([90, 10])
    assert mean_limits(points, 100) == pytest.approx((2, 98))
