"""When the mask changes: a method is a pure function from a trial's declaration to a list of changes."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from sparsetune.durations import fraction_to_step, round_half_up
from sparsetune.errors import Problem
from sparsetune.sparsity.ramps import RAMPS
from sparsetune.spec import TrialSpec
from sparsetune.tables import Phase

MIN_RAMP_UPDATES = 10
MIN_COMPRESSED_PHASES = 3
LONGEST_EPOCHS = 100_000


@dataclass(frozen=True)
class Change:
    """What happens to the mask before optimizer step ``step`` (at the end of training where it equals the total).

    Args:
        step: Optimizer steps done before it, in [0, total].
        phase: The phase that begins.
        sparsity: Of the new mask, in [0, 1); 0 is a mask of ones.
        reset: What is zeroed of the optimizer's momentum and moments.
    """

    step: int
    phase: Phase
    sparsity: float
    reset: Literal["none", "all"] = "none"


def plan(spec: TrialSpec) -> list[Change]:
    """Every change of the trial's mask, in order, at most one a step; the first is at step 0.

    Raises:
        ValueError: if the method is unknown.
    """
    if spec.sparsity.method not in METHODS:
        raise ValueError(f"`sparsity.method` must be one of {', '.join(METHODS)}, got {spec.sparsity.method!r}")
    return _one_per_step([Change(0, "dense", 0.0), *METHODS[spec.sparsity.method](spec)])


def dense(spec: TrialSpec) -> list[Change]:
    """Nothing is ever pruned."""
    return []


def one_shot(spec: TrialSpec) -> list[Change]:
    """One step from dense to the target; the mask stays."""
    return [Change(fraction_to_step(spec.sparsity.prune_at, spec.total_steps()), "fixed", spec.sparsity.target)]


def gmp(spec: TrialSpec) -> list[Change]:
    """Gradual magnitude pruning: evenly spaced updates along a ramp, then a fixed mask (Zhu & Gupta 2017)."""
    ramp, total, target = spec.sparsity.ramp, spec.total_steps(), spec.sparsity.target
    start = fraction_to_step(ramp.start, total)
    end = fraction_to_step(ramp.start + ramp.length, total)
    steps = {start + round_half_up(k * (end - start) / ramp.updates) for k in range(1, ramp.updates)}
    shape = RAMPS[ramp.shape]
    updates = [Change(s, "ramp", target * shape((s - start) / (end - start))) for s in sorted(steps) if start < s < end]
    return [Change(start, "ramp", 0.0), *updates, Change(end, "fixed", target)]


def acdc(spec: TrialSpec) -> list[Change]:
    """Alternating compressed and decompressed training (Peste et al. 2021, algorithm 1 and released configurations).

    What the alternation leaves over lengthens the final compressed phase. Momentum is zeroed at every decompression.
    """
    given, total = spec.sparsity.acdc, spec.total_steps()
    lengths = (given.warmup, given.compress, given.decompress, given.last_dense, given.final)
    warmup, compress, decompress, last_dense, final = (n.steps(total, spec.steps_per_epoch()) for n in lengths)
    cycle = compress + decompress
    room = total - warmup - last_dense - final
    phases = max(1, math.floor(min(total, (room + decompress) / cycle + 1e-9))) if cycle else 1
    starts: list[tuple[float, Phase]] = []
    for k in range(phases):
        starts += [(warmup + k * cycle, "compressed"), (warmup + k * cycle + compress, "decompressed")]
    starts.append((starts[-1][0] + last_dense, "compressed"))
    return [_acdc_change(min(total, round_half_up(at)), phase, spec.sparsity.target) for at, phase in starts]


def _acdc_change(step: int, phase: Phase, target: float) -> Change:
    return Change(step, phase, target) if phase == "compressed" else Change(step, phase, 0.0, reset="all")


METHODS: dict[str, Callable[[TrialSpec], list[Change]]] = {
    "dense": dense,
    "one_shot": one_shot,
    "gmp": gmp,
    "acdc": acdc,
}
"""Each gives its changes in order of step; the network is dense before the first."""


def _one_per_step(changes: Iterable[Change]) -> list[Change]:
    """The last change of every step."""
    return list({change.step: change for change in changes}.values())


def plan_problems(spec: TrialSpec) -> list[Problem]:
    """What makes a valid declaration's schedule too short for its method, naming the value that would do."""
    found = []
    every = spec.evaluate.every
    if every is not None and every.steps(spec.total_steps(), spec.steps_per_epoch()) < 1:
        found.append(Problem("evaluate.every", "must be at least one optimizer step", str(every.declared())))
    if spec.sparsity.method == "gmp" and not _gmp_fits(spec):
        ramp = spec.sparsity.ramp
        rule = f"the ramp needs at least {MIN_RAMP_UPDATES} mask updates at different steps; "
        found.append(
            Problem("sparsity.ramp", rule + _remedy(spec, _gmp_fits), f"{_updates(spec)} (`length` {ramp.length:g})")
        )
    if spec.sparsity.method == "acdc" and not _acdc_fits(spec):
        rule = f"AC/DC needs at least {MIN_COMPRESSED_PHASES} compressed phases of a step or more; "
        found.append(
            Problem("sparsity.acdc", rule + _remedy(spec, _acdc_fits), f"{spec.total_steps()} steps of training")
        )
    return found


def _updates(spec: TrialSpec) -> int:
    return sum(change.sparsity > 0 for change in plan(spec))


def _gmp_fits(spec: TrialSpec) -> bool:
    return _updates(spec) >= MIN_RAMP_UPDATES


def _acdc_fits(spec: TrialSpec) -> bool:
    """Whether the declared lengths leave room for two alternating phases and the final one."""
    given, total, per_epoch = spec.sparsity.acdc, spec.total_steps(), spec.steps_per_epoch()
    compress, decompress = given.compress.steps(total, per_epoch), given.decompress.steps(total, per_epoch)
    rest = sum(n.steps(total, per_epoch) for n in (given.warmup, given.last_dense, given.final))
    alternating = MIN_COMPRESSED_PHASES - 1
    return min(compress, decompress) >= 1 and rest + alternating * (compress + decompress) - decompress <= total + 1e-9


def _remedy(spec: TrialSpec, fits: Callable[[TrialSpec], bool]) -> str:
    """The fewest whole epochs for which ``fits`` holds, as advice."""
    tried = range(1, LONGEST_EPOCHS)
    index = bisect_left(tried, True, key=lambda epochs: fits(spec.with_values({"schedule.epochs": epochs})))
    if index == len(tried):
        return "no number of epochs would do: change its lengths"
    return f"`schedule.epochs` of {tried[index]} would do (at this multiplier)"
