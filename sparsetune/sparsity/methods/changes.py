"""Methods: pure functions from a trial's declaration to the changes of its mask."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from sparsetune.durations import fraction_to_step, round_half_up
from sparsetune.sparsity.methods.ramps import RAMPS
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import Phase
from sparsetune.spec.rates import DECAYS
from sparsetune.spec.sparsity import RegrowSpec

Action = Literal["keep", "draw", "prune", "release", "regrow", "shadow"]


@dataclass(frozen=True)
class MaskChange:
    """What happens to the mask at optimizer step ``step``: before it, or for ``regrow`` after its gradient is known.

    Args:
        step: Optimizer steps done before it, in [0, total]; at the end of training where it equals the total.
        phase: The phase that begins.
        sparsity: Of the mask from then on, in [0, 1); 0 is a mask of ones.
        action: ``keep`` the mask; ``draw`` a random one; ``prune`` to the sparsity by score; ``release`` every weight;
            ``regrow``: prune, then exchange kept weights for others; ``shadow``: prune anew before every forward pass,
            with dense weights behind.
        exchanged: For ``regrow``, the fraction of a layer's kept weights that is exchanged.
        replaces_step: Whether the optimizer does not step on this batch.
    """

    step: int
    phase: Phase
    sparsity: float
    action: Action = "keep"
    exchanged: float = 0.0
    replaces_step: bool = False


def dense(spec: TrialSpec) -> list[MaskChange]:
    """Nothing is ever pruned."""
    return []


def static(spec: TrialSpec) -> list[MaskChange]:
    """A mask at initialisation, random or by saliency (SNIP, Lee et al. 2019), that never changes."""
    return [MaskChange(0, "fixed", spec.sparsity.target, "prune")]


def transfer(spec: TrialSpec) -> list[MaskChange]:
    """The zeros of a sparse checkpoint, its lowest magnitudes; only what remains trains (Kurtic et al. 2022)."""
    return [MaskChange(0, "fixed", spec.sparsity.target, "prune")]


def one_shot(spec: TrialSpec) -> list[MaskChange]:
    """One step from dense to the target; the mask stays."""
    at = fraction_to_step(spec.sparsity.prune_at, spec.total_steps())
    return [MaskChange(at, "fixed", spec.sparsity.target, "prune")]


def gradual(spec: TrialSpec) -> list[MaskChange]:
    """Updates along a ramp, then a fixed mask (Zhu & Gupta 2017; with the Fisher, Kurtic et al. 2022)."""
    ramp, target, (start, end) = spec.sparsity.ramp, spec.sparsity.target, ramp_steps(spec)
    first = min(ramp.first, target)
    updates = [
        MaskChange(step, "ramp", ramp_sparsity(spec, step), "prune")
        for step in sorted(set(_inner_ramp_steps(spec)))
    ]
    begin = MaskChange(start, "ramp", first, "prune" if first else "keep")
    return [begin, *updates, MaskChange(end, "fixed", target, "prune")]


def ramp_steps(spec: TrialSpec) -> tuple[int, int]:
    """The first step of the ramp, and the step at which it reaches the target; both within training."""
    start, end = ramp_bounds(spec)
    first = min(spec.total_steps(), round_half_up(start))
    return first, max(first, min(spec.total_steps(), round_half_up(end)))


def ramp_bounds(spec: TrialSpec) -> tuple[float, float]:
    """The declared ends of the ramp in steps, wherever they lie."""
    ramp = spec.sparsity.ramp
    clock = spec.clock()
    start = ramp.start.steps(clock)
    if ramp.tail is not None:
        return start, clock.total - ramp.tail.steps(clock)
    return start, start + ramp.length.steps(clock)


def ramp_sparsity(spec: TrialSpec, step: int) -> float:
    """The sparsity that the ramp has reached at ``step``."""
    ramp, target, (start, end) = spec.sparsity.ramp, spec.sparsity.target, ramp_steps(spec)
    return (
        target if step >= end else RAMPS[ramp.shape]((step - start) / (end - start), ramp, target)
    )


def ramp_updates(spec: TrialSpec) -> float:
    """Mask updates that the declaration asks for after the ramp's start."""
    ramp, (start, end) = spec.sparsity.ramp, ramp_steps(spec)
    if ramp.shape == "stepped":
        return len(ramp.levels) + 1
    if ramp.every is None:
        return ramp.updates
    return max(1.0, (end - start) / max(ramp.every.steps(spec.clock()), 1e-9))


def _inner_ramp_steps(spec: TrialSpec) -> Iterator[int]:
    """The steps of updates strictly between the ramp's ends."""
    (start, end), updates = ramp_steps(spec), ramp_updates(spec)
    most = min(updates, max(0, end - start) * 2)  # rounding to steps may not skip one
    for k in range(1, math.ceil(most)):
        step = start + round_half_up(k * (end - start) / most)
        if start < step < end:
            yield step


def acdc(spec: TrialSpec) -> list[MaskChange]:
    """Alternating compressed and decompressed training (Peste et al. 2021, algorithm 1 and released configurations).

    What the alternation leaves over lengthens the final compressed phase.
    """
    given = spec.sparsity.acdc
    total = spec.total_steps()
    lengths = (given.warmup, given.compress, given.decompress, given.last_dense, given.final)
    warmup, compress, decompress, last_dense, final = (n.steps(spec.clock()) for n in lengths)
    cycle = compress + decompress
    room = total - warmup - last_dense - final
    phases = max(1, math.floor(min(total, (room + decompress) / cycle + 1e-9))) if cycle else 1
    starts: list[tuple[float, Phase]] = []
    for k in range(phases):
        starts += [
            (warmup + k * cycle, "compressed"),
            (warmup + k * cycle + compress, "decompressed"),
        ]
    starts.append((starts[-1][0] + last_dense, "compressed"))
    return [
        _acdc_change(min(total, round_half_up(at)), phase, spec.sparsity.target)
        for at, phase in starts
    ]


def _acdc_change(step: int, phase: Phase, target: float) -> MaskChange:
    return (
        MaskChange(step, phase, target, "prune")
        if phase == "compressed"
        else MaskChange(step, phase, 0.0, "release")
    )


def drop_and_grow(spec: TrialSpec) -> list[MaskChange]:
    """SET and RigL: a random mask, then updates that each take a batch's step (Evci et al. 2020, algorithm 1)."""
    target = spec.sparsity.target
    until = regrow_until(spec)
    updates = [
        MaskChange(
            step,
            "dynamic",
            target,
            "regrow",
            exchange_fraction(step, until, spec.sparsity.regrow),
            True,
        )
        for step in _regrow_steps(spec, 0, until)
    ]
    return [MaskChange(0, "dynamic", target, "draw"), *updates, MaskChange(until, "fixed", target)]


def granet(spec: TrialSpec) -> list[MaskChange]:
    """A ramp whose every update also exchanges weights, on to the end of updates (Liu et al. 2021)."""
    target, until, (start, end) = spec.sparsity.target, regrow_until(spec), ramp_steps(spec)
    steps = sorted({*_regrow_steps(spec, start, until), *([end] if end < until else [])})
    updates = [_granet_change(spec, step, until) for step in steps]
    first = min(spec.sparsity.ramp.first, target)
    begin = (
        [MaskChange(start, "ramp", first, "prune" if first else "keep")] if start < until else []
    )
    return [*begin, *updates, MaskChange(until, "fixed", target, "prune")]


def _granet_change(spec: TrialSpec, step: int, until: int) -> MaskChange:
    sparsity = ramp_sparsity(spec, step)
    phase: Phase = "ramp" if step < ramp_steps(spec)[1] else "dynamic"
    return MaskChange(
        step, phase, sparsity, "regrow", exchange_fraction(step, until, spec.sparsity.regrow)
    )


def exchange_fraction(step: int, end: int, spec: RegrowSpec) -> float:
    """The fraction of a layer's kept weights that an update exchanges.

    Under ``cosine`` it is ``fraction / 2 (1 + cos(pi step / end))`` (Evci et al. 2020, section 3).

    Args:
        step: Optimizer steps done before the update, in [0, end].
        end: Those done when updates end, from 1.
        spec: The fraction at the start, and how it falls.
    """
    return spec.fraction * DECAYS[spec.decay](step / end)


def regrow_until(spec: TrialSpec) -> int:
    """The step from which the mask stays."""
    return round_half_up(spec.sparsity.regrow.until.steps(spec.clock()))


def _regrow_steps(spec: TrialSpec, start: int, until: int) -> list[int]:
    every = _regrow_every(spec)
    return [
        start + round_half_up(k * every)
        for k in range(1, _updates_between(start, until, every) + 1)
    ]


def _updates_between(start: int, until: int, every: float) -> int:
    """How many multiples of ``every`` after ``start`` are rounded to steps before ``until``."""
    return max(0, math.ceil((until - start - 0.5) / every) - 1)


def _regrow_every(spec: TrialSpec) -> float:
    return max(1.0, spec.sparsity.regrow.every.steps(spec.clock()))


def regrow_updates(spec: TrialSpec) -> int:
    """Exchanges that the declaration gives room for, without making the plan."""
    start = ramp_steps(spec)[0] if spec.sparsity.method == "granet" else 0
    return _updates_between(start, regrow_until(spec), _regrow_every(spec))


def sr_ste(spec: TrialSpec) -> list[MaskChange]:
    """N:M masks of dense weights, anew before every forward pass (Zhou et al. 2021, arXiv 2102.04010)."""
    return [MaskChange(0, "dynamic", spec.sparsity.target, "shadow")]


METHODS: dict[str, Callable[[TrialSpec], list[MaskChange]]] = {
    "dense": dense,
    "static": static,
    "one_shot": one_shot,
    "gmp": gradual,
    "acdc": acdc,
    "set": drop_and_grow,
    "rigl": drop_and_grow,
    "granet": granet,
    "sr_ste": sr_ste,
    "obert": gradual,
    "transfer": transfer,
}
"""Each gives its changes in order of step; the network is dense before the first."""
