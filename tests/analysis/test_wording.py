"""Names of arms and cells within a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.tables.selection import cell_phrases
from analysis.testing import ResultsBuilder
from analysis.wording import cell_phrase, list_names, start_sentence
from sparsetune.study.questions.words import arm_words


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (
            {"arm": "gmp", "sparsity.target": 0.98, "schedule.epoch_multiplier": 2.0},
            "GMP at 98 % (2x training)",
        ),
        (
            {"arm": "acdc", "sparsity": 0.984375, "schedule.epochs": 32},
            "AC/DC at 98.4375 % (32 epochs)",
        ),
        (
            {"arm": "dense", "sparsity.target": 0.0, "schedule.epoch_multiplier": 1},
            "the dense network (1x training)",
        ),
        # An arm of a user's own keeps its name; an axis that does not apply is left out.
        ({"arm": "late_ramp", "sparsity": 0.9, "sparsity.ramp.start": np.nan}, "late_ramp at 90 %"),
        ({"arm": "gmp", "sparsity": 0.9, "optim.lr": 0.05}, "GMP at 90 % (learning rate 0.05)"),
        ({"arm": "gmp", "sparsity": 0.9, "cell": "gmp/target=0.9", "n": 3}, "GMP at 90 %"),
    ],
)
def test_a_cell_has_a_name_in_plain_words(cell: dict[str, object], name: str) -> None:
    assert cell_phrase(cell) == name


def test_cells_of_results_are_named_by_their_ids() -> None:
    made = ResultsBuilder().report("gmp/target=0.9", {"val_error": [0.1]}, epochs=8)
    made.report("dense", {"val_error": [0.1]}, target=0, epochs=16)
    assert cell_phrases(made) == {
        "gmp/target=0.9": "GMP at 90 % (8 epochs)",
        "dense": "the dense network (16 epochs)",
    }


def test_a_sentence_may_begin_with_an_arm() -> None:
    assert start_sentence(arm_words("dense")) == "The dense network"
    assert start_sentence(arm_words("acdc")) == "AC/DC"
    assert start_sentence(arm_words("rigl")) == "RigL"


def test_names_that_hold_commas_are_parted_by_semicolons() -> None:
    assert list_names(["GMP at 90 %", "GMP at 95 %"]) == "GMP at 90 %, GMP at 95 %"
    names = ["a, of two parts", "GMP at 95 %", "c"]
    assert list_names(names, most=2) == "a, of two parts; GMP at 95 % and 1 more"
