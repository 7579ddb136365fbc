"""Rule of lengths: each must be reached by some trial of every cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sparsetune.durations import Length
from sparsetune.errors import Problem
from sparsetune.spec import TrialSpec
from sparsetune.spec.lengths import DeclaredLength, declared_lengths
from sparsetune.study.cells import Cell, locate_in_cell
from sparsetune.study.fields import StudyFields

TEACHER = "distill.teacher"


def length_problems(
    study: StudyFields,
    cells: Iterable[Cell],
    stretched: Callable[[TrialSpec], TrialSpec] | None = None,
) -> Iterator[Problem]:
    """Problems of lengths that no trial of some cell reaches, each with the longest that fits.

    Args:
        study: The declaration.
        cells: Cells of the study.
        stretched: Function from a recipe to its trial, where the study equals training FLOPs; None
            where the stretch is not known: sparse cells are then left out.
    """
    found: dict[tuple[str, str | float], list[tuple[str, DeclaredLength]]] = {}
    for cell in cells:
        if study.equal == "train_flops" and stretched is None and not cell.is_dense:
            continue
        known = [cell.known(point) for point in study.known]
        sound = [recipe for recipe in known if not recipe.problems()]
        recipes = [*cell.corner_recipes(), *sound]
        unreached = _unreached(map(stretched, recipes) if stretched else recipes)
        teacher = cell.spec.distill.teacher
        if teacher is not None:
            unreached += [(f"{TEACHER}.{path}", length) for path, length in _unreached([teacher])]
        for path, length in unreached:
            place = locate_in_cell(Problem(path, ""), study, cell).path
            key = (place, length.length.declared())
            found.setdefault(key, []).append((cell.name, length))
    for (place, declared), lengths in found.items():
        yield Problem(place, _rule(lengths), repr(declared), "first_launch")


def _unreached(recipes: Iterable[TrialSpec]) -> list[tuple[str, DeclaredLength]]:
    """Lengths that none of the recipes that declare them reaches, with the one that has most room.

    A recipe at the end of a search axis may reach what the base does not.
    """
    longest: dict[tuple[str, Length], DeclaredLength] = {}
    reached = set()
    for recipe in recipes:
        for length in declared_lengths(recipe):
            key = (length.path, length.length)
            if length.is_reached:
                reached.add(key)
            if key not in longest or length.room > longest[key].room:
                longest[key] = length
    return [(key[0], length) for key, length in longest.items() if key not in reached]


def _rule(lengths: list[tuple[str, DeclaredLength]]) -> str:
    name, shortest = min(lengths, key=lambda pair: pair[1].room)
    count = len(lengths)
    where = f"cell `{name}`" + (f" and {count - 1} more" if count > 1 else "")
    longest = shortest.longest().declared()
    clock = shortest.clock
    return (
        f"no trial of {where} reaches this length; at most {_text(longest)} fits into"
        f" {clock.total / clock.per_epoch:g} epochs of training"
    )


def _text(longest: str | float) -> str:
    """A length with nine digits, as it is declared."""
    if not isinstance(longest, str):
        return f"{longest:.9g}"
    number, _, unit = longest.partition(" ")
    return f"`{float(number):.9g} {unit}`"
