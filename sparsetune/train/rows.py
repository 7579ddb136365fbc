"""Rows of a trial: the columns measured at an evaluation, and the steps at which one is due."""

from __future__ import annotations

import math

import torch

from sparsetune.durations import round_half_up
from sparsetune.sparsity.sparsifier import Sparsifier
from sparsetune.spec import TrialSpec
from sparsetune.tasks.task import Task
from sparsetune.train.checkpoint import Row
from sparsetune.train.evaluate import evaluate_model


def evaluation_steps(spec: TrialSpec) -> frozenset[int]:
    """Steps after which a trial is evaluated, from 1 to the last.

    They are the ends of epochs, every ``evaluate.every``, and the last step.
    """
    total = spec.total_steps()
    per_epoch = spec.steps_per_epoch()
    steps = {*range(per_epoch, total + 1, per_epoch), total}
    if spec.evaluate.every is not None:
        every = spec.evaluate.every.steps(spec.clock())
        count = math.floor(total / every)
        steps.update(round_half_up(k * every) for k in range(1, count + 1))
    return frozenset(steps)


def mask_columns(sparsifier: Sparsifier, steps_per_epoch: int) -> Row:
    """Columns about the mask and the cost of training so far."""
    return {
        "phase": sparsifier.phase,
        "at_target": sparsifier.at_target(),
        "sparsity": sparsifier.sparsity(),
        "zeros_in_mask": float(sparsifier.zeros_in_mask()),
        "mask_iou": sparsifier.mask_iou,
        "ever_active": sparsifier.structure.ever_active(),
        "train_flops": sparsifier.dense_steps / steps_per_epoch,
        "extra_flops": sparsifier.extra_steps / steps_per_epoch,
        "inference_flops": sparsifier.inference_flops,
    }


def loss_columns(model: torch.nn.Module, task: Task) -> Row:
    """Columns about the model's losses and scores on the training subset and validation."""
    on_train = evaluate_model(model, task.splits.train_subset, task.measures)
    on_validation = evaluate_model(model, task.splits.validation, task.measures)
    return {
        "train_loss": on_train.loss,
        "train_entropy": on_train.entropy,
        **on_validation.columns("val"),
        "val_error": on_validation.error,
    }


def find_divergence(row: Row, *, has_validation: bool) -> str | None:
    """Sentence that names the first NaN or infinite loss of a row; None if all are finite.

    Args:
        row: Columns of an evaluation.
        has_validation: The task holds out validation; otherwise ``val_loss`` is always NaN.
    """
    names = {"batch_loss": "batch loss", "train_loss": "train loss"}
    if has_validation:
        names["val_loss"] = "validation loss"
    for column, name in names.items():
        value = row[column]
        if isinstance(value, float) and not math.isfinite(value):
            return f"{name} became {value} by step {row['step']}"
    return None
