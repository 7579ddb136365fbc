"""Rules of what a trial plans: its splits, its combination of methods, and its mask over time.

They need neither a network nor data. What calls a user's own functions is left to the launch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sparsetune.errors import Problem
from sparsetune.imports import is_import_path
from sparsetune.sparsity.plans.schedule import mask_schedule_problems
from sparsetune.spec import TrialSpec
from sparsetune.spec.task.splits import size_problems
from sparsetune.study.cells import Cell, locate_in_cell
from sparsetune.study.fields import StudyFields
from sparsetune.study.rules.combinations import combination_problems

TEACHER = "distill.teacher."


def plan_problems(study: StudyFields, cells: Iterable[Cell]) -> Iterator[Problem]:
    """Problems of the plans of every cell's trials, at the ends of its axes, and of its teacher."""
    for cell in cells:
        for recipe in cell.corner_recipes():
            for problem in _trial_problems(recipe):
                yield locate_in_cell(problem, study, cell)
        teacher = cell.spec.distill.teacher
        if teacher is not None and not teacher.problems():
            for problem in _trial_problems(teacher):
                yield locate_in_cell(problem.at(TEACHER + problem.path), study, cell)


def _trial_problems(spec: TrialSpec) -> list[Problem]:
    """Problems of one trial; without the sizes of its data only those that need none."""
    misfits = size_problems(spec.task)
    found = [*misfits, *combination_problems(spec.sparsity)]
    # Of wrong splits, faults of what is planned over their steps are consequences.
    is_own = is_import_path(spec.sparsity.method) or is_import_path(spec.sparsity.ramp.shape)
    if spec.task.is_resolved and not misfits and not is_own:
        found += mask_schedule_problems(spec)
    return found
