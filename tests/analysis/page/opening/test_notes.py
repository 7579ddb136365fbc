"""Findings as sentences at figures."""

from __future__ import annotations

import pandas as pd

from analysis.answers.page_sentences import PAGE_CATALOGUE
from analysis.checks import CHECKS
from analysis.page.opening.notes import PLACES, finding_notes, place_notes


def findings(*codes: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(codes, columns=["code", "severity"])


def test_every_check_has_a_sentence_and_every_place_a_check() -> None:
    assert {f"check_{code}" for code in CHECKS} <= set(PAGE_CATALOGUE)
    assert set(PLACES) <= set(CHECKS)
    named = {name.split("_")[1] for name in PAGE_CATALOGUE if name.startswith("check_SPT")}
    assert named == set(CHECKS)


def test_a_note_stands_at_its_figure_and_at_the_first_one_without_it() -> None:
    notes = finding_notes(findings(("SPT017", "warning"), ("SPT025", "error")))
    placed = place_notes(notes, ["answer", "density-profile"])
    assert [note.code for note in placed["density-profile"]] == ["SPT017"]
    assert [note.code for note in placed["answer"]] == ["SPT025"]
    assert [note.code for note in place_notes(notes, ["answer"])["answer"]] == ["SPT017", "SPT025"]
    # What misleads nobody stands at a figure of its own, or in the list of checks alone.
    light = finding_notes(findings(("SPT018", "note")))
    assert place_notes(light, ["answer"]) == {}
    assert list(place_notes(light, ["answer", "optimum"])) == ["optimum"]


def test_a_lighter_case_has_its_own_sentence_and_an_unknown_check_one_too() -> None:
    few, unsure, other = finding_notes(
        findings(("SPT003", "warning"), ("SPT003", "note"), ("SPT999", "error"))
    )
    assert "fewer than three seeds" in str(few.sentence)
    assert "dense twins" in str(unsure.sentence)
    assert other.sentence.name == "check_other"
