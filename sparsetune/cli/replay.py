"""``sparsetune replay``: what searches and stopping rules would have done on a finished study."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
from sparsetune.errors import DeclarationError, Problem
from sparsetune.imports import without_own_code

HALVING_FIELDS = ("rungs", "reduction", "settle", "early")
"""Fields of the study's stopping rule that the command line may replace."""
SEARCH_OPTIONS = ("methods", "cells", "configurations", "resamples", "figure")
"""Options of the comparison of searches."""
CLOCK_WORKERS = 2
"""Trials at once on the clock, unless asked otherwise."""
FIGURE_SUFFIXES = (".png", ".pdf", ".svg")


def add_command(commands: Commands) -> None:
    """Add the command with its arguments."""
    summary = "compare searches over a finished study; train nothing"
    examples = (
        "replay runs/digits",
        "replay runs/digits --methods sobol:1/2 gp:16+early asha:3 epoch:1/3",
    )
    parser = add_parser(commands, "replay", replay, summary, examples)
    parser.add_argument(
        "directory",
        type=parse_place,
        help="a study whose search trials trained to their end, or a landscape's .parquet file",
    )
    _add_search_options(parser)
    _add_clock_options(parser)
    add_salvage(parser)


def _add_search_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "searches", "regret on fresh seeds against the epochs spent, with 95 % intervals"
    )
    add = group.add_argument
    add(
        "--methods",
        nargs="+",
        metavar="METHOD",
        help="SAMPLER[:COUNT][+RULE[:NUMBER]], or a rule alone; samplers: sobol (the recorded"
        " order), gp; rules: epoch:FRACTION, asha, hyperband, median, halving, early (default:"
        " all of them)",
    )
    add("--cells", nargs="+", metavar="CELL", help="names of cells (default: all)")
    add(
        "--configurations",
        type=parse_size,
        metavar="N",
        help="configurations of a whole search (default: 32, or all if there are fewer)",
    )
    add(
        "--resamples",
        type=parse_size,
        metavar="N",
        help="how often configurations are resampled (default: 8)",
    )
    add("--figure", type=_parse_figure, metavar="FILE", help="draw it: .png, .pdf or .svg")


def _add_clock_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "stopping on a clock",
        "any of these replays the study's own proposals on parallel workers instead: minutes,"
        " whether each winner is kept, and which ramps are",
    )
    add = group.add_argument
    add(
        "--workers", type=parse_size, metavar="N", help=f"trials at once (default: {CLOCK_WORKERS})"
    )
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


def _parse_figure(text: str) -> Path:
    path = Path(text)
    if path.suffix not in FIGURE_SUFFIXES:
        raise argparse.ArgumentTypeError(f"must end in {', '.join(FIGURE_SUFFIXES)}, got {text!r}")
    return path


def replay(parsed: argparse.Namespace) -> int:
    """Compare searches, or stopping rules on a clock where one of its options is given."""
    clock = _given(parsed, ("workers", *HALVING_FIELDS))
    search = _given(parsed, SEARCH_OPTIONS)
    if not clock:
        return _replay_searches(parsed)
    if search:
        options = ", ".join(f"--{name}" for name in search)
        rule = f"does not go with {options}: it replays the study's own proposals on a clock"
        problems = [Problem(f"--{name}", rule) for name in clock]
        raise DeclarationError(problems, "replay")
    return _replay_on_clock(parsed)


def _given(parsed: argparse.Namespace, names: tuple[str, ...]) -> Mapping[str, Any]:
    values = {name: getattr(parsed, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


@without_own_code()
def _replay_searches(parsed: argparse.Namespace) -> int:
    """Print the comparison of searches, draw it where asked, and keep it for the report."""
    from sparsetune.analysis.frontiers.searches import SearchFront, write_searches
    from sparsetune.cluster.tune_schedulers import stopping_rules
    from sparsetune.search.replay.search_comparison import (
        RESAMPLES,
        compare_searches,
        print_searches,
    )

    found = compare_searches(
        parsed.directory,
        parsed.methods or (),
        rules=stopping_rules(),
        cells=parsed.cells or (),
        configurations=parsed.configurations,
        resamples=parsed.resamples or RESAMPLES,
        salvage=parsed.salvage,
    )
    shown = SearchFront.of(
        found.study,
        found.table,
        configurations=found.configurations,
        seeds=found.seeds,
        stopped=found.left_out,
    )
    if parsed.figure:
        shown.write_figure(parsed.figure)
    is_landscape = parsed.directory.suffix == ".parquet"
    table = None if is_landscape else write_searches(shown, parsed.directory)
    if parsed.json:
        print_json(
            {
                "study": found.study.name,
                "objective": found.objective,
                "configurations": found.configurations,
                "seeds": found.seeds,
                "resamples": found.resamples,
                "left_out": found.left_out,
                "skipped": found.skipped,
                "warnings": found.warnings,
                "table": found.table,
                "figure": parsed.figure and str(parsed.figure),
                "file": table and str(table),
            }
        )
        return 0
    print_searches(found, shown.y)
    if parsed.figure:
        print_line(f"Figure: {parsed.figure}")
    if table:
        print_line(f"Table for the report: {table}")
    return 0


@without_own_code()
def _replay_on_clock(parsed: argparse.Namespace) -> int:
    """Print the comparison of rules, and draw its figure where the study searches a ramp."""
    from sparsetune.analysis.load import load
    from sparsetune.analysis.ramps.replay_figure import draw_replay
    from sparsetune.cluster.tune_schedulers import build_schedulers
    from sparsetune.search.replay.comparison import print_replay, replay_study
    from sparsetune.storage import StudyDirectory

    found = replay_study(
        parsed.directory,
        _given(parsed, HALVING_FIELDS),
        schedulers=build_schedulers,
        workers=parsed.workers or CLOCK_WORKERS,
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
