"""``sparsetune diff``: show what changed between two studies."""

from __future__ import annotations

import argparse

from sparsetune.cli.arguments import Commands, add_parser, add_salvage, parse_place, print_json
from sparsetune.imports import without_own_code


def add_command(commands: Commands) -> None:
    """Add the command with its arguments."""
    summary = "show what changed between two studies: declaration, code, conclusions"
    examples = (
        "diff runs/digits runs/digits-2",
        "diff runs/digits runs/digits-2 --measure test_loss",
    )
    parser = add_parser(commands, "diff", show_diff, summary, examples)
    parser.add_argument("before", type=parse_place, help="a study's directory")
    parser.add_argument("after", type=parse_place, help="another's")
    parser.add_argument(
        "--measure", metavar="COLUMN", help="what conclusions are of (default: test_accuracy)"
    )
    add_salvage(parser)


@without_own_code()
def show_diff(parsed: argparse.Namespace) -> int:
    """Print the differences."""
    from sparsetune.analysis import diff
    from sparsetune.analysis.diff.text import as_json, show

    found = diff(parsed.before, parsed.after, parsed.measure, salvage=parsed.salvage)
    if parsed.json:
        print_json(as_json(found))
    else:
        show(found)
    return 0
