"""What a mask update costs: our selection against four others on the same scores, beside one pass
over the memory.

The others get their scores in one piece and only find the threshold; ours takes them layer by layer
and gives masks with exact counts. Whole updates, from the weights to the mask in force, are a table
of their own.
"""

from __future__ import annotations

import ctypes
import gc
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from sparsetune.sparsity.flops import forward_flops
from sparsetune.sparsity.layers import prunable_weights
from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.sparsity.masks.exact import Masks, compute_masks
from sparsetune.sparsity.plans.schedule import mask_schedule
from sparsetune.sparsity.sparsifier import Sparsifier
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import RampSpec, SparsitySpec
from sparsetune.spec.task import ImageTask
from sparsetune.tasks.models import build_model
from tests.benchmarks.rows import Row, interleaved, timed

BEFORE = 0.9
SPARSITY = 0.92
"""Of the mask in force where there is one, and of the mask to find."""
NETWORKS = {
    "resnet50": ((3, 224, 224), 1000),
    "lenet_300_100": ((1, 28, 28), 10),
    "mlp": ((1, 8, 8), 10),
}
LARGE = "resnet50"
"""Whose memory is measured: that of the others is a few pages."""
ONE_PASS = "one pass: the scores' maximum"
OURS = "ours, from scores"
Layers = dict[str, torch.Tensor]


class Case(NamedTuple):
    """What the others get is ``scores``; ours gets the mask in force too."""

    kind: str
    weights: Layers
    scores: Layers
    within: Masks | None = None


def mask_rows(rounds: int, device: str = "cpu") -> list[Row]:
    """Selections on the weights of ResNet50 and of two small networks, then whole updates of the
    three.
    """
    rows = []
    for model in NETWORKS:
        torch.manual_seed(0)
        weights = {
            name: w.detach().to(device) for name, w in prunable_weights(_build(model)).items()
        }
        for case in _cases(weights):
            rows += _selections(model, case, _rounds(model, rounds), device)
    return rows + [_whole_update(model, _rounds(model, rounds), device) for model in NETWORKS]


def _rounds(model: str, rounds: int) -> int:
    return rounds if model == LARGE else rounds * 20  # those of a small network are short


def _build(model: str) -> nn.Module:
    return build_model(model, *NETWORKS[model])


def _cases(weights: Layers) -> Iterator[Case]:
    """One after the other, for memory's sake."""
    scores = {name: weight.abs() for name, weight in weights.items()}
    yield Case("fresh weights", weights, scores)
    within = compute_masks(scores, [_group(scores, BEFORE)])
    masked = {name: weight * within[name] for name, weight in weights.items()}
    yield Case(
        "a mask in force", masked, {name: weight.abs() for name, weight in masked.items()}, within
    )
    step = max(float(score.max()) for score in scores.values()) / 100
    rounded = {name: (weight / step).round() for name, weight in weights.items()}
    yield Case("heavy ties", rounded, {name: weight.abs() for name, weight in rounded.items()})


def _group(scores: Layers, sparsity: float) -> LayerGroup:
    return LayerGroup(
        tuple(scores), round(sparsity * sum(score.numel() for score in scores.values()))
    )


def _selections(model: str, case: Case, rounds: int, device: str) -> list[Row]:
    group = _group(case.scores, SPARSITY)
    together = torch.cat([score.flatten() for score in case.scores.values()])
    size = together.numel()
    pruned = group.pruned
    works: dict[str, Callable[[], object]] = {
        ONE_PASS: together.max if device != "cpu" else together.numpy().max,
        OURS: partial(compute_masks, case.scores, [group], case.within),
        "ours, from weights": partial(
            compute_masks, case.weights, [group], case.within, absolute=True
        ),
        "torch.kthvalue": partial(torch.kthvalue, together, pruned),
        "torch.topk": partial(torch.topk, together, size - pruned, sorted=False),
        "torch.sort": partial(torch.sort, together),
    }
    if device == "cpu":
        works["numpy.partition"] = partial(np.partition, together.numpy(), pruned - 1)
    taken = interleaved(
        {name: partial(timed, work, device) for name, work in works.items()}, rounds
    )
    title = f"mask of {model}, {size:,} weights: {case.kind}"
    notes = {name: _memory(model, work, size, device) for name, work in works.items()}
    return [
        Row(title, name, taken[name], None if name == ONE_PASS else ONE_PASS, notes=notes[name])
        for name in works
    ]


def _memory(model: str, work: Callable[[], object], size: int, device: str) -> dict[str, float]:
    return {"peak_bytes_per_weight": peak_bytes(work, device) / size} if model == LARGE else {}


def _whole_update(model: str, rounds: int, device: str) -> Row:
    """A `gmp` update through `Sparsifier`: score, mask, record, enforcement."""
    network, (input_shape, _) = _build(model).to(device), NETWORKS[model]
    weights = prunable_weights(network)
    spec = TrialSpec(
        task=ImageTask(model=model),
        schedule=ScheduleSpec(epochs=100),
        sparsity=SparsitySpec(
            method="gmp", target=SPARSITY, ramp=RampSpec(start=0, first=0.5, updates=rounds + 2)
        ),
    ).canonical()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    sparsifier = Sparsifier(spec, weights, optimizer, forward_flops(network, input_shape))
    steps = [change.step for change in mask_schedule(spec)]
    taken = [
        timed(partial(sparsifier.before_forward, step), device) for step in steps[: rounds + 2]
    ][2:]
    size = sum(weight.numel() for weight in weights.values())
    last = partial(sparsifier.before_forward, steps[rounds + 2])
    title = "whole mask update of gmp: score, mask, record, enforcement"
    return Row(title, f"{model}, {size:,} weights", taken, notes=_memory(model, last, size, device))


def peak_bytes(work: Callable[[], object], device: str) -> float:
    """By how much memory grows while ``work`` runs, at most, its result with it; NaN where the
    system does not tell.
    """
    gc.collect()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    if not sys.platform.startswith("linux"):
        return math.nan
    ctypes.CDLL(None).malloc_trim(0)  # what was freed before would hide what is taken now
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = resident("VmRSS")
        result = work()
        peak = resident("VmHWM") - before
        del result
        return peak
    return math.nan


def resident(field: str) -> float:
    """Bytes of this process's memory, as Linux tells: ``VmRSS`` now, ``VmHWM`` at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(float(line.split()[1]) for line in lines if line.startswith(field))
