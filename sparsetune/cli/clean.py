"""``sparsetune clean``: free the disk of a study's checkpoints and models."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sparsetune.cli.arguments import Commands, add_parser, print_json, print_line
from sparsetune.errors import StudyDirectoryError

if TYPE_CHECKING:
    from sparsetune.storage import StudyDirectory
    from sparsetune.storage.trial_files import LargeFile


RESUMED_STATUSES = ("RUNNING", "WAITING", "FAILED")
"""Statuses of trials that go on from a checkpoint, FAILED ones when they are retried."""


def add_command(commands: Commands) -> None:
    """Add the command with its arguments."""
    summary = "delete a study's checkpoints or models; its numbers and reports stay"
    examples = (
        "clean runs/digits --checkpoints",
        "clean runs/digits --checkpoints --models --yes",
    )
    parser = add_parser(commands, "clean", clean, summary, examples)
    add = parser.add_argument
    add("directory", type=Path, help="the study's directory")
    add("--checkpoints", action="store_true", help="an unfinished trial starts again without")
    add("--models", action="store_true", help="final models, which export reads")
    add("--yes", action="store_true", help="delete without asking")


def clean(parsed: argparse.Namespace) -> int:
    """Say what would be freed, and free it once that is confirmed."""
    from sparsetune.storage import StudyDirectory
    from sparsetune.storage.trial_files import delete_files, find_large_files, total_bytes

    home = StudyDirectory(parsed.directory)
    home.study()  # raises where this is no study directory
    kinds = [kind for kind in ("checkpoints", "models") if getattr(parsed, kind)]
    if not kinds:
        raise StudyDirectoryError("clean needs --checkpoints, --models or both; it got neither")
    # Held, so that no driver starts between the question and the end.
    with home.locked():
        files = find_large_files(home, kinds)
        sizes = {kind: size for kind, size in total_bytes(files).items() if kind in kinds}
        if files and not parsed.json:
            _describe(home, files, sizes)
        deletes = bool(files) and (parsed.yes or (not parsed.json and _confirm()))
        if deletes:
            delete_files(files)
    if parsed.json:
        print_json({"directory": str(home.path), "bytes": sizes, "deleted": deletes})
    elif deletes:
        print_line("Deleted.")
    elif not files:
        print_line(f"Nothing to delete: no {' and no '.join(kinds)}.")
    return 0


def _describe(home: StudyDirectory, files: Sequence[LargeFile], sizes: Mapping[str, int]) -> None:
    """Say what would be freed, and lost."""
    from sparsetune.storage.trial_state import fold_records
    from sparsetune.units import format_bytes

    for kind, size in sizes.items():
        count = sum(file.kind == kind for file in files)
        print_line(f"{kind}: {format_bytes(size)} in {count} file{'' if count == 1 else 's'}")
    trials = fold_records(home.recorded().records)
    saved = {file.trial_id for file in files if file.kind == "checkpoints"}
    needed = [one for one in saved if one in trials and trials[one].status in RESUMED_STATUSES]
    if needed:
        print_line(
            f"Unfinished or failed trials that then start from their beginning: {len(needed)}"
        )


def _confirm() -> bool:
    """True if a person at a terminal agrees."""
    if not sys.stdin.isatty():
        print_line("Nothing was deleted; give --yes to delete them.")
        return False
    return input("Delete them? [y/N] ").strip().lower() in ("y", "yes")
