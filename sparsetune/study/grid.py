"""The grid of a cell: every combination of its search axes, in one order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

from sparsetune.errors import Problem
from sparsetune.spec import TrialSpec
from sparsetune.study.cells import Cell
from sparsetune.study.choices import ChoiceSetting
from sparsetune.study.fields import MAX_CONFIGURATIONS, StudyFields
from sparsetune.study.samplers import Grid
from sparsetune.study.space import LogUniform, Uniform, Value


def grid_points(cell: Cell, grid: Grid) -> Iterator[dict[str, Value]]:
    """Every point of a cell's grid.

    Deciding choices come first, then the axes that apply under them; the last axis changes
    fastest.
    """
    for setting in cell.settings:
        values = _axis_values(setting, grid)
        for point in itertools.product(*values.values()):
            yield {**setting.chosen, **dict(zip(values, point, strict=True))}


def grid_size(cell: Cell, grid: Grid) -> int:
    """Number of points of a cell's grid."""
    size = 0
    for setting in cell.settings:
        size += math.prod(axis.count(grid.points or 2) for axis in setting.free.values())
    return size


def _axis_values(setting: ChoiceSetting, grid: Grid) -> dict[str, list[Value]]:
    # Without points there is no range of real numbers, or `grid_problems` has refused it; other
    # axes have values of their own.
    return {path: axis.spaced(grid.points or 2) for path, axis in setting.free.items()}


def grid_problems(study: StudyFields, cells: Iterable[Cell]) -> Iterator[Problem]:
    """Reasons why a grid cannot be tried whole: ranges without points, too few configurations."""
    grid = study.sampler
    searching = [cell for cell in cells if cell.search]
    if not isinstance(grid, Grid) or not searching:
        return
    ranges = sorted(set().union(*map(_real_ranges, searching)))
    if ranges and grid.points is None:
        fields = ", ".join(ranges)
        rule = f"must be given, as in `Grid(points=5)`, for ranges of real numbers: {fields}"
        yield Problem("sampler.points", rule)
        return
    # Cells differ in their axes and known points: the largest need decides.
    largest = max(grid_size(cell, grid) for cell in searching)
    if largest > MAX_CONFIGURATIONS:  # too large to be listed
        rule = f"a grid must have at most {MAX_CONFIGURATIONS:,} points in a cell"
        yield Problem("sampler", rule, f"{largest:,}")
        return
    sizes = [
        (_needed_configurations(study, cell, grid), grid_size(cell, grid)) for cell in searching
    ]
    needed, size = max(sizes)
    if needed > study.configurations_per_cell:
        others = needed - size
        more = f" and {others} beside it (the base, the control, known points)" if others else ""
        rule = f"must hold the whole grid: {size} points{more}; {needed} would do"
        yield Problem("configurations_per_cell", rule, str(study.configurations_per_cell))


def _real_ranges(cell: Cell) -> list[str]:
    """Searched fields that range over real numbers."""
    return [path for path, axis in cell.search.items() if isinstance(axis, Uniform | LogUniform)]


def _needed_configurations(study: StudyFields, cell: Cell, grid: Grid) -> int:
    """Configurations that the cell tries: the grid, and those tried before it that lie off it."""
    first = [cell.spec, *(cell.known(point) for point in study.known)]
    outside = {spec.config_id() for spec in first if not _is_on_grid(cell, grid, spec)}
    has_control = bool(outside and cell.control_from)
    return grid_size(cell, grid) + len(outside) + has_control


def _is_on_grid(cell: Cell, grid: Grid, spec: TrialSpec) -> bool:
    columns = spec.columns()
    return any(_is_in_setting(setting, grid, columns) for setting in cell.settings)


def _is_in_setting(setting: ChoiceSetting, grid: Grid, columns: dict[str, Value]) -> bool:
    """True if a trial's columns have a setting's choices, and its other values on the grid."""
    for path, option in setting.chosen.items():
        if columns.get(path) != option:
            return False
    return all(columns.get(path) in values for path, values in _axis_values(setting, grid).items())
