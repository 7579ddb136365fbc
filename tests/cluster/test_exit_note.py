"""Deaths of a process and what it leaves of them; limits on its time. No Ray is started."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sparsetune.cluster.exit_note import CRASH_FILE, NOTE_FILE, ExitNote, read_exit_note
from sparsetune.cluster.study_folder import require_study_folder
from sparsetune.errors import StorageError
from sparsetune.storage.owner import gone_folder_text

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from sparsetune.cluster.exit_note import ExitNote
from sparsetune.cluster.watchdog import Watchdog

note = ExitNote(Path(sys.argv[1]))
watchdog = Watchdog(note, silence_seconds=float(sys.argv[2]), trial_seconds=float(sys.argv[3]))
with note.noticing(), watchdog.watching():
"""


def end_of(
    code: str, folder: Path, silence: float = 0, whole: float = 0
) -> tuple[int, tuple[str, str] | None]:
    """Exit code of a process that runs code as a trial, and the note that it leaves."""
    program = folder.with_suffix(".py")
    program.write_text(PROGRAM + textwrap.indent(textwrap.dedent(code), "    "))
    limits = [str(silence), str(whole)]
    done = subprocess.run(
        [sys.executable, str(program), str(folder), *limits], capture_output=True, timeout=60
    )
    return done.returncode, read_exit_note(folder)


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("os._exit(7)", 7, "exit code 7: its code called os._exit(7)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9, "killed by SIGKILL, which its code sent"),
        ("import ctypes; ctypes.string_at(0)", -11, "segmentation fault (death.py:"),
        ("os.abort()", -6, "aborted (death.py:"),
    ],
)
def test_the_reason_of_a_death_is_left(code: str, status: int, reason: str, tmp_path: Path) -> None:
    returned, note = end_of(code, tmp_path / "death")
    assert returned == status
    assert note and note[0] == "lost" and note[1].startswith(f"the worker died: {reason}")


def test_what_ends_no_trial_leaves_no_note(tmp_path: Path) -> None:
    harmless = """
        os.kill(os.getpid(), 0)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        os.kill(os.getpid(), signal.SIGUSR1)
        child = os.fork()
        if child == 0:
            os._exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        for _ in range(20):
            watchdog.beat()
            time.sleep(0.05)
        with watchdog.waiting():
            time.sleep(1)
    """
    assert end_of(harmless, tmp_path / "life", silence=0.6, whole=50) == (0, None)
    assert list((tmp_path / "life").iterdir()) == []


def test_a_silent_trial_ends_with_the_place_where_it_was(tmp_path: Path) -> None:
    code = "watchdog.beat()\nwhile True:\n    time.sleep(0.01)"
    status, note = end_of(code, tmp_path / "still", silence=0.3)
    assert status == 1 and note is not None
    cause, reason = note
    assert cause == "silent"
    assert "no step for 0.005 minutes after step 1 of this attempt, in still.py:" in reason
    assert "--silence-minutes" in reason


def test_a_trial_that_gives_other_threads_no_turn_ends_too(tmp_path: Path) -> None:
    holds = "import ctypes\ntime.sleep(0.5)\nctypes.PyDLL(None).sleep(50)"
    status, note = end_of(holds, tmp_path / "held", silence=1)
    assert status == 1 and note is not None and note[0] == "silent"
    assert "held.py:" in note[1]


def test_the_whole_is_limited_only_where_it_is_asked(tmp_path: Path) -> None:
    steps = "for _ in range(80):\n    watchdog.beat()\n    time.sleep(0.02)"
    assert end_of(steps, tmp_path / "free", silence=1) == (0, None)
    status, note = end_of(steps, tmp_path / "late", silence=1, whole=0.6)
    assert status == 1
    assert note == ("time", "it took longer than --trial-minutes 0.01")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"cause": "x", "reason": 1}', b"\xff"])
def test_a_damaged_note_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / NOTE_FILE).write_bytes(content)
    (tmp_path / CRASH_FILE).write_bytes(content)
    assert read_exit_note(tmp_path) is None
    assert read_exit_note(tmp_path / "missing") is None


def test_a_folder_that_cannot_be_written_costs_the_note_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    note = ExitNote(tmp_path / "file" / "attempt-1")
    with note.noticing():
        note.write("lost", "anything")
        assert note.crash_file is None


def test_a_study_that_was_renamed_is_not_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "study" / "trials" / "t" / "attempt-1"
    note = ExitNote(folder)
    with note.noticing():
        note.write("lost", "anything")
    assert not (tmp_path / "study").exists()
    with pytest.raises(StorageError) as refusal:
        require_study_folder(folder)
    assert str(refusal.value) == gone_folder_text(tmp_path / "study"), "as the driver says it"
    (tmp_path / "study").mkdir()
    require_study_folder(folder)
    with note.noticing():
        note.write("lost", "anything")
    assert read_exit_note(folder) == ("lost", "the worker died: anything")
