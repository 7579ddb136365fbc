"""Pieces of the Fisher that fit into memory, estimated one after the other.

Blocks of a layer form runs, and runs form pieces. Every piece is estimated from the same gradients,
so that the number of pieces changes time and memory, but no number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from sparsetune.errors import LimitError
from sparsetune.machine import available_ram_bytes, ram_bytes, usable_cpus
from sparsetune.spec.sparsity import FisherSpec
from sparsetune.units import format_bytes

MAX_RUN_WEIGHTS = 1 << 18
"""Largest number of weights in a run, unless one block has more.

A run is computed in one go, however many pieces there are: batched products of another size could
sum in another order.
"""
GRADIENTS_PER_UPDATE = 16
"""Number of gradients that are added together, in one pass over the Fisher's memory."""
FLOAT64_BYTES = 8
FLOAT32_BYTES = 4
BYTES_PER_WEIGHT = 6 * FLOAT32_BYTES
"""Bytes per weight of the network, however many pieces there are.

They hold its gradient, the same within the mask, the diagonal, the score and the compensation.
"""
FREE_MEMORY_SHARE = 0.8
"""Largest share of the free memory to use.

Allocators fragment, and the passes that give the gradients need memory too.
"""


class BlockRun(NamedTuple):
    """Consecutive blocks of a layer.

    Args:
        layer: Name of the layer.
        start: Index of the first weight, in the order they are stored.
        end: Index after the last weight.
        block: Weights of a block; the last block of a layer may have fewer.
    """

    layer: str
    start: int
    end: int
    block: int

    @property
    def blocks(self) -> int:
        """Number of blocks, a smaller last one included."""
        return math.ceil((self.end - self.start) / self.block)

    @property
    def bytes(self) -> int:
        """Bytes of the run's Fisher and of the gradients that wait to be added."""
        bytes_per_weight = FLOAT64_BYTES * self.block + FLOAT32_BYTES * GRADIENTS_PER_UPDATE
        return self.blocks * self.block * bytes_per_weight


def plan_runs(sizes: Mapping[str, int], spec: FisherSpec) -> list[BlockRun]:
    """All blocks of a network in runs of at most `MAX_RUN_WEIGHTS` weights or one block.

    Args:
        sizes: Number of weights of each layer.
        spec: Size of the blocks.
    """
    runs = []
    for layer, size in sizes.items():
        block = min(spec.block, size)
        step = block * max(1, MAX_RUN_WEIGHTS // block)
        runs += [
            BlockRun(layer, start, min(size, start + step), block) for start in range(0, size, step)
        ]
    return runs


def split_runs(runs: Sequence[BlockRun], pieces: int) -> list[list[BlockRun]]:
    """Runs in at most ``pieces`` pieces, in order, with as many runs each but for the last."""
    size = math.ceil(len(runs) / pieces)
    return [list(runs[start : start + size]) for start in range(0, len(runs), size)]


def needed_bytes(runs: Sequence[BlockRun], pieces: int) -> int:
    """Most bytes that an estimate in so many pieces takes at a time."""
    largest = max(sum(run.bytes for run in piece) for piece in split_runs(runs, pieces))
    # The Cholesky factor of a run, and what the factorisation itself needs.
    inverting = 2 * max(run.bytes for run in runs)
    weights = sum(run.end - run.start for run in runs)
    return largest + inverting + BYTES_PER_WEIGHT * weights


def pieces_within(runs: Sequence[BlockRun], free: float) -> int:
    """Fewest pieces that fit into `FREE_MEMORY_SHARE` of the free bytes.

    Raises:
        LimitError: if not even one run at a time fits.
    """
    allowed = FREE_MEMORY_SHARE * free
    least = needed_bytes(runs, len(runs))
    if least > allowed:
        block = max(run.block for run in runs)
        raise LimitError(
            f"the Fisher in blocks of {block:,} weights must fit into {FREE_MEMORY_SHARE:.0%} of"
            f" the memory that is free for a trial, {format_bytes(allowed)},"
            f" got {format_bytes(least)} for its smallest pieces; a smaller `sparsity.fisher.block`"
            " or fewer trials at once would do"
        )
    pieces = 1
    while needed_bytes(runs, pieces) > allowed:
        pieces += 1
    return pieces


def free_bytes(device: torch.device) -> float:
    """Bytes of a device's memory that a trial may take now.

    On a GPU this is what is free, within the process's fraction where torch was given one. Of the
    RAM that is available, it is the part that the trial has of the processors.
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device)
        allocated = torch.cuda.memory_allocated(device)
        allowed = torch.cuda.get_per_process_memory_fraction(device) * total - allocated
        # Torch keeps what it has reserved: what of that is not allocated is free for this process.
        return min(free + reserved - allocated, allowed)
    available = available_ram_bytes()
    ram = ram_bytes() if available is None else available
    return ram * min(1.0, torch.get_num_threads() / usable_cpus())
