"""Checkpoints of a trial: when one is due, how it is written whole, and how it is read."""

from __future__ import annotations

import io
import json
import math
import os
import random
import re
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors.torch import load, save

from sparsetune.errors import CheckpointError, StorageError
from sparsetune.paths import Place, delete_place, list_names, read_content
from sparsetune.paths.confined import open_file, replace_file
from sparsetune.sparsity.masks.exact import Masks, pack_masks
from sparsetune.spec import SCHEMA_VERSION
from sparsetune.storage import translating_write_errors, write_durably
from sparsetune.units import format_bytes

Row = dict[str, float | int | str | bool | None]
"""Columns of one evaluation, as `sparsetune.spec.columns` describes them."""
CHECKPOINTS_KEPT = 2
"""Checkpoints that a running trial keeps: if the newest is torn, the one before it serves."""
CHECKPOINT_NAME = re.compile(r"checkpoint-(\d+)\.pt")
"""Name of a checkpoint's file; the number is its step."""


@dataclass(frozen=True)
class Checkpoint:
    """State of a trial after a step.

    Args:
        path: File that it was read from.
        step: Number of optimizer steps done.
        trial_id: Digest of the trial's declaration.
        reports: All rows reported so far, so that a ledger that is behind can be filled.
        state: State that `sparsetune.train.train` resumes from, on the CPU.
    """

    path: Place
    step: int
    trial_id: str
    reports: list[Row]
    state: dict[str, Any]


@dataclass(frozen=True)
class CheckpointAllowance:
    """Storage that the checkpoints of one trial may take.

    Args:
        size: Bytes at any time, including the checkpoint that is being written.
        earlier: Folders of the trial's earlier attempts. Their checkpoints count, and are deleted
            first.
        warn: Called with the reason, once, where not even one checkpoint fits.
    """

    size: float = math.inf
    earlier: Sequence[Place] = ()
    warn: Callable[[str], None] = lambda reason: None

    def kept(self, size: int) -> int:
        """Number of checkpoints of ``size`` bytes to keep, 0 to `CHECKPOINTS_KEPT`.

        There must be room for one more, since the next is written before an old one is deleted.
        With 0, none can be written.
        """
        return int(max(0, min(CHECKPOINTS_KEPT, self.size // size - 1)))


class Checkpoints:
    """Checkpoints of one attempt, in a folder of its own.

    The last `CHECKPOINTS_KEPT` are kept, or fewer where the trial's ``room`` holds fewer.

    Args:
        folder: Folder of the files; it is made when the first is written.
        seconds: Seconds after the last checkpoint until one is due at an evaluation.
        mid_epoch_seconds: Seconds after the last checkpoint until one is due between evaluations.
    """

    def __init__(
        self, folder: Place, seconds: float = 30.0, mid_epoch_seconds: float = 300.0
    ) -> None:
        self.folder = folder
        self.seconds = seconds
        self.mid_epoch_seconds = mid_epoch_seconds
        self.room = CheckpointAllowance()
        self._written_at = time.monotonic()
        self._refused = False

    def due(self, evaluated: bool) -> bool:
        """Return True if a checkpoint is due, just after an evaluation or between two."""
        seconds = self.seconds if evaluated else self.mid_epoch_seconds
        return not self._refused and time.monotonic() - self._written_at >= seconds

    def write(self, step: int, trial_id: str, reports: list[Row], state: dict[str, Any]) -> Place:
        """Write ``checkpoint-<step>.pt``, then delete those that it supersedes.

        On a disk it is written under a temporary name, synced, verified and renamed. An object is
        written with one request, which the store accepts as a whole or not at all.

        Args:
            step: Number of optimizer steps done.
            trial_id: Digest of the trial's declaration.
            reports: All rows reported so far.
            state: State to resume from: tensors and plain values.

        Returns:
            Path of the checkpoint; nothing is written where the trial's ``room`` is too small.

        Raises:
            StorageError: if the disk is full or read-only; earlier checkpoints stay.
            CheckpointError: if the file does not read back as it was written.
        """
        stored = {
            "schema": SCHEMA_VERSION,
            "step": step,
            "trial_id": trial_id,
            "reports": reports,
            "state": state,
        }
        buffer = io.BytesIO()
        torch.save(stored, buffer)
        # A view of the buffer would outlive the file in an error's traceback.
        data = buffer.getvalue()
        path = self.folder / f"checkpoint-{step}.pt"
        kept = self.room.kept(len(data))
        if kept == 0:
            self._refuse(len(data))
            return path
        with translating_write_errors(self.folder):
            if isinstance(path, Path):
                _write_verified(path, data)
            else:
                write_durably(path, data)
            for old in self._superseded(step, kept):
                delete_place(old)
        self._written_at = time.monotonic()
        return path

    def _superseded(self, step: int, kept: int) -> list[Place]:
        """Checkpoints of the trial to delete, all but the newest ``kept`` up to ``step``.

        A checkpoint of a later step is damaged: otherwise the trial would have resumed from it.
        """
        found = _list_checkpoints([self.folder, *self.room.earlier])
        newest = [path for path in found if _checkpoint_step(path) <= step][:kept]
        return [path for path in found if path not in newest]

    def _refuse(self, size: int) -> None:
        """Write no more checkpoints, and warn once."""
        if not self._refused:
            rule = f"no checkpoints: two of {format_bytes(size)} must fit"
            got = f"{format_bytes(self.room.size)} of the study's checkpoint quota"
            self.room.warn(f"{rule}, got {got}; raise --checkpoint-gib")
        self._refused = True

    def clear(self) -> None:
        """Delete all checkpoints of the attempt, once its trial has finished.

        Raises:
            StorageError: if the disk or the store refuses.
        """
        with translating_write_errors(self.folder):
            for name in list_names(self.folder):
                if re.fullmatch(r"checkpoint-.*\.(pt|tmp)", name):
                    delete_place(self.folder / name)


def _write_verified(path: Path, data: bytes) -> None:
    def check(file: BinaryIO) -> None:
        if os.fstat(file.fileno()).st_size != len(data) or not zipfile.is_zipfile(file):
            raise CheckpointError(f"`{path}` must read back as it was written; check the disk")

    replace_file(path, data, check)


def _list_checkpoints(folders: Iterable[Place]) -> list[Place]:
    """Files of checkpoints in folders, the newest step first."""
    found: list[Place] = []
    for folder in folders:
        names = [name for name in list_names(folder) if CHECKPOINT_NAME.fullmatch(name)]
        found += [folder / name for name in names]
    return sorted(found, key=_checkpoint_step, reverse=True)


def _checkpoint_step(path: Place) -> int:
    return int(path.stem.rpartition("-")[2])


def latest_checkpoint(folders: Iterable[Place]) -> Checkpoint | None:
    """Checkpoint of the highest step that is whole, or None if there is none.

    Raises:
        StorageError: if the folders cannot be read.
    """
    for path in _list_checkpoints(folders):
        # A torn or damaged checkpoint costs the steps since the one before, not the trial.
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
    try:
        with _open_checkpoint(path) as file:
            # torch does not compare checksums, and would load a damaged file.
            with zipfile.ZipFile(file) as parts:
                if damaged := parts.testzip():
                    raise zipfile.BadZipFile(f"`{damaged}` has another checksum")
            # `ZipFile` has moved the position, and torch reads from there.
            file.seek(0)
            stored = torch.load(file, map_location="cpu", weights_only=True)
        version = stored.pop("schema")
        checkpoint = Checkpoint(path, **stored)
    except StorageError:
        raise
    except Exception as error:  # a torn file makes torch raise errors of many kinds
        got = type(error).__name__
        raise CheckpointError(
            f"`{path}` must be a whole checkpoint, got {got}; delete it"
        ) from error
    if version != SCHEMA_VERSION:
        rule = f"`{path}` must have schema version {SCHEMA_VERSION}"
        raise CheckpointError(f"{rule}, got {version}; restart the trial")
    return checkpoint


def _open_checkpoint(path: Place) -> BinaryIO:
    return open_file(path) if isinstance(path, Path) else io.BytesIO(_require_content(path))


def _require_content(path: Place) -> bytes:
    """Content of a file that must exist.

    Raises:
        CheckpointError: if it is missing.
        StorageError: if it cannot be read.
    """
    data = read_content(path)
    if data is None:
        rule = f"`{path}` must be where it was written, and is gone"
        raise CheckpointError(f"{rule}; see who deletes files there")
    return data


def rng_state(device: str) -> dict[str, Any]:
    """States of the global generators that a trial draws from, as plain values and tensors.

    Returns:
        ``cpu`` of torch, ``cuda`` where the trial runs on a GPU, ``python`` and ``numpy``.
    """
    states: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if device.startswith("cuda"):
        states["cuda"] = torch.cuda.get_rng_state(device)
    version, words, gauss = random.getstate()
    states["python"] = (version, torch.tensor(words), gauss)
    legacy: Any = np.random.get_state()
    name, keys, *rest = legacy
    states["numpy"] = (str(name), torch.from_numpy(keys.astype(np.int64)), *map(float, rest))
    return states


def restore_rng_state(states: Mapping[str, Any], device: str) -> None:
    """Set the global generators to states that `rng_state` gave.

    A checkpoint of an earlier version has those of torch alone; the others stay.
    """
    torch.set_rng_state(states["cpu"])
    if device.startswith("cuda") and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    if "python" in states:
        version, words, gauss = states["python"]
        random.setstate((version, tuple(words.tolist()), gauss))
    if "numpy" in states:
        name, keys, position, has_gauss, gauss = states["numpy"]
        legacy = (name, keys.numpy().astype(np.uint32), int(position), int(has_gauss), gauss)
        np.random.set_state(legacy)


def save_weights(weights: Mapping[str, torch.Tensor], path: Place) -> dict[str, torch.Tensor]:
    """Write weights as safetensors, and read them back.

    Returns:
        Content of the file, on the CPU.

    Raises:
        StorageError: if the disk is full or read-only, or the store refuses.
    """
    # Clones, since safetensors refuses tensors that share memory.
    stored = {name: weight.cpu().clone().contiguous() for name, weight in weights.items()}
    with translating_write_errors(path.parent):
        write_durably(path, save(stored))
    return load(_require_content(path))


def save_masks(masks: Masks, path: Place) -> None:
    """Write masks as safetensors: a uint8 tensor per layer, with eight weights a byte in order.

    The metadata's ``shapes`` is a JSON object with the shape of each mask.

    Raises:
        StorageError: if the disk is full or read-only, or the store refuses.
    """
    shapes = {name: list(mask.shape) for name, mask in masks.items()}
    with translating_write_errors(path.parent):
        write_durably(path, save(pack_masks(masks), {"shapes": json.dumps(shapes)}))
