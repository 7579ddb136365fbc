from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest

from analysis.estimates.intervals import BOOTSTRAP_FROM
from analysis.lengths.exhibits import needed_exhibits, verdict_exhibits
from analysis.lengths.extension import extension_gain
from analysis.lengths.needed import epochs_needed
from analysis.lengths.steps import length_gains
from analysis.lengths.verdicts import Undertraining, undertraining
from analysis.measure import Measure
from analysis.testing import report_results
from sparsetune.errors import SparsetuneError

matplotlib.use("Agg")
Rows = Iterable[Mapping[str, Any]]
NOISE = np.array([-0.0005, 0.0, 0.0005])


def line(
    scores: Mapping[int, Any],
    losses: Mapping[int, Any] | None = None,
    arm: str = "gmp",
    sparsity: float = 0.9,
) -> Rows:
    """One trial per length and seed; a score for all seeds gets the noise of three."""
    for epochs, given in scores.items():
        noise = NOISE * (
            1 + epochs / 1000
        )  # seeds differ in what they gain too, or nothing has an interval
        values = np.atleast_1d(given) if np.ndim(given) else given + noise
        spent = {8: 0.5, 16: 0.4, 32: 0.3, 64: 0.2}[epochs] if losses is None else losses[epochs]
        for seed, value in enumerate(values):
            yield {
                "arm": arm,
                "sparsity": sparsity,
                "epochs": epochs,
                "seed": seed,
                "val_score": value,
            } | {"train_loss": (spent[seed] if np.ndim(spent) else spent + noise[seed % 3])}


def judged(rows: Rows, **options: Any) -> list[str]:
    return list(undertraining(report_results(rows), **options).frame()["verdict"])


def test_a_longer_training_that_gains_shows_under_training_and_one_that_does_not_shows_none() -> (
    None
):
    found = undertraining(report_results(line({8: 0.80, 16: 0.85, 32: 0.8505}))).frame()
    assert list(found["verdict"]) == ["under-trained", "enough", "not settled"]
    assert found["reason"][2] == "nothing longer was run"
    assert list(found["to_epochs"])[:2] == [16, 32]
    assert "+5.00" in found["reason"][0] and "training loss -0.100" in found["reason"][0]


def test_a_network_at_its_capacity_limit_has_had_enough_whatever_its_loss() -> None:
    rows = [
        *line({8: 0.6, 16: 0.6}, {8: 2.0, 16: 1.9}),
        *line({8: 0.9, 16: 0.9}, {8: 0.1, 16: 0.1}, "dense", 0.0),
    ]
    found = undertraining(report_results(rows)).frame()
    assert list(found["verdict"]) == ["enough", "not settled"] * 2
    assert list(found["train_loss_gap"])[:2] == pytest.approx([1.9, 1.8])
    assert found["train_loss_gap"][2:].isna().all()


def test_under_training_takes_a_lower_training_loss() -> None:
    scores = {8: 0.80, 16: 0.85}
    assert judged(line(scores, {8: 0.5, 16: 0.4})) == ["under-trained", "not settled"]
    for losses in ({8: 0.4, 16: 0.5}, {8: 0.4, 16: [0.3, 0.4, 0.45]}):
        found = undertraining(report_results(line(scores, losses))).frame()
        assert found["verdict"][0] == "not settled"
        assert "not shown to fall" in found["reason"][0]
    unmeasured = [{**row, "train_loss": np.nan} for row in line(scores)]
    assert judged(unmeasured) == ["not settled"] * 2


def test_a_gain_must_exceed_epsilon_and_be_told_from_chance() -> None:
    # The gain of 0.15 points has an interval of 0.148 to 0.152, wholly below 0.2.
    assert judged(line({8: 0.8, 16: 0.8015})) == ["enough", "not settled"]
    assert judged(line({8: 0.8, 16: 0.8015}), epsilon=0.001) == ["under-trained", "not settled"]
    vague = undertraining(report_results(line({8: 0.8, 16: [0.79, 0.82, 0.83]}))).frame()
    assert vague["verdict"][0] == "not settled"
    # gains -0.0095, 0.02, 0.0295: mean / sd = 0.6558;
    # t(0.975, 11) / sqrt(12) = 0.6354, t(10) / sqrt(11) = 0.6718
    assert vague["more_seeds"][0] == 9
    assert vague["reason"][0] == "+1.33 [-3.72, +6.38] points by 16 epochs, 3 seeds"


def test_validation_that_worsens_is_over_training() -> None:
    assert judged(line({8: 0.85, 16: 0.84})) == ["over-trained", "not settled"]
    assert judged(line({8: 0.85, 16: [0.83, 0.84, 0.86]})) == ["not settled"] * 2


def test_enough_is_said_only_where_no_larger_gain_than_the_margin_is_left_open() -> None:
    # Both gain nothing on average: sd 0.01 leaves 2.5 points open, sd 0.0005 leaves 0.13 points.
    wide = line({8: 0.8, 16: [0.79, 0.80, 0.81]})
    narrow = line({8: 0.8, 16: [0.7995, 0.8005, 0.8]})
    assert judged(wide)[0] == "not settled"
    assert judged(narrow)[0] == "enough"
    # The same narrow interval around a gain at the margin leaves more than the margin open.
    assert judged(line({8: 0.8, 16: [0.8015, 0.8025, 0.802]}))[0] == "not settled"


def test_the_interval_by_hand() -> None:
    found = undertraining(
        report_results(line({8: [0.80, 0.81, 0.82], 16: [0.83, 0.84, 0.86]}))
    ).frame()
    # gains 0.03, 0.03, 0.04: sd 0.0057735, t(0.975, 2) = 4.302653
    assert [found["gain"][0], found["gain_sd"][0], found["gain_df"][0]] == pytest.approx(
        [1 / 30, 0.0057735, 2], rel=1e-4
    )
    assert found["gain_low"][0] == pytest.approx(1 / 30 - 4.302653 * 0.0057735 / 3**0.5, rel=1e-4)


def test_the_spread_is_that_beyond_length_and_seed_among_the_nearest_lengths() -> None:
    table = np.random.default_rng(0).normal(size=(5, 4)) * [[9.0], [1], [1], [1], [9]]
    values = pd.DataFrame(table, index=list("abcde"))
    pairs = length_gains(
        [values.index], values, pd.Series([1, 2, 4, 8, 16], index=list("abcde")), 0.95
    ).set_index(["cell", "other"])
    for cells, near in (
        (("a", "b"), [0, 1, 2]),
        (("b", "c"), [0, 1, 2, 3]),
        (("d", "e"), [2, 3, 4]),
    ):
        part = table[near]
        residuals = part - part.mean(axis=1, keepdims=True) - part.mean(axis=0) + part.mean()
        df = (len(near) - 1) * 3
        assert pairs.loc[cells, "df"] == pytest.approx(df)
        assert pairs.loc[cells, "pooled_sd"] == pytest.approx(
            np.sqrt(2 * (residuals**2).sum() / df)
        )


def test_cells_that_share_no_seed_are_compared_by_welch() -> None:
    rows = [
        {**row, "seed": row["seed"] + 10 * (row["epochs"] == 16)}
        for row in line({8: 0.8, 16: 0.85})
    ]
    found = undertraining(report_results(rows)).frame()
    assert found["verdict"][0] == "under-trained"
    # sd 0.0005 times 1.008 and 1.016, nearly equal: df 4, t 2.776445
    assert found["gain_df"][0] == pytest.approx(4, rel=1e-3)
    error = 0.0005 * ((1.008**2 + 1.016**2) / 3) ** 0.5
    assert found["gain_low"][0] == pytest.approx(0.05 - 2.776445 * error, rel=1e-5)


def test_what_cannot_be_told() -> None:
    assert judged(line({8: [0.8], 16: [0.85]})) == ["not settled"] * 2
    assert judged(line({8: 0.8})) == ["not settled"]
    diverged = [
        {**row, "status": "DIVERGED" if row["epochs"] == 16 else "COMPLETE"}
        for row in line({8: 0.8, 16: 0.9, 32: 0.9})
    ]
    found = undertraining(report_results(diverged)).frame()
    assert list(found["epochs"]) == [8, 32]
    assert list(found["to_epochs"])[:1] == [32]


def test_the_column_and_its_direction() -> None:
    errors = [
        {**row, "val_error": 1 - row["val_score"]} for row in line({8: 0.8, 16: 0.85, 32: 0.8})
    ]
    assert undertraining(report_results(errors)).y.column == "val_score"
    only = [{name: value for name, value in row.items() if name != "val_score"} for row in errors]
    found = undertraining(report_results(only))
    assert (found.y.column, list(found.frame()["verdict"])) == (
        "val_error",
        ["under-trained", "over-trained", "not settled"],
    )
    none = [
        {name: value for name, value in row.items() if not name.startswith("val_")}
        for row in errors
    ]
    with pytest.raises(SparsetuneError, match=r"one of val_score, val_accuracy, .*: none has it"):
        undertraining(report_results(none))
    assert not [
        *verdict_exhibits(report_results(none)),
        *needed_exhibits(report_results(none)),
    ]
    with pytest.raises(SparsetuneError, match="`y` must be one of"):
        undertraining(report_results(only), "score")


def test_the_slope_of_the_last_tenth() -> None:
    progress = np.array([0.5, 0.9, 0.95, 1.0])
    ids = [f"gmp/0.9/8/{seed}" for seed in range(3)]
    losses = {
        ids[0]: [9.0, 0.5, 0.49, 0.48],
        ids[1]: [9.0, 0.5, 0.5, 0.5],
        ids[2]: [9.0, 0.5, 0.52, 0.54],
    }
    parts = [
        pd.DataFrame({"trial_id": name, "progress": progress, "val_loss": loss})
        for name, loss in losses.items()
    ]
    given = report_results(
        [{**row, "val_loss": 0.5} for row in line({8: 0.8, 16: 0.8})], pd.concat(parts)
    )
    frame = undertraining(given).frame()
    # -0.02, 0 and 0.04 over the last tenth
    assert frame["slope"][0] == pytest.approx(0.02 / 3)
    assert frame["slope_low"][0] == pytest.approx(
        0.02 / 3 - 4.302653 * np.std([-0.02, 0, 0.04], ddof=1) / 3**0.5
    )
    assert np.isnan(frame["slope"][1])


def verdicts_of_study(means: list[float], random: np.random.Generator) -> set[str]:
    """Verdicts that a study of four arms says of its lengths, with a spread of 0.2 points."""
    rows = []
    for arm in "abcd":
        scores = {
            epochs: mean + random.normal(0, 0.002, size=3)
            for epochs, mean in zip((8, 16, 32, 64), means, strict=True)
        }
        rows += line(scores, arm=arm)
    frame = undertraining(report_results(rows)).frame()
    return set(frame.loc[frame["to_epochs"].notna(), "verdict"])


@pytest.mark.parametrize("studies", [15, pytest.param(500, marks=pytest.mark.slow)])
def test_a_study_with_any_false_verdict_is_as_rare_as_the_level_says(studies: int) -> None:
    random = np.random.default_rng(7)
    most = 0.05 + 2 * (0.05 * 0.95 / studies) ** 0.5
    nothing = [verdicts_of_study([0.8] * 4, random) for _ in range(studies)]
    false = [found & {"under-trained", "over-trained"} for found in nothing]
    assert sum(map(bool, false)) <= most * studies
    at_margin = [0.8, 0.802, 0.804, 0.806]
    found = [verdicts_of_study(at_margin, random) for _ in range(studies)]
    assert sum("enough" in verdicts for verdicts in found) <= most * studies


def test_large_gains_are_found_and_small_spread_shows_that_nothing_is_gained() -> None:
    random = np.random.default_rng(7)
    found = [verdicts_of_study([0.74, 0.76, 0.78, 0.8], random) for _ in range(10)]
    assert found == [{"under-trained"}] * 10
    still = line({8: 0.8 + NOISE / 100, 16: 0.8 - NOISE / 100, 32: 0.8 + NOISE / 90})
    assert judged(still)[:2] == ["enough", "enough"]


def test_from_ten_seeds_on_a_seeded_bootstrap() -> None:
    random = np.random.default_rng(0)
    rows = list(
        line(
            {
                8: 0.8 + random.normal(0, 0.01, BOOTSTRAP_FROM),
                16: 0.81 + random.normal(0, 0.01, BOOTSTRAP_FROM),
            }
        )
    )
    first, again, other = (
        undertraining(report_results(rows), seed=seed).frame()["gain_low"][0] for seed in (0, 0, 1)
    )
    assert first == again != other
    assert (
        epochs_needed(report_results(rows), seed=1)
        .frame()
        .equals(epochs_needed(report_results(rows), seed=1).frame())
    )


def test_the_picture_has_a_tile_for_every_cell_and_dense_in_every_panel() -> None:
    parts = [
        line({8: 0.80, 16: 0.85, 32: 0.84}, arm=arm, sparsity=s)
        for arm, s in (("dense", 0), ("a", 0.9), ("b", 0.95))
    ]
    (exhibit,) = verdict_exhibits(report_results([row for part in parts for row in part]))
    assert exhibit.draw is not None
    figure = exhibit.draw()
    assert [axis.get_title() for axis in figure.axes] == ["a", "b"]
    for axis in figure.axes:
        assert len(axis.patches) == 6
        letters = [text.get_text() for text in axis.texts]
        assert [letters.count(letter) for letter in "UO?"] == [2, 2, 2]
        assert letters.count("+5.0") == letters.count("-1.0") == 2
    assert "(3 seeds)" in exhibit.caption and "Any of the 6 verdicts" in exhibit.caption


def test_one_length_has_no_verdict_to_show() -> None:
    given = report_results(line({8: 0.8}))
    assert not [
        *verdict_exhibits(given),
        *needed_exhibits(given),
    ]


def test_epochs_needed_by_hand() -> None:
    row = (
        epochs_needed(report_results(line({8: 0.8, 16: 0.85, 32: 0.88, 64: 0.8805})))
        .frame()
        .iloc[0]
    )
    assert [row["epochs"], row["low"], row["high"], row["best_epochs"], row["longest"]] == [
        32,
        32,
        32,
        64,
        64,
    ]
    assert (row["needed"], row["verdict"], row["lengths"], row["n"]) == ("32", "settled", 4, 3)
    climbing = (
        epochs_needed(report_results(line({8: 0.8, 16: 0.85, 32: 0.88, 64: 0.9}))).frame().iloc[0]
    )
    assert (climbing["needed"], climbing["verdict"], climbing["high"]) == (
        "at least 64",
        "at least",
        np.inf,
    )
    falling = epochs_needed(report_results(line({8: 0.8, 16: 0.85, 32: 0.84}))).frame().iloc[0]
    assert (falling["needed"], falling["best_epochs"]) == ("16", 16)


def test_noise_widens_what_is_needed() -> None:
    noisy = line({8: 0.80, 16: [0.850, 0.845, 0.852], 32: [0.846, 0.851, 0.853]})
    row = epochs_needed(report_results(noisy)).frame().iloc[0]
    assert (row["epochs"], row["low"], row["high"]) == (16, 16, np.inf)
    assert (row["needed"], row["verdict"]) == ("not settled (16 may do, 32 may not)", "not settled")
    looser = epochs_needed(
        report_results(list(line({8: 0.80, 16: [0.850, 0.845, 0.852], 32: [0.846, 0.851, 0.853]}))),
        epsilon=0.02,
    )
    assert looser.frame()["needed"][0] == "16"


def test_one_seed_claims_nothing() -> None:
    found = epochs_needed(report_results(line({8: [0.8], 16: [0.9]})))
    row = found.frame().iloc[0]
    assert (row["needed"], row["verdict"], np.isnan(row["low"])) == (
        "not settled (no interval)",
        "not settled",
        True,
    )
    assert "no interval" in found.note() and "triangle" not in found.note()
    (axis,) = found.plot().axes
    hollow = [
        mark
        for mark in axis.get_lines()
        if mark.get_markerfacecolor() == "white" and len(mark.get_xdata())
    ]
    assert len(hollow) == 1
    same = epochs_needed(report_results(line({8: [0.9], 16: [0.9]}))).frame()
    assert same["needed"][0] == "not settled (no interval)"
    assert "no interval" not in epochs_needed(report_results(line({8: 0.8, 16: 0.9}))).note()


def test_a_length_that_lacks_its_easiest_seed_loses_nothing() -> None:
    easy = np.array([0.0, 0.0, 0.03])  # what the third seed has beyond the others
    same = {8: 0.80 + NOISE + easy, 16: 0.80 + NOISE + easy, 32: 0.80 + NOISE + easy}
    whole = epochs_needed(report_results(line(same))).frame().iloc[0]
    rows = [row for row in line(same) if (row["epochs"], row["seed"]) != (8, 2)]
    lacking = epochs_needed(report_results(rows)).frame().iloc[0]
    assert (whole["epochs"], whole["best_epochs"], whole["n"]) == (8, 8, 3)
    assert (lacking["epochs"], lacking["best_epochs"], lacking["n"]) == (8, 8, 2)
    apart = [
        row | {"seed": row["seed"] + row["epochs"]} for row in line({8: 0.8, 16: 0.85})
    ]  # no seed in common
    assert epochs_needed(report_results(apart)).frame()["epochs"][0] == 16


def test_equal_gains_leave_no_interval_and_say_so() -> None:
    found = undertraining(report_results(line({8: 0.8 + NOISE, 16: 0.85 + NOISE}))).frame()
    assert found["reason"][0] == "no interval: all 3 report seeds gained the same"
    alone = undertraining(report_results(line({8: [0.8], 16: [0.85]}))).frame()
    assert alone["reason"][0] == "no interval: no two report seeds"


def test_nothing_to_draw_is_said() -> None:
    for draw in (
        epochs_needed(report_results(line({8: 0.8}))).plot,
        Undertraining(Measure.by_name("val_score"), 0.002, pd.DataFrame()).plot,
    ):
        with pytest.raises(SparsetuneError, match="there is nothing to draw: no cell has"):
            draw()


def score_only(
    dense: Mapping[int, Any], sparse: Mapping[int, Any], y: str, sign: int = 1
) -> pd.DataFrame:
    rows = [*line(dense, arm="dense", sparsity=0.0), *line(sparse)]
    return extension_gain(report_results({**row, y: sign * row["val_score"]} for row in rows), y)


@pytest.mark.parametrize(("y", "sign"), [("test_score", 1), ("test_loss", -1)])
def test_extension_gain_starts_by_y_where_no_accuracy_was_measured(y: str, sign: int) -> None:
    dense = {8: 0.80, 16: 0.899, 32: 0.90}
    sparse = {8: 0.70, 16: 0.80, 32: 0.86}
    found = score_only(dense, sparse, y, sign)
    assert found[["from_epochs", "to_epochs", "claimed"]].to_numpy().tolist() == [
        [8, 16, False],
        [16, 32, True],
    ]
    assert list(found["gain"]) == pytest.approx(
        [sign * 0.001, sign * 0.059]
    )  # 0.1 - 0.099 and 0.06 - 0.001


def test_extension_gain_starts_by_accuracy_where_there_is_one() -> None:
    rows = [*line({8: 0.8, 16: 0.9}, arm="dense", sparsity=0.0), *line({8: 0.7, 16: 0.8})]
    rows = [{**row, "test_score": row["val_score"], "test_accuracy": 0.9} for row in rows]
    assert extension_gain(report_results(rows), "test_score")["claimed"].tolist() == [
        True
    ]  # by score it would be False


def test_the_curve_of_epochs_needed_marks_what_is_not_settled_and_what_has_no_end() -> None:
    rows = [
        *line({8: 0.8, 16: 0.9, 32: 0.9}, arm="dense", sparsity=0.0),
        *line({8: 0.6, 16: 0.7, 32: 0.8}),
        *line({8: 0.6, 16: 0.7, 32: [0.69, 0.70, 0.74]}, sparsity=0.95),
    ]
    (exhibit,) = needed_exhibits(report_results(rows))
    assert exhibit.draw is not None
    (axis,) = exhibit.draw().axes
    lines = [line_.get_ydata().tolist() for line_ in axis.get_lines()]
    assert lines[0] == [16, 32, 32]
    hollow = [
        line_.get_ydata().tolist()
        for line_ in axis.get_lines()
        if line_.get_markerfacecolor() == "white"
    ]
    # Of 95 % only the longest has the best mean, and nothing shows that 16 epochs are too few.
    assert hollow == [[32]]
    triangles = [line_ for line_ in axis.get_lines() if line_.get_marker() == "^"]
    assert [len(line_.get_xdata()) for line_ in triangles] == [2]
    assert "Hollow marks are not settled" in exhibit.caption


def test_two_cells_of_one_length_are_refused() -> None:
    rows = [*line({8: 0.8, 16: 0.9})]
    given = report_results(rows)
    given = given.replace(trials=given.trials().assign(**{"schedule.epochs": 8}))
    with pytest.raises(
        SparsetuneError,
        match=r"each length of a line must be one cell, got `gmp/0.9/8`, .* give `where`",
    ):
        undertraining(given)
