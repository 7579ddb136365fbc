"""Tests of real data have the mark ``data``; no other test depends on ``SPARSETUNE_DATA``."""

from __future__ import annotations

import os

import pytest


def test_the_folder_is_refused_to_a_test_without_the_mark(request: pytest.FixtureRequest) -> None:
    with pytest.raises(pytest.fail.Exception, match="must be marked"):
        request.getfixturevalue("data_root")


def test_the_variable_is_hidden_from_tests() -> None:
    assert "SPARSETUNE_DATA" not in os.environ
