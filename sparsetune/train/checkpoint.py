"""Checkpoints of a trial: when one is due, how it is written so that none is ever torn, how it is read."""

from __future__ import annotations

import io
import json
import math
import os
import re
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as tensors
from safetensors.torch import save

from sparsetune.errors import CheckpointError
from sparsetune.paths import Place, list_names, read_content
from sparsetune.sparsity.masks.exact import Masks, pack_masks
from sparsetune.spec import SCHEMA_VERSION
from sparsetune.storage import translating_write_errors, write_durably
from sparsetune.units import format_bytes

Row = dict[str, float | int | str | bool | None]
CHECKPOINTS_KEPT = 2


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

    path: Place
    step: int
    trial_id: str
    reports: list[Row]
    state: dict[str, Any]


@dataclass(frozen=True)
class CheckpointAllowance:
    """What the checkpoints of one trial may take.

    Args:
        size: Bytes at any time, the one that is being written with them.
        earlier: Folders of the trial's earlier attempts, whose checkpoints count, and go first.
        tell: Called with why none is written, where not even one has room.
    """

    size: float = math.inf
    earlier: Sequence[Place] = ()
    tell: Callable[[str], None] = lambda said: None

    def kept(self, size: int) -> int:
        """How many checkpoints of this size stay once another was written: two, one, or none where that has no room."""
        return int(max(0, min(CHECKPOINTS_KEPT, self.size // size - 1)))


class Checkpoints:
    """The checkpoints of one attempt, in a folder of its own; the last two are kept, where the trial's room holds them.

    Args:
        folder: Made when the first is written.
        seconds: At an evaluation, one is due this long after the last.
        mid_epoch_seconds: Between evaluations, one is due this long after the last.
    """

    def __init__(
        self, folder: Place, seconds: float = 30.0, mid_epoch_seconds: float = 300.0
    ) -> None:
        self.folder = folder
        self.seconds = seconds
        self.mid_epoch_seconds = mid_epoch_seconds
        self.room = CheckpointAllowance()
        self._last = time.monotonic()
        self._refused = False

    def due(self, evaluated: bool) -> bool:
        """Whether one is due now, just after an evaluation or between two."""
        seconds = self.seconds if evaluated else self.mid_epoch_seconds
        return not self._refused and time.monotonic() - self._last >= seconds

    def write(self, step: int, trial_id: str, reports: list[Row], state: dict[str, Any]) -> Place:
        """Write ``checkpoint-<step>.pt`` under a temporary name, sync, verify, rename; then drop all but the last two.

        An object is written with one request, which the store takes as a whole or not at all.

        Raises:
            StorageError: if the disk is full or read-only; the checkpoints before stay.
            CheckpointError: if what was written does not read back.
        """
        stored = {
            "schema": SCHEMA_VERSION,
            "step": step,
            "trial_id": trial_id,
            "reports": reports,
            "state": state,
        }
        whole = io.BytesIO()
        torch.save(stored, whole)
        # A view of the buffer would outlive the file in an error's traceback.
        data = whole.getvalue()
        path = self.folder / f"checkpoint-{step}.pt"
        if not (kept := self.room.kept(len(data))):
            self._refuse(len(data))
            return path
        with translating_write_errors(self.folder):
            if isinstance(path, Path):
                _write_verified(path, data)
            else:
                write_durably(path, data)
            for old in self._superseded(step, kept):
                old.unlink()
        self._last = time.monotonic()
        return path

    def _superseded(self, step: int, kept: int) -> list[Place]:
        """Checkpoints of the trial besides its newest; one of a later step is torn, since nothing resumed it."""
        found = _list_checkpoints([self.folder, *self.room.earlier])
        newest = [path for path in found if _checkpoint_step(path) <= step][:kept]
        return [path for path in found if path not in newest]

    def _refuse(self, size: int) -> None:
        """Write no more, and say so once."""
        if not self._refused:
            has = f"{format_bytes(self.room.size)} of the study's checkpoint quota"
            self.room.tell(
                f"no checkpoints: two of {format_bytes(size)} must fit, got {has}; raise --checkpoint-gib"
            )
        self._refused = True

    def clear(self) -> None:
        """Delete them all: the trial has finished.

        Raises:
            StorageError: if the disk or the store refuses.
        """
        with translating_write_errors(self.folder):
            for name in list_names(self.folder):
                if re.fullmatch(r"checkpoint-.*\.(pt|tmp)", name):
                    (self.folder / name).unlink(missing_ok=True)


def _write_verified(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if temporary.stat().st_size != len(data) or not zipfile.is_zipfile(temporary):
            raise CheckpointError(f"`{temporary}` must read back as it was written; check the disk")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _list_checkpoints(folders: Iterable[Place]) -> list[Place]:
    """Every checkpoint file, the newest step first."""
    found = [
        folder / name
        for folder in folders
        for name in list_names(folder)
        if re.fullmatch(_CHECKPOINT_NAME_PATTERN, name)
    ]
    return sorted(found, key=_checkpoint_step, reverse=True)


_CHECKPOINT_NAME_PATTERN = r"checkpoint-(\d+)\.pt"


def _checkpoint_step(path: Place) -> int:
    return int(path.stem.rpartition("-")[2])


def latest_checkpoint(folders: Iterable[Place]) -> Checkpoint | None:
    """The checkpoint of the highest step that loads; None if there is none. A torn one falls back to the one before.

    Raises:
        StorageError: if the folders cannot be read.
    """
    for path in _list_checkpoints(folders):
        try:
            return load_checkpoint(path)
        except CheckpointError:
            continue
    return None


def load_checkpoint(path: Place) -> Checkpoint:
    """Read a checkpoint: tensors and plain values only, on the CPU.

    Raises:
        CheckpointError: if it is torn or damaged, no checkpoint, or of another schema version.
        StorageError: if an object store does not answer.
    """
    file = path if isinstance(path, Path) else io.BytesIO(_expected_content(path))
    try:
        with zipfile.ZipFile(file) as parts:
            if damaged := parts.testzip():
                raise zipfile.BadZipFile(f"`{damaged}` has another checksum")  # torch does not look
        if isinstance(file, io.BytesIO):
            file.seek(0)
        stored = torch.load(file, map_location="cpu", weights_only=True)
        version = stored.pop("schema")
        checkpoint = Checkpoint(path, **stored)
    except Exception as error:  # a torn file makes torch raise errors of many kinds
        raise CheckpointError(
            f"`{path}` must be a whole checkpoint, got {type(error).__name__}; delete it"
        ) from error
    if version != SCHEMA_VERSION:
        raise CheckpointError(
            f"`{path}` must have schema version {SCHEMA_VERSION}, got {version}; restart the trial"
        )
    return checkpoint


def _expected_content(path: Place) -> bytes:
    """What must be there.

    Raises:
        CheckpointError: if it is gone.
        StorageError: if it cannot be read.
    """
    data = read_content(path)
    if data is None:
        raise CheckpointError(
            f"`{path}` must be where it was written, and is gone; see who deletes files there"
        )
    return data


def save_weights(weights: Mapping[str, torch.Tensor], path: Place) -> dict[str, torch.Tensor]:
    """What ``path`` holds after ``weights`` were written to it as safetensors: the final model, on the CPU.

    Raises:
        StorageError: if the disk is full or read-only, or the store refuses.
    """
    with translating_write_errors(path.parent):
        write_durably(
            path,
            save({name: weight.cpu().clone().contiguous() for name, weight in weights.items()}),
        )
    return tensors(_expected_content(path))


def save_masks(masks: Masks, path: Place) -> None:
    """Write masks as safetensors: a uint8 tensor per layer, eight weights a byte in order; ``shapes`` in the metadata.

    Raises:
        StorageError: if the disk is full or read-only, or the store refuses.
    """
    shapes = {name: list(mask.shape) for name, mask in masks.items()}
    with translating_write_errors(path.parent):
        write_durably(path, save(pack_masks(masks), {"shapes": json.dumps(shapes)}))
