"""The notebooks of the documentation: small, with what they gave, and they run."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from tests.notebooks import FOLDER, NOTEBOOKS, run_notebook

MAX_NOTEBOOK_BYTES = 300_000


def code_cells(notebook: Path) -> list[dict[str, Any]]:
    cells = json.loads(notebook.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_these_are_all_notebooks() -> None:
    assert sorted(FOLDER.glob("*.ipynb")) == sorted(NOTEBOOKS)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_has_its_outputs(notebook: Path) -> None:
    assert notebook.stat().st_size < MAX_NOTEBOOK_BYTES
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert "error" not in {output["output_type"] for output in outputs}
    shown = json.dumps(outputs)
    assert "<table" in shown
    assert "image/png" in shown
    # Progress is plain lines, not what moves a terminal's cursor.
    assert "\\u001b[2K" not in shown
    for folder in ("work", "home", "root", "tmp"):
        assert f"/{folder}/" not in shown


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_names_that_a_notebook_imports_exist(notebook: Path) -> None:
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse("".join(cell["source"]))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("sparsetune"):
                module = importlib.import_module(str(node.module))
                assert [one.name for one in node.names if not hasattr(module, one.name)] == []


@pytest.mark.docs
@pytest.mark.timeout(1200)
def test_the_notebooks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("nbclient") is None:
        pytest.skip("nbclient is missing: uv run --group docs pytest -m docs")
    # `tests/conftest.py` chooses a backend, which would hide that no `%matplotlib` is needed.
    monkeypatch.delenv("MPLBACKEND")
    for notebook in NOTEBOOKS:
        executed = run_notebook(notebook, tmp_path)
        # Each cell gives outputs of the same kinds as those that are committed.
        kinds = [output_kinds(cell) for cell in executed.cells if cell["cell_type"] == "code"]
        assert kinds == [output_kinds(cell) for cell in code_cells(notebook)]
    assert (tmp_path / "sparsity.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "runs" / "first-study" / "report" / "index.html").is_file()


def output_kinds(cell: dict[str, Any]) -> set[str]:
    """Kinds of a cell's outputs: ``stream``, or the forms of what is shown."""
    kinds: set[str] = set()
    for output in cell["outputs"]:
        if output.get("name") == "stderr":
            continue  # warnings about what is installed
        kinds |= set(output.get("data", {output["output_type"]: None}))
    return kinds
