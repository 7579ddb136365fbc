"""Errors as another process receives them."""

from __future__ import annotations

import pickle

from sparsetune.errors import DeclarationError, Problem


def test_a_declaration_error_keeps_its_problems_when_it_is_pickled() -> None:
    error = DeclarationError([Problem("seed", "must be 0 or more", "-1")], "the TrialSpec")
    again = pickle.loads(pickle.dumps(error))
    assert again.problems == error.problems
    assert str(again) == "1 problem in the TrialSpec:\n  - `seed`: must be 0 or more, got -1"
