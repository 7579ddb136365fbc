"""Fields of a study that a command line sets, and whether each takes effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sparsetune.errors import Problem
from sparsetune.study.cells import Cell, rounded_identity

if TYPE_CHECKING:
    from sparsetune.study.study import Study


def pin_problems(before: Study, after: Study, values: Mapping[str, Any]) -> Iterator[Problem]:
    """Set fields that change nothing, or that an arm overrides in some cell.

    Args:
        before: The study without them.
        after: The study with all of them; where it has no cells, its own problems say why.
        values: The fields with their values.
    """
    cells = [cell for cell in after.cells() if not cell.added]
    if not cells:
        return
    pinned = _identities(after)
    for path, value in values.items():
        lost = [cell for cell in cells if not _has_value(cell, path, value)]
        if lost:
            arms = ", ".join(dict.fromkeys(f"`{cell.arm}`" for cell in lost))
            places = ", ".join(sorted({*_overriding(after, lost, path)})) or "an axis"
            rule = f"is overridden by {places} in cells of {arms}; change it there"
            yield Problem(path, rule, repr(value))
            continue
        others = {name: other for name, other in values.items() if name != path}
        if _identities(before.pinned(others)) == pinned:
            rule = "changes nothing: the study has this value already, or no cell uses the field"
            yield Problem(path, rule, repr(value))


def _has_value(cell: Cell, path: str, value: Any) -> bool:
    """True if a cell has a value, or does not use the field."""
    return cell.spec.with_values({path: value}).config_id() == cell.spec.config_id()


def _identities(study: Study) -> set[str]:
    """Names of what every cell runs."""
    return {rounded_identity(cell) for cell in study.cells()}


def _overriding(study: Study, cells: list[Cell], path: str) -> Iterator[str]:
    """Declared values of arms that hold the field, as dotted places."""
    for cell in cells:
        arm = study.arms.get(cell.arm)
        for name in arm.overrides if arm else ():
            if path.startswith(f"{name}.") or name.startswith(f"{path}."):
                yield f"`arms.{cell.arm}.overrides.{name}`"
