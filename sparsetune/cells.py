"""The cells that a study opens: one arm at one point of its sweep axes, each with a search of its own.

Target 0 is the dense method, identical cells are one, an axis that does not apply in a cell is absent there, and the
study adds the dense cells that give the controls.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sparsetune.declaration import digest_of, plain
from sparsetune.errors import Problem
from sparsetune.space import Axis, Value
from sparsetune.spec import TrialSpec, applies

if TYPE_CHECKING:
    from sparsetune.study import Arm, Study

UNUSED = "this axis applies to no cell: it would change nothing"


@dataclass(frozen=True)
class Cell:
    """One arm at one point of its sweep axes, with a search of its own.

    Args:
        name: Unique in the study, readable: ``gmp/target=0.9/epoch_multiplier=2``.
        arm: The arm's name; ``dense`` for a cell with target 0.
        point: Value of each sweep axis that applies.
        spec: The canonical base recipe of the cell, seed 0.
        search: The search axes that apply.
        control_from: Name of the dense cell whose winner is this cell's control; None where there is no search.
        added: Whether the study added it (a dense cell that only gives the control).
    """

    name: str
    arm: str
    point: dict[str, Value]
    spec: TrialSpec
    search: dict[str, Axis] = field(default_factory=dict)
    control_from: str | None = None
    added: bool = False

    def corners(self) -> Iterator[TrialSpec]:
        """The cell's recipe, and those at the ends of its search axes."""
        yield from corners(self.spec, self.search)


def corners(spec: TrialSpec, search: Mapping[str, Axis]) -> Iterator[TrialSpec]:
    """A recipe, those with each search axis alone at its ends, then all low and all high together; not checked."""
    yield spec
    ends = {path: axis.ends() for path, axis in search.items()}
    for path, values in ends.items():
        yield from (spec.with_values({path: value}) for value in values)
    for side in (0, -1) if ends else ():
        yield spec.with_values({path: values[side] for path, values in ends.items()})


def _points(study: Study) -> Iterator[tuple[str, Arm, dict[str, Value]]]:
    """Every arm at every point of its sweep axes, dense arms first; without arms there is one, named by its method."""
    for name, arm in sorted(study.declared_arms().items(), key=lambda item: not _is_dense(item[1], study)):
        sweep = {**study.sweep, **arm.sweep}
        for values in itertools.product(*sweep.values()):
            yield name, arm, dict(zip(sweep, values, strict=True))


def expand(study: Study) -> tuple[list[Cell], list[Problem]]:
    """The cells of a study, dense ones first, and the problems of those that cannot be built."""
    cells: dict[str, Cell] = {}
    problems: set[Problem] = set()
    parts: tuple[Study | Arm, ...] = (study, *study.arms.values())
    unused = {path for part in parts for axes in (part.sweep, part.search) for path in axes}
    base_faults = set(study.base.problems())
    for arm_name, arm, point in _points(study):
        spec = study.base.with_values({**arm.overrides, **point, "seed": 0})
        search = {path: axis for path, axis in {**study.search, **arm.search}.items() if applies(spec.given(), path)}
        faults = spec.problems() or [fault for corner in corners(spec, search) for fault in corner.problems()]
        problems |= {_located(fault, arm_name, arm, point, search) for fault in faults if fault not in base_faults}
        if faults:
            unused.clear()
            continue
        point = {path: value for path, value in point.items() if applies(spec.given(), path)}
        unused -= {*point, *search} | (set() if _is_dense(arm, study) else {"sparsity.target"})
        dense = spec.sparsity.method == "dense"
        name = "dense" if dense and not _is_dense(arm, study) else arm_name
        if any(cell.name == _cell_name(name, point) for cell in cells.values()):
            name = f"dense-{arm_name}"
        cells.setdefault(_identity(spec, search), Cell(_cell_name(name, point), name, point, spec, search))
    problems |= {Problem(path, UNUSED) for path in unused}
    return ([] if problems else _with_controls(study, list(cells.values()))), sorted(problems)


def _identity(spec: TrialSpec, search: Mapping[str, Axis]) -> str:
    return digest_of([spec.trial_id(), plain(search)])


def _is_dense(arm: Arm, study: Study) -> bool:
    return bool(arm.overrides.get("sparsity.method", study.method()) == "dense")


def _cell_name(arm: str, point: Mapping[str, Value]) -> str:
    return "/".join([arm, *(f"{path.rpartition('.')[2]}={_text(value)}" for path, value in point.items())])


def _text(value: Value) -> str:
    return f"{value:.12g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _with_controls(study: Study, cells: list[Cell]) -> list[Cell]:
    """Name each cell's control source, adding a dense cell at multiplier 1 where the study lacks it; dense first."""
    named = {cell.name: cell for cell in cells}
    sources = {_identity(cell.spec, cell.search): cell.name for cell in cells}
    for cell in cells if any(cell.search for cell in cells) else []:
        source = _control_source(cell, taken=named.keys())
        name = sources.setdefault(_identity(source.spec, source.search), source.name)
        named.setdefault(name, source)
        named[cell.name] = replace(cell, control_from=None if name == cell.name else name)
    return sorted(
        named.values(), key=lambda cell: (cell.control_from is not None, cell.spec.sparsity.method != "dense")
    )


def _control_source(cell: Cell, taken: Collection[str]) -> Cell:
    """The dense cell at multiplier 1 with the other sweep values of ``cell``."""
    spec = cell.spec.with_values({"sparsity.target": 0, "schedule.epoch_multiplier": 1})
    multiplier = {"schedule.epoch_multiplier": 1} if "schedule.epoch_multiplier" in cell.point else {}
    point = {path: value for path, value in {**cell.point, **multiplier}.items() if applies(spec.given(), path)}
    search = {path: axis for path, axis in cell.search.items() if applies(spec.given(), path)}
    arm = "dense" if _cell_name("dense", point) not in taken else f"dense-{cell.arm}"
    return Cell(_cell_name(arm, point), arm, point, spec, search, added=True)


def _located(
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
