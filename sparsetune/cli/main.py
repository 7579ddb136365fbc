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
    clean,
    diff,
    doctor,
    export,
    fields,
    init,
    layers,
    merge,
    preview,
    replay,
    report,
    resume,
    run,
    status,
    track,
)
from sparsetune.cli.completion import SHELLS, PrintCompletion, PrintVersion
from sparsetune.errors import SparsetuneError, printable
from sparsetune.machine import require_supported_system

COMMANDS = (
    init,
    run,
    resume,
    status,
    report,
    diff,
    merge,
    export,
    track,
    replay,
    preview,
    layers,
    clean,
    fields,
    doctor,
)
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
    parser.add_argument("--version", action=PrintVersion, nargs=0, help="print the version and end")
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=SHELLS,
        help="print a shell's tab completion and end",
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
    try:
        require_supported_system()
        parsed = build_parser().parse_args(arguments)
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
        print(printable(message), file=sys.stderr)  # noqa: T201
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS
    return USER_ERROR_STATUS
