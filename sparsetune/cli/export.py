"""``sparsetune export``: write the final network of a trial for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from sparsetune.cli.arguments import (
    Commands,
    add_data_root,
    add_parser,
    parse_place,
    print_json,
    print_line,
)


def add_command(commands: Commands) -> None:
    """Add the command with its arguments."""
    summary = "write a trial's final network with its certificate and a card"
    examples = (
        "export runs/digits/trials/0123456789ab exported",
        "export runs/sst2/trials/0123456789ab encoder --data-root /data",
    )
    parser = add_parser(commands, "export", export_network, summary, examples)
    parser.add_argument(
        "trial",
        type=parse_place,
        metavar="TRIAL_DIR",
        help="such as runs/digits/trials/0123456789ab",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    add_data_root(parser, "where models lie (or SPARSETUNE_DATA)")


def export_network(parsed: argparse.Namespace) -> int:
    """Write the network and say where it is."""
    from sparsetune.train.export import export_trial

    facts = export_trial(parsed.trial, parsed.out, parsed.data_root)
    if parsed.json:
        print_json(facts)
    else:
        print_line(f"Exported: {facts['directory']}")
    return 0
