"""Preview of what a study asks: its questions, their family, and what it can show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sparsetune.answers import Bound, Contrast, Sample, judge, power
from sparsetune.answers.asked import ask, question_sides
from sparsetune.study import Study
from sparsetune.study.questions.contrasts import PlannedContrast, plan_contrasts
from sparsetune.study.questions.defaults import asked_questions, has_fraction_score
from sparsetune.study.questions.kinds import BestValueMoves, Question, Remaining
from sparsetune.study.questions.names import question_name
from sparsetune.study.questions.points import base_epochs, study_points
from sparsetune.study.questions.words import question_text

SHOWN_GAINS = (0.005, 0.01, 0.02)
"""True gains whose power is shown: 0.5, 1 and 2 points."""
SHOWN_SEEDS = (3, 5)
SHOWN_SPREADS = (0.002, 0.005)
"""Standard deviations over seeds of a paired difference: 0.2 and 0.5 points."""
DISAGREEMENT = 0.05
"""Part of the test examples on which two networks are taken to differ."""


def question_facts(study: Study) -> dict[str, Any]:
    """Questions of a study, the size of their family and its power, as plain JSON values."""
    asked = asked_questions(study)
    planned = {question: _planned(study, question) for question in asked}
    judged = [question for question in asked if not isinstance(question, Remaining)]
    bounds = _levels(judged, planned, study.looks())
    facts: list[dict[str, Any]] = []
    for question in asked:
        name = question_name(question)
        facts.append(
            {
                "name": name,
                "text": question_text(question, planned[question]),
                "contrasts": len([each for each in bounds if each.question == name]),
                "margin": getattr(question, "margin", None),
            }
        )
    is_fraction = has_fraction_score(study)
    looks = study.looks()
    return {
        "asked": facts,
        "looks": list(looks),
        "family": len(bounds),
        "power": _power_rows(judged, planned, bounds[0], looks) if is_fraction and judged else [],
        "notes": list(_margin_notes(study, judged, bounds)) if is_fraction else [],
    }


def _planned(study: Study, question: Question) -> list[PlannedContrast]:
    return plan_contrasts(question, study_points(study), base_epochs(study))


def _levels(
    judged: Sequence[Question],
    planned: dict[Question, list[PlannedContrast]],
    looks: Sequence[int],
) -> list[Bound]:
    """A bound without data for each contrast, with its level at the last look; the primary one
    first.
    """
    family = []
    for question in judged:
        contrasts = []
        for each in planned[question]:
            nothing = Sample(np.empty(0), None, each.at.cell)
            contrasts.append(Contrast(each.name, nothing, each.is_primary))
        family.append(ask(question, contrasts))
    return judge(family, look=len(looks), declared=looks)


def _power_rows(
    judged: Sequence[Question],
    planned: dict[Question, list[PlannedContrast]],
    bound: Bound,
    looks: Sequence[int],
) -> list[dict[str, float]]:
    """Power of the first primary contrast by spread, number of seeds and true gain.

    Of several looks, each has the power that it would have alone.

    Args:
        judged: Questions with a yes or no.
        planned: Contrasts of each.
        bound: Of the first question's primary contrast, at the last look.
        looks: Report seeds of a cell at each look that the study declares.
    """
    first = planned[judged[0]][0].at
    everyone = [each.at for question in judged for each in planned[question]]
    alike = [at for at in everyone if (at.arm, at.sparsity) == (first.arm, first.sparsity)]
    # Contrasts of one arm and sparsity share their spread; see `sparsetune.answers.spread`.
    shared = len(alike) * 4 / (len(alike) + 3)
    sides = question_sides(judged[0])
    rows = []
    for sd in SHOWN_SPREADS:
        for n in looks if len(looks) > 1 else SHOWN_SEEDS:
            # Declared looks share the level in proportion to their seeds.
            level = bound.level * n / looks[-1] if len(looks) > 1 else bound.level
            for gain in SHOWN_GAINS:
                chance = power(n, sd, gain, level, sides, df=(n - 1) * shared)
                rows.append({"sd": sd, "n": n, "gain": gain, "power": chance})
    return rows


def _margin_notes(
    study: Study, judged: Sequence[Question], bounds: Sequence[Bound]
) -> Iterator[str]:
    """Notes on margins that are too small for the test set, each once."""
    size = study.base.task.test_size()
    if size is None:
        return
    from scipy.special import ndtri

    smallest_by_margin: dict[float, float] = {}
    for question in judged:
        margin = getattr(question, "margin", None)
        if margin is None or isinstance(question, BestValueMoves):
            continue
        own = [each for each in bounds if each.question == question_name(question)]
        quantile = -ndtri(own[0].level / question_sides(question))
        smallest = float(quantile) * math.sqrt(DISAGREEMENT / size)
        if margin < smallest:
            smallest_by_margin[margin] = max(smallest, smallest_by_margin.get(margin, 0.0))
    for margin, smallest in smallest_by_margin.items():
        yield (
            f"No answer can say that an effect is below {100 * margin:g} points: {size:,} test"
            f" examples show differences from about {100 * smallest:.1f} points on, where two"
            f" networks differ on {100 * DISAGREEMENT:g} % of them."
        )


def question_lines(facts: dict[str, Any]) -> Iterator[str]:
    """Lines of a preview on its questions, in at most 80 columns but for long names."""
    asked = facts["asked"]
    if not asked:
        return
    count = facts["family"]
    number = f"{len(asked)} question" + "s" * (len(asked) > 1)
    answers = f"; of {count} answers any is wrong in at most 5 % of repetitions" if count else ""
    yield f"Asks {number}{answers}:"
    for question in asked:
        number = question["contrasts"]
        estimate = "an estimate" if not number else f"{number} answer" + "s" * (number > 1)
        yield f"  {question['text']} ({estimate})"
    looks = facts["looks"]
    if len(looks) > 1:
        *earlier, last = map(str, looks)
        yield (
            f"{looks[0]} report seeds each; up to {last} where a question is not settled (looks at"
            f" {', '.join(earlier)} and {last})."
        )
    rows = facts["power"]
    if rows:
        yield "Chance that the first answer shows a gain, by its size in points:"
        heads = "".join(f"{100 * gain:>7g}" for gain in SHOWN_GAINS)
        yield f"  seeds  spread{heads}"
        for sd in SHOWN_SPREADS:
            for n in dict.fromkeys(row["n"] for row in rows):
                own = [row["power"] for row in rows if (row["sd"], row["n"]) == (sd, n)]
                cells = "".join(f"{100 * chance:>6.0f}%" for chance in own)
                yield f"  {n:>5}  {100 * sd:>6g}{cells}"
    yield from facts["notes"]
