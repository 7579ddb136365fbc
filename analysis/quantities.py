"""What is measured, in words and with its unit: labels of axes and tables, names of lines."""

from __future__ import annotations

from typing import Any

import pandas as pd

SPLIT_LABELS = {"train": "Training", "val": "Validation", "test": "Test"}
QUANTITY_LABELS = {
    "loss": "loss (nats)",
    "entropy": "entropy (nats)",
    "accuracy": "accuracy (%)",
    "score": "score (%)",
    "error": "error (%)",
}
COLUMN_LABELS = {
    "sparsity": "Sparsity (%)",
    "sparsity_now": "Sparsity of the mask (%)",
    "epochs": "Training length (epochs, log scale)",
    "progress": "Training done (%)",
    "train_flops": "Training FLOPs (dense epochs)",
    "gpu_hours": "Time of a trial on its device (hours)",
    "total_flops": "Training FLOPs (fraction of dense)",
    "inference_flops": "Inference cost (fraction of dense)",
    "lr": "Learning rate",
}
PERCENT_QUANTITIES = ("accuracy", "score", "error")


def column_label(column: str) -> str:
    """A column in words, with its unit."""
    split, _, quantity = column.partition("_")
    if split in SPLIT_LABELS and quantity in QUANTITY_LABELS:
        return f"{SPLIT_LABELS[split]} {QUANTITY_LABELS[quantity]}"
    return COLUMN_LABELS.get(column, column.replace("_", " ").capitalize())


def measure_name(column: str) -> str:
    """A measured column without its unit: ``Test accuracy``."""
    return column_label(column).split(" (")[0]


def display_factor(column: str) -> float:
    """What a column is multiplied with before it is drawn or printed: fractions become percent."""
    return 100.0 if column.rpartition("_")[2] in PERCENT_QUANTITIES else 1.0


def difference_unit(column: str) -> str:
    """What a difference of a column is counted in: ``points`` of percent, or ``nats``."""
    return "points" if display_factor(column) > 1 else "nats"


def line_name(by: str | None, value: Any) -> str:
    """A line of the legend: ``2x``, ``8 epochs``, ``98 %``, or the field with its value."""
    if by is None or pd.isna(value):
        return ""
    if by == "sparsity.target":
        return "dense" if value == 0 else f"{100 * value:.10g} %"
    forms = {"schedule.epoch_multiplier": "{:g}x", "schedule.epochs": "{:g} epochs"}
    return forms[by].format(value) if by in forms else f"{by.rpartition('.')[2]} {value}"
