"""``sparsetune doctor``: check versions, hardware, data, storage and a Ray cluster."""

from __future__ import annotations

import argparse
from pathlib import Path

from sparsetune.cli.arguments import (
    Commands,
    add_data_root,
    add_parser,
    parse_place,
    print_json,
)


def add_command(commands: Commands) -> None:
    """Add the command with its arguments."""
    summary = "check versions, hardware, data, storage and a Ray cluster"
    examples = (
        "doctor",
        "doctor --storage s3://bucket/runs --address 10.0.0.1:6379",
    )
    parser = add_parser(commands, "doctor", show_checks, summary, examples)
    parser.add_argument(
        "--storage",
        type=parse_place,
        default=Path("runs"),
        metavar="DIR",
        help="a folder or s3://…",
    )
    parser.add_argument("--address", help="an existing Ray cluster, whose every node is asked")
    add_data_root(parser, "where data sets lie (or SPARSETUNE_DATA)")


def show_checks(parsed: argparse.Namespace) -> int:
    """Print a line per check; the exit status is 1 where one found a fault."""
    from sparsetune.launch.doctor import checks_as_json, print_checks, run_checks

    checks = run_checks(parsed.storage, address=parsed.address, data_root=parsed.data_root)
    if parsed.json:
        facts = checks_as_json(checks)
        print_json(facts)
        return int(facts["faults"] > 0)
    return int(print_checks(checks) > 0)
