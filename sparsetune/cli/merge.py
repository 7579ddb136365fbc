"""``sparsetune merge``: join study directories of one declaration from several machines."""

from __future__ import annotations

import argparse
from pathlib import Path

from sparsetune.cli.arguments import Commands, add_parser, print_json, print_line


def add_command(commands: Commands) -> None:
    """Add the command with its arguments."""
    summary = "join directories of one declaration, run on machines without shared storage"
    examples = (
        "merge runs/a/digits runs/b/digits --into runs/digits-both",
        "merge runs/a/digits runs/b/digits runs/c/digits --into runs/digits-all --json",
    )
    parser = add_parser(commands, "merge", merge, summary, examples)
    add = parser.add_argument
    add("directories", type=Path, nargs="+", metavar="DIR", help="two directories or more")
    add("--into", type=Path, required=True, metavar="DIR", help="the new directory")


def merge(parsed: argparse.Namespace) -> int:
    """Write the new directory and say what it holds."""
    from sparsetune.paths import command_path
    from sparsetune.storage.merge import merge_studies

    merged = merge_studies(parsed.directories, parsed.into)
    if parsed.json:
        print_json(
            {
                "directory": str(merged.directory.resolve()),
                "trials": dict(merged.counts),
                "warnings": list(merged.warnings),
            }
        )
        return 0
    for line in merged.warnings:
        print_line(f"Warning: {line}")
    name = command_path(merged.directory)
    counts = [f"{count} {status.lower()}" for status, count in sorted(merged.counts.items())]
    print_line(f"Merged into {name}: {', '.join(counts) or 'no trial yet'}")
    print_line(f"Go on with: sparsetune resume {name}")
    return 0
