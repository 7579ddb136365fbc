"""Questions and arms in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sparsetune.sparsity.methods.registry import METHODS
from sparsetune.study.questions.contrasts import PlannedContrast
from sparsetune.study.questions.kinds import (
    ArmsDiffer,
    BestValueMoves,
    ExtensionGain,
    Question,
    Remaining,
    RetuningGain,
    UnderTrained,
)
from sparsetune.study.questions.points import CellPoint

METHOD_WORDS = {name: method.title for name, method in METHODS.items()}
METHOD_WORDS |= {"imp": "IMP", "snip": "SNIP"}
"""Published names of methods, by what an arm that holds one is usually called."""
FIELD_WORDS = {"lr": "learning rate"}
"""Words for the last part of a dotted field, where it is an abbreviation."""


def arm_words(arm: str) -> str:
    """Name of an arm in a sentence: its method's published name, or the arm's own."""
    return METHOD_WORDS.get(arm.lower(), arm)


def field_words(path: str) -> str:
    """Name of a dotted field in a sentence: ``weight decay``, ``ramp start``."""
    parts = path.split(".")[1:] or [path]
    words = [FIELD_WORDS.get(part, part.replace("_", " ")) for part in parts]
    return " ".join(words)


def percent_words(fraction: float) -> str:
    """A sparsity in words: ``98 %``."""
    return f"{100 * fraction:.6g} %"


def network_words(arm: str, sparsity: float, others: Iterable[tuple[str, object]] = ()) -> str:
    """A network in words: ``GMP at 98 %``; its length is named apart.

    Args:
        arm: Name of its arm.
        sparsity: Sparsity that is asked for; 0 is dense.
        others: Values of further sweep axes, by dotted field.
    """
    name = arm_words(arm)
    words = name if sparsity == 0 else f"{name} at {percent_words(sparsity)}"
    return ", ".join([words, *(f"{field_words(path)} {value}" for path, value in others)])


def cell_words(point: CellPoint) -> str:
    """A cell with its length in words: ``GMP at 98 % after 8 epochs``."""
    name = network_words(point.arm, point.sparsity, point.others)
    return f"{name} after {point.epochs:g} epochs"


def times_words(times: float) -> str:
    """A multiple of a length in words: ``twice the training``, ``4 times the training``."""
    return "twice the training" if times == 2 else f"{times:.3g} times the training"


def question_text(question: Question, contrasts: Sequence[PlannedContrast]) -> str:
    """A question in words, as a heading shows it.

    Args:
        question: The question in full, with its arm.
        contrasts: Its contrasts, the primary one first; at least one.
    """
    arm = arm_words(question.arm or "")
    first = contrasts[0]
    match question:
        case UnderTrained():
            epochs = first.base.epochs if first.base else first.at.epochs
            return f"Is {arm} under-trained after {epochs:g} epochs?"
        case ExtensionGain():
            times = times_words(question.times or 1)
            return f"Does {arm} gain more from {times} than the dense network does?"
        case RetuningGain():
            return f"Does re-tuning {arm} gain over the dense recipe?"
        case BestValueMoves():
            along = "sparsity" if question.along == "sparsity" else "longer training"
            return f"Does the best {field_words(question.field)} of {arm} move with {along}?"
        case ArmsDiffer():
            sparsity = percent_words(first.at.sparsity)
            return f"Do {arm} and {arm_words(question.other or '')} differ at {sparsity} sparsity?"
        case Remaining():
            return f"What does {arm} score at each sparsity?"
