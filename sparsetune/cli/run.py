"""``sparsetune run``: run a study; the same command again resumes it."""

from __future__ import annotations

import argparse

from sparsetune.cli.arguments import Commands, add_parser, add_study_arguments, load_study
from sparsetune.cli.launching import (
    add_launch_arguments,
    launch_options,
    report_outcome,
    say_own_code,
)


def add_command(commands: Commands) -> None:
    """Add the command with its arguments."""
    summary = "run a study; the same command again resumes it"
    examples = (
        "run studies.digits --quick",
        "run my_study.py --set schedule.epochs=16 --name longer",
    )
    parser = add_parser(commands, "run", run_study, summary, examples)
    add_study_arguments(parser)
    add_launch_arguments(parser)


def run_study(parsed: argparse.Namespace) -> int:
    """Run the study and write its report."""
    study, study_file = load_study(parsed)
    # Imports Ray, which takes seconds: a study that cannot be found is said before.
    from sparsetune.launch.launch import launch

    options = launch_options(parsed, parsed.storage, study_file)
    say_own_code(study, options)
    return report_outcome(parsed, launch(study, options))
