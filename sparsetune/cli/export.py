"""``sparsetune export``: write the final network of a trial for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from sparsetune.cli.arguments import (
    Commands,
    add_data_root,
    add_parser,
    add_salvage,
    parse_place,
    print_json,
    print_line,
    study_data_root,
)
from sparsetune.imports import without_own_code


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
    add_data_root(parser, "where data sets lie (default: as the study's last launch had it)")
    add_salvage(parser)
    parser.add_argument("--path", type=Path, action="append", help=argparse.SUPPRESS)


@without_own_code()
def export_network(parsed: argparse.Namespace) -> int:
    """Write the network and say where it is."""
    from sparsetune.paths import resolve_place
    from sparsetune.train.export import export_trial

    given = resolve_place(parsed.trial)
    # The folder of a trial, or that of one of its attempts.
    trial = given.parent if given.name.startswith("attempt-") else given
    data_root = study_data_root(parsed.data_root, trial.parent.parent)
    facts = export_trial(parsed.trial, parsed.out, data_root, salvage=parsed.salvage)
    if parsed.json:
        print_json(facts)
    else:
        print_line(f"Exported: {facts['directory']}")
    return 0
