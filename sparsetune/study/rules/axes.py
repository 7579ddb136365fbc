"""Rules of axes over all cells: equal values, equal cells, and a base inside the searched ranges.

Each holds at the first launch of a study: one that was launched before goes on as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sparsetune.errors import Problem
from sparsetune.study.cells import Cell, locate_in_cell, rounded_identity
from sparsetune.study.choices import searched_values
from sparsetune.study.fields import Arm, StudyFields
from sparsetune.study.space import Axis, Choice, Value, equal_values

MAX_NAME = 100
"""Most characters of an arm's name."""


def arm_name_problems(study: StudyFields) -> Iterator[Problem]:
    """Problems of arms whose names are empty, too long, or not shown as they are."""
    for name in study.arms:
        if not name.strip() or not name.isprintable() or len(name) > MAX_NAME:
            rule = f"an arm's name must have 1 to {MAX_NAME} printable characters"
            yield Problem("arms", rule, repr(name[: MAX_NAME + 1]), "first_launch")


def equal_value_problems(study: StudyFields) -> Iterator[Problem]:
    """Problems of axes that have one value twice, to nine significant digits."""
    parts: dict[str, StudyFields | Arm] = {"": study}
    parts |= {f"arms.{name}.": arm for name, arm in study.arms.items()}
    for where, part in parts.items():
        axes: dict[str, tuple[str, tuple[Value, ...]]] = {}
        for path, values in part.sweep.items():
            axes[f"{where}sweep.{path}"] = ("the values of a sweep axis", values)
        for path, axis in part.search.items():
            if isinstance(axis, Choice):
                axes[f"{where}search.{path}"] = ("the options of a choice", axis.options)
        for place, (what, values) in axes.items():
            if equal := equal_values(values):
                rule = f"{what} must differ; {_listed(equal)} is there already, to nine digits"
                yield Problem(place, rule, str(list(values)), "first_launch")


def _listed(values: Iterable[Value]) -> str:
    return ", ".join(map(repr, values))


def equal_cell_problems(cells: Iterable[Cell]) -> Iterator[Problem]:
    """Problems of cells whose recipes differ beyond the ninth digit only."""
    first: dict[str, str] = {}
    for cell in cells:
        other = first.setdefault(rounded_identity(cell), cell.name)
        if other != cell.name:
            rule = f"cell `{cell.name}` must differ from `{other}` within nine significant digits"
            yield Problem("", rule, severity="first_launch")


def base_problems(study: StudyFields, cells: Iterable[Cell]) -> Iterator[Problem]:
    """Problems of bases outside a searched range, each with the line that would do."""
    if study.known_base:
        return
    outside: dict[tuple[str, str], tuple[Axis, list[Value], list[str]]] = {}
    for cell in cells:
        for path, value in searched_values(cell.spec, cell.search).items():
            axis = cell.search[path]
            if axis.about_contains(value):
                continue
            place = locate_in_cell(Problem(path, ""), study, cell).path
            _, values, names = outside.setdefault((place, path), (axis, [], []))
            if value not in values:
                values.append(value)
            names.append(cell.name)
    for (place, path), (axis, values, names) in outside.items():
        yield Problem(place, _base_rule(path, axis, values, names), severity="first_launch")


def _base_rule(path: str, axis: Axis, values: list[Value], names: list[str]) -> str:
    count = len(names)
    where = f"cell `{names[0]}`" + (f" and {count - 1} more" if count > 1 else "")
    rule = (
        f"the base must lie inside what is searched, {axis.declared()}, since every cell tries it"
        f" first: it is {_listed(values)} in {where}; move the base, or paste"
    )
    wide = axis.widened(values)
    line = f' `"{path}": {wide.declared()},` or' if wide else ""
    return f"{rule}{line} `known_base=True,`"
