"""Cost of the Fisher information in a trial, measured on a few gradients and one run of blocks."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch
from torch import nn

from sparsetune.errors import LimitError
from sparsetune.sparsity.fisher.blocks import FisherPiece
from sparsetune.sparsity.fisher.pieces import (
    GRADIENTS_PER_UPDATE,
    BlockRun,
    free_bytes,
    needed_bytes,
    pieces_within,
    plan_runs,
    split_runs,
)
from sparsetune.sparsity.plans.schedule import mask_schedule
from sparsetune.spec import TrialSpec
from sparsetune.spec.sparsity import FisherSpec
from sparsetune.tasks.task import Task
from sparsetune.train.compute import ComputedModel
from sparsetune.train.probe import GradientProbe

TIMED_GRADIENTS = 3
"""Gradients that are timed, after one that warms up."""


class FisherCost(NamedTuple):
    """Cost of one estimate, from its gradients to the compensation; 0 for other scores.

    Args:
        fisher: Seconds of an estimate.
        fisher_bytes: Most bytes of memory that it needs.
        fisher_pieces: Number of pieces that it is made in, one after the other.
        unfit: Reason why it does not fit into memory; empty where it does.
    """

    fisher: float = 0.0
    fisher_bytes: int = 0
    fisher_pieces: int = 0
    unfit: str = ""


def uses_fisher(spec: TrialSpec) -> bool:
    """Return True if the trial estimates Fisher information."""
    return spec.sparsity.resolved().score == "fisher"


def count_estimates(spec: TrialSpec) -> int:
    """Number of estimates of the Fisher information in a trial."""
    if not uses_fisher(spec):
        return 0
    changes = mask_schedule(spec)
    prunings = [change for change in changes if change.action == "prune" and change.sparsity > 0]
    return len(prunings) * spec.sparsity.fisher.recomputations


def measure_fisher_cost(spec: TrialSpec, task: Task, model: nn.Module, device: str) -> FisherCost:
    """Measure an estimate's cost on this device, with the memory that is free there now.

    Args:
        spec: Declaration of a trial.
        task: Its task, with splits on the device.
        model: Its network, on the device.
        device: As torch names it.
    """
    if not uses_fisher(spec):
        return FisherCost()
    given = spec.sparsity.fisher
    on = torch.device(device)
    weights = task.prunable(model, spec.sparsity)
    sizes = {name: weight.numel() for name, weight in weights.items()}
    runs = plan_runs(sizes, given)
    try:
        pieces = len(split_runs(runs, pieces_within(runs, free_bytes(on))))
    except LimitError as error:
        return FisherCost(unfit=str(error))
    arithmetic = ComputedModel(spec.compute, model, device).arithmetic
    probe = GradientProbe(task, model, weights, spec.task.batch_size, spec.seed, arithmetic)
    gradient = _gradient_seconds(probe, given, on)
    # The first run in a process loads libraries, so a small one goes before the timed one.
    _run_seconds(BlockRun("", 0, 2, 2), given, on)
    largest = max(runs, key=lambda run: run.bytes)
    adding, inverting = _run_seconds(largest, given, on)
    scale = sum(run.bytes for run in runs) / largest.bytes
    # Several pieces are made twice: for the scores, and again for the compensation.
    rounds = 1 if pieces == 1 else 2
    blocks = scale * (given.gradients * adding + inverting)
    seconds = rounds * (pieces * given.gradients * gradient + blocks)
    return FisherCost(seconds, needed_bytes(runs, pieces), pieces)


def _gradient_seconds(probe: GradientProbe, given: FisherSpec, device: torch.device) -> float:
    """Seconds of one gradient, with the reading of its batch."""
    gradients = probe.gradients(0, 1 + TIMED_GRADIENTS, given.batch_size, False)
    ends = [_synchronised_time(device) for _ in gradients]
    return (ends[-1] - ends[0]) / TIMED_GRADIENTS


def _run_seconds(run: BlockRun, given: FisherSpec, device: torch.device) -> tuple[float, float]:
    """Seconds to add one gradient to a run of blocks, and seconds to invert the blocks."""
    piece = FisherPiece([run], given, device)
    gradient = torch.randn(run.end, device=device)
    # Not timed: the first touch of the memory costs more.
    for _ in range(GRADIENTS_PER_UPDATE):
        piece.add({run.layer: gradient})
    began = _synchronised_time(device)
    for _ in range(GRADIENTS_PER_UPDATE):
        piece.add({run.layer: gradient})
    added = _synchronised_time(device)
    piece.invert()
    inverted = _synchronised_time(device)
    return (added - began) / GRADIENTS_PER_UPDATE, inverted - added


def _synchronised_time(device: torch.device) -> float:
    """Seconds of a clock, read once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
