"""Rules between single fields, and the part of a faulty study that can be read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sparsetune.errors import Problem
from sparsetune.spec import TrialSpec, flatten_values
from sparsetune.study.budget import COST_AXES
from sparsetune.study.cells import Cell
from sparsetune.study.fields import Arm, StudyFields
from sparsetune.study.samplers import Adaptive

STRETCH_FIELD = "schedule.stretch"


def study_problems(study: StudyFields, *, budgeted: bool) -> Iterator[Problem]:
    """Broken rules that span several fields of a study.

    Args:
        study: The declaration, without fields that cannot be read.
        budgeted: Whether it declares a budget, be it a faulty one.
    """
    parts: dict[str, StudyFields | Arm] = {"": study, **study.arms}
    for name, part in parts.items():
        yield from _axis_problems(study, part, f"arms.{name}." if name else "", budgeted=budgeted)
    yield from _quick_form_problems(study)
    if study.base.given().get("seed"):
        rule = "the study's trials have seeds of their own; set the study's `seed`"
        yield Problem("base.seed", rule, str(study.base.seed))
    yield from _search_problems(study, searches=any(part.search for part in parts.values()))


def _axis_problems(
    study: StudyFields, part: StudyFields | Arm, where: str, *, budgeted: bool
) -> Iterator[Problem]:
    """Broken rules about the axes of a study or of one of its arms.

    Args:
        study: The declaration.
        part: The study itself, or the arm.
        where: Prefix of the part's dotted names.
        budgeted: Whether the study declares a budget.
    """
    own = part.sweep.keys() | part.search.keys()
    swept = {*study.sweep, *part.sweep}
    searched = {*study.search, *part.search}
    # An arm's axis may clash with one of the study; the fault is then named at the arm.
    for path in sorted(own & swept & searched):
        yield Problem(f"{where}search.{path}", "an axis is either swept or searched, not both")
    if not budgeted:
        for path in sorted(part.search.keys() & COST_AXES):
            rule = (
                "changes a trial's cost, so the longest run would always win; set `at_most`, or"
                " sweep it instead"
            )
            yield Problem(f"{where}search.{path}", rule)
    if "seed" in own:
        rule = "seeds are no axis; set `search_seeds` and `report_seeds`"
        yield Problem(f"{where}seed", rule)


def _quick_form_problems(study: StudyFields) -> Iterator[Problem]:
    """Arms of the quick form that the study does not have."""
    if study.quick_form is None:
        return
    arms = ", ".join(study.arms) or "none"
    for name in sorted(study.quick_form.arms.keys() - study.arms.keys()):
        yield Problem(f"quick_form.arms.{name}", f"must be an arm of the study: {arms}")


def _search_problems(study: StudyFields, *, searches: bool) -> Iterator[Problem]:
    """Broken rules about stopping and sampling; ``searches`` if the study has a search axis."""
    several = study.configurations_per_cell > 1
    if study.stopping and not (several and searches):
        rule = (
            "compares the configurations of a cell: search a field, with at least 2"
            " `configurations_per_cell`"
        )
        yield Problem("stopping", rule)
    if too_few_to_adapt(study, study.configurations_per_cell):
        startup = getattr(study.sampler, "n_startup", 0)
        rule = "must be below half of `configurations_per_cell`, or the sampler hardly adapts"
        yield Problem("sampler.n_startup", rule, f"{startup} of {study.configurations_per_cell}")


def too_few_to_adapt(study: StudyFields, configurations: int) -> bool:
    """True if the sampler adapts, and half of so many configurations would be its start-up."""
    sampler = study.sampler
    # Where it is not declared, the start-up follows from the number of configurations.
    startup = sampler.n_startup if isinstance(sampler, Adaptive) else None
    return startup is not None and startup * 2 >= configurations


def equality_problems(study: StudyFields, cells: Iterable[Cell]) -> Iterator[Problem]:
    """Problems of a study that equals training FLOPs.

    It sets the stretch itself, and needs a sparse network to stretch.
    """
    if study.equal != "train_flops":
        return
    places: dict[str, Mapping[str, Any]] = {
        "base": flatten_values(study.base.given()),
        "sweep": study.sweep,
        "search": study.search,
    }
    for name, arm in study.arms.items():
        places[f"arms.{name}.overrides"] = arm.overrides
        places[f"arms.{name}.sweep"] = arm.sweep
        places[f"arms.{name}.search"] = arm.search
    for place, values in places.items():
        if STRETCH_FIELD in values:
            rule = (
                "is set by a study whose `equal` is `train_flops`; leave it out, or set `equal` to"
                " `epochs`"
            )
            yield Problem(f"{place}.{STRETCH_FIELD}", rule)
    # Corners too: a searched method may be sparse where the cell's own recipe is dense.
    recipes: list[TrialSpec] = []
    for cell in cells:
        recipes.extend(cell.corner_recipes())
    if recipes and not any(spec.sparsity.prunes for spec in recipes):
        rule = (
            "`train_flops` needs a sparse network, whose training is to cost what its dense twin's"
            " does"
        )
        yield Problem("equal", rule, "dense networks only")


def readable_values(study: StudyFields, found: Iterable[Problem]) -> dict[str, Any]:
    """Fields of a study without the fields, arms and axes that cannot be read.

    Args:
        study: The declaration.
        found: Its problems, by dotted path.
    """
    base: Any = study.base
    if isinstance(base, Mapping):
        base = TrialSpec(**{str(name): value for name, value in base.items()})
    elif not isinstance(base, TrialSpec):
        base = TrialSpec()
    readable = _without_faults(study.given(), [problem.path for problem in found])
    # A missing name is a problem already, and must not end the search for others.
    return {"name": "unnamed", **readable, "base": base}


_HOLDS_AXES = re.compile(r"(arms\.[^.]+\.)?(sweep|search)|arms(\.[^.]+)?")
"""Dotted paths of mappings of which only the faulty entries are left out."""


def _without_faults(
    values: Mapping[str, Any], faults: list[str], prefix: str = ""
) -> dict[str, Any]:
    """``values`` without its faulty fields; of arms and axes only the faulty ones go."""
    kept = {}
    for name, value in values.items():
        path = prefix + name
        inside = [fault for fault in faults if fault.startswith(path + ".")]
        if inside and isinstance(value, Mapping) and _HOLDS_AXES.fullmatch(path):
            kept[name] = _without_faults(value, inside, path + ".")
        elif path not in faults and not inside:
            kept[name] = value
    return kept
