"""Columns of both tables, each with its dtype, unit and meaning. Missing is NaN, never 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Dtype = Literal["string", "float64", "Int64", "boolean"]
Status = Literal["WAITING", "RUNNING", "COMPLETE", "PRUNED", "DIVERGED", "INVALID", "FAILED"]
Role = Literal["search", "report", "control", "twin", "teacher"]
Phase = Literal["dense", "ramp", "compressed", "decompressed", "dynamic", "fixed"]

FINISHED_STATUSES: tuple[Status, ...] = ("COMPLETE", "PRUNED", "DIVERGED", "INVALID", "FAILED")
"""Statuses after which a trial is not run again unless it is asked for."""


Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Column:
    """One column: its name, dtype, and meaning with unit or range.

    ``better`` is the direction in which its values are better; None where neither is.
    """

    name: str
    dtype: Dtype
    meaning: str
    better: Better | None = None


IDENTITY_COLUMNS = (
    Column("study", "string", "name of the study"),
    Column("arm", "string", "method with its recipe"),
    Column("cell", "string", "one arm at one point of its sweep axes"),
    Column("config_id", "string", "digest of the trial's declaration without its seed"),
    Column("trial_id", "string", "digest of the trial's declaration"),
    Column("seed", "Int64", "of initialisation, data order and everything random in the trial"),
    Column(
        "role",
        "string",
        "search, report, control (the dense winner's recipe), twin (dense, same recipe) or teacher",
    ),
    Column("attempt", "Int64", "process lives of the trial so far, from 1"),
    Column("status", "string", "WAITING, RUNNING, COMPLETE, PRUNED, DIVERGED, INVALID or FAILED"),
)
PROGRESS_COLUMNS = (
    Column("step", "Int64", "optimizer steps done"),
    Column("epoch", "float64", "step / steps per epoch"),
    Column("progress", "float64", "fraction of the trial's own training done, in [0, 1]"),
    Column("phase", "string", "dense, ramp, compressed, decompressed, dynamic or fixed"),
    Column("at_target", "boolean", "whether the mask has the target sparsity now"),
)
MEASURED_COLUMNS = (
    Column("lr", "float64", "learning rate of the last step"),
    Column("target", "float64", "sparsity asked for, in [0, 1)"),
    Column("sparsity", "float64", "fraction of prunable weights outside the mask, in [0, 1)"),
    Column("zeros_in_mask", "float64", "exact zeros inside the mask, a count"),
    Column(
        "train_loss",
        "float64",
        "plain cross-entropy in nats on a fixed subset of the training split; squared error",
        "lower",
    ),
    Column("train_entropy", "float64", "mean entropy in nats of the softmax, same subset"),
    Column("val_loss", "float64", "plain cross-entropy in nats, validation split", "lower"),
    Column("val_accuracy", "float64", "fraction right, validation split, in [0, 1]", "higher"),
    Column("val_score", "float64", "the task's headline metric, validation split", "higher"),
    Column(
        "val_error",
        "float64",
        "1 - val_score; a metric that is better when lower itself",
        "lower",
    ),
    Column("val_entropy", "float64", "mean entropy in nats of the softmax, validation split"),
    Column("batch_loss", "float64", "mean of what was optimised since the last evaluation"),
    Column(
        "mask_iou",
        "float64",
        "intersection over union with the mask before the last change, in [0, 1]",
    ),
    Column(
        "ever_active",
        "float64",
        "share of prunable weights in any mask so far (STE, SR-STE: if evaluated)",
    ),
    Column("train_flops", "float64", "spent so far, in dense epochs at the base resolution"),
    Column(
        "extra_flops",
        "float64",
        "teacher, saliency, Fisher and grow passes so far, in dense epochs",
    ),
    Column("inference_flops", "float64", "of the masked network, as a fraction of the dense one's"),
    Column("seconds", "float64", "training and evaluation time so far, over all attempts"),
)
FINAL_COLUMNS = (
    Column("test_loss", "float64", "plain cross-entropy in nats, test split, read once at the end"),
    Column("test_accuracy", "float64", "fraction right, test split, in [0, 1]"),
    Column("test_score", "float64", "the task's headline metric, test split"),
    Column("test_entropy", "float64", "mean entropy in nats of the softmax, test split"),
    Column(
        "chance_loss",
        "float64",
        "loss of the best constant answer, test split, in the unit of test_loss",
    ),
    Column(
        "learned_nothing",
        "boolean",
        "whether every test example gets one answer, or test_loss is not below chance_loss"
        " (numbers)",
    ),
    Column("certified", "boolean", "whether the saved weights have the sparsity asked for"),
    Column(
        "pruned_weights", "float64", "outside the final mask, a count: the numerator of sparsity"
    ),
    Column(
        "prunable_weights", "float64", "that may be pruned, a count: the denominator of sparsity"
    ),
    Column("parameters", "float64", "of the whole network, a count, biases and norms with them"),
    Column(
        "peak_memory",
        "float64",
        "bytes: reserved of the GPU; of a CPU trial the process's resident set",
    ),
    Column("error", "string", "why the trial diverged, is invalid or failed"),
    Column(
        "own_code",
        "string",
        "digests of your own modules that it ran; after `then` those that it went on with",
    ),
    Column("twin_id", "string", "trial_id of the dense twin: same recipe, seed and epochs"),
)


def metric_columns(split: Literal["val", "test"], names: Sequence[str]) -> tuple[Column, ...]:
    """Columns of the metrics that a user's task names, on a split, such as ``val_f1_score``.

    Args:
        split: Prefix of the columns.
        names: Names of the metrics; see `DatasetTask.metric_names`.
    """
    part = "validation split" if split == "val" else "test split, read once at the end"
    columns = [Column(f"{split}_{name}", "float64", f"metric `{name}`, {part}") for name in names]
    return tuple(columns)


HISTORY_COLUMNS = (*IDENTITY_COLUMNS, *PROGRESS_COLUMNS, *MEASURED_COLUMNS)
"""`history()`: one row per trial and evaluation; the configuration's dotted fields follow."""
TRIAL_COLUMNS = (*HISTORY_COLUMNS, *FINAL_COLUMNS)
"""`trials()`: one row per trial, with the values of its last evaluation; the configuration's
dotted fields follow."""

# A column that is measured on train or validation data may be optimised: the name decides.
_LEARNING_COLUMNS = tuple(
    column.name for column in MEASURED_COLUMNS if column.name.startswith(("val_", "train_"))
)
# Named as what is learnt, but a cost: the shortest training would win.
OBJECTIVE_COLUMNS = tuple(name for name in _LEARNING_COLUMNS if name != "train_flops")
"""Columns that a study may optimise: never one of the test split."""
BETTER: dict[str, Better | None] = {column.name: column.better for column in MEASURED_COLUMNS}
"""Direction in which each measured column is better; None where neither is."""
