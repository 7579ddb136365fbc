"""Each published grid that the package ships, as the table that its readers would type in.

Of what a source does not tell (the runs behind a number, whether it is the best of a sweep) no
check can know; a number without a count is taken for one run.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from analysis import checks, load_table, references, sparsity_curve
from analysis.checks import CHECKS
from analysis.tables.foreign import TableResults

GRIDS = {
    (source, benchmark): rows.reset_index(drop=True)
    for (source, benchmark), rows in references().groupby(["source", "benchmark"], sort=False)
}
FEW = ["SPT003"]
"""Numbers of fewer than three runs, or of which the source says no count."""
MIXED = ["SPT003", "SPT034"]
"""Means over three or four runs beside such numbers."""
RIGL = "RigL paper 1911.11134 Fig2/Tab4"
OBERT = "oBERT paper 2203.07259 Tab1/2/5/12/13/15/16+README"
FINDINGS: dict[str, list[str]] = {
    RIGL: [],
    "google-research/rigl README": FEW,
    "IST-DASLab/ACDC README": FEW,
    "neuralmagic resnet50.md": FEW,
    "RAIVNLab/STR README": FEW,
    "google-research/state_of_sparsity README": FEW,
    "google-research state_of_sparsity CSV, mean over seeds": [],
    "IST-DASLab/M-FAC README": FEW,
    "IST-DASLab/CrAM README": FEW,
    "neuralmagic/sparseml PR 1674": FEW,
    "TimDettmers/sparse_learning issue 7": FEW,
    "nollied/rigl-torch README": FEW,
    "aojunzz/NM-sparsity classification README": FEW,
    "zyxxmu/Bi-Mask README": FEW,
    "libffcv/ffcv-imagenet README": FEW,
    "2308.02060 teaser figure (ohaijen.github.io images/sparse_opt_thumbnail.png), digitised": FEW,
    "google-research/rigl issue 8 (author)": FEW,
    "varun19299/rigl-reproducibility README": [],
    OBERT: MIXED,
    "kurtic24a (CPAL 2024) Tab7/8": MIXED,
    "Intel PruneOFA model card": FEW,
    "Intel/bert-base-uncased-sparse-1_2 card": [],
    "Intel/bert-base-uncased-mnli-sparse-70-unstructured card": FEW,
    "sparseml oBERT README (one-shot, recomputations)": FEW,
}
"""What checks find in each source's grids, by code."""
OTHER_FINDINGS = {
    # One dense number without a count.
    (RIGL, "WRN-22-2/CIFAR10"): FEW,
    # No count at all.
    (OBERT, "BERT-base MRPC"): FEW,
    (OBERT, "BERT-base CoLA"): FEW,
    (OBERT, "BERT-base STS-B"): FEW,
}
"""The same of single grids whose findings are others."""


def printed(rows: pd.DataFrame) -> pd.DataFrame:
    """A grid as a paper prints it: percent, and a standard deviation where it is known."""
    values = [
        f"{100 * value:.2f}" if np.isnan(sd) else f"{100 * value:.2f} ± {100 * sd:.2f}"
        for value, sd in rows[["value", "sd"]].to_numpy(dtype=float)
    ]
    # What a note says is part of the recipe, such as label smoothing.
    names = rows[["method", "distribution", "note"]].fillna("").agg(" ".join, axis=1)
    return pd.DataFrame(
        {
            "method": names.str.strip(),
            "pruned": (100 * rows["sparsity"]).round(4),
            "length": rows["length"],
            "top1": values,
            "seeds": rows["seeds"],
        }
    )


def loaded(rows: pd.DataFrame) -> TableResults:
    columns = {
        "arm": "method",
        "sparsity.target": "pruned",
        "test_accuracy": "top1",
        "n": "seeds",
    }
    units = {"sparsity.target": "percent", "test_accuracy": "percent"}
    return load_table(
        printed(rows), columns, units, sweep=["length"], spread="sd", name="published"
    )


@pytest.mark.parametrize(("source", "benchmark"), GRIDS)
def test_a_published_grid_is_read_drawn_and_checked(source: str, benchmark: str) -> None:
    rows = GRIDS[source, benchmark]
    read = loaded(rows)
    trials = read.trials()
    assert trials["sparsity.target"].tolist() == rows["sparsity"].tolist()
    np.testing.assert_allclose(trials["test_accuracy"], rows["value"].round(4), atol=1e-9)

    points = sparsity_curve(read, by="own.length").frame()
    own = points[points["n"] > 0].drop_duplicates(["own.length", "sparsity", "mean"])
    assert {round(mean, 4) for mean in own["mean"]} == set(rows["value"].round(4))
    n = rows["seeds"].fillna(1)
    assert set(own["n"]) == set(n)
    has_interval = rows["sd"].notna() & (n > 1)
    assert points["low"].notna().any() == has_interval.any()

    found = checks(read)
    expected = OTHER_FINDINGS.get((source, benchmark), FINDINGS[source])
    assert found["code"].tolist() == expected
    # Counted by hand: few runs behind a number, and one run beside means over three or four.
    assert ("SPT003" in expected) == (n < 3).any()
    assert ("SPT034" in expected) == ((n > 1).any() and (n == 1).any())
    assert {*found["code"], *found.attrs["not_run"]} <= set(CHECKS)
    # Accuracies alone name no weights, seeds or steps.
    assert {"SPT010", "SPT016", "SPT019"} <= set(found.attrs["not_run"])


def test_every_source_is_listed() -> None:
    assert set(FINDINGS) == {source for source, _ in GRIDS}
    assert set(OTHER_FINDINGS) <= set(GRIDS)
    assert len(GRIDS) == 48


def test_the_gaps_of_the_rigl_paper_are_unpaired() -> None:
    """76.8 (0.09) dense and 74.6 (0.06) at 80 %, three runs each: a standard error of 0.0625.

    Satterthwaite's degrees are 2 (0.0081 + 0.0036)^2 / (0.0081^2 + 0.0036^2) = 3.485.
    """
    points = sparsity_curve(loaded(GRIDS[RIGL, "ResNet50/ImageNet"]), by="own.length").frame()
    at = points["arm"].str.startswith("RigL uniform") & (points["sparsity"] == 0.8)
    (row,) = points[at & (points["own.length"] == "1x")].to_dict("records")
    assert row["unpaired"]
    assert row["difference"] == pytest.approx(-0.022)
    assert row["difference_df"] == pytest.approx(3.485, abs=1e-3)
    half = (row["difference_high"] - row["difference_low"]) / 2
    assert half == pytest.approx(t.ppf(0.975, 3.485) * 0.00062450, rel=1e-3)
    # The dense network was trained for 1x only.
    assert points.loc[points["own.length"] == "5x", "difference"].isna().all()
