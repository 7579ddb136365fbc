"""The parser of all commands, and the one place where a user's mistake becomes one message.

Each command imports what it needs when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from sparsetune.cli import (
    diff,
    doctor,
    export,
    layers,
    preview,
    replay,
    report,
    resume,
    run,
    status,
    track,
)
from sparsetune.errors import SparsetuneError

COMMANDS = (run, resume, status, report, diff, export, track, replay, preview, layers, doctor)
"""Every command, in the order of ``--help``."""

STORAGE_ERRNOS = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT}
"""Errors of a disk, which a message explains better than a traceback."""

USER_ERROR_STATUS = 2
INTERRUPTED_STATUS = 130


def build_parser() -> argparse.ArgumentParser:
    """Parser with every command and its options."""
    parser = argparse.ArgumentParser(
        prog="sparsetune", description="Hyperparameter studies of sparse training."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_command(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Words of the command line; those of this process by default.

    Returns:
        The exit status. A user's mistake is one message without a traceback, and status 2.
    """
    parsed = build_parser().parse_args(arguments)
    try:
        return int(parsed.command(parsed))
    except SparsetuneError as error:
        print(f"sparsetune: {error}", file=sys.stderr)  # noqa: T201
    except BrokenPipeError:
        # The reader of a pipe has gone: nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in STORAGE_ERRNOS:
            raise
        message = f"sparsetune: `{error.filename}` cannot be written: {error.strerror}"
        print(message, file=sys.stderr)  # noqa: T201
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS
    return USER_ERROR_STATUS
