"""Tables that hold a run in several rows or columns, and tables joined with themselves."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from analysis.curves.curve import sparsity_curve
from analysis.tables.foreign import load_table
from tests.analysis.tables.foreign.loading import refusal

ACCURACIES = {
    (0.0, 0): 0.92,
    (0.0, 1): 0.93,
    (0.0, 2): 0.91,
    (0.9, 0): 0.85,
    (0.9, 1): 0.83,
    (0.9, 2): 0.87,
}
LONG = pd.DataFrame(
    [
        {"sparsity": sparsity, "seed": seed, "acc": value, "loss": 1 - value}
        for (sparsity, seed), value in ACCURACIES.items()
    ]
)
COLUMNS = {"test_accuracy": "acc"}
MEANS = [(0.0, 3, 0.92), (0.9, 3, 0.85)]


def means(frame: pd.DataFrame, columns: Any = None, **arguments: Any) -> list[tuple[float, ...]]:
    """Sparsity, number of runs and mean accuracy of each cell."""
    points = sparsity_curve(load_table(frame, columns, **arguments)).frame()
    rows = points[["sparsity", "n", "mean"]].round(12)
    return [tuple(row) for row in rows.itertuples(index=False)]


# Melted tables


def melted(**names: str) -> pd.DataFrame:
    return LONG.melt(id_vars=["sparsity", "seed"], **names)


@pytest.mark.parametrize("names", [{}, {"var_name": "metric", "value_name": "result"}])
def test_a_melted_table_is_read_by_the_measures_that_are_asked_for(names: dict[str, str]) -> None:
    frame = melted(**names).sample(frac=1, random_state=0)
    assert means(frame, COLUMNS) == means(LONG, COLUMNS) == MEANS
    name = names.get("var_name", "variable")
    note = f"The table is melted, and read with a column for each measure: `{name}` names"
    assert any(one.startswith(note) for one in load_table(frame, COLUMNS).notes)


def test_a_melted_table_with_our_names_needs_no_mapping() -> None:
    renamed = LONG.rename(columns={"acc": "test_accuracy", "loss": "test_loss"})
    assert means(renamed.melt(id_vars=["sparsity", "seed"])) == MEANS


def test_a_melted_table_without_seeds_is_refused_where_runs_cannot_be_told_apart() -> None:
    message = refusal(melted().drop(columns="seed"), COLUMNS)
    assert "several values of `acc` for what seems one run" in message and "`seed`" in message
    # With one run each, nothing is in doubt.
    single = melted().query("seed == 0").drop(columns="seed")
    assert means(single, COLUMNS) == [(0.0, 1, 0.92), (0.9, 1, 0.85)]


def test_a_melted_table_whose_values_may_be_two_columns_is_refused() -> None:
    frame = melted(value_name="result").assign(other=0.25)
    assert "call the column of their values `value`" in refusal(frame, COLUMNS)


def test_a_missing_value_of_a_melted_table_stays_missing() -> None:
    frame = melted()
    is_hole = (frame["variable"] == "acc") & (frame["seed"] == 1) & (frame["sparsity"] == 0.9)
    holed = load_table(frame.assign(value=frame["value"].mask(is_hole)), COLUMNS)
    assert holed.trials()["test_accuracy"].isna().sum() == 1
    assert len(holed.trials()) == 6


def test_a_column_of_texts_is_no_name_of_a_measure_where_the_measure_is_there() -> None:
    assert means(LONG.assign(note="acc"), COLUMNS, label=["note"]) == MEANS


# A column for each seed, or for each sparsity

BY_SEED = LONG.pivot(index="sparsity", columns="seed", values="acc").add_prefix("acc_")
BY_SEED = BY_SEED.reset_index().rename_axis(columns=None)
SEEDS = ["acc_0", "acc_1", "acc_2"]


def test_a_list_of_columns_is_a_seed_each() -> None:
    results = load_table(BY_SEED, {"test_accuracy": SEEDS})
    assert means(BY_SEED, {"test_accuracy": SEEDS}) == MEANS
    paired = sparsity_curve(load_table(LONG, COLUMNS)).frame()
    assert (
        sparsity_curve(results)
        .frame()["difference_low"]
        .round(12)
        .equals(paired["difference_low"].round(12))
    )


def test_one_of_several_seeds_columns_is_not_taken_alone() -> None:
    message = refusal(BY_SEED, {"test_accuracy": "acc_0"})
    assert "columns={'test_accuracy': ['acc_0', 'acc_1', 'acc_2']}" in message
    alone = means(BY_SEED, {"test_accuracy": "acc_0"}, ignore=SEEDS[1:])
    assert alone == [(0.0, 1, 0.92), (0.9, 1, 0.85)]
    # Accuracies among the first and the first five are no seeds.
    tops = LONG.rename(columns={"acc": "acc_1"}).assign(acc_5=0.99)
    assert means(tops, {"test_accuracy": "acc_1"}) == MEANS


@pytest.mark.parametrize("percent", [False, True])
def test_a_mapping_of_columns_is_a_sparsity_each(percent: bool) -> None:
    wide = LONG.pivot(index="seed", columns="sparsity", values="acc").reset_index()
    names = {0.0: "dense", 0.9: "90 %"}
    wide = wide.rename(columns=names)
    columns = {100 * value if percent else value: name for value, name in names.items()}
    units = {"sparsity.target": "percent"} if percent else {}
    assert means(wide, {"test_accuracy": columns}, units=units) == MEANS


def test_columns_that_are_sparsities_are_pointed_out() -> None:
    wide = LONG.pivot(index="seed", columns="sparsity", values="acc").reset_index()
    assert "columns={'test_accuracy': {0: 0.0, 0.9: 0.9}}" in refusal(wide)


def test_several_measures_are_listed_alike() -> None:
    losses = BY_SEED.assign(**{f"loss_{seed}": 1 - BY_SEED[f"acc_{seed}"] for seed in range(3)})
    columns = {"test_accuracy": SEEDS, "test_loss": ["loss_0", "loss_1", "loss_2"]}
    trials = load_table(losses, columns).trials()
    assert (trials["test_accuracy"] + trials["test_loss"]).round(12).eq(1).all()
    short = refusal(losses, {**columns, "test_loss": ["loss_0", "loss_1"]})
    assert "must list as many columns each" in short


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"test_accuracy": ["acc_0"]}, "must name two or more"),
        ({"test_accuracy": ["acc_0", "acc_9"]}, "must have each of its columns once"),
        ({"test_accuracy": ["acc_0", "acc_0"]}, "must have each of its columns once"),
        ({"optim.lr": SEEDS}, "only results may stand in several columns"),
        ({"test_accuracy": SEEDS, "seed": "sparsity"}, "but the table has them"),
        ({"test_accuracy": {0.5: "acc_0", 0.9: "acc_1"}, "sparsity.target": "sparsity"}, "but the"),
    ],
)
def test_lists_that_cannot_be_read_are_refused(columns: Any, message: str) -> None:
    assert message in refusal(BY_SEED, columns)


def test_an_empty_cell_is_a_run_that_was_not_made() -> None:
    holed = BY_SEED.assign(acc_2=BY_SEED["acc_2"].mask(BY_SEED["sparsity"] == 0.9))
    results = load_table(holed, {"test_accuracy": SEEDS})
    assert len(results.trials()) == 5
    assert any("Empty cells are taken for runs that were not made: 1." in n for n in results.notes)


# Repeated rows


def test_a_table_joined_with_itself_counts_once() -> None:
    doubled = pd.concat([LONG, LONG, LONG.head(2)])
    assert means(doubled, COLUMNS) == MEANS
    notes = load_table(doubled, COLUMNS).notes
    assert "Rows that equal an earlier one in every column are left out: 8 of 14." in notes


def test_without_seeds_a_table_joined_with_itself_is_refused() -> None:
    nameless = LONG.drop(columns="seed")
    message = refusal(pd.concat([nameless, nameless]), COLUMNS)
    assert "every row stands 2 times" in message and "drop_duplicates" in message
    # Two runs may have equal results, and one row alone is no table.
    equal = pd.concat([nameless, nameless.head(1)])
    assert means(equal, COLUMNS)[0][1] == 4
