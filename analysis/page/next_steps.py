"""Sentences on what to run next, so that a verdict can be given or becomes surer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from sparsetune.errors import SparsetuneError

from ..checks.seeds import MIN_REPORT_SEEDS
from ..lengths.needed import AT_LEAST, epochs_needed
from ..load import StudyResults
from ..tables.results import Results
from ..tables.selection import cell_phrases, report_rows
from ..wording import format_seeds, line_phrase, list_names

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
    yield from _seed_sentences(results, numbers, command)
    yield from _longer_training_sentences(results)


def seeds_to_add(numbers: pd.DataFrame) -> int:
    """Number of seeds to add to every winner; 0 if none are advised.

    It is the only number of seeds that a report advises: enough to settle every gain that at most
    `MAX_ADVISED_SEEDS` more settle, if mean and spread stay, and to have `MIN_REPORT_SEEDS`.

    Args:
        numbers: Rows of `analysis.lengths.summary.summary`.
    """
    if numbers.empty or pd.isna(numbers["n"].min()):
        return 0
    lacking = max(0, MIN_REPORT_SEEDS - int(numbers["n"].min()))
    needed = _unsettled_rows(numbers)["gain_more_seeds"]
    within_reach = needed[needed <= MAX_ADVISED_SEEDS]
    settling = math.ceil(within_reach.max()) if len(within_reach) else 0
    return max(lacking, settling)


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
        phrases = cell_phrases(results)
        names = list_names([phrases[cell] for cell in unfinished])
        resume = _with_command(command, "")
        yield f"Finish {len(unfinished)} of {len(cells)} cells ({names}){resume}"
    failed = int(results.trials()["status"].eq("FAILED").sum())
    if failed:
        retry = _with_command(command, "--retry-failed")
        yield f"Run {failed} failed trials again, once their reason is fixed{retry}"


def _unsettled_rows(numbers: pd.DataFrame) -> pd.DataFrame:
    """Rows whose gain over dense has an interval that holds 0, one per arm and sparsity."""
    if numbers.empty:
        return numbers
    is_unsettled = numbers["verdict"].str.startswith("not settled")
    return numbers[is_unsettled].drop_duplicates(["arm", "sparsity"])


def _seed_sentences(results: Results, numbers: pd.DataFrame, command: str) -> Iterator[str]:
    """Sentences on the seeds to add, and on gains that would take too many."""
    unsettled = _unsettled_rows(numbers)
    far = (
        unsettled[unsettled["gain_more_seeds"] > MAX_ADVISED_SEEDS] if len(unsettled) else unsettled
    )
    near = unsettled.drop(index=far.index)
    count = seeds_to_add(numbers)
    option = _with_command(command, f"--add-report-seeds {count}")
    if count and len(near):
        yield (
            f"Add {count} {seeds_text(results, count)}, to settle what longer training gains beyond"
            f" the dense network for {_line_names(near)}{option}"
        )
    elif count:
        n = format_seeds(numbers["n"].min())
        yield f"With {n}, intervals are wide: add at least {count}{option}"
    if len(far):
        yield (
            f"Settling what longer training gains beyond the dense network for {_line_names(far)}"
            f" would take more than {MAX_ADVISED_SEEDS} seeds: another question may be worth more"
        )


def _longer_training_sentences(results: Results) -> Iterator[str]:
    """A sentence for each longest length, on the lines that were still gaining there."""
    lines_by_length: dict[Any, list[str]] = {}
    for row in _lines_still_gaining(results):
        lines_by_length.setdefault(row["longest"], []).append(_line_name(row))
    for longest, lines in lines_by_length.items():
        yield (
            f"Train longer than {longest:g} epochs: every shorter training is shown to be too short"
            f" for {list_names(lines)}"
        )


def _lines_still_gaining(results: Results) -> list[dict[Any, Any]]:
    """Lines whose longest training is shown to beat all shorter ones, as rows of `epochs_needed`.

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
    rows = needed[needed["verdict"] == AT_LEAST].to_dict("records")
    return [row for row in rows if tried.get((row["arm"], row["sparsity"])) == row["longest"]]


def _line_names(rows: pd.DataFrame) -> str:
    """The first few lines of a frame with ``arm sparsity``."""
    return list_names([_line_name(row) for row in rows.to_dict("records")])


def _line_name(row: Mapping[Any, Any]) -> str:
    """``GMP at 90 %``; the arm alone for dense."""
    return line_phrase(str(row["arm"]), row["sparsity"])
