"""What the Fisher costs a trial, from a few gradients and one run of blocks: before a study starts."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch
from torch import nn

from sparsetune.errors import LimitError
from sparsetune.sparsity.fisher.blocks import Piece
from sparsetune.sparsity.fisher.pieces import (
    WAITING,
    Run,
    cut,
    free_bytes,
    needed,
    pieces_within,
    runs_of,
)
from sparsetune.sparsity.methods.plan import plan
from sparsetune.spec import TrialSpec
from sparsetune.spec.sparsity import FisherSpec
from sparsetune.tasks import Task
from sparsetune.train.compute import Compute
from sparsetune.train.probe import Probe

TIMED = 3
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


def scores_by_fisher(spec: TrialSpec) -> bool:
    """Whether the trial estimates a Fisher."""
    return spec.sparsity.resolved().score == "fisher"


def estimates(spec: TrialSpec) -> int:
    """How many times a trial estimates its Fisher."""
    if not scores_by_fisher(spec):
        return 0
    prunings = sum(change.action == "prune" and change.sparsity > 0 for change in plan(spec))
    return prunings * spec.sparsity.fisher.recomputations


def fisher_cost(spec: TrialSpec, task: Task, model: nn.Module, device: str) -> FisherCost:
    """What an estimate costs such a trial on this device now, with the share of it that the trial gets."""
    if not scores_by_fisher(spec):
        return FisherCost()
    given = spec.sparsity.fisher
    on = torch.device(device)
    weights = task.prunable(model)
    runs = runs_of({name: weight.numel() for name, weight in weights.items()}, given)
    try:
        pieces = len(cut(runs, pieces_within(runs, free_bytes(on))))
    except LimitError as error:
        return FisherCost(unfit=str(error))
    probe = Probe(
        task,
        model,
        weights,
        spec.task.batch_size,
        spec.seed,
        Compute(spec.compute, model, device).arithmetic,
    )
    gradient = _gradient_seconds(probe, given, on)
    _run_seconds(
        Run("", 0, 2, 2), given, on
    )  # the first in a process pays for what is loaded on use
    largest = max(runs, key=lambda run: run.bytes)
    adding, inverting = _run_seconds(largest, given, on)
    scale = sum(run.bytes for run in runs) / largest.bytes
    rounds = 1 if pieces == 1 else 2  # for the scores, and again for the compensation
    blocks = scale * (given.gradients * adding + inverting)
    seconds = rounds * (pieces * given.gradients * gradient + blocks)
    return FisherCost(seconds, needed(runs, pieces), pieces)


def _gradient_seconds(probe: Probe, given: FisherSpec, device: torch.device) -> float:
    """Of one gradient, its batch read."""
    ends = [_now(device) for _ in probe.gradients(0, 1 + TIMED, given.batch_size, False)]
    return (ends[-1] - ends[0]) / TIMED


def _run_seconds(run: Run, given: FisherSpec, device: torch.device) -> tuple[float, float]:
    """Of taking one gradient into a run of blocks, and of inverting them."""
    piece = Piece([run], given, device)
    gradient = torch.randn(run.end, device=device)
    for _ in range(WAITING):  # the first touch of the memory is not what the others cost
        piece.add({run.layer: gradient})
    began = _now(device)
    for _ in range(WAITING):
        piece.add({run.layer: gradient})
    added = _now(device)
    piece.invert()
    return (added - began) / WAITING, _now(device) - added


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
