"""Arguments of the commands that launch a study, and what they say at its end."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sparsetune.cli.answers import answer_facts, print_answers
from sparsetune.cli.arguments import add_trial_arguments, parse_amount, print_json, print_line
from sparsetune.errors import printable

if TYPE_CHECKING:
    from sparsetune.launch.launch import Options, Outcome
    from sparsetune.paths import Place
    from sparsetune.storage.provenance import LaunchFolders
    from sparsetune.study import Study


def add_launch_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how a study is run, which changes none of its numbers."""
    add = parser.add_argument
    add("--address", help="an existing Ray cluster (default: a local one)")
    add_trial_arguments(parser)
    add("--checkpoint-seconds", type=parse_amount, default=30, metavar="S", help="default: 30")
    add(
        "--silence-minutes",
        type=parse_amount,
        default=15,
        metavar="M",
        help="end a trial that makes no step for so long (default: 15; 0: never)",
    )
    add("--trial-minutes", type=parse_amount, metavar="M", help="end a trial that takes longer")
    add("--keep-models", action="store_true", help="keep every final model as safetensors")
    add("--checkpoint-gib", type=parse_amount, metavar="G", help="default: 10 %% of the free disk")
    add(
        "--max-hours", type=parse_amount, metavar="H", help="refuse what is forecast to take longer"
    )
    add("--max-gib", type=parse_amount, metavar="G", help="refuse more checkpoints and models")
    add(
        "--track",
        action="append",
        default=[],
        metavar="TRACKER",
        help="follow the study in tensorboard, wandb or mlflow; may be repeated",
    )
    add("--tensorboard", action="store_true", help="the same as --track tensorboard")
    add("--no-report", action="store_true", help="do not write the report at the end")


def launch_options(
    parsed: argparse.Namespace,
    storage: Place,
    study_file: Path | None,
    remembered: LaunchFolders | None = None,
) -> Options:
    """Options of a launch.

    Args:
        parsed: The arguments of `add_launch_arguments`.
        storage: Parent of the study's directory.
        study_file: The file that declares the study, or None where it is not known.
        remembered: Folders of the study's earlier launches; None for a study that a file declares.
    """
    from sparsetune.launch.launch import Options
    from sparsetune.storage.provenance import LaunchFolders

    earlier = remembered or LaunchFolders()
    data_root = earlier.choose_data_root(parsed.data_root)
    return Options(
        storage=storage,
        address=parsed.address,
        gpus_per_trial=parsed.gpus_per_trial,
        cpus_per_trial=parsed.cpus_per_trial,
        data_root=data_root,
        path=(*parsed.path, *earlier.path),
        checkpoint_seconds=parsed.checkpoint_seconds,
        silence_minutes=parsed.silence_minutes,
        trial_minutes=parsed.trial_minutes,
        keep_models=parsed.keep_models,
        checkpoint_gib=parsed.checkpoint_gib,
        max_hours=parsed.max_hours,
        max_gib=parsed.max_gib,
        track=tuple(parsed.track),
        tensorboard=parsed.tensorboard,
        study_file=study_file,
        quiet=parsed.json,
    )


def say_own_code(study: Study, options: Options) -> None:
    """Say on stderr whose code a launch imports, before it does; nothing where it is all ours."""
    from sparsetune.import_path import append_to_path
    from sparsetune.launch.driver import python_path
    from sparsetune.own_code.modules import module_file, own_modules

    append_to_path(python_path(options.study_file, options.path))
    for module in own_modules(study.given()):
        if file := module_file(module):  # else the launch says so
            line = f"imports the study's own code: `{module}` of `{file}`"
            print(printable(line), file=sys.stderr)  # noqa: T201


def report_outcome(parsed: argparse.Namespace, outcome: Outcome) -> int:
    """Write the report of a study that was run, say where it is, and return the exit status."""
    from sparsetune.analysis import report
    from sparsetune.paths import command_path

    page = None if parsed.no_report or outcome.interrupted else report(outcome.directory)
    if parsed.json:
        print_json(
            {
                "directory": str(outcome.directory),
                "trials": dict(outcome.counts),
                "report": page and str(page),
                "interrupted": outcome.interrupted,
                "unsettled": list(outcome.unsettled),
            }
        )
    elif outcome.interrupted:
        print_line(f"Stopped. Go on with: sparsetune resume {command_path(outcome.directory)}")
    elif page:
        print_answers(answer_facts(outcome.directory))
        print_line(f"Report: {page}")
    return outcome.exit_status
