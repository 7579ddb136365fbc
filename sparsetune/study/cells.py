"""The cells that a study opens: one arm at one point of its sweep axes, each with its own search.

Target 0 is the dense method, identical cells are one, an axis that does not apply in a cell is
absent there, and the study adds the dense cells that give the controls. Where a searched choice
decides which fields apply (a method, an optimizer), the cell has the axes of every option, and a
configuration those of its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from sparsetune.errors import Problem
from sparsetune.sparsity.methods.registry import known_method
from sparsetune.spec import TrialSpec, field_applies, flatten_values
from sparsetune.spec.declaration import digest_of, to_plain
from sparsetune.spec.lengths import size_problems
from sparsetune.study.choices import (
    ChoiceSetting,
    choice_settings,
    corner_recipes,
    deciding_fields,
)
from sparsetune.study.fields import Arm, StudyFields
from sparsetune.study.space import Axis, Value, rounded

UNUSED_AXIS_RULE = "this axis applies to no cell: it would change nothing"
MULTIPLIER_FIELD = "schedule.epoch_multiplier"
MAX_CELLS = 10_000
"""Most combinations of arms and sweep values, and of choices that decide which fields apply."""
MAX_FAULTY_CELLS = 200
"""Cells with a problem, each as costly as any, after which others would say the same."""


@dataclass(frozen=True)
class Cell:
    """One arm at one point of its sweep axes, with a search of its own.

    Args:
        name: Unique in the study, readable: ``gmp/target=0.9/epoch_multiplier=2``.
        arm: The arm's name; ``dense`` for a cell with target 0.
        point: Value of each sweep axis that applies.
        spec: The canonical base recipe of the cell, seed 0.
        search: The search axes that apply, be it under one of its searched choices only.
        control_from: Name of the dense cell whose winner is this cell's control; None where there
            is no search.
        added: Whether the study added it (a dense cell that only gives the control).
        latent: Fields of the recipe that apply only under another searched choice than the base's.
    """

    name: str
    arm: str
    point: dict[str, Value]
    spec: TrialSpec
    search: dict[str, Axis] = field(default_factory=dict)
    control_from: str | None = None
    added: bool = False
    latent: dict[str, Any] = field(default_factory=dict)

    @property
    def is_dense(self) -> bool:
        """True if the cell's recipe prunes nothing."""
        return not self.spec.sparsity.prunes

    def at(self, values: Mapping[str, Value]) -> TrialSpec:
        """The recipe with dotted fields set, without fields that do not apply then; not checked."""
        return self.spec.with_values({**self.latent, **values})

    def known(self, point: Mapping[str, Value]) -> TrialSpec:
        """The recipe at a known point; fields that the cell does not search are left out.

        The recipe is not checked.
        """
        searched = {path: value for path, value in point.items() if path in self.search}
        return self.at(searched)

    def applicable_values(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """A point's values that apply under its deciding choices, all of which must be given."""
        chosen = tuple(values[path] for path in self.deciding_choices)
        axes = self._axes[chosen]
        return {path: value for path, value in values.items() if path in axes}

    @cached_property
    def deciding_choices(self) -> tuple[str, ...]:
        """Searched choices that decide which axes apply, in the order in which they are chosen."""
        return deciding_fields(self.search)

    @cached_property
    def settings(self) -> list[ChoiceSetting]:
        """The cell under each combination of its deciding choices: one where there are none."""
        return choice_settings(self.spec.edited(self.latent), self.search)

    @cached_property
    def _axes(self) -> dict[tuple[Value, ...], dict[str, Axis]]:
        """The axes that apply, by the options of the deciding choices."""
        return {tuple(setting.chosen.values()): setting.axes for setting in self.settings}

    def corner_recipes(self) -> Iterator[TrialSpec]:
        """The cell's recipe, and those at the ends of its search axes."""
        yield self.spec
        yield from corner_recipes(self.settings)


def is_searched(study: StudyFields, cell: Cell) -> bool:
    """True if a cell compares configurations on search seeds.

    Otherwise its base is its one configuration, and runs on report seeds at once.
    """
    return bool(cell.search) and study.configurations_per_cell > 1


@dataclass(frozen=True)
class _SweepPoint:
    """One arm at one point of its sweep axes.

    Args:
        name: Name of the arm.
        arm: Its declaration.
        values: Value of each sweep axis, whether it applies or not.
    """

    name: str
    arm: Arm
    values: dict[str, Value]


def expand_cells(study: StudyFields) -> tuple[list[Cell], list[Problem]]:
    """The cells of a study, dense ones first, and the problems of those that cannot be built.

    There are no cells where there is a problem, and after `MAX_FAULTY_CELLS` no other is looked at.
    """
    if too_many := _size_problem(study):
        return [], [too_many]
    cells: dict[str, Cell] = {}
    problems: set[Problem] = set()
    unused = _declared_axes(study)
    base_faults = set(study.base.problems())
    faulty = 0
    for point in _sweep_points(study):
        # Later ones win: a sweep axis over an override, an arm's search axis over the study's.
        recipe = study.base.edited({**point.arm.overrides, **point.values, "seed": 0})
        axes = {**study.search, **point.arm.search}
        cell = _build_cell(point.name, point.values, recipe, axes)
        faults = _cell_faults(cell)
        if faults:
            unused.clear()  # a cell that cannot be built might have used any axis
            faulty += 1
            if faulty > MAX_FAULTY_CELLS:
                break
            for fault in faults:
                # The base's faults are named once, where the base is checked.
                if fault not in base_faults:
                    problems.add(_locate_problem(fault, point, cell.search))
            continue
        unused -= {*cell.point, *cell.search}
        if not _is_dense(point.arm, study):
            unused.discard("sparsity.target")  # it makes the arm's cells dense where it is 0
        taken = {other.name for other in cells.values()}
        named = _with_name(cell, point, study, taken)
        # Sparse arms share the cell with target 0: the first of equal cells stands for all.
        cells.setdefault(_cell_identity(cell), named)
    for path in unused:
        problems.add(Problem(path, UNUSED_AXIS_RULE))
    if problems:
        return [], sorted(problems)
    return _add_controls(list(cells.values())), []


def _size_problem(study: StudyFields) -> Problem | None:
    """Problem of a study with more cells than can be listed, or more choices in one of them."""
    count = 0
    settings = 1
    for arm in study.declared_arms().values():
        sweep = {**study.sweep, **arm.sweep}
        count += math.prod(len(values) for values in sweep.values())
        search = {**study.search, **arm.search}
        options = [len(search[path].ends()) for path in deciding_fields(search)]
        settings = max(settings, math.prod(options))
    if count > MAX_CELLS:
        rule = f"must open at most {MAX_CELLS:,} cells over all arms"
        return Problem("sweep", rule, f"{count:,}")
    if settings > MAX_CELLS:
        rule = f"must have at most {MAX_CELLS:,} combinations of choices that decide on fields"
        return Problem("search", rule, f"{settings:,}")
    return None


def _declared_axes(study: StudyFields) -> set[str]:
    """Dotted fields of all sweep and search axes, those of arms included."""
    paths = {*study.sweep, *study.search}
    for arm in study.arms.values():
        paths.update(arm.sweep, arm.search)
    return paths


def _distinct(values: Iterable[Value]) -> list[Value]:
    """Values of an axis, each once: that one is there again is a problem of the axis."""
    return list({repr(value): value for value in values}.values())


def _sweep_points(study: StudyFields) -> Iterator[_SweepPoint]:
    """Every arm at every point of its sweep axes, dense arms first."""
    arms = study.declared_arms().items()
    # A dense arm keeps its own name where a sparse arm's target 0 makes the same cell.
    for name, arm in sorted(arms, key=lambda item: not _is_dense(item[1], study)):
        sweep = {**study.sweep, **arm.sweep}
        for values in itertools.product(*map(_distinct, sweep.values())):
            yield _SweepPoint(name, arm, dict(zip(sweep, values, strict=True)))


def _cell_faults(cell: Cell) -> list[Problem]:
    """Faults of the cell's recipe, or of its corner recipes where it has none itself."""
    faults = cell.spec.problems() or size_problems(cell.spec)
    if faults:
        return faults  # the corner recipes would repeat each of them
    for corner in cell.corner_recipes():
        faults.extend(corner.problems() or size_problems(corner))
    return faults


def _with_name(cell: Cell, point: _SweepPoint, study: StudyFields, taken: Collection[str]) -> Cell:
    """The cell under its arm's name; a sparse arm's cell with target 0 is named ``dense``."""
    name = "dense" if cell.is_dense and not _is_dense(point.arm, study) else point.name
    # Two arms with recipes of their own have dense cells that differ.
    if _cell_name(name, cell.point) in taken:
        name = f"dense-{point.name}"
    return replace(cell, name=_cell_name(name, cell.point), arm=name)


def _build_cell(
    arm: str, point: Mapping[str, Value], recipe: TrialSpec, axes: Mapping[str, Axis]
) -> Cell:
    """The cell of a recipe, still without a name, with the axes that apply in it.

    Args:
        arm: Name of the arm.
        point: Value of each sweep axis.
        recipe: The arm's trial at that point, which may hold fields that do not apply.
        axes: Search axes, whether they apply or not.
    """
    spec = recipe.with_values({})
    settings = choice_settings(recipe, axes)
    searched: set[str] = set()
    settings_given = []
    for setting in settings:
        searched.update(setting.axes)
        settings_given.append(setting.spec.given())
    used_point = {path: point[path] for path in point if _is_used(path, settings_given)}
    # In the order of the declaration: a grid's last axis changes fastest.
    search = {path: axis for path, axis in axes.items() if path in searched}
    return Cell(
        name="",
        arm=arm,
        point=used_point,
        spec=spec,
        search=search,
        latent=_latent_values(recipe, spec, settings_given),
    )


def _is_used(path: str, settings_given: list[dict[str, Any]]) -> bool:
    """True if a dotted field applies under some setting of the deciding choices."""
    return any(field_applies(given, path) for given in settings_given)


def _latent_values(
    recipe: TrialSpec, spec: TrialSpec, settings_given: list[dict[str, Any]]
) -> dict[str, Any]:
    """Dotted values of a recipe that apply under some setting, but not in its canonical form."""
    kept: set[str] = set()
    for given in settings_given:
        kept.update(flatten_values(given))
    kept.difference_update(flatten_values(spec.given()))
    values = flatten_values(recipe.given())
    return {path: value for path, value in values.items() if path in kept}


def _cell_identity(cell: Cell) -> str:
    """A digest that is equal for cells with the same recipe and search."""
    return digest_of([cell.spec.trial_id(), to_plain(cell.search), to_plain(cell.latent)])


def rounded_identity(cell: Cell) -> str:
    """A digest that is equal for cells whose recipe and search differ beyond the ninth digit only.

    It names nothing: cells keep their own identity.
    """
    return digest_of(rounded(to_plain([cell.spec, cell.search, cell.latent])))


def _is_dense(arm: Arm, study: StudyFields) -> bool:
    return not known_method(arm.overrides.get("sparsity.method", study.method())).prunes


def _cell_name(arm: str, point: Mapping[str, Value]) -> str:
    """The arm, and each value with the last part of its field's name."""
    parts = [arm]
    for path, value in point.items():
        parts.append(f"{path.rpartition('.')[2]}={_format_value(value)}")
    return "/".join(parts)


def _format_value(value: Value) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.12g}"  # a name without the last bits of a float; 1.0 is 1
    return str(value)


def _add_controls(cells: list[Cell]) -> list[Cell]:
    """The cells with the names of their control's sources, dense ones first.

    A dense cell at multiplier 1 is added where the study lacks one. Nothing is added to a study
    that searches nothing.
    """
    named = {cell.name: cell for cell in cells}
    if any(cell.search for cell in cells):
        sources = {_cell_identity(cell): cell.name for cell in cells}
        for cell in cells:
            # A declared cell that equals the source is the source, whatever its name.
            source = _control_source(cell, taken=named.keys())
            name = sources.setdefault(_cell_identity(source), source.name)
            named.setdefault(name, source)
            named[cell.name] = replace(cell, control_from=None if name == cell.name else name)

    def order(cell: Cell) -> tuple[bool, bool]:
        # The cells that give a control first: others wait for their winners.
        return cell.control_from is not None, not cell.is_dense

    return sorted(named.values(), key=order)


def _control_source(cell: Cell, taken: Collection[str]) -> Cell:
    """The dense cell at multiplier 1 with the other sweep values of a cell."""
    recipe = cell.spec.edited({**cell.latent, "sparsity.target": 0, MULTIPLIER_FIELD: 1})
    point = {**cell.point, MULTIPLIER_FIELD: 1} if MULTIPLIER_FIELD in cell.point else cell.point
    source = _build_cell("dense", point, recipe, cell.search)
    is_taken = _cell_name("dense", source.point) in taken
    arm = f"dense-{cell.arm}" if is_taken else "dense"
    return replace(source, name=_cell_name(arm, source.point), arm=arm, added=True)


def _locate_problem(fault: Problem, point: _SweepPoint, search: Mapping[str, Axis]) -> Problem:
    """The fault, with the place where its value was declared in front of its path."""
    arm = point.arm
    # The strongest declaration first, in the order in which they replace each other.
    places: list[tuple[Mapping[str, Any], str]] = [
        (arm.search, f"arms.{point.name}.search"),
        (search, "search"),
        (arm.sweep, f"arms.{point.name}.sweep"),
        (point.values, "sweep"),
        (arm.overrides, f"arms.{point.name}.overrides"),
    ]
    for declared, place in places:
        if any(_is_nested(path, fault.path) for path in declared):
            return fault.at(f"{place}.{fault.path}")
    return fault.at(f"base.{fault.path}")


def locate_in_cell(fault: Problem, study: StudyFields, cell: Cell) -> Problem:
    """The fault of a trial in a cell, with the place of its declaration in front of its path."""
    name, arm = _declaring_arm(fault.path, study, cell)
    return _locate_problem(fault, _SweepPoint(name, arm, cell.point), cell.search)


def _declaring_arm(path: str, study: StudyFields, cell: Cell) -> tuple[str, Arm]:
    """The arm of a cell; of a dense cell, which several arms may share, one with such an axis."""
    if cell.arm in study.arms:
        return cell.arm, study.arms[cell.arm]
    if not any(_is_nested(axis, path) for axis in (*study.sweep, *study.search)):
        for name, arm in study.arms.items():
            if any(_is_nested(axis, path) for axis in (*arm.sweep, *arm.search)):
                return name, arm
    return cell.arm, Arm()


def _is_nested(path: str, other: str) -> bool:
    """True if one of the dotted names is the other, or begins with it and a dot."""
    return f"{path}.".startswith(f"{other}.") or f"{other}.".startswith(f"{path}.")
