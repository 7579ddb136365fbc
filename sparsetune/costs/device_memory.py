"""Memory that a trial takes of its device, measured in its worker."""

from __future__ import annotations

import torch

from sparsetune.machine import forget_peak_memory, peak_memory_bytes, ram_bytes


def reset_peak(device: str) -> None:
    """Forget the peaks of the trials that ran before in this process."""
    if device.startswith("cuda"):
        # Memory that was freed stays reserved, and would count.
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    else:
        forget_peak_memory()


def peak_bytes(device: str) -> int:
    """Peak bytes since ``reset_peak``: reserved of a GPU by torch, or resident of this process.

    Where the system keeps no peak that can be reset, a CPU trial's is that of the whole process so
    far.
    """
    if device.startswith("cuda"):
        return torch.cuda.max_memory_reserved(device)
    return peak_memory_bytes()


def device_bytes(device: str) -> int:
    """Bytes of the whole device: a GPU's memory, or the RAM that this machine or container has."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_properties(device).total_memory
    return ram_bytes()
