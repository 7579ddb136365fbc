"""What a new user types first: help with examples, version, fields, completion."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
from importlib.metadata import version

import pytest

import sparsetune
from sparsetune.cli.main import build_parser, main


def commands() -> dict[str, argparse.ArgumentParser]:
    """Parser of every command by its name."""
    parsers: dict[str, argparse.ArgumentParser] = {}
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            parsers |= action.choices
    return parsers


def examples(command: str) -> list[list[str]]:
    """Words of every example in a command's help, without ``sparsetune``."""
    text = commands()[command].format_help()
    lines = re.findall(r"^  sparsetune (.+)$", text.partition("examples:\n")[2], re.MULTILINE)
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("command", commands())
def test_help_ends_with_two_examples_that_are_understood(command: str) -> None:
    found = examples(command)
    assert len(found) == 2
    last = commands()[command].format_help().rstrip().splitlines()[-1]
    assert shlex.split(last) == ["sparsetune", *found[-1]]
    for words in found:
        assert words[0] == command
        build_parser().parse_args(words)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What an option prints that ends the process well."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 0
    return capsys.readouterr().out


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "--version") == f"sparsetune {version('sparsetune')}\n"
    assert sparsetune.__version__ == version("sparsetune")


@pytest.mark.parametrize("columns", [80, 120])
def test_fields_fit_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["fields"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "optim.lr  float, > 0; default 0.1" in lines
    assert lines[lines.index("optim.lr  float, > 0; default 0.1") + 1] == "    Peak learning rate."
    assert max(map(len, lines)) <= min(columns, 100)


def test_fields_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "optim.lr", "--json"]) == 0
    (field,) = json.loads(capsys.readouterr().out)["fields"]
    assert (field["name"], field["type"], field["default"]) == ("optim.lr", "float, > 0", "0.1")


COMPLETE = """
COMP_WORDS=({words}) COMP_CWORD={last}
_shtab_sparsetune
echo "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("res", "resume"), ("run --qu", "--quick"), ("layers --sparsi", "--sparsity")],
)
def test_bash_completes_commands_and_options(
    capsys: pytest.CaptureFixture[str], typed: str, completed: str
) -> None:
    script = printed(capsys, "--print-completion", "bash")
    words = ["sparsetune", *typed.split()]
    asked = script + COMPLETE.format(words=" ".join(words), last=len(words) - 1)
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True)
    assert done.stdout.split() == [completed], done.stderr


def test_completion_without_its_library_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit) as end:
        main(["--print-completion", "bash"])
    assert end.value.code == 2
    assert "pip install 'sparsetune[completion]'" in capsys.readouterr().err
