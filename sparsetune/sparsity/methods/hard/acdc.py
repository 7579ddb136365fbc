"""AC/DC: alternating compressed and decompressed training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sparsetune.durations import round_half_up
from sparsetune.sparsity.methods.method import SHARED_FIELDS, Method
from sparsetune.sparsity.plans.changes import MaskChange, Plan
from sparsetune.sparsity.plans.rules import ScheduleRule

if TYPE_CHECKING:
    from sparsetune.spec import TrialSpec

MIN_COMPRESSED_PHASES = 3


def acdc(spec: TrialSpec) -> list[MaskChange]:
    """Changes between compressed and decompressed phases, from the end of the warm-up.

    What the alternation leaves over lengthens the final compressed phase.
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


def _fits(spec: TrialSpec, plan: Plan) -> bool:
    """True if the declared lengths leave room for two alternating phases and the final one."""
    lengths = spec.sparsity.acdc
    clock = spec.clock()
    compress = lengths.compress.steps(clock)
    decompress = lengths.decompress.steps(clock)
    others = (lengths.warmup, lengths.last_dense, lengths.final)
    rest = sum(length.steps(clock) for length in others)
    needed = rest + (MIN_COMPRESSED_PHASES - 1) * (compress + decompress) - decompress
    return min(compress, decompress) >= 1 and needed <= clock.total + 1e-9


def _describe(spec: TrialSpec, plan: Plan) -> str:
    return f"{spec.total_steps()} steps of training"


ACDC = Method(
    name="acdc",
    title="AC/DC",
    plan=acdc,
    source="Peste et al. 2021, arXiv 2106.12379, algorithm 1",
    code="IST-DASLab/ACDC",
    departs=(
        "Masks are global, as in the authors' first configurations; `UNIFORM_ACDC` is their `unif`"
        " ones.",
        "The five lengths stretch with training; `PUBLISHED_ACDC` repeats phases instead, as the"
        " authors' 100-, 150- and 200-epoch configurations do, and `CIFAR100_ACDC` is their plan"
        " for CIFAR-100.",
    ),
    fields=(*SHARED_FIELDS, "acdc", "reset", "recalibrate"),
    defaults={"reset": "all"},
    schedule_rules=(
        ScheduleRule(
            "acdc",
            f"AC/DC needs at least {MIN_COMPRESSED_PHASES} compressed phases of a step or more; ",
            _fits,
            _describe,
        ),
    ),
    keeps_largest=True,
    flops="3 f_S in compressed phases, 3 f_D in others",
    tested_against="the authors' configurations, epoch by epoch; an independent reference",
)
