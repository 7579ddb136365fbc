"""``sparsetune resume``: continue a study from its directory alone, or extend it."""

from __future__ import annotations

import argparse

from sparsetune.cli.arguments import Commands, add_parser, parse_count, parse_place
from sparsetune.cli.launching import (
    add_launch_arguments,
    launch_options,
    report_outcome,
    say_own_code,
)


def add_command(commands: Commands) -> None:
    """Add the command with its arguments."""
    summary = "go on with a study from its directory alone, or extend it"
    examples = (
        "resume runs/digits --add-report-seeds 2",
        "resume runs/digits --add-sweep sparsity.target=0.97,0.99 --ask retuning:gmp",
    )
    parser = add_parser(commands, "resume", resume_study, summary, examples)
    add = parser.add_argument
    add("directory", type=parse_place, help="the study's directory, such as runs/digits")
    add(
        "--add-report-seeds",
        type=parse_count,
        default=0,
        metavar="N",
        help="more seeds for every winner",
    )
    add(
        "--add-configurations",
        type=parse_count,
        default=0,
        metavar="N",
        help="more configurations per cell",
    )
    add(
        "--add-sweep",
        action="append",
        default=[],
        metavar="FIELD=V,V",
        help="more values of a declared sweep axis",
    )
    add(
        "--ask",
        action="append",
        default=[],
        metavar="QUESTION",
        help="one more question, KIND[:ARM[:FIELD=V,FIELD=V]]; marked as asked after the data",
    )
    add(
        "--retry-failed",
        action="store_true",
        help="run FAILED trials again, from their checkpoints",
    )
    add_launch_arguments(parser)


def resume_study(parsed: argparse.Namespace) -> int:
    """Continue the study, with what is added, and write its report."""
    from sparsetune.cli.studies import parse_sweep
    from sparsetune.storage import StudyDirectory
    from sparsetune.storage.provenance import launch_folders
    from sparsetune.study.questions.names import parse_question

    home = StudyDirectory(parsed.directory)
    study = home.study()
    sweep = parse_sweep(parsed.add_sweep)
    asked = tuple(map(parse_question, parsed.ask))
    # Imports Ray, which takes seconds: what is no study is said before.
    from sparsetune.launch.extension import Extension
    from sparsetune.launch.launch import launch

    folders = launch_folders(home)
    options = launch_options(parsed, home.path.parent, folders.study_file, folders)
    say_own_code(study, options)
    extension = Extension(
        parsed.add_report_seeds, parsed.add_configurations, sweep, parsed.retry_failed, asked
    )
    outcome = launch(study, options, directory=home.path, extend=extension)
    return report_outcome(parsed, outcome)
