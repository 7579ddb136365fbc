"""``sparsetune report``: write the report of a study, with its figures and tables."""

from __future__ import annotations

import argparse

from sparsetune.cli.answers import answer_facts, print_answers
from sparsetune.cli.arguments import (
    Commands,
    accept_study_folders,
    add_parser,
    add_salvage,
    parse_place,
    print_json,
    print_line,
)
from sparsetune.imports import without_own_code


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
    accept_study_folders(parser)


@without_own_code()
def write_report(parsed: argparse.Namespace) -> int:
    """Write the report and say where it is."""
    from sparsetune.analysis import report

    page = report(parsed.directory, salvage=parsed.salvage)
    answer = answer_facts(parsed.directory, parsed.salvage)
    if parsed.json:
        print_json({"report": str(page), "answer": answer})
    else:
        print_answers(answer)
        print_line(f"Report: {page}")
    return 0
