"""Comparison of sparse networks' training FLOPs with their twins', where a study equals them."""

from __future__ import annotations

import pandas as pd

from ..tables.results import Results
from ..tables.selection import report_rows

FLOPS_RATIO_TOLERANCE = 0.05
"""Allowed difference of the recorded FLOPs from the twin's, as a fraction of them."""
ROUNDING_TOLERANCE = 1e-9


def flops_warnings(results: Results) -> dict[str, str]:
    """Warning for every cell whose recorded FLOPs are not those that the study asks for.

    Returns:
        Sentences without a full stop, by the cell's name; none where the study does not equal
        training FLOPs.
    """
    if results.design.equal != "train_flops":
        return {}
    ratios = results.cells().set_index("cell")["flops_ratio"].dropna()
    allocations = report_rows(results).groupby("cell")["sparsity.allocation"].first()
    warnings: dict[str, str] = {}
    for cell, ratio in ratios.items():
        if abs(ratio - 1) > FLOPS_RATIO_TOLERANCE + ROUNDING_TOLERANCE:
            warnings[str(cell)] = _flops_warning(float(ratio), allocations.get(str(cell)))
    return warnings


def _flops_warning(ratio: float, allocation: object) -> str:
    is_global = allocation == "global"
    reason = (
        "global densities are known only afterwards" if is_global else "its schedule came no closer"
    )
    return (
        f"trained with {ratio:.2f} times the FLOPs of its dense twin though equal FLOPs were asked"
        f" for: {reason}"
    )


def add_flops_ratios(points: pd.DataFrame, cells: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Points with ``flops_ratio`` to the dense twin, and ``warning``, empty if all is well.

    Args:
        points: One row per ``arm sparsity epochs``.
        cells: Cells of the points, by name, with the same three columns.
        results: The study.
    """
    keys = ["arm", "sparsity", "epochs"]
    ratios = results.cells().set_index("cell")["flops_ratio"]
    by_cell = flops_warnings(results)
    texts = cells.index.map(lambda cell: by_cell.get(cell, ""))
    warnings = pd.Series(texts, cells.index, dtype="string")
    found = cells[keys].assign(flops_ratio=ratios.reindex(cells.index), warning=warnings)
    return points.merge(found, on=keys, how="left").fillna({"warning": ""})
