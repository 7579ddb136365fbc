"""Sizes of data that a study names, resolved at its launch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sparsetune.errors import DataError, DeclarationError, Problem
from sparsetune.spec.task import (
    CustomTask,
    DataSizes,
    DigitsTask,
    FolderTask,
    ImageTask,
    SizedTask,
    TextTask,
)
from sparsetune.study import Study
from sparsetune.study.cells import Cell
from sparsetune.tasks.custom.data import data_options
from sparsetune.tasks.kinds import forget_data, resolve_task

SizedTaskSpec = ImageTask | FolderTask | TextTask | CustomTask
"""Tasks whose sizes may be found at a launch."""


def resolve_study(
    study: Study, data_root: Path | None, known: Study | None = None
) -> tuple[Study, list[Problem]]:
    """Study whose tasks know the sizes of their data.

    Args:
        study: The declaration, valid as far as it can be without its data.
        data_root: Folder that data sets lie in.
        known: The same study as an earlier launch stored it, whose sizes hold.

    Returns:
        The study, itself where nothing is to be resolved, and what prevents that.
    """
    base = study.base.task
    if misplaced := _misplaced_tasks(study):
        return study, misplaced
    if not isinstance(base, SizedTask):
        return study, []
    sizes = list(base.resolved)
    if known is not None and isinstance(known.base.task, type(base)):
        sizes += [each for each in known.base.task.resolved if each not in sizes]
    problems: set[Problem] = set()
    for cell, task in _tasks_of(study):
        try:
            if isinstance(task, CustomTask):
                problems.update(_searched_data_options(cell, task))
            resolved = resolve_task(task.with_sizes(tuple(sizes)), data_root)
        except DeclarationError as error:
            problems.update(error.problems)
            continue
        except DataError as error:
            problems.add(Problem(f"task.{_data_field(task)}", str(error)))
            continue
        assert isinstance(resolved, SizedTask)
        sizes = list(resolved.resolved)
    # This process trains nothing, and data may be large.
    forget_data()
    based = [Problem(f"base.{each.path}", each.rule, each.got) for each in problems]
    return _with_sizes(study, tuple(sizes)), sorted(based)


def _tasks_of(study: Study) -> Iterator[tuple[Cell, SizedTaskSpec]]:
    """Tasks of the study's trials and their teachers that need sizes, of the kind of its base."""
    kind = study.base.task.kind
    for cell in study.cells():
        specs = list(cell.corner_recipes())
        if cell.spec.distill.teacher is not None:
            specs.append(cell.spec.distill.teacher)
        for spec in specs:
            task = spec.task
            if task.kind == kind and not isinstance(task, DigitsTask) and task.needs_sizes():
                yield cell, task


def _data_field(task: SizedTaskSpec) -> str:
    """Field that names the data."""
    if isinstance(task, CustomTask):
        return "data"
    return "folder" if isinstance(task, FolderTask) else "dataset"


def _searched_data_options(cell: Cell, task: CustomTask) -> Iterator[Problem]:
    for name in data_options(task):
        path = f"task.options.{name}"
        if path in cell.search:
            rule = f"`{task.data}` asks for it, so it changes the data: sweep it, do not search it"
            yield Problem(path, rule)


def _misplaced_tasks(study: Study) -> list[Problem]:
    """Arms whose task has sizes that are found at the launch, and is of another kind than the base.

    What is found is stored with the base's task.
    """
    for cell in study.cells():
        task = cell.spec.task
        if not task.is_resolved and task.kind != study.base.task.kind:
            rule = (
                "a task whose sizes are found at the launch must be of the kind of the study's"
                " `base.task`"
            )
            return [Problem(f"arms.{cell.arm}.overrides.task.kind", rule, repr(task.kind))]
    return []


def _with_sizes(study: Study, sizes: tuple[DataSizes, ...]) -> Study:
    base = study.base
    task = base.task
    assert isinstance(task, SizedTask)
    if sizes == task.resolved:
        return study
    changed = base.with_task(task.with_sizes(sizes))
    teacher = base.distill.teacher
    if teacher is not None and isinstance(teacher.task, type(task)):
        taught = teacher.with_task(teacher.task.with_sizes(sizes))
        distill = base.distill.model_copy(update={"teacher": taught})
        changed = changed.model_copy(update={"distill": distill})
    return study.with_changes(base=changed)
