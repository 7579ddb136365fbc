"""README and documentation: every block runs or is parsed, every command and link exists."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
import pytest

import analysis
import sparsetune
from sparsetune import Study, TrialSpec
from sparsetune.__main__ import build_parser
from tests.analysis.simulation import DIGITS, Simulation

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
LANGUAGES = {"python", "sh", "bash", "json", "toml", "text"}
DIRECTIVES = {"{toctree}", "{eval-rst}"}
"""Checked by the build of the site."""
PROGRAMS = {"uv", "pip", "sparsetune", "pytest", "python", "export", "moto_server", "sphinx-build"}
"""Programs that an `sh` block may call; a longer script is a `bash` block."""
OTHER_OPTIONS = {"--signal"}
"""Options of other programs that a page names in its text: SLURM's."""
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    number: int
    language: str
    text: str


def name_of(page: Path) -> str:
    """Path of a page below the repository's root."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """Fenced blocks of a page, in order."""
    found = FENCE.findall(page.read_text())
    return [Block(name_of(page), n, language, text) for n, (language, text) in enumerate(found)]


def spans_of(page: Path) -> list[str]:
    """Inline code of a page, on one line each, without what stands in fenced blocks."""
    text = FENCE.sub("", page.read_text())
    return [" ".join(span.split()) for span in CODE_SPAN.findall(text)]


def commands_of(block: Block) -> Iterator[list[str]]:
    """Words of every command of a shell block; `uv run` and its options are left out."""
    lines = block.text.replace("\\\n", " ").splitlines()
    for line in lines:
        for command in line.split(" && "):
            words = [word for word in shlex.split(command, comments=True) if word != "&"]
            if words:
                yield without_uv(words)


def without_uv(words: list[str]) -> list[str]:
    """The command that `uv run` would start."""
    if words[:2] != ["uv", "run"]:
        return words
    words = words[2:]
    while words[0] == "--group":
        words = words[2:]
    return words


def options_of(top: argparse.ArgumentParser) -> set[str]:
    """Options of the command line and of all its commands."""
    commands = top._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    actions = [*top._actions]
    for command in commands.values():
        actions += command._actions
    return {option for action in actions for option in action.option_strings}


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
SHELL = [block for block in BLOCKS if block.language in ("sh", "bash")]
LISTED = [block for block in SHELL if not block.text.startswith("#!")]
"""Shell blocks whose lines are commands; a script is checked by `bash -n`, and where it belongs."""
TYPED = [(block.page, words) for block in LISTED for words in commands_of(block)]
MENTIONED = [
    (name_of(page), without_uv(span.split()))
    for page in PAGES
    for span in spans_of(page)
    if re.match(r"(uv run )?(--group docs )?(sparsetune|python -m) ", span)
]
COMMANDS = TYPED + MENTIONED
OPTIONS = options_of(build_parser())


def described(value: Any) -> str:
    """Id of a parametrised case."""
    if isinstance(value, Block):
        return f"{value.page}-{value.number}"
    return " ".join(value) if isinstance(value, list) else str(value)


def test_readme_is_short() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) <= 120
    prose = [line for line in lines if not line.startswith(("|", "!["))]
    assert [line for line in prose if len(line) > 100] == []


def test_readme_has_the_two_commands() -> None:
    commands = [words for page, words in TYPED if page == "README.md"]
    assert ["sparsetune", "run", "studies.digits"] in commands
    assert ["pytest"] in commands


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_has_a_language_that_is_checked(page: Path) -> None:
    languages = {block.language for block in blocks_of(page)}
    assert languages - LANGUAGES - DIRECTIVES == set()
    assert page.read_text().count("```") == 2 * len(blocks_of(page))


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=name_of)
def test_a_page_starts_with_an_example(page: Path) -> None:
    title, _, rest = page.read_text().partition("\n\n")
    assert title.startswith("# ")
    assert rest.startswith(("```python\n", "```sh\n"))


def test_folders_of_pages_are_small() -> None:
    assert len([path for path in DOCS.iterdir() if path.is_file()]) <= 14
    assert len(list((DOCS / "api").iterdir())) <= 14


@pytest.mark.parametrize("block", PYTHON, ids=described)
def test_names_in_a_python_block_exist(block: Block) -> None:
    tree = ast.parse(block.text)
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            missing = [alias.name for alias in node.names if not gives(module, alias.name)]
            assert missing == []
        if isinstance(node, ast.Import):
            for alias in node.names:
                modules[alias.asname or alias.name] = importlib.import_module(alias.name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = modules.get(node.value.id)
            assert module is None or hasattr(module, node.attr), node.attr


def gives(module: ModuleType, name: str) -> bool:
    """True if `from module import name` works: an attribute, or a module below it."""
    if hasattr(module, name) or not hasattr(module, "__path__"):
        return hasattr(module, name)
    return importlib.util.find_spec(f"{module.__name__}.{name}") is not None


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study `digits` with simulated numbers, as the pages read it."""
    return Simulation(DIGITS, tmp_path_factory.mktemp("runs") / "digits").run()


@pytest.fixture
def workplace(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with `runs/digits` in it, which is the current one."""
    shutil.copytree(digits, tmp_path / "runs" / "digits")
    monkeypatch.chdir(tmp_path)
    return tmp_path


ALONE = {DOCS / "foreign.md"}
"""Pages whose examples start other tools: each runs by itself, in the tests of what it shows."""


@pytest.mark.parametrize(
    "page", sorted({ROOT / block.page for block in PYTHON} - ALONE), ids=name_of
)
def test_python_of_a_page_runs_and_its_declarations_are_valid(page: Path, workplace: Path) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks_of(page):
        if block.language == "python":
            exec(compile(block.text, described(block), "exec"), names)
    plt.close("all")
    studies = [value for value in names.values() if isinstance(value, Study)]
    assert [study.validate_declaration() for study in studies] == [[]] * len(studies)
    for name, value in names.items():
        if isinstance(value, TrialSpec):
            assert bool(value.problems()) == (name == "faulty")


def test_pages_declare_studies_and_trials() -> None:
    declared = [block.page for block in PYTHON if re.search(r"\b(Study|TrialSpec)\(", block.text)]
    pages = {f"docs/{name}.md" for name in ("methods", "data", "language", "searching")}
    assert pages | {"README.md"} <= set(declared)


@pytest.mark.parametrize("block", SHELL, ids=described)
def test_a_shell_block_is_valid(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page, words", TYPED, ids=described)
def test_the_program_of_a_command_is_known(page: str, words: list[str]) -> None:
    assert words[0] in PROGRAMS


@pytest.mark.parametrize("page, words", COMMANDS, ids=described)
def test_a_command_is_understood(page: str, words: list[str]) -> None:
    program, *arguments = words
    if program == "sparsetune":
        check_command_line(arguments)
    if program == "python" and arguments[0] == "-m":
        check_module(arguments[1])
    if program == "python" and arguments[0] == "-c":
        ast.parse(arguments[1])


def check_command_line(arguments: list[str]) -> None:
    """The real parser takes the arguments; a command named alone exists."""
    alone = len(arguments) == 1 or arguments[-1] == "--help"
    if alone and arguments[0] != "doctor":
        arguments = [arguments[0], "--help"]
    try:
        parsed = build_parser().parse_args(arguments)
    except SystemExit as end:
        assert end.code == 0, arguments
        return
    study = getattr(parsed, "study", "")
    if study.startswith("studies."):
        assert (ROOT / (study.replace(".", "/") + ".py")).is_file()


def check_module(name: str) -> None:
    """A module that `python -m` starts exists."""
    path = ROOT / name.replace(".", "/")
    assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def test_blocks_of_data_are_valid() -> None:
    for block in BLOCKS:
        if block.language == "json":
            json.loads(block.text)
        if block.language == "toml":
            tomllib.loads(block.text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_files_and_studies_in_the_text_exist(page: Path) -> None:
    spans = spans_of(page)
    options = {re.split(r"[ =]", span)[0] for span in spans if span.startswith("--")}
    assert options - OPTIONS - OTHER_OPTIONS == set()
    folders = r"(docs|tests|studies|analysis|sparsetune)/"
    files = [span for span in spans if re.fullmatch(rf"{folders}[\w./-]*", span)]
    assert [file for file in files if not (ROOT / file).exists()] == []
    studies = [span for span in spans if re.fullmatch(r"studies\.[a-z0-9_]+", span)]
    assert [s for s in studies if not (ROOT / (s.replace(".", "/") + ".py")).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_figures_exist(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    targets = re.findall(r"\]\(([^)#]+)", text) + re.findall(r'src="([^"]+)"', text)
    local = [target for target in targets if not target.startswith(("http:", "https:"))]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("package, page", [(sparsetune, "declare.md"), (analysis, "analysis.md")])
def test_every_public_name_is_in_the_reference(package: Any, page: str) -> None:
    text = (DOCS / "api" / page).read_text()
    entries = re.findall(rf"^\.\. auto\w+:: {package.__name__}\.(\w+)$", text, re.MULTILINE)
    assert sorted(entries) == sorted(package.__all__)


@pytest.mark.docs
@pytest.mark.timeout(600)
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    if importlib.util.find_spec("sphinx") is None:
        pytest.skip("sphinx is missing: uv run --group docs pytest -m docs")
    site = tmp_path / "site"
    build = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(DOCS), str(site)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for page in DOCS.rglob("*.md"):
        built = (site / page.relative_to(DOCS)).with_suffix(".html").read_text()
        heading = re.search(r"<h1>(.*?)<a ", built, re.DOTALL)
        assert heading is not None, page  # else one of Sphinx's own pages has its name: `search`
        title = re.sub(r"<[^>]+>", "", heading[1])
        assert title == page.read_text().partition("\n")[0].removeprefix("# ").replace("`", "")
