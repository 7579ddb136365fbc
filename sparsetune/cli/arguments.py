"""Arguments that several commands share, and how their text is read."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsetune.errors import SparsetuneError, printable

if TYPE_CHECKING:
    from sparsetune.paths import Place
    from sparsetune.study import Study

Commands = Any
"""What `argparse` returns from ``add_subparsers``, whose type is private."""
EXAMPLES_HEADING = "examples:"
"""First line of what ends every ``--help``."""


class _HelpFormatter(argparse.HelpFormatter):
    """Layout of a command's help: lines of the examples stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(EXAMPLES_HEADING):
            return text
        return super()._fill_text(text, width, indent)


def add_parser(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    examples: Sequence[str] = (),
) -> argparse.ArgumentParser:
    """Add a command with ``--json``.

    Args:
        commands: Of the parser that it becomes a command of.
        name: As it is typed.
        run: Called with the parsed arguments; returns the exit status.
        summary: What the command does, without a capital and a full stop.
        examples: Command lines without ``sparsetune``, for the end of its ``--help``.
    """
    description = summary[0].upper() + summary[1:] + "."
    lines = [EXAMPLES_HEADING, *[f"  sparsetune {example}" for example in examples]]
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog="\n".join(lines),
        formatter_class=_HelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.set_defaults(command=run)
    return parser


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study of a declaration, and what changes it."""
    parser.add_argument(
        "study", help="a module (studies.digits) or a .py file that holds one Study"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="set a field of the base"
    )
    parser.add_argument("--name", help="another name for the study, and so another directory")
    parser.add_argument(
        "--quick", action="store_true", help="the one-minute form, named NAME-quick"
    )
    parser.add_argument(
        "--storage",
        type=parse_place,
        default=Path("runs"),
        metavar="DIR",
        help="a folder or s3://…",
    )


def load_study(parsed: argparse.Namespace) -> tuple[Study, Path]:
    """The declared study with its changes, and the file that holds it.

    Raises:
        SparsetuneError: if there is no such study.
        DeclarationError: if it is to be changed, and has problems.
    """
    from sparsetune.cli.studies import find_study, parse_overrides
    from sparsetune.import_path import append_to_path

    append_to_path(map(Path.resolve, parsed.path))
    study, file = find_study(parsed.study)
    if parsed.set or parsed.quick:
        _require_fields(study)  # what is not valid has no axes to pin and no quick form
    version = _defaults_version(parsed, study)
    if parsed.quick:
        study = study.under_defaults(version).quick()
    if parsed.set:
        _require_fields(study)
        # After the quick form, which would override what is set.
        study = _pinned(study, parse_overrides(parsed.set))
    study = study.under_defaults(version)
    if parsed.name:
        study = study.with_changes(name=parsed.name)
    return study, file


def _require_fields(study: Study) -> None:
    """Refuse a study with a field that is not valid, so that nothing can be made of it.

    Raises:
        DeclarationError: naming every problem.
    """
    if study.field_problems():
        from sparsetune.launch.preflight import require_runnable

        require_runnable(study, needs_data=False)


def _pinned(study: Study, values: Mapping[str, Any]) -> Study:
    """The study with fields set, each of which takes effect.

    Raises:
        DeclarationError: naming every field that does not.
    """
    from sparsetune.errors import DeclarationError
    from sparsetune.study.pins import pin_problems

    pinned = study.pinned(values)
    _require_fields(pinned)
    if problems := list(pin_problems(study, pinned, values)):
        raise DeclarationError(problems, "--set")
    return pinned


def _defaults_version(parsed: argparse.Namespace, study: Study) -> int:
    """Version of the defaults that a study is declared under: its directory's, where there is one.

    Raises:
        StudyDirectoryError: if its directory was declared under a later version.
        StorageError: if the directory cannot be read.
    """
    from sparsetune.paths import resolve_place
    from sparsetune.spec.defaults import DEFAULTS_BY_VERSION
    from sparsetune.storage import StudyDirectory

    if DEFAULTS_BY_VERSION.current == 1 or study.field_problems():
        return 1
    name = f"{study.name}-quick" if parsed.quick else study.name
    home = StudyDirectory(resolve_place(parsed.storage) / (parsed.name or name))
    return home.defaults_version()


def add_trial_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what one trial gets: processors, a share of a GPU, data."""
    parser.add_argument(
        "--gpus-per-trial",
        type=parse_amount,
        metavar="SHARE",
        help="default: 1 where there are GPUs",
    )
    parser.add_argument(
        "--cpus-per-trial", type=parse_amount, default=1, metavar="N", help="default: 1"
    )
    add_data_root(parser, "where data sets lie (or SPARSETUNE_DATA)")
    add_search_path(parser)


def add_search_path(parser: argparse.ArgumentParser) -> None:
    """Add ``--path``."""
    text = "where your own modules lie; may be repeated"
    parser.add_argument("--path", type=Path, action="append", default=[], metavar="DIR", help=text)


def accept_study_folders(parser: argparse.ArgumentParser) -> None:
    """Accept ``--data-root`` and ``--path`` of earlier versions, which imported what a study names.

    They have no effect on a command that only reads a study's directory.
    """
    parser.add_argument("--data-root", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, action="append", help=argparse.SUPPRESS)


def add_salvage(parser: argparse.ArgumentParser) -> None:
    """Add ``--salvage`` to a command that reads a study's ledger."""
    parser.add_argument(
        "--salvage",
        action="store_true",
        help="read a damaged ledger up to its first damage, and name it",
    )


def study_data_root(given: Path | None, directory: Place) -> Path | None:
    """Folder of a study's data sets: as given, else as its launches had it.

    Args:
        given: The option; None without it.
        directory: The study's directory.

    Returns:
        The folder; None where the environment or the default says.
    """
    from sparsetune.storage import StudyDirectory
    from sparsetune.storage.provenance import launch_folders

    return launch_folders(StudyDirectory(directory)).choose_data_root(given)


def add_data_root(parser: argparse.ArgumentParser, text: str) -> None:
    """Add ``--data-root``."""
    parser.add_argument("--data-root", type=Path, metavar="DIR", help=text)


def parse_count(text: str) -> int:
    """A whole number, at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(
            f"must be a whole number that is not negative, got {text!r}"
        )
    return int(text)


def parse_size(text: str) -> int:
    """A whole number, at least 1."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number that is positive, got {text!r}")
    return int(text)


def parse_amount(text: str) -> float:
    """A finite number, at least 0."""
    with suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a number that is not negative, got {text!r}")


def parse_amounts(text: str) -> list[float]:
    """Finite numbers, at least 0, separated by commas."""
    return [parse_amount(part) for part in text.split(",")]


def parse_place(text: str) -> Place:
    """A folder of a disk, or a prefix of an object store."""
    from sparsetune.paths import resolve_place

    if "://" not in text:
        return Path(text)
    try:
        return resolve_place(text)
    except SparsetuneError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def print_json(facts: Mapping[str, Any]) -> None:
    """Print one JSON object."""
    # Escaped by JSON are all others but this one.
    print(json.dumps(facts, indent=2).replace("\x7f", "\\u007f"))  # noqa: T201


def print_line(text: str) -> None:
    """Print one line, without control characters."""
    print(printable(text))  # noqa: T201
