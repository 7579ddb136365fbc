"""Captions, advice and remedies for a plain table of runs, in which nothing was searched."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.checks import CHECKS, checks
from analysis.curves.curve import sparsity_curve
from analysis.lengths.summary import summary
from analysis.page.next_steps import next_step_sentences, seeds_to_add
from tests.analysis.runs import runs_table


def test_a_caption_counts_runs_of_a_table_and_report_seeds_of_winners() -> None:
    every = analysis.load_table(runs_table(lengths=(8,)), name="told", select="all")
    best = analysis.load_table(runs_table(lengths=(8,)), name="told", select="best")
    assert sparsity_curve(every).note().startswith("Means over n = 3 runs; bars:")
    assert sparsity_curve(best).note().startswith("Means over n = 3 report seeds; bars:")


def test_a_summary_chooses_no_length_if_nothing_was_selected() -> None:
    every = summary(analysis.load_table(runs_table(), name="told", select="all"))
    best = summary(analysis.load_table(runs_table(), name="told", select="best"))
    assert every["epochs"].tolist() == [4, 8, 4, 8]
    assert best["epochs"].tolist() == [8, 8]


def test_the_report_of_a_table_shows_how_it_was_read(tmp_path: Path) -> None:
    table = runs_table().assign(colour="red")
    page = analysis.report(
        analysis.load_table(table, name="told", select="all"), tmp_path
    ).read_text()
    assert "What was decided in reading it" in page
    assert "Columns not taken: <code>colour</code>." in page
    assert "Nothing was selected: there is a row for every length." in page
    assert "report seeds; bars" not in page


def test_remedies_fit_the_results_and_one_finding_names_all_arms(small: Path) -> None:
    table = runs_table(lengths=(8,), arms=("gmp", "acdc", "set"), seeds=(0, 1))
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
        (4.2, "Add 5 runs with other seeds, to settle {} for GMP at 90 %"),
        (20, "Add 20 runs with other seeds, to settle {} for GMP at 90 %"),
        (21, "Settling {} for GMP at 90 % would take more than 20 seeds: another question may be"),
        (np.inf, "Settling {} for GMP at 90 % would take more than 20 seeds: another question may"),
    ],
)
def test_as_many_seeds_are_advised_as_settle_a_gain(more: float, advice: str) -> None:
    row = {
        "arm": "gmp",
        "sparsity": 0.9,
        "n": 3,
        "verdict": "not settled at n = 3",
        "gain_more_seeds": more,
    }
    (line,) = next_step_sentences(
        analysis.load_table(runs_table(lengths=(8,)), name="told", select="all"),
        pd.DataFrame([row]),
        "",
    )
    assert line.startswith(advice.format("what longer training gains beyond the dense network"))
    resumed = [
        *next_step_sentences(
            analysis.load_table(runs_table(lengths=(8,)), name="told"),
            pd.DataFrame([row]),
            "resume X",
        )
    ]
    assert re.search(r"--add-report-seeds \d+$", resumed[0]) is not None or more > 20


def test_a_summary_suggests_seeds_only_for_gains_that_are_not_settled() -> None:
    table = runs_table()
    noise = np.random.default_rng(0).normal(0, 0.01, len(table))
    found = summary(
        analysis.load_table(table.assign(test_accuracy=table["test_accuracy"] + noise), name="told")
    )
    judged = found[found["gain"].notna()]
    assert len(judged) == 1
    vague = judged["verdict"].str.startswith("not settled")
    assert (judged["gain_more_seeds"].notna() == vague).all()


@pytest.mark.parametrize(
    ("seeds", "more", "count"), [(2, np.nan, 1), (2, 1.0, 1), (2, 6.5, 7), (1, 1.0, 2), (3, 4.0, 4)]
)
def test_one_number_of_seeds_is_advised_on_a_page(seeds: int, more: float, count: int) -> None:
    verdict = "gains more" if np.isnan(more) else f"not settled at n = {seeds}"
    row = {"arm": "gmp", "sparsity": 0.9, "n": seeds, "verdict": verdict, "gain_more_seeds": more}
    numbers = pd.DataFrame([row])
    assert seeds_to_add(numbers) == count
    results = analysis.load_table(runs_table(lengths=(8,)), name="told")
    advice = " ".join(next_step_sentences(results, numbers, "resume X"))
    assert re.findall(r"--add-report-seeds (\S+)", advice) == [str(count)]
    # The check of too few seeds leaves the number to the next steps.
    assert not re.search(r"--add-report-seeds \d", CHECKS["SPT003"].remedy)


def test_enough_seeds_are_not_advised_to_be_more() -> None:
    row = {"arm": "gmp", "sparsity": 0.9, "n": 3, "verdict": "gains more"}
    numbers = pd.DataFrame([row | {"gain_more_seeds": np.nan}])
    assert seeds_to_add(numbers) == 0
    results = analysis.load_table(runs_table(lengths=(8,)), name="told")
    assert not any("seed" in line for line in next_step_sentences(results, numbers, "resume X"))
