"""Answers of a study at the end of a command's output."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from sparsetune.cli.arguments import print_line
from sparsetune.errors import SparsetuneError

if TYPE_CHECKING:
    from sparsetune.paths import Place

COLUMNS = 80
NO_ANSWER: dict[str, Any] = {"question": "", "verdict": "", "sentences": [], "steps": []}


def answer_facts(directory: Place, salvage: bool = False) -> dict[str, Any]:
    """Question, verdict, sentences and next steps of a study's first screen, as plain values.

    Args:
        directory: The study's directory.
        salvage: True to read a damaged ledger up to its first damage.

    Returns:
        Empty values where the study cannot be read or asks nothing: the command says why.
    """
    from sparsetune.analysis import answers, load

    try:
        screen = answers(load(directory, salvage=salvage, logs=False)).first_screen()
    except SparsetuneError:
        return NO_ANSWER
    steps = [{"text": str(step.sentence), "command": step.command} for step in screen.steps]
    return {
        "question": screen.question,
        "verdict": screen.verdict,
        "sentences": list(map(str, screen.sentences)),
        "steps": steps,
    }


def print_answers(facts: dict[str, Any]) -> None:
    """Print the answer in at most 80 columns; a command that it names stays on one line."""
    if not facts["sentences"]:
        return
    for text in facts["sentences"]:
        for line in textwrap.wrap(text, COLUMNS):
            print_line(line)
    for step in facts["steps"][:1]:
        for line in textwrap.wrap(f"Next: {step['text']}", COLUMNS):
            print_line(line)
        if step["command"]:
            print_line(f"  {step['command']}")
