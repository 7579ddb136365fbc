"""What to do next and what to know first: steps with commands, and warnings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sparsetune.answers.components import components
from sparsetune.paths import command_path
from sparsetune.study.questions.kinds import (
    BestValueMoves,
    ExtensionGain,
    Remaining,
    UnderTrained,
)
from sparsetune.study.questions.points import LENGTH_FIELDS

from ..load import StudyResults
from .answer import Answer, ContrastAnswer
from .judging import Judging
from .sentences import Sentence, write
from .words import after_words, cell_words, difference_words, seeds_words, whether_words

MAX_ADVISED_SEEDS = 20
"""Seeds up to which more are advised; what would take more is a small difference."""
SHOWN = 3
"""Most steps, and most warnings, of a first screen."""


@dataclass(frozen=True)
class Step:
    """Something to do next.

    Args:
        sentence: What and why.
        command: Command that does it; empty where none does.
    """

    sentence: Sentence
    command: str = ""

    def __str__(self) -> str:
        return f"{self.sentence} `{self.command}`" if self.command else str(self.sentence)


def next_steps(judging: Judging, answers: Sequence[Answer]) -> list[Step]:
    """What would answer the questions, the most useful first; at most `SHOWN` of them."""
    command = _resume_command(judging)
    steps = [
        *_finish_steps(judging, command),
        *_seed_steps(answers, command),
        *_longer_steps(judging, answers, command),
        *_hopeless_steps(answers),
        *_margin_steps(judging),
    ]
    return steps[:SHOWN]


def _resume_command(judging: Judging) -> str:
    """Command that resumes the study; empty for a table."""
    results = judging.results
    if not isinstance(results, StudyResults):
        return ""
    return f"sparsetune resume {command_path(results.directory.path)}"


def _with_options(command: str, options: str) -> str:
    return f"{command} {options}" if command else ""


def _finish_steps(judging: Judging, command: str) -> Iterator[Step]:
    if judging.asking.is_complete:
        return
    cells = judging.results.cells()
    unfinished = int((~cells["finished"].astype(bool)).sum())
    counts = {"unfinished": max(1, unfinished), "cells": len(cells)}
    yield Step(write("step_finish", **counts), command)


def _unsettled(answers: Sequence[Answer]) -> list[tuple[Answer, ContrastAnswer]]:
    """Contrasts of questions asked before the data that are not settled.

    Primary ones come first, and of these what fewest seeds would settle.
    """
    found = []
    for answer in answers:
        if answer.is_before and not isinstance(answer.question, BestValueMoves | Remaining):
            found += [(answer, each) for each in answer.contrasts if each.verdict == "not settled"]
    return sorted(found, key=_settling_rank)


def _settling_rank(pair: tuple[Answer, ContrastAnswer]) -> tuple[bool, float]:
    _, contrast = pair
    needed = contrast.bound.seeds_needed
    return not contrast.measured.planned.is_primary, math.inf if math.isnan(needed) else needed


def _seed_steps(answers: Sequence[Answer], command: str) -> Iterator[Step]:
    """One step for the first contrast that some seeds would settle."""
    for answer, contrast in _unsettled(answers):
        bound = contrast.bound
        whether = whether_words(answer.question, contrast.measured.planned)
        if bound.reason in ("too few seeds", "no spread"):
            more = seeds_words(max(1, 3 - bound.n))
            option = f"--add-report-seeds {max(1, 3 - bound.n)}"
            sentence = write("step_first_seeds", more=more, whether=whether)
            yield Step(sentence, _with_options(command, option))
            return
        if 0 < bound.seeds_needed <= MAX_ADVISED_SEEDS:
            count = math.ceil(bound.seeds_needed)
            option = f"--add-report-seeds {count}"
            is_primary = contrast.measured.planned.is_primary
            name = "step_seeds" if is_primary else "step_seeds_others"
            sentence = write(name, more=seeds_words(count), whether=whether)
            yield Step(sentence, _with_options(command, option))
            return


def _longer_steps(judging: Judging, answers: Sequence[Answer], command: str) -> Iterator[Step]:
    """One step for the sparsest network that longer training is shown to improve."""
    for answer in answers:
        if not isinstance(answer.question, UnderTrained | ExtensionGain):
            continue
        for contrast in answer.contrasts:
            if contrast.verdict in ("under-trained", "yes"):
                at = contrast.measured.planned.at
                sentence = write("step_longer", at=cell_words(at), longer=f"{at.epochs:g}")
                yield Step(sentence, _longer_command(judging, command))
                return


def _longer_command(judging: Judging, command: str) -> str:
    """Command that doubles the longest training; empty where no one axis sets the length."""
    results = judging.results
    if not isinstance(results, StudyResults):
        return ""
    axes = results.study.sweep_axes()
    lengths = [path for path in axes if path in LENGTH_FIELDS]
    if len(lengths) != 1:
        return ""
    values = [value for value in axes[lengths[0]] if isinstance(value, int | float)]
    return f"{command} --add-sweep {lengths[0]}={2 * max(values):g}"


def _hopeless_steps(answers: Sequence[Answer]) -> Iterator[Step]:
    """One step each for what takes too many seeds, and for what no seed settles."""
    seen = set()
    for answer, contrast in _unsettled(answers):
        needed = contrast.bound.seeds_needed
        has_examples = contrast.measured.sample.examples is not None
        is_limited = math.isinf(needed) and has_examples
        name = "step_examples" if is_limited else "step_too_many"
        if needed > MAX_ADVISED_SEEDS and name not in seen:
            seen.add(name)
            whether = whether_words(answer.question, contrast.measured.planned)
            values = {"most": MAX_ADVISED_SEEDS} if name == "step_too_many" else {}
            yield Step(write(name, whether=whether, **values))


def _margin_steps(judging: Judging) -> Iterator[Step]:
    for question in judging.asking.before:
        if not isinstance(question, Remaining) and question.margin is None:
            yield Step(write("step_margin"))
            return


def warnings(judging: Judging, answers: Sequence[Answer]) -> list[Sentence]:
    """What could change an answer, the most serious first; at most `SHOWN` of them."""
    found = [
        *_nothing_learned_warnings(judging, answers),
        *_diverged_warnings(judging, answers),
        *_collapse_warnings(answers),
        *_selection_warnings(judging),
        *_seed_warnings(answers),
        *_test_set_warnings(answers),
    ]
    return list(dict.fromkeys(found))[:SHOWN]


def _diverged_warnings(judging: Judging, answers: Sequence[Answer]) -> Iterator[Sentence]:
    cells = judging.runs.cells
    winners = judging.runs.scores["winner"]
    for answer in answers:
        for contrast in answer.contrasts:
            planned = contrast.measured.planned
            for point in filter(None, (planned.at, planned.base)):
                diverged = int(cells["diverged"].get(point.cell, 0))
                if diverged:
                    counts = {"diverged": diverged, "runs": winners.shape[1]}
                    yield write("warn_diverged", at=cell_words(point), **counts)


def _collapse_warnings(answers: Sequence[Answer]) -> Iterator[Sentence]:
    for answer in answers:
        for contrast in answer.contrasts:
            sample = contrast.measured.sample
            if any(sample.collapsed):
                whether = whether_words(answer.question, contrast.measured.planned)
                counts = {"collapsed": sum(sample.collapsed), "runs": sum(sample.runs)}
                yield write("warn_collapsed", whether=whether, **counts)


def _selection_warnings(judging: Judging) -> Iterator[Sentence]:
    if not judging.results.fresh_seeds:
        yield write("warn_selected")


def _seed_warnings(answers: Sequence[Answer]) -> Iterator[Sentence]:
    for answer in answers:
        if any(contrast.bound.n == 2 for contrast in answer.contrasts):
            yield write("warn_two_seeds")


def _test_set_warnings(answers: Sequence[Answer]) -> Iterator[Sentence]:
    """What the test set can show, or that intervals leave it out."""
    judged = [
        (answer, contrast)
        for answer in answers
        for contrast in answer.contrasts
        if math.isfinite(contrast.bound.low) and contrast.measured.sample.n
    ]
    for answer, contrast in judged:
        sample = contrast.measured.sample
        if sample.examples is None:
            yield write("warn_seeds_only")
            return
        margin = getattr(answer.question, "margin", None)
        part = components(sample)
        # Twice the standard error that the choice of test examples leaves.
        smallest = 2 * math.sqrt(max(part.examples, 0.0) + part.residual / part.n)
        if margin is not None and smallest > margin:
            shown = difference_words(smallest, answer.measure)
            yield write("warn_test_set", examples=f"{part.n_examples:,}", smallest=shown)
            return


def _nothing_learned_warnings(judging: Judging, answers: Sequence[Answer]) -> Iterator[Sentence]:
    winners = judging.runs.nothing_learned["winner"]
    for answer in answers:
        for contrast in answer.contrasts:
            planned = contrast.measured.planned
            for point in filter(None, (planned.at, planned.base)):
                if point.cell in winners:
                    after = after_words(point.epochs)
                    yield write("warn_nothing_learned", at=cell_words(point), after=after)
