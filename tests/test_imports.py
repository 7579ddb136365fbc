"""Import of what a user names: found, or one problem that says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsetune.errors import DeclarationError
from sparsetune.imports import import_function, import_named

OWN = """
TABLE = {"a": 1}
def build():
    return 7
"""


@pytest.fixture(autouse=True)
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_imports.py").write_text(OWN)
    (tmp_path / "own_broken.py").write_text("raise RuntimeError('no licence\\nsecond line')")
    monkeypatch.syspath_prepend(tmp_path)


def test_a_path_gives_what_lies_there() -> None:
    assert import_named("own_imports:TABLE", "optim.name") == {"a": 1}
    assert import_function("own_imports:build", "optim.name")() == 7


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("own_imports", "must be an import path, `package.module:name`"),
        ("own_imports:", "must be an import path"),
        ("own imports:build", "must be an import path"),
        (":build", "must be an import path"),
        ("own_nowhere:build", "ModuleNotFoundError: No module named 'own_nowhere'"),
        ("own_imports:biuld", "AttributeError: module 'own_imports' has no attribute 'biuld'"),
        ("own_broken:build", "RuntimeError: no licence)"),
        ("own_imports:TABLE", "must name a function, got 'own_imports:TABLE'"),
    ],
)
def test_a_faulty_path_is_one_problem_of_its_field(path: str, rule: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        import_function(path, "optim.name")
    (problem,) = caught.value.problems
    assert problem.path == "optim.name"
    assert rule in str(problem)
    assert path in str(problem)
    assert "\n" not in str(problem)
