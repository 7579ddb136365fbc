"""The README: what it tells a newcomer to type exists."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = [
    (match[1], match[2])
    for match in re.finditer(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
]
PYTHON = [text for language, text in BLOCKS if language == "python"]
COMMANDS = [
    shlex.split(line.removeprefix("$ "), comments=True)[2:]
    for language, text in BLOCKS
    if language in ("sh", "bash", "console")
    for line in text.splitlines()
    if line.removeprefix("$ ").startswith("uv run ")
]


def test_the_two_commands_are_there() -> None:
    assert ["sparsetune", "run"] in [command[:2] for command in COMMANDS]
    assert ["pytest"] in [command[:1] for command in COMMANDS]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_of_the_readme_exists(command: list[str]) -> None:
    program, *arguments = command
    assert program in ("sparsetune", "pytest")
    if program == "sparsetune":
        help_ = [sys.executable, "-m", "sparsetune", arguments[0], "--help"]
        done = subprocess.run(help_, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert [
            option for option in arguments if option.startswith("--") and option not in done.stdout
        ] == []
    for module in (argument for argument in arguments if argument.startswith("studies.")):
        assert (ROOT / (module.replace(".", "/") + ".py")).is_file()


@pytest.mark.parametrize("block", PYTHON)
def test_the_names_in_a_block_of_python_exist(block: str) -> None:
    tree = ast.parse(block)
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
        if isinstance(node, ast.Import):
            modules |= {
                alias.asname or alias.name: importlib.import_module(alias.name)
                for alias in node.names
            }
    used = [
        (n.value.id, n.attr)
        for n in ast.walk(tree)
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)
    ]
    assert [
        pair for pair in used if pair[0] in modules and not hasattr(modules[pair[0]], pair[1])
    ] == []


def test_links_and_figures_of_the_readme_exist() -> None:
    targets = re.findall(r"\]\(([^)#]+)", README) + re.findall(r'src="([^"]+)"', README)
    local = [target for target in targets if not target.startswith(("http:", "https:"))]
    assert [target for target in local if not (ROOT / target).exists()] == []
