"""What readers are told: marks with n and interval, tables in units, remedies and advice that fit the results."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.checks import checks
from analysis.curves.curve import sparsity_curve
from analysis.drawing.files import freeze_layout
from analysis.frontiers.iso_flops import IsoFlops
from analysis.lengths.saturation import epochs_needed
from analysis.lengths.summary import summary
from analysis.lengths.verdicts import undertraining
from analysis.page.headlines import next_step_sentences
from analysis.page.interactive.figure import to_plotly
from analysis.page.table import page_table
from analysis.quantities import column_label
from analysis.recipes import importance_figure, optimism_figure, optimum_figure
from analysis.recipes.importance import IMPORTANCE_COLUMNS, Importance
from analysis.recipes.optimism import OPTIMISM_COLUMNS, Optimism
from analysis.structure import figures as structures
from analysis.structure.density import LAYER_COLUMNS, DensityProfile
from analysis.structure.mask_overlap import OVERLAP_COLUMNS, MaskOverlap

SEEDS = (0, 1, 2)


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


def runs(
    lengths: tuple[float, ...] = (4, 8), arms: tuple[str, ...] = ("gmp",), seeds: Any = SEEDS
) -> pd.DataFrame:
    """Runs of every arm, sparsity, length and seed; longer is better."""
    rows = [
        {
            "arm": arm,
            "sparsity": s,
            "schedule.epochs": e,
            "seed": seed,
            "test_accuracy": 0.9 - s / 9 + e / 999 + seed / 99,
        }
        for arm in arms
        for s in (0.0, 0.9)
        for e in lengths
        for seed in seeds
    ]
    frame = pd.DataFrame(rows)
    gains = (
        frame["seed"] * frame["schedule.epochs"] / 9999
    )  # seeds differ in them, or they had no interval
    return frame.assign(
        val_accuracy=frame["test_accuracy"] - 0.01 + gains, train_loss=1 - frame["test_accuracy"]
    )


def test_marks_of_importance_and_optimism_say_their_interval_and_n() -> None:
    row = {
        "arm": "gmp",
        "band": "90 %",
        "sparsity": 0.9,
        "axis": "optim.lr",
        "n": 34,
        "share": 0.5,
        "low": 0.25,
    }
    rows = pd.DataFrame(
        [row | {"high": 0.75, "p": 0.02, "verdict": "matters"}], columns=IMPORTANCE_COLUMNS
    )
    assert hovers(importance_figure.draw_importance(Importance("val_loss", "ped_anova", rows))) == [
        "Learning rate<br>importance 50 [25, 75] %, n = 34, matters"
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
    told = hovers(optimism_figure.draw_optimism(Optimism("val_error", found)))
    assert any(
        text.endswith("12.00 [11.00, 13.00], n = 3, luck 2.00 [1.00, 3.00]") for text in told
    )
    assert any(text.endswith("best of 32: 10") for text in told)


def test_marks_of_costs_and_layers_say_their_interval_and_n() -> None:
    points = pd.DataFrame(
        [{"cell": "a", "arm": "gmp", "sparsity": 0.9, "epochs": 8.0, "train_flops": 2.5}]
    )
    points = points.assign(n=3, mean=0.5, low=0.4, high=0.6)
    told = hovers(IsoFlops("val_loss", points, points[:0]).plot())
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


def test_places_of_a_matrix_say_whose_masks_overlap_by_how_much() -> None:
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


def test_tables_show_parts_of_training_and_measures_in_percent() -> None:
    frame = pd.DataFrame(
        {"sparsity.ramp.start": [0.1391119204], "objective": [0.12345], "sparsity.target": [0.995]}
    )
    columns = {
        name: optimum_figure.axis_name(name) for name in ("sparsity.ramp.start", "sparsity.target")
    }
    table = page_table(frame, {**columns, "objective": column_label("val_error")})
    assert [column.heading for column in table.columns] == [
        *("Ramp start (% of training)", "Sparsity (%)", "Validation error (%)")
    ]
    assert [cell.text for cell in table.rows[0].cells] == ["13.91", "99.5", "12.35"]


def test_verdicts_and_epochs_needed_say_why() -> None:
    results = analysis.load_table(runs(), name="told", select="all")
    told = hovers(undertraining(results).plot())
    assert len([text for text in told if "cannot tell: nothing longer was run" in text]) == 2
    assert any("90 % sparsity, 4 epochs" in text and "at n = 3" in text for text in told)
    assert all(text.endswith("n = 3") for text in hovers(epochs_needed(results).plot()))


def test_places_on_an_axis_are_in_its_unit() -> None:
    assert optimum_figure.format_value("sparsity.ramp.start", 0.1, 0, 0.5) == "10 [0, 50] %"
    assert optimum_figure.format_value("optim.lr", 0.1, 0.08, 0.13) == "0.1 [0.08, 0.13]"
    assert optimum_figure.format_value("optim.lr", np.nan) == ""
    assert optimum_figure.format_range("sparsity.ramp.length", 0.1, 0.7) == "10 to 70 %"
    frame = pd.DataFrame({"axis": ["optim.lr", "sparsity.ramp.start"]})
    cells = [row.cells[0].text for row in page_table(frame, {"axis": "Axis"}).rows]
    assert cells == ["Learning rate", "Ramp start (% of training)"]


def test_a_table_is_captioned_by_runs_and_a_choice_by_report_seeds() -> None:
    every = analysis.load_table(runs(lengths=(8,)), name="told", select="all")
    best = analysis.load_table(runs(lengths=(8,)), name="told", select="best")
    assert sparsity_curve(every).note().startswith("Means over n = 3 runs; bars:")
    assert sparsity_curve(best).note().startswith("Means over n = 3 report seeds; bars:")


def test_no_length_is_chosen_where_nothing_was_selected() -> None:
    every = summary(analysis.load_table(runs(), name="told", select="all"))
    best = summary(analysis.load_table(runs(), name="told", select="best"))
    assert every["epochs"].tolist() == [4, 8, 4, 8]
    assert best["epochs"].tolist() == [8, 8]


def test_a_report_of_a_table_says_how_it_was_read(tmp_path: Path) -> None:
    table = runs().assign(colour="red")
    page = analysis.report(
        analysis.load_table(table, name="told", select="all"), tmp_path
    ).read_text()
    assert "What was decided in reading it" in page
    assert "Columns not taken: <code>colour</code>." in page
    assert "Nothing was selected: there is a row for every length." in page
    assert "report seeds; bars" not in page


def test_remedies_fit_the_results_and_arms_are_told_together(small: Path) -> None:
    table = runs(lengths=(8,), arms=("gmp", "acdc", "set"), seeds=(0, 1))
    found = checks(analysis.load_table(table, name="told", select="all")).query("code == 'SPT003'")
    assert len(found) == 1
    assert found["arm"].iloc[0] == "dense-gmp, gmp, dense-acdc, acdc, dense-set, set"
    assert all(
        f"in {arm}, n = 2 in 1 of 1 cell (" in found["message"].iloc[0]
        for arm in ("gmp", "acdc", "set")
    )
    assert found["remedy"].iloc[0].startswith("Add runs with other seeds")
    ours = checks(analysis.load(small)).query("code == 'SPT003'")
    assert ours["remedy"].str.contains("sparsetune resume DIRECTORY").all()


@pytest.mark.parametrize(
    ("more", "advice"),
    [
        (4.2, "Add about 5 runs with other seeds, now n = 3"),
        (20, "Add about 20 runs with other seeds, now n = 3"),
        (21, "More than 20 seeds, another question may be worth more"),
        (np.inf, "More than 20 seeds, another question may be worth more"),
    ],
)
def test_as_many_seeds_are_advised_as_are_needed(more: float, advice: str) -> None:
    row = {
        "arm": "gmp",
        "sparsity": 0.9,
        "n": 3,
        "verdict": "not separated at n = 3",
        "gain_more_seeds": more,
    }
    (line,) = next_step_sentences(
        analysis.load_table(runs(lengths=(8,)), name="told", select="all"), pd.DataFrame([row]), ""
    )
    assert line == f"{advice}: longer training is not separated from dense for gmp at 90 %"
    resumed = [
        *next_step_sentences(
            analysis.load_table(runs(lengths=(8,)), name="told"), pd.DataFrame([row]), "resume X"
        )
    ]
    assert re.search(r"--add-report-seeds \d+$", resumed[0]) is not None or more > 20


def test_the_seeds_of_a_summary_are_those_that_separate_it() -> None:
    table = runs()
    noise = np.random.default_rng(0).normal(0, 0.01, len(table))
    found = summary(
        analysis.load_table(table.assign(test_accuracy=table["test_accuracy"] + noise), name="told")
    )
    judged = found[found["gain"].notna()]
    assert len(judged) == 1
    vague = judged["verdict"].str.startswith("not separated")
    assert (judged["gain_more_seeds"].notna() == vague).all()
