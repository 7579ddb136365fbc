"""What is measured, in words and with its unit: labels of axes and tables, names of lines."""

from __future__ import annotations

from typing import Any

import pandas as pd

SPLITS = {"train": "Training", "val": "Validation", "test": "Test"}
QUANTITIES = {
    "loss": "loss (nats)",
    "entropy": "entropy (nats)",
    "accuracy": "accuracy (%)",
    "score": "score (%)",
    "error": "error (%)",
}
LABELS = {
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
PERCENT = ("accuracy", "score", "error")


def label(column: str) -> str:
    """A column in words, with its unit."""
    split, _, quantity = column.partition("_")
    if split in SPLITS and quantity in QUANTITIES:
        return f"{SPLITS[split]} {QUANTITIES[quantity]}"
    return LABELS.get(column, column.replace("_", " ").capitalize())


def measure(column: str) -> str:
    """A measured column without its unit: ``Test accuracy``."""
    return label(column).split(" (")[0]


def scale(column: str) -> float:
    """What a column is multiplied with before it is drawn or printed: fractions become percent."""
    return 100.0 if column.rpartition("_")[2] in PERCENT else 1.0


def unit(column: str) -> str:
    """What a difference of a column is counted in: ``points`` of percent, or ``nats``."""
    return "points" if scale(column) > 1 else "nats"


def line_name(by: str | None, value: Any) -> str:
    """A line of the legend: ``2x``, ``8 epochs``, ``98 %``, or the field with its value."""
    if by is None or pd.isna(value):
        return ""
    if by == "sparsity.target":
        return "dense" if value == 0 else f"{100 * value:.10g} %"
    forms = {"schedule.epoch_multiplier": "{:g}x", "schedule.epochs": "{:g} epochs"}
    return forms[by].format(value) if by in forms else f"{by.rpartition('.')[2]} {value}"
