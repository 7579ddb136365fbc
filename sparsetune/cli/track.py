"""``sparsetune track``: send a study to a tracker, from its directory alone."""

from __future__ import annotations

import argparse

from sparsetune.cli.arguments import Commands, add_parser, parse_place, print_json, print_line


def add_command(commands: Commands) -> None:
    """Add the command with its arguments."""
    summary = "send what a tracker lacks of a study, from its directory alone"
    examples = (
        "track runs/digits --with tensorboard",
        "track runs/digits --with mlflow --with wandb",
    )
    parser = add_parser(commands, "track", track_study, summary, examples)
    parser.add_argument("directory", type=parse_place, help="the study's directory")
    parser.add_argument(
        "--with",
        dest="trackers",
        action="append",
        required=True,
        metavar="TRACKER",
        help="tensorboard, wandb or mlflow; may be repeated",
    )


def track_study(parsed: argparse.Namespace) -> int:
    """Send the study's trials, each evaluation once."""
    from sparsetune.launch.followers.sending import track_directory

    tracked = track_directory(parsed.directory, parsed.trackers)
    if parsed.json:
        runs = [one.facts() for one in tracked]
        print_json({"directory": str(parsed.directory), "trackers": runs})
        return 0
    for one in tracked:
        print_line(f"{one.name}: {one.sent} runs sent, {one.held} were there: {one.location}")
    return 0
