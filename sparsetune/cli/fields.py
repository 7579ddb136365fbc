"""``sparsetune fields``: list the fields of a trial with type, default and meaning."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING

from sparsetune.cli.arguments import Commands, add_parser, print_json, print_line

if TYPE_CHECKING:
    from sparsetune.spec.fields.trial import TrialField

MAX_COLUMNS = 100
"""Longer lines are hard to read, however wide the terminal is."""


def add_command(commands: Commands) -> None:
    """Add the command with its arguments."""
    summary = "list what a trial declares: every field with its type, default and meaning"
    examples = ("fields optim.lr", "fields sparsity.ramp")
    parser = add_parser(commands, "fields", show_fields, summary, examples)
    parser.add_argument("name", nargs="?", help="a field, or a part with all its fields")


def show_fields(parsed: argparse.Namespace) -> int:
    """Print every field, or those that a name stands for."""
    from sparsetune.spec.fields.trial import find_fields, trial_fields

    fields = find_fields(parsed.name) if parsed.name else trial_fields()
    if parsed.json:
        print_json({"fields": [field._asdict() for field in fields]})
    else:
        _print_fields(fields)
    return 0


def _print_fields(fields: list[TrialField]) -> None:
    """Print the name of each field with its type and default, and its meaning below it."""
    from rich.text import Text

    from sparsetune.terminal import TextConsole

    console = TextConsole()
    console.width = min(console.width, MAX_COLUMNS)
    indent = 4 * " "
    for field in fields:
        of = f" (task {field.kind})" if field.kind else ""
        default = "required" if field.default is None else f"default {field.default}"
        head = Text.assemble((field.name, "bold"), of, "  ", (f"{field.type}; {default}", "dim"))
        console.print(head)
        # Names in the text are marked as code in docstrings; a terminal shows them as they are.
        meaning = field.meaning.replace("``", "")
        print_line(
            textwrap.fill(meaning, console.width, initial_indent=indent, subsequent_indent=indent)
        )
