"""Differences of two studies, printed in a terminal or as plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sparsetune.study.questions.words import arm_words
from sparsetune.terminal import TextConsole

from ..estimates.intervals import MAX_MORE_SEEDS
from ..load import StudyResults
from ..tables.results import Results
from ..wording import line_phrase
from . import Diff
from .conclusions import STUDY_SIDES

WIDE_TERMINAL_COLUMNS = 120
"""Terminal width from which each study's own intervals are shown, not the difference's alone."""
MAX_FIELD_SHARE = 1 / 3
"""Share of the terminal's width up to which names of fields have a column of their own."""
SUMMARY_LABELS = {
    "verdict": "does longer training gain more than dense",
    "epochs": "best length (epochs)",
}
"""Names of the summary's columns in a terminal."""


def as_json(diff: Diff) -> dict[str, Any]:
    """All differences as plain JSON values: fractions as they are, null for missing values."""
    return {
        "before": _directory_text(diff.before),
        "after": _directory_text(diff.after),
        "measure": diff.y.column,
        "level": diff.level,
        "comparable": not diff.unlike,
        "unlike": list(diff.unlike),
        "note": diff.note(),
        "declaration": _json_rows(diff.declaration()),
        "code": _json_rows(diff.code()),
        "conclusions": _json_rows(diff.conclusions()),
        "findings": _json_rows(diff.findings()),
    }


def _json_rows(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    return frame.astype("object").where(frame.notna(), None).to_dict("records")


def show(diff: Diff, console: Console | None = None) -> None:
    """Print all differences.

    Args:
        diff: The differences.
        console: Where to print; standard output by default.
    """
    console = console or TextConsole()
    _print_study(console, "before", diff.before)
    _print_study(console, "after", diff.after)
    declaration = diff.declaration()
    _print_fields(console, "Declaration", declaration, f"{_field_count(len(declaration))} differ")
    _print_code(console, diff.code())
    if not diff.unlike:
        _print_conclusions(console, diff)
    findings = diff.findings()
    if len(findings):
        _print_findings(console, findings)
    console.print()
    console.print(escape(diff.note()))


def _print_study(console: Console, side: str, results: Results) -> None:
    name = escape(results.design.name)
    directory = escape(_directory_text(results))
    console.print(f"{side:<6} [bold]{name}[/] {directory}", soft_wrap=True)


def _directory_text(results: Results) -> str:
    """Path of the study directory; the name of results that have none."""
    if isinstance(results, StudyResults):
        return str(results.directory.path)
    return results.design.name


def _print_code(console: Console, code: pd.DataFrame) -> None:
    """Print the facts that differ or were recorded by one study only, and count the others."""
    n_changed = int(code["changed"].eq(True).sum())
    n_same = int(code["changed"].eq(False).sum())
    n_unknown = int(code["changed"].isna().sum())
    summary = f"{_field_count(n_changed)} differ, {n_same} are the same"
    if n_unknown:
        summary += f", {n_unknown} not recorded in both"
    shown = code[code["changed"].fillna(True)]
    _print_fields(console, "Code, machine and data", shown, summary)


def _print_findings(console: Console, findings: pd.DataFrame) -> None:
    fields = []
    for row in findings.to_dict("records"):
        label = SUMMARY_LABELS.get(row["field"], row["field"])
        fields.append(f"{_network(row)}: {label}")
    named = findings.assign(field=fields)
    _print_fields(console, "The summary", named, f"{len(named)} of its words differ")


def _field_count(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _print_fields(console: Console, title: str, frame: pd.DataFrame, summary: str) -> None:
    """Print ``field before after`` as a table.

    If long names would leave the values no room, before and after stand below each other.
    """
    console.print(f"\n[bold]{title}[/]: {summary}")
    if frame.empty:
        return
    # Names are not folded, since a reader searches for them.
    longest = max(len(field) for field in frame["field"])
    if longest > MAX_FIELD_SHARE * console.width:
        for row in frame.to_dict("records"):
            _print_field(console, row)
        return
    table = _empty_table()
    table.add_column("field", overflow="fold", no_wrap=True)
    table.add_column("before", overflow="fold")
    table.add_column("after", overflow="fold")
    for row in frame.to_dict("records"):
        table.add_row(_text(row["field"]), _text(row["before"]), _text(row["after"]))
    console.print(table)


def _print_field(console: Console, row: dict[Any, Any]) -> None:
    """Print a field with its values below."""
    values = Table.grid(padding=(0, 2, 0, 2), pad_edge=True)
    values.add_column(no_wrap=True)
    values.add_column(overflow="fold")
    for side in STUDY_SIDES:
        values.add_row(side, _text(row[side]))
    console.print(_text(row["field"]), overflow="fold")
    console.print(values)


def _print_conclusions(console: Console, diff: Diff) -> None:
    """Print the cells of both studies as a table, and count those of one study only."""
    frame = diff.conclusions()
    is_in_both = ~frame["verdict"].str.startswith("only")
    matched = frame[is_in_both]
    if matched.empty:
        console.print("\n[bold]No network is in both studies.[/]")
    else:
        is_percent = diff.y.is_fraction
        console.print(f"\n[bold]{escape(diff.y.label)}[/]: did it change?")
        is_wide = console.width >= WIDE_TERMINAL_COLUMNS
        console.print(_conclusions_table(matched, is_wide, is_percent))
    for line in _unmatched_cell_lines(frame):
        console.print(escape(line))


def _conclusions_table(frame: pd.DataFrame, is_wide: bool, is_percent: bool) -> Table:
    """A row per cell.

    Args:
        frame: Rows of `Diff.conclusions`, of cells that both studies have.
        is_wide: Adds the interval to each study's mean, and the seeds that would settle a change.
        is_percent: Shows fractions in percent.
    """
    # Columns of dotted fields are the further sweep axes.
    axes = [name for name in frame.columns if "." in str(name)]
    table = _empty_table()
    table.add_column("network", no_wrap=True)
    for name in ("epochs", *axes, "before", "after", "after - before"):
        table.add_column(name.rpartition(".")[2], justify="right", no_wrap=True)
    table.add_column("changed")
    table.add_column("seeds", justify="right", no_wrap=True)
    if is_wide:
        table.add_column("add about", justify="right", no_wrap=True)
    for row in frame.to_dict("records"):
        table.add_row(*_conclusion_cells(row, axes, is_wide, is_percent))
    return table


def _conclusion_cells(
    row: dict[Any, Any], axes: list[str], is_wide: bool, is_percent: bool
) -> Iterator[str]:
    """The cells of one row of `_conclusions_table`."""
    yield escape(_network(row))
    yield f"{row['epochs']:g}"
    for axis in axes:
        yield _text(row[axis])
    for side in STUDY_SIDES:
        low = row[f"low_{side}"] if is_wide else None
        high = row[f"high_{side}"] if is_wide else None
        yield _interval_text(row[f"mean_{side}"], low, high, is_percent)
    yield _interval_text(row["difference"], row["low"], row["high"], is_percent, sign="+")
    yield escape(row["verdict"])
    yield "" if pd.isna(row["n"]) else f"{row['n']}"
    if is_wide:
        yield _more_seeds(row["more_seeds"])


def _network(row: Mapping[Any, Any]) -> str:
    """A network in words: ``GMP at 98 %``, ``dense network``."""
    return line_phrase(str(row["arm"]), row["sparsity"]).removeprefix("the ")


def _more_seeds(count: float) -> str:
    """About how many more seeds would settle a change; empty where it is settled."""
    if pd.isna(count):
        return ""
    return f"> {MAX_MORE_SEEDS:,}" if math.isinf(count) else f"{count:.0f}"


def _interval_text(value: Any, low: Any, high: Any, is_percent: bool, sign: str = "") -> str:
    """A value with its interval, escaped: ``87.12 [86.90, 87.34]``; empty if it is missing.

    Args:
        value: The value.
        low: Lower end of its interval; None or NaN for no interval.
        high: Upper end.
        is_percent: Shows fractions in percent with two decimals; else numbers with four digits.
        sign: ``+`` shows the sign of positive numbers too.
    """
    if pd.isna(value):
        return ""
    factor = 100.0 if is_percent else 1.0
    number_format = f"{sign}.2f" if is_percent else f"{sign}.4g"
    text = f"{factor * value:{number_format}}"
    if pd.isna(low):
        return text
    return f"{text} \\[{factor * low:{number_format}}, {factor * high:{number_format}}]"


def _unmatched_cell_lines(frame: pd.DataFrame) -> Iterator[str]:
    """A line on the cells that only one study has, for each study that has any."""
    for verdict in ("only before", "only after"):
        counts = frame.loc[frame["verdict"] == verdict, "arm"].value_counts(sort=False)
        if len(counts):
            of_arms = [f"{count} of {arm_words(str(arm))}" for arm, count in counts.items()]
            yield f"Networks {verdict}: {', '.join(of_arms)}."


def _empty_table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")


def _text(value: Any) -> str:
    """A value, escaped, a float with six digits; a dash if it is missing or empty."""
    if pd.isna(value) or value == "":
        return "-"
    return escape(f"{value:.6g}" if isinstance(value, float) else str(value))
