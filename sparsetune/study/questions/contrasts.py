"""Contrasts of a question: sums and differences of cells that a yes or a no is said about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

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
    base_length,
    dense_arm_of,
    is_close,
    sparse_arms,
)

Runs = Literal["winner", "control", "twin"]

TIMES_TOLERANCE = 1e-5
"""How far a quotient of two lengths may be from the declared one, relative to it: a third is
written with six digits in messages, and with nine in the questions of a directory."""


@dataclass(frozen=True)
class Term:
    """Report runs of one cell in a contrast.

    Args:
        cell: Name of the cell.
        sign: 1 where they are added, -1 where they are subtracted.
        runs: Runs of the cell: its winner's, those of the dense recipe in it, or the winner's dense
            twins.
    """

    cell: str
    sign: Literal[1, -1]
    runs: Runs = "winner"


@dataclass(frozen=True)
class PlannedContrast:
    """A contrast before it is measured.

    Args:
        name: Unique within its question.
        at: The cell that it is about: of two lengths the longer one.
        base: The cell that this is compared with; None where it is the cell itself.
        terms: Runs that add up to the contrast, positive where they speak for the question.
        is_primary: Whether the question is about it first.
    """

    name: str
    at: CellPoint
    base: CellPoint | None
    terms: tuple[Term, ...]
    is_primary: bool = False


def spread_group(planned: PlannedContrast) -> str:
    """Name of the contrasts that vary alike over seeds: those of one arm at one sparsity."""
    return f"{planned.at.arm}/{planned.at.sparsity:.9g}"


def plan_contrasts(
    question: Question, points: Sequence[CellPoint], base: float | None
) -> list[PlannedContrast]:
    """Contrasts of a question about one arm, the primary one first.

    The highest sparsity comes first. Their number follows from the declaration alone.

    Args:
        question: The question; with ``arm`` None it is about the first sparse arm.
        points: All cells of the study.
        base: Length of the study's base in epochs; None where there is none.
    """
    found = sorted(_contrasts(question, points, base), key=lambda each: -each.at.sparsity)
    return [replace(each, is_primary=index == 0) for index, each in enumerate(found)]


def _contrasts(
    question: Question, points: Sequence[CellPoint], base: float | None
) -> Iterator[PlannedContrast]:
    match question:
        case UnderTrained() | ExtensionGain():
            yield from _length_contrasts(question, points, base)
        case RetuningGain():
            yield from _retuning_contrasts(question, points, base)
        case ArmsDiffer():
            yield from _arm_contrasts(question, points)
        case BestValueMoves():
            yield from _value_contrasts(question, points, base)
        case Remaining():
            for line in lines(points, asked_arm(question, points)):
                yield _contrast(line[-1], None, Term(line[-1].cell, 1))


def _contrast(at: CellPoint, base: CellPoint | None, *terms: Term) -> PlannedContrast:
    return PlannedContrast(at.cell, at, base, terms)


def asked_arm(question: Question, points: Sequence[CellPoint]) -> str:
    """Arm that a question is about; empty where there is no sparse arm."""
    if question.arm is not None:
        return question.arm
    return next(iter(sparse_arms(points)), "")


def lines(points: Sequence[CellPoint], arm: str) -> list[list[CellPoint]]:
    """Cells of an arm by sparsity and other values, each line from short to long training."""
    own = [point for point in points if point.arm == arm]
    order = {key: place for place, key in enumerate(dict.fromkeys(map(_line_key, own)))}
    own.sort(key=lambda point: (order[_line_key(point)], point.epochs))
    return [list(line) for _, line in groupby(own, key=_line_key)]


def _line_key(point: CellPoint) -> tuple[object, ...]:
    return point.sparsity, point.others


def step_of(
    line: Sequence[CellPoint], times: float | None, base: float | None
) -> tuple[CellPoint, CellPoint] | None:
    """Cells of the base length and of a longer one; None where the line lacks either."""
    start = base_length(line, base)
    first = next(point for point in line if point.epochs == start)
    longer = [point for point in line if point.epochs > start]
    if times is not None:
        tolerance = TIMES_TOLERANCE * times
        longer = [point for point in longer if abs(point.epochs / start - times) <= tolerance]
    return (first, longer[-1]) if longer else None


def _length_contrasts(
    question: UnderTrained | ExtensionGain, points: Sequence[CellPoint], base: float | None
) -> Iterator[PlannedContrast]:
    for line in lines(points, asked_arm(question, points)):
        step = step_of(line, question.times, base)
        if step is None:
            continue
        short, long = step
        gain = (Term(long.cell, 1), Term(short.cell, -1))
        if isinstance(question, UnderTrained):
            yield _contrast(long, short, *gain)
        elif long.sparsity > 0:
            yield _contrast(long, short, *gain, *_dense_gain(points, short, long))


def _dense_gain(
    points: Sequence[CellPoint], short: CellPoint, long: CellPoint
) -> tuple[Term, Term]:
    """The dense network's gain with its sign turned: of its own cells, else of the twins."""
    dense_points = [point for point in points if point.sparsity == 0]
    dense_arms = list(dict.fromkeys(point.arm for point in dense_points))
    arm = dense_arm_of(long.arm, dense_arms)
    cells = []
    for sparse in (long, short):
        for dense in dense_points:
            fits = dense.arm == arm and set(dense.others) <= set(sparse.others)
            if fits and is_close(dense.epochs, sparse.epochs):
                cells.append(dense.cell)
                break
    if len(cells) == 2:
        return Term(cells[0], -1), Term(cells[1], 1)
    return Term(long.cell, -1, "twin"), Term(short.cell, 1, "twin")


def _retuning_contrasts(
    question: RetuningGain, points: Sequence[CellPoint], base: float | None
) -> Iterator[PlannedContrast]:
    for line in lines(points, asked_arm(question, points)):
        start = base_length(line, base)
        for point in line:
            if point.epochs == start and point.has_control:
                terms = (Term(point.cell, 1), Term(point.cell, -1, "control"))
                yield _contrast(point, None, *terms)


def _arm_contrasts(question: ArmsDiffer, points: Sequence[CellPoint]) -> Iterator[PlannedContrast]:
    arm, other = compared_arms(question, points)
    of_arm = {_place(point): point for point in points if point.arm == arm}
    of_other = {_place(point): point for point in points if point.arm == other}
    shared = [place for place in of_arm if place in of_other and place[0] > 0]
    if question.sparsity is not None:
        shared = [place for place in shared if is_close(place[0], question.sparsity)]
    if not shared:
        return
    highest = max(place[0] for place in shared)
    shared = [place for place in shared if place[0] == highest]
    longest = max(place[1] for place in shared)
    for place in shared:
        if place[1] == longest:
            at, base = of_arm[place], of_other[place]
            yield _contrast(at, base, Term(at.cell, 1), Term(base.cell, -1))


def compared_arms(question: ArmsDiffer, points: Sequence[CellPoint]) -> tuple[str, str]:
    """The arm that is asked about and the one that it is compared with; empty where there is
    none.
    """
    sparse = sparse_arms(points)
    other = question.other or next((arm for arm in sparse if arm != question.arm), "")
    arm = question.arm or next((arm for arm in sparse if arm != other), "")
    return arm, other


def _place(point: CellPoint) -> tuple[float, float, tuple[object, ...]]:
    return point.sparsity, point.epochs, point.others


def _value_contrasts(
    question: BestValueMoves, points: Sequence[CellPoint], base: float | None
) -> Iterator[PlannedContrast]:
    searching = [point for point in points if question.field in point.searched]
    found = lines(searching, asked_arm(question, points))
    if not found:
        return
    if question.along == "length":
        for line in found:
            step = step_of(line, None, base)
            if step is not None:
                short, long = step
                yield _contrast(long, short, Term(long.cell, 1), Term(short.cell, -1))
        return
    starts = []
    for line in found:
        start = base_length(line, base)
        starts += [point for point in line if point.epochs == start]
    highest = max(starts, key=lambda point: point.sparsity)
    alike = [point for point in searching if _is_comparable(point, highest)]
    lowest = min(alike, key=lambda point: point.sparsity, default=highest)
    if lowest.sparsity < highest.sparsity:
        terms = (Term(highest.cell, 1), Term(lowest.cell, -1))
        yield _contrast(highest, lowest, *terms)


def _is_comparable(point: CellPoint, highest: CellPoint) -> bool:
    """True for a cell of the same length and values, of the same arm or dense."""
    is_of_line = point.arm == highest.arm or point.sparsity == 0
    is_alike = set(point.others) <= set(highest.others)
    return is_of_line and is_alike and is_close(point.epochs, highest.epochs)
