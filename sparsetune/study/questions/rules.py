"""Rules of declared questions: arms and axes that are there, margins that are known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from sparsetune.errors import Problem
from sparsetune.study.cells import Cell
from sparsetune.study.fields import StudyFields
from sparsetune.study.questions.contrasts import asked_arm, lines, plan_contrasts, step_of
from sparsetune.study.questions.defaults import has_fraction_score, resolve_questions
from sparsetune.study.questions.kinds import (
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


def question_problems(
    study: StudyFields, cells: Iterable[Cell], asked: Sequence[Question] | None = None
) -> Iterator[Problem]:
    """Problems of a study's questions, all of them.

    Args:
        study: The declaration, without fields that cannot be read.
        cells: Its cells; without any, or without a length of its base, nothing is known of its
            arms and axes.
        asked: The questions; None for those that the study declares.
    """
    questions = study.questions if asked is None else asked
    points = study_points(study, cells)
    if not points or math.isnan(base_epochs(study)):
        return
    is_fraction = has_fraction_score(study)
    seen: list[Question] = []
    for number, question in enumerate(questions):
        where = f"questions.{number}"
        faults = list(_arm_problems(question, points)) or list(
            _axis_problems(question, points, base_epochs(study))
        )
        for fault in faults:
            yield fault.at(f"{where}.{fault.path}".rstrip("."))
        if not isinstance(question, Remaining) and question.margin is None and not is_fraction:
            rule = (
                "must be given, in units of the score: it is no fraction, of which 0.002 would be"
                " the margin"
            )
            yield Problem(f"{where}.margin", rule)
        if faults:
            continue
        resolved = resolve_questions(
            [question], points, base_epochs(study), is_fraction=is_fraction
        )
        if set(map(_subject, resolved)) & set(map(_subject, seen)):
            yield Problem(where, "is asked by another question already: leave one of them out")
        seen += resolved


def _subject(question: Question) -> Question:
    """The question without its margin: with two margins it would be asked twice."""
    if isinstance(question, Remaining):
        return question
    return question.model_copy(update={"margin": 1.0})


def _arm_problems(question: Question, points: Sequence[CellPoint]) -> Iterator[Problem]:
    """Problems of arms that are not there, or that are compared with themselves."""
    arms = list(dict.fromkeys(point.arm for point in points))
    named = {"arm": question.arm}
    if isinstance(question, ArmsDiffer):
        named["other"] = question.other
    for field, arm in named.items():
        if arm is not None and arm not in arms:
            yield Problem(field, f"must be an arm of the study: {', '.join(arms)}", repr(arm))
    if isinstance(question, ArmsDiffer):
        if question.arm is not None and question.arm == question.other:
            yield Problem("other", "must differ from `arm`", repr(question.other))
        elif len(sparse_arms(points)) < 2 and None in named.values():
            yield Problem("", "compares two sparse arms, and the study has fewer")
    elif question.arm is None and not sparse_arms(points):
        yield Problem("arm", "must be given: the study has no sparse arm")


def _axis_problems(
    question: Question, points: Sequence[CellPoint], base: float | None
) -> Iterator[Problem]:
    """Problem of a question that no cells answer."""
    if plan_contrasts(question, points, base):
        return
    match question:
        case UnderTrained() | ExtensionGain():
            yield from _length_problems(question, points, base)
        case RetuningGain():
            rule = (
                "needs a search and a sparse cell: the dense recipe is run again where"
                " configurations are compared"
            )
            yield Problem("", rule)
        case ArmsDiffer():
            rule = "no sparsity and length of training is common to both arms"
            if question.sparsity is None:
                yield Problem("", rule)
            else:
                yield Problem("sparsity", f"{rule} at this sparsity", f"{question.sparsity:g}")
        case BestValueMoves():
            ranges = dict.fromkeys(path for point in points for path in point.searched)
            if question.field not in ranges:
                names = ", ".join(ranges) or "none"
                rule = f"must be searched in a range of numbers; such are {names}"
                yield Problem("field", rule, repr(question.field))
            else:
                rule = "needs two cells that search the field and differ in this"
                yield Problem("along", rule, repr(question.along))


def _length_problems(
    question: UnderTrained | ExtensionGain, points: Sequence[CellPoint], base: float | None
) -> Iterator[Problem]:
    own = lines(points, asked_arm(question, points))
    steps = [step for line in own if (step := step_of(line, None, base))]
    if not steps:
        rule = (
            "needs two lengths of training: sweep `schedule.epoch_multiplier` or `schedule.epochs`"
        )
        yield Problem("", rule)
    elif question.times is not None:
        start = steps[0][0].epochs
        longer = {point.epochs / start for point in own[0] if point.epochs > start}
        valid = ", ".join(f"{times:g}" for times in sorted(longer))
        rule = f"must be how many times longer than {start:g} epochs the arm trains: {valid}"
        yield Problem("times", rule, f"{question.times:g}")
    else:
        yield Problem("", "compares a sparse network with the dense one, and this arm is dense")
