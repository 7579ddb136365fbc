"""``sparsetune status``: show how far a study is, also while it runs."""

from __future__ import annotations

import argparse

from sparsetune.cli.answers import NO_ANSWER, answer_facts, print_answers
from sparsetune.cli.arguments import (
    Commands,
    accept_study_folders,
    add_parser,
    add_salvage,
    parse_place,
    print_json,
)
from sparsetune.imports import without_own_code


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
    accept_study_folders(parser)


@without_own_code()
def show_status(parsed: argparse.Namespace) -> int:
    """Print the study's state."""
    from sparsetune.search.status import print_status, study_status
    from sparsetune.storage import StudyDirectory

    if parsed.json:
        facts = study_status(parsed.directory, salvage=parsed.salvage)
        # While it runs, all answers are open; reading them would take time from its trials.
        answer = NO_ANSWER if facts["driver"] else answer_facts(parsed.directory, parsed.salvage)
        print_json({**facts, "answer": answer})
        return 0
    print_status(parsed.directory, watch=parsed.watch, salvage=parsed.salvage)
    if not StudyDirectory(parsed.directory).driver():
        print_answers(answer_facts(parsed.directory, parsed.salvage))
    return 0
