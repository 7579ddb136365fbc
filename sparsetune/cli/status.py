"""``sparsetune status``: show how far a study is, also while it runs."""

from __future__ import annotations

import argparse

from sparsetune.cli.arguments import (
    Commands,
    add_parser,
    add_salvage,
    add_study_folders,
    parse_place,
    print_json,
    use_study_folders,
)


def add_command(commands: Commands) -> None:
    """Add the command with its arguments."""
    summary = "show how far a study is, also while it runs"
    examples = (
        "status runs/digits",
        "status runs/digits --watch",
    )
    parser = add_parser(commands, "status", show_status, summary, examples)
    parser.add_argument("directory", type=parse_place, help="the study's directory")
    parser.add_argument(
        "--watch", action="store_true", help="show it again every two seconds until Ctrl-C"
    )
    add_salvage(parser)
    add_study_folders(parser)


def show_status(parsed: argparse.Namespace) -> int:
    """Print the study's state."""
    from sparsetune.search.status import print_status, study_status

    use_study_folders(parsed, parsed.directory)
    if parsed.json:
        print_json(study_status(parsed.directory, salvage=parsed.salvage))
    else:
        print_status(parsed.directory, watch=parsed.watch, salvage=parsed.salvage)
    return 0
