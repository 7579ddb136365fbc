"""Checks of a study that need torch: names, models built without memory, steps, data."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sparsetune.costs.configurations import budget_problems
from sparsetune.costs.equal_flops import match_dense_flops
from sparsetune.errors import DataError, DeclarationError, Problem
from sparsetune.imports import is_import_path
from sparsetune.launch.resolution import resolve_study
from sparsetune.sparsity.account.account import gradient_problems
from sparsetune.sparsity.combinations import layer_problems
from sparsetune.sparsity.contracts import own_function_problems
from sparsetune.sparsity.masks.remainder import remainder_problems
from sparsetune.sparsity.method_contracts import own_method_problems
from sparsetune.sparsity.plans.schedule import mask_schedule_problems
from sparsetune.spec import TrialSpec
from sparsetune.spec.rates import decay_problems
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.spec.task import CustomTask, TaskSpec
from sparsetune.study import (
    Study,
    as_declared,
    readable_part,
    study_subject,
    without_consequences,
    without_known_lengths,
)
from sparsetune.study.cells import Cell, locate_in_cell
from sparsetune.study.rules.combinations import combination_problems
from sparsetune.study.rules.lengths import length_problems
from sparsetune.study.rules.objective import direction_problems
from sparsetune.study.samplers import OptunaSampler
from sparsetune.tasks.custom.metrics import task_metric
from sparsetune.tasks.kinds import kind_of, network_of, prepare_data, split_problems
from sparsetune.tasks.network import Outline, outline_of, outputs_of
from sparsetune.tasks.text.encoders import model_digest
from sparsetune.tasks.weights import fitting_weights
from sparsetune.train.initialisation import initialisation_problems
from sparsetune.train.optim import optimizer_problems
from sparsetune.train.process_state import restored_process_state


@dataclass(frozen=True)
class CheckedStudy:
    """A study that may be launched.

    Args:
        study: The study, with the sizes of its data.
        warnings: What does not keep it from running, each once.
    """

    study: Study
    warnings: tuple[Problem, ...] = ()


def preflight_problems(
    study: Study, *, data_root: Path | None = None, needs_data: bool = True
) -> list[Problem]:
    """Problems of a declared study that only torch and the data show, without warnings.

    Arguments as for `preflight_findings`.
    """
    findings = preflight_findings(study, data_root=data_root, needs_data=needs_data)
    return [found for found in findings if found.severity != "warning"]


def preflight_findings(
    study: Study, *, data_root: Path | None = None, needs_data: bool = True
) -> list[Problem]:
    """Problems and warnings of a declared study that only torch and the data show.

    Args:
        study: Valid by `sparsetune.study.require_valid`.
        data_root: The folder that data sets lie in; see `sparsetune.tasks.kinds.prepare_data`.
        needs_data: Whether to find, unpack or download the data; without, nothing is read.
    """
    found: set[Problem] = set()
    models: dict[TaskSpec, tuple[Outline | None, list[Problem]]] = {}
    for cell in study.cells():
        for place, spec in _trials_of(cell):
            if not spec.task.is_resolved:
                continue
            # A model is examined once for all trials that differ in nothing that it depends on.
            model_only = spec.task.model_copy(
                update={"batch_size": 1, "validation": 0, "split_seed": 0}
            )
            if model_only not in models:
                models[model_only] = examine_model(spec.task, data_root)
            outline, faults = models[model_only]
            misfits = split_problems(spec.task)
            own_problems = _own_problems(spec)
            problems = [*misfits, *combination_problems(spec.sparsity), *own_problems]
            if not misfits:
                # Of wrong splits, faults of what is planned over their steps are consequences.
                problems += decay_problems(spec)
            if not (misfits or _prevents(own_problems)):
                # A schedule calls the user's own ramp, which then must work.
                problems += mask_schedule_problems(spec)
            if outline and not _prevents(problems):
                problems += outlined_problems(outline, spec.sparsity)
            for problem in [*problems, *faults]:
                found.add(locate_in_cell(problem.at(place + problem.path), study, cell))
    found |= set(_metric_direction_problems(study))
    if not _prevents(found):
        found |= set(_stretched_length_problems(study))
        found |= {*budget_problems(study), *_sampler_problems(study)}
    # Last, since it may download: a study with another fault needs no data yet.
    if needs_data and not _prevents(found):
        declared = set()
        for cell in study.cells():
            for _, spec in _trials_of(cell):
                if not spec.task.is_resolved:
                    continue  # its data could not be read, which was said already
                declared.add((spec.sparsity.checkpoint, kind_of(spec.task).data_only()))
        for checkpoint, task in sorted(declared, key=str):
            found |= set(_data_problems(task, checkpoint, data_root))
        found |= set(_weights_problems(study, data_root))
    if not _prevents(found):
        found |= set(_initialisation_problems(study, data_root, needs_data))
    return sorted(found)


def _trials_of(cell: Cell) -> Iterator[tuple[str, TrialSpec]]:
    """Recipes at the ends of the cell's axes, then its teacher, each after its path's prefix."""
    yield from (("", spec) for spec in cell.corner_recipes())
    if cell.spec.distill.teacher:
        yield "distill.teacher.", cell.spec.distill.teacher


def _own_problems(spec: TrialSpec) -> list[Problem]:
    """Problems of a user's own method, score, ramp and optimizer, which are imported."""
    found = [] if split_problems(spec.task) else own_method_problems(spec)
    is_own = is_import_path(spec.sparsity.method)
    if _prevents(found) or (is_own and split_problems(spec.task)):
        # Of a faulty method, faults of what asks it are consequences.
        return found
    return [*found, *own_function_problems(spec.sparsity), *optimizer_problems(spec)]


def _prevents(found: Iterable[Problem]) -> bool:
    """True if a study with these findings never runs."""
    return any(each.severity == "refusal" for each in found)


def _stretched_length_problems(study: Study) -> Iterator[Problem]:
    """Lengths that no trial reaches although it is stretched; the model decides on the stretch."""
    if study.equal == "train_flops":
        sparse = [cell for cell in study.cells() if not cell.is_dense]
        resolved = [cell for cell in sparse if cell.spec.task.is_resolved]
        yield from length_problems(study, resolved, match_dense_flops)


def _metric_direction_problems(study: Study) -> Iterator[Problem]:
    """Problem of an objective on a metric whose direction only its own attribute tells."""
    task = study.base.task
    if not isinstance(task, CustomTask):
        return
    for metric in task.all_metrics():
        if study.objective.column == f"val_{metric.column()}":
            with suppress(DeclarationError):  # named where the model is examined
                higher = task_metric(metric).higher_is_better
                yield from direction_problems(study, "higher" if higher else "lower")


def require_runnable(
    study: Study,
    *,
    data_root: Path | None = None,
    needs_data: bool = True,
    known: Study | None = None,
) -> Study:
    """The study, proved runnable, with the sizes of its data; see `check_study`."""
    checked = check_study(study, data_root=data_root, needs_data=needs_data, known=known)
    return checked.study


def check_study(
    study: Study,
    *,
    data_root: Path | None = None,
    needs_data: bool = True,
    known: Study | None = None,
) -> CheckedStudy:
    """The study, proved runnable, with the sizes of its data, and its warnings.

    Args:
        study: The declaration.
        data_root: Folder that data sets lie in.
        needs_data: Whether to find, unpack or download the data. Without, sizes that only they tell
            may stay unresolved, and what depends on them is not checked.
        known: The same study as an earlier launch stored it, whose sizes hold. It goes on with a
            warning where a new study is refused.

    Raises:
        DeclarationError: naming every problem of the declaration, its models and its data at once.
    """
    study, found = study_findings(study, data_root=data_root, needs_data=needs_data, known=known)
    fatal = ("refusal",) if known is not None else ("refusal", "first_launch")
    problems = [each for each in found if each.severity in fatal]
    if problems:
        raise DeclarationError(problems, study_subject(study))
    return CheckedStudy(as_declared(study), tuple(found))


def study_findings(
    study: Study,
    *,
    data_root: Path | None = None,
    needs_data: bool = True,
    known: Study | None = None,
) -> tuple[Study, list[Problem]]:
    """The study with the sizes of its data, and every problem and warning; see `check_study`."""
    faults = study.validate_declaration()
    if not _prevents(faults):
        resolved, unresolved = resolve_study(study, data_root, known)
        if resolved is not study:
            study = resolved
            faults = study.validate_declaration()  # rules of steps hold once sizes are known
        faults += unresolved if needs_data else []
    refused = [each for each in faults if each.severity == "refusal"]
    readable = readable_part(study, refused) if refused else study
    # Data that have a fault already would have it again, and a study that is refused needs none.
    reads_data = needs_data and not (faults if known is None else refused)
    found = [
        *faults,
        *without_known_lengths(
            preflight_findings(readable, data_root=data_root, needs_data=reads_data), faults
        ),
    ]
    if not readable.cells():  # a fault of the base must not hide an unknown model
        alone = Study(name="alone", base=TrialSpec(task=readable.base.task))
        found += preflight_problems(alone, needs_data=False) if not alone.problems() else []
    return study, without_consequences(set(found))


# A model may change torch's defaults, which the next one must not meet.
@restored_process_state()
def examine_model(
    task: TaskSpec, data_root: Path | None = None
) -> tuple[Outline | None, list[Problem]]:
    """A task's model, built and run once, without memory where it allows that; or its problems."""
    network = network_of(task, data_root)
    kind = kind_of(task)
    try:
        outline = outline_of(network)
    except DeclarationError as error:
        return None, error.problems
    except DataError as error:
        return None, [Problem("task.model", str(error))]
    except Exception as error:  # the user's function may raise anything
        # Too long a text is the cause of most failures, and has a message of its own.
        with suppress(Exception):
            if problems := kind.fit_problems(network.meta()):
                return None, problems
        rule = f"must build a network for {network.input_text} ({type(error).__name__}: {error})"
        return None, [Problem("task.model", rule, repr(task.model))]
    if problems := kind.fit_problems(outline.model):
        return None, problems
    if not outline.account(SparsitySpec(method="one_shot", layers=("*",))).rows:
        rule = "the model must have a parameter of two dimensions, or nothing can be pruned"
        return None, [Problem("task.model", rule, repr(task.model))]
    outputs = outputs_of(outline.trace.outputs)
    misfit = network.output_problem(outputs)
    if misfit:
        shape = tuple(getattr(outputs, "shape", ())) or type(outputs).__name__
        return None, [Problem("task.model", misfit, f"{shape} from {task.model!r}")]
    return outline, []


def outlined_problems(outline: Outline, sparsity: SparsitySpec) -> list[Problem]:
    """Problems and warnings of what is pruned of a network."""
    if not sparsity.prunes:
        return []
    try:
        account = outline.account(sparsity)
    except DeclarationError as error:
        return error.problems
    problems = [*account.problems, *gradient_problems(account, sparsity)]
    if not problems:
        problems += outline.exactness_problems(account, sparsity)
    if not problems:
        problems += layer_problems(account.layers, sparsity)
    if not problems:
        problems += remainder_problems(account.layers, sparsity)
    return [*problems, *account.warnings()]


def _sampler_problems(study: Study) -> list[Problem]:
    """Problems of a sampler of Optuna, which is loaded only where one is declared."""
    if not isinstance(study.sampler, OptunaSampler):
        return []
    from sparsetune.search.sampling.adaptation import sampler_problems

    return sampler_problems(study)


def _data_problems(
    task: TaskSpec, checkpoint: str | None, data_root: Path | None
) -> Iterator[Problem]:
    try:
        prepare_data(task, data_root)
        if checkpoint:
            model_digest(checkpoint, data_root)
    except DataError as error:
        yield Problem("base.task", str(error))


def _weights_problems(study: Study, data_root: Path | None) -> Iterator[Problem]:
    """Problems of trained weights to start from; each file is read once for each model."""
    alike = {"batch_size": 1, "validation": 0, "split_seed": 0, "label_smoothing": 0}
    cells: dict[TaskSpec, Cell] = {}
    for cell in study.cells():
        for spec in cell.corner_recipes():
            cells[spec.task.model_copy(update=alike)] = cell
    for task, cell in cells.items():
        if task.weights is not None:
            try:
                fitting_weights(network_of(task, data_root).meta(), task.weights, data_root)
            except DataError as error:
                yield locate_in_cell(Problem("task.weights", str(error)), study, cell)


def _initialisation_problems(
    study: Study, data_root: Path | None, needs_data: bool
) -> Iterator[Problem]:
    """Problems of how users' own networks are initialised.

    A network is built, three times, for all trials that share it.

    Args:
        study: The declaration.
        data_root: Folder that data sets lie in.
        needs_data: Whether files of trained weights are read; without, such networks are left out.
    """
    alike = {"batch_size": 1, "validation": 0, "split_seed": 0, "label_smoothing": 0}
    seen: set[Hashable] = set()
    for cell in study.cells():
        for place, spec in _trials_of(cell):
            task = spec.task.model_copy(update=alike)
            if not task.is_resolved or (task.weights and not needs_data):
                continue
            drawn = network_of(task, data_root), task.weights, task.initialisation
            if drawn in seen:
                continue
            seen.add(drawn)
            for problem in initialisation_problems(spec.task, data_root):
                yield locate_in_cell(problem.at(place + problem.path), study, cell)
