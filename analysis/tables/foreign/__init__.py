"""Results from any table of runs: of Ray Tune, Optuna, Weights & Biases or a spreadsheet."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np
import pandas as pd

from sparsetune.errors import DeclarationError, Problem

from ...catalogue import write
from ..design import Design
from ..readers.reading import Reading
from ..results import Results
from .cells import ImpliedCells, Select, infer_cells
from .columns.choices import Choices, ColumnLists, list_problems, resolve_choices
from .columns.given_means import (
    GivenSpread,
    Spread,
    add_standard_deviations,
    mean_problems,
    untold_mean_problems,
)
from .columns.known import COUNT_COLUMN, RESULT_COLUMNS
from .columns.lengths import resolve_lengths, totals_problems
from .columns.meanings import length_problems, settle_rate, untaken_axis_problem
from .columns.names import MAX_TEXT_CHARACTERS
from .columns.quotes import list_names, quote_value
from .columns.units import Unit
from .columns.values import ReadColumns, read_columns
from .maxima import best_of_untaken
from .reading import reading_table
from .rows import ORDER_COLUMNS, first_given_column
from .runs import ForeignRuns, build_runs
from .shapes import ColumnName, further_seed_problems, reshape, sparsity_column_advice
from .source import read_source

MAX_LISTED_IGNORED_COLUMNS = 20
"""Columns that the note on those not taken names."""


@dataclass(frozen=True, repr=False)
class TableResults(Results):
    """Results of a table of runs; it has all that analyses read except a study's directory.

    Args:
        runs: Trials and their evaluations.
        implied: Cells of the trials and what was chosen in them.
        ignored: Columns of the table that were not taken.
        sources: Pairs of our name and the table's name, of the columns that the caller named and
            of those that a tool's layout makes certain.
        recognised: What the table was taken for, such as ``an Optuna storage (SQLite) …``.
        reading: One row per column of the table: what it was taken as, its unit, what else it may
            be and how to choose that; see `load_table`.
        best_of: Pairs of our result and the table's column of evaluations whose best it is.
    """

    runs: ForeignRuns
    implied: ImpliedCells
    ignored: tuple[str, ...]
    sources: tuple[tuple[str, str], ...] = ()
    recognised: str = "a pandas frame"
    reading: pd.DataFrame = field(default_factory=pd.DataFrame)
    best_of: tuple[tuple[str, str], ...] = ()

    @property
    def design(self) -> Design:
        """Objective and axes that the runs imply."""
        return self.implied.design

    @property
    def fresh_seeds(self) -> bool:
        """True if no winner is reported on the runs that chose it."""
        return self.implied.fresh_seeds

    @property
    def notes(self) -> tuple[str, ...]:
        """Decisions made while reading the table, a sentence each."""
        notes = [self.design.question, *self.runs.notes]
        if self.ignored:
            names = list_names(self.ignored, MAX_LISTED_IGNORED_COLUMNS)
            notes.append(str(write("reading_ignored", names=names)))
        return tuple(notes)

    def given_means(self, y: str) -> pd.DataFrame:
        """``n sd dense_id`` of the runs that are means over several, by id; see `Results`."""
        means = self.runs.means
        if means.empty:
            return super().given_means(y)
        sd = means.get(f"{y}_sd", np.nan)
        return pd.DataFrame(
            {"n": means[COUNT_COLUMN], "sd": sd, "dense_id": means["dense_id"]}, index=means.index
        )

    @property
    def _trials(self) -> pd.DataFrame:
        return self.implied.trials

    @property
    def _history(self) -> pd.DataFrame:
        trials = self.implied.trials.set_index("trial_id")
        history = self.runs.history
        cell = history["trial_id"].map(trials["cell"])
        role = history["trial_id"].map(trials["role"])
        return history.assign(cell=cell.astype("string"), role=role.astype("string"))

    @property
    def _cells(self) -> pd.DataFrame:
        return self.implied.cells

    @property
    def _uses(self) -> pd.DataFrame:
        return self.implied.uses


def load_table(
    path_or_frame: str | os.PathLike[str] | pd.DataFrame,
    columns: Mapping[str, ColumnName] | None = None,
    units: Mapping[str, Unit] | None = None,
    *,
    select: Select | None = None,
    sweep: Sequence[Hashable] = (),
    search: Sequence[Hashable] = (),
    label: Sequence[Hashable] = (),
    ignore: Sequence[Hashable] = (),
    totals: Mapping[str, float] | None = None,
    spread: Spread | None = None,
    runs_per_mean: int | None = None,
    tolerance: float | None = None,
    name: str | None = None,
) -> TableResults:
    """Read any table of runs, with one row per run or one per evaluation, as results.

    Args:
        path_or_frame: A pandas frame, or a path, recognised by its content: a CSV (UTF-8),
            Parquet, JSON or Excel file; what Ray Tune, Optuna, Weights & Biases, MLflow, Syne Tune,
            TensorBoard, SparseML or the trainer of transformers left behind; or a pattern of
            several, such as ``runs/*.csv``.
        columns: The table's column for each of ours: names of
            `sparsetune.spec.columns.TRIAL_COLUMNS` (``test_accuracy``, ``val_loss``, ``sparsity``,
            ``epoch``, ``seed``, ``status``, ``arm``, ``trial_id``) and dotted fields of a
            `TrialSpec` (``optim.lr``, ``sparsity.target``). Columns that have our names need not be
            listed. A test metric of every epoch, beside the result, is ``epoch_test_accuracy``. A
            result may stand in several columns: a list names one for each seed, ``{0.5: "50 %",
            0.9: "90 %"}`` one for each sparsity. In a melted table, ours are asked for by the
            measures that it names.
        units: Unit by our column name: of a fraction ``percent`` or ``fraction``; of a sparsity
            also ``density``, ``density_percent`` (or ``kept``, ``pruned`` and their percent) and
            ``compression_ratio``; of an accuracy ``error``, of an error ``accuracy``, each also in
            percent; of a loss ``nats`` or ``bits``. A stated unit settles every doubt; without it,
            numbers above 1 are refused where a fraction is due.
        select: ``best``: in each cell (an arm at one sparsity, length and point of ``sweep``), the
            configuration with the best validation mean represents it; ``all``: every run does;
            ``test``: the one with the best test result does, which flatters it. By default ``best``
            if the table has a validation column, else ``all``. The design's question says which.
        sweep: Columns, by our name or the table's, that were crossed on purpose besides
            ``sparsity.target``, ``schedule.epochs`` and ``schedule.epoch_multiplier``.
        search: Columns that were searched, which need no name of ours: ``lam`` becomes the field
            ``own.lam``. Fields of ours that vary within a cell are searched without being listed.
        label: Columns that are carried along in `trials`, as ``label_NAME``, and change nothing.
        ignore: Columns of the table that are left out, though they have a name of ours.
        totals: Length of one whole training, ``{"epochs": 90, "steps": 112_590}``, by which lengths
            in text (``20000 steps``) become fractions of it; ``samples`` too. Epochs need none
            where the table gives ``schedule.epochs``.
        spread: What follows the mean in texts such as ``93.1 ± 0.2``: ``sd`` or ``se``.
        runs_per_mean: Number of runs behind every mean, where no column ``n`` gives it.
        tolerance: Distance, as a fraction, within which sparsities count as one.
        name: Name of the results and, if the table has no ``arm``, of the one arm; by default the
            file's.

    Returns:
        Rows with one ``trial_id`` are a run's evaluations, distinguished by ``step``, ``epoch`` or
        ``progress``; the last is its result. Without ``trial_id``, rows with one arm, configuration
        and seed are a run. A missing ``val_score`` is 1 - ``val_error``. Sparse runs are paired
        with the dense run of equal seed and recipe. A run without ``status`` is COMPLETE unless it
        has no finite result, lacks a loss that others have, or ended more than an epoch before its
        schedule. Rows with ``n`` and ``test_accuracy_sd`` (or ``_se``) are means over n runs. The
        results' ``reading`` has a row for each column: ``column taken_as role unit alternative
        choose``.

    Raises:
        DataError: if the file cannot be read.
        DeclarationError: naming everything in the table that is unknown, missing or ambiguous.
    """
    source = read_source(path_or_frame)
    name = source.name if name is None else str(name)
    given = GivenSpread(spread, runs_per_mean, COUNT_COLUMN in (columns or {}))
    lists = ColumnLists(sweep=sweep, search=search, label=label, ignore=ignore)
    problems = _argument_problems(columns, units, totals, name)
    problems += list_problems(lists)
    problems += _number_problems(given, tolerance)
    if problems:
        raise DeclarationError(problems, "the arguments of `load_table`")
    shaped = reshape(source.frame, columns or {})
    if shaped.problems:
        raise DeclarationError(shaped.problems, f"the table {quote_value(name)}")
    table = shaped.frame
    given_columns = shaped.columns
    certain = _certain_columns(replace(source, frame=table), given_columns, lists)
    choices, problems = resolve_choices(table, certain | given_columns, lists)
    read, more = read_columns(table, choices, dict(units or {}), given)
    problems += more
    # An empty table is reported along with wrong names, so that both can be fixed at once.
    if not len(table):
        problems.append(Problem("", "a table must have at least one row of runs", "none"))
    else:
        read, more = _settle(table, read, choices, dict(totals or {}))
        problems += more
    if problems:
        raise DeclarationError(problems, f"the table {quote_value(name)}")
    untaken = _untaken_columns(table, read, choices)
    runs = build_runs(add_standard_deviations(read.rows), name, tolerance, _hints(untaken))
    notes = (*source.said(certain), *shaped.notes, *read.notes, *runs.notes)
    runs = replace(runs, notes=notes)
    implied = infer_cells(runs, name, select, list(choices.sweep), list(choices.search))
    named = certain | given_columns
    sources = tuple((ours, str(theirs)) for ours, theirs in named.items())
    reading = reading_table(table, read, choices, implied.design)
    ignored = tuple(map(str, untaken))
    aside = [*untaken, *(column for column in table.columns if column in choices.ignored)]
    best_of = best_of_untaken(table, aside, runs.evaluations, runs.trials)
    return TableResults(runs, implied, ignored, sources, source.recognised, reading, best_of)


def _certain_columns(
    source: Reading, columns: Mapping[str, Hashable], lists: ColumnLists
) -> dict[str, Hashable]:
    """Columns that a tool's layout makes certain, and of which the caller says nothing."""
    listed = {str(column) for _, column in lists.named()}
    certain = source.certain_columns(columns)
    return {
        ours: theirs
        for ours, theirs in certain.items()
        if ours not in listed and str(theirs) not in listed
    }


def _settle(
    table: pd.DataFrame, read: ReadColumns, choices: Choices, totals: Mapping[str, float]
) -> tuple[ReadColumns, list[Problem]]:
    """Columns whose meanings are settled, and everything about them that is in doubt.

    Args:
        table: The rows as they were given.
        read: The columns under our names.
        choices: What the caller says of the columns.
        totals: Length of one whole training by unit.
    """
    order = first_given_column(read.rows, ORDER_COLUMNS)
    read, problems = settle_rate(read, choices.columns, order)
    problems += length_problems(read, choices.columns, order)
    rows, unresolved = resolve_lengths(read.rows, totals)
    problems += unresolved
    read = replace(read, rows=rows)
    problems += mean_problems(rows)
    untaken = _untaken_columns(table, read, choices)
    taken = [column for column in table.columns if column not in untaken]
    results = [name for name in RESULT_COLUMNS if name in rows]
    problems += untold_mean_problems(table, taken, results)
    problems += further_seed_problems(read.theirs, untaken)
    problems += untaken_axis_problem(table, rows, untaken, order)
    return read, problems


def _untaken_columns(table: pd.DataFrame, read: ReadColumns, choices: Choices) -> list[Hashable]:
    """Columns of the table that were neither taken nor left out on purpose."""
    # Names are compared as text: a frame may have numbers as column names.
    known = {*map(str, read.theirs.values()), *map(str, choices.ignored)}
    return [column for column in table.columns if str(column) not in known]


def _hints(untaken: Sequence[Hashable]) -> str:
    """End of a message that asks for columns: those that were not taken."""
    if not untaken:
        return ""
    return f"; not taken are {list_names(map(str, untaken), 10)}{sparsity_column_advice(untaken)}"


def _argument_problems(columns: object, units: object, totals: object, name: str) -> list[Problem]:
    problems: list[Problem] = []
    for argument, given in (("columns", columns), ("units", units), ("totals", totals)):
        if given is not None and not isinstance(given, Mapping):
            rule = "must be a mapping by our names" if argument != "totals" else "must be a mapping"
            problems.append(Problem(argument, rule, quote_value(given)))
    if isinstance(totals, Mapping):
        problems += totals_problems(totals)
    if not 0 < len(name) <= MAX_TEXT_CHARACTERS:
        rule = f"must have 1 to {MAX_TEXT_CHARACTERS} characters; give a `name`"
        problems.append(Problem("name", rule, quote_value(name)))
    return problems


def _number_problems(given: GivenSpread, tolerance: float | None) -> list[Problem]:
    """Problems of arguments that are numbers, or one of a few words."""
    problems: list[Problem] = []
    if given.kind not in (None, *get_args(Spread)):
        rule = "must be `sd`, a standard deviation over runs, or `se`, the mean's standard error"
        problems.append(Problem("spread", rule, quote_value(given.kind)))
    n = given.n
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        rule = "must be a whole number of runs, at least 1"
        problems.append(Problem("runs_per_mean", rule, quote_value(n)))
    is_number = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
    if tolerance is not None and not (is_number and 0 <= tolerance < 0.5):
        rule = "must be a fraction such as 0.005, from 0 to below 0.5"
        problems.append(Problem("tolerance", rule, quote_value(tolerance)))
    return problems
