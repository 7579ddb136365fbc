"""Known points: configurations that every cell of a study tries first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from sparsetune.errors import Problem
from sparsetune.study.cells import Cell
from sparsetune.study.space import Value

if TYPE_CHECKING:
    from sparsetune.study.study import Study


def known_problems(study: Study, cells: Iterable[Cell]) -> Iterator[Problem]:
    """What is wrong with the known points: their number, their fields and values, and what they make of a cell."""
    taken = 2 if any(cell.control_from for cell in cells) else 1
    if study.known and taken + len(study.known) > study.configurations_per_cell:
        rule = "`configurations_per_cell` must hold the base, the control where there is one, and every known point"
        yield Problem(
            "known",
            f"{rule}; {taken + len(study.known)} would do",
            str(study.configurations_per_cell),
        )
    for number, point in enumerate(study.known):
        where = f"known.{number}"
        if not point or point in study.known[:number]:
            yield Problem(
                where,
                "a known point must set a searched field, and differ from the others",
                str(point),
            )
        faults = list(_point_problems(study, point))
        faults = faults or [fault for cell in cells for fault in cell.known(point).problems()]
        yield from (Problem(f"{where}.{fault.path}", fault.rule, fault.got) for fault in faults)


def _point_problems(study: Study, point: Mapping[str, Value]) -> Iterator[Problem]:
    """Fields of a known point that are not searched, and values outside an axis of the study or of an arm."""
    axes = [{**study.search, **arm.search} for arm in study.declared_arms().values()]
    searched = sorted({path for of_arm in axes for path in of_arm})
    for path, value in point.items():
        if path not in searched:
            yield Problem(path, f"no search axis; searched are {', '.join(searched) or 'none'}")
        for axis in (of_arm[path] for of_arm in axes if path in of_arm):
            if not axis.contains(value):
                yield Problem(
                    path, f"must lie within its axis, {axis.kind} over {axis.ends()}", repr(value)
                )
