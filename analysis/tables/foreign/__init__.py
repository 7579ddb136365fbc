"""Results from any table of runs: of Ray Tune, Optuna, Weights & Biases or a spreadsheet."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from sparsetune.errors import DeclarationError, Problem

from ...catalogue import write
from ..design import Design
from ..results import Results
from .cells import ImpliedCells, Select, infer_cells
from .columns import MAX_TEXT_CHARACTERS, list_names, quote_value, read_columns
from .runs import ForeignRuns, build_runs
from .source import read_source
from .units import Unit

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
    """

    runs: ForeignRuns
    implied: ImpliedCells
    ignored: tuple[str, ...]
    sources: tuple[tuple[str, str], ...] = ()
    recognised: str = "a pandas frame"

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
    columns: Mapping[str, Hashable] | None = None,
    units: Mapping[str, Unit] | None = None,
    *,
    select: Select | None = None,
    sweep: Sequence[str] = (),
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
            listed.
        units: Unit of a fraction by our column name: ``percent``, ``fraction``, or for a sparsity
            ``density`` or ``compression_ratio``. Without it, numbers above 1 are refused where a
            fraction is due; with ``percent``, values that look like fractions are refused.
        select: ``best``: in each cell (an arm at one sparsity, length and point of ``sweep``), the
            configuration with the best validation mean represents it; ``all``: every run does. By
            default ``best`` if the table has a validation column, else ``all``. The design's
            question says which.
        sweep: Dotted fields that are swept besides ``sparsity.target``, ``schedule.epochs`` and
            ``schedule.epoch_multiplier``; other fields that vary within a cell are searched.
        name: Name of the results and, if the table has no ``arm``, of the one arm; by default the
            file's.

    Returns:
        Rows with one ``trial_id`` are a run's evaluations, distinguished by ``step``, ``epoch`` or
        ``progress``; the last is its result. Without ``trial_id``, rows with one arm, configuration
        and seed are a run. A missing ``val_score`` is 1 - ``val_error``. Sparse runs are paired
        with the dense run of equal seed and recipe. A run without ``status`` is COMPLETE unless it
        has no finite result, lacks a loss that others have, or ended more than an epoch before its
        schedule.

    Raises:
        DataError: if the file cannot be read.
        DeclarationError: naming everything in the table that is unknown, missing or ambiguous.
    """
    reading = read_source(path_or_frame)
    table = reading.frame
    name = reading.name if name is None else str(name)
    problems = _argument_problems(columns, units, name)
    if problems:
        raise DeclarationError(problems, "the arguments of `load_table`")
    certain = reading.certain_columns(columns or {})
    given = certain | dict(columns or {})
    rows, problems, notes = read_columns(table, given, dict(units or {}))
    # An empty table is reported along with wrong names, so that both can be fixed at once.
    if not len(table):
        problems.append(Problem("", "a table must have at least one row of runs", "none"))
    if problems:
        raise DeclarationError(problems, f"the table {quote_value(name)}")
    runs = build_runs(rows, name)
    runs = replace(runs, notes=(*reading.said(certain), *notes, *runs.notes))
    # Names are compared as text: a frame may have numbers as column names.
    taken = {*map(str, given.values()), *rows}
    ignored = tuple(str(column) for column in table.columns if str(column) not in taken)
    sources = tuple((str(ours), str(theirs)) for ours, theirs in given.items())
    implied = infer_cells(runs, name, select, list(sweep))
    return TableResults(runs, implied, ignored, sources, reading.recognised)


def _argument_problems(columns: object, units: object, name: str) -> list[Problem]:
    problems: list[Problem] = []
    for argument, given in (("columns", columns), ("units", units)):
        if given is not None and not isinstance(given, Mapping):
            problems.append(Problem(argument, "must be a mapping by our names", quote_value(given)))
    if not 0 < len(name) <= MAX_TEXT_CHARACTERS:
        rule = f"must have 1 to {MAX_TEXT_CHARACTERS} characters; give a `name`"
        problems.append(Problem("name", rule, quote_value(name)))
    return problems
