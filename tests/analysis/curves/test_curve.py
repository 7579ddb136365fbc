from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

import analysis
from analysis.curves.curve import SPARSITY_AXES, cost_curve, displayed_costs
from analysis.curves.exhibits import curve_exhibits
from analysis.testing import ResultsBuilder
from sparsetune.errors import SparsetuneError
from sparsetune.spec import TrialSpec

matplotlib.use("Agg")
Accuracy = Callable[[TrialSpec], float]


@pytest.fixture
def results(simulation: Any, studies: Any, tmp_path: Path) -> Callable[..., analysis.Results]:
    """Results of the small study without search, test accuracies from a function of the trial."""

    def make(
        accuracy: Accuracy, outcome: Any = lambda cell, role, seed: "COMPLETE", **changes: Any
    ) -> analysis.Results:
        class Given(simulation):  # type: ignore[misc]
            def rows(self, spec: TrialSpec) -> Any:
                for row in list(super().rows(spec))[-2:]:
                    yield {**row, "val_accuracy": accuracy(spec) + 0.002}

        path = tmp_path / "s"
        Given(studies["small"].with_changes(search={}, **changes), path, outcome=outcome).run()
        return analysis.load(path)

    return make


def by_hand(spec: TrialSpec) -> float:
    """Accuracy 0.9 dense, 0.8 sparse, 0.05 more at twice the length; seeds differ by 0.02 or 0.04.

    Seeds of dense cells differ by 0.02, those of sparse ones by 0.04.
    """
    sparse = spec.sparsity.target > 0
    return (
        (0.8 if sparse else 0.9)
        + 0.05 * (spec.schedule.epoch_multiplier - 1)
        + (0.04 if sparse else 0.02) * (spec.seed - 1000)
    )


def test_sparsity_curve_by_hand(results: Callable[..., analysis.Results]) -> None:
    frame = analysis.sparsity_curve(results(by_hand)).frame()
    assert list(frame["arm"]) == ["gmp"] * 4
    assert list(frame["schedule.epoch_multiplier"]) == [1, 1, 2, 2]
    assert list(frame["sparsity"]) == [0, 0.9, 0, 0.9]
    assert list(frame["mean"]) == pytest.approx([0.91, 0.82, 0.96, 0.87])
    # two cells of two seeds in each sparsity: sd 0.02 / sqrt 2 and 0.04 / sqrt 2, df 2,
    # t = 4.302653
    assert list(frame["pooled_sd"]) == pytest.approx([0.02 / 2**0.5, 0.04 / 2**0.5] * 2)
    assert list(frame["df"]) == [2] * 4
    assert frame["high"][1] == pytest.approx(0.82 + 4.302653 * 0.02)
    assert list(frame["difference"])[1::2] == pytest.approx([-0.09, -0.09])
    # differences are -0.10 and -0.08: sd 0.02 / sqrt 2
    assert frame["difference_high"][1] == pytest.approx(-0.09 + 4.302653 * 0.01)
    assert frame["difference"][0::2].isna().all()


def test_pooling_over_all_cells(results: Callable[..., analysis.Results]) -> None:
    frame = analysis.sparsity_curve(results(by_hand), like=()).frame()
    assert list(frame["pooled_sd"]) == pytest.approx([np.sqrt((0.02**2 + 0.04**2) / 4)] * 4)
    assert set(frame["df"]) == {4}


def test_length_curve_has_a_line_per_sparsity(results: Callable[..., analysis.Results]) -> None:
    frame = analysis.length_curve(results(by_hand)).frame()
    assert list(frame["sparsity.target"]) == [0, 0, 0.9, 0.9]
    assert list(frame["epochs"]) == [4, 8, 4, 8]
    assert list(frame["mean"]) == pytest.approx([0.91, 0.96, 0.82, 0.87])


def test_dense_starts_the_lines_of_every_arm_and_counts_once(
    results: Callable[..., analysis.Results],
) -> None:
    arms = {name: {"overrides": {"sparsity.method": name}} for name in ("gmp", "acdc")}
    frame = analysis.sparsity_curve(
        results(by_hand, arms=arms, sweep={"sparsity.target": [0, 0.9]}), by=None
    ).frame()
    assert list(frame["arm"]) == ["gmp", "gmp", "acdc", "acdc"]
    assert list(frame["sparsity"]) == [0, 0.9, 0, 0.9]
    assert list(frame["df"]) == [1, 1, 1, 1]


def test_arms_vary_alike_only_where_that_is_said(results: Callable[..., analysis.Results]) -> None:
    def accuracy(spec: TrialSpec) -> float:
        return 0.8 + {"gmp": 0.02, "acdc": 0.1}.get(spec.sparsity.method, 0.01) * (spec.seed - 1000)

    arms = {name: {"overrides": {"sparsity.method": name}} for name in ("gmp", "acdc")}
    found = results(accuracy, arms=arms, sweep={"sparsity.target": [0, 0.9]})
    curve = analysis.sparsity_curve(found, by=None)
    assert list(curve.frame()["pooled_sd"][1::2]) == pytest.approx([0.02 / 2**0.5, 0.1 / 2**0.5])
    assert "taken to have one spread" not in curve.note()
    alike = analysis.sparsity_curve(found, by=None, like=["sparsity"])
    assert list(alike.frame()["pooled_sd"][1::2]) == pytest.approx(
        [np.sqrt((0.02**2 + 0.1**2) / 4)] * 2
    )
    said = "Networks of one sparsity are taken to have one spread over seeds (1 to 2 degrees of"
    assert said in alike.note()


def test_a_diverged_report_seed_leaves_no_mean(results: Callable[..., analysis.Results]) -> None:
    def outcome(cell: str, role: str, seed: int) -> str:
        return (
            "DIVERGED"
            if cell.startswith("gmp") and role == "report" and seed == 1000
            else "COMPLETE"
        )

    curve = analysis.sparsity_curve(results(by_hand, outcome))
    assert curve.frame()["mean"].isna().tolist() == [False, True, False, True]
    assert list(curve.frame()["diverged"]) == [0, 1, 0, 1]
    assert "diverged" in curve.note()


def test_names_and_mixed_cells_are_refused(results: Callable[..., analysis.Results]) -> None:
    found = results(by_hand)
    with pytest.raises(
        SparsetuneError, match=r"`y` must be one of lr, .*test_accuracy.*, got `accuracy`"
    ):
        analysis.sparsity_curve(found, "accuracy")
    with pytest.raises(SparsetuneError, match=r"must be one of .*optim\.lr.*, got `lr`"):
        analysis.sparsity_curve(found, by="lr")
    with pytest.raises(
        SparsetuneError, match="must be one cell, got `dense/epoch_multiplier=1`, `dense/epoch_mult"
    ):
        analysis.sparsity_curve(found, by=None)
    only = analysis.sparsity_curve(found, by=None, where={"schedule.epoch_multiplier": 2}).frame()
    assert list(only["mean"]) == pytest.approx([0.96, 0.87])


def test_plot_draws_the_frame(results: Callable[..., analysis.Results]) -> None:
    curve = analysis.sparsity_curve(results(by_hand))
    (axis,) = curve.plot().axes
    drawn = [container.lines[0].get_xydata() for container in axis.containers]
    assert [line[:, 1].tolist() for line in drawn] == [
        pytest.approx([91, 82]),
        pytest.approx([96, 87]),
    ]
    assert drawn[0][:, 0].tolist() == pytest.approx([0, np.log(10)])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["90\n10", "0\n100"]
    assert axis.get_ylabel() == "Test accuracy (%)"
    other = matplotlib.figure.Figure().subplots()
    assert curve.plot(other) is other.figure


def test_extension_gain_by_hand(results: Callable[..., analysis.Results]) -> None:
    def accuracy(spec: TrialSpec) -> float:
        multiplier = spec.schedule.epoch_multiplier
        odd = 0.01 * (spec.seed - 1000)
        if spec.sparsity.target == 0:
            return {1: 0.90, 2: 0.949, 4: 0.95}[int(multiplier)] + odd
        return {1: 0.70, 2: 0.80, 4: 0.86}[int(multiplier)] + odd * multiplier

    sweep = {"sparsity.target": [0, 0.9], "schedule.epoch_multiplier": [1, 2, 4]}
    frame = analysis.extension_gain(results(accuracy, sweep=sweep))
    assert list(frame["from_epochs"]) == [4, 8]
    assert list(frame["to_epochs"]) == [8, 16]
    assert list(frame["claimed"]) == [False, True]
    # seed 1000: 0.060 - 0.001; seed 1001: 0.080 - 0.001; from 4 to 8 epochs 0.100 - 0.049 and
    # 0.110 - 0.049
    assert list(frame["gain"]) == pytest.approx([0.056, 0.069])
    assert list(frame["sparse_gain"]) == pytest.approx([0.105, 0.07])
    assert list(frame["dense_gain"]) == pytest.approx([0.049, 0.001])
    pooled = np.sqrt((0.01**2 / 2 + 0.02**2 / 2) / 2)
    assert list(frame["pooled_sd"]) == pytest.approx([pooled] * 2)
    # two steps share 8 epochs: df = 2 * 4 / 5; t(0.975, 1.6) = 5.517
    assert list(frame["df"]) == pytest.approx([1.6] * 2)
    assert frame["high"][1] == pytest.approx(0.069 + 5.517 * pooled / 2**0.5, rel=1e-3)
    none = analysis.extension_gain(results(accuracy, sweep=sweep), tolerance=0.0)
    assert not none["claimed"].any()


def test_a_gap_is_the_winner_minus_its_twin_by_seed(
    results: Callable[..., analysis.Results],
) -> None:
    found = results(by_hand)
    curve = analysis.sparsity_curve(found, gap="twin")
    frame = curve.frame()
    plain = analysis.sparsity_curve(found).frame().iloc[1::2]
    assert list(frame["sparsity"]) == [0.9, 0.9]
    assert list(frame["mean"]) == list(frame["difference"]) == pytest.approx([-0.09, -0.09])
    for mine, other in (
        ("low", "difference_low"),
        ("high", "difference_high"),
        ("df", "difference_df"),
    ):
        assert list(frame[mine]) == pytest.approx(list(plain[other]))
    said = "Shown is each network minus its dense twin, seed by seed. Marks are means over 2 seeds."
    assert curve.note().startswith(said)
    axis = curve.plot().axes[0]
    assert (
        axis.get_ylabel() == "Test accuracy minus dense network\nof same recipe and seed\n(points)"
    )
    assert [line.get_ydata()[0] for line in axis.containers[0].lines[:1]] == pytest.approx([-9])
    with pytest.raises(
        SparsetuneError, match="`gap` must be one of twin, control or None, got `dense`"
    ):
        analysis.sparsity_curve(found, gap="dense")  # type: ignore[arg-type]


def test_a_gap_to_the_control_is_what_retuning_gained(small: Path) -> None:
    found = analysis.load(small)
    curve = analysis.sparsity_curve(found, gap="control", like=())
    expected = analysis.retuning_gain(found).set_index(
        ["sparsity.target", "schedule.epoch_multiplier"]
    )
    assert len(curve.frame()) == len(expected) > 0
    for row in curve.frame().to_dict("records"):
        gained = expected.loc[(row["sparsity"], row["schedule.epoch_multiplier"])]
        assert [row[name] for name in ("mean", "n", "low")] == pytest.approx(
            [gained[g] for g in ("gain", "n", "low")]
        )


def test_differences_that_n_does_not_show_are_named(
    results: Callable[..., analysis.Results],
) -> None:
    def accuracy(spec: TrialSpec) -> float:
        sparse = spec.sparsity.target > 0
        return (
            0.9
            - (0.01 * spec.schedule.epoch_multiplier if sparse else 0)
            + 0.01 * (spec.seed == 1001) * sparse
        )

    # differences -0.01, 0 and -0.02, -0.01: sd 0.0070711 pooled, df 2
    curve = analysis.sparsity_curve(results(accuracy))
    frame = curve.frame()
    assert frame["more_seeds"].isna().tolist() == [True, False, True, False]
    # 0.70711 of the sd: t(0.975, 9) / sqrt(9) = 0.7541, t(0.975, 10) / sqrt(10) = 0.7046
    # 2.12132 of it: t(0.975, 2) / sqrt(2) = 3.04, t(0.975, 3) / sqrt(3) = 1.84
    assert list(frame["more_seeds"].dropna()) == [8, 1]
    assert curve.note().endswith(
        " It is not settled whether GMP at 90 % (1x training) differs from the dense twin."
        " It is not settled whether GMP at 90 % (2x training) differs from the dense twin."
    )
    assert "not settled" not in analysis.sparsity_curve(results(by_hand), level=0.5).note()


def test_from_ten_seeds_on_a_bootstrap_whose_seed_matters(
    results: Callable[..., analysis.Results],
) -> None:
    def accuracy(spec: TrialSpec) -> float:
        return 0.8 + 0.01 * np.random.default_rng(spec.seed).exponential()

    found = results(accuracy, report_seeds=10, sweep={"sparsity.target": [0, 0.9]})
    curve = analysis.sparsity_curve(found, by=None)
    assert set(curve.frame()["interval"]) == {"bootstrap"} and curve.frame()["iqm"].notna().all()
    assert "Bars are 95 % bootstrap intervals over seeds" in curve.note()
    other = analysis.sparsity_curve(found, by=None, seed=1)
    assert not other.frame()["low"].equals(curve.frame()["low"])
    assert analysis.sparsity_curve(found, by=None).frame().equals(curve.frame())


def test_cost_is_the_mean_over_report_seeds(results: Callable[..., analysis.Results]) -> None:
    found = results(by_hand)
    frame = cost_curve(found).frame()
    # the simulation's steps cost 1 - sparsity / 2 of a dense epoch, and half a second
    assert list(frame["sparsity.target"]) == [0, 0, 0.9, 0.9]
    assert list(frame["train_flops"]) == pytest.approx([4, 8, 2.2, 4.4])
    assert list(frame["mean"]) == pytest.approx([0.91, 0.96, 0.82, 0.87])
    hours = cost_curve(found, x="gpu_hours")
    assert list(hours.frame()["gpu_hours"]) == pytest.approx([2 / 3600, 4 / 3600] * 2)
    assert hours.plot().axes[0].get_xlabel() == "Time of a trial on its device (hours)"
    with pytest.raises(
        SparsetuneError, match="`x` must be one of train_flops, gpu_hours, got `epochs`"
    ):
        cost_curve(found, x="epochs")  # type: ignore[arg-type]


def test_sparsity_lies_on_three_axes(results: Callable[..., analysis.Results]) -> None:
    curve = analysis.sparsity_curve(
        results(by_hand, sweep={"sparsity.target": [0, 0.5, 0.9]}), by=None
    )
    positions = {}
    for axis in SPARSITY_AXES:
        (panel,) = curve.plot(axis=axis).axes
        positions[axis] = panel.containers[0].lines[0].get_xdata().tolist()
        # On the axis of log density, the weights left stand below.
        ticks = {label.get_text().partition("\n")[0] for label in panel.get_xticklabels()}
        assert ticks == {"0", "50", "90"}
    assert positions["linear"] == pytest.approx([0, 0.5, 0.9])
    assert positions["density"] == pytest.approx([0, np.log(2), np.log(10)])
    assert positions["logit"] == pytest.approx([-0.5, 0, np.log(9)])
    with pytest.raises(
        SparsetuneError, match="`axis` must be one of density, linear, logit, got `log`"
    ):
        curve.plot(axis="log")


def test_exhibits_show_what_was_measured_and_nothing_else(
    results: Callable[..., analysis.Results], small: Path
) -> None:
    names = [exhibit.name for exhibit in curve_exhibits(results(by_hand), "test_accuracy")]
    assert names[:4] == [
        *("test_accuracy-sparsity", "test_accuracy-twin-sparsity", "test_accuracy-epochs"),
        "test_accuracy-train_flops",  # and no hours: its trials take seconds
    ]
    assert "test_accuracy-control-sparsity" in [
        e.name for e in curve_exhibits(analysis.load(small), "test_accuracy")
    ]


def test_the_test_loss_is_shown_where_there_is_no_accuracy() -> None:
    values = {"test_loss": [0.3, 0.4], "val_loss": [0.3, 0.4]}
    alone = [
        exhibit.name
        for exhibit in curve_exhibits(ResultsBuilder().report("a", values), "test_accuracy")
    ]
    assert "test_loss-epochs" in alone and "val_loss-epochs" in alone
    beside = [
        e.name
        for e in curve_exhibits(
            ResultsBuilder().report("a", {**values, "test_accuracy": [0.9, 0.8]}), "test_accuracy"
        )
    ]
    assert "test_loss-epochs" not in beside and "test_accuracy-epochs" in beside


@pytest.mark.parametrize(
    ("seconds", "shown"), [(59, ["train_flops"]), (61, ["train_flops", "gpu_hours"])]
)
def test_hours_are_shown_of_trainings_that_last(seconds: float, shown: list[str]) -> None:
    made = ResultsBuilder().report(
        "a", {"test_accuracy": [0.9, 0.8], "seconds": seconds, "train_flops": 4.0}, target=0.9
    )
    assert displayed_costs(made) == shown


def test_a_study_of_which_nothing_has_finished_shows_nothing(
    results: Callable[..., analysis.Results],
) -> None:
    waiting = results(by_hand, lambda cell, role, seed: "WAITING")
    assert not list(curve_exhibits(waiting, "test_accuracy"))
