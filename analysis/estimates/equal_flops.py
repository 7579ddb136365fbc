"""Whether sparse networks had the training FLOPs of their dense twins, where a study asks for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from analysis.tables.selection import report_rows

if TYPE_CHECKING:
    from analysis.tables.results import Results

FLOPS_RATIO_TOLERANCE = 0.05
"""What the recorded FLOPs may differ by from the twin's, as a fraction of them."""


def flops_warnings(results: Results) -> dict[str, str]:
    """What to say of every cell whose recorded FLOPs are not those that the study asks for, by the cell's name."""
    if results.design.equal != "train_flops":
        return {}
    ratios = results.cells().set_index("cell")["flops_ratio"].dropna()
    allocations = report_rows(results).groupby("cell")["sparsity.allocation"].first()
    off = {
        str(cell): float(ratio)
        for cell, ratio in ratios.items()
        if abs(ratio - 1) > FLOPS_RATIO_TOLERANCE + 1e-9
    }
    return {cell: _flops_warning(ratio, allocations.get(cell)) for cell, ratio in off.items()}


def _flops_warning(ratio: float, allocation: object) -> str:
    known = (
        "global densities are known only afterwards"
        if allocation == "global"
        else "its schedule came no closer"
    )
    return f"trained with {ratio:.2f} times the FLOPs of its dense twin though equal FLOPs were asked for: {known}"


def add_flops_ratios(points: pd.DataFrame, cells: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Points by ``arm sparsity epochs`` with ``flops_ratio`` to the dense twin, and ``warning``, empty if all is well.

    Args:
        points: One row per arm, sparsity and length.
        cells: Those of the points, by their names, with the same three columns.
        results: The study.
    """
    keys = ["arm", "sparsity", "epochs"]
    ratios = results.cells().set_index("cell")["flops_ratio"]
    lines = flops_warnings(results)
    warnings = pd.Series(
        cells.index.map(lambda cell: lines.get(cell, "")), cells.index, dtype="string"
    )
    found = cells[keys].assign(flops_ratio=ratios.reindex(cells.index), warning=warnings)
    return points.merge(found, on=keys, how="left").fillna({"warning": ""})
