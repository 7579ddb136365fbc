from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.curves.comparison import cell_costs, compare_arms
from analysis.curves.figures import arms_by_right_end
from analysis.drawing.line_styles import arm_styles
from sparsetune.errors import SparsetuneError
from sparsetune.spec import TrialSpec
from sparsetune.study import Arm

matplotlib.use("Agg")
ACCURACY = {"gmp": 0.9, "acdc": 0.8, "one_shot": 0.4}
EXTRA = {"gmp": 0.2, "acdc": 0.0}
"""Passes that choose a mask, in dense epochs for each epoch of training."""
ARMS = {name: Arm({"sparsity.method": name}) for name in ACCURACY}
SPARSITIES = [0.9375, 0, 0.75]


@pytest.fixture
def results(simulation: Any, studies: Any, tmp_path: Path) -> Callable[..., analysis.Results]:
    """Results of arms: the accuracies of `ACCURACY` less sparsity / 10, moved by 0.02 by seeds."""

    def make(
        outcome: Any = lambda cell, role, seed: "COMPLETE", **changes: Any
    ) -> analysis.Results:
        class Given(simulation):  # type: ignore[misc]
            def rows(self, spec: TrialSpec) -> Any:
                method = spec.sparsity.method
                target = spec.sparsity.target
                accuracy = ACCURACY.get(method, 0.9) - target / 10 + 0.02 * (spec.seed - 1000)
                for row in super().rows(spec):
                    row = {**row, "val_accuracy": accuracy + 0.002, "ever_active": 1 - target / 2}
                    yield {**row, "extra_flops": EXTRA.get(method, 0.0) * row["epoch"]}

        arms = {"gmp": ARMS["gmp"], "acdc": ARMS["acdc"]}
        given = {"search": {}, "arms": arms, "sweep": {"sparsity.target": SPARSITIES}, **changes}
        Given(studies["small"].with_changes(**given), tmp_path / "s", outcome=outcome).run()
        return analysis.load(tmp_path / "s")

    return make


def test_the_frame_by_hand(results: Callable[..., analysis.Results]) -> None:
    frame = compare_arms(results()).frame()
    assert list(frame["arm"]) == ["dense", "gmp", "gmp", "acdc", "acdc"]
    assert list(frame["sparsity"]) == [0, 0.75, 0.9375, 0.75, 0.9375]
    assert list(frame["mean"]) == pytest.approx([0.91, 0.835, 0.81625, 0.735, 0.71625])
    assert set(frame["n"]) == {2}
    # sd 0.02 / sqrt 2 of each cell alone, t(0.975, df 1) = 12.7062; of dense that is 104 %
    assert list(frame["high"] - frame["mean"])[1:] == pytest.approx([12.7062 * 0.01] * 4, rel=1e-4)
    odds = 0.91 / 0.09 * np.exp(12.7062 * 0.01 / (0.91 * 0.09))
    assert frame["high"][0] == pytest.approx(odds / (1 + odds), rel=1e-4)
    # the simulation's steps cost 1 - sparsity / 2; GMP's choice of masks 0.2 of the dense network's
    assert list(frame["training_flops"]) == pytest.approx([1, 0.625, 0.53125, 0.625, 0.53125])
    assert list(frame["extra_flops"]) == pytest.approx([0, 0.2, 0.2, 0, 0])
    assert list(frame["total_flops"]) == pytest.approx([1, 0.825, 0.73125, 0.625, 0.53125])
    assert list(frame["inference_flops"]) == pytest.approx([1, 0.25, 0.0625, 0.25, 0.0625])
    assert list(frame["ever_active"]) == pytest.approx([1, 0.625, 0.53125, 0.625, 0.53125])


def test_costs_are_in_trainings_of_the_same_length(
    results: Callable[..., analysis.Results],
) -> None:
    found = results(sweep={"sparsity.target": [0, 0.75], "schedule.epoch_multiplier": [1, 2]})
    by_length = cell_costs(found)
    assert sorted(by_length["epochs"]) == [4, 4, 4, 8, 8, 8]
    sparse = by_length[by_length["sparsity"] > 0]
    assert set(sparse["training_flops"].round(9)) == {0.625}
    assert set(by_length.loc[by_length["arm"] == "gmp", "extra_flops"].round(9)) == {0.2}
    assert set(compare_arms(found).frame()["epochs"]) == {8}
    assert set(compare_arms(found, epochs=4).frame()["epochs"]) == {4}
    assert "one dense training of 8 epochs" in compare_arms(found).note()


def test_only_arms_at_the_same_sparsity_are_comparable(
    results: Callable[..., analysis.Results],
) -> None:
    arms = {
        "gmp": ARMS["gmp"],
        "acdc": Arm({"sparsity.method": "acdc"}, sweep={"sparsity.target": [0.9375]}),
    }
    assert compare_arms(results(arms=arms)).shared() == [0.9375]


def test_one_arm_shares_nothing(results: Callable[..., analysis.Results]) -> None:
    assert compare_arms(results(arms={"gmp": ARMS["gmp"]})).shared() == []


def test_a_diverged_cell_is_not_compared(results: Callable[..., analysis.Results]) -> None:
    def outcome(cell: str, role: str, seed: int) -> str:
        return "DIVERGED" if cell == "acdc/target=0.9375" and seed == 1001 else "COMPLETE"

    compared = compare_arms(results(outcome))
    last = compared.frame().iloc[-1]
    assert (last["arm"], last["diverged"]) == ("acdc", 1)
    assert last[["mean", "training_flops", "total_flops", "ever_active"]].isna().all()
    assert compared.shared() == [0.75]


def test_a_mixed_point_is_refused(results: Callable[..., analysis.Results]) -> None:
    found = results(sweep={"sparsity.target": [0, 0.75], "optim.lr": [0.1, 0.2]})
    with pytest.raises(
        SparsetuneError,
        match=r"must be one cell, got `dense/lr=0\.1`, `dense/lr=0\.2` .*; give `where",
    ):
        compare_arms(found)
    assert len(compare_arms(found, where={"optim.lr": 0.2}).frame()) == 3


def test_the_picture_shows_the_frame(results: Callable[..., analysis.Results]) -> None:
    figure = compare_arms(results()).plot()
    left, right = figure.axes
    for axis, heights in (
        (left, {"gmp": [83.5, 81.625]}),
        (right, {"gmp": [0.825, 0.73125], "acdc": [0.625, 0.53125]}),
    ):
        drawn = {bars.get_label(): bars.lines[0].get_xydata() for bars in axis.containers}
        assert list(drawn) == ["gmp", "acdc"]
        for arm, expected in heights.items():
            assert drawn[arm][:, 1].tolist() == pytest.approx(expected)
            assert drawn[arm][:, 0].tolist() == pytest.approx([np.log(4), np.log(16)], abs=0.02)
    dense = [
        line.get_ydata()[0]
        for axis in figure.axes
        for line in axis.get_lines()
        if line.get_label() == "dense"
    ]
    assert dense == pytest.approx([91, 1])
    assert (left.get_ylabel(), right.get_ylabel()) == (
        "Test accuracy (%)",
        "Training FLOPs (fraction of dense)",
    )
    colours = [[bars.lines[0].get_color() for bars in axis.containers] for axis in figure.axes]
    assert colours[0] == colours[1]
    assert len(set(colours[0])) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dense", "gmp", "acdc"]


def test_accuracies_far_apart_are_spread_by_their_error(
    results: Callable[..., analysis.Results],
) -> None:
    axis = compare_arms(results(arms=ARMS)).plot().axes[0]
    assert "logarithm of the error" in axis.get_ylabel()
    # equal steps where the error halves: 20, 10 and 5 %
    heights = axis.transData.transform([(1, 80), (1, 90), (1, 95)])[:, 1]
    assert heights[2] - heights[1] == pytest.approx(heights[1] - heights[0])
    low, high = axis.get_ylim()
    assert low < 30.6 < 95 < high < 100
    assert {50, 80, 90, 95} <= set(axis.get_yticks())


def test_the_legend_is_in_the_order_of_the_right_ends() -> None:
    rows = [("a", 0.9, 0.7), ("b", 0.9, 0.5), ("b", 0.95, 0.6), ("c", 0.95, 0.65), ("c", 0.9, 0.1)]
    assert arms_by_right_end(pd.DataFrame(rows, columns=["arm", "sparsity", "mean"])) == [
        "c",
        "b",
        "a",
    ]


def test_a_dozen_arms_look_different() -> None:
    names = [f"arm {i}" for i in range(132)]
    styles = arm_styles(pd.DataFrame({"arm": names}))
    assert list(styles) == names
    assert len({style["color"] for style in list(styles.values())[:12]}) == 12
    assert len({(style["color"], style["marker"]) for style in styles.values()}) == 132


def test_arms_of_one_line_share_a_panel(results: Callable[..., analysis.Results]) -> None:
    found = results()
    (axis,) = analysis.sparsity_curve(found, by=None).plot().axes
    drawn = {bars.get_label(): bars.lines[0].get_ydata().tolist() for bars in axis.containers}
    assert drawn == {"gmp": pytest.approx([83.5, 81.625]), "acdc": pytest.approx([73.5, 71.625])}
