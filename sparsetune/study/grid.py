"""The grid of a cell: every combination of its search axes, in one order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from sparsetune.errors import Problem
from sparsetune.spec import TrialSpec
from sparsetune.study.cells import Cell, ChoiceSetting
from sparsetune.study.samplers import Grid
from sparsetune.study.space import LogUniform, Uniform, Value

if TYPE_CHECKING:
    from sparsetune.study.study import Study


def grid_points(cell: Cell, grid: Grid) -> Iterator[dict[str, Value]]:
    """Every point, deciding choices first, then the axes that apply under them; the last axis changes fastest."""
    for setting in cell.settings:
        values = _axis_values(setting, grid)
        for point in itertools.product(*values.values()):
            yield {**setting.chosen, **dict(zip(values, point, strict=True))}


def grid_size(cell: Cell, grid: Grid) -> int:
    """How many points the grid has."""
    return sum(
        math.prod(map(len, _axis_values(setting, grid).values())) for setting in cell.settings
    )


def _axis_values(setting: ChoiceSetting, grid: Grid) -> dict[str, list[Value]]:
    return {path: axis.spaced(grid.points or 2) for path, axis in setting.free.items()}


def grid_problems(study: Study, cells: Iterable[Cell]) -> Iterator[Problem]:
    """What keeps a study's grid from being tried whole: ranges without points, or too few configurations."""
    grid = study.sampler
    searching = [cell for cell in cells if cell.search]
    if not isinstance(grid, Grid) or not searching:
        return
    ranges = {
        path
        for cell in searching
        for path, axis in cell.search.items()
        if isinstance(axis, Uniform | LogUniform)
    }
    if ranges and grid.points is None:
        rule = f"must be given, as in `Grid(points=5)`, for ranges of real numbers: {', '.join(sorted(ranges))}"
        yield Problem("sampler.points", rule)
        return
    needed, size = max(
        (_needed_configurations(study, cell, grid), grid_size(cell, grid)) for cell in searching
    )
    if needed > study.configurations_per_cell:
        beside = (
            f" and {needed - size} beside it (the base, the control, known points)"
            if needed > size
            else ""
        )
        rule = f"must hold the whole grid: {size} points{beside}; {needed} would do"
        yield Problem("configurations_per_cell", rule, str(study.configurations_per_cell))


def _needed_configurations(study: Study, cell: Cell, grid: Grid) -> int:
    """Configurations that the cell tries: the grid, and what is tried first and does not lie on it."""
    first = [cell.spec, *(cell.known(point) for point in study.known)]
    outside = {spec.config_id() for spec in first if not _is_on_grid(cell, grid, spec)}
    return grid_size(cell, grid) + len(outside) + bool(outside and cell.control_from)


def _is_on_grid(cell: Cell, grid: Grid, spec: TrialSpec) -> bool:
    columns = spec.columns()
    return any(
        all(columns.get(path) == option for path, option in setting.chosen.items())
        and all(columns.get(path) in values for path, values in _axis_values(setting, grid).items())
        for setting in cell.settings
    )
