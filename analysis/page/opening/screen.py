"""First screen of the page: question, answer, how sure, what next, what to know first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sparsetune.spec.columns import FINISHED_STATUSES
from sparsetune.study.questions.words import arm_words, percent_words

from ...answers.advice import SHOWN, Step
from ...answers.answers import Answers
from ...answers.groups import AnswerGroup, first_word, leading_sentences
from ...answers.page_sentences import write_on_page
from ...answers.sentences import Sentence
from ...answers.words import listed, seeds_words
from ...load import StudyResults
from ...tables.results import Results
from ...tables.selection import report_rows
from .notes import Note

SAID_ELSEWHERE = ("SPT004",)
"""Checks that the line of facts tells."""
MAX_NAMED_SPARSITIES = 4
MAX_NAMED_ARMS = 3
OPEN_WORD = "Open"


@dataclass(frozen=True)
class Screen:
    """What a reader sees first.

    Args:
        question: The study's question in its own words, else its first question, else its name.
        asked: The first question that the answer is about, in a sentence, where ``question`` is
            another; else empty.
        facts: What the answer is about: networks, runs, seeds, state.
        word: First word of the answer.
        sentences: The answer, at most three sentences.
        sure: How sure it is.
        steps: What to do next, at most three.
        warnings: What to know before relying on it, at most three.
    """

    question: str
    asked: str
    facts: Sequence[str]
    word: str
    sentences: Sequence[Sentence]
    sure: Sequence[Sentence]
    steps: Sequence[Step]
    warnings: Sequence[Sentence]


def first_screen(
    results: Results, found: Answers, groups: Sequence[AnswerGroup], notes: Sequence[Note]
) -> Screen:
    """The first screen of a study or table.

    Args:
        results: The study or table.
        found: Its answers.
        groups: The answers by kind.
        notes: Findings of its checks; errors are warned of first.
    """
    # Of a table, the question is a description of what was read.
    own = results.design.question if isinstance(results, StudyResults) else ""
    first = groups[0].heading() if groups else ""
    errors = [note.sentence for note in notes if note.severity == "error"]
    warnings = list(dict.fromkeys([*errors, *found.warnings]))
    return Screen(
        question=own or first or results.design.name,
        asked=str(write_on_page("asked_as", question=first)) if own and own != first else "",
        facts=list(_facts(results)),
        word=first_word(groups) or OPEN_WORD,
        sentences=leading_sentences(groups, SHOWN) or [_nothing(results)],
        sure=found.how_sure,
        steps=found.steps or _later_steps(groups),
        warnings=warnings[:SHOWN],
    )


def _later_steps(groups: Sequence[AnswerGroup]) -> list[Step]:
    """What would give a yes or no where all questions came after the data."""
    if not groups or any(group.is_before for group in groups):
        return []
    return [Step(write_on_page("step_declare"))]


def notes_at_figures(screen: Screen, notes: Sequence[Note]) -> list[Note]:
    """Notes that stand at figures: those that the first screen does not tell already."""
    told = {sentence.name for sentence in screen.warnings}
    if "warn_two_seeds" in told:
        told.add("check_SPT003")
    return [
        note for note in notes if note.sentence.name not in told and note.code not in SAID_ELSEWHERE
    ]


def no_warning(notes: Sequence[Note]) -> Sentence:
    """Sentence in place of warnings on the first screen.

    Args:
        notes: Findings of the checks, wherever they stand on the page.
    """
    is_warned = any(note.severity != "note" for note in notes)
    return write_on_page("warnings_elsewhere" if is_warned else "no_warning")


def _nothing(results: Results) -> Sentence:
    """Sentence of a page without answers."""
    has_ended = report_rows(results)["status"].eq("COMPLETE").any()
    return write_on_page("nothing_asked" if has_ended else "nothing_measured")


def _facts(results: Results) -> Iterator[str]:
    """Name, networks, number of runs and seeds, and the state, each a few words."""
    yield results.design.name
    cells = results.cells()
    networks = _networks(results)
    if networks:
        yield networks
    trials = results.trials()
    yield f"{len(trials)} run" + "s" * (len(trials) != 1)
    n = _seeds(results)
    if n:
        yield seeds_words(n)
    is_finished = cells["finished"].astype(bool)
    are_trials_finished = trials["status"].isin(FINISHED_STATUSES).all()
    if not is_finished.all() or not are_trials_finished:
        yield f"not finished: {int(is_finished.sum())} of {len(cells)} networks are"
    elif isinstance(results, StudyResults):
        ended = [state.ended.time for state in results.states.values() if state.ended]
        if ended:
            yield f"finished {_day(max(ended))}"


def _networks(results: Results) -> str:
    """Sparse arms and their sparsities: ``GMP and AC/DC at 95 and 98 %``."""
    rows = results.cells()
    sparse = rows[rows["sparsity.target"].fillna(0) > 0] if "sparsity.target" in rows else rows[:0]
    if sparse.empty:
        return ""
    arms = [arm_words(str(arm)) for arm in dict.fromkeys(sparse["arm"])]
    names = listed(arms) if len(arms) <= MAX_NAMED_ARMS else f"{len(arms)} methods"
    values = sorted(set(sparse["sparsity.target"]))
    if len(values) > MAX_NAMED_SPARSITIES:
        return f"{names} at {percent_words(values[0])} to {percent_words(values[-1])}"
    numbers = [percent_words(value).removesuffix(" %") for value in values]
    return f"{names} at {listed(numbers)} %"


def _seeds(results: Results) -> int:
    """Largest number of seeds that a network was reported on."""
    rows = report_rows(results)
    done = rows[rows["status"] == "COMPLETE"]
    if done.empty:
        return 0
    trials = results.trials().set_index("trial_id")
    # Runs of a table may have no seed, and a cell of it several configurations.
    seeds = done["trial_id"].map(trials["seed"])
    configurations = done["trial_id"].map(trials["config_id"])
    return int(seeds.groupby([done["cell"], configurations]).nunique().max())


def _day(seconds: float) -> str:
    """Day of a time in seconds since 1970, in UTC: ``29 Nov 2026``."""
    day = datetime.fromtimestamp(seconds, UTC)
    return f"{day.day} {day:%b %Y}"
