"""What a damaged study directory goes through, with the verdict on each.

A copy is ``refused``, ``named`` (read, and what is damaged was said), ``same`` (every number is
that of the whole study) or ``trained`` (resumed, with what was lost trained again to the same
numbers). Whatever else it is stands in capitals.
"""

from __future__ import annotations

import contextlib
import html
import io
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

import analysis
from analysis.load import StudyResults
from sparsetune.cli.main import main
from sparsetune.errors import SparsetuneError
from sparsetune.launch.extension import Extension
from sparsetune.launch.options import Options
from sparsetune.launch.prepare import PreparedLaunch, prepare_launch
from sparsetune.search.status import study_status
from sparsetune.storage import StudyDirectory
from sparsetune.storage.provenance import launch_folders
from sparsetune.storage.trial_files import AttemptFiles
from tests.chaos.hang import CLOCK_SECONDS, PROCESSOR_SECONDS

TABLES = ("trials", "history", "cells", "uses")
CLOCKS = ["attempt", "seconds", "peak_memory"]
"""Columns that are others when a trial is trained again."""
CODE_TAG = re.compile("</?code>")
MADE = re.compile(rb"Report made [-\d]+ [:\d]+ UTC")
MAX_TRAINING_SECONDS = 60
"""Seconds of the processor that a driver may take that starts Ray and times its steps."""


class Numbers:
    """What a study's directory says, to be compared."""

    def __init__(self, results: StudyResults, *, clocks: bool = True) -> None:
        tables = [getattr(results, name)() for name in TABLES]
        self.tables = tables if clocks else [_without_clocks(table) for table in tables]
        self.layers = analysis.density_profile(results).frame()

    def equals(self, other: Numbers) -> bool:
        """True if every number is the same."""
        return self.tables_equal(other) and self.layers.equals(other.layers)

    def tables_equal(self, other: Numbers) -> bool:
        """True if every number of the ledger is the same."""
        return all(map(pd.DataFrame.equals, self.tables, other.tables))


def _without_clocks(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=CLOCKS, errors="ignore")


def file_faults(results: StudyResults) -> list[str]:
    """What is damaged beside the ledger, as a report says it."""
    found: list[str] = []
    try:
        results.directory.launches()
    except SparsetuneError as error:
        found.append(str(error))
    for trial_id, state in results.states.items():
        found += AttemptFiles.of(results.directory, trial_id, state).faults()
    return found


def command(*arguments: str | Path) -> tuple[int, str]:
    """Exit status of a command line, and all that it printed."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main([str(argument) for argument in arguments])
    return status, said.getvalue()


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of a folder by its name in it."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield str(file.relative_to(folder)), file.read_bytes()


class Loading:
    """`analysis.load` and ``sparsetune status``, which must agree."""

    def __init__(self, whole: Path) -> None:
        self.whole = Numbers(analysis.load(whole))

    def __call__(self, copy: Path) -> str:
        refusals = []
        try:
            results = analysis.load(copy)
            numbers = Numbers(results)
            files = file_faults(results)
        except SparsetuneError as error:
            refusals.append(str(error))
        try:
            facts = study_status(copy)
        except SparsetuneError as error:
            refusals.append(str(error))
        if refusals:
            return "refused" if len(refusals) == 2 else f"DISAGREEMENT\n{refusals}"
        if list(results.notices) != facts["notices"]:
            return f"DISAGREEMENT\n{results.notices}\n{facts['notices']}"
        if results.notices or files:
            return "named"
        return "same" if numbers.equals(self.whole) else "CHANGED"


class Reporting:
    """``sparsetune report``: its page and tables are those of the whole study, or name a damage."""

    def __init__(self, whole: Path) -> None:
        command("report", whole)
        self.whole = self._written(whole)

    def __call__(self, copy: Path) -> str:
        status, said = command("report", copy)
        if status == 2:
            return "refused"
        if status:
            return f"EXIT {status}\n{said}"
        if self._written(copy) == self.whole:
            return "same"
        results = analysis.load(copy)
        page = html.unescape(CODE_TAG.sub("`", (copy / "report" / "index.html").read_text()))
        faults = [*results.notices, *file_faults(results)]
        return "named" if any(fault in page for fault in faults) else f"CHANGED\n{faults}"

    @staticmethod
    def _written(folder: Path) -> dict[str, bytes]:
        """The page without its own time, and every table: the same at every time."""
        files = {name: made for name, made in contents(folder) if name.endswith((".html", ".csv"))}
        return {name: MADE.sub(b"", made) for name, made in files.items()}


def prepared_resume(path: Path) -> PreparedLaunch:
    """A launch that would resume a study from its directory alone."""
    home = StudyDirectory(path)
    study = home.study()
    options = Options(storage=path.parent, study_file=launch_folders(home).study_file, quiet=True)
    return prepare_launch(study, options, directory=home.path, extend=Extension())


class Preparing:
    """The preparation of a launch that would resume the study, which writes nothing."""

    def __init__(self, whole: Path) -> None:
        self.whole = self._numbers(prepared_resume(whole))

    def __call__(self, copy: Path) -> str:
        before = dict(contents(copy))
        try:
            prepared = prepared_resume(copy)
        except SparsetuneError:
            prepared = None
        if dict(contents(copy)) != before:
            return "WRITTEN"
        if prepared is None:
            return "refused"
        if prepared.notices:
            return "named"
        return "same" if self._numbers(prepared) == self.whole else "CHANGED"

    @staticmethod
    def _numbers(prepared: PreparedLaunch) -> Mapping[str, Any]:
        """Everything that the ledger says of every trial."""
        return prepared.trials


class Resuming:
    """``sparsetune resume``: a finished study stays as it is; of another, what is missing is
    trained.
    """

    def __init__(self, whole: Path) -> None:
        results = analysis.load(whole)
        self.whole = Numbers(results, clocks=False)
        self.starts = self._starts(results)

    def __call__(self, copy: Path) -> str:
        began = time.process_time()
        status, said = command("resume", copy)
        seconds = time.process_time() - began
        if status == 2:
            return "refused"
        if status:
            return f"EXIT {status}\n{said}"
        results = analysis.load(copy)
        numbers = Numbers(results, clocks=False)
        if not numbers.tables_equal(self.whole) or results.notices:
            return f"CHANGED\n{results.notices}\n{said}"
        if self._starts(results) != self.starts:
            return "trained"
        if seconds > PROCESSOR_SECONDS:
            return f"HANG\n{seconds:.0f} s although nothing was left to train"
        if file_faults(results):
            return "named"
        return "same" if numbers.equals(self.whole) else f"CHANGED\n{said}"

    @staticmethod
    def _starts(results: StudyResults) -> int:
        return sum(len(state.starts) for state in results.states.values())


READINGS: dict[str, Callable[[Path], Callable[[Path], str]]] = {
    "load": Loading,
    "report": Reporting,
    "prepare": Preparing,
    "resume": Resuming,
}
"""What a copy may go through: each is built on the whole study and then judges copies."""
LIMITS: dict[str, tuple[float, float]] = {
    "load": (PROCESSOR_SECONDS, CLOCK_SECONDS),
    "report": (PROCESSOR_SECONDS, CLOCK_SECONDS),
    "prepare": (PROCESSOR_SECONDS, CLOCK_SECONDS),
    "resume": (MAX_TRAINING_SECONDS, CLOCK_SECONDS),
}
"""Seconds of the processor and of the clock after which it hangs."""
