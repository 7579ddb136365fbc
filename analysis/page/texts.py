"""What the page says under More around figures and tables, in sentences of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from sparsetune.study.questions.words import arm_words

from ..catalogue import write
from ..catalogue.template import Sentence
from ..estimates.means import absent_quantities
from ..tables.results import Results
from .origin import ResultsOrigin, report_command
from .parts import CombinationPart


def summary_sentences(results: Results, part: CombinationPart) -> Iterator[Sentence]:
    """Sentences below the main table of a combination.

    Args:
        results: The study.
        part: The combination, with a table.
    """
    design = results.design
    numbers = part.numbers
    yield write("summary_intervals")
    if numbers["epochs"].nunique() > 1:
        if design.objective:
            objective = results.measure(design.objective).phrase
            yield write("summary_best_length", objective=objective)
        else:
            yield write("summary_every_length")
    if design.equal == "train_flops":
        yield write("summary_equal_flops")
        yield write("summary_equal_lengths")
    elif not numbers["unpaired"].any():
        yield write("summary_twins")
    if numbers["unpaired"].any():
        yield write("differences_unpaired")
    yield write("summary_flops")
    if "extra_flops" in numbers:
        yield write("summary_mask_flops")
    if "ever_active" in numbers:
        yield write("summary_active")
    if numbers["gain"].notna().any():
        yield write("summary_gains", tolerance=part.tolerance)
        yield write("summary_gains_below")


def finding_rows(findings: pd.DataFrame) -> Iterator[Mapping[Any, Any]]:
    """Rows of `analysis.checks`, with arms in words."""
    for row in findings.to_dict("records"):
        arms = [arm_words(arm) for arm in row["arm"].split(", ")]
        yield row | {"arm": ", ".join(arms)}


def check_sentences(results: Results, not_run: Mapping[str, Sequence[str]]) -> Iterator[Sentence]:
    """Sentences below the findings of checks.

    Args:
        results: The study.
        not_run: What the results lack for a check, by its code.
    """
    absent = absent_quantities(results)
    if absent:
        them = "them" if len(absent) > 1 else "it"
        yield write("task_lacks", absent=" and no ".join(absent), them=them)
    for code, columns in not_run.items():
        yield write("checks_not_run", code=code, columns=", ".join(columns))


def cell_sentences(results: Results) -> Iterator[Sentence]:
    """Sentences above the table of all networks."""
    design = results.design
    if design.search:
        objective = results.measure(design.objective).phrase if design.objective else "nothing"
        yield write("cells_searched", objective=objective)
        if design.search_seeds > 1:
            yield write("cells_search_seeds", seeds=design.search_seeds)
    else:
        yield write("cells_not_searched")
        yield write("cells_not_best")
    yield from _weight_counts(results.trials())


def _weight_counts(trials: pd.DataFrame) -> Iterator[Sentence]:
    """Prunable weights and parameters of each network; none if the trials do not name a model."""
    if "task.model" not in trials:
        return
    known = trials.dropna(subset=["prunable_weights", "parameters"])
    networks = known[["task.model", "prunable_weights", "parameters"]].drop_duplicates()
    for row in networks.to_dict("records"):
        yield write(
            "cells_counted",
            model=row["task.model"],
            prunable=f"{row['prunable_weights']:,.0f}",
            parameters=f"{row['parameters']:,.0f}",
        )


def memory_sentences() -> list[Sentence]:
    """Sentences below the table of peak memory."""
    return [write("memory_gpu"), write("memory_cpu")]


def origin_sentences(
    results: Results, origin: ResultsOrigin, *, has_summary: bool
) -> Iterator[Sentence]:
    """Sentences on where the numbers come from.

    Args:
        results: The study or table.
        origin: Where it was read.
        has_summary: True if there is a main table.
    """
    tables = "answers, summary and cells" if has_summary else "answers and cells"
    yield write("origin_manuscript", tables=tables)
    trials = results.trials()
    runs = f"{len(trials):,} run{'' if len(trials) == 1 else 's'}"
    if origin.code:
        yield write("origin_read", code=origin.code)
    else:
        yield write("origin_table", name=results.design.name, runs=runs)
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    yield write("origin_made", time=made, command=report_command(results))


def open_runs(results: Results) -> Sentence:
    """Sentence on the status of the runs of a study that has not finished."""
    counts = results.trials()["status"].value_counts()
    shown = ", ".join(f"{count} {name}" for name, count in counts.items())
    total = int(counts.sum())
    runs = f"{total} run{'' if total == 1 else 's'}"
    return write("origin_open", runs=runs, counts=shown)
