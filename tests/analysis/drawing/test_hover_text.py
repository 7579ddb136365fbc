"""Texts that marks show when pointed at: what they stand for, their value, interval and n."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import analysis
from analysis.drawing.files import freeze_layout
from analysis.frontiers.iso_flops import IsoFlops
from analysis.lengths.needed import epochs_needed
from analysis.lengths.verdicts import undertraining
from analysis.measure import Measure
from analysis.page.interactive.figure import to_plotly
from analysis.recipes.importance import figures as importance_figures
from analysis.recipes.importance.importance import IMPORTANCE_COLUMNS, MATTERS, Importance
from analysis.recipes.tuning_gain import figures as optimism_figures
from analysis.recipes.tuning_gain.optimism import OPTIMISM_COLUMNS, Optimism
from analysis.structure import figures as structures
from analysis.structure.density import LAYER_COLUMNS, DensityProfile
from analysis.structure.mask_overlap import OVERLAP_COLUMNS, MaskOverlap
from tests.analysis.runs import runs_table

LOSS = Measure.by_name("val_loss")


def hovers(figure: Any) -> list[str]:
    """Everything that the marks of a figure say."""
    freeze_layout(figure)
    found = to_plotly(figure)
    assert found is not None
    return [
        text
        for panel in found.panels
        for trace in panel["data"]
        for text in trace.get("hovertext", [])
    ]


def test_marks_of_importance_and_optimism_show_their_share_or_interval_and_n() -> None:
    row = {
        "arm": "gmp",
        "band": "90 %",
        "sparsity": 0.9,
        "axis": "optim.lr",
        "n": 34,
        "share": 0.5,
        "p": 0.02,
        "verdict": MATTERS,
    }
    rows = pd.DataFrame([row], columns=IMPORTANCE_COLUMNS)
    assert hovers(importance_figures.draw_importance(Importance(LOSS, "ped_anova", rows))) == [
        "Learning rate<br>importance 50 %, n = 34, matters more than chance explains"
    ]
    luck = {
        "cell": "gmp",
        "arm": "gmp",
        "sparsity": 0.9,
        "epochs": 8.0,
        "configurations": 32,
        "search": 0.10,
        "n": 3,
    }
    luck |= {
        "report": 0.12,
        "low": 0.11,
        "high": 0.13,
        "luck": 0.02,
        "luck_low": 0.01,
        "luck_high": 0.03,
    }
    found = pd.DataFrame([luck], columns=["cell", "arm", "sparsity", "epochs", *OPTIMISM_COLUMNS])
    told = hovers(optimism_figures.draw_optimism(Optimism(Measure.by_name("val_error"), found)))
    assert any(
        text.endswith("12.00 [11.00, 13.00], n = 3, luck 2.00 [1.00, 3.00]") for text in told
    )
    assert any(text.endswith("best of 32: 10") for text in told)


def test_marks_of_costs_and_layers_show_their_interval_and_n() -> None:
    points = pd.DataFrame(
        [{"cell": "a", "arm": "gmp", "sparsity": 0.9, "epochs": 8.0, "train_flops": 2.5}]
    )
    points = points.assign(n=3, mean=0.5, low=0.4, high=0.6)
    told = hovers(IsoFlops(LOSS, points, points[:0]).plot())
    assert len(told) == 2
    assert all(
        "gmp, 90 % sparsity, 8 epochs, 2.5 dense epochs of FLOPs<br>" in text for text in told
    )
    assert all(text.endswith("Validation loss (nats): 0.5 [0.4, 0.6], n = 3") for text in told)
    layer = {
        "cell": "a",
        "arm": "gmp",
        "sparsity": 0.9,
        "epochs": 8.0,
        "trial_id": "t",
        "position": 0,
        "layer": "fc",
    }
    rows = [
        layer | {"seed": seed, "weights": 1000, "kept": k, "density": k / 1000}
        for seed, k in enumerate((90, 110))
    ]
    told = hovers(
        structures.draw_densities(DensityProfile(pd.DataFrame(rows, columns=LAYER_COLUMNS)))
    )
    assert any(
        "fc<br>" in text and text.endswith("n = 2, 1,000 weights") and "10 [" in text
        for text in told
    )


def test_cells_of_a_matrix_show_whose_masks_overlap_by_how_much() -> None:
    pair = {
        "sparsity": 0.9,
        "recipe": "gmp",
        "other": "gmp",
        "same_seed": False,
        "same_start": False,
        "layer": "all",
    }
    pair |= {
        "n": 3,
        "pairs": 3,
        "iou": 0.35,
        "low": 0.25,
        "high": 0.45,
        "chance": 0.0526,
        "verdict": "above",
    }
    rows = [pair, pair | {"other": "<acdc>", "iou": 0.3, "low": np.nan, "high": np.nan}]
    freeze_layout(
        figure := structures.draw_overlaps(MaskOverlap(pd.DataFrame(rows, columns=OVERLAP_COLUMNS)))
    )
    found = to_plotly(figure)
    assert found is not None
    told = [text for panel in found.panels for row in panel["data"][0]["text"] for text in row]
    assert (
        told[0] == "gmp and gmp, two seeds, two starts<br>IoU 35 [25, 45] %, n = 3, 5.26 by chance"
    )
    assert sorted(told)[:2] == ["", ""]  # no pair of two AC/DC masks, none of one seed
    assert any(
        text.startswith("gmp and &lt;acdc&gt;, two seeds") and "IoU 30 %, n = 3" in text
        for text in told
    )


def test_marks_of_verdicts_and_epochs_needed_show_the_reason_and_n() -> None:
    results = analysis.load_table(runs_table(), name="told", select="all")
    told = hovers(undertraining(results).plot())
    assert len([text for text in told if "not settled: nothing longer was run" in text]) == 2
    assert any("90 % sparsity, 4 epochs" in text and "3 seeds" in text for text in told)
    assert all(text.endswith("n = 3") for text in hovers(epochs_needed(results).plot()))
