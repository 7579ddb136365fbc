"""Tables of runs: names, units, runs of several rows, choices; each refusal with its twin."""

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
from analysis.curves.comparison import compare_arms
from analysis.curves.curve import length_curve, sparsity_curve
from analysis.lengths.extension import extension_gain
from analysis.lengths.summary import summary
from analysis.recipes.optima.optima import optima
from analysis.recipes.tuning_gain.retuning import retuning_gain
from analysis.tables.foreign import TableResults, load_table
from analysis.tables.foreign.columns.known import known_columns
from analysis.tables.foreign.columns.names import MAX_SUGGESTIONS
from analysis.tables.results import Results
from sparsetune.errors import DataError, DeclarationError, SparsetuneError
from sparsetune.spec.columns import HISTORY_COLUMNS, TRIAL_COLUMNS
from sparsetune.study.space import Choice, LogUniform, Uniform
from tests.analysis.conftest import DIGITS, FASHION, SMALL, Simulation
from tests.analysis.tables.foreign.loading import refusal, table


def targets(results: TableResults) -> list[float]:
    return results.trials()["sparsity.target"].tolist()


# What a study gives, read back as a table


@pytest.mark.parametrize(
    "name, by", [("small", "schedule.epoch_multiplier"), ("fashion", "schedule.epochs")]
)
@pytest.mark.parametrize("suffix", ["csv", "parquet", "frame"])
def test_a_study_read_as_a_table_says_the_same(
    name: str, by: str, suffix: str, tmp_path: Path
) -> None:
    study = {"small": SMALL, "fashion": FASHION}[name]
    if name == "fashion" and suffix != "csv":
        pytest.skip("one form is enough")
    own = analysis.load(Simulation(study, tmp_path / "runs").run())
    frame = own.trials()
    path = tmp_path / f"table.{suffix}"
    if suffix == "frame":
        read = load_table(frame)
    else:
        frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
        read = load_table(path)
    assert (
        read.fresh_seeds
        and read.design.objective == "val_error"
        and set(read.design.sweep) == set(own.design.sweep)
    )
    for analyse in (
        lambda results: sparsity_curve(results, by=by).frame(),
        lambda results: length_curve(results).frame(),
        lambda results: extension_gain(results),
        lambda results: retuning_gain(results),
        lambda results: compare_arms(results).frame(),
        lambda results: summary(results),
        winners,
    ):
        pd.testing.assert_frame_equal(analyse(read), analyse(own), check_dtype=False)


def test_a_history_read_as_a_table_is_the_same(small: Path) -> None:
    own = analysis.load(small)
    read = load_table(own.history().sample(frac=1, random_state=0))
    columns = [
        column.name
        for column in HISTORY_COLUMNS
        if column.name not in ("study", "attempt", "role", "cell")
    ]
    expected = own.history()[columns].sort_values(["trial_id", "step"], ignore_index=True)
    pd.testing.assert_frame_equal(
        read.history()[columns].sort_values(["trial_id", "step"], ignore_index=True), expected
    )


def test_the_columns_and_dtypes_are_those_of_a_study() -> None:
    read = load_table(table(sparsity=[0.9], test_accuracy=[0.8]))
    for frame, columns in ((read.trials(), TRIAL_COLUMNS), (read.history(), HISTORY_COLUMNS)):
        assert list(frame)[: len(columns)] == [column.name for column in columns]
        assert {c.name: str(frame[c.name].dtype) for c in columns} == {
            c.name: c.dtype for c in columns
        }
    assert list(read.trials())[len(TRIAL_COLUMNS) :] == [
        "sparsity.target",
        "schedule.epochs",
        "schedule.epoch_multiplier",
    ]
    assert read.trials()[["val_loss", "seed", "train_flops"]].isna().all(axis=None)


def winners(results: Results) -> pd.DataFrame:
    """Cells without names; a table shows a control that won as a report only."""
    cells = results.cells().drop(
        columns=["study", "cell", "control_id", "configurations_asked", "added"]
    )
    axes = ["arm", *results.design.points()]
    return cells[sorted(cells)].sort_values(sorted(axes), ignore_index=True)


# Units


@pytest.mark.parametrize(
    "unit, given, expected",
    [
        ("percent", [0, 50, 90, 99.5], [0, 0.5, 0.9, 0.995]),
        ("fraction", [0, 0.5, 0.9, 0.995], [0, 0.5, 0.9, 0.995]),
        ("density", [1, 0.5, 0.1, 0.005], [0, 0.5, 0.9, 0.995]),
        ("compression_ratio", [1, 2, 10, 200], [0, 0.5, 0.9, 0.995]),
        (None, [0, 0.5, 0.9, 0.995], [0, 0.5, 0.9, 0.995]),
        (None, ["0%", "50 %", "90%", "99.5%"], [0, 0.5, 0.9, 0.995]),
        ("percent", ["0", " 50", "9e1", "99.5%"], [0, 0.5, 0.9, 0.995]),
    ],
)
def test_units_are_converted(unit: str | None, given: list[Any], expected: list[float]) -> None:
    frame = pd.DataFrame({"sparsity.target": given, "val_loss": 1.0})
    assert targets(load_table(frame, units={"sparsity.target": unit} if unit else None)) == expected


@given(
    st.lists(st.floats(0.01, 0.999), min_size=1, max_size=5),
    st.sampled_from(["percent", "density", "compression_ratio"]),
)
@settings(max_examples=15, deadline=None)
def test_a_unit_and_back_is_the_same(sparsities: list[float], unit: Any) -> None:
    s = np.array(sparsities)
    given = {"percent": 100 * s, "density": 1 - s, "compression_ratio": 1 / (1 - s)}[unit]
    frame = pd.DataFrame({"sparsity.target": given, "val_loss": 1.0})
    np.testing.assert_allclose(
        targets(load_table(frame, units={"sparsity.target": unit})), s, atol=2e-12
    )


@pytest.mark.parametrize(
    "given, unit, said",
    [
        (
            [90, 95],
            None,
            "values from 90 to 95: if it is percent, give units={'sparsity.target': 'percent'}",
        ),
        ([2, 10], None, "or 'compression_ratio'"),
        ([0.9, 95], None, "percent and fractions may be mixed, with values from 0.9 to 95"),
        (["90%", "0.95"], None, "some values have a percent sign and some have none"),
        (["90%", "95%"], "fraction", "a percent sign, but `units` says `fraction`"),
        (["90%", "0.9"], "density", "give units={'sparsity.target': 'density_percent'}"),
        ([61.5, 10], "density", "`density_percent` if it is in percent"),
        ([0.9, 1.0], None, "a sparsity must lie in [0, 1)"),
        ([0.9, 1.5], "fraction", "must lie in [0, 1]"),
        ([0.5, 2], "compression_ratio", "must be at least 1"),
        ([0.0, 0.5], "density", "must lie in (0, 1]"),
        ([-0.5, 0.5], None, "must lie in [0, 1], got values from -0.5 to 0.5"),
        ([0.9, 950], None, "must lie in [0, 1], got values from 0.9 to 950"),
        (
            [0.9, 0.95],
            "parsecs",
            "must be one of fraction, percent, density, density_percent, kept, kept_percent, ",
        ),
    ],
)
def test_an_ambiguous_or_impossible_unit_is_refused(given: list[Any], unit: Any, said: str) -> None:
    frame = pd.DataFrame({"sparsity.target": given, "val_loss": 1.0})
    message = refusal(frame, units={"sparsity.target": unit} if unit else None)
    assert said in message and "sparsity.target" in message


@pytest.mark.parametrize(
    ("column", "given", "rows"),
    [
        ("sparsity.target", [0.0139, 50, 90], "0.0139 % in row 0 "),
        ("sparsity.target", [0, 0.9, 0.95], "0.9 to 0.95 % in rows 1, 2 "),
        ("test_accuracy", [93.1, 0.932, 92.5], "0.932 % in row 1 "),
        ("test_accuracy", [0.931, 0.932, 0.925], "0.925 to 0.932 % in rows 0, 1, 2 "),
    ],
)
def test_a_stated_unit_settles_every_doubt_and_odd_values_are_noted(
    column: str, given: list[float], rows: str
) -> None:
    frame = pd.DataFrame({"sparsity.target": [0, 0.5, 0.9], "test_accuracy": 0.9, column: given})
    read = load_table(frame, units={column: "percent"})
    np.testing.assert_allclose(read.trials()[column], np.array(given) / 100, rtol=1e-9)
    assert any(note.startswith(f"`{column}` is read as percent, {rows}") for note in read.notes)
    assert "must lie in [0, 100]" in refusal(
        frame.assign(**{column: 9250}), units={column: "percent"}
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([60.0, 0.9, 55.0], True),  # at chance on a hundred classes
        ([60.0, 5.0, 0.9], False),  # an early evaluation
        ([93.1, "0.93%", 92.5], False),
        ([93.1, 0.0, 92.5], False),
    ],
)
def test_small_percents_are_named_where_they_are_far_from_the_others(
    given: list[Any], told: bool
) -> None:
    read = load_table(
        table(sparsity=[0, 0.9, 0.95], test_accuracy=given), units={"test_accuracy": "percent"}
    )
    said = "`test_accuracy` is read as percent, 0.9 % in row 1 (counted from 0) too"
    assert any(note.startswith(said) for note in read.notes) == told


def test_errors_may_well_be_below_one_percent() -> None:
    frame = table(sparsity=[0, 0.9, 0.95], val_error=[0.5, 0.6, 30.0])
    assert load_table(frame, units={"val_error": "percent"}).trials()["val_error"].tolist() == [
        0.005,
        0.006,
        0.3,
    ]


def test_only_fractions_have_units() -> None:
    frame = table(sparsity=[0.9], test_accuracy=[0.8], val_loss=[1.0])
    assert "only a sparsity can be in density" in refusal(frame, units={"test_accuracy": "density"})
    assert "only a fraction has a unit" in refusal(frame, units={"val_loss": "percent"})
    assert "the table gives no such column" in refusal(frame, units={"val_accuracy": "percent"})


def test_scores_and_errors_are_held_to_units_too() -> None:
    assert "val_error" in refusal(table(sparsity=[0.9], val_error=[12.5]))
    read = load_table(table(sparsity=[0.9], val_error=[12.5]), units={"val_error": "percent"})
    assert read.trials()["val_error"].tolist() == [0.125]


def test_a_missing_score_is_one_less_the_error() -> None:
    frame = table(sparsity=[0, 0.9], val_error=[0.07, 0.1])
    read = load_table(frame)
    assert (
        read.trials()["val_score"].tolist() == read.history()["val_score"].tolist() == [0.93, 0.9]
    )
    assert "`val_score` is taken to be 1 - `val_error`." in read.notes
    half = load_table(frame.assign(val_score=[0.5, None]))
    assert half.trials()["val_score"].tolist() == [0.5, 0.9]
    assert "`val_score` is taken to be 1 - `val_error`, in 1 of 2 rows." in half.notes
    whole = load_table(frame.assign(val_score=[0.5, 0.4]))
    assert whole.trials()["val_score"].tolist() == [0.5, 0.4] and not any(
        "val_score" in note for note in whole.notes
    )
    assert load_table(table(sparsity=[0.9], val_loss=[1.0])).trials()["val_score"].isna().all()


# Names and text


def test_unknown_names_list_near_and_valid_ones() -> None:
    message = refusal(
        table(sparsity=[0.9], acc=[0.8]),
        {"test_acuracy": "acc", "optim.learning_rate": "acc", "cell": "acc"},
    )
    assert (
        "`test_acuracy`: is no column of ours; near: `test_accuracy`, `val_accuracy`, " in message
    )
    assert "`cell`: is worked out from the runs" in message
    assert (
        f"of {len(known_columns())} names,"
        " all in `list(analysis.tables.foreign.columns.known.known_columns())`" in message
    )
    assert all(line.count("`") <= 2 * (MAX_SUGGESTIONS + 2) for line in message.splitlines())


@pytest.mark.parametrize(
    ("mistaken", "meant"),
    [
        ("acc", "test_accuracy"),
        ("epochs", "schedule.epochs"),
        ("sparsity.targt", "sparsity.target"),
    ],
)
def test_the_name_that_was_meant_is_near(mistaken: str, meant: str) -> None:
    assert f"`{meant}`" in refusal(table(sparsity=[0.9], x=[0.8]), {mistaken: "x"})


def test_units_go_by_our_names() -> None:
    frame = table(sparsity=[0.9], acc=[80.0])
    assert "`acc`: `units` takes our names, here `test_accuracy`" in refusal(
        frame, {"test_accuracy": "acc"}, {"acc": "percent"}
    )
    read = load_table(frame, {"test_accuracy": "acc"}, {"test_accuracy": "percent"})
    assert read.trials()["test_accuracy"].tolist() == [0.8]


@pytest.mark.parametrize("text", ["93,1", "1.234,5", "1,234.5", "1.234.567", "93,1 %"])
def test_commas_and_thousands_separators_have_a_remedy(text: str, tmp_path: Path) -> None:
    frame = table(sparsity=[0.9, 0.9], val_loss=["1.5", text])
    assert 'decimal=",", thousands="."' in refusal(frame) and f"got `{text}` in row 1" in refusal(
        frame
    )
    assert "thousands" not in refusal(frame.assign(val_loss=["1.5", "many"]))
    path = tmp_path / "german.csv"
    path.write_text("sparsity;val_loss;train_flops\n0,9;1,5;1.234,5\n")
    read = pd.read_csv(path, sep=None, engine="python", decimal=",", thousands=".")
    assert load_table(read).trials()[["val_loss", "train_flops"]].to_numpy().tolist() == [
        [1.5, 1234.5]
    ]


def test_all_problems_come_at_once() -> None:
    frame = table(acc=[80.0, 81.0], spars=["high", "0.9"], lr=[-1, 0.1])
    message = refusal(
        frame,
        {
            "test_accuracy": "acc",
            "sparsity": "spars",
            "optim.lr": "lr",
            "seed": "rng",
            "foo": "acc",
        },
    )
    for said in (
        "`acc`: a fraction is due",
        "got `high` in row 0",
        "got `-1` in row 0",
        "`acc`, `spars`, `lr`",
        "`foo`",
    ):
        assert said in message


def test_text_is_refused_by_row_and_counted() -> None:
    frame = table(sparsity=[0.9] * 6, val_loss=["1", "n.a.", "2", "1,5", "", "?"])
    assert "got `n.a.` in row 1, `1,5` in row 3, `?` in row 5" in refusal(frame)
    frame = table(sparsity=[0.9] * 6, val_loss=["a"] * 6)
    assert "`a` in row 2 and 3 more (rows counted from 0)" in refusal(frame)


def test_numeric_text_is_read() -> None:
    frame = table(
        sparsity=["0.9"] * 4,
        val_loss=["0.93", " 1e-3 ", ".5", ""],
        test_accuracy=["93%", "9%", " 1 %", "0%"],
    )
    read = load_table(frame, select="all").trials()
    assert read["val_loss"].tolist()[:3] == [0.93, 0.001, 0.5] and np.isnan(
        read["val_loss"].iloc[3]
    )
    assert read["test_accuracy"].tolist() == [0.93, 0.09, 0.01, 0.0]


def test_large_seeds_keep_their_digits(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(f"sparsity,val_loss,seed\n0.9,1,{2**53}\n0.9,1,{2**53 + 1}\n")
    assert load_table(path).trials()["seed"].tolist() == [2**53, 2**53 + 1]


def test_a_dotted_field_is_held_to_its_range() -> None:
    frame = pd.DataFrame({"sparsity": [0.9, 0.9], "val_loss": 1.0, "sparsity.ramp.start": [10, 30]})
    assert "sparsity.ramp.start" in refusal(frame)
    assert load_table(frame, units={"sparsity.ramp.start": "percent"}).design.search == (
        "sparsity.ramp.start",
    )
    mixed = frame.assign(**{"sparsity.ramp.start": ["2 epochs", "0.1"]})
    assert "give its length, `schedule.epochs` or totals={'epochs': …}" in refusal(mixed)
    read = load_table(mixed.assign(**{"schedule.epochs": 10})).trials()
    assert read["sparsity.ramp.start"].tolist() == [0.2, 0.1]


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "is empty"),
        (b"sparsity,val_loss\n", "at least one row"),
        (b"sparsity,val_loss\n0.9,1\n0.9,1,2\n", "taken for a CSV file and cannot be read: "),
        (b"sparsity,val_loss\n0.9,\x00\n", "a zero byte"),
        (b"sparsity,val_loss\n0.9,\xff\n", "must be UTF-8"),
        (b"\x1f\x8b123", "gzip"),
        (b"PK\x03\x04rows", "a damaged or locked zip file: unpack it first"),
        (
            b"PK\x03\x04\x14[Content_Types].xml",
            "taken for an Excel workbook and cannot be read: ",
        ),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is an Excel workbook"),
        (b"PAR1 and rubbish", "taken for a Parquet file and cannot be read: "),
        (b"sparsity,val_loss,val_loss\n0.9,1,2\n", "2 columns of that name"),
    ],
)
def test_files_that_are_no_tables(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_bytes(content)
    assert said in refusal(path)


def test_sources_that_cannot_be_read(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.csv")
    assert "study directory" in refusal(tmp_path)
    assert "cannot be read" in refusal("a\0b") and "cannot be read" in refusal("x" * 1_000_000)
    assert "got a int" in refusal(3)
    with pytest.raises(DataError, match="flatten"):
        load_table(pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])))


def test_semicolons_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("\ufeffsparsity;val_loss\n0.9;1\n", encoding="utf-8")
    assert targets(load_table(path)) == [0.9]


def test_a_very_long_name_is_refused_in_a_short_message() -> None:
    frame = table(sparsity=[0.9], val_loss=[1.0])
    assert len(refusal(frame, name="x" * 1_000_000)) < 500
    assert len(refusal(frame.assign(arm="x" * 1_000_000))) < 500
    assert len(refusal(frame.rename(columns={"val_loss": "x" * 1_000_000}))) < 2000


# Which rows are a run


def history() -> pd.DataFrame:
    """Two runs of three evaluations, out of order."""
    rows = [
        ("b", 3, 0.3),
        ("a", 1, 0.9),
        ("a", 3, 0.5),
        ("b", 1, 0.8),
        ("a", 2, 0.7),
        ("b", 2, 0.6),
    ]
    return pd.DataFrame(rows, columns=["trial_id", "epoch", "val_loss"]).assign(sparsity=0.9)


def test_rows_of_a_run_are_sorted_and_the_last_one_counts() -> None:
    read = load_table(history())
    assert read.trials()[["trial_id", "epoch", "val_loss"]].to_numpy().tolist() == [
        ["b", 3, 0.3],
        ["a", 3, 0.5],
    ]
    assert read.history()["val_loss"].tolist() == [0.8, 0.6, 0.3, 0.9, 0.7, 0.5]
    assert read.history()["progress"].round(3).tolist() == [0.333, 0.667, 1.0] * 2


def test_two_rows_at_one_step_are_refused() -> None:
    twice = pd.concat([history(), history().iloc[[2]].assign(val_loss=9.0)])
    assert "several of `a` at 3, 2 rows in all" in refusal(twice)


def test_rows_of_a_run_need_an_order() -> None:
    assert "told apart by step, epoch, progress" in refusal(history().drop(columns="epoch"))
    holes = history().assign(epoch=[3, None, 3, 1, 2, 2])
    assert "every row of a run with several must have one" in refusal(holes)


def test_a_configuration_must_not_change_within_a_run() -> None:
    changing = history().assign(**{"optim.lr": [0.1, 0.2, 0.1, 0.1, 0.1, 0.1]})
    assert "a run must have one value" in refusal(
        changing
    ) and "`0.2`, `0.1` in run `a`" in refusal(changing)
    read = load_table(history().assign(**{"optim.lr": [0.1, None, 0.2, None, 0.2, None]}))
    assert read.history()["optim.lr"].tolist() == [0.1] * 3 + [0.2] * 3


def test_without_an_id_arm_configuration_and_seed_name_a_run() -> None:
    read = load_table(history().assign(seed=[1, 0, 0, 1, 0, 1]).drop(columns="trial_id"))
    assert read.trials()["val_loss"].tolist() == [0.3, 0.5] and read.trials()["seed"].tolist() == [
        1,
        0,
    ]
    message = refusal(history().drop(columns="trial_id").drop(index=[0, 3, 5]))
    assert (
        "rows 0 and 1 differ in `epoch`" in message
        and "map that column to `schedule.epochs`" in message
    )


def test_rows_that_became_fewer_runs_are_counted() -> None:
    assert (
        "6 rows are 2 runs by `trial_id`, of which `epoch` tells the evaluations apart."
        in load_table(history()).notes
    )
    alike = load_table(history().assign(seed=[1, 0, 0, 1, 0, 1]).drop(columns="trial_id")).notes
    assert any(
        note.startswith("6 rows are 2 runs by arm, configuration and seed") for note in alike
    )
    assert any(note.endswith("map that column to `schedule.epochs`.") for note in alike)
    single = load_table(history().drop_duplicates("trial_id").assign(epoch=3)).notes
    assert not any("rows are" in note for note in single)


def test_final_rows_without_an_id_are_a_run_each() -> None:
    assert (
        len(load_table(table(sparsity=[0.9, 0.9], val_loss=[1.0, 2.0], epoch=[5, 5])).trials()) == 2
    )


def test_a_test_value_that_stands_in_one_row_is_the_runs() -> None:
    frame = history().assign(test_accuracy=[None, 0.8, None, None, None, 0.7])
    assert load_table(frame).trials()["test_accuracy"].tolist() == [0.7, 0.8]
    several = history().assign(test_accuracy=[0.6, 0.8, None, 0.9, 0.7, 0.7])
    finals = load_table(several).trials()["test_accuracy"].tolist()
    assert finals[0] == 0.6 and np.isnan(finals[1]), "no best over epochs"


def test_runs_of_one_configuration_and_seed_are_refused() -> None:
    frame = pd.DataFrame({"sparsity": 0.9, "val_loss": [1.0, 2.0], "seed": 0, "optim.lr": 0.1})
    assert "must differ in their seed" in refusal(frame) and "`row-0`, `row-1`" in refusal(frame)
    assert len(load_table(frame.assign(seed=[0, 1])).trials()) == 2
    assert len(load_table(frame.drop(columns="seed")).trials()) == 2


def test_sparsity_reached_becomes_the_target_by_density_to_three_digits() -> None:
    read = load_table(table(sparsity=[0.89998, 0.9951, 0.999503, 0.3333], val_loss=1.0))
    assert targets(read) == [0.9, 0.9951, 0.999503, 0.333]
    assert any("rounded to three digits" in note for note in read.notes)
    given = load_table(
        pd.DataFrame({"sparsity": [0.89998], "sparsity.target": [0.9], "val_loss": [1.0]})
    )
    assert given.trials()["sparsity"].tolist() == [0.89998] and targets(given) == [0.9]


def test_a_table_needs_a_sparsity_and_a_result() -> None:
    assert "how sparse its runs are" in refusal(table(val_loss=[1.0]))
    assert "at least one result" in refusal(table(sparsity=[0.9]))
    assert "a run must have a sparsity" in refusal(table(sparsity=[0.9, None], val_loss=[1.0, 2.0]))


# How runs ended


@pytest.mark.parametrize(
    "word, status",
    [
        ("TERMINATED", "COMPLETE"),
        ("finished", "COMPLETE"),
        ("FAIL", "FAILED"),
        ("crashed", "FAILED"),
        ("Running", "RUNNING"),
    ],
)
def test_the_words_of_other_tools_are_understood(word: str, status: str) -> None:
    assert load_table(table(sparsity=[0.9], val_loss=[1.0], status=[word])).trials()[
        "status"
    ].tolist() == [status]


def test_an_unknown_status_is_refused() -> None:
    assert "got `odd` in row 0" in refusal(table(sparsity=[0.9], val_loss=[1.0], status=["odd"]))


def test_what_divergence_leaves_is_not_averaged_over_the_survivors() -> None:
    frame = table(
        sparsity=[0.9] * 4,
        seed=range(4),
        train_loss=[0.1, np.inf, None, 0.2],
        test_accuracy=[0.8, 0.1, 0.1, 0.82],
    )
    read = load_table(frame)
    assert read.trials()["status"].tolist() == ["COMPLETE", "DIVERGED", "DIVERGED", "COMPLETE"]
    curve = sparsity_curve(read).frame()
    assert curve["diverged"].tolist() == [2] and curve["mean"].isna().all()
    assert (
        not np.isinf(read.trials()["train_loss"]).any()
        and not np.isinf(read.history()["train_loss"]).any()
    )
    whole = load_table(frame.assign(train_loss=[0.1, 0.1, 0.1, 0.2]))
    assert sparsity_curve(whole).frame()["mean"].round(6).tolist() == [0.455]


def test_a_run_that_ended_before_its_schedule_does_not_count() -> None:
    frame = pd.DataFrame(
        {
            "sparsity": 0.9,
            "test_accuracy": [0.8, 0.6, 0.81],
            "epoch": [10, 3, 9],
            "schedule.epochs": 10,
            "seed": [0, 1, 2],
        }
    )
    assert load_table(frame).trials()["status"].tolist() == ["COMPLETE", "PRUNED", "COMPLETE"], (
        "epochs from 0 or 1"
    )
    assert load_table(frame.assign(status="TERMINATED")).trials()["status"].tolist()[1] == "PRUNED"
    assert "are these epochs?" in refusal(frame.assign(epoch=[1000, 300, 900]))


# Cells, selection, twins


def search(seeds: int = 1, **more: Any) -> pd.DataFrame:
    """Two sparsities, three learning rates; 0.1 is best for dense, 0.3 for sparse."""
    best = {0.0: 0.1, 0.9: 0.3}
    rows: list[dict[str, float]] = []
    for s, lr, seed in itertools.product((0.0, 0.9), (0.03, 0.1, 0.3), range(seeds)):
        away = abs(lr - best[s])
        row = {"sparsity.target": s, "optim.lr": lr, "seed": seed}
        row |= {"val_error": 0.1 + away + 0.001 * seed, "test_accuracy": 0.9 - away - 0.01 * seed}
        rows.append(row)
    return pd.DataFrame(rows).assign(**more)


def test_the_best_by_validation_stands_for_its_cell_and_it_is_said() -> None:
    read = load_table(search(2), name="mine")
    assert read.cells()["optim.lr"].tolist() == [0.1, 0.3] and read.cells()["objective"].round(
        6
    ).tolist() == [
        0.1005,
        0.1005,
    ]
    assert read.cells()["cell"].tolist() == ["dense", "mine/target=0.9"]
    assert not read.fresh_seeds and "very runs that chose it" in read.design.question
    curve = sparsity_curve(read).frame()
    assert curve["n"].tolist() == [2, 2] and curve["mean"].round(6).tolist() == [0.895, 0.895]
    assert curve["difference"].round(6).tolist()[1] == round(0.895 - (0.895 - 0.2), 6), (
        "to the dense run at 0.3"
    )


def test_selection_needs_validation_and_all_counts_every_run() -> None:
    tests_only = search(2).drop(columns="val_error")
    assert "`best` chooses by validation" in refusal(tests_only, select="best")
    for read in (load_table(tests_only), load_table(search(2), select="all")):
        assert (
            read.design.objective is None
            and read.fresh_seeds
            and "nothing was selected" in read.design.question
        )
        assert sparsity_curve(read).frame()["n"].tolist() == [6, 6]
        assert sparsity_curve(read).frame()["mean"].round(6).tolist() == [0.805, 0.738333]


def test_where_nothing_could_be_chosen_nothing_was() -> None:
    one = load_table(table(sparsity=[0.9] * 3, val_error=[0.1, 0.2, 0.3], seed=range(3)))
    assert one.design.question.startswith(
        "3 runs in 1 network; every network has one configuration, so nothing was chosen"
    )
    assert load_table(table(sparsity=[0.9], test_accuracy=[0.9])).design.question.startswith(
        "1 run in 1 network;"
    )
    assert "12 runs in 2 networks; each network's winner" in load_table(search(2)).design.question


def test_fresh_report_runs_are_used_where_they_are_marked() -> None:
    fresh = pd.DataFrame(
        {
            "sparsity.target": [0.0, 0.9],
            "optim.lr": [0.1, 0.3],
            "seed": 7,
            "val_error": 0.2,
            "role": "report",
        }
    )
    read = load_table(pd.concat([search(role="search"), fresh.assign(test_accuracy=0.85)]))
    assert read.fresh_seeds and read.cells()["objective"].tolist() == [0.1, 0.1]
    assert sparsity_curve(read).frame()["mean"].tolist() == [0.85, 0.85]


def test_a_configuration_with_a_diverged_run_cannot_win() -> None:
    frame = search(2, status="COMPLETE")
    frame.loc[
        frame["optim.lr"].eq(0.3) & frame["sparsity.target"].eq(0.9) & frame["seed"].eq(1), "status"
    ] = "diverged"
    assert load_table(frame).cells()["optim.lr"].tolist() == [0.1, 0.1]
    frame["status"] = frame["status"].replace("diverged", "crashed")
    assert load_table(frame).cells()["optim.lr"].tolist() == [0.1, 0.3], "a crash is no verdict"


def test_twins_are_the_dense_runs_of_equal_seed_and_recipe() -> None:
    read = load_table(search(2).assign(trial_id=[f"t{k}" for k in range(12)]))
    twins = read.trials().set_index("trial_id")["twin_id"]
    assert (
        twins["t6":"t11"].tolist() == ["t0", "t1", "t2", "t3", "t4", "t5"]
        and twins["t0":"t5"].isna().all()
    )
    without = load_table(search().drop(columns="seed"))
    assert (
        without.trials()["twin_id"].isna().all()
        and sparsity_curve(without).frame()["difference"].isna().all()
    )


def test_dense_runs_that_differ_in_sparsity_fields_alone_are_one() -> None:
    grid = [
        {"sparsity": s, "sparsity.ramp.start": r, "seed": 0, "val_loss": 1.0 + s + r}
        for s in (0, 0.9)
        for r in (0.0, 0.1)
    ]
    read = load_table(pd.DataFrame(grid))
    assert len(read.trials()) == 3 and any("1 dense runs repeat" in note for note in read.notes)
    assert read.trials()["twin_id"].notna().sum() == 2


def test_the_winner_of_the_dense_cell_is_the_control() -> None:
    gains = retuning_gain(load_table(search(3)))
    assert gains[["control", "winner", "gain"]].round(6).to_numpy().tolist() == [[0.69, 0.89, 0.2]]


def test_runs_without_seeds_pair_with_nothing() -> None:
    frame = pd.DataFrame(
        [
            (s, e, 0.9 - 0.1 * s - 0.1 / e + 0.001 * k)
            for s in (0, 0.9)
            for e in (2, 4)
            for k in range(3)
        ],
        columns=["sparsity.target", "schedule.epochs", "test_accuracy"],
    )
    assert extension_gain(load_table(frame))["n"].tolist() == [0]
    seeded = load_table(frame.assign(seed=[0, 1, 2] * 4))
    assert extension_gain(seeded)["n"].tolist() == [3]
    assert sparsity_curve(load_table(frame), by="schedule.epochs").frame()["n"].tolist() == [
        3,
        3,
        3,
        3,
    ]


def test_axes_come_from_what_varies() -> None:
    frame = search(
        1, **{"optim.name": ["sgd", "adamw"] * 3, "optim.momentum": np.linspace(0.8, 0.9, 6)}
    )
    design = load_table(frame.drop(columns="seed"), name="t").design
    assert design.sweep == ("sparsity.target",) and set(design.search) == {
        "optim.lr",
        "optim.name",
        "optim.momentum",
    }
    assert design.ranges["dense", "optim.lr"] == Uniform(0.03, 0.3)
    assert design.ranges["dense", "optim.name"] == Choice(["adamw", "sgd"])
    wide = load_table(frame.drop(columns="seed").replace({"optim.lr": {0.03: 0.02}})).design
    assert wide.ranges["dense", "optim.lr"] == LogUniform(0.02, 0.3)
    swept = load_table(frame.drop(columns="seed"), sweep=["optim.name"])
    assert swept.design.points() == ["sparsity.target", "optim.name"] and len(swept.cells()) == 4
    assert "takes fields that the table gives" in refusal(frame, sweep=["optim.beta1"])


def test_optima_are_found_in_a_table(tmp_path: Path) -> None:
    best = {0.0: 0.1, 0.9: 0.3}
    rows = [
        {"sparsity.target": s, "optim.lr": lr, "val_loss": abs(np.log10(lr / best[s]))}
        for s, lr in itertools.product(best, np.geomspace(0.01, 1, 15))
    ]
    found = optima(load_table(pd.DataFrame(rows))).frame().set_index("cell")
    assert found["n"].tolist() == [15, 15] and found["verdict"].tolist() == ["located", "located"]
    assert abs(np.log10(found["value"] / [0.1, 0.3])).max() < 0.2


def test_methods_are_arms_and_dense_has_its_own() -> None:
    frame = pd.DataFrame(
        {
            "sparsity": [0, 0.9, 0, 0.9],
            "sparsity.method": ["gmp", "gmp", "acdc", "acdc"],
            "val_loss": 1.0,
        }
    )
    assert load_table(frame).trials()["arm"].tolist() == ["dense-gmp", "gmp", "dense-acdc", "acdc"]
    assert load_table(frame.iloc[:2]).trials()["arm"].tolist() == ["dense", "gmp"]


def test_analyses_name_what_a_table_lacks() -> None:
    bare = load_table(table(sparsity=[0, 0.9], test_accuracy=[0.9, 0.8]))
    assert sparsity_curve(bare).frame()["mean"].tolist() == [0.9, 0.8]
    with pytest.raises(SparsetuneError, match="needs `test_accuracy` and `train_flops`"):
        analysis.pareto_front(bare)
    assert optima(bare).frame().empty
    assert retuning_gain(bare).empty


def test_faults_of_arguments() -> None:
    frame = table(sparsity=[0.9], val_loss=[1.0])
    assert "must be a mapping" in refusal(frame, ["sparsity"])
    assert "must be `best`, `all`, `test` or left out, got `some`" in refusal(frame, select="some")
    with pytest.raises(DeclarationError, match="1 problem"):
        load_table(frame, {"seed": "none"})


@pytest.mark.slow
def test_a_large_table_is_read_quickly(tmp_path: Path) -> None:
    assert DIGITS.search  # a study of as many cells as the table below
    runs = pd.DataFrame(
        {"trial_id": np.arange(100_000), "sparsity.target": np.arange(100_000) % 20 / 20}
    ).merge(pd.DataFrame({"epoch": range(1, 6)}), how="cross")
    random = np.random.default_rng(0)
    runs = runs.assign(
        val_error=random.random(len(runs)), **{"optim.lr": runs["trial_id"] % 1000 / 1000 + 0.001}
    )
    assert len(load_table(runs).trials()) == 100_000
