"""Every analysis of next to no results gives an answer, or an error that says what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import analysis
from analysis.curves.comparison import compare_arms
from analysis.lengths.summary import summary
from analysis.structure.mask_history import ever_active, mask_history
from analysis.tables.results import Results
from sparsetune.errors import SparsetuneError
from tests.analysis.simulation import SMALL, Simulation

NOT_OF_RESULTS = {"load", "load_table", "overlay", "references", "paper_figure", "CHECKS"}
ANALYSES: dict[str, Callable[[Results], Any]] = {
    name: getattr(analysis, name)
    for name in analysis.__all__
    if name[0].islower() and name not in NOT_OF_RESULTS | {"report", "diff", "best_at"}
}
ANALYSES |= {
    "compare": compare_arms,
    "summary": summary,
    "mask_history": mask_history,
    "ever_active": ever_active,
}
ANALYSES |= {"diff": lambda results: analysis.diff(results, results)}
ANALYSES |= {"best_at": lambda results: analysis.best_at(results, {"epochs": None})}
ANALYSES |= {
    f"{name}-loss": lambda r, n=name: getattr(analysis, n)(r, "val_loss")
    for name in ("optima", "importance")
}
"""By name, each with the least that it asks for."""
SHOWN = (
    "frame",
    "note",
    "plot",
    "plot_layers",
    "shifts",
    "regions",
    "whole",
    "by_layer",
    "moved",
    "dead",
    "at_target",
)
TABLES = {
    "one measure": {"sparsity": [0, 0.9], "test_accuracy": [0.9, 0.8]},
    "validation": {"sparsity": [0, 0.9], "val_loss": [0.3, 0.4]},
    "sparse only": {"sparsity": [0.9], "test_accuracy": [0.8]},
}


@pytest.fixture(scope="module", params=["no trial", *TABLES])
def little(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A study that has not begun, or a table of a run or two."""
    if request.param in TABLES:
        return analysis.load_table(pd.DataFrame(TABLES[request.param]), name="little")
    return analysis.load(Simulation(SMALL, tmp_path_factory.mktemp("runs") / "s").run(cells=0))


@pytest.mark.parametrize("name", ANALYSES)
def test_little_is_answered_or_refused_with_the_reason(little: Results, name: str) -> None:
    try:
        found = ANALYSES[name](little)
    except SparsetuneError as error:
        assert str(error)
        return
    for method in SHOWN if not isinstance(found, pd.DataFrame) else ():
        try:
            getattr(found, method, lambda: None)()
        except SparsetuneError as error:
            assert str(error)


def test_the_errors_say_what_is_missing() -> None:
    results = analysis.load_table(pd.DataFrame(TABLES["one measure"]), name="little")
    for found, missing in (
        (analysis.optima(results, "val_loss"), "a finished search of 10 configurations"),
        (analysis.importance(results, "val_loss"), "10 configurations in a band of sparsity"),
        (analysis.density_profile(results), "the certificates of finished report trials"),
        (analysis.mask_overlap(results), "two final masks of finished report trials"),
        (mask_history(results), "masks that changed, of finished report trials"),
        (analysis.optimism(results), "report trials of its winner"),
    ):
        with pytest.raises(SparsetuneError, match=missing):
            found.plot()


def test_a_report_of_next_to_nothing_is_written(little: Results, tmp_path: Path) -> None:
    assert "</html>" in analysis.report(little, tmp_path).read_text()
