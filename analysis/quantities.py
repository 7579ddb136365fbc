"""Names of measured quantities with their units: labels of axes and tables, names of lines."""

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
"""Quantities that are stored as fractions and shown in percent."""
FIELD_VALUE_FORMATS = {"schedule.epoch_multiplier": "{:g}x", "schedule.epochs": "{:g} epochs"}


def column_label(column: str) -> str:
    """Name of a column in words, with its unit: ``Test accuracy (%)``."""
    split, _, quantity = column.partition("_")
    if split in SPLIT_LABELS and quantity in QUANTITY_LABELS:
        return f"{SPLIT_LABELS[split]} {QUANTITY_LABELS[quantity]}"
    return COLUMN_LABELS.get(column, column.replace("_", " ").capitalize())


def measure_name(column: str) -> str:
    """Name of a measured column without its unit: ``Test accuracy``."""
    return column_label(column).split(" (")[0]


def display_factor(column: str) -> float:
    """Factor between a stored value and the one that is drawn or printed: 100 for fractions."""
    return 100.0 if column.rpartition("_")[2] in PERCENT_QUANTITIES else 1.0


def difference_unit(column: str) -> str:
    """Unit of a difference of a column: ``points`` of percent, or ``nats``."""
    return "points" if display_factor(column) > 1 else "nats"


def difference_label(column: str, relation: str) -> str:
    """Label of an axis of differences, in two lines: ``Test accuracy minus dense twin``, points.

    Args:
        column: The measured column.
        relation: How the value is a difference, with its separator: `` minus dense twin``.
    """
    name, _, unit = column_label(column).partition(" (")
    # A difference of percentages is in points.
    shown_unit = "points)" if unit == "%)" else unit
    return f"{name}{relation}\n({shown_unit}"


def line_name(by: str | None, value: Any) -> str:
    """Name of a line in a legend: ``2x``, ``8 epochs``, ``98 %``, or the field with its value.

    Args:
        by: The dotted field that separates the lines; None for a single line, which has no name.
        value: The field's value; NaN gives an empty name.
    """
    if by is None or pd.isna(value):
        return ""
    if by == "sparsity.target":
        return "dense" if value == 0 else f"{100 * value:.10g} %"
    if by in FIELD_VALUE_FORMATS:
        return FIELD_VALUE_FORMATS[by].format(value)
    return f"{by.rpartition('.')[2]} {value}"
