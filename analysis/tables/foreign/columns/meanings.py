"""Meanings of columns whose name has two: settled by what they hold, or refused."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sparsetune.errors import Problem

from ....catalogue import write
from ...design import EPOCHS_FIELD, TARGET_FIELD
from .numbers import to_text
from .quotes import list_names
from .values import ReadColumns

DENSITY_DIGITS = 3
"""Significant digits of the density by which reached sparsities count as one."""
RATE_COLUMN = "lr"
RATE_FIELD = "optim.lr"
MAX_SHORT_HISTORY = 4
"""Rows of a run up to which they may as well be runs of several lengths."""
MIN_SHARED_VALUES = 2
"""Values that a column repeats in several configurations if it was crossed with them."""
TOOL_PREFIXES = ("config/", "config.", "params_", "params.", "param_", "hparam", "hyperparam")
"""Starts of names by which tools mark hyperparameters."""
_HYPERPARAMETERS = """
lam lambda alpha beta gamma delta eta rho mu tau temperature wd decay momentum nesterov bits dropout
batch bs width depth layers hidden heads warmup reg l1 l2 eps epsilon lr rate learning optimizer opt
method algorithm model arch dataset init epochs steps clip smoothing augmentation mixup cutmix k p q
"""
HYPERPARAMETER_WORDS = frozenset(_HYPERPARAMETERS.split())
"""Words of names that are hyperparameters or kinds of runs."""
_RECORDS = """
time seconds sec hours date day host hostname node gpu cuda device machine name id uuid path dir
logdir file url note notes comment comments tag tags user version commit git log rank pid iteration
iter index unnamed acc accuracy loss error err score f1 auc map iou ppl perplexity metric top1 top5
best last final max min mean avg std sd se flops macs memory mem params parameters nnz nonzero zeros
density sparsity runtime duration started finished created state status seed rep repeat replicate
run runs trial fold project entity group timestamp epoch step worker experiment checkpoint
"""
RECORD_WORDS = frozenset(_RECORDS.split())
"""Words of names that record a run or its results, and are no part of its recipe."""
REPETITION_WORDS = frozenset({"seed", "rep", "repeat", "replicate", "fold"})
"""Those of them that tell repetitions apart, also where a tool keeps them with the recipe."""


@dataclass(frozen=True)
class Recipes:
    """Rows by recipe and by run, before runs are built.

    Args:
        rows: Columns under our names.
        order: Column that tells a run's rows apart; None where none does.
    """

    rows: pd.DataFrame
    order: str | None

    @cached_property
    def ids(self) -> pd.Series[Any]:
        """Number of each row's recipe: its arm, sparsity and fields of the configuration."""
        rows = self.rows
        names = [name for name in map(str, rows.columns) if "." in name]
        names += [name for name in ("arm", "config_id", "target") if name in rows]
        keys = rows[names].assign(all=0)
        is_single = self.order is None or ("trial_id" in rows and rows["trial_id"].is_unique)
        if "sparsity" in rows and is_single and not {TARGET_FIELD, "target"} & set(names):
            # Reached sparsities of one recipe differ in late digits.
            density = 1 - rows["sparsity"].astype("float64")
            keys = keys.assign(density=density.map(lambda value: f"{value:.{DENSITY_DIGITS}g}"))
        return keys.groupby(list(keys), dropna=False, sort=False).ngroup()

    @cached_property
    def runs(self) -> pd.Series[Any]:
        """Number of each row's run, as far as ids, recipes and seeds tell."""
        rows = self.rows
        if "trial_id" in rows:
            return pd.Series(pd.factorize(rows["trial_id"])[0], rows.index)
        if self.order is None:
            return pd.Series(np.arange(len(rows)), rows.index)
        seed = rows["seed"] if "seed" in rows else pd.Series(0, rows.index)
        return rows.groupby([self.ids, seed], dropna=False, sort=False).ngroup()

    def is_constant_in_runs(self, values: pd.Series[Any]) -> bool:
        """True if no run has two of the values."""
        if (values.groupby(self.runs).nunique() <= 1).all():
            return True
        if "trial_id" in self.rows or self.order is None:
            return False
        # Rows of one step in what would be one run are several runs, if the values part them.
        step = self.rows[self.order]
        keys = pd.DataFrame({"run": self.runs, "step": step, "value": values})
        is_double = keys.duplicated(["run", "step"]).any()
        return bool(is_double and not keys.duplicated().any())

    def differ_in(self, values: pd.Series[Any]) -> bool:
        """True if two rows of one recipe have different values."""
        return bool((values.groupby(self.ids).nunique() > 1).any())


def settle_rate(
    read: ReadColumns, columns: Mapping[str, Hashable], order: str | None
) -> tuple[ReadColumns, list[Problem]]:
    """Read a column ``lr`` that is one number in each run as the searched learning rate.

    Args:
        read: The columns under our names.
        columns: The table's name by ours, as far as the caller named it.
        order: Column that tells a run's rows apart; None where none does.

    Returns:
        The columns, with `RATE_FIELD` in place of `RATE_COLUMN` where it is that; the problem of
        runs of one recipe that ended with different rates, though the caller calls it that.
    """
    rows = read.rows
    if RATE_COLUMN not in rows or RATE_FIELD in rows or not rows[RATE_COLUMN].fillna(0).any():
        return read, []
    recipes = Recipes(rows, order)
    if not recipes.is_constant_in_runs(rows[RATE_COLUMN]):
        return read, []
    if RATE_COLUMN not in columns:
        theirs: dict[str, Hashable] = {}
        for ours, name in read.theirs.items():
            theirs[RATE_FIELD if ours == RATE_COLUMN else ours] = name
        renamed = rows.rename(columns={RATE_COLUMN: RATE_FIELD})
        notes = [*read.notes, str(write("reading_rate"))]
        return replace(read, rows=renamed, theirs=theirs, notes=notes), []
    if not recipes.differ_in(rows[RATE_COLUMN]):
        return read, []
    name = read.theirs[RATE_COLUMN]
    rule = (
        "is the learning rate of the last step, in which runs of one recipe do not differ: give"
        f" columns={{'{RATE_FIELD}': '{name}'}} if it was searched, else ignore=['{name}']"
    )
    return read, [Problem(RATE_COLUMN, rule)]


def length_problems(
    read: ReadColumns, columns: Mapping[str, Hashable], order: str | None
) -> Iterator[Problem]:
    """Problem of an ``epoch`` or ``step`` that may be an evaluation's, or the length of a run.

    Args:
        read: The columns under our names.
        columns: The table's name by ours, as far as the caller named it.
        order: Column that tells a run's rows apart; None where none does.
    """
    rows = read.rows
    if order not in ("epoch", "step") or order in columns or EPOCHS_FIELD in rows:
        return
    if "status" in rows:
        rows = rows[rows["status"].isin(["COMPLETE"]) | rows["status"].isna()]
    recipes = Recipes(rows, order)
    if "trial_id" in rows:
        has_history = rows["trial_id"].duplicated().any()
        is_open = not has_history and recipes.differ_in(rows[order])
    else:
        # Without seeds `rows.add_trial_ids` refuses such rows.
        is_open = "seed" in rows and _may_be_lengths(rows[order], recipes.runs)
    if is_open:
        is_epoch = order == "epoch"
        length = f"columns={{'{EPOCHS_FIELD}': 'epoch'}}" if is_epoch else "sweep=['step']"
        rule = (
            "may be that of an evaluation or the length of a run, and runs differ in it: give"
            f" columns={{'{order}': '{order}'}} if rows are evaluations, {length} if it is the"
            " length of training"
        )
        yield Problem(order, rule)


def _may_be_lengths(steps: pd.Series[Any], runs: pd.Series[Any]) -> bool:
    """True if what would be histories are a few rows that do not count up from the start."""
    groups = steps.astype("float64").sort_values(kind="stable").groupby(runs)
    sizes = groups.size()
    if sizes.max() < 2 or sizes.max() > MAX_SHORT_HISTORY:
        return False
    counts_up = groups.diff().dropna().nunique() <= 1 and groups.min().max() <= 1
    return not counts_up


def untaken_axis_problem(
    table: pd.DataFrame, rows: pd.DataFrame, untaken: Sequence[Hashable], order: str | None
) -> Iterator[Problem]:
    """Problem of columns that were not taken, and tell runs of one recipe apart.

    To leave one out would make repetitions of what are different recipes.

    Args:
        table: The rows as they were given.
        rows: The same under our names.
        untaken: Columns that nobody said anything about.
        order: Column that tells a run's rows apart; None where none does.
    """
    recipes = Recipes(rows, order)
    found = [name for name in untaken if _tells_recipes_apart(table[name], recipes)]
    if found:
        names = ", ".join(f"'{name}'" for name in found[:5])
        rule = (
            f"runs of one recipe differ in {list_names(map(str, found), 5)}: say search=[{names}]"
            " if that was searched, sweep=[…] if it was crossed on purpose, label=[…] or"
            " ignore=[…] if it is no part of the recipe, or name it in `columns`"
        )
        yield Problem("", rule)


def _tells_recipes_apart(column: pd.Series[Any], recipes: Recipes) -> bool:
    """True if a column varies between runs of one recipe, and looks like a part of it."""
    name = str(column.name).lower()
    words = {word for word in re.split(r"[^a-z0-9]+", name) if word}
    is_hyperparameter = name.startswith(TOOL_PREFIXES)
    if words & REPETITION_WORDS or (words & RECORD_WORDS and not is_hyperparameter):
        return False
    values = to_text(column).replace("", np.nan)
    if not recipes.differ_in(values) or not recipes.is_constant_in_runs(values):
        return False
    if is_hyperparameter or words & HYPERPARAMETER_WORDS:
        return True
    # A measurement seldom has the same values in several recipes, as an axis that is crossed has.
    varies = values.groupby(recipes.ids).transform("nunique") > 1
    recipes_by_value = recipes.ids[varies].groupby(values[varies]).nunique()
    shared = int((recipes_by_value > 1).sum())
    return shared >= MIN_SHARED_VALUES and values.nunique() <= len(values) / 2
