"""``sparsetune replay``: what stopping rules would have saved of a finished study."""

from __future__ import annotations

import argparse

from sparsetune.cli.arguments import (
    Commands,
    add_parser,
    add_salvage,
    parse_amount,
    parse_amounts,
    parse_place,
    parse_size,
    print_json,
    print_line,
)
from sparsetune.imports import without_own_code

HALVING_FIELDS = ("rungs", "reduction", "settle", "early")
"""Fields of the study's stopping rule that the command line may replace."""


def add_command(commands: Commands) -> None:
    """Add the command with its arguments."""
    summary = "replay schedulers over a finished study; train nothing"
    examples = (
        "replay runs/digits",
        "replay runs/digits --workers 8 --rungs 0.25,0.5",
    )
    parser = add_parser(commands, "replay", replay, summary, examples)
    add = parser.add_argument
    add("directory", type=parse_place, help="a study whose search trials trained to their end")
    add("--workers", type=parse_size, default=2, metavar="N", help="trials at once (default: 2)")
    add(
        "--rungs",
        type=parse_amounts,
        metavar="P,P",
        help="fractions of training (default: the study's)",
    )
    add(
        "--reduction",
        type=parse_amount,
        metavar="R",
        help="the best 1/R go on (default: the study's)",
    )
    add(
        "--settle",
        type=parse_amount,
        metavar="S",
        help="fraction at target before (default: the study's)",
    )
    add(
        "--early",
        action=argparse.BooleanOptionalAction,
        help="compare networks that are not pruned yet, too (default: the study's)",
    )
    add_salvage(parser)


@without_own_code()
def replay(parsed: argparse.Namespace) -> int:
    """Print the comparison and draw its figure, where the study searches a ramp."""
    from sparsetune.analysis.load import load
    from sparsetune.analysis.ramps.replay_figure import draw_replay
    from sparsetune.cluster.tune_schedulers import build_schedulers
    from sparsetune.search.replay.comparison import print_replay, replay_study
    from sparsetune.storage import StudyDirectory

    given = {name: getattr(parsed, name) for name in HALVING_FIELDS}
    changes = {name: value for name, value in given.items() if value is not None}
    found = replay_study(
        parsed.directory,
        changes,
        schedulers=build_schedulers,
        workers=parsed.workers,
        salvage=parsed.salvage,
    )
    objective = load(parsed.directory).measure(found.objective)
    stem = StudyDirectory(parsed.directory).figures / "replay"
    figure = draw_replay(found.table, found.configurations, objective, stem)
    if parsed.json:
        print_json(
            {
                "study": found.study,
                "objective": found.objective,
                "workers": found.workers,
                "rule": found.rule,
                "left_out": found.left_out,
                "table": found.table,
                "figure": figure and str(figure),
            }
        )
        return 0
    print_replay(found, objective.phrase)
    print_line(f"Figure: {figure}" if figure else "No figure: the study searches no ramp.")
    return 0
