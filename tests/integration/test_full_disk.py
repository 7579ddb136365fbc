"""A full disk ends a launch with one message; with room again the study goes on from what it
had.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sparsetune.cli.main import main
from sparsetune.storage import ledger
from tests.integration.runs import assert_equal_to_training_alone, trials
from tests.ledger_records import plain_records

STUDY = """
from sparsetune import Choice, DigitsTask, OptimSpec, ScheduleSpec, Study, TrialSpec

STUDY = Study(
    name="full",
    base=TrialSpec(task=DigitsTask(), optim=OptimSpec(lr=0.1), schedule=ScheduleSpec(epochs=100)),
    search={"optim.lr": Choice((0.1, 0.05, 0.02))},
    configurations_per_cell=3,
    report_seeds=1,
)
"""
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900), pytest.mark.usefixtures("ray_session")]


def run(folder: Path, disk: Path, *options: str) -> int:
    return main(["run", str(folder / "full.py"), "--storage", str(disk), "--no-report", *options])


@contextmanager
def filling(disk: Path, segment: Path) -> Iterator[None]:
    """Let another program fill the disk once the launch has written some records; its file goes at
    the end.
    """

    def fill() -> None:
        while not segment.exists() or segment.read_bytes().count(b"\n") < 20:
            time.sleep(0.02)
        with suppress(OSError):
            (disk / "ballast").write_bytes(b"x" * 2**24)

    other = threading.Thread(target=fill, daemon=True)
    other.start()
    yield
    other.join(timeout=10)
    (disk / "ballast").unlink()


def test_a_disk_that_fills_under_ledger_and_checkpoints_loses_nothing(
    tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full.py").write_text(STUDY)
    directory = small_disk / "full"
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)

    with filling(small_disk, directory / "ledger" / "000001.jsonl"):
        assert run(tmp_path, small_disk, "--checkpoint-seconds", "1000") == 2
    said = capsys.readouterr().err
    assert f"`{directory}" in said and "No space left on device" in said and "Traceback" not in said
    kept = list(ledger.read_lines(directory / "ledger"))
    # All but the line that opens the ledger, which is no record.
    assert len(kept) >= 19

    folder = directory / "trials"
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], check=True)
    assert run(tmp_path, small_disk, "--checkpoint-seconds", "0", "--checkpoint-gib", "0.005") == 2
    said = capsys.readouterr().err
    assert f"`{folder}" in said and "No space left on device" in said and "Traceback" not in said
    assert ".json" not in said, "a checkpoint was refused, not what a trial leaves at its end"
    subprocess.run(["umount", "--lazy", str(folder)], check=True)

    assert run(tmp_path, small_disk) == 0
    assert list(ledger.read_lines(directory / "ledger"))[: len(kept)] == kept
    records = plain_records(directory / "ledger")
    states = trials(directory)
    ends = Counter(record["trial_id"] for record in records if record["type"] == "ended")
    assert len(states) == 4 and ends == dict.fromkeys(states, 1)
    for state in states.values():
        assert state.status == "COMPLETE"
        assert_equal_to_training_alone(state)
