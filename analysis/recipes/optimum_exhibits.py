"""What a report shows of `analysis.recipes.optima`: the map, what it was read from, and how optima move."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis import wording
from analysis.exhibit import Exhibit
from analysis.quantities import column_label, measure_name
from analysis.recipes.optimum_figure import (
    axis_factor,
    axis_name,
    draw_response,
    format_range,
    format_value,
)

if TYPE_CHECKING:
    from analysis.recipes.optima import Optima

RESPONSE_CAPTION = "Every configuration that counts; triangles at the top: the worst ones, diverged ones among them. Shaded:"
"""How a caption of single responses begins."""


def exhibits(found: Optima, whole: bool = True) -> Iterator[Exhibit]:
    """The map of the optima and, where ``whole``, what they were read from and how they move; none without an optimum.

    Args:
        found: The optima.
        whole: False for a second measure beside the objective.
    """
    frame = found.frame().dropna(subset="value")
    if frame.empty:
        return
    suffix = "" if whole else f"-{found.y}"
    named = measure_name(found.y)
    title = f"Where the best hyperparameters lie, for {named.lower()}"
    points = {
        path: column_label("sparsity") if path == "sparsity.target" else axis_name(path)
        for path in _sweep_text(found)
    }
    columns = {
        "arm": "Arm",
        **points,
        "axis": "Axis",
        "n": "n",
        "best": f"Best\n[{100 * found.level:g} % interval]",
    }
    columns |= {"flat": "Flat region", "winner_is": "Winner", "verdict": "Verdict"}
    yield Exhibit(
        f"optimum{suffix}", title, _format_optima(found.frame()), found.note(), found.plot, columns
    )
    shifts = found.shifts()
    if len(shifts):
        columns = {"arm": "Arm", "axis": "Axis", "step": "Along", "cell": "Cell", "n": "n"}
        columns |= {
            "moved": f"Shift\n[{100 * found.level:g} % interval]",
            "p_holm": "p (Holm)",
            "verdict": "Verdict",
        }
        title = f"How the best hyperparameters move, for {named.lower()}"
        shifts = shifts.assign(step=[_format_step(row) for row in shifts.to_dict("records")])
        shifts = shifts.assign(moved=[_format_shift(row) for row in shifts.to_dict("records")])
        yield Exhibit(f"shifts{suffix}", title, shifts, _shift_note(shifts, found), None, columns)
    for path in (
        dict.fromkeys(frame.loc[frame["verdict"] != "not located", "axis"]) if whole else ()
    ):
        rows = found.points[found.points["axis"] == path]
        title = f"{named} against {axis_name(path).split(' (')[0].lower()}"
        note = f"{RESPONSE_CAPTION} the {100 * found.level:g} % interval of the best value, on average over the other axes."
        yield Exhibit(
            f"response-{path.replace('.', '_')}",
            title,
            rows,
            note,
            partial(draw_response, found, path),
        )


def _format_optima(frame: pd.DataFrame) -> pd.DataFrame:
    """The optima with ``best flat winner_is`` as text, each in its axis's unit."""
    rows = frame.to_dict("records")
    return frame.assign(
        best=[format_value(row["axis"], row["value"], row["low"], row["high"]) for row in rows],
        flat=[format_range(row["axis"], row["flat_low"], row["flat_high"]) for row in rows],
        winner_is=[format_value(row["axis"], row["winner"]) for row in rows],
    )


def _format_step(row: dict[Any, Any]) -> str:
    """Between which values of a sweep axis an optimum moved: ``sparsity 0 to 90 %``."""
    ends = (row["from"], row["to"])
    name = axis_name(row["along"]).lower()
    if row["along"] == "sparsity.target":
        return f"{name} {100 * ends[0]:.10g} to {100 * ends[1]:.10g} %"
    return f"{name} {ends[0]:g} to {ends[1]:g}"


def _format_shift(row: dict[Any, Any]) -> str:
    """A factor or a difference with its interval, the latter in the axis's unit; the bound of one that is half open."""
    logarithmic = row["scale"] == "factor"
    factor, shown = (1.0, "times {:.3g}") if logarithmic else (axis_factor(row["axis"]), "{:+.3g}")
    low = row["low"] > 0 if logarithmic else np.isfinite(row["low"])
    high = np.isfinite(row["high"])
    if low and high:
        said = wording.format_interval(
            row["shift"], row["low"], row["high"], factor, shown.split()[-1]
        )
        said = f"times {said}" if logarithmic else said
    elif low or high:
        said = f"{'at least' if low else 'at most'} {shown.format(factor * row['low' if low else 'high'])}"
    else:
        return "open on both sides"
    return f"{said} points" if factor == 100 else said


def _sweep_text(found: Optima) -> list[str]:
    return [name for name in map(str, found.cells) if "." in name]


def _shift_note(shifts: pd.DataFrame, found: Optima) -> str:
    """What the table compares, and what was found in a sentence."""
    moved = int(shifts["verdict"].str.startswith(("higher", "lower")).sum())
    claim = (
        f"{moved} of {len(shifts)} comparisons show a shift" if moved else "No evidence of a shift"
    )
    own = (
        ""
        if found.shared
        else " Cells may also differ by which configurations were tried: each has its own."
    )
    return (
        f"{claim}; all {len(shifts)} comparisons are corrected together (Holm). Each cell is compared with the lowest"
        " sparsity that searches the axis, or with the shortest training, all else equal. Factors on logarithmic axes,"
        f" differences on others, with {100 * found.level:g} % intervals that are not corrected, open"
        f" where an optimum reaches an end of its range and may lie beyond.{own}"
    )
