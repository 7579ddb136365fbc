"""Sentences on what to run next, so that a verdict can be given or becomes surer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from sparsetune.errors import SparsetuneError

from ..checks.seeds import MIN_REPORT_SEEDS
from ..lengths.saturation import epochs_needed
from ..load import StudyResults
from ..tables.results import Results
from ..tables.selection import report_rows
from ..wording import format_sparsity, list_names

MAX_ADVISED_SEEDS = 20
"""Seeds up to which more are advised; what would take more is a small difference."""


def next_step_sentences(results: Results, numbers: pd.DataFrame, command: str) -> Iterator[str]:
    """Sentences on what to run next, each with the command if there is one.

    Args:
        results: The study.
        numbers: Rows of `analysis.lengths.summary.summary`, of all combinations together.
        command: Command that resumes the study; empty if none does.
    """
    yield from _unfinished_sentences(results, command)
    # A gain that is not separated asks for seeds itself; else few seeds do.
    vague = _vague_rows(numbers)
    fewest_seeds: Any = numbers["n"].min() if len(numbers) else pd.NA
    yield from _more_seeds_sentences(results, vague, fewest_seeds, command)
    yield from _longer_training_sentences(results)
    are_seeds_few = pd.notna(fewest_seeds) and fewest_seeds < MIN_REPORT_SEEDS
    if vague.empty and are_seeds_few:
        count = MIN_REPORT_SEEDS - int(fewest_seeds)
        option = _with_command(command, f"--add-report-seeds {count}")
        yield (
            f"Add {count} {seeds_text(results, count)}: n = {fewest_seeds} is less than"
            f" three{option}"
        )


def seeds_text(results: Results, count: int) -> str:
    """Name of one or several more runs: a study's own report seeds, or a table's runs."""
    if isinstance(results, StudyResults):
        return "report seed" if count == 1 else "report seeds"
    return "run with another seed" if count == 1 else "runs with other seeds"


def _with_command(command: str, options: str) -> str:
    """The command with options, after a colon; empty without a command."""
    return f": {command} {options}".rstrip() if command else ""


def _unfinished_sentences(results: Results, command: str) -> Iterator[str]:
    """Sentences on cells that are not finished and trials that failed."""
    cells = results.cells()
    is_finished = cells["finished"].astype(bool)
    unfinished = cells.loc[~is_finished, "cell"].astype(str).tolist()
    if unfinished:
        names = list_names(unfinished)
        resume = _with_command(command, "")
        yield f"Finish {len(unfinished)} of {len(cells)} cells ({names}){resume}"
    failed = int(results.trials()["status"].eq("FAILED").sum())
    if failed:
        retry = _with_command(command, "--retry-failed")
        yield f"Run {failed} failed trials again, once their reason is mended{retry}"


def _vague_rows(numbers: pd.DataFrame) -> pd.DataFrame:
    """Rows whose gain over dense is not separated from 0, one per arm and sparsity."""
    if numbers.empty:
        return numbers
    is_vague = numbers["verdict"].str.startswith("not separated")
    return numbers[is_vague].drop_duplicates(["arm", "sparsity"])


def _more_seeds_sentences(
    results: Results, vague: pd.DataFrame, fewest_seeds: Any, command: str
) -> Iterator[str]:
    """Sentences on seeds that would separate what is vague, and on what would take too many."""
    if vague.empty:
        return
    takes_too_many = vague["gain_more_seeds"] > MAX_ADVISED_SEEDS
    question = "longer training is not separated from dense for"
    near = vague[~takes_too_many]
    if len(near):
        # Where the number is not known, three seeds give an interval at all.
        lacking = max(1, MIN_REPORT_SEEDS - fewest_seeds)
        count = math.ceil(near["gain_more_seeds"].fillna(lacking).max())
        option = _with_command(command, f"--add-report-seeds {count}")
        yield (
            f"Add about {count} {seeds_text(results, count)}, now n = {fewest_seeds}: {question}"
            f" {_line_names(near)}{option}"
        )
    far = vague[takes_too_many]
    if len(far):
        yield (
            f"More than {MAX_ADVISED_SEEDS} seeds, another question may be worth more: {question}"
            f" {_line_names(far)}"
        )


def _longer_training_sentences(results: Results) -> Iterator[str]:
    """A sentence for each longest length, on the lines that were still gaining there."""
    lines_by_length: dict[Any, list[str]] = {}
    for row in _lines_still_gaining(results):
        lines_by_length.setdefault(row["longest"], []).append(_line_name(row))
    for longest, lines in lines_by_length.items():
        yield (
            f"Train longer than {longest:g} epochs, the longest, where validation is still best:"
            f" {list_names(lines)}"
        )


def _lines_still_gaining(results: Results) -> list[dict[Any, Any]]:
    """Lines whose longest training is the best with some certainty, as rows of `epochs_needed`.

    Lines of which something longer was tried and has no mean, since it diverged say, are left out.
    There are none with further sweep axes, where it is not known which line a row belongs to.
    """
    if results.design.other_axes():
        return []
    try:
        needed = epochs_needed(results).frame()
    except SparsetuneError:
        return []
    tried = report_rows(results).groupby(["arm", "sparsity.target"])["epochs"].max()
    is_still_gaining = needed["at_least"].eq(True) & needed["low"].notna()
    rows = needed[is_still_gaining].to_dict("records")
    return [row for row in rows if tried.get((row["arm"], row["sparsity"])) == row["longest"]]


def _line_names(rows: pd.DataFrame) -> str:
    """The first few lines of a frame with ``arm sparsity``."""
    return list_names([_line_name(row) for row in rows.to_dict("records")])


def _line_name(row: Mapping[Any, Any]) -> str:
    """``gmp at 90 %``; the arm alone for dense."""
    if row["sparsity"] > 0:
        return f"{row['arm']} at {format_sparsity(row['sparsity'])} %"
    return str(row["arm"])
