"""Columns of one's own, names of two meanings, units, lengths and means: each with its twin."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analysis
from analysis.checks import checks
from analysis.curves.curve import length_curve, sparsity_curve
from analysis.lengths.verdicts import undertraining
from analysis.ramps.atlas import ramp_atlas
from analysis.recipes.importance.importance import importance
from analysis.tables.foreign import TableResults, load_table
from analysis.tables.foreign.columns.known import column_forms, known_columns
from tests.analysis.tables.foreign.loading import refusal, table

RATES = (0.01, 0.03, 0.1, 0.3)


def grid(axis: str, values: Any, seeds: Any = (0,), **more: Any) -> pd.DataFrame:
    """Two sparsities crossed with the values of a column and with seeds."""
    rows = [
        {"sparsity": s, axis: value, "seed": seed, "test_accuracy": 0.9 - s / 10 + place / 100}
        for s, (place, value), seed in itertools.product((0.5, 0.9), enumerate(values), seeds)
    ]
    return pd.DataFrame(rows).assign(**more)


# Names that mean two things


@pytest.mark.parametrize("seeds", ["one", "one each", "none"])
def test_a_rate_that_is_one_number_in_each_run_is_the_searched_one(seeds: str) -> None:
    frame = grid("lr", RATES, val_accuracy=[0.8, 0.9, 0.7, 0.6] * 2)
    frame = {
        "one": frame,
        "one each": frame.assign(seed=range(8)),
        "none": frame.drop(columns="seed"),
    }[seeds]
    read = load_table(frame)
    assert read.cells()["configurations"].tolist() == [4, 4]
    assert read.cells()["optim.lr"].tolist() == [0.03, 0.03]
    points = sparsity_curve(read).frame()
    assert points["n"].tolist() == [1, 1] and points["low"].isna().all()
    row = read.reading.set_index("column").loc["lr"]
    assert (row["taken_as"], row["role"]) == ("optim.lr", "searched")
    assert row["choose"] == "columns={'lr': 'lr'}"
    assert any(note.startswith("`lr`, one number in each run, is read as") for note in read.notes)


def test_a_rate_that_falls_during_a_run_is_the_last_steps() -> None:
    rows = itertools.product(("a", "b"), (1, 2, 3))
    frame = pd.DataFrame(rows, columns=["trial_id", "epoch"]).assign(sparsity=0.9, val_loss=1.0)
    decay = load_table(frame.assign(lr=[0.1, 0.01, 0.001] * 2))
    assert "optim.lr" not in decay.trials() and decay.trials()["lr"].tolist() == [0.001, 0.001]
    assert decay.reading.set_index("column").loc["lr", "taken_as"] == "lr"
    constant = load_table(frame.assign(lr=[0.1] * 3 + [0.2] * 3))
    assert constant.trials()["optim.lr"].tolist() == [0.1, 0.2]


def test_histories_without_ids_that_only_their_rate_tells_apart_are_several_runs() -> None:
    rows = itertools.product((0.1, 0.2), (1, 2))
    frame = pd.DataFrame(rows, columns=["lr", "epoch"])
    frame = frame.assign(sparsity=0.9, seed=0, val_loss=[4, 3, 2, 1])
    assert load_table(frame).trials()["optim.lr"].tolist() == [0.1, 0.2]


def test_who_calls_it_the_last_steps_rate_is_told_that_recipes_differ_in_it() -> None:
    frame = grid("rate", RATES)
    assert "ignore=['rate']" in refusal(frame, {"lr": "rate"})
    steady = frame.assign(rate=0.1, seed=range(8))
    assert load_table(steady, {"lr": "rate"}).trials()["lr"].eq(0.1).all()
    assert load_table(frame, {"optim.lr": "rate"}).design.search == ("optim.lr",)


@pytest.mark.parametrize(
    ("epochs", "is_open"),
    [([100, 200], True), ([1, 2, 4], True), ([1, 2, 3], False), ([0, 1, 2], False)],
)
def test_few_epochs_may_be_evaluations_or_lengths(epochs: list[int], is_open: bool) -> None:
    frame = grid("epoch", epochs, seeds=(0, 1)).rename(columns={"sparsity": "sparsity.target"})
    if not is_open:
        assert len(load_table(frame).trials()) == 4
        return
    message = refusal(frame)
    assert "columns={'epoch': 'epoch'}" in message
    lengths = load_table(frame, {"schedule.epochs": "epoch"})
    assert len(lengths.trials()) == len(frame) and len(lengths.cells()) == 2 * len(epochs)
    assert len(load_table(frame, {"epoch": "epoch"}).trials()) == 4


def test_epochs_of_runs_with_ids_are_open_unless_a_schedule_is_given() -> None:
    frame = grid("epoch", [50, 100]).assign(trial_id=list("abcd"))
    assert "may be that of an evaluation or the length of a run" in refusal(frame)
    known = load_table(frame.assign(seed=range(4), **{"schedule.epochs": 100}))
    assert known.trials()["status"].tolist() == ["PRUNED", "COMPLETE"] * 2


# Columns of one's own


@pytest.mark.parametrize("name", ["lam", "bits", "my.axis", 7])
def test_any_column_may_be_searched(name: Any) -> None:
    frame = grid("lam", RATES, seeds=(17,)).rename(columns={"lam": name})
    read = load_table(frame, search=[name])
    assert read.design.search == (f"own.{name}",)
    assert read.cells()["configurations"].tolist() == [4, 4]
    assert read.trials()[f"own.{name}"].tolist() == [*RATES, *RATES]


def test_any_column_may_be_swept_carried_along_or_left_out() -> None:
    frame = grid("widen", ["a", "b"], seeds=(0, 1))
    swept = load_table(frame, sweep=["widen"])
    assert swept.design.sweep == ("sparsity.target", "own.widen") and len(swept.cells()) == 4
    assert sparsity_curve(swept, by="own.widen").frame()["n"].tolist() == [2] * 4
    labelled = load_table(frame.assign(seed=range(8)), label=["widen"])
    assert labelled.trials()["label_widen"].tolist() == ["a", "a", "b", "b"] * 2
    assert len(labelled.cells()) == 2 and sparsity_curve(labelled).frame()["n"].tolist() == [4, 4]
    left = load_table(grid("lr", RATES, seeds=(0,)).assign(seed=range(8)), ignore=["lr"])
    assert "optim.lr" not in left.trials() and left.trials()["lr"].isna().all()
    assert left.reading.set_index("column").loc["lr", "role"] == "left out"


def test_a_length_may_be_searched() -> None:
    frame = grid("schedule.epochs", [10, 20])
    assert len(load_table(frame).cells()) == 4
    assert load_table(frame, search=["schedule.epochs"]).cells()["configurations"].tolist() == [
        2,
        2,
    ]


def test_all_faults_of_choices_come_at_once() -> None:
    frame = grid("lam", RATES)
    message = refusal(
        frame,
        {"val_loss": "lam"},
        search=["lamb", "sparsity", "test_accuracy"],
        sweep=["test_accuracy"],
        ignore=["lam"],
    )
    for said in (
        "`search` takes fields that the table gives: `sparsity`, `lam`, `seed`, `test_accuracy`",
        "the sparsity is crossed, never searched",
        "this one is taken as `test_accuracy`",
        "it is in `search`",
        "cannot be in `ignore`",
    ):
        assert said in message
    assert "must be a list of columns, got `lam`" in refusal(frame, search="lam")


@pytest.mark.parametrize(
    ("column", "values", "is_recipe"),
    [
        ("lam", RATES, True),  # by its name
        ("config/foo", [0.1, 0.2], True),  # by the tool that wrote it
        ("frob", [1, 2], True),  # by its values, which both sparsities share
        ("frob", [0.311, 0.742], False),  # each once: a measurement
        ("host", ["a", "b"], False),
        ("wall_time", [1, 2], False),
    ],
)
@pytest.mark.parametrize("seeded", [True, False])
def test_what_tells_recipes_apart_must_be_named(
    column: str, values: list[Any], is_recipe: bool, seeded: bool
) -> None:
    frame = grid(column, values)
    frame = frame.assign(seed=range(len(frame))) if seeded else frame.drop(columns="seed")
    if column == "frob" and not is_recipe:
        frame[column] = np.linspace(0.3, 0.9, len(frame))
    if is_recipe:
        assert f"runs of one recipe differ in `{column}`: say search=['{column}']" in refusal(frame)
        assert load_table(frame, search=[column]).cells()["configurations"].tolist() == [
            len(values),
            len(values),
        ]
    else:
        assert load_table(frame).cells()["configurations"].tolist() == [1, 1]


def test_one_seed_twice_names_what_was_not_taken_and_never_advises_to_drop_the_seed() -> None:
    message = refusal(grid("host", ["a", "b"]))
    assert "not taken are `host`" in message and "no seed" not in message


# Configurations are no seeds


def test_configurations_of_which_none_was_chosen_have_a_spread_and_no_interval() -> None:
    read = load_table(grid("optim.lr", RATES).drop(columns="seed"))
    curve = sparsity_curve(read)
    points = curve.frame()
    assert points[["n", "configurations"]].to_numpy().tolist() == [[4, 4], [4, 4]]
    assert points["mean"].round(6).tolist() == [0.865, 0.825]
    assert points[["spread_low", "spread_high"]].round(6).to_numpy().tolist() == [
        [0.85, 0.88],
        [0.81, 0.84],
    ]
    assert points[["sd", "low", "high", "iqm"]].isna().all(axis=None)
    assert points["interval"].eq("").all()
    assert "4 configurations, which are no repetitions: they have no interval" in curve.note()
    assert "t intervals" not in curve.note()
    dotted = [line for line in curve.plot().axes[0].lines if line.get_linestyle() == ":"]
    assert [line.get_ydata() for line in dotted] == [
        pytest.approx([85, 88]),
        pytest.approx([81, 84]),
    ]
    found = checks(read)
    assert "SPT035" in set(found["code"]) and "SPT003" not in set(found["code"])
    seeds = load_table(grid("optim.lr", [0.1], seeds=(0, 1, 2)))
    assert "SPT035" not in set(checks(seeds)["code"])
    assert ":" not in [line.get_linestyle() for line in sparsity_curve(seeds).plot().axes[0].lines]
    assert any(
        "on average over 4 configurations, from 81.0 to 84.0: no interval" in str(answer.summary())
        for answer in analysis.answers(read).answers
    )


def test_neighbours_lend_no_interval_to_a_mean_over_configurations() -> None:
    pooled = grid("optim.lr", RATES).assign(**{"schedule.epochs": 10}, seed=range(8))
    seeds = grid("optim.lr", [0.1], seeds=(0, 1, 2)).assign(**{"schedule.epochs": 20})
    seeds["test_accuracy"] += 0.001 * seeds["seed"]
    points = length_curve(load_table(pd.concat([pooled, seeds], ignore_index=True))).frame()
    by_length = points.set_index("epochs")
    assert by_length.loc[10, "low"].isna().all() and by_length.loc[20, "low"].notna().all()
    assert by_length.loc[20, "configurations"].tolist() == [1, 1]


@given(
    st.integers(2, 6), st.integers(1, 3), st.lists(st.floats(0.1, 0.9), min_size=18, max_size=18)
)
@settings(max_examples=8, deadline=None)
def test_however_many_configurations_there_are_no_interval_is_over_them(
    configurations: int, seeds: int, accuracies: list[float]
) -> None:
    rows = itertools.product(range(configurations), range(seeds))
    frame = pd.DataFrame(rows, columns=["optim.lr", "seed"]).assign(sparsity=0.9)
    frame = frame.assign(test_accuracy=accuracies[: len(frame)])
    points = sparsity_curve(load_table(frame)).frame().iloc[0]
    means = frame.groupby("optim.lr")["test_accuracy"].mean()
    assert points["n"] == len(frame) and np.isnan(points["low"])
    np.testing.assert_allclose(
        points[["mean", "spread_low", "spread_high"]].astype(float),
        [frame["test_accuracy"].mean(), means.min(), means.max()],
    )


# Means that are given

MEANS = {"sparsity": [0, 0.9], "mean": [0.931, 0.92], "std": [0.002, 0.003], "num_seeds": [3, 5]}
NAMED = {"test_accuracy": "mean", "test_accuracy_sd": "std", "n": "num_seeds"}


def statistics(read: TableResults) -> list[list[float]]:
    points = sparsity_curve(read).frame()
    return points[["n", "mean", "sd", "low", "high"]].astype(float).round(6).to_numpy().tolist()


# t(2) = 4.302653 and t(4) = 2.776445: half widths 4.302653 * 0.002 / sqrt(3) and so on.
BY_HAND = [[3, 0.931, 0.002, 0.926032, 0.935968], [5, 0.92, 0.003, 0.916275, 0.923725]]


@pytest.mark.parametrize(
    "texts",
    [
        ["93.1 ± 0.2", "92.0 ± 0.3"],
        ["93.1 +/- 0.2", "92 +/-0.3"],
        ["93.1% ± 0.2%", "92 ± 0.3 %"],
        ["93.1 (0.2)", "92.0 (.3)"],
        [r"93.1 \pm 0.2", "92+-0.3"],
    ],
)
def test_means_with_their_spread_in_a_text(texts: list[str]) -> None:
    frame = table(sparsity=[0, 0.9], acc=texts, seeds=[3, 5])
    columns = {"test_accuracy": "acc", "n": "seeds"}
    units = {"test_accuracy": "percent"}
    assert statistics(load_table(frame, columns, units, spread="sd")) == BY_HAND
    assert "spread='sd'" in refusal(frame, columns, units)
    message = refusal(frame.drop(columns="seeds"), {"test_accuracy": "acc"}, units)
    assert "spread='sd'" in message and "runs_per_mean=…" in message
    every = load_table(frame, {"test_accuracy": "acc"}, units, spread="sd", runs_per_mean=3,
                       ignore=["seeds"])  # fmt: skip
    assert [row[0] for row in statistics(every)] == [3, 3]


def test_means_with_their_spread_in_columns() -> None:
    frame = pd.DataFrame(MEANS)
    assert statistics(load_table(frame, NAMED)) == BY_HAND
    percent = frame.assign(mean=frame["mean"] * 100, std=frame["std"] * 100)
    assert statistics(load_table(percent, NAMED, {"test_accuracy": "percent"})) == BY_HAND
    errors = frame.assign(std=frame["std"] / np.sqrt(frame["num_seeds"]))
    named = {"test_accuracy": "mean", "test_accuracy_se": "std", "n": "num_seeds"}
    assert statistics(load_table(errors, named)) == BY_HAND
    message = refusal(frame, {"test_accuracy": "mean"})
    assert "columns={'test_accuracy_sd': 'std'}" in message and "{'n': 'num_seeds'}" in message
    single = load_table(frame, {"test_accuracy": "mean"}, ignore=["std", "num_seeds"])
    assert sparsity_curve(single).frame()["n"].tolist() == [1, 1]


def test_means_differ_from_the_dense_one_unpaired_with_welchs_interval() -> None:
    """0.2 over 3 runs and 0.3 over 5: a variance of 0.04 / 3 + 0.09 / 5, of 5.779 degrees."""
    frame = pd.DataFrame(MEANS)
    curve = sparsity_curve(load_table(frame, NAMED))
    dense, sparse = curve.frame().to_dict("records")
    assert np.isnan(dense["difference"]) and not dense["unpaired"]
    names = ["difference", "difference_low", "difference_high", "difference_df"]
    by_hand = [-0.011, -0.011 - 0.0043717, -0.011 + 0.0043717, 5.77894]
    assert [sparse[name] for name in names] == pytest.approx(by_hand, abs=1e-6)
    assert sparse["unpaired"] and np.isnan(sparse["more_seeds"])
    assert "compared unpaired: differences have Welch's t interval" in curve.note()
    # The interval of the mean itself stays that of its own spread.
    assert statistics(load_table(frame, NAMED)) == BY_HAND

    gap = sparsity_curve(load_table(frame, NAMED), gap="twin")
    (row,) = gap.frame().to_dict("records")
    assert [row[name] for name in ("mean", "low", "high", "df")] == pytest.approx(by_hand, abs=1e-6)
    assert "seed by seed" not in gap.note() and "one spread" not in gap.note()
    # A fifth of a point may be chance.
    close = load_table(frame.assign(mean=[0.931, 0.929]), NAMED)
    assert sparsity_curve(close).frame()["more_seeds"].iloc[1] > 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"num_seeds": [1, 5]}, None),
        ({"std": [np.nan, 0.003]}, np.nan),
        ({"optim.lr": [0.1, 0.2]}, None),
        ({"sparsity.ramp.start": [np.nan, 0.2]}, -0.0154),
    ],
)
def test_only_means_of_one_recipe_with_their_spread_are_compared(
    change: dict[str, Any], expected: float | None
) -> None:
    read = load_table(pd.DataFrame(MEANS).assign(**change), NAMED, select="all")
    row = sparsity_curve(read).frame().iloc[-1]
    assert row["unpaired"] == (expected is not None)
    if expected is None:
        assert np.isnan(row["difference"])
    else:
        assert row["difference"] == pytest.approx(-0.011)
        assert row["difference_low"] == pytest.approx(expected, abs=1e-4, nan_ok=True)


def test_single_runs_are_paired_as_before() -> None:
    frame = table(sparsity=[0, 0, 0.9, 0.9], seed=[0, 1] * 2, test_accuracy=[0.9, 0.92, 0.8, 0.81])
    curve = sparsity_curve(load_table(frame))
    assert curve.frame()["difference"].iloc[1] == pytest.approx(-0.105)
    assert not curve.frame()["unpaired"].any()
    assert "unpaired" not in curve.note()


def test_a_mean_is_no_single_run_for_checks_and_answers() -> None:
    read = load_table(pd.DataFrame(MEANS), NAMED)
    assert "SPT003" not in set(checks(read)["code"])
    said = [str(answer.summary()) for answer in analysis.answers(read).answers]
    assert any("interval 91.63 to 92.37, 5 seeds" in text for text in said)


def test_faults_of_means() -> None:
    frame = pd.DataFrame(MEANS)
    assert "needs the number of runs" in refusal(
        frame, {"test_accuracy": "mean", "test_accuracy_sd": "std"}, ignore=["num_seeds"]
    )
    other = frame.assign(mean=frame["mean"] - 0.001)
    twice = pd.concat([frame, other], ignore_index=True)
    assert "a configuration has one mean" in refusal(twice, NAMED)
    assert "must hold numbers in [0, inf]" in refusal(frame.assign(std=-0.1), NAMED)
    assert "must be `sd`" in refusal(frame, NAMED, spread="sem")
    assert "at least 1" in refusal(frame, NAMED, runs_per_mean=0)
    # Digits alone in brackets may be those of the last places.
    assert "must hold numbers, got `93.12(4)`" in refusal(
        table(sparsity=[0.9], test_accuracy=["93.12(4)"])
    )


# Units and lengths


@pytest.mark.parametrize(
    ("name", "given", "unit", "expected"),
    [
        ("kept", ["61.5%", "10%"], "density", [0.385, 0.9]),
        ("kept", [61.5, 10], "density_percent", [0.385, 0.9]),
        ("kept", [0.615, 0.1], "kept", [0.385, 0.9]),
        ("pruned", ["38.5%", "90%"], "pruned", [0.385, 0.9]),
        ("pruned", [38.5, 90], "pruned_percent", [0.385, 0.9]),
        ("sparsity_pct", [0.0139, 90], "percent", [0.000139, 0.9]),
        ("compression", [2, 10], "compression_ratio", [0.5, 0.9]),
    ],
)
def test_a_sparsity_in_any_unit(name: str, given: Any, unit: Any, expected: Any) -> None:
    frame = pd.DataFrame({name: given, "test_accuracy": [0.9, 0.8]})
    read = load_table(frame, {"sparsity": name}, {"sparsity": unit})
    assert read.trials()["sparsity.target"].tolist() == expected


@pytest.mark.parametrize("name", ["kept", "density", "weights_remaining", "compression ratio"])
def test_a_name_that_speaks_of_another_unit_is_asked_about(name: str) -> None:
    frame = pd.DataFrame({name: [0.1, 0.2], "test_accuracy": [0.9, 0.8]})
    assert "its name speaks of" in refusal(frame, {"sparsity": name})
    read = load_table(frame, {"sparsity": name}, {"sparsity": "fraction"})
    assert read.trials()["sparsity.target"].tolist() == [0.1, 0.2]


def test_what_is_missing_is_looked_for_among_what_was_not_taken() -> None:
    message = refusal(table(density=[0.1, 0.2], acc=[0.9, 0.8]))
    assert "`units` takes weights left too ('density'); not taken are `density`, `acc`" in message
    assert "at least one result" in message
    assert "if it is the weights left, give units={'sparsity': 'density'}" in refusal(
        table(sparsity=[1.0, 0.5], val_loss=1.0)
    )


def test_errors_accuracies_and_bits() -> None:
    frame = table(sparsity=[0.9], err=[12.0], acc=[0.9], bpd=[2.0])
    columns = {"test_accuracy": "err", "val_error": "acc", "val_loss": "bpd"}
    units = {"test_accuracy": "error_percent", "val_error": "accuracy", "val_loss": "bits"}
    trials = load_table(frame, columns, units).trials().iloc[0]
    assert trials[["test_accuracy", "val_error"]].tolist() == [0.88, 0.1]
    assert trials["val_loss"] == pytest.approx(2 * np.log(2))
    message = refusal(frame, columns)
    for unit in ("error", "accuracy", "bits"):
        assert f"'{unit}'}} if it is" in message
    assert "only a loss or an entropy can be in bits" in refusal(
        frame, {"test_accuracy": "acc"}, {"test_accuracy": "bits"}
    )


def test_lengths_however_written_are_the_same_numbers() -> None:
    random = np.random.default_rng(0)
    fractions = random.choice([0.1, 0.2, 0.4], 60)
    frame = pd.DataFrame(
        {
            "sparsity": 0.9,
            "task.label_smoothing": random.choice([0.0, 0.05, 0.1], 60),
            "sparsity.ramp.start": fractions,
            "val_loss": 1 + fractions + random.normal(0, 0.1, 60),
        }
    )
    texts = {
        "steps": [f"{100_000 * f:.0f} steps" for f in fractions],
        "epochs": [f"{90 * f:g} epochs" for f in fractions],
        "samples": [f"{1_000_000 * f:.0f} samples" for f in fractions],
        "mixed": [f"{90 * f:g} epochs" if f < 0.3 else str(f) for f in fractions],
    }
    totals = {"steps": 100_000, "epochs": 90, "samples": 1_000_000}
    expected = importance(load_table(frame)).frame()
    for spelling in texts.values():
        read = load_table(frame.assign(**{"sparsity.ramp.start": spelling}), totals=totals)
        np.testing.assert_allclose(read.trials()["sparsity.ramp.start"], fractions)
        pd.testing.assert_frame_equal(importance(read).frame(), expected)
    assert "totals={'epochs': …, 'steps': …}" in refusal(
        frame.assign(**{"sparsity.ramp.start": texts["steps"]})
    )
    odd = ["20k it", *texts["steps"][1:]]
    assert "must hold lengths such as `0.1`, `5 epochs` or `100 steps`, got `20k it`" in refusal(
        frame.assign(**{"sparsity.ramp.start": odd})
    )


def test_a_ramp_in_steps_is_the_same_to_the_atlas() -> None:
    starts = [0.1, 0.2, 0.4] * 4
    frame = pd.DataFrame(
        {
            "sparsity": 0.9,
            "sparsity.ramp.start": starts,
            "sparsity.ramp.length": [0.2] * 6 + [0.4] * 6,
            "seed": [0, 0, 0, 1, 1, 1] * 2,
            "val_accuracy": np.linspace(0.7, 0.8, 12),
        }
    )
    expected = ramp_atlas(load_table(frame)).frame()
    in_steps = {
        name: [f"{100_000 * length:.0f} steps" for length in frame[name]]
        for name in ("sparsity.ramp.start", "sparsity.ramp.length")
    }
    read = load_table(frame.assign(**in_steps), totals={"steps": 100_000})
    pd.testing.assert_frame_equal(ramp_atlas(read).frame(), expected)


def test_a_total_follows_the_length_of_each_run() -> None:
    frame = pd.DataFrame(
        {
            "sparsity": 0.9,
            "schedule.epochs": [90, 180],
            "sparsity.ramp.start": ["1000 steps", "9 epochs"],
            "test_accuracy": 0.9,
        }
    )
    read = load_table(frame, totals={"epochs": 90, "steps": 10_000})
    assert read.trials()["sparsity.ramp.start"].tolist() == [0.1, 0.05]
    assert "must not exceed the whole training" in refusal(
        frame, totals={"epochs": 90, "steps": 500}
    )
    assert "takes epochs, steps, samples" in refusal(frame, totals={"hours": 3})
    assert "a positive number of steps" in refusal(frame, totals={"steps": 0})
    alike = frame.assign(**{"sparsity.ramp.start": "1000 steps"})
    assert load_table(alike).trials()["sparsity.ramp.start"].tolist() == ["1000 steps"] * 2


# Reached sparsities


@pytest.mark.parametrize(
    ("reached", "tolerance", "expected"),
    [
        ([0.8312, 0.8309, 0.8305], 0.001, [0.831] * 3),
        ([0.8997, 0.9004, 0.9501, 0.9498], 0.001, [0.9, 0.9, 0.95, 0.95]),
        ([0.0, 0.0004, 0.5], 0.001, [0.0, 0.0, 0.5]),
        ([0.3 * 3, 0.9, float(np.float32(0.9))], None, [0.9] * 3),
    ],
)
def test_reached_sparsities_are_grouped(
    reached: list[float], tolerance: float | None, expected: list[float]
) -> None:
    for column in ("sparsity", "sparsity.target"):
        frame = pd.DataFrame({column: reached, "val_loss": 1.0})
        read = load_table(frame, tolerance=tolerance)
        assert read.trials()["sparsity.target"].tolist() == expected


def test_a_tolerance_that_leaves_no_gap_is_refused() -> None:
    frame = table(sparsity=np.linspace(0.5, 0.6, 11), val_loss=1.0)
    assert "have no gap wider than 0.01" in refusal(frame, tolerance=0.01)
    assert "must be a fraction such as 0.005" in refusal(frame, tolerance=2)


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=5, unique=True),
    st.lists(st.floats(-0.001, 0.001), min_size=15, max_size=15),
)
@settings(max_examples=8, deadline=None)
def test_noise_within_the_tolerance_changes_no_target(
    percents: list[int], noise: list[float]
) -> None:
    asked = np.repeat(np.array(sorted(percents)) / 100, 3)
    reached = np.clip(asked + noise[: len(asked)], 0, 0.999)
    read = load_table(table(sparsity=reached, val_loss=1.0), tolerance=0.001)
    # Noise may move a group's shortest number, but makes neither one group of two nor two of one.
    assert read.trials()["sparsity.target"].nunique() == len(percents)


# Tables without validation, or with test metrics by epoch


def test_a_choice_on_the_test_set_is_made_if_asked_for_and_found() -> None:
    frame = grid("optim.lr", np.geomspace(0.01, 1, 15).tolist())
    read = load_table(frame, select="test")
    assert read.design.objective == "test_accuracy"
    assert read.cells()["optim.lr"].tolist() == [1.0, 1.0]
    assert "SPT014" in set(checks(read)["code"])
    assert "or `test`, which chooses on the test set" in refusal(frame, select="best")
    assert "Its test values are too good by luck" in read.design.question
    assert not analysis.optima(read).frame().empty
    assert "needs a result on the test set" in refusal(
        table(sparsity=[0.9], val_loss=[1.0]), select="test"
    )


def test_tables_without_validation_are_analysed_under_a_warning() -> None:
    frame = grid("optim.lr", np.geomspace(0.01, 1, 15).tolist())
    frame = pd.concat([frame.assign(**{"schedule.epochs": e}, seed=frame.index) for e in (4, 8)])
    unchosen = load_table(frame)
    found = checks(unchosen).set_index("code").loc["SPT014"]
    assert found["severity"] == "warning" and "are read off test accuracy" in found["message"]
    columns = ["cell", "n", "value", "low", "high", "verdict"]
    ranked = analysis.optima(unchosen).frame()[columns]
    chosen = analysis.optima(load_table(frame, select="test")).frame()[columns]
    assert ranked["value"].notna().all()
    pd.testing.assert_frame_equal(ranked, chosen)
    assert "SPT014" not in set(checks(load_table(frame.assign(val_loss=1.0), select="all"))["code"])
    lengths = grid("schedule.epochs", [4, 8], seeds=(0, 1, 2))
    lengths["test_accuracy"] += 0.001 * lengths["seed"] * lengths["schedule.epochs"]
    judged = undertraining(load_table(lengths))
    assert judged.frame()["gain"].notna().any()
    assert "Judged on the test set, for want of validation" in judged.note()
    validated = load_table(lengths.assign(val_accuracy=lengths["test_accuracy"]))
    assert "Judged on the test set" not in undertraining(validated).note()


def priced(**measures: Any) -> pd.DataFrame:
    """Two arms of equal cost, and a dense network of twice that, on three seeds each."""
    arms = [("gmp", 0.9, 1.0), ("acdc", 0.9, 1.0), ("dense", 0, 2.0)]
    rows = [(*arm, seed) for arm in arms for seed in range(3)]
    frame = pd.DataFrame(rows, columns=["arm", "sparsity", "train_flops", "seed"])
    return frame.assign(**measures)


def test_networks_of_one_cost_are_compared_on_the_test_set_under_a_warning() -> None:
    accuracies = [0.8, 0.81, 0.82, 0.85, 0.86, 0.875, 0.9, 0.91, 0.92]
    read = load_table(priced(test_accuracy=accuracies))
    front = analysis.pareto_front(read)
    assert front.y.column == "test_accuracy"
    assert dict(front.frame()[["arm", "front"]].to_numpy()) == {
        "gmp": False, "acdc": True, "dense": True
    }  # fmt: skip
    equal = analysis.iso_flops(read)
    (pair,) = equal.frame().to_dict("records")
    assert abs(pair["difference"]) == pytest.approx(0.155 / 3)
    assert pair["better"] == "acdc/target=0.9"
    for note in (front.note(), equal.note()):
        assert "Judged on the test set: do not choose a network by it." in note
    (row,) = checks(read).query("code == 'SPT014'").to_dict("records")
    assert row["severity"] == "warning"
    assert "the best networks for a cost are read off test accuracy" in row["message"]
    assert "hyperparameters" not in row["message"]

    for name in ("val_accuracy", "val_loss"):
        judged = load_table(priced(test_accuracy=accuracies, **{name: accuracies}), select="all")
        assert analysis.pareto_front(judged).y.column == name
        assert analysis.iso_flops(judged).y.column == name
        assert "SPT014" not in set(checks(judged)["code"])
        assert "test set" not in analysis.pareto_front(judged).note()
    # Networks of one cost have no front.
    assert "SPT014" not in set(
        checks(load_table(priced(test_accuracy=accuracies, train_flops=1)))["code"]
    )


def test_the_page_of_a_table_without_validation_has_its_front(tmp_path: Path) -> None:
    accuracies = [0.8, 0.81, 0.82, 0.85, 0.86, 0.875, 0.9, 0.91, 0.92]
    page = analysis.report(load_table(priced(test_accuracy=accuracies)), tmp_path).read_text()
    assert "Pareto front of test accuracy, sparsity and training FLOPs" in page
    assert "For want of validation, what is best here is read off the test set" in page


def test_gains_of_longer_training_are_said_where_under_training_cannot_be_judged() -> None:
    frame = pd.DataFrame(
        {
            "sparsity": 0.9,
            "seed": [0, 1, 2] * 2,
            "schedule.epochs": [100] * 3 + [200] * 3,
            "val_accuracy": [0.670, 0.672, 0.671, 0.690, 0.693, 0.690],
        }
    )
    read = load_table(frame, name="gmp")
    said = [
        str(sentence)
        for answer in analysis.answers(read).answers
        for contrast in answer.contrasts
        for sentence in contrast.sentences
    ]
    # Gains of 2.0, 2.1 and 1.9 points: 2 -+ 4.302653 * 0.1 / sqrt(3).
    numbers = "2.00 points, interval 1.75 to 2.25, 3 seeds"
    assert f"Asked after the data: GMP at 90 % gains from longer training than 100 epochs ({numbers})." in said  # fmt: skip  # noqa: E501
    unjudged = "Under-training is not judged: no training loss was measured."
    assert unjudged in said and unjudged in undertraining(read).note()
    judged = load_table(frame.assign(train_loss=1 - frame["val_accuracy"]), name="gmp")
    assert unjudged not in undertraining(judged).note()
    assert undertraining(judged).frame()["verdict"].tolist()[0] == "under-trained"


def test_a_maximum_over_epochs_is_found_by_the_test_curve_that_the_history_keeps() -> None:
    rows = itertools.product(("a", "b"), (1, 2, 3))
    frame = pd.DataFrame(rows, columns=["trial_id", "epoch"]).assign(
        sparsity=0.9, test_acc=[0.5, 0.7, 0.65] * 2
    )
    columns = {"test_accuracy": "final_acc", "epoch_test_accuracy": "test_acc"}
    best = load_table(frame.assign(final_acc=0.7), columns)
    assert best.history()["test_accuracy"].tolist() == [0.5, 0.7, 0.65] * 2
    assert best.trials()["test_accuracy"].tolist() == [0.7, 0.7]
    assert "SPT015" in set(checks(best)["code"])
    last = load_table(frame.assign(final_acc=0.65), columns)
    assert "SPT015" not in set(checks(last)["code"])
    alone = load_table(frame, {"test_accuracy": "test_acc"})
    assert alone.trials()["test_accuracy"].tolist() == [0.65, 0.65]
    assert alone.history()["test_accuracy"].tolist() == [0.5, 0.7, 0.65] * 2


# The account of how a table was read


def test_the_reading_has_a_row_for_every_column() -> None:
    frame = grid("optim.lr", RATES, note="x", val_loss=1.0).rename(columns={"val_loss": "acc"})
    reading = load_table(frame, {"val_accuracy": "acc"}, label=["note"], units={
        "val_accuracy": "fraction"}).reading  # fmt: skip
    assert reading["column"].tolist() == list(frame)
    assert reading["taken_as"].tolist() == [
        "sparsity", "optim.lr", "seed", "test_accuracy", "label_note", "val_accuracy",
    ]  # fmt: skip
    assert reading["role"].tolist() == [
        "sparsity", "searched", "record", "result", "label", "result",
    ]  # fmt: skip
    row = reading.set_index("column").loc["sparsity"]
    assert row[["unit", "choose"]].tolist() == ["fraction", "units={'sparsity': 'density'}"]


def test_names_of_ours_do_not_overlap_with_their_forms() -> None:
    assert not known_columns().keys() & column_forms().keys()
