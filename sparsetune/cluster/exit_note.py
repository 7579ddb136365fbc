"""Reason for the death of a worker's process, as it leaves it in its attempt's folder.

Ray sees only that a process is gone. A process that ends itself writes why before it does; one that
crashes leaves what Python's `faulthandler` writes.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, get_args

from sparsetune.cluster.study_folder import require_study_folder
from sparsetune.errors import StorageError
from sparsetune.own_code.modules import is_own_file
from sparsetune.paths import Place, read_content, storage_errors
from sparsetune.paths.confined import create_file, delete_file, file_facts
from sparsetune.storage import write_durably
from sparsetune.storage.records import Cause

NOTE_FILE = "exit.json"
CRASH_FILE = "crash.txt"
"""Files of an attempt: what the process wrote, and what `faulthandler` did (on a disk alone)."""
PREFIX_BY_CAUSE: Mapping[Cause, str] = {"lost": "the worker died: "}
MAX_READ = 20_000
"""Characters of a crash that are read: the first error and its first frames."""
end_process = os._exit
"""Python's own `os._exit`, which leaves no note."""


class ExitNote:
    """Note that a process leaves when it ends while its trial runs.

    Args:
        folder: Folder of the attempt.
    """

    def __init__(self, folder: Place) -> None:
        self._folder = folder
        self._pid = os.getpid()
        self.crash_file: IO[bytes] | None = None
        """File for `faulthandler`, open while the trial runs; None where the folder has no disk."""

    def write(self, cause: Cause, reason: str) -> None:
        """Write why the process ends; storage that refuses it must not keep the process."""
        with suppress(*storage_errors(), StorageError):
            require_study_folder(self._folder)
            write_durably(self._folder / NOTE_FILE, json.dumps({"cause": cause, "reason": reason}))

    @contextmanager
    def noticing(self) -> Iterator[None]:
        """While open, what ends this process leaves a note: an exit, a signal of its own, a crash.

        Children that were forked off end without one.
        """
        functions: list[tuple[Any, str, Callable[..., Any]]] = [
            (os, "_exit", self._exit),
            (os, "kill", self._kill),
            (signal, "raise_signal", self._raise_signal),
        ]
        originals = [getattr(owner, name) for owner, name, _ in functions]
        for owner, name, function in functions:
            setattr(owner, name, function)
        self._open_crash_file()
        try:
            yield
        finally:
            self._close_crash_file()
            for (owner, name, _), original in zip(functions, originals, strict=True):
                setattr(owner, name, original)

    def _exit(self, code: int) -> None:
        self._note(f"exit code {code}: its code called os._exit({code})")
        end_process(code)

    def _kill(self, pid: int, number: int) -> None:
        if pid in (0, self._pid):
            self._note_signal(number)
        _KILL(pid, number)

    def _raise_signal(self, number: int) -> None:
        self._note_signal(number)
        _RAISE_SIGNAL(number)

    def _note_signal(self, number: int) -> None:
        # A signal that has a handler ends nothing by itself; 0 only asks.
        if number == signal.SIGKILL or (number and signal.getsignal(number) == signal.SIG_DFL):
            self._note(f"killed by {signal.Signals(number).name}, which its code sent")

    def _note(self, reason: str) -> None:
        if os.getpid() == self._pid:
            self.write("lost", reason)

    def _open_crash_file(self) -> None:
        if not isinstance(self._folder, Path):
            return
        with suppress(OSError, StorageError):
            require_study_folder(self._folder)
            self.crash_file = os.fdopen(create_file(self._folder / CRASH_FILE), "wb")
            faulthandler.enable(self.crash_file, all_threads=False)

    def _close_crash_file(self) -> None:
        if self.crash_file is None:
            return
        faulthandler.disable()
        if sys.__stderr__ is not None:
            with suppress(ValueError, OSError):  # a stream may have no file
                faulthandler.enable(sys.__stderr__, all_threads=False)  # as Ray has it
        self.crash_file.close()
        self.crash_file = None
        with suppress(OSError):
            path = self._folder / CRASH_FILE
            if isinstance(path, Path) and not file_facts(path).st_size:
                delete_file(path)


_KILL = os.kill
_RAISE_SIGNAL = signal.raise_signal


def read_exit_note(folder: Place) -> tuple[Cause, str] | None:
    """Cause and reason of a worker's death, from its attempt's folder; None where it left none."""
    with suppress(StorageError, ValueError, TypeError, KeyError, RecursionError):
        note = json.loads(read_content(folder / NOTE_FILE) or b"")
        cause: Cause = note["cause"]
        if cause in get_args(Cause):
            return cause, f"{PREFIX_BY_CAUSE.get(cause, '')}{note['reason']}"
    with suppress(StorageError):
        crash = (read_content(folder / CRASH_FILE) or b"")[:MAX_READ].decode(errors="replace")
        if error := re.match(r"Fatal Python error: ([^\n]+)", crash):
            return "lost", f"{PREFIX_BY_CAUSE['lost']}{error[1].lower()}{_crash_place(crash)}"
        if crash.startswith("Timeout"):
            reason = "no step for too long, while no other thread got a turn"
            return "silent", f"{reason}{_crash_place(crash)}"
    return None


def _crash_place(crash: str) -> str:
    """File and line of the innermost call in a user's own code, else of any, in brackets."""
    frames = re.findall(r'File "([^"\n]+)", line (\d+)', crash)
    own = [frame for frame in frames if is_own_file(Path(frame[0]))]
    return "".join(f" ({Path(file).name}:{line})" for file, line in (own or frames)[:1])
