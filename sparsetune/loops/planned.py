"""Declaration of a training whose loop is not ours, and what in it cannot work there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from sparsetune.durations import Length
from sparsetune.errors import Problem
from sparsetune.sparsity.account.account import GRADIENT_SCORES
from sparsetune.sparsity.contracts import own_function_problems
from sparsetune.sparsity.method_contracts import own_method_problems
from sparsetune.sparsity.methods.method import Method
from sparsetune.sparsity.methods.registry import method_of
from sparsetune.sparsity.plans.rules import ScheduleRule, fewest_that_fit
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.applicability import canonical_values
from sparsetune.spec.declaration import Declaration
from sparsetune.spec.lengths import MAX_STEPS, declared_lengths, size_problems
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.spec.task import CustomTask, DataSizes
from sparsetune.study.rules.combinations import combination_problems

MAX_ADVISED_STEPS = 2**24
"""Longest training that is tried for the advice in a problem."""
LOADED = "loaded by your loop"
"""Stands for the sparse model of the method ``transfer``, whose weights are in place already."""
_DATA = "loop:data"
_UNKNOWN_OPTIMIZER = OptimSpec(clip_norm=1)
"""Gradients outside the mask are zeroed, since the loop may clip gradients by their norm, and its
optimizer may mix those of a tensor."""


class _LoopTask(CustomTask):
    """Task of which nothing is known but how many batches of what size make an epoch."""

    # Whatever the network is, its weights may be sparse before training.
    has_sparse_start: ClassVar[bool] = True


@dataclass(frozen=True)
class LoopLength:
    """Length of a training.

    Args:
        total_steps: Optimizer steps of the whole training.
        steps_per_epoch: Optimizer steps of an epoch; None where that is not known.
        batch_size: Examples of an optimizer step; None where that is not known.
    """

    total_steps: int
    steps_per_epoch: int | None = None
    batch_size: int | None = None

    def problems(self) -> Iterator[Problem]:
        """Numbers that are no positive whole numbers."""
        for name in ("total_steps", "steps_per_epoch", "batch_size"):
            value = getattr(self, name)
            is_open = value is None and name != "total_steps"
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            is_count = is_whole and 1 <= value <= MAX_STEPS
            if not is_open and not is_count:
                rule = f"must be a whole number from 1 to {MAX_STEPS:,}"
                yield Problem(name, rule, repr(value))


def canonical_sparsity(declared: SparsitySpec) -> SparsitySpec:
    """The declaration with fields that do not apply at their defaults.

    Raises:
        DeclarationError: if it is not valid.
    """
    given = canonical_values({"sparsity": declared.checked().given()})
    canonical: SparsitySpec = SparsitySpec.model_validate(given.get("sparsity", {}))
    return canonical


def planned_trial(sparsity: SparsitySpec, length: LoopLength, seed: int) -> TrialSpec:
    """Trial whose mask changes at the steps of the user's training.

    Args:
        sparsity: A canonical declaration.
        length: Length of the training. Without steps per epoch, all of it is one epoch; without a
            batch size, a batch has one example: no length may be in epochs or samples then.
        seed: Seed of everything random in the masks.
    """
    per_epoch = length.steps_per_epoch or length.total_steps
    batch_size = length.batch_size or 1
    sizes = DataSizes(data=_DATA, train=per_epoch * batch_size, test=1, n_outputs=1)
    task = _LoopTask(
        data=_DATA, model=_DATA, batch_size=batch_size, validation=0, resolved=(sizes,)
    )
    if "checkpoint" in method_of(sparsity.method).fields and sparsity.checkpoint is None:
        sparsity = sparsity.model_copy(update={"checkpoint": LOADED})
    schedule = ScheduleSpec(epochs=length.total_steps / per_epoch)
    trial: TrialSpec = TrialSpec(
        task=task, optim=_UNKNOWN_OPTIMIZER, schedule=schedule, sparsity=sparsity, seed=seed
    )
    return trial


def plan_problems(trial: TrialSpec, length: LoopLength, *, has_losses: bool) -> list[Problem]:
    """What in a declaration cannot work in a user's loop, each with what to do.

    Args:
        trial: See `planned_trial`.
        length: Length of the training.
        has_losses: Whether the user gives losses of extra batches.
    """
    found = [each.at("total_steps") for each in trial.schedule.problems()]
    if found:
        return found
    found = [*own_method_problems(trial), *own_function_problems(trial.sparsity)]
    if found:
        return found  # what follows calls the user's own functions
    method = method_of(trial.sparsity.method)
    found += _refusals(trial.sparsity, method, has_losses)
    found += combination_problems(trial.sparsity)
    unknown = list(_unknown_lengths(trial.sparsity, method, length))
    return found + (unknown or _length_problems(trial, method, length))


def _refusals(declared: SparsitySpec, method: Method, has_losses: bool) -> Iterator[Problem]:
    """Parts of a declaration that only our own trainer can do."""
    score = declared.resolved().score
    if "score" in method.fields and score in GRADIENT_SCORES and not has_losses:
        rule = (
            f"the score `{score}` reads gradients of extra batches: give `losses=`, a function of"
            " (batches, batch_size, seed) that yields the loss of each; or take the score"
            " `magnitude`"
        )
        yield Problem("sparsity.score", rule)
    if declared.recalibrate and method.prunes:
        rule = (
            "the loop has the data: leave it at 0, and call `torch.optim.swa_utils.update_bn` where"
            " a lasting mask begins"
        )
        yield Problem("sparsity.recalibrate", rule, str(declared.recalibrate))
    if declared.checkpoint not in (None, LOADED) and "checkpoint" in method.fields:
        rule = "load the sparse weights into the model before `sparsify`, and leave this out"
        yield Problem("sparsity.checkpoint", rule, repr(declared.checkpoint))
    if method.parameters is not None:
        rule = (
            f"the method `{declared.method}` trains parameters of its own, which your optimizer"
            " does not hold: train it with `sparsetune.train.train`"
        )
        yield Problem("sparsity.method", rule)


def _unknown_lengths(
    declared: SparsitySpec, method: Method, length: LoopLength
) -> Iterator[Problem]:
    """Lengths in a unit that the loop has not said the size of."""
    needed = {
        "epochs": ("steps_per_epoch", length.steps_per_epoch),
        "samples": ("batch_size", length.batch_size),
    }
    for path, given in _lengths(declared, method):
        argument, known = needed.get(given.unit, ("", 1))
        if known is None:
            rule = f"a length in {given.unit} needs `{argument}=`, or write it in steps"
            yield Problem(path, rule, repr(given.declared()))


def _lengths(declared: SparsitySpec, method: Method) -> Iterator[tuple[str, Length]]:
    """Lengths that a method reads, by dotted field."""
    for name in method.fields:
        part = getattr(declared, name)
        if isinstance(part, Declaration):
            for field in type(part).model_fields:
                value = getattr(part, field)
                if isinstance(value, Length):
                    yield f"sparsity.{name}.{field}", value


def _length_problems(trial: TrialSpec, method: Method, length: LoopLength) -> list[Problem]:
    """Lengths that training does not reach, and rules of the method that it is too short for."""
    found = []
    for declared in declared_lengths(trial):
        if declared.path.startswith("sparsity.") and not declared.is_reached:
            rule = f"must end within the training; {declared.longest().declared()!r} would do"
            found.append(Problem(declared.path, rule, repr(declared.length.declared())))
    if found:
        return found
    found = size_problems(trial)
    if found:
        return found
    for needed in method.schedule_rules:
        if not needed.fits(trial, method.plan):
            advice = _steps_advice(partial(_fits_in, needed, method, trial, length), length)
            got = needed.describe(trial, method.plan)
            found.append(Problem(f"sparsity.{needed.field}", needed.text + advice, got))
    return found


def _fits_in(
    rule: ScheduleRule, method: Method, trial: TrialSpec, length: LoopLength, steps: int
) -> bool:
    """True if a training of so many steps is long enough for a rule."""
    longer = replace(length, total_steps=steps)
    return rule.fits(planned_trial(trial.sparsity, longer, trial.seed), method.plan)


def _steps_advice(fits_in: Callable[[int], bool], given: LoopLength) -> str:
    """The fewest steps for which a rule holds, as advice."""
    fewest = fewest_that_fit(fits_in, given.total_steps, MAX_ADVISED_STEPS)
    if fewest is None:
        return "no number of steps would do: change its lengths"
    return f"`total_steps` of {fewest:,} would do"
