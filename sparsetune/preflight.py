"""Checks of a study that need torch: names resolved, each model built once without memory, steps counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch.nn.parameter import is_lazy

from sparsetune.cost import budget_problems
from sparsetune.errors import DataError, DeclarationError, Problem, first_line
from sparsetune.sparsity.combinations import combination_problems, layer_problems
from sparsetune.sparsity.flops import forward_flops
from sparsetune.sparsity.layers import Layer, layers_of
from sparsetune.sparsity.plan import plan_problems
from sparsetune.spec import TrialSpec
from sparsetune.spec.task import FolderTask, TaskSpec
from sparsetune.study import Arm, Study, checked, sound_part
from sparsetune.study.cells import Cell
from sparsetune.study.samplers import OptunaSampler
from sparsetune.tasks import prepare, source_of, split_problems
from sparsetune.tasks.models import meta_model, model_function, require_prunable
from sparsetune.tasks.weights import fitting_weights


def preflight(study: Study, *, data_root: Path | None = None, needs_data: bool = True) -> list[Problem]:
    """Every problem of a declared study that only torch and the data show; empty when there is none.

    Args:
        study: Valid by `sparsetune.study.checked`.
        data_root: The folder that data sets lie in; see `sparsetune.tasks.prepare`.
        needs_data: Whether to find, unpack or download the data; without, nothing is read.
    """
    found: set[Problem] = set()
    models: dict[TaskSpec, tuple[list[Layer], list[Problem]]] = {}
    for cell in study.cells():
        for spec in cell.corners():
            model_only = spec.task.model_copy(update={"batch_size": 1, "validation": 0, "split_seed": 0})
            if model_only not in models:
                models[model_only] = examine(spec.task)
            layers, faults = models[model_only]
            problems = [*split_problems(spec.task), *plan_problems(spec), *combination_problems(spec.sparsity)]
            if layers and not problems:
                problems = layer_problems(layers, spec.sparsity)
            found |= {_located(problem, study, cell) for problem in [*problems, *faults]}
    if not found:
        found |= {*budget_problems(study), *_sampler_problems(study)}
    if needs_data and not found:
        for task in {cell.spec.task.model_copy(update={"model": "", "weights": None}) for cell in study.cells()}:
            found |= set(_data_problems(task, data_root))
        found |= set(_weights_problems(study, data_root))
    return sorted(found)


def check(study: Study, *, data_root: Path | None = None, needs_data: bool = True) -> Study:
    """The study, proved runnable. Arguments are those of `preflight`.

    Raises:
        DeclarationError: naming every problem of the declaration, its models and its data at once.
    """
    faults = study.validate_declaration()
    readable = sound_part(study, faults) if faults else study
    problems = [*faults, *preflight(readable, data_root=data_root, needs_data=needs_data)]
    if not readable.cells():  # a fault of the base must not hide an unknown model
        alone = Study(name="alone", base=TrialSpec(task=readable.base.task))
        problems += preflight(alone, needs_data=False) if not alone.problems() else []
    if problems:
        raise DeclarationError(problems, f"study `{study.__dict__.get('name', '?')}`")
    return checked(study)


def examine(task: TaskSpec) -> tuple[list[Layer], list[Problem]]:
    """The layers of a task's model, built on the meta device and shown one example; or what is wrong with it."""
    source = source_of(task)
    path, got = "task.model", repr(task.model)
    try:
        function = model_function(task.model)
    except DeclarationError as error:
        return [], error.problems
    try:
        with torch.device("meta"):
            model = function(source.input_shape, source.n_classes)
        if not isinstance(model, torch.nn.Module):
            rule = "the function must return a torch.nn.Module"
            return [], [Problem(path, rule, f"{type(model).__name__} from {got}")]
        if any(is_lazy(parameter) for parameter in model.parameters()):
            return [], [Problem(path, "the model must give every layer its sizes: lazy layers cannot be pruned", got)]
        layers = layers_of(require_prunable(task.model, model))
        forward_flops(model, source.input_shape)
        with torch.device("meta"), torch.no_grad():
            shape = tuple(model.eval()(torch.empty((1, *source.input_shape))).shape)
        if problem := _side_problem(task, model):
            return [], [problem]
    except DeclarationError as error:
        return [], error.problems
    except Exception as error:  # the user's function may raise anything
        rule = f"must build a network for inputs of shape {source.input_shape} ({type(error).__name__}: {error})"
        return [], [Problem(path, rule, got)]
    if shape != (1, source.n_classes):
        rule = f"the network must return logits of shape (n, {source.n_classes})"
        return [], [Problem(path, rule, f"{shape} from {got}")]
    return layers, []


def _side_problem(task: TaskSpec, model: torch.nn.Module) -> Problem | None:
    """Where a task shows its network images of other sizes than the one that it is built for: what it cannot take."""
    if not isinstance(task, FolderTask):
        return None
    sides = {"task.eval_resolution": task.eval_resolution} | (
        {"task.growth.first": task.growth.first} if task.growth else {}
    )
    for path, side in sides.items():
        try:
            forward_flops(model, (3, side, side))
        except Exception as error:  # a network may refuse a size in any way
            rule = f"must be a size that `{task.model}` takes, built for {task.resolution} pixels"
            return Problem(path, rule, f"{side} ({type(error).__name__}: {first_line(error)})")
    return None


def _located(problem: Problem, study: Study, cell: Cell) -> Problem:
    """The problem with the place where its value was declared in front of its path."""
    places: dict[str, Iterable[str]] = {
        "search": cell.search,
        "sweep": cell.point,
        f"arms.{cell.arm}.overrides": study.arms.get(cell.arm, Arm()).overrides,
    }
    for place, declared in places.items():
        if any(path == problem.path or path.startswith(problem.path + ".") for path in declared):
            return Problem(f"{place}.{problem.path}", problem.rule, problem.got)
    return Problem(f"base.{problem.path}", problem.rule, problem.got)


def _sampler_problems(study: Study) -> list[Problem]:
    """What is wrong with a sampler of Optuna, which is loaded only where one is declared."""
    if not isinstance(study.sampler, OptunaSampler):
        return []
    from sparsetune.tune.adaptation import sampler_problems

    return sampler_problems(study)


def _data_problems(task: TaskSpec, data_root: Path | None) -> Iterator[Problem]:
    try:
        prepare(task, data_root)
    except DataError as error:
        yield Problem("base.task", str(error))


def _weights_problems(study: Study, data_root: Path | None) -> Iterator[Problem]:
    """What is wrong with trained weights to start from, of which each file is read once for each model."""
    alike = {"batch_size": 1, "validation": 0, "split_seed": 0, "label_smoothing": 0}
    declared = ((spec.task, cell) for cell in study.cells() for spec in cell.corners())
    for task, cell in {task.model_copy(update=alike): cell for task, cell in declared}.items():
        if task.weights is not None:
            source = source_of(task)
            try:
                fitting_weights(meta_model(task.model, source.input_shape, source.n_classes), task.weights, data_root)
            except DataError as error:
                yield _located(Problem("task.weights", str(error)), study, cell)
