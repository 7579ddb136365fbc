"""Recorded FLOPs against the dense twins': ratio of every cell, and warnings where it is off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import analysis
from analysis.estimates.equal_flops import flops_warnings
from analysis.lengths.summary import summary
from analysis.tables.selection import report_rows

SAID = "trained with 1.12 times the FLOPs of its dense twin though equal FLOPs were asked for"


def recorded(simulation: Any, study: Any, path: Path, flops: Mapping[str, float]) -> Path:
    """A study whose sparse trials, by their allocation, spent so many times their twins' FLOPs."""

    class Spent(simulation):  # type: ignore[misc]
        def rows(self, spec: Any) -> Iterator[Mapping[str, Any]]:
            share = (
                flops[spec.columns().get("sparsity.allocation", "")]
                if spec.sparsity.target
                else 1.0
            )
            epochs = spec.schedule.epochs * spec.schedule.epoch_multiplier
            for row in super().rows(spec):
                yield {**row, "train_flops": row["progress"] * epochs * share}

        def cell(self, cell: Any) -> None:
            stretch = {"schedule.stretch": 2.0} if cell.spec.sparsity.target else {}
            from dataclasses import replace

            super().cell(replace(cell, spec=cell.spec.with_values(stretch)))

    return Path(str(Spent(study, path).run()))


@pytest.fixture
def fair(studies: Any) -> Any:
    """Two arms at 90 %, one and two times the epochs, trained twice as long as their twins."""
    overrides = {"sparsity.method": "gmp"}
    arms = {
        "even": {**overrides, "sparsity.allocation": "uniform"},
        "odd": {**overrides, "sparsity.allocation": "global"},
    }
    arms = {name: {"overrides": values} for name, values in arms.items()}
    return studies["small"].with_changes(arms=arms, search={}, equal="train_flops")


def test_cells_have_the_ratio_and_those_that_are_off_are_named(
    simulation: Any, fair: Any, tmp_path: Path
) -> None:
    results = analysis.load(
        recorded(simulation, fair, tmp_path / "s", {"uniform": 0.96, "global": 1.12})
    )
    ratios = results.cells().set_index("cell")["flops_ratio"]
    assert ratios["even/target=0.9/epoch_multiplier=2"] == pytest.approx(0.96)
    assert ratios["odd/target=0.9/epoch_multiplier=1"] == pytest.approx(1.12)
    assert ratios[[name for name in ratios.index if name.startswith("dense")]].isna().all()
    lines = flops_warnings(results)
    assert list(lines) == ["odd/target=0.9/epoch_multiplier=1", "odd/target=0.9/epoch_multiplier=2"]
    assert set(lines.values()) == {f"{SAID}: global densities are known only afterwards"}


def test_the_summary_and_the_report_say_so(simulation: Any, fair: Any, tmp_path: Path) -> None:
    directory = recorded(simulation, fair, tmp_path / "s", {"uniform": 0.94, "global": 1.12})
    numbers = summary(analysis.load(directory)).set_index("arm")
    assert numbers["warning"]["odd"].startswith(SAID)
    assert numbers["warning"]["even"].endswith("asked for: its schedule came no closer")
    assert set(numbers.loc[["dense"], "warning"]) == {""}
    assert numbers["flops_ratio"]["even"] == pytest.approx(0.94)
    text = analysis.report(directory).read_text()
    assert "2 networks spent 1.12 times their twin&#39;s" in text
    assert "The study equals training FLOPs" in text
    assert "0.94" in text
    assert pd.read_csv(directory / "tables" / "cells.csv")["flops_ratio"].max() == pytest.approx(
        1.12
    )


def test_lengths_are_those_of_the_dense_twins(simulation: Any, fair: Any, tmp_path: Path) -> None:
    results = analysis.load(
        recorded(simulation, fair, tmp_path / "s", {"uniform": 1.0, "global": 1.0})
    )
    rows = report_rows(results)
    assert set(rows["schedule.stretch"].dropna()) == {2.0}
    assert set(rows["epochs"]) == {4.0, 8.0}
    assert set(analysis.length_curve(results, "test_accuracy").frame()["epochs"]) == {4.0, 8.0}
    assert flops_warnings(results) == {}


def test_a_study_of_equal_epochs_is_not_judged_and_counts_stretched_ones(
    simulation: Any, fair: Any, tmp_path: Path
) -> None:
    declared = fair.with_changes(equal="epochs")
    directory = recorded(simulation, declared, tmp_path / "s", {"uniform": 0.5, "global": 2.0})
    results = analysis.load(directory)
    assert results.cells()["flops_ratio"].max() == pytest.approx(2)
    assert flops_warnings(results) == {}
    assert set(report_rows(results)["epochs"]) == {4.0, 8.0, 16.0}
    assert set(summary(results)["warning"]) == {""}
    text = analysis.report(directory).read_text()
    assert "Twins have the same recipe, seed and epochs" in text
    assert "FLOPs over" not in text


def test_a_pair_counts_once_both_are_complete(simulation: Any, fair: Any, tmp_path: Path) -> None:
    class Lost(simulation):  # type: ignore[misc]
        def attempt(self, spec: Any, status: str) -> Any:
            lost = (
                not spec.sparsity.target
                and spec.schedule.epoch_multiplier == 1
                and spec.seed == 1000
            )
            return super().attempt(spec, "DIVERGED" if lost else status)

    ratios = (
        analysis.load(Lost(fair, tmp_path / "s").run()).cells().set_index("cell")["flops_ratio"]
    )
    assert ratios["odd/target=0.9/epoch_multiplier=1"] == pytest.approx(
        0.55
    )  # of the other seed's pair
    path = tmp_path / "t"
    none = simulation(fair, path, outcome=lambda cell, role, seed: "FAILED").run()
    assert analysis.load(none).cells()["flops_ratio"].isna().all()
