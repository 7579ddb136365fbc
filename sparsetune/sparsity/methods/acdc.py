"""AC/DC: alternating compressed and decompressed training."""

from __future__ import annotations

import math

from sparsetune.durations import round_half_up
from sparsetune.sparsity.methods.changes import MaskChange
from sparsetune.spec import TrialSpec


def acdc(spec: TrialSpec) -> list[MaskChange]:
    """Changes between compressed and decompressed phases, from the end of the warm-up.

    What the alternation leaves over lengthens the final compressed phase.

    Source: Peste et al. 2021, arXiv 2106.12379, algorithm 1 and the released configurations.
    """
    lengths = spec.sparsity.acdc
    clock = spec.clock()
    warmup = lengths.warmup.steps(clock)
    compress = lengths.compress.steps(clock)
    decompress = lengths.decompress.steps(clock)
    last_dense = lengths.last_dense.steps(clock)
    final = lengths.final.steps(clock)

    total = spec.total_steps()
    cycle = compress + decompress
    room = total - warmup - last_dense - final
    phases = 1
    if cycle:
        # n compressed phases have n - 1 decompressed ones between them, hence `+ decompress`;
        # 1e-9 forgives rounding where the cycles fill the room exactly.
        phases = max(1, math.floor(min(total, (room + decompress) / cycle + 1e-9)))

    changes = []
    for k in range(phases):
        compressed = warmup + k * cycle
        decompressed = compressed + compress
        changes.append(_compress(spec, compressed))
        changes.append(_decompress(spec, decompressed))
    changes.append(_compress(spec, decompressed + last_dense))
    return changes


def _compress(spec: TrialSpec, position: float) -> MaskChange:
    """Start of a compressed phase, ``position`` steps into training."""
    return MaskChange(_to_step(spec, position), "compressed", spec.sparsity.target, "prune")


def _decompress(spec: TrialSpec, position: float) -> MaskChange:
    """Start of a decompressed phase, ``position`` steps into training."""
    return MaskChange(_to_step(spec, position), "decompressed", 0.0, "release")


def _to_step(spec: TrialSpec, position: float) -> int:
    return min(spec.total_steps(), round_half_up(position))
