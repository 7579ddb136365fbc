"""``sparsetune report``: write the report of a study, with its figures and tables."""

from __future__ import annotations

import argparse

from sparsetune.cli.arguments import (
    Commands,
    add_parser,
    add_salvage,
    add_study_folders,
    parse_place,
    print_json,
    print_line,
    use_study_folders,
)


def add_command(commands: Commands) -> None:
    """Add the command with its arguments."""
    summary = "write report/index.html, figures and tables of a study"
    examples = (
        "report runs/digits",
        "report runs/digits --json",
    )
    parser = add_parser(commands, "report", write_report, summary, examples)
    parser.add_argument("directory", type=parse_place, help="the study's directory")
    add_salvage(parser)
    add_study_folders(parser)


def write_report(parsed: argparse.Namespace) -> int:
    """Write the report and say where it is."""
    from sparsetune.analysis import report

    use_study_folders(parsed, parsed.directory)
    page = report(parsed.directory, salvage=parsed.salvage)
    if parsed.json:
        print_json({"report": str(page)})
    else:
        print_line(f"Report: {page}")
    return 0
