"""How the Fisher is cut into pieces that fit into memory, one estimated after the other from the same gradients."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch

from sparsetune.errors import LimitError
from sparsetune.spec.sparsity import FisherSpec
from sparsetune.units import format_bytes

MAX_RUN_WEIGHTS = 1 << 18
"""Weights of a run, which is computed in one go whatever the pieces: sums must not depend on these."""
GRADIENTS_PER_UPDATE = 16
"""Gradients that are taken in together: one pass over the Fisher for all of them."""
FLOAT64_BYTES = 8
FLOAT32_BYTES = 4
"""Bytes of a number."""
BYTES_PER_WEIGHT = 6 * FLOAT32_BYTES
"""Bytes for every weight of the network, whatever the pieces: gradients, the same masked, diagonals, scores, steps."""
FREE_MEMORY_SHARE = 0.8
"""Of the free memory that is taken at most: allocators fragment, and the pass that gives gradients takes some."""


class BlockRun(NamedTuple):
    """Consecutive blocks of a layer.

    Args:
        layer: Its name.
        start: The first weight, counted in the order they are stored.
        end: The first that follows.
        block: Weights of a block; the last block of a layer may have fewer.
    """

    layer: str
    start: int
    end: int
    block: int

    @property
    def blocks(self) -> int:
        """How many, the last counted in full."""
        return math.ceil((self.end - self.start) / self.block)

    @property
    def bytes(self) -> int:
        """Of its Fisher and the gradients that wait to be taken in."""
        return (
            self.blocks
            * self.block
            * (FLOAT64_BYTES * self.block + FLOAT32_BYTES * GRADIENTS_PER_UPDATE)
        )


def plan_runs(sizes: Mapping[str, int], spec: FisherSpec) -> list[BlockRun]:
    """All blocks of layers of so many weights, in runs of at most `MAX_RUN_WEIGHTS` weights or one block."""
    return [
        run
        for layer, size in sizes.items()
        for run in _layer_runs(layer, size, min(spec.block, size))
    ]


def _layer_runs(layer: str, size: int, block: int) -> Iterator[BlockRun]:
    step = block * max(1, MAX_RUN_WEIGHTS // block)
    for start in range(0, size, step):
        yield BlockRun(layer, start, min(size, start + step), block)


def split_runs(runs: Sequence[BlockRun], pieces: int) -> list[list[BlockRun]]:
    """Runs in at most so many pieces, in order and of like size."""
    size = math.ceil(len(runs) / pieces)
    return [list(runs[start : start + size]) for start in range(0, len(runs), size)]


def needed_bytes(runs: Sequence[BlockRun], pieces: int) -> int:
    """Bytes that the estimate takes at most."""
    largest = max(sum(run.bytes for run in piece) for piece in split_runs(runs, pieces))
    inverting = 2 * max(run.bytes for run in runs)
    return largest + inverting + BYTES_PER_WEIGHT * sum(run.end - run.start for run in runs)


def pieces_within(runs: Sequence[BlockRun], free: float) -> int:
    """The fewest pieces that `FREE_MEMORY_SHARE` of the free bytes can hold.

    Raises:
        LimitError: if not even one run after the other fits.
    """
    least = needed_bytes(runs, len(runs))
    if least > FREE_MEMORY_SHARE * free:
        raise LimitError(
            f"the Fisher in blocks of {max(run.block for run in runs):,} weights must fit into {FREE_MEMORY_SHARE:.0%} of the memory"
            f" that is free for a trial, {format_bytes(FREE_MEMORY_SHARE * free)}, got {format_bytes(least)} for its smallest pieces; a"
            " smaller `sparsity.fisher.block` or fewer trials at once would do"
        )
    pieces = 1
    while needed_bytes(runs, pieces) > FREE_MEMORY_SHARE * free:
        pieces += 1
    return pieces


def free_bytes(device: torch.device) -> float:
    """What a trial may take of its device's memory now.

    Of a GPU what is free, within the process's fraction where torch was given one; of the RAM that is available, the
    part that the trial has of the processors.
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device)
        allocated = torch.cuda.memory_allocated(device)
        allowed = torch.cuda.get_per_process_memory_fraction(device) * total - allocated
        return min(free + reserved - allocated, allowed)
    processors = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return _available_ram_bytes() * min(1.0, torch.get_num_threads() / processors)


def _available_ram_bytes(
    meminfo: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")
) -> float:
    """Bytes of RAM that this machine and its container still give; all there are where the system does not tell."""
    free = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, KeyError):
        free = 1024.0 * _read_numbers(meminfo)["MemAvailable"]
    with suppress(OSError, KeyError, ValueError):
        used = int((cgroup / "memory.current").read_text())
        kept = _read_numbers(cgroup / "memory.stat")
        cached = kept["file"] - kept["shmem"]  # files' pages are given back when asked for
        free = min(free, int((cgroup / "memory.max").read_text()) - used + cached)
    return free


def _read_numbers(file: Path) -> dict[str, int]:
    """The first number of every line, by its name."""
    lines = (line.replace(":", "").split() for line in file.read_text().splitlines())
    return {name: int(number) for name, number, *_ in lines}
