"""Runs the notebooks of the documentation; as a program, keeps what they give.

`uv run --group docs python -m tests.notebooks` runs them in a folder that is deleted, and writes
their outputs into `docs/notebooks`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
NOTEBOOKS = [FOLDER / "first_study.ipynb", FOLDER / "read_and_publish.ipynb"]
"""In the order in which they run: the second reads what the first leaves."""
CELL_TIMEOUT_SECONDS = 900


def run_notebook(notebook: Path, folder: Path) -> Any:
    """The notebook with its outputs, run in a folder.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell does.
    """
    import nbformat
    from nbclient import NotebookClient

    content = nbformat.read(notebook, as_version=4)
    client = NotebookClient(
        content,
        timeout=CELL_TIMEOUT_SECONDS,
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
    )
    return client.execute()


def _kept_outputs(outputs: list[Any], folder: str) -> list[Any]:
    """Outputs without warnings about what is installed here, and without the folder's own path."""
    kept = [output for output in outputs if output.get("name") != "stderr"]
    for output in kept:
        if output["output_type"] == "stream":
            output["text"] = output["text"].replace(f"{folder}/", "")
    return kept


def main() -> None:
    """Run every notebook and keep its outputs."""
    import nbformat

    # As in a test: one thread, and Ray in this environment.
    os.environ |= {"OMP_NUM_THREADS": "1", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    with tempfile.TemporaryDirectory() as folder:
        for notebook in NOTEBOOKS:
            executed = run_notebook(notebook, Path(folder))
            for cell in executed.cells:
                if cell["cell_type"] == "code":
                    cell["outputs"] = _kept_outputs(cell["outputs"], folder)
            nbformat.write(executed, notebook)
            print(f"{notebook.name}: {notebook.stat().st_size} bytes")


if __name__ == "__main__":
    main()
