"""Two studies side by side in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.diff import Diff
from analysis.load import StudyResults
from analysis.tables.results import Results

PERCENT_SUFFIXES = ("_accuracy", "_score", "_error")
"""How the names of measures end that are shown in percent."""
WIDE_TERMINAL_COLUMNS = 120
"""Columns from which both intervals are shown, not the difference's alone."""
SUMMARY_LABELS = {
    "verdict": "does longer training gain more than dense",
    "epochs": "best length (epochs)",
}
"""What the summary's columns are called here."""


def as_json(diff: Diff) -> dict[str, Any]:
    """Everything that differs as plain JSON values: numbers as fractions, missing ones null."""
    frames = {
        name: getattr(diff, name)() for name in ("declaration", "code", "conclusions", "findings")
    }
    frames = {
        name: frame.astype("object").where(frame.notna(), None) for name, frame in frames.items()
    }
    return {
        **{
            "before": _directory_text(diff.before),
            "after": _directory_text(diff.after),
            "measure": diff.y,
            "level": diff.level,
        },
        **{"comparable": not diff.unlike, "unlike": list(diff.unlike), "note": diff.note()},
        **{name: frame.to_dict("records") for name, frame in frames.items()},
    }


def show(diff: Diff, console: Console | None = None) -> None:
    """Print what differs for a person."""
    console = console or Console(highlight=False)
    for side, results in (("before", diff.before), ("after", diff.after)):
        name = escape(results.design.name)
        console.print(
            f"{side:<6} [bold]{name}[/] {escape(_directory_text(results))}", soft_wrap=True
        )
    declaration = diff.declaration()
    code = diff.code()
    findings = diff.findings()
    _print_fields(console, "Declaration", declaration, f"{_fields(len(declaration))} differ")
    changed = code[code["changed"].fillna(True)]
    unknown = int(code["changed"].isna().sum())
    said = f"{_fields(int(code['changed'].eq(True).sum()))} differ, {int(code['changed'].eq(False).sum())} are the same"
    _print_fields(
        console,
        "Code, machine and data",
        changed,
        said + (f", {unknown} not recorded in both" * (unknown > 0)),
    )
    if not diff.unlike:
        _print_conclusions(console, diff)
    if len(findings):
        places = findings["arm"] + findings["sparsity"].map(lambda value: f" {100 * value:.10g} %")
        fields = findings.assign(field=places + ": " + findings["field"].replace(SUMMARY_LABELS))
        _print_fields(console, "The summary", fields, f"{len(fields)} of its words differ")
    console.print()
    console.print(escape(diff.note()))


def _directory_text(results: Results) -> str:
    return str(results.directory.path) if isinstance(results, StudyResults) else results.design.name


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _print_fields(console: Console, title: str, frame: pd.DataFrame, said: str) -> None:
    """The fields as a table, or where long names would leave its values no room, before and after below each other."""
    console.print(f"\n[bold]{title}[/]: {said}")
    if max(map(len, frame["field"]), default=0) > console.width / 3:
        for row in frame.to_dict("records"):
            _print_pair(console, row)
    elif len(frame):
        table = _table()
        for name in ("field", "before", "after"):
            table.add_column(name, overflow="fold", no_wrap=name == "field")
        for row in frame.to_dict("records"):
            table.add_row(*(_text(row[name]) for name in ("field", "before", "after")))
        console.print(table)


def _print_pair(console: Console, row: dict[Any, Any]) -> None:
    pair = Table.grid(padding=(0, 2, 0, 2), pad_edge=True)
    pair.add_column(no_wrap=True)
    pair.add_column(overflow="fold")
    for side in ("before", "after"):
        pair.add_row(side, _text(row[side]))
    console.print(_text(row["field"]), overflow="fold")
    console.print(pair)


def _print_conclusions(console: Console, diff: Diff) -> None:
    frame = diff.conclusions()
    wide = console.width >= WIDE_TERMINAL_COLUMNS
    both = frame[~frame["verdict"].str.startswith("only")]
    factor = 100.0 if diff.y.endswith(PERCENT_SUFFIXES) else 1.0
    measure = f"{diff.y} in percent" if factor > 1 else diff.y
    console.print(
        f"\n[bold]{measure}[/], by cell" if len(both) else "\n[bold]No cell is in both studies.[/]"
    )
    if len(both):
        table = _table()
        others = [name for name in frame.columns if "." in str(name)]
        for name in (
            "arm",
            "sparsity",
            "epochs",
            *others,
            "before",
            "after",
            "after - before",
            "verdict",
        ):
            left = name in ("arm", "verdict")
            table.add_column(
                name.rpartition(".")[2],
                justify="left" if left else "right",
                no_wrap=name != "verdict",
            )
        for row in both.to_dict("records"):
            table.add_row(*_conclusion(row, others, wide, factor))
        console.print(table)
    for line in _unmatched_cells_text(frame):
        console.print(escape(line))


def _conclusion(row: dict[Any, Any], others: list[str], wide: bool, factor: float) -> Iterator[str]:
    yield escape(str(row["arm"]))
    yield f"{100 * row['sparsity']:.10g} %"
    yield f"{row['epochs']:g}"
    yield from (_text(row[name]) for name in others)
    for side in ("before", "after"):
        low, high = (row[f"{end}_{side}"] if wide else None for end in ("low", "high"))
        yield _interval(row[f"mean_{side}"], low, high, factor)
    yield _interval(row["difference"], row["low"], row["high"], factor, "+")
    yield escape(row["verdict"])


def _interval(value: Any, low: Any, high: Any, factor: float, sign: str = "") -> str:
    """``87.12 [86.90, 87.34]`` of fractions as percent, other measures with four digits; empty without a value."""
    form = f"{sign}.2f" if factor > 1 else f"{sign}.4g"
    if pd.isna(value):
        return ""
    ends = "" if pd.isna(low) else f" \\[{factor * low:{form}}, {factor * high:{form}}]"
    return f"{factor * value:{form}}{ends}"


def _unmatched_cells_text(frame: pd.DataFrame) -> Iterator[str]:
    """A line for the cells of one study that the other lacks."""
    for verdict in ("only before", "only after"):
        counts = frame.loc[frame["verdict"] == verdict, "arm"].value_counts(sort=False)
        cells = (f"{count} cell{'s' * (count > 1)} of {arm}" for arm, count in counts.items())
        if len(counts):
            yield f"{verdict[0].upper()}{verdict[1:]}: {', '.join(cells)}."


def _table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")


def _text(value: Any) -> str:
    return (
        "-"
        if pd.isna(value) or value == ""
        else escape(f"{value:.6g}" if isinstance(value, float) else str(value))
    )
