"""Every study of the project is valid, in full and quick; no data are read and nothing is
trained.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sparsetune.cli.studies import find_study
from sparsetune.launch.preview import preview_study
from sparsetune.sparsity.methods.registry import METHODS
from sparsetune.study import Study
from sparsetune.train import train

FOLDER = Path(__file__).parents[2] / "studies"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def declared(name: str, quick: bool) -> Study:
    study, _ = find_study(f"studies.{name}")
    return study.quick() if quick else study


@cache
def shown(name: str, quick: bool) -> dict[str, Any]:
    return preview_study(declared(name, quick))


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_it_is_valid_without_data(name: str, quick: bool) -> None:
    """A preview checks the whole declaration and builds every model, or raises."""
    assert shown(name, quick)["question"]


@pytest.mark.parametrize("name", NAMES)
def test_its_quick_form_is_named_so_and_is_much_smaller(name: str) -> None:
    whole = shown(name, False)
    quick = shown(name, True)
    assert quick["study"] == f"{whole['study']}-quick"
    assert quick["trials_at_most"] <= 40
    assert quick["epochs_at_most"] < whole["epochs_at_most"] / 5


@pytest.mark.parametrize("name", NAMES)
def test_its_file_says_how_to_run_it(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text()
    assert f"sparsetune run studies.{name}" in text
    assert 'if __name__ == "__main__":' in text


@pytest.mark.parametrize(
    ("name", "cells", "trials"),
    # digits: 15 x 3 search, 15 x 5 report, 12 x (5 twins + 5 controls); methods: 68 x 5;
    # extension: 54 x 3.
    [("digits", 15, 240), ("digits_methods", 68, 340), ("fashion_mnist_extension", 54, 162)],
)
def test_its_size(name: str, cells: int, trials: int) -> None:
    facts = shown(name, False)
    assert (len(facts["cells"]), facts["trials_at_most"]) == (cells, trials)


@pytest.mark.parametrize("quick", [False, True])
def test_the_comparison_runs_every_method(quick: bool) -> None:
    cells = declared("digits_methods", quick).cells()
    assert {cell.spec.sparsity.method for cell in cells} == set(METHODS) - {"transfer"}  # of texts
    assert {cell.spec.schedule.epochs for cell in cells} == {10 if quick else 30}


ON_DIGITS = [name for name in NAMES if name.startswith(("imagenet_", "cifar10_"))]


@pytest.mark.parametrize("name", ON_DIGITS)
def test_a_trial_of_the_quick_form_runs_without_data(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first cell of the last arm; every other differs in its method or its numbers alone."""
    monkeypatch.setenv("SPARSETUNE_DATA", "/nowhere")
    cells = declared(name, quick=True).cells()
    spec = next(cell.spec for cell in cells if cell.arm == cells[-1].arm)
    assert (spec.task.kind, spec.compute.precision) == ("digits", "float32")
    rows: list[dict[str, Any]] = []
    final = train(spec, report=rows.append)
    assert (final.status, final.certified) == ("COMPLETE", True)
    assert rows[-1]["at_target"]
    assert rows[-1]["train_loss"] < 1.5


WRITTEN = ("report_seeds",)
WRITTEN_FOR_A_SEARCH = ("sampler", "configurations_per_cell", "search_seeds")
WRITTEN_FOR_A_TASK = ("batch_size", "validation")
WRITTEN_FOR_FOLDERS = (
    "examples",
    "classes",
    "resolution",
    "eval_resolution",
    "eval_resize",
    "eval_batch",
    "decoding",
)


@pytest.mark.parametrize("name", NAMES)
def test_it_writes_out_values_whose_defaults_may_change(name: str) -> None:
    study = declared(name, quick=False)
    task = study.base.task
    searches = any(cell.search for cell in study.cells())
    fields = {*WRITTEN, *(WRITTEN_FOR_A_SEARCH if searches else ())}
    task_fields = {*WRITTEN_FOR_A_TASK, *(WRITTEN_FOR_FOLDERS if task.kind == "folder" else ())}
    assert fields <= study.model_fields_set
    assert task_fields <= task.model_fields_set
