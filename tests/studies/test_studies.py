"""Every study of the project is valid, in full and quick; no data are read and nothing is trained."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sparsetune.find import find_study
from sparsetune.preflight import preflight
from sparsetune.sparsity.methods import METHODS
from sparsetune.study import Study
from sparsetune.tune.preview import preview

FOLDER = Path(__file__).parents[2] / "studies"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def declared(name: str, quick: bool) -> Study:
    study, _ = find_study(f"studies.{name}")
    return study.quick() if quick else study


@cache
def shown(name: str, quick: bool) -> dict[str, Any]:
    return preview(declared(name, quick))


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_it_is_valid_without_data(name: str, quick: bool) -> None:
    study = declared(name, quick)
    assert study.validate_declaration() == []
    assert preflight(study, needs_data=False) == []
    assert study.question


@pytest.mark.parametrize("name", NAMES)
def test_its_quick_form_is_named_so_and_is_much_smaller(name: str) -> None:
    whole, quick = shown(name, quick=False), shown(name, quick=True)
    assert quick["study"] == f"{whole['study']}-quick"
    assert quick["trials_at_most"] <= 30
    assert quick["epochs_at_most"] < whole["epochs_at_most"] / 5


@pytest.mark.parametrize("name", NAMES)
def test_its_file_says_how_to_run_it(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text()
    assert f"sparsetune run studies.{name}" in text
    assert 'if __name__ == "__main__":' in text


@pytest.mark.parametrize(
    ("name", "cells", "trials"),
    # digits: 15 x 6 search, 15 x 2 report, 12 x (2 twins + 2 controls); methods: 53 x 5; extension: 54 x 3.
    [("digits", 15, 168), ("digits_methods", 53, 265), ("fashion_mnist_extension", 54, 162)],
)
def test_its_size(name: str, cells: int, trials: int) -> None:
    facts = shown(name, quick=False)
    assert (len(facts["cells"]), facts["trials_at_most"]) == (cells, trials)


@pytest.mark.parametrize("quick", [False, True])
def test_the_comparison_runs_every_method(quick: bool) -> None:
    cells = declared("digits_methods", quick).cells()
    assert {cell.spec.sparsity.method for cell in cells} == set(METHODS)
    assert {cell.spec.schedule.epochs for cell in cells} == {10 if quick else 30}
