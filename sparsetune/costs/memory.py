"""Peak memory of trials by model and batch size, with the GPU share that follows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sparsetune.spec import TrialSpec
from sparsetune.storage.records import Proposed
from sparsetune.storage.trial_state import TrialState
from sparsetune.units import GIB_BYTES

PEAK_MARGIN = 1.2
"""A share holds so many times the peak that was seen: allocators fragment, and data differ."""
CUDA_CONTEXT_BYTES = GIB_BYTES // 2
"""Memory of CUDA itself on the device, for every process."""
PARTS_PER_GPU = 20
"""Shares are rounded up to a twentieth of a GPU."""


@dataclass(frozen=True)
class PeakMemory:
    """Largest memory that trials of one model and batch size took of one kind of device.

    Args:
        model: Name of the model in its task.
        batch_size: Examples of a training batch.
        device: ``cuda``, where memory is what torch reserved of the GPU, or ``cpu``, where it is
            the process's resident set, shared libraries included.
        peak: Largest memory so far, in bytes.
        trials: Number of trials that were measured.
        available: Memory in bytes of the smallest device that trials ran on; None where it is not
            known.
    """

    model: str
    batch_size: int
    device: str
    peak: float
    trials: int
    available: float | None

    @property
    def gpu_share(self) -> float | None:
        """Share of a GPU that holds such a trial, in (0, 1]; None on a CPU or an unknown GPU."""
        if self.device == "cpu" or not self.available:
            return None
        needed = (PEAK_MARGIN * self.peak + CUDA_CONTEXT_BYTES) / self.available
        return min(PARTS_PER_GPU, math.ceil(round(PARTS_PER_GPU * needed, 9))) / PARTS_PER_GPU

    @property
    def at_once(self) -> int | None:
        """Number of such trials that the machine's RAM holds at once, at least 1; None on a GPU."""
        if self.device != "cpu" or not self.available:
            return None
        return max(1, int(self.available / (PEAK_MARGIN * self.peak)))

    @property
    def advice(self) -> str:
        """Advice for people; empty where the device's memory is not known."""
        if self.gpu_share:
            return f"--gpus-per-trial {self.gpu_share:g}"
        return f"{self.at_once} at once fit in RAM" if self.at_once else ""

    def facts(self) -> dict[str, Any]:
        """The peak and what follows as plain JSON values."""
        return {**self.__dict__, "gpu_share": self.gpu_share, "at_once": self.at_once}


def peak_memory(trials: Iterable[TrialState]) -> list[PeakMemory]:
    """Measured peaks, in order of first appearance.

    Trials that have not ended are left out, and those that ended before peaks were recorded.
    """
    peaks: dict[tuple[str, int, str], list[float]] = {}
    sizes: dict[tuple[str, int, str], list[float]] = {}
    for trial in trials:
        measured = trial.ended.columns.get("peak_memory") if trial.ended else None
        if not isinstance(measured, int | float) or not measured or not trial.starts:
            continue
        start = trial.starts[-1]
        key = (*_model_and_batch_size(trial.use), str(start.device).partition(":")[0])
        peaks.setdefault(key, []).append(measured)
        sizes.setdefault(key, [])
        if start.device_memory:
            sizes[key].append(start.device_memory)
    return [
        PeakMemory(*key, max(seen), len(seen), min(sizes[key], default=None))
        for key, seen in peaks.items()
    ]


def _model_and_batch_size(use: Proposed) -> tuple[str, int]:
    """Model and batch size of a recorded trial."""
    task = TrialSpec.model_validate(use.spec).task
    return task.model, task.batch_size
