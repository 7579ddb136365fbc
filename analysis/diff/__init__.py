"""What changed from one study to another: in its declaration, its code and data, and in which conclusions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.diff.provenance import declared_fields, runtime_facts
from analysis.estimates.intervals import (
    estimate_means,
    seeds_needed,
    unseparated_text,
    welch_difference,
)
from analysis.estimates.means import MEASURE_COLUMNS, POOLING_COLUMNS, cell_values
from analysis.lengths.summary import summary
from analysis.load import StudyResults, load
from analysis.page.sections import headline_measure
from analysis.tables.results import Results
from sparsetune.errors import SparsetuneError
from sparsetune.paths import Place

TASK_FIELDS = ("base.task.kind", "base.task.dataset", "base.task.folder")
"""Fields of a declaration that say what is learned: where they differ, numbers are of different things."""
CHANGE_DTYPES = {"field": "string", "before": "string", "after": "string"}
SIDE_STATISTICS = ("n", "mean", "low", "high")
CONCLUSION_DTYPES = {
    f"{name}_{side}": "float64" for side in ("before", "after") for name in SIDE_STATISTICS
}
CONCLUSION_DTYPES |= dict.fromkeys(("difference", "low", "high", "df"), "float64") | {
    "n": "Int64",
    "paired": "boolean",
}
CONCLUSION_DTYPES |= {"n_before": "Int64", "n_after": "Int64", "verdict": "string"}


@dataclass(frozen=True)
class Diff:
    """Two studies side by side; ``before`` is the first, ``after`` the second, differences are after minus before.

    Args:
        before: The first study.
        after: The second.
        y: The measure that conclusions are of.
        unlike: Why the two cannot be compared; empty where they can, and else there are no conclusions.
        compared: What `conclusions` returns.
        level: Coverage of the intervals.
    """

    before: Results
    after: Results
    y: str
    unlike: tuple[str, ...]
    compared: pd.DataFrame
    level: float = 0.95

    def __repr__(self) -> str:
        names = ", ".join(results.design.name for results in (self.before, self.after))
        said = f"{len(self.compared)} cells" if not self.unlike else "not comparable"
        return f"<Diff of {names}: {self.y}, {said}>"

    def declaration(self) -> pd.DataFrame:
        """One row per dotted field that differs, defaults counted in: ``field before after``; NA where it is absent."""
        frame = _fields_side_by_side(declared_fields(self.before), declared_fields(self.after))
        return frame[_is_changed(frame)].reset_index(drop=True)

    def code(self) -> pd.DataFrame:
        """What trials ran on: ``field before after changed``; commits, packages, machine, data by digest.

        Several values mean several launches or workers. ``changed`` is NA where one study did not record the field.
        """
        frame = _fields_side_by_side(runtime_facts(self.before), runtime_facts(self.after))
        known = frame["before"].notna() & frame["after"].notna()
        return frame.assign(changed=_is_changed(frame).astype("boolean").where(known))

    def conclusions(self) -> pd.DataFrame:
        """One row per cell by ``arm sparsity epochs`` and further sweep axes, which are matched.

        Columns: ``n mean low high`` of either over report seeds, with ``_before`` and ``_after``; ``difference low high
        df n paired verdict``. It is paired by seed where both have values of the same seeds, else Welch's. ``verdict``
        is ``higher`` or ``lower`` where the interval excludes 0, ``same`` where every seed gave the same number, ``not
        separated`` otherwise, ``only before``, ``only after``, or says that a mean or an interval is missing.
        """
        return self.compared.copy()

    def findings(self) -> pd.DataFrame:
        """What `analysis.summary.summary` says in words and now says otherwise: ``arm sparsity field before after``."""
        keys = ["arm", "sparsity"]
        empty = pd.DataFrame(columns=[*keys, *CHANGE_DTYPES]).astype(
            {"arm": "string", "sparsity": "float64", **CHANGE_DTYPES}
        )
        if self.unlike or any(results.design.other_axes() for results in (self.before, self.after)):
            return empty
        said = [_summary_words(results, self.y, keys) for results in (self.before, self.after)]
        frame = said[0].merge(said[1], on=[*keys, "field"], suffixes=("_before", "_after"))
        frame = frame.rename(columns={"said_before": "before", "said_after": "after"})
        return pd.concat([empty, frame[_is_changed(frame)]], ignore_index=True).astype(
            empty.dtypes.to_dict()
        )

    def note(self) -> str:
        """What the differences are, and what may not be concluded."""
        if self.unlike:
            return "The two studies are not comparable: " + "; ".join(self.unlike) + "."
        frame = self.compared
        both = int(frame["difference"].notna().sum())
        if not both:
            return "No cell has report trials that finished in both studies: there is nothing to compare."
        pairs = int(frame["paired"].fillna(False).sum())
        way = "paired by seed" if pairs == both else "Welch's, of runs that share no seeds"
        way = (
            way if pairs in (0, both) else f"paired by seed in {pairs} cells, Welch's in the others"
        )
        return (
            f"Differences are after minus before, of means over report seeds, {way}; {100 * self.level:g} % intervals,"
            f" not corrected for {both} comparison{'s' * (both > 1)}: where nothing changed, about one in"
            f" {1 / (1 - self.level):.0f} excludes 0."
        )


def diff(
    before: Results | str | os.PathLike[str] | Place,
    after: Results | str | os.PathLike[str] | Place,
    y: str | None = None,
    *,
    level: float = 0.95,
) -> Diff:
    """Compare two studies.

    Args:
        before: A study directory, or results.
        after: Another.
        y: A measured column; by default accuracy on test, or what both have of score and validation.
        level: Coverage of the intervals.

    Raises:
        SparsetuneError: if ``y`` is unknown, or a directory is no readable study.
    """
    if y is not None and y not in MEASURE_COLUMNS:
        raise SparsetuneError(f"the measure must be one of {', '.join(MEASURE_COLUMNS)}, got `{y}`")
    first, second = (
        given if isinstance(given, Results) else load(given) for given in (before, after)
    )
    unlike = tuple(_incomparable_reasons(first, second))
    y = y or headline_measure(second if headline_measure(first) == "test_accuracy" else first)
    compared = (
        _conclusions(first, second, y, level)
        if not unlike
        else pd.DataFrame(columns=list(CONCLUSION_DTYPES))
    )
    return Diff(first, second, y, unlike, compared, level)


def _incomparable_reasons(before: Results, after: Results) -> Iterable[str]:
    """Why numbers of one say nothing of the other."""
    pairs: list[tuple[str, str | None, str | None]]
    pairs = [
        (path, declared_fields(before).get(path), declared_fields(after).get(path))
        for path in TASK_FIELDS
    ]
    named = [(results.design.minimize, results.design.objective) for results in (before, after)]
    if None not in (named[0][1], named[1][1]):
        first, second = (f"{'minimize' if low else 'maximize'} {column}" for low, column in named)
        pairs.append(("objective", first, second))
    for path, old, new in pairs:
        if old != new and isinstance(before, StudyResults) and isinstance(after, StudyResults):
            yield f"`{path.removeprefix('base.')}` is {old or 'absent'} in the first, {new or 'absent'} in the second"


def _fields_side_by_side(before: Mapping[str, str], after: Mapping[str, str]) -> pd.DataFrame:
    fields = list(dict.fromkeys([*before, *after]))
    rows = {
        "field": fields,
        "before": [before.get(f) for f in fields],
        "after": [after.get(f) for f in fields],
    }
    return pd.DataFrame(rows).astype(CHANGE_DTYPES)


def _is_changed(frame: pd.DataFrame) -> pd.Series[bool]:
    return (frame["before"].fillna("") != frame["after"].fillna("")).astype("bool")


def _summary_words(results: Results, y: str, keys: list[str]) -> pd.DataFrame:
    """What the summary says in words, and the length it chose: a row per arm, sparsity and column."""
    frame = summary(results, y)
    words = [
        name
        for name in frame.columns
        if name not in keys and frame[name].dtype in ("str", "string", "object")
    ]
    frame = frame.assign(epochs=frame["epochs"].map("{:g}".format))
    return frame.melt(
        id_vars=keys, value_vars=["epochs", *words], var_name="field", value_name="said"
    )


def _conclusions(before: Results, after: Results, y: str, level: float) -> pd.DataFrame:
    """One row per cell of either study."""
    others = [path for path in before.design.other_axes() if path in after.design.other_axes()]
    keys = ["arm", "sparsity", "epochs", *others]
    values = {}
    sides = []
    for side, results in (("before", before), ("after", after)):
        cells, values[side], _ = cell_values(results, y)
        means = estimate_means(
            values[side],
            [tuple(row) for row in cells[list(POOLING_COLUMNS)].itertuples(index=False)],
            level,
        )
        named = means[list(SIDE_STATISTICS)].set_index(cells.index).add_suffix(f"_{side}")
        sides.append(cells.reindex(columns=keys).join(named).assign(**{side: cells.index}))
    frame = (
        sides[0]
        .drop_duplicates(keys)
        .merge(sides[1].drop_duplicates(keys), on=keys, how="outer", sort=False)
    )
    order = [*_rows_without_nan(sides[0][keys]), *_rows_without_nan(sides[1][keys])]
    frame = frame.iloc[
        np.argsort([order.index(row) for row in _rows_without_nan(frame[keys])], kind="stable")
    ]
    found = _differences(frame.reset_index(drop=True), values["before"], values["after"], level)
    return found.reindex(columns=[*keys, *CONCLUSION_DTYPES]).astype(CONCLUSION_DTYPES)


def _rows_without_nan(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """The rows, None for what is missing: NaN equals nothing, not even itself."""
    return [tuple(None if pd.isna(value) else value for value in row) for row in frame.to_numpy()]


def _differences(
    frame: pd.DataFrame, old: pd.DataFrame, new: pd.DataFrame, level: float
) -> pd.DataFrame:
    """The frame with the difference of each cell, its interval and verdict."""
    a = old.reindex(frame["before"])
    b = new.reindex(frame["after"])
    seeds = a.columns.union(b.columns)
    x, y = (side.reindex(columns=seeds).to_numpy(dtype="float64") for side in (a, b))
    paired = (np.isnan(x) == np.isnan(y)).all(axis=1) & ~np.isnan(x).all(axis=1)
    like = [tuple(row) for row in frame[list(POOLING_COLUMNS)].itertuples(index=False)]
    found = estimate_means(np.where(paired[:, None], y - x, np.nan), like, level)
    apart = pd.DataFrame(
        [welch_difference(new, old, level) for old, new in zip(x, y, strict=True)],
        index=found.index,
    )
    found = found.assign(df=found["df"].where(found["interval"] != "bootstrap", found["n"] - 1))
    found = found.assign(sd=found["pooled_sd"].where(found["interval"] != "bootstrap", found["sd"]))
    names = ["n", "mean", "sd", "df", "low", "high"]
    found = (
        found[names]
        .astype("float64")
        .where(pd.Series(paired), apart.reindex(columns=names).astype("float64"))
    )
    more = np.maximum(seeds_needed(found["mean"], found["sd"], found["n"], level, found["df"]), 1)
    equal = paired & (np.nan_to_num(x) == np.nan_to_num(y)).all(axis=1)
    frame = frame.assign(
        **found.drop(columns=["sd", "mean"]), difference=found["mean"], paired=paired
    )
    rows = frame.assign(more=more, equal=equal).to_dict("records")
    return frame.assign(verdict=[_verdict(row) for row in rows])


def _verdict(row: Mapping[Any, Any]) -> str:
    """What one cell's interval allows to say."""
    for side, other in (("before", "after"), ("after", "before")):
        if pd.isna(row[other]):
            return f"only {side}"
    lacking = [side for side in ("before", "after") if pd.isna(row[f"mean_{side}"])]
    if lacking:
        return f"no mean {' or '.join(lacking)}"
    if row["equal"]:
        return f"same at n = {row['n']:.0f}, seed by seed"
    if pd.isna(row["low"]):
        return f"no interval at n = {row['n']:.0f}"
    if row["low"] > 0 or row["high"] < 0:
        return "higher" if row["low"] > 0 else "lower"
    return unseparated_text(row["n"], row["more"])
