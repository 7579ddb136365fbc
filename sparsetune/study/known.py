"""Known points: configurations that every cell of a study tries first.

They may lie outside the searched ranges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sparsetune.errors import Problem
from sparsetune.study.cells import Cell
from sparsetune.study.fields import StudyFields
from sparsetune.study.space import Choice, Value, is_number, rounded


def known_problems(study: StudyFields, cells: Iterable[Cell]) -> Iterator[Problem]:
    """Problems of the known points: too many, faulty fields or values, faulty trials in a cell."""
    cells = list(cells)
    # The base is configuration 0, the control 1.
    first = 2 if any(cell.control_from for cell in cells) else 1
    needed = first + len(study.known)
    if study.known and needed > study.configurations_per_cell:
        rule = (
            "`configurations_per_cell` must hold the base, the control where there is one, and"
            f" every known point; {needed} would do"
        )
        yield Problem("known", rule, str(study.configurations_per_cell))
    for number, point in enumerate(study.known):
        where = f"known.{number}"
        if not point or rounded(point) in rounded(study.known[:number]):
            rule = "a known point must set a searched field, and differ from the others"
            yield Problem(where, rule, str(point))
        for fault in _point_faults(study, cells, point):
            yield Problem(f"{where}.{fault.path}", fault.rule, fault.got)


def _point_faults(
    study: StudyFields, cells: Iterable[Cell], point: Mapping[str, Value]
) -> list[Problem]:
    """Faults of a known point itself, or of the trials that it makes where it has none."""
    faults = list(_axis_faults(study, point))
    if not faults:
        for cell in cells:
            faults.extend(cell.known(point).problems())
    return faults


def _axis_faults(study: StudyFields, point: Mapping[str, Value]) -> Iterator[Problem]:
    """Fields of a known point that are not searched, and values that are none of their axis."""
    axes = [{**study.search, **arm.search} for arm in study.declared_arms().values()]
    searched = sorted(set().union(*axes))
    for path, value in point.items():
        if path not in searched:
            yield Problem(path, f"no search axis; searched are {', '.join(searched) or 'none'}")
        # The point is tried in the cells of every arm, each of which may have its own axis.
        for axis in (of_arm[path] for of_arm in axes if path in of_arm):
            if not isinstance(axis, Choice) and not is_number(value):
                yield Problem(path, f"must be a number, as in {axis.declared()}", repr(value))
