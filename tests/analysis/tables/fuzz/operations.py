"""What people do to tables: some keep all information, others lose it or make it wrong.

Those of `TUNING` were looked at while reading and checks were written; those of `COUNTED` give the
rates that ``docs/foreign.md`` states, and were run when that was done.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sparsetune.spec.columns import TRIAL_COLUMNS
from tests.analysis.tables.fuzz.clean import Given, Rng

Change = Callable[[Given, Rng], Given | None]
"""Gives the changed table; None where the operation does not fit the table."""


@dataclass(frozen=True)
class Operation:
    """One thing that is done to a table.

    Args:
        name: In words, as the documentation states its rate.
        change: What it does.
        keeps: True if the table says the same after it.
    """

    name: str
    change: Change
    keeps: bool


# What keeps the information


def melt(given: Given, rng: Rng) -> Given | None:
    """A row for each measure, under the names of pandas."""
    return _melted(given, "variable", "value")


def melt_named(given: Given, rng: Rng) -> Given | None:
    """The same under other names, shuffled and through a CSV."""
    melted = _melted(given, "metric", "result")
    return (
        through_csv(melted.with_frame(_shuffled_rows(melted.frame, rng)), rng) if melted else None
    )


def _shuffled_rows(frame: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    """Rows in another order; arms are shown in that of the table, and keep it."""
    shuffled = frame.sample(frac=1, random_state=int(rng.integers(2**31)))
    if "method" not in frame:
        return shuffled
    order = list(frame["method"].unique())
    return shuffled.sort_values("method", key=lambda arms: arms.map(order.index), kind="stable")


def _melted(given: Given, measure: str, value: str) -> Given | None:
    columns = [name for name in map(str, given.frame.columns) if name in _measures(given)]
    if not columns or "n" in given.columns() or value in given.frame:
        return None
    keys = [name for name in given.frame.columns if name not in columns]
    return given.with_frame(given.frame.melt(keys, columns, var_name=measure, value_name=value))


def _measures(given: Given) -> set[str]:
    """The table's columns that hold results."""
    known = {column.name for column in TRIAL_COLUMNS if column.name.startswith(("val_", "test_"))}
    named = {str(theirs) for ours, theirs in given.columns().items() if ours in known}
    return known | named


def column_per_seed(given: Given, rng: Rng) -> Given | None:
    """A column for each seed."""
    return _pivoted(given, "seed", lambda seed: f"seed{seed}", listed=True)


def column_per_sparsity(given: Given, rng: Rng) -> Given | None:
    """A column for each sparsity."""
    return _pivoted(given, "sparsity", lambda value: f"at {100 * value:g}", listed=False)


def _pivoted(
    given: Given, axis: str, name_of: Callable[[Any], str], *, listed: bool
) -> Given | None:
    if set(given.keys) != {"sparsity", "seed"} or "tolerance" in given.arguments:
        return None
    if given.accuracy is None or given.sparsity is None:
        return None
    key = "seed" if axis == "sparsity" else "sparsity"
    measures = [name for name in map(str, given.frame.columns) if name in _measures(given)]
    parts = []
    columns: dict[str, Any] = {}
    for measure in measures:
        wide = given.frame.pivot(index=key, columns=axis, values=measure)
        names = [f"{measure} {name_of(mark)}" for mark in wide.columns]
        by_mark = dict(zip(wide.columns, names, strict=True))
        columns[given.ours(measure)] = names if listed else by_mark
        parts.append(wide.set_axis(names, axis=1))
    frame = pd.concat(parts, axis=1).reset_index()
    more = {name: given.frame[name].iloc[0] for name in ("ramp_length",) if name in given.frame}
    if more:
        columns["sparsity.ramp.length"] = "ramp_length"
    arguments = {"columns": columns, "label": [], "ignore": []}
    return given.with_frame(frame.assign(**more), **arguments)


def rename(given: Given, rng: Rng) -> Given | None:
    """Other names, mapped."""
    return _renamed(given, lambda name: f"{name}_x")


def rename_oddly(given: Given, rng: Rng) -> Given | None:
    """Names with capitals, spaces and slashes, mapped."""
    return _renamed(given, lambda name: f"Run/{name.title()} (final)")


def _renamed(given: Given, new: Callable[[str], str]) -> Given:
    columns = given.columns()
    known = {column.name for column in TRIAL_COLUMNS}
    taken = {name: name for name in map(str, given.frame.columns) if name in known}
    taken |= {str(theirs): ours for ours, theirs in columns.items()}
    for argument in ("search", "label", "ignore"):
        taken.update(dict.fromkeys(given.arguments.get(argument) or (), ""))
    renamed = {name: new(name) for name in taken if taken[name]}
    mapped = {ours: renamed[theirs] for theirs, ours in taken.items() if ours}
    return given.with_frame(given.frame.rename(columns=renamed), columns=mapped)


def accuracy_percent(given: Given, rng: Rng) -> Given | None:
    """Accuracies in percent, with the unit."""
    return _scaled_accuracy(given, lambda values: (100 * values).round(10), "percent")


def error_percent(given: Given, rng: Rng) -> Given | None:
    """Errors in percent in place of accuracies, with the unit."""
    return _scaled_accuracy(given, lambda values: (100 * (1 - values)).round(10), "error_percent")


def _scaled_accuracy(
    given: Given, scale: Callable[[pd.Series[Any]], pd.Series[Any]], unit: str
) -> Given | None:
    if given.accuracy is None:
        return None
    ours = given.ours(given.accuracy)
    columns = given.columns()
    if unit == "percent" and "test_accuracy_se" in columns:
        return None  # the spread would need the same
    if "test_accuracy_se" in columns and unit == "error_percent":
        return None
    frame = given.frame.assign(**{given.accuracy: scale(given.frame[given.accuracy])})
    return given.with_frame(frame, **given.unit(ours, unit))


def sparsity_percent(given: Given, rng: Rng) -> Given | None:
    """Sparsities in percent, with the unit."""
    return _scaled_sparsity(given, lambda values: (100 * values).round(10), "percent")


def weights_left(given: Given, rng: Rng) -> Given | None:
    """Percent of the weights that are left, with the unit."""
    return _scaled_sparsity(given, lambda values: (100 * (1 - values)).round(10), "density_percent")


def compression_ratio(given: Given, rng: Rng) -> Given | None:
    """Compression ratios, with the unit."""
    return _scaled_sparsity(given, lambda values: 1 / (1 - values), "compression_ratio")


def _scaled_sparsity(
    given: Given, scale: Callable[[pd.Series[Any]], pd.Series[Any]], unit: str
) -> Given | None:
    if given.sparsity is None:
        return None
    ours = given.ours(given.sparsity)
    frame = given.frame.assign(**{given.sparsity: scale(given.frame[given.sparsity])})
    return given.with_frame(frame, **given.unit(ours, unit))


def shuffle(given: Given, rng: Rng) -> Given | None:
    """Rows and columns in another order."""
    frame = _shuffled_rows(given.frame, rng)
    return given.with_frame(frame[list(rng.permutation(list(frame.columns)))])


def joined_with_itself(given: Given, rng: Rng) -> Given | None:
    """The table twice, one below the other."""
    if not _names_runs(given):
        return None
    return given.with_frame(pd.concat([given.frame, given.frame]))


def some_rows_twice(given: Given, rng: Rng) -> Given | None:
    """Two exports that overlap, one below the other."""
    if not _names_runs(given):
        return None
    again = given.frame.sample(frac=0.4, random_state=int(rng.integers(2**31)))
    return given.with_frame(pd.concat([given.frame, again], ignore_index=True))


def _names_runs(given: Given) -> bool:
    return any(name in map(str, given.frame.columns) for name in ("seed", "trial_id")) or bool(
        {"seed", "trial_id"} & set(given.columns())
    )


def through_csv(given: Given, rng: Rng) -> Given | None:
    """Written to a CSV and read again."""
    return given.with_frame(pd.read_csv(io.StringIO(given.frame.to_csv(index=False))))


def through_text(given: Given, rng: Rng) -> Given | None:
    """Every cell as text, as a spreadsheet exports it, with its row numbers."""
    text = io.StringIO(given.frame.reset_index(drop=True).to_csv())
    return given.with_frame(pd.read_csv(text, dtype="str"))


def through_json(given: Given, rng: Rng) -> Given | None:
    """Written as JSON records and read again."""
    text = given.frame.to_json(orient="records", double_precision=15)
    return given.with_frame(pd.DataFrame(json.loads(text)))


def percent_signs(given: Given, rng: Rng) -> Given | None:
    """Accuracies as text with a percent sign."""
    if given.accuracy is None or "test_accuracy_se" in given.columns():
        return None
    values = given.frame[given.accuracy]
    texts = values.map(lambda value: "" if pd.isna(value) else f"{100 * value:.10g} %")
    return given.with_frame(given.frame.assign(**{given.accuracy: texts}))


def a_note_each(given: Given, rng: Rng) -> Given | None:
    """A column of remarks, and one of durations."""
    count = len(given.frame)
    notes = [f"remark {place}" for place in range(count)]
    times = rng.uniform(50, 60, count).round(1)
    return given.with_frame(given.frame.assign(notes=notes, runtime_min=times))


def narrow_types(given: Given, rng: Rng) -> Given | None:
    """Categories for texts and whole numbers, as memory is saved."""
    frame = given.frame.copy()
    for name in frame.columns:
        if frame[name].dtype.kind in "iuO" or pd.api.types.is_string_dtype(frame[name].dtype):
            frame[name] = frame[name].astype("category")
    return given.with_frame(frame)


# What loses information, or makes it wrong


def round_to_percent(given: Given, rng: Rng) -> Given | None:
    """Accuracies rounded to whole percents."""
    return _rounded(given, 2)


def round_to_tenth(given: Given, rng: Rng) -> Given | None:
    """Accuracies rounded to tenths of a percent."""
    return _rounded(given, 3)


def _rounded(given: Given, digits: int) -> Given | None:
    if given.accuracy is None:
        return None
    values = given.frame[given.accuracy].round(digits)
    return given.with_frame(given.frame.assign(**{given.accuracy: values}))


def drop_worst_seeds(given: Given, rng: Rng) -> Given | None:
    """The worst seed of every sparse cell left out."""
    ranked = _ranked_runs(given)
    if ranked is None:
        return None
    sparse = given.frame[given.sparsity].astype(float) > 0
    return given.with_frame(given.frame[~((ranked == 1) & sparse)])


def drop_the_sparser_the_more(given: Given, rng: Rng) -> Given | None:
    """Runs left out at random, the more the sparser: from none to all but one."""
    ranked = _ranked_runs(given)
    if ranked is None:
        return None
    sparsities = sorted(given.frame[given.sparsity].unique())
    place = given.frame[given.sparsity].map(sparsities.index)
    lost = (place - 2).clip(lower=0)
    return given.with_frame(given.frame[ranked > lost])


def _ranked_runs(given: Given) -> pd.Series[Any] | None:
    """Rank of each run in its cell, 1 for the worst; None where runs are not rows."""
    if given.accuracy is None or given.sparsity is None or given.is_history:
        return None
    if "seed" not in given.keys and "config/seed" not in given.keys:
        return None
    if "tolerance" in given.arguments:
        return None
    own = [name for name in given.keys if name not in ("seed", "config/seed", "trial_id")]
    ranks: pd.Series[Any] = given.frame.groupby(own)[given.accuracy].rank(method="first")
    return ranks


def survivors_only(given: Given, rng: Rng) -> Given | None:
    """Results of two of the sparsest runs are empty cells."""
    if given.accuracy is None or given.sparsity is None or given.is_history:
        return None
    sparsest = given.frame[given.sparsity] == given.frame[given.sparsity].max()
    chosen = given.frame[sparsest].index[:2]
    frame = given.frame.copy()
    frame.loc[chosen, given.accuracy] = np.nan
    return given.with_frame(frame)


def failed_with_values(given: Given, rng: Rng) -> Given | None:
    """A column of states: two of the sparsest runs crashed, with their last values."""
    if given.sparsity is None or given.is_history or "status" in given.columns():
        return None
    sparsest = given.frame[given.sparsity] == given.frame[given.sparsity].max()
    state = pd.Series("finished", given.frame.index)
    state.loc[given.frame[sparsest].index[:2]] = "crashed"
    columns = {**given.columns(), "status": "State"}
    return given.with_frame(given.frame.assign(State=state), columns=columns)


def best_epoch(given: Given, rng: Rng) -> Given | None:
    """The maximum of the validation accuracy over epochs as the result, the curve kept."""
    if not given.is_history:
        return None
    frame = given.frame.copy()
    noise = rng.normal(size=len(frame)) / 200
    frame["val_accuracy"] = (frame["val_accuracy"] + noise.clip(-0.01, 0.03)).round(4)
    best = frame.groupby("trial_id")["val_accuracy"].transform("max")
    return given.with_frame(
        frame.assign(best_val_acc=best).drop(columns="test_accuracy"),
        columns={"val_accuracy": "best_val_acc"},
    )


def best_test_epoch(given: Given, rng: Rng) -> Given | None:
    """The maximum of the test accuracy over epochs as the result, beside its curve."""
    if not given.is_history:
        return None
    frame = given.frame.copy()
    # Test accuracies go up and down late in training, where validation has levelled off.
    level = frame.groupby("trial_id")["val_accuracy"].transform("max")
    curve = (level + rng.normal(size=len(frame)) / 200).round(4)
    best = curve.groupby(frame["trial_id"]).transform("max")
    is_last = frame["epoch"] == frame["epoch"].max()
    frame = frame.assign(test_curve=curve, test_accuracy=best.where(is_last))
    columns = {**given.columns(), "epoch_test_accuracy": "test_curve"}
    return given.with_frame(frame, columns=columns)


def average_some(given: Given, rng: Rng) -> Given | None:
    """The seeds of two cells averaged, unmarked, beside single runs."""
    frame = _averaged(given, most=2)
    return None if frame is None else given.with_frame(frame)


def average_all(given: Given, rng: Rng) -> Given | None:
    """The seeds of every cell averaged, unmarked."""
    frame = _averaged(given, most=99)
    return None if frame is None else given.with_frame(frame)


def _averaged(given: Given, most: int) -> pd.DataFrame | None:
    if given.accuracy is None or set(given.keys) != {"sparsity", "seed"}:
        return None
    if given.sparsity != "sparsity" or "tolerance" in given.arguments:
        return None
    chosen = sorted(given.frame["sparsity"].unique())[-most:]
    is_chosen = given.frame["sparsity"].isin(chosen)
    numbers = [name for name in map(str, given.frame.columns) if name in _measures(given)]
    means = given.frame[is_chosen].groupby("sparsity", as_index=False)[numbers].mean()
    first = given.frame[is_chosen].drop_duplicates("sparsity").drop(columns=numbers)
    averaged = first.merge(means, on="sparsity")
    return pd.concat([given.frame[~is_chosen], averaged], ignore_index=True)


def swap_accuracy_and_loss(given: Given, rng: Rng) -> Given | None:
    """Validation accuracy and loss under each other's name."""
    return _swapped(given, "val_accuracy", "val_loss")


def swap_sparsity_and_accuracy(given: Given, rng: Rng) -> Given | None:
    """Sparsity and result under each other's name."""
    if given.accuracy is None or given.sparsity is None or given.is_history:
        return None
    return _swapped(given, given.accuracy, given.sparsity)


def _swapped(given: Given, one: str, other: str) -> Given | None:
    if not {one, other} <= set(map(str, given.frame.columns)):
        return None
    return given.with_frame(given.frame.rename(columns={one: other, other: one}))


def density_as_sparsity(given: Given, rng: Rng) -> Given | None:
    """Weights left under the name of a sparsity, without the unit."""
    if given.sparsity is None:
        return None
    values = (1 - given.frame[given.sparsity]).round(10)
    return given.with_frame(given.frame.assign(**{given.sparsity: values}))


def reached_as_density(given: Given, rng: Rng) -> Given | None:
    """The sparsity asked for, beside the weights that were left as the sparsity reached."""
    if given.sparsity is None or "tolerance" in given.arguments or given.is_history:
        return None
    asked = given.frame[given.sparsity]
    frame = given.frame.assign(asked=asked, final=(1 - asked).round(6))
    columns = {name: own for name, own in given.columns().items() if own != given.sparsity}
    columns |= {"sparsity.target": "asked", "sparsity": "final"}
    return given.with_frame(frame.drop(columns=given.sparsity), columns=columns)


def error_as_accuracy(given: Given, rng: Rng) -> Given | None:
    """Errors under the name of an accuracy, without the unit."""
    if given.accuracy is None:
        return None
    values = (1 - given.frame[given.accuracy]).round(10)
    return given.with_frame(given.frame.assign(**{given.accuracy: values}))


def validation_as_test(given: Given, rng: Rng) -> Given | None:
    """Validation accuracies in the column of test accuracies too."""
    names = {ours: theirs for ours, theirs in given.columns().items()}
    validation = str(names.get("val_accuracy", "val_accuracy"))
    if given.accuracy is None or validation not in given.frame or given.accuracy == validation:
        return None
    values = given.frame[validation]
    if given.is_history:
        values = values.where(given.frame[given.accuracy].notna())
    return given.with_frame(given.frame.assign(**{given.accuracy: values}))


def copied_run(given: Given, rng: Rng) -> Given | None:
    """The results of a run pasted over those of another, sparser one."""
    if given.accuracy is None or given.sparsity is None or given.is_history:
        return None
    numbers = [name for name in map(str, given.frame.columns) if name in _measures(given)]
    levels = sorted(given.frame[given.sparsity].unique())
    source = given.frame.index[given.frame[given.sparsity] == levels[-2]][0]
    place = given.frame.index[given.frame[given.sparsity] == levels[-1]][0]
    frame = given.frame.copy()
    frame.loc[place, numbers] = frame.loc[source, numbers]
    return given.with_frame(frame)


def copied_seeds(given: Given, rng: Rng) -> Given | None:
    """All seeds of the sparsest cell have the results of its first."""
    if given.accuracy is None or given.sparsity is None or given.is_history:
        return None
    if "tolerance" in given.arguments or "seed" not in given.keys:
        return None
    numbers = [name for name in map(str, given.frame.columns) if name in _measures(given)]
    levels = sorted(given.frame[given.sparsity].unique())
    is_place = given.frame[given.sparsity] == levels[-1]
    frame = given.frame.copy()
    first = frame[is_place].iloc[0]
    for name in numbers:
        frame.loc[is_place, name] = first[name]
    return given.with_frame(frame)


def forget_the_axis(given: Given, rng: Rng) -> Given | None:
    """The searched column left out of the table, and the seeds with it."""
    axis = next((name for name in ("lr", "lam") if name in given.keys), None)
    if axis is None or "role" in given.keys:
        return None
    columns = {ours: theirs for ours, theirs in given.columns().items() if theirs != axis}
    frame = given.frame.drop(columns=[axis])
    return given.with_frame(frame, columns=columns, search=[])


def other_study(given: Given, rng: Rng) -> Given | None:
    """Another study with the same seeds below, nothing telling them apart."""
    if given.accuracy is None or given.is_history:
        return None
    other = given.frame.copy()
    other[given.accuracy] = (other[given.accuracy] - 0.01).round(4)
    for name in ("trial_id", "number"):
        if name in other:
            other[name] = [f"b{place}" for place in range(len(other))]
    return given.with_frame(pd.concat([given.frame, other], ignore_index=True))


TUNING: tuple[Operation, ...] = (
    Operation("melted", melt, True),
    Operation("a column for each seed", column_per_seed, True),
    Operation("columns renamed and mapped", rename, True),
    Operation("accuracies in percent, unit given", accuracy_percent, True),
    Operation("sparsities in percent, unit given", sparsity_percent, True),
    Operation("rows and columns in another order", shuffle, True),
    Operation("joined with itself", joined_with_itself, True),
    Operation("through a CSV", through_csv, True),
    Operation("accuracies rounded to tenths of a percent", round_to_tenth, False),
    Operation("worst seed of each sparse cell left out", drop_worst_seeds, False),
    Operation("empty results of the sparsest runs", survivors_only, False),
    Operation("best validation epoch as the result", best_epoch, False),
    Operation("seeds of two cells averaged, unmarked", average_some, False),
    Operation("accuracy and loss swapped", swap_accuracy_and_loss, False),
    Operation("weights left named sparsity", density_as_sparsity, False),
    Operation("validation values in the test column", validation_as_test, False),
    Operation("a run pasted over a sparser one", copied_run, False),
    Operation("another study below, nothing apart", other_study, False),
)
"""Operations that were looked at while reading and checks were written."""
COUNTED: tuple[Operation, ...] = (
    Operation("melted, other names, through a CSV", melt_named, True),
    Operation("a column for each sparsity", column_per_sparsity, True),
    Operation("columns named oddly and mapped", rename_oddly, True),
    Operation("errors in percent, unit given", error_percent, True),
    Operation("percent of weights left, unit given", weights_left, True),
    Operation("compression ratios, unit given", compression_ratio, True),
    Operation("some rows twice", some_rows_twice, True),
    Operation("every cell as text, with row numbers", through_text, True),
    Operation("through JSON", through_json, True),
    Operation("percent signs", percent_signs, True),
    Operation("columns of remarks and durations", a_note_each, True),
    Operation("categories for texts and whole numbers", narrow_types, True),
    Operation("accuracies rounded to whole percents", round_to_percent, False),
    Operation("runs left out, the more the sparser", drop_the_sparser_the_more, False),
    Operation("crashed runs with values, marked", failed_with_values, False),
    Operation("best test epoch as the result, curve kept", best_test_epoch, False),
    Operation("seeds of all cells averaged, unmarked", average_all, False),
    Operation("sparsity and accuracy swapped", swap_sparsity_and_accuracy, False),
    Operation("weights left as the sparsity reached", reached_as_density, False),
    Operation("errors named accuracy", error_as_accuracy, False),
    Operation("all seeds of a cell equal to the first", copied_seeds, False),
    Operation("searched column left out", forget_the_axis, False),
)
"""Operations that give the rates."""
