"""Checkpoints of a trial: when one is due, how it is written so that none is ever torn, how it is read."""

from __future__ import annotations

import io
import os
import re
import time
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from sparsetune.errors import CheckpointError
from sparsetune.spec import SCHEMA_VERSION
from sparsetune.store import writing

Row = dict[str, float | int | str | bool | None]
KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A trial at a step.

    Args:
        path: The file it was read from.
        step: Optimizer steps done.
        trial_id: Digest of the trial's declaration.
        reports: Every row reported so far, so that a ledger that is behind can be filled.
        state: What training goes on from.
    """

    path: Path
    step: int
    trial_id: str
    reports: list[Row]
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one attempt, in a folder of its own; the last two are kept.

    Args:
        folder: Made when the first is written.
        seconds: At an evaluation, one is due this long after the last.
        mid_epoch_seconds: Between evaluations, one is due this long after the last.
    """

    def __init__(self, folder: Path, seconds: float = 30.0, mid_epoch_seconds: float = 300.0) -> None:
        self.folder = folder
        self.seconds = seconds
        self.mid_epoch_seconds = mid_epoch_seconds
        self._last = time.monotonic()

    def due(self, evaluated: bool) -> bool:
        """Whether one is due now, just after an evaluation or between two."""
        return time.monotonic() - self._last >= (self.seconds if evaluated else self.mid_epoch_seconds)

    def write(self, step: int, trial_id: str, reports: list[Row], state: dict[str, Any]) -> Path:
        """Write ``checkpoint-<step>.pt`` under a temporary name, sync, verify, rename; then drop all but the last two.

        Raises:
            StorageError: if the disk is full or read-only; the checkpoints before stay.
            CheckpointError: if what was written does not read back.
        """
        content = {"schema": SCHEMA_VERSION, "step": step, "trial_id": trial_id, "reports": reports, "state": state}
        whole = io.BytesIO()
        torch.save(content, whole)
        path = self.folder / f"checkpoint-{step}.pt"
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            _write_verified(path, whole.getbuffer())
            for old in _by_step([self.folder])[KEPT:]:
                old.unlink()
        self._last = time.monotonic()
        return path

    def clear(self) -> None:
        """Delete them all: the trial has finished."""
        for path in [*self.folder.glob("checkpoint-*.pt"), *self.folder.glob("checkpoint-*.tmp")]:
            path.unlink(missing_ok=True)


def _write_verified(path: Path, content: memoryview) -> None:
    temporary = path.with_suffix(".tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if temporary.stat().st_size != len(content) or not zipfile.is_zipfile(temporary):
            raise CheckpointError(f"`{temporary}` must read back as it was written; check the disk")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _by_step(folders: Iterable[Path]) -> list[Path]:
    """Every checkpoint file, the newest step first."""
    found = {
        path: int(name[1])
        for folder in folders
        for path in folder.glob("checkpoint-*.pt")
        if (name := re.fullmatch(r"checkpoint-(\d+)\.pt", path.name))
    }
    return sorted(found, key=lambda path: found[path], reverse=True)


def latest(folders: Iterable[Path]) -> Checkpoint | None:
    """The checkpoint of the highest step that loads; None if there is none. A torn one falls back to the one before."""
    for path in _by_step(folders):
        try:
            return load(path)
        except CheckpointError:
            continue
    return None


def load(path: Path) -> Checkpoint:
    """Read a checkpoint: tensors and plain values only, on the CPU.

    Raises:
        CheckpointError: if it is torn, no checkpoint, or of another schema version.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        version = content.pop("schema")
        checkpoint = Checkpoint(path, **content)
    except Exception as error:  # a torn file makes torch raise errors of many kinds
        raise CheckpointError(f"`{path}` must be a whole checkpoint, got {type(error).__name__}; delete it") from error
    if version != SCHEMA_VERSION:
        raise CheckpointError(f"`{path}` must have schema version {SCHEMA_VERSION}, got {version}; restart the trial")
    return checkpoint


def saved(weights: Mapping[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """What ``path`` holds after ``weights`` were written to it as safetensors: the final model, on the CPU.

    Raises:
        StorageError: if the disk is full or read-only.
    """
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = save({name: weight.cpu().clone().contiguous() for name, weight in weights.items()})
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(whole)
        os.replace(temporary, path)
    return load_file(path)
