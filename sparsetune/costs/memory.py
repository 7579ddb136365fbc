"""Peak memory of trials by model and batch size, and what follows from it: a GPU share, or how many fit in RAM."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sparsetune.spec import TrialSpec
from sparsetune.storage.ledger import Record, TrialState
from sparsetune.units import GIB_BYTES

PEAK_MARGIN = 1.2
"""A share holds this much more than the peak that was seen: allocators fragment, and data differ."""
CUDA_CONTEXT_BYTES = GIB_BYTES // 2
"""What CUDA itself takes on the device for every process."""
PARTS_PER_GPU = 20
"""Shares are rounded up to such a part of a GPU."""


@dataclass(frozen=True)
class PeakMemory:
    """The most that trials of one model and batch size took of one kind of device.

    Args:
        model: As the task names it.
        batch_size: Examples of a training batch.
        device: ``cuda``, where memory is what torch reserved of the GPU, or ``cpu``, where it is the process's
            resident set, shared libraries included.
        peak: Bytes, at most so far.
        trials: How many were measured.
        available: Bytes of the device, the least of those that trials ran on.
    """

    model: str
    batch_size: int
    device: str
    peak: float
    trials: int
    available: float | None

    @property
    def gpu_share(self) -> float | None:
        """The ``--gpus-per-trial`` that holds such a trial, in (0, 1]; None on a CPU or an unknown GPU."""
        if self.device == "cpu" or not self.available:
            return None
        needed = (PEAK_MARGIN * self.peak + CUDA_CONTEXT_BYTES) / self.available
        return min(PARTS_PER_GPU, math.ceil(round(PARTS_PER_GPU * needed, 9))) / PARTS_PER_GPU

    @property
    def at_once(self) -> int | None:
        """Such trials that a machine's RAM holds at once, at least 1; None on a GPU."""
        if self.device != "cpu" or not self.available:
            return None
        return max(1, int(self.available / (PEAK_MARGIN * self.peak)))

    @property
    def advice(self) -> str:
        """What to ask for with it, in words; empty where nothing is known."""
        if self.gpu_share:
            return f"--gpus-per-trial {self.gpu_share:g}"
        return f"{self.at_once} at once fit in RAM" if self.at_once else ""

    def facts(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**self.__dict__, "gpu_share": self.gpu_share, "at_once": self.at_once}


def peak_memory(trials: Iterable[TrialState]) -> list[PeakMemory]:
    """The measured peaks, in order of first appearance; trials that never ended, or before it was measured, are out."""
    found: dict[tuple[str, int, str], list[tuple[float, float | None]]] = {}
    for trial in trials:
        measured = (trial.ended or {}).get("peak_memory")
        if not measured or not trial.starts:
            continue
        start = trial.starts[-1]
        key = (*_model_and_batch_size(trial.use), str(start["device"]).partition(":")[0])
        found.setdefault(key, []).append((measured, start.get("device_memory")))
    return [
        PeakMemory(
            *key,
            max(peak for peak, _ in seen),
            len(seen),
            min((size for _, size in seen if size), default=None),
        )
        for key, seen in found.items()
    ]


def _model_and_batch_size(use: Record) -> tuple[str, int]:
    """Model and batch size of a recorded trial."""
    task = TrialSpec.model_validate(use["spec"]).task
    return task.model, task.batch_size
