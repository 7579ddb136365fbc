"""The catalogue: code writes all of it, pages print nothing else, and its sentences are short."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import analysis
from analysis.answers.page_sentences import PAGE_CATALOGUE
from analysis.answers.sentences import CATALOGUE
from analysis.catalogue import PARTS, SENTENCES
from analysis.catalogue.template import MAX_WORDS
from analysis.checks import CHECKS
from analysis.page.figure_export import FigureExporter, FigureJob
from analysis.page.figure_process import RenderedFigure
from analysis.page.opening.glossary import TERMS
from analysis.page.sections import SECTIONS
from sparsetune.study.space import LogUniform, Uniform
from tests.analysis.page.page_text import page_text, pattern, pattern_of_all, sentences_of
from tests.analysis.runs import runs_table
from tests.analysis.simulation import DIGITS, FASHION, Simulation
from tests.analysis.structure.test_structure import STUDY as STRUCTURED
from tests.analysis.structure.test_structure import A, B, C, masked, structured, trial_folders

ROOT = Path(analysis.__file__).parent
SEARCHED = DIGITS.with_changes(
    name="searched",
    sweep={"sparsity.target": [0, 0.9, 0.98], "schedule.epoch_multiplier": [1, 2]},
    search={
        "optim.lr": LogUniform(0.01, 1.0),
        "sparsity.ramp.start": Uniform(0.0, 0.3),
        "sparsity.ramp.length": Uniform(0.3, 0.7),
    },
    configurations_per_cell=12,
    report_seeds=3,
)
LENGTHS = FASHION.with_changes(sweep={"schedule.epochs": [8, 32, 64]})
MARKS = re.compile(
    r"^((Yes|No|Not settled|Open|Estimate)[.]|How sure:|(Error|Warning|Note) SPT\d+(, [^:]*)?:) ?"
)
"""Words that stand before a sentence."""
ARMS = re.compile(r"^(The dense network|GMP|AC/DC)( and [^:]*)?: ")
"""Arms that a finding is about, where it does not name them."""
OUR_WORDS = re.compile(
    r"target=|multiplier=|\b(epoch|test|val|train)_[a-z]|not separated|not excluded|in the mean"
    r"|\bn ="
)
SHOWN = (
    "means",
    "bars_t",
    "bars_pooled",
    "curve_gap_twin",
    "comparison_marks",
    "history_lines",
    "verdicts_under",
    "needed",
    "gain_marks",
    "budget_best",
    "iso_flops",
    "pareto_filled",
    "atlas_marks",
    "regions",
    "optimum_marks",
    "shifts_corrected",
    "response_marks",
    "importance_from",
    "control_recipe",
    "optimism_marks",
    "density_marks",
    "masks_lines",
    "active",
    "overlap",
    "overlap_layers",
    "found_few_seeds",
    "found_failed",
    "found_diverged",
    "found_unfinished",
    "checks_none",
    "summary_flops",
    "cells_searched",
    "cells_not_searched",
    "origin_read",
    "origin_table",
    "reading_all",
)
"""Sentences that tell that the pages of this test show an exhibit or a paragraph."""


@dataclass(frozen=True)
class Printed:
    """A sentence of a page.

    Args:
        page: Name of the page.
        text: The sentence.
    """

    page: str
    text: str


def lengths(folder: Path) -> Path:
    return Path(analysis.report(Simulation(LENGTHS, folder).run()))


def searched(folder: Path) -> Path:
    return Path(analysis.report(Simulation(SEARCHED, folder).run()))


def structure(folder: Path) -> Path:
    results = analysis.load(Simulation(STRUCTURED, folder).run())
    for arm in ("gmp", "acdc"):
        masked(results, arm, (A, B, C))
        for trial in trial_folders(results, arm):
            structured(trial, [(1, 0.2, None, 0.5), (9, 0.5, 0.4, 1.0)])
    return Path(analysis.report(folder))


def troubled(folder: Path) -> Path:
    """Two seeds of part of a study, of which some runs diverged or failed."""

    def outcome(cell: str, role: str, seed: int) -> str:
        if "0.9" in cell and role == "report" and seed == 1000:
            return "DIVERGED"
        return "FAILED" if "0.8" in cell and role == "control" else "COMPLETE"

    return Path(analysis.report(Simulation(DIGITS, folder, outcome=outcome).run(8)))


def table(folder: Path) -> Path:
    runs = runs_table(arms=("gmp", "acdc"), seeds=(0, 1)).assign(colour="red")
    return Path(analysis.report(analysis.load_table(runs, name="told", select="all"), folder))


PAGES = (lengths, searched, structure, troubled, table)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[Printed]:
    """Every sentence of all pages, those under More too."""
    folder = tmp_path_factory.mktemp("pages")
    found = []
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        for make in PAGES:
            page = page_text(make(folder / make.__name__), is_whole=True)
            for block in page.blocks:
                found += [Printed(make.__name__, text) for text in block_sentences(block)]
    return found


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Leave figures empty, which take most of the time of a report."""
    empty = RenderedFigure({"svg": b"<svg/>"}, 1, 1, None)
    patch.setattr(FigureExporter, "order", lambda self, draw, stem: FigureJob(draw, print))
    patch.setattr(FigureExporter, "finish", lambda self: None)
    patch.setattr(FigureJob, "result", lambda self: empty)


def block_sentences(block: str) -> Iterator[str]:
    """Sentences of a paragraph, without what stands before one; questions are the studies' own."""
    for sentence in sentences_of(block):
        plain = ARMS.sub("", MARKS.sub("", sentence))
        if plain and not plain.endswith("?") and " · " not in plain:
            yield plain


@cache
def known() -> re.Pattern[str]:
    """A pattern of all sentences of the catalogues, the glossary and the registry of checks."""
    templates = [*CATALOGUE.values(), *PAGE_CATALOGUE.values(), *SENTENCES.values()]
    meanings = [sentence for term in TERMS for sentence in sentences_of(term.meaning)]
    rules = [check.sentence for check in CHECKS.values()]
    remedies = [each.replace("`", "") for check in CHECKS.values() for each in advice(check.code)]
    return pattern_of_all(templates, [*meanings, *rules, *remedies])


def advice(code: str) -> list[str]:
    check = CHECKS[code]
    return [*sentences_of(check.remedy), *sentences_of(check.of_table)]


def test_pages_print_sentences_of_the_catalogue_alone(printed: list[Printed]) -> None:
    assert len(printed) > 300
    assert [each for each in printed if not known().fullmatch(each.text)] == []


def test_no_sentence_of_a_page_is_long_or_in_our_words(printed: list[Printed]) -> None:
    assert [each for each in printed if len(each.text.split()) > MAX_WORDS] == []
    # What a check lacked, and the columns of a table that was read, have the names of columns.
    own = ("checks_not_run", "reading_ignored", "reading_rows")
    columns = re.compile("|".join(pattern(SENTENCES[name]) for name in own))
    told = [each for each in printed if not columns.fullmatch(each.text)]
    assert [each for each in told if OUR_WORDS.search(each.text)] == []


def test_the_pages_show_every_exhibit(printed: list[Printed]) -> None:
    lacking = [name for name in SHOWN if not any(is_of(name, each.text) for each in printed)]
    assert lacking == []
    assert len(SECTIONS) == 7  # a new section has its sentence above


def is_of(name: str, text: str) -> bool:
    return bool(re.fullmatch(pattern(SENTENCES[name]), text))


@cache
def modules() -> dict[str, ast.Module]:
    """Syntax of every module outside the catalogue, by its path."""
    paths = [path for path in ROOT.rglob("*.py") if path.parent.name != "catalogue"]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in paths}


def constants(node: ast.AST) -> Iterator[str]:
    """Text of every constant within a piece of code."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def test_code_writes_every_sentence() -> None:
    named = {text for module in modules().values() for text in constants(module)}
    assert sorted(SENTENCES.keys() - named) == []


def test_no_caption_or_note_is_written_outside_the_catalogue() -> None:
    """Where an exhibit's caption is made, there is no text but names of sentences."""
    found = []
    for path, module in modules().items():
        for node in ast.walk(module):
            texts: list[str] = []
            if isinstance(node, ast.Call):
                texts = [text for part in caption_parts(node) for text in constants(part)]
            elif isinstance(node, ast.FunctionDef) and node.name in ("note", "_sentences"):
                texts = [text for part in node.body[1:] for text in constants(part)]
            prose = [text for text in texts if len(text.split()) > 3]
            if prose:
                found.append((path, prose))
    assert found == []


def caption_parts(call: ast.Call) -> list[ast.expr]:
    """Arguments of a call that are text of a page."""
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    if name == "NotShownError":
        return list(call.args)
    if name != "Exhibit":
        return []
    given = [keyword.value for keyword in call.keywords if keyword.arg == "caption"]
    return [*call.args[3:4], *given]


def test_the_template_of_the_page_holds_no_sentence() -> None:
    text = (ROOT / "page" / "assets" / "page.html.jinja").read_text()
    text = re.sub(r"{[{%].*?[%}]}|<style.*?</style>|<[^>]*>", "\n", text, flags=re.DOTALL)
    text = text.replace("\n.", "")  # after the first word of the answer
    lines = [line.strip() for line in text.splitlines()]
    assert [line for line in lines if line.endswith(".")] == []


def test_names_and_conditions_are_unlike() -> None:
    assert sum(map(len, PARTS)) == len(SENTENCES)
    assert sorted(SENTENCES.keys() & (CATALOGUE | PAGE_CATALOGUE).keys()) == []
    conditions = [template.condition for template in SENTENCES.values()]
    assert len(set(conditions)) == len(conditions)


@pytest.mark.parametrize("name", SENTENCES)
def test_a_template_is_one_short_sentence(name: str) -> None:
    text = SENTENCES[name].text
    assert sentences_of(text) == [text]
    assert text.endswith(".")
    assert len(text.split()) <= MAX_WORDS
    # Templates that are nearly all values would make a sentence of anything.
    assert len(re.sub(r"{\w+}", "", text).split()) >= 2
    assert not OUR_WORDS.search(text.replace("`val_score`", "").replace("`val_error`", ""))


@pytest.mark.parametrize("code", CHECKS)
def test_rules_and_remedies_of_checks_are_short(code: str) -> None:
    for sentence in (CHECKS[code].sentence, *advice(code)):
        assert len(sentence.split()) <= MAX_WORDS
