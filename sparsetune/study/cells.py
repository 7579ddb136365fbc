"""The cells that a study opens: one arm at one point of its sweep axes, each with a search of its own.

Target 0 is the dense method, identical cells are one, an axis that does not apply in a cell is absent there, and the
study adds the dense cells that give the controls. Where a searched choice decides which fields apply (a method, an
optimizer), the cell has the axes of every option, and a configuration those of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sparsetune.errors import Problem
from sparsetune.spec import DECIDING_FIELDS, TrialSpec, field_applies, flatten_values
from sparsetune.spec.declaration import digest_of, to_plain
from sparsetune.study.space import Axis, Choice, Value

if TYPE_CHECKING:
    from sparsetune.study.study import Arm, Study

UNUSED_AXIS_RULE = "this axis applies to no cell: it would change nothing"


@dataclass(frozen=True)
class Cell:
    """One arm at one point of its sweep axes, with a search of its own.

    Args:
        name: Unique in the study, readable: ``gmp/target=0.9/epoch_multiplier=2``.
        arm: The arm's name; ``dense`` for a cell with target 0.
        point: Value of each sweep axis that applies.
        spec: The canonical base recipe of the cell, seed 0.
        search: The search axes that apply, be it under one of its searched choices only.
        control_from: Name of the dense cell whose winner is this cell's control; None where there is no search.
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

    def at(self, values: Mapping[str, Value]) -> TrialSpec:
        """The recipe with dotted fields set, without those that do not apply then; not checked."""
        return self.spec.with_values({**self.latent, **values})

    def known(self, point: Mapping[str, Value]) -> TrialSpec:
        """The recipe at a known point, of which it takes the fields that it searches; not checked."""
        return self.at({path: value for path, value in point.items() if path in self.search})

    def applicable_values(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Those of a point's values that apply under its deciding choices, all of which must be given."""
        axes = self._axes[tuple(values[path] for path in self.deciding_choices)]
        return {path: value for path, value in values.items() if path in axes}

    @cached_property
    def deciding_choices(self) -> tuple[str, ...]:
        """The searched choices that decide which axes apply, in the order in which they are to be chosen."""
        return _deciding_fields(self.search)

    @cached_property
    def settings(self) -> list[ChoiceSetting]:
        """The cell under each combination of its deciding choices: one where there are none."""
        return choice_settings(self.spec.edited(self.latent), self.search)

    @cached_property
    def _axes(self) -> dict[tuple[Value, ...], dict[str, Axis]]:
        return {tuple(setting.chosen.values()): setting.axes for setting in self.settings}

    def corner_recipes(self) -> Iterator[TrialSpec]:
        """The cell's recipe, and those at the ends of its search axes."""
        yield self.spec
        yield from corner_recipes(self.settings)


@dataclass(frozen=True)
class ChoiceSetting:
    """A recipe under one combination of its deciding choices.

    Args:
        chosen: The option of each.
        spec: The canonical recipe with them.
        axes: The search axes that apply then, the deciding ones among them.
    """

    chosen: dict[str, Value]
    spec: TrialSpec
    axes: dict[str, Axis]

    @property
    def free(self) -> dict[str, Axis]:
        """The axes that are still open."""
        return {path: axis for path, axis in self.axes.items() if path not in self.chosen}


def choice_settings(recipe: TrialSpec, search: Mapping[str, Axis]) -> list[ChoiceSetting]:
    """A recipe, which may hold fields that do not apply, under every combination of the deciding choices."""
    deciding = {
        path: axis.options
        for path in _deciding_fields(search)
        if isinstance(axis := search[path], Choice)
    }
    found = []
    for options in itertools.product(*deciding.values()):
        chosen = dict(zip(deciding, options, strict=True))
        spec = recipe.with_values(chosen)
        given = spec.given()
        found.append(
            ChoiceSetting(
                chosen,
                spec,
                {path: axis for path, axis in search.items() if field_applies(given, path)},
            )
        )
    return found


def _deciding_fields(search: Mapping[str, Axis]) -> tuple[str, ...]:
    return tuple(path for path in DECIDING_FIELDS if isinstance(search.get(path), Choice))


def corner_recipes(settings: Iterable[ChoiceSetting]) -> Iterator[TrialSpec]:
    """Of each setting the recipe, those with each axis alone at its ends, then all low and all high; not checked."""
    for setting in settings:
        yield setting.spec
        ends = {path: axis.ends() for path, axis in setting.free.items()}
        for path, values in ends.items():
            yield from (setting.spec.with_values({path: value}) for value in values)
        for side in (0, -1) if ends else ():
            yield setting.spec.with_values({path: values[side] for path, values in ends.items()})


def _sweep_points(study: Study) -> Iterator[tuple[str, Arm, dict[str, Value]]]:
    """Every arm at every point of its sweep axes, dense arms first; without arms there is one, named by its method."""
    for name, arm in sorted(
        study.declared_arms().items(), key=lambda item: not _is_dense(item[1], study)
    ):
        sweep = {**study.sweep, **arm.sweep}
        for values in itertools.product(*sweep.values()):
            yield name, arm, dict(zip(sweep, values, strict=True))


def expand_cells(study: Study) -> tuple[list[Cell], list[Problem]]:
    """The cells of a study, dense ones first, and the problems of those that cannot be built."""
    cells: dict[str, Cell] = {}
    problems: set[Problem] = set()
    parts: tuple[Study | Arm, ...] = (study, *study.arms.values())
    unused = {path for part in parts for axes in (part.sweep, part.search) for path in axes}
    base_faults = set(study.base.problems())
    for arm_name, arm, point in _sweep_points(study):
        recipe = study.base.edited({**arm.overrides, **point, "seed": 0})
        cell = _build_cell("", arm_name, point, recipe, {**study.search, **arm.search})
        faults = cell.spec.problems() or [
            fault for corner in cell.corner_recipes() for fault in corner.problems()
        ]
        problems |= {
            _locate_problem(fault, arm_name, arm, point, cell.search)
            for fault in faults
            if fault not in base_faults
        }
        if faults:
            unused.clear()
            continue
        unused -= {*cell.point, *cell.search} | (
            set() if _is_dense(arm, study) else {"sparsity.target"}
        )
        dense = cell.spec.sparsity.method == "dense"
        name = "dense" if dense and not _is_dense(arm, study) else arm_name
        if any(other.name == _cell_name(name, cell.point) for other in cells.values()):
            name = f"dense-{arm_name}"
        cells.setdefault(
            _cell_identity(cell), replace(cell, name=_cell_name(name, cell.point), arm=name)
        )
    problems |= {Problem(path, UNUSED_AXIS_RULE) for path in unused}
    return ([] if problems else _add_controls(study, list(cells.values()))), sorted(problems)


def _build_cell(
    name: str, arm: str, point: Mapping[str, Value], recipe: TrialSpec, axes: Mapping[str, Axis]
) -> Cell:
    """The cell of a recipe, which may hold fields that do not apply, with what applies of its axes."""
    spec = recipe.with_values({})
    found = choice_settings(recipe, axes)
    search = {
        path: axis for path, axis in axes.items() if any(path in setting.axes for setting in found)
    }
    given = flatten_values(spec.given())
    kept = {path for setting in found for path in flatten_values(setting.spec.given())}
    latent = {
        path: value
        for path, value in flatten_values(recipe.given()).items()
        if path in kept and path not in given
    }
    swept = {
        p: value
        for p, value in point.items()
        if any(field_applies(setting.spec.given(), p) for setting in found)
    }
    return Cell(name, arm, swept, spec, search, latent=latent)


def _cell_identity(cell: Cell) -> str:
    return digest_of([cell.spec.trial_id(), to_plain(cell.search), to_plain(cell.latent)])


def _is_dense(arm: Arm, study: Study) -> bool:
    return bool(arm.overrides.get("sparsity.method", study.method()) == "dense")


def _cell_name(arm: str, point: Mapping[str, Value]) -> str:
    return "/".join(
        [
            arm,
            *(f"{path.rpartition('.')[2]}={_format_value(value)}" for path, value in point.items()),
        ]
    )


def _format_value(value: Value) -> str:
    return (
        f"{value:.12g}"
        if isinstance(value, int | float) and not isinstance(value, bool)
        else str(value)
    )


def _add_controls(study: Study, cells: list[Cell]) -> list[Cell]:
    """Name each cell's control source, adding a dense cell at multiplier 1 where the study lacks it; dense first."""
    named = {cell.name: cell for cell in cells}
    sources = {_cell_identity(cell): cell.name for cell in cells}
    for cell in cells if any(cell.search for cell in cells) else []:
        source = _control_source(cell, taken=named.keys())
        name = sources.setdefault(_cell_identity(source), source.name)
        named.setdefault(name, source)
        named[cell.name] = replace(cell, control_from=None if name == cell.name else name)
    return sorted(
        named.values(),
        key=lambda cell: (cell.control_from is not None, cell.spec.sparsity.method != "dense"),
    )


def _control_source(cell: Cell, taken: Collection[str]) -> Cell:
    """The dense cell at multiplier 1 with the other sweep values of ``cell``."""
    multiplier = {"schedule.epoch_multiplier": 1}
    recipe = cell.spec.edited({**cell.latent, "sparsity.target": 0, **multiplier})
    point = {**cell.point, **(multiplier if multiplier.keys() & cell.point.keys() else {})}
    source = _build_cell("", "dense", point, recipe, cell.search)
    arm = "dense" if _cell_name("dense", source.point) not in taken else f"dense-{cell.arm}"
    return replace(source, name=_cell_name(arm, source.point), arm=arm, added=True)


def _locate_problem(
    fault: Problem, arm_name: str, arm: Arm, point: Mapping[str, Value], search: Mapping[str, Axis]
) -> Problem:
    """The fault with the place where its value was declared in front of its path."""
    places: list[tuple[Mapping[str, Any], str]] = [
        (arm.search, f"arms.{arm_name}.search"),
        (search, "search"),
        (arm.sweep, f"arms.{arm_name}.sweep"),
        (point, "sweep"),
        (arm.overrides, f"arms.{arm_name}.overrides"),
    ]
    for declared, place in places:
        if any(path.startswith(fault.path) or fault.path.startswith(path) for path in declared):
            return Problem(f"{place}.{fault.path}", fault.rule, fault.got)
    return Problem(f"base.{fault.path}", fault.rule, fault.got)
