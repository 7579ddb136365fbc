"""Captions, advice and remedies for a plain table of runs, in which nothing was searched."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

import analysis
from analysis.checks import CHECKS, checks
from analysis.curves.curve import sparsity_curve
from analysis.lengths.summary import summary
from tests.analysis.runs import runs_table


def test_a_caption_counts_runs_of_a_table_and_report_seeds_of_winners() -> None:
    every = analysis.load_table(runs_table(lengths=(8,)), name="told", select="all")
    best = analysis.load_table(runs_table(lengths=(8,)), name="told", select="best")
    assert sparsity_curve(every).note().startswith("Marks are means over 3 runs. Bars are")
    assert sparsity_curve(best).note().startswith("Marks are means over 3 seeds. Bars are")


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
    assert "Nothing was selected, so there is a row for every length." in page
    assert "Marks are means over 3 seeds" not in page


def test_remedies_fit_the_results_and_one_finding_names_all_arms(small: Path) -> None:
    table = runs_table(lengths=(8,), arms=("gmp", "acdc", "set"), seeds=(0, 1))
    found = checks(analysis.load_table(table, name="told", select="all")).query("code == 'SPT003'")
    assert len(found) == 1
    assert found["arm"].iloc[0] == "dense-gmp, gmp, dense-acdc, acdc, dense-set, set"
    assert all(
        f"Some have no more than 2 seeds, 1 of 1 network: {arm} at 90 %" in found["message"].iloc[0]
        for arm in ("GMP", "AC/DC", "SET")
    )
    assert found["remedy"].iloc[0].startswith("Add runs with other seeds")
    ours = checks(analysis.load(small)).query("code == 'SPT003'")
    assert ours["remedy"].str.contains("sparsetune resume DIRECTORY").all()


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


def test_the_check_of_too_few_seeds_leaves_their_number_to_the_next_steps() -> None:
    assert not re.search(r"--add-report-seeds \d", CHECKS["SPT003"].remedy)
