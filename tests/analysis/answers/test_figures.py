"""Figures and tables of answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

import analysis
from analysis.answers.answers import Answers, answers
from analysis.answers.exhibits import answer_exhibit, question_exhibit
from analysis.answers.figures import draw_against_length, draw_effects, has_cut_bands
from analysis.answers.groups import AnswerGroup, answer_groups
from analysis.exhibit import Exhibit
from analysis.measure import Measure
from analysis.tables.results import Results
from tests.analysis.exact import TWO_ARMS, Exact, planted
from tests.analysis.page.opening.test_screen import LEVELS
from tests.analysis.simulation import SMALL, Simulation

ACCURACY = Measure.by_name("test_accuracy")


@pytest.fixture(scope="module")
def two_arms(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("figures") / "two"
    return analysis.load(Exact(TWO_ARMS, folder, planted(LEVELS)).run())


@pytest.fixture(scope="module")
def found(two_arms: Results) -> Answers:
    return answers(two_arms)


def group_of(found: Answers, name: str) -> AnswerGroup:
    return next(group for group in answer_groups(found.answers) if group.name == name)


def points(**columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {"arm": "gmp", "sparsity": [0, 0, 0.9, 0.9], "epochs": [2, 8, 2, 8], "n": 3}
    )
    return frame.assign(**columns)


def test_lengths_are_shown_where_they_are_swept_with_dense_in_black(
    two_arms: Results, found: Answers
) -> None:
    exhibit = answer_exhibit(two_arms, answer_groups(found.answers))
    assert exhibit is not None and exhibit.draw is not None
    assert exhibit.title == "Test accuracy against training length"
    figure = exhibit.draw()
    assert [axis.get_title() for axis in figure.axes] == ["GMP", "AC/DC"]
    for axis in figure.axes:
        lines = {line.get_label(): line for line in axis.lines}
        assert set(lines) == {"dense", "95 %", "98 %"}
        assert to_hex(lines["dense"].get_color()) == "#000000"
        assert len([one for one in axis.collections if isinstance(one, PolyCollection)]) == 3
    gmp = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    # On five seeds, 0.003 times the seed's number modulo 3 adds 0.24 points in the mean.
    assert np.asarray(gmp["98 %"]) == pytest.approx([90.24, 90.74])


def test_sparsities_are_shown_with_the_dense_twin_where_one_length_is_trained(
    tmp_path: Path,
) -> None:
    study = SMALL.with_changes(sweep={"sparsity.target": [0, 0.9]})
    results = analysis.load(Simulation(study, tmp_path / "s").run())
    exhibit = answer_exhibit(results, answer_groups(answers(results).answers))
    assert exhibit is not None and exhibit.draw is not None
    assert exhibit.title == "Test accuracy against sparsity"
    assert labels(exhibit) == ["GMP", "dense network, same recipe, seed and length"]


def test_the_dense_twin_of_equal_flops_is_not_said_to_train_as_long(tmp_path: Path) -> None:
    study = SMALL.with_changes(sweep={"sparsity.target": [0, 0.9]}, equal="train_flops")
    results = analysis.load(Simulation(study, tmp_path / "s").run())
    exhibit = answer_exhibit(results, answer_groups(answers(results).answers))
    assert exhibit is not None
    assert labels(exhibit) == ["GMP", "dense network, same recipe, seed and FLOPs"]


def labels(exhibit: Exhibit) -> list[str]:
    """Names of an exhibit's legend, each on one line."""
    assert exhibit.draw is not None
    (legend,) = exhibit.draw().legends
    return [" ".join(text.get_text().split()) for text in legend.get_texts()]


@pytest.mark.parametrize("lengths", [[10], [10, 40]])
def test_a_mean_over_configurations_has_its_spread_in_dots(lengths: list[int]) -> None:
    rows = [(s, epochs, lr) for s in (0.5, 0.9) for epochs in lengths for lr in (0.01, 0.1, 0.3)]
    frame = pd.DataFrame(rows, columns=["sparsity.target", "schedule.epochs", "optim.lr"])
    # Of three configurations, 10 points apart, of which one is far above the others' mean.
    frame["test_accuracy"] = 0.9 - frame["sparsity.target"] / 10 - 0.1 * (frame["optim.lr"] < 0.3)
    alone = frame[frame["optim.lr"] == 0.3].assign(**{"sparsity.target": 0.95})
    results = analysis.load_table(pd.concat([frame, alone]), name="gmp")
    exhibit = answer_exhibit(results, answer_groups(answers(results).answers))
    assert exhibit is not None and exhibit.draw is not None
    (axis,) = exhibit.draw().axes
    dotted = [line.get_ydata() for line in axis.lines if line.get_linestyle() == ":"]
    # The single configuration at 95 % has none.
    expected = [[75, 85]] * len(lengths) + [[71, 81]] * len(lengths)
    np.testing.assert_allclose(sorted(map(list, dotted)), sorted(expected))
    assert axis.get_ylim()[0] < 71 and axis.get_ylim()[1] > 85
    assert "Dotted bars are no interval" in exhibit.caption
    single = analysis.load_table(alone, name="gmp")
    plain = answer_exhibit(single, answer_groups(answers(single).answers))
    assert plain is not None and "Dotted" not in plain.caption


def test_nothing_is_drawn_before_anything_was_measured(tmp_path: Path) -> None:
    results = analysis.load(Simulation(SMALL, tmp_path / "s").run(0))
    groups = answer_groups(answers(results).answers)
    assert answer_exhibit(results, groups) is None
    assert [question_exhibit(results, group, None) for group in groups] == [None] * len(groups)
    assert all(group.is_open for group in groups)


def test_effects_are_those_of_the_answers(two_arms: Results, found: Answers) -> None:
    group = group_of(found, "extension")
    exhibit = question_exhibit(two_arms, group, None)
    assert exhibit is not None and exhibit.draw is not None
    frame = found.frame()
    own = frame[frame["question"].str.startswith("extension")]
    assert exhibit.frame["mean"].tolist() == pytest.approx(own["mean"].tolist())
    assert exhibit.frame["low"].tolist() == pytest.approx(own["low"].tolist())
    assert exhibit.frame["network"].tolist() == [
        "GMP at 98 %",
        "GMP at 95 %",
        "AC/DC at 98 %",
        "AC/DC at 95 %",
    ]
    axis = exhibit.draw().axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == exhibit.frame[
        "network"
    ].tolist()
    assert "effects below 0.2 points, too small to matter" in exhibit.caption


def test_a_single_effect_is_a_row_without_a_picture(two_arms: Results, found: Answers) -> None:
    exhibit = question_exhibit(two_arms, group_of(found, "arms"), None)
    assert exhibit is not None
    assert exhibit.draw is None
    assert len(exhibit.frame) == 1


def test_scores_are_told_with_the_best_first(found: Answers) -> None:
    group = group_of(found, "remaining")
    means = [answer.primary.bound.mean for answer in group.told()]
    assert means == sorted(means, reverse=True)
    assert group.heading() == "What score is left at each sparsity?"


def test_bands_that_leave_the_picture_are_said_to() -> None:
    mean = pd.Series([0.9, 0.92, 0.8, 0.85])
    wide = points(mean=mean, low=mean - 0.3, high=mean + 0.3)
    narrow = points(mean=mean, low=mean - 0.01, high=mean + 0.01)
    assert has_cut_bands(wide)
    assert not has_cut_bands(narrow)
    bottom, top = draw_against_length(wide, ACCURACY).axes[0].get_ylim()
    # All means, and bands as far as the means' range of 12 points on either side, up to 100 %.
    assert bottom == pytest.approx(68 - 0.05 * 32)
    assert top == pytest.approx(100 + 0.05 * 32)


def test_one_kind_of_answer_needs_no_key() -> None:
    rows = pd.DataFrame(
        {
            "network": ["a", "b"],
            "arm": "gmp",
            "sparsity": 0.9,
            "mean": [0.01, 0.02],
            "low": [0.0, np.nan],
            "high": [0.02, np.nan],
            "n": [3, 1],
            "margin": 0.002,
            "word": ["Yes", "Yes"],
        }
    )
    assert not draw_effects(rows, ACCURACY, "Gain").legends
    assert draw_effects(rows.assign(word=["Yes", "No"]), ACCURACY, "Gain").legends
