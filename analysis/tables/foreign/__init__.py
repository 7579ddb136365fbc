"""Anybody's runs as results: a table of Ray Tune, Optuna, Weights & Biases or a spreadsheet, analysed like a study."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from analysis.tables.design import Design
from analysis.tables.foreign.cells import ImpliedCells, Select, infer_cells
from analysis.tables.foreign.columns import (
    MAX_TEXT_CHARACTERS,
    list_names,
    quote_value,
    read_columns,
)
from analysis.tables.foreign.runs import ForeignRuns, build_runs
from analysis.tables.foreign.source import read_source
from analysis.tables.foreign.units import Unit
from analysis.tables.results import Results
from sparsetune.errors import DeclarationError, Problem


@dataclass(frozen=True)
class TableResults(Results):
    """What a table of runs says; everything that analyses ask of results, except a study's directory.

    Args:
        runs: Trials and their evaluations.
        implied: Their cells and what was chosen.
        ignored: The table's columns that were not taken.
        sources: Of those that were named, ours and theirs.
    """

    runs: ForeignRuns
    implied: ImpliedCells
    ignored: tuple[str, ...]
    sources: tuple[tuple[str, str], ...] = ()

    @property
    def design(self) -> Design:
        """What the runs imply that they were meant to show."""
        return self.implied.design

    @property
    def fresh_seeds(self) -> bool:
        """Whether no winner is reported on the runs that chose it."""
        return self.implied.fresh_seeds

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided in reading the table, a sentence each."""
        ignored = f"Columns not taken: {list_names(self.ignored, 20)}."
        return (self.design.question, *self.runs.notes, *([ignored] if self.ignored else []))

    @property
    def _trials(self) -> pd.DataFrame:
        return self.implied.trials

    @property
    def _history(self) -> pd.DataFrame:
        same = self.implied.trials.set_index("trial_id")
        cell, role = (self.runs.history["trial_id"].map(same[name]) for name in ("cell", "role"))
        return self.runs.history.assign(cell=cell.astype("string"), role=role.astype("string"))

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
    """Any table of runs, with one row per run or one per evaluation, as results that every analysis takes.

    Args:
        path_or_frame: A CSV (UTF-8) or Parquet file, or a pandas frame.
        columns: The table's column for each of ours: names of `sparsetune.spec.columns.TRIAL_COLUMNS` (``test_accuracy``,
            ``val_loss``, ``sparsity``, ``epoch``, ``seed``, ``status``, ``arm``, ``trial_id``) and dotted fields of a
            `TrialSpec` (``optim.lr``, ``sparsity.target``). Columns that have our names need not be listed.
        units: What a fraction is written in: ``percent``, ``fraction``, or for a sparsity ``density`` or
            ``compression_ratio``. Without it numbers above 1 are refused where a fraction is due; with ``percent``,
            what looks like fractions is refused.
        select: ``best``: in each cell (an arm at one sparsity, length and point of ``sweep``), the configuration with
            the best validation mean stands for it; ``all``: every run does. By default the best where the table has a
            validation column, else all. The design's question says which.
        sweep: Dotted fields that are swept besides ``sparsity.target``, ``schedule.epochs`` and
            ``schedule.epoch_multiplier``; the others that vary within a cell are searched.
        name: Of the results and, where the table has no ``arm``, of the one arm; by default the file's.

    Returns:
        Rows of one ``trial_id`` are a run's evaluations, told apart by ``step``, ``epoch`` or ``progress``; the last
        is its result. Without ``trial_id`` they are those of one arm, configuration and seed. A ``val_score`` that is
        missing is 1 - ``val_error``. Sparse runs are paired with the dense one of equal seed and recipe. A run without
        ``status`` is COMPLETE unless it has no finite result, lacks a loss that others have, or ended more than an
        epoch before its schedule.

    Raises:
        DataError: if the file cannot be read.
        DeclarationError: with everything in it that is unknown, missing or ambiguous.
    """
    table, stem = read_source(path_or_frame)
    name = stem if name is None else str(name)
    problems = list(_argument_problems(columns, units, name))
    if problems:
        raise DeclarationError(problems, "the arguments of `load_table`")
    rows, problems, notes = read_columns(table, dict(columns or {}), dict(units or {}))
    if not len(table):
        problems.append(Problem("", "a table must have at least one row of runs", "none"))
    if problems:
        raise DeclarationError(problems, f"the table {quote_value(name)}")
    runs = build_runs(rows, name)
    runs = replace(runs, notes=(*notes, *runs.notes))
    taken = {str(theirs) for theirs in (columns or {}).values()} | set(rows)
    ignored = tuple(str(column) for column in table.columns if str(column) not in taken)
    sources = tuple((str(ours), str(theirs)) for ours, theirs in (columns or {}).items())
    return TableResults(runs, infer_cells(runs, name, select, list(sweep)), ignored, sources)


def _argument_problems(columns: object, units: object, name: str) -> list[Problem]:
    problems = [
        Problem(which, "must be a mapping by our names", quote_value(given))
        for which, given in (("columns", columns), ("units", units))
        if given is not None and not isinstance(given, Mapping)
    ]
    if not 0 < len(name) <= MAX_TEXT_CHARACTERS:
        problems.append(
            Problem(
                "name",
                f"must have 1 to {MAX_TEXT_CHARACTERS} characters; give a `name`",
                quote_value(name),
            )
        )
    return problems
