"""Labels of axes that are no measures, and names of lines."""

from __future__ import annotations

from typing import Any

import pandas as pd

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
FIELD_VALUE_FORMATS = {"schedule.epoch_multiplier": "{:g}x", "schedule.epochs": "{:g} epochs"}


def column_label(column: str) -> str:
    """Name in words, with its unit, of a column that is no measure: ``Sparsity (%)``."""
    return COLUMN_LABELS.get(column, column.replace("_", " ").capitalize())


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
