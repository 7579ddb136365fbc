"""Errors as another process receives them, and texts as a terminal does."""

from __future__ import annotations

import io
import pickle

from rich.text import Text

from sparsetune.errors import DeclarationError, Problem, StorageError, printable
from sparsetune.terminal import TextConsole


def test_a_declaration_error_keeps_its_problems_when_it_is_pickled() -> None:
    error = DeclarationError([Problem("seed", "must be 0 or more", "-1")], "the TrialSpec")
    again = pickle.loads(pickle.dumps(error))
    assert again.problems == error.problems
    assert str(again) == "1 problem in the TrialSpec:\n  - `seed`: must be 0 or more, got -1"


def test_a_text_for_a_terminal_holds_no_control_characters() -> None:
    hostile = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202eb\r\ud800"
    shown = "a\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202eb\\r\\ud800"
    assert printable(hostile) == shown
    assert str(StorageError(hostile)) == shown
    assert printable("é 98 %\n\tµ 漢") == "é 98 %\n\tµ 漢"


def test_the_console_shows_styles_but_no_control_characters_of_a_text() -> None:
    out = io.StringIO()
    console = TextConsole(file=out, force_terminal=True, width=80, color_system="standard")
    console.print(Text("x\x1b[2Jy", style="red"))
    assert "x\\x1b[2Jy" in out.getvalue()
    assert out.getvalue().replace("x\\x1b[2Jy", "").startswith("\x1b[31m")
