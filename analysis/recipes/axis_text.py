"""Search axes and their values in words, each in its unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .. import wording
from ..exhibit import CellFormat, TableColumn

PERCENT_AXES = ("sparsity.ramp.start", "sparsity.ramp.length")
"""Axes that are shown in percent of training."""


def axis_name(path: str) -> str:
    """Name of a search axis: ``Ramp start (% of training)``."""
    words = wording.field_heading(path).removesuffix(" (%)")
    return f"{words} (% of training)" if path in PERCENT_AXES else words


def short_axis_name(path: str) -> str:
    """Name of a search axis without its unit: ``Ramp start``."""
    return axis_name(path).split(" (")[0]


def axis_factor(path: str) -> float:
    """Factor between a value of a search axis and the one that is drawn or printed."""
    return 100.0 if path in PERCENT_AXES else 1.0


def format_value(path: str, value: Any, low: Any = np.nan, high: Any = np.nan) -> str:
    """A value of a search axis with its interval, in the axis's unit; empty if it is missing.

    ``0.11 [0.084, 0.13]`` for a learning rate, ``10 [0, 50] %`` for a part of training.
    """
    text = wording.format_interval(value, low, high, axis_factor(path), "{:.3g}")
    return f"{text} %" if text and path in PERCENT_AXES else text


def format_range(path: str, low: Any, high: Any) -> str:
    """A range of a search axis in its unit: ``0.056 to 0.19``, ``0 to 50 %``; empty if NaN."""
    if pd.isna(low) or pd.isna(high):
        return ""
    factor = axis_factor(path)
    unit = " %" if path in PERCENT_AXES else ""
    return f"{factor * low:.3g} to {factor * high:.3g}{unit}"


def axis_column(path: str) -> TableColumn:
    """Column of a search or sweep axis, which a frame has under its dotted field."""
    if path == "sparsity.target":
        return TableColumn("Sparsity (%)", path, format=CellFormat.SPARSITY)
    is_training_share = path in PERCENT_AXES
    cell_format = CellFormat.TRAINING_SHARE if is_training_share else CellFormat.PLAIN
    return TableColumn(axis_name(path), path, format=cell_format)
