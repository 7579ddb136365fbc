"""Searched choices that decide which other fields apply: a method, an optimizer, a score."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sparsetune.spec import DECIDING_FIELDS, TrialSpec, field_applies
from sparsetune.study.space import Axis, Choice, Value


@dataclass(frozen=True)
class ChoiceSetting:
    """A recipe under one combination of its deciding choices.

    Args:
        chosen: The option of each choice, by its dotted field.
        spec: The canonical recipe with these options.
        axes: The search axes that apply then, the deciding ones among them.
    """

    chosen: dict[str, Value]
    spec: TrialSpec
    axes: dict[str, Axis]

    @property
    def free(self) -> dict[str, Axis]:
        """The axes that are still open."""
        return {path: axis for path, axis in self.axes.items() if path not in self.chosen}


def deciding_fields(search: Mapping[str, Axis]) -> tuple[str, ...]:
    """Searched choices that decide which axes apply, in the order in which they are chosen."""
    return tuple(path for path in DECIDING_FIELDS if isinstance(search.get(path), Choice))


def searched_values(spec: TrialSpec, search: Mapping[str, Axis]) -> dict[str, Value]:
    """A trial's values of the search axes that apply in it.

    None stays None where it is an option, also where it stands for the method's own choice.
    """
    columns = spec.columns()
    found: dict[str, Value] = {}
    for path, axis in search.items():
        if path not in columns:
            continue
        value = columns[path]
        if isinstance(axis, Choice) and None in axis.options and value not in axis.options:
            value = _declared_value(spec, path, value)
        found[path] = value
    return found


def _declared_value(spec: TrialSpec, path: str, resolved: Value) -> Value:
    """None where a field is left open, else its resolved value."""
    part: Any = spec
    for name in path.split("."):
        part = part.get(name) if isinstance(part, Mapping) else getattr(part, name)
    return None if part is None else resolved


def choice_settings(recipe: TrialSpec, search: Mapping[str, Axis]) -> list[ChoiceSetting]:
    """A recipe under every combination of its deciding choices.

    Args:
        recipe: A trial that may hold fields that do not apply.
        search: Its search axes, by dotted field.
    """
    options_of: dict[str, tuple[Value, ...]] = {}
    for path in deciding_fields(search):
        axis = search[path]
        if isinstance(axis, Choice):
            options_of[path] = axis.options
    found = []
    # Without a deciding choice, the empty product gives one setting: the recipe itself.
    for options in itertools.product(*options_of.values()):
        chosen = dict(zip(options_of, options, strict=True))
        spec = recipe.with_values(chosen)
        given = spec.given()
        axes = {path: axis for path, axis in search.items() if field_applies(given, path)}
        found.append(ChoiceSetting(chosen, spec, axes))
    return found


def corner_recipes(settings: Iterable[ChoiceSetting]) -> Iterator[TrialSpec]:
    """Recipes at the ends of the search axes; not checked.

    For each setting: its recipe, the recipe with each axis alone at either end, then all axes at
    their low ends and all at their high ends.
    """
    for setting in settings:
        yield setting.spec
        ends = {path: axis.ends() for path, axis in setting.free.items()}
        if not ends:
            continue
        for path, values in ends.items():
            for value in values:
                yield setting.spec.with_values({path: value})
        # A sum such as `start` + `length` is greatest where both axes are at their high ends.
        for side in (0, -1):
            yield setting.spec.with_values({path: values[side] for path, values in ends.items()})
