"""What the Fisher costs a trial, from a few gradients and one run of blocks: before a study starts."""

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
from sparsetune.sparsity.methods.plan import mask_schedule
from sparsetune.spec import TrialSpec
from sparsetune.spec.sparsity import FisherSpec
from sparsetune.tasks.task import Task
from sparsetune.train.compute import ComputedModel
from sparsetune.train.probe import GradientProbe

TIMED_GRADIENTS = 3
"""Gradients that are timed, after one that warms up."""


class FisherCost(NamedTuple):
    """Of one estimate, from its gradients to the compensation; nothing where the score is another.

    Args:
        fisher: Seconds.
        fisher_bytes: Of memory, at most.
        fisher_pieces: That it is made in, one after the other.
        unfit: Why it does not fit into memory; empty where it does.
    """

    fisher: float = 0.0
    fisher_bytes: int = 0
    fisher_pieces: int = 0
    unfit: str = ""


def uses_fisher(spec: TrialSpec) -> bool:
    """Whether the trial estimates a Fisher."""
    return spec.sparsity.resolved().score == "fisher"


def count_estimates(spec: TrialSpec) -> int:
    """How many times a trial estimates its Fisher."""
    if not uses_fisher(spec):
        return 0
    prunings = sum(
        change.action == "prune" and change.sparsity > 0 for change in mask_schedule(spec)
    )
    return prunings * spec.sparsity.fisher.recomputations


def measure_fisher_cost(spec: TrialSpec, task: Task, model: nn.Module, device: str) -> FisherCost:
    """What an estimate costs such a trial on this device now, with the share of it that the trial gets."""
    if not uses_fisher(spec):
        return FisherCost()
    given = spec.sparsity.fisher
    on = torch.device(device)
    weights = task.prunable(model)
    runs = plan_runs({name: weight.numel() for name, weight in weights.items()}, given)
    try:
        pieces = len(split_runs(runs, pieces_within(runs, free_bytes(on))))
    except LimitError as error:
        return FisherCost(unfit=str(error))
    probe = GradientProbe(
        task,
        model,
        weights,
        spec.task.batch_size,
        spec.seed,
        ComputedModel(spec.compute, model, device).arithmetic,
    )
    gradient = _gradient_seconds(probe, given, on)
    _run_seconds(
        BlockRun("", 0, 2, 2), given, on
    )  # the first in a process pays for what is loaded on use
    largest = max(runs, key=lambda run: run.bytes)
    adding, inverting = _run_seconds(largest, given, on)
    scale = sum(run.bytes for run in runs) / largest.bytes
    rounds = 1 if pieces == 1 else 2  # for the scores, and again for the compensation
    blocks = scale * (given.gradients * adding + inverting)
    seconds = rounds * (pieces * given.gradients * gradient + blocks)
    return FisherCost(seconds, needed_bytes(runs, pieces), pieces)


def _gradient_seconds(probe: GradientProbe, given: FisherSpec, device: torch.device) -> float:
    """Of one gradient, its batch read."""
    ends = [
        _synchronised_time(device)
        for _ in probe.gradients(0, 1 + TIMED_GRADIENTS, given.batch_size, False)
    ]
    return (ends[-1] - ends[0]) / TIMED_GRADIENTS


def _run_seconds(run: BlockRun, given: FisherSpec, device: torch.device) -> tuple[float, float]:
    """Of taking one gradient into a run of blocks, and of inverting them."""
    piece = FisherPiece([run], given, device)
    gradient = torch.randn(run.end, device=device)
    for _ in range(
        GRADIENTS_PER_UPDATE
    ):  # the first touch of the memory is not what the others cost
        piece.add({run.layer: gradient})
    began = _synchronised_time(device)
    for _ in range(GRADIENTS_PER_UPDATE):
        piece.add({run.layer: gradient})
    added = _synchronised_time(device)
    piece.invert()
    return (added - began) / GRADIENTS_PER_UPDATE, _synchronised_time(device) - added


def _synchronised_time(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
