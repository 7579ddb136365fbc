"""Captions: each sentence once."""

from __future__ import annotations

from analysis.page.captions import shared_sentences, split_sentences, without_sentences

FIRST = "Bars are intervals. Dots are means."
SECOND = "A map of v. 2.0. Bars are intervals."


def test_sentences_end_before_a_capital_letter_or_a_number() -> None:
    assert split_sentences("One of 2.5 points. Two? Three") == [
        "One of 2.5 points.",
        "Two?",
        "Three",
    ]
    assert split_sentences("") == []


def test_what_two_captions_say_is_shared_and_left_out() -> None:
    shared = shared_sentences([FIRST, SECOND])
    assert shared == ["Bars are intervals."]
    assert without_sentences(FIRST, shared) == "Dots are means."
    assert shared_sentences([FIRST]) == []
    # A sentence that one caption says twice is not shared.
    assert shared_sentences(["Dots. Dots."]) == []
