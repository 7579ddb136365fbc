"""Sizes of a user's own data, resolved at the launch of a study."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sparsetune.errors import DataError, DeclarationError, Problem
from sparsetune.spec.task import CustomTask, DataSizes
from sparsetune.study import Study
from sparsetune.study.cells import Cell
from sparsetune.tasks.custom.data import data_options, forget_data
from sparsetune.tasks.kinds import resolve_task


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
    if not isinstance(base, CustomTask):
        return study, _custom_arms(study)
    sizes = list(base.resolved)
    if known is not None and isinstance(known.base.task, CustomTask):
        sizes += [each for each in known.base.task.resolved if each not in sizes]
    problems: set[Problem] = set()
    for cell, task in _tasks_of(study):
        try:
            problems.update(_searched_data_options(cell, task))
            resolved = resolve_task(task.with_sizes(tuple(sizes)), data_root)
        except DeclarationError as error:
            problems.update(error.problems)
            continue
        except DataError as error:
            problems.add(Problem("task.data", str(error)))
            continue
        assert isinstance(resolved, CustomTask)
        sizes = list(resolved.resolved)
    # This process trains nothing, and data may be large.
    forget_data()
    based = [Problem(f"base.{each.path}", each.rule, each.got) for each in problems]
    return _with_sizes(study, tuple(sizes)), sorted(based)


def _tasks_of(study: Study) -> Iterator[tuple[Cell, CustomTask]]:
    for cell in study.cells():
        specs = list(cell.corner_recipes())
        if cell.spec.distill.teacher is not None:
            specs.append(cell.spec.distill.teacher)
        for spec in specs:
            if isinstance(spec.task, CustomTask):
                yield cell, spec.task


def _searched_data_options(cell: Cell, task: CustomTask) -> Iterator[Problem]:
    for name in data_options(task):
        path = f"task.options.{name}"
        if path in cell.search:
            rule = f"`{task.data}` asks for it, so it changes the data: sweep it, do not search it"
            yield Problem(path, rule)


def _custom_arms(study: Study) -> list[Problem]:
    for name, arm in study.arms.items():
        if arm.overrides.get("task.kind") == "custom":
            rule = "a task of your own must be the study's `base.task`"
            return [Problem(f"arms.{name}.overrides.task.kind", rule)]
    return []


def _with_sizes(study: Study, sizes: tuple[DataSizes, ...]) -> Study:
    task = study.base.task
    assert isinstance(task, CustomTask)
    if sizes == task.resolved:
        return study
    return study.with_changes(base=study.base.with_task(task.with_sizes(sizes)))
