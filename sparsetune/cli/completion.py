"""Options of ``sparsetune`` itself that print one thing: its version, and a shell's completion."""

from __future__ import annotations

import argparse
import importlib.util
from typing import Any

from sparsetune.cli.arguments import parse_place, print_line

SHELLS = ("bash", "zsh", "tcsh")
"""Shells that `shtab` writes a completion for."""


class PrintVersion(argparse.Action):
    """Print the installed version; it is looked up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *values: Any, **options: Any) -> None:
        """Print the version and end."""
        from importlib.metadata import version

        print_line(f"sparsetune {version('sparsetune')}")
        parser.exit()


class PrintCompletion(argparse.Action):
    """Print a shell's completion of commands, options and paths."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Print the completion and end."""
        if importlib.util.find_spec("shtab") is None:
            parser.error(f"{option_string} needs `shtab`: pip install 'sparsetune[completion]'")
        import shtab

        _name_paths(parser, shtab.FILE, shtab.DIRECTORY)
        print_line(shtab.complete(parser, shell=values))
        parser.exit()


def _name_paths(parser: argparse.ArgumentParser, file: Any, folder: Any) -> None:
    """Say which arguments are paths, as `shtab` reads it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _name_paths(command, file, folder)
        elif action.dest == "study":
            action.complete = file  # type: ignore[attr-defined]
        elif action.type is parse_place or action.metavar in ("DIR", "OUT"):
            action.complete = folder  # type: ignore[attr-defined]
