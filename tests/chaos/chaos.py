"""A small study under fire: its drivers, workers and nodes are killed, its files damaged; what must
hold after each.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparsetune.storage import ledger
from sparsetune.storage.records import encode_record
from sparsetune.storage.trial_state import TrialState
from sparsetune.train.checkpoint import latest_checkpoint
from tests.integration.runs import HERE, assert_equal_to_training_alone, start, trials, wait_for
from tests.ledger_records import plain_records

PATIENCE = 900
"""Seconds that a study may take to its next event; a busy machine is slow, not wrong."""


class Chaos:
    """One study, launched again after every fault.

    Args:
        folder: Where it runs; the study lies in ``runs/small``.
        address: The Ray cluster of every launch that does not start its own.
    """

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address
        self.directory = folder / "runs" / "small"
        self.faults: Counter[str] = Counter()
        self.kills: list[dict[str, Any]] = []
        self.driver: subprocess.Popen[str]
        self._launched = 0.0
        self._kept: list[bytes] = []
        self._finished: dict[str, dict[str, Any]] = {}

    def launch(self, *options: str, own_ray: bool = False) -> None:
        """Start the study, or resume it from its directory alone."""
        self._launched = time.time()
        self.driver = self.start(*options, own_ray=own_ray)

    def start(self, *options: str, own_ray: bool = False) -> subprocess.Popen[str]:
        """The command that starts or resumes the study, whoever runs it already."""
        command = (
            ("resume", self.directory)
            if self.directory.exists()
            else ("run", HERE / "small_study.py")
        )
        cluster = () if own_ray else ("--address", self.address)
        return start(
            *command,
            *cluster,
            "--checkpoint-seconds",
            "0.2",
            "--no-report",
            *options,
            cwd=self.folder,
        )

    def lines(self) -> list[bytes]:
        """Every acknowledged line of the ledger."""
        return list(ledger.read_lines(self.directory / "ledger")) if self.directory.exists() else []

    def reports(self) -> int:
        """Rows in the ledger, those that were done again included."""
        return sum(line.startswith(b'{"type":"report"') for line in self.lines())

    def wait(self, condition: Callable[[], Any]) -> Any:
        """What the condition gives once it is truthy; the driver must not end before."""
        value = wait_for(condition, self.driver, PATIENCE, pause=0.1)
        assert value and self.driver.poll() is None, (
            f"the launch ended too early:\n{self.driver.communicate()[0]}"
        )
        return value

    def holds(self) -> bool:
        """Whether the lock names this driver: it is past its checks."""
        lock = self.directory / "driver.lock"
        return lock.exists() and lock.read_text().startswith(f"pid {self.driver.pid} ")

    def running(self) -> dict[int, TrialState]:
        """Trials in training that have a checkpoint, by the process that runs them; attempts of
        this launch alone.
        """
        found = {}
        for record in plain_records(self.directory / "ledger"):
            attempt = (
                self.directory
                / "trials"
                / record.get("trial_id", "")
                / f"attempt-{record.get('attempt')}"
            )
            mine = record["type"] == "started" and record["time"] > self._launched
            if mine and alive(record["pid"]) and any(attempt.glob("checkpoint-*.pt")):
                found[record["pid"]] = record["trial_id"]
        states = trials(self.directory)
        return {pid: states[trial] for pid, trial in found.items() if not states[trial].finished}

    def kill_driver(self) -> None:
        """Kill -9, then see that nothing is lost, and that only a stale lock is left."""
        before = self.lines()
        states = trials(self.directory)
        os.kill(self.driver.pid, signal.SIGKILL)
        self.driver.wait()
        assert self.driver.stdout
        self.driver.stdout.close()  # its workers, which outlive it by seconds, hold the other end
        running = [
            state.last.phase if state.last else "start"
            for state in states.values()
            if state.status == "RUNNING"
        ]
        finished = sum(state.finished for state in states.values())
        row = {
            "records": len(before),
            "reports": self.reports(),
            "finished": finished,
            "running": " ".join(running),
        }
        self.kills.append({"kill": len(self.kills) + 1, **row})
        self.count("driver killed")
        assert self.holds(), "the file of the lock stays, and must not block the next launch"
        self.check(before)

    def workers_end(self) -> None:
        """Wait for the workers of a killed driver, which may still write checkpoints."""
        pids = {
            record["pid"]
            for record in plain_records(self.directory / "ledger")
            if record["type"] == "started"
        }
        deadline = time.monotonic() + PATIENCE
        while any(map(alive, pids)):
            assert time.monotonic() < deadline, "a worker outlived its driver"
            time.sleep(0.1)

    def count(self, fault: str) -> None:
        """A fault was injected."""
        self.faults[fault] += 1

    def check(self, seen: list[bytes] | None = None) -> None:
        """No line that was seen in the ledger is lost or changed, nothing finished is lost or ran
        again.
        """
        now = self.lines()
        for before in (self._kept, seen or []):
            assert now[: len(before)] == before
        finished = {
            name: state.ended for name, state in trials(self.directory).items() if state.finished
        }
        assert self._finished.items() <= finished.items()
        self._kept = now
        self._finished = finished

    def tear_last_record(self) -> None:
        """Cut the last record of the ledger in its middle: it counts as never acknowledged."""
        segment = max((self.directory / "ledger").glob("*.jsonl"))
        lines = segment.read_bytes().splitlines(keepends=True)
        if lines[-1].startswith(b'{"type":"closed"'):
            lines.pop()
        if lines[-1].startswith(b'{"type":"opened"'):
            return  # the launch has recorded nothing that could be torn
        lines[-1] = lines[-1][: len(lines[-1]) // 2]
        segment.write_bytes(b"".join(lines))
        torn = self._kept[-1]
        self._kept = self._kept[:-1]
        self._finished = {
            name: end for name, end in self._finished.items() if encode_record(end) != torn + b"\n"
        }
        self.count("ledger torn")
        self.check()

    def truncate_newest_checkpoint(self) -> tuple[str, int]:
        """Halve the newest checkpoint of a trial that has two; the trial, and the step it must go
        on from.
        """
        for trial_id, state in trials(self.directory).items():
            folders = sorted((self.directory / "trials" / trial_id).glob("attempt-*"))
            newest = None if state.finished else latest_checkpoint(folders)
            if newest is None or len(list(newest.path.parent.glob("checkpoint-*.pt"))) < 2:
                continue
            os.truncate(newest.path, newest.path.stat().st_size // 2)
            self.count("checkpoint truncated")
            before = latest_checkpoint(folders)
            assert before is not None
            assert 0 < before.step < newest.step
            return trial_id, before.step
        raise AssertionError("no unfinished trial has two checkpoints")

    def finish(self) -> dict[str, Any]:
        """Let the study end, compare every trial with training alone, and return what is worth
        counting.
        """
        output, _ = self.driver.communicate(timeout=PATIENCE)
        assert self.driver.returncode == 0, output
        self.check()
        assert not list((self.directory / "trials").glob("*/*/checkpoint-*")), (
            "finished trials keep no checkpoint"
        )
        states = trials(self.directory)
        equal = 0
        for state in states.values():
            assert state.status == "COMPLETE"
            assert_equal_to_training_alone(state)
            equal += 1
        counts = self.counts(states)
        assert (counts["finished and lost"], counts["run twice"]) == (0, 0)
        return {**self.faults, **counts, "equal to training alone": equal}

    def counts(self, states: dict[str, TrialState]) -> dict[str, int]:
        """What the ledger tells of a study that has ended."""
        records = plain_records(self.directory / "ledger")
        ends = Counter(record["trial_id"] for record in records if record["type"] == "ended")
        resumed = [
            phase_at(states[r["trial_id"]], r["resumed_from_step"])
            for r in records
            if r["type"] == "started"
        ]
        return {
            "launches": len(list((self.directory / "ledger").glob("*.jsonl"))),
            "trials": len(states),
            "attempts": len(resumed),
            "records": len(records),
            "continued from a checkpoint": sum(map(bool, resumed)),
            "of them mid-ramp": resumed.count("ramp"),
            "finished and lost": len(states.keys() - ends),
            "run twice": ends.total() - len(ends),
        }


def phase_at(state: TrialState, step: int) -> str | None:
    """The phase of a trial at a step; None at its start."""
    phases = [row.phase for at, row in sorted(state.reports.items()) if at <= step]
    return phases[-1] if step and phases else None


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def parent(pid: int) -> int:
    """The process that started a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
