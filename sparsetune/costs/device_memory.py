"""Memory that a trial takes of its device, measured in its worker."""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

CLEAR_REFS_PATH = Path("/proc/self/clear_refs")
"""Linux forgets a process's largest resident set when 5 is written here."""
PROCESS_STATUS_PATH = Path("/proc/self/status")
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
"""Limit of a container's RAM, in bytes or ``max``."""


def reset_peak(device: str) -> None:
    """Forget the peaks of the trials that ran before in this process."""
    if device.startswith("cuda"):
        # Memory that was freed stays reserved, and would count.
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            CLEAR_REFS_PATH.write_text("5")


def peak_bytes(device: str) -> int:
    """Peak bytes since ``reset_peak``: reserved of a GPU by torch, or resident of this process.

    Where the system keeps no peak that can be reset, a CPU trial's is that of the whole process so
    far.
    """
    if device.startswith("cuda"):
        return torch.cuda.max_memory_reserved(device)
    with suppress(OSError, StopIteration):
        lines = PROCESS_STATUS_PATH.read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest


def device_bytes(device: str) -> int:
    """Bytes of the whole device: a GPU's memory, or the RAM that this machine or container has."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_properties(device).total_memory
    ram = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):
        return min(ram, int(CGROUP_LIMIT.read_text()))
    return ram
