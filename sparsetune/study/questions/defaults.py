"""Questions that follow from a study's axes, and the questions of a study in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sparsetune.spec.declaration import Declaration
from sparsetune.spec.task import DatasetTask
from sparsetune.study.fields import StudyFields
from sparsetune.study.questions.contrasts import (
    asked_arm,
    compared_arms,
    plan_contrasts,
)
from sparsetune.study.questions.kinds import (
    FRACTION_MARGIN,
    ArmsDiffer,
    BestValueMoves,
    ExtensionGain,
    Question,
    Remaining,
    RetuningGain,
    UnderTrained,
)
from sparsetune.study.questions.points import (
    CellPoint,
    base_epochs,
    sparse_arms,
    study_points,
)

Q = TypeVar("Q", bound=Declaration)
DEFAULT_KINDS: tuple[Question, ...] = (
    ExtensionGain(),
    UnderTrained(),
    RetuningGain(),
    ArmsDiffer(),
    Remaining(),
)
"""Questions of every study whose axes can answer them, the most telling one first."""


def default_questions(study: StudyFields) -> tuple[Question, ...]:
    """Questions that follow from the axes of a study, each with its arm, length and margin.

    Lengths that are swept ask for the gain of longer training and for under-training, a search for
    the gain of re-tuning, two or more sparse arms for their difference at the highest sparsity;
    what remains at each sparsity is always asked. Where the score is no fraction, a margin is not
    known: the questions then have none, and no answer says that there is no effect.
    """
    return _resolved(study, DEFAULT_KINDS)


def asked_questions(study: StudyFields) -> tuple[Question, ...]:
    """Questions that a study declares, or its defaults where it declares none, in full."""
    return _resolved(study, study.questions or DEFAULT_KINDS)


def _resolved(study: StudyFields, questions: Sequence[Question]) -> tuple[Question, ...]:
    points = study_points(study)
    return resolve_questions(
        questions, points, base_epochs(study), is_fraction=has_fraction_score(study)
    )


def has_fraction_score(study: StudyFields) -> bool:
    """True if the score of a study's task is a fraction, whose differences are in points."""
    task = study.base.task
    # A task that cannot be read has a problem of its own.
    return not isinstance(task, DatasetTask) or task.measured().metrics[0].is_fraction


def resolve_questions(
    questions: Sequence[Question],
    points: Sequence[CellPoint],
    base: float | None,
    *,
    is_fraction: bool,
) -> tuple[Question, ...]:
    """Questions in full: arm, length and margin of each; without those that no cell answers.

    Args:
        questions: The questions as they are declared.
        points: All cells of the study.
        base: Length of the study's base in epochs; None where there is none.
        is_fraction: Whether its score is a fraction.
    """
    found: list[Question] = []
    for question in questions:
        for one in _by_arm(question, points):
            contrasts = plan_contrasts(one, points, base)
            if not contrasts:
                continue
            resolved = _complete(one, points, is_fraction=is_fraction)
            first = contrasts[0]
            if isinstance(resolved, UnderTrained | ExtensionGain) and first.base is not None:
                times = first.at.epochs / first.base.epochs
                resolved = _with_values(resolved, times=float(f"{times:.9g}"))
            if isinstance(resolved, ArmsDiffer):
                resolved = _with_values(resolved, sparsity=first.at.sparsity)
            if resolved not in found:
                found.append(resolved)
    return tuple(found)


def _by_arm(question: Question, points: Sequence[CellPoint]) -> Iterator[Question]:
    """The question for every sparse arm where it names none."""
    if question.arm is not None:
        yield question
        return
    arms = sparse_arms(points)
    if isinstance(question, ArmsDiffer):
        _, other = compared_arms(question, points)
        arms = [arm for arm in arms if arm != other]
        question = _with_values(question, other=other)
    for arm in arms:
        yield _with_values(question, arm=arm)


def _complete(question: Question, points: Sequence[CellPoint], *, is_fraction: bool) -> Question:
    """The question with its arms and its margin."""
    if isinstance(question, ArmsDiffer):
        arm, other = compared_arms(question, points)
        question = _with_values(question, arm=arm, other=other)
    else:
        question = _with_values(question, arm=asked_arm(question, points))
    if isinstance(question, Remaining | BestValueMoves):
        return question
    if question.margin is None and is_fraction:
        return _with_values(question, margin=FRACTION_MARGIN)
    return question


def _with_values(question: Q, **values: Any) -> Q:
    return question.model_copy(update=values)
