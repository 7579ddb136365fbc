"""`docs/methods.md` says of every method what its object says, and no code asks for one by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparsetune.sparsity.methods.method import Method
from sparsetune.sparsity.methods.registry import METHODS
from sparsetune.spec.defaults import DEFAULTS_BY_VERSION
from sparsetune.spec.fields.trial import find_fields

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "methods.md"
NONE = "\N{EN DASH}"


def facts_table() -> str:
    """What each method reads, resets, certifies and costs."""
    rows = [
        "| method | score | allocation | reset | certified | FLOPs | tested against |",
        "|---|---|---|---|---|---|---|",
    ]
    for method in METHODS.values():
        choices = " | ".join(choice(method, name) for name in ("score", "allocation", "reset"))
        rows.append(
            f"| `{method.name}` | {choices} | {method.certified} | {method.flops} |"
            f" {method.tested_against} |"
        )
    return "\n".join(rows)


def choice(method: Method, name: str) -> str:
    """A method's own choice; where it depends on the score, for each."""
    if name not in method.fields:
        return NONE
    chosen = method.choices(version=DEFAULTS_BY_VERSION.current)[name]
    under = [
        f"`{later.value}` under `{later.score}`"
        for later in method.later_defaults
        if later.field == name and later.score
    ]
    return "; ".join([f"`{chosen}`", *under])


def sources_table() -> str:
    """Where each method comes from, and what departs from there."""
    rows = ["| method | source | code | what departs |", "|---|---|---|---|"]
    for method in METHODS.values():
        departs = " ".join(method.departs) or NONE
        rows.append(
            f"| `{method.name}` | {method.source or NONE} | {method.code or NONE} | {departs} |"
        )
    return "\n".join(rows)


@pytest.mark.parametrize("table", [facts_table, sources_table])
def test_the_page_has_the_tables_of_the_objects(table: object) -> None:
    assert callable(table)
    expected = table()
    assert expected in PAGE.read_text(), f"docs/methods.md must have this table:\n{expected}"


def test_the_list_of_methods_is_that_of_the_objects() -> None:
    names = " ".join(f"`{name}`" for name in METHODS)
    assert f"| `sparsity.method` | {names}, or a path |" in PAGE.read_text()
    (field,) = find_fields("sparsity.method")
    assert ", ".join(f"``{name}``" for name in METHODS) + ", or your own" in field.meaning


def test_every_sparse_method_names_its_source_and_its_departures_are_sentences() -> None:
    for method in METHODS.values():
        assert bool(method.source) == method.prunes, method.name
        for sentence in method.departs:
            assert sentence[0].isupper() and sentence.endswith("."), sentence


def names_asked_for(tree: ast.AST) -> Iterator[str]:
    """Names of methods that a comparison, a membership or a `match` of a module asks for."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        asked = [node.left, *node.comparators]
        is_about = any(ast.unparse(one).endswith("method") for one in asked)
        for constant in ast.walk(node):
            if is_about and isinstance(constant, ast.Constant) and constant.value in METHODS:
                yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("spec.method == 'rigl'", 1),
        ("sparsity.method in ('gmp', 'acdc')", 2),
        ("'regrow' in method.fields", 0),
        ("'acdc' not in known_method(spec.sparsity.method).fields", 0),
        ("name == 'dense'", 0),
    ],
)
def test_the_search_for_names_finds_them(code: str, count: int) -> None:
    assert len(list(names_asked_for(ast.parse(code)))) == count


def test_no_code_asks_for_a_method_by_name() -> None:
    found = []
    for folder in ("sparsetune", "analysis"):
        for path in (ROOT / folder).rglob("*.py"):
            found += [f"{path.name}, {one}" for one in names_asked_for(ast.parse(path.read_text()))]
    assert found == []
