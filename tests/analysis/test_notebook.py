"""What a notebook shows of studies and results: their numbers and a picture."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import analysis
from analysis import drawers
from analysis.notebook import PICTURE_SCALE, Shown, frame_html
from sparsetune import Choice, LogUniform, SparsitySpec, Study, TrialSpec
from sparsetune.notebook import MAX_TABLE_ROWS

PICTURE = re.compile(r'<img src="data:image/png;base64,([^"]+)" width="(\d+)"')


def picture_size(html: str) -> tuple[int, int]:
    """Width on the page, and pixels of the PNG's own header across, of the one picture."""
    ((data, width),) = PICTURE.findall(html)
    png = base64.b64decode(data)
    assert png.startswith(b"\x89PNG")
    return int(width), int.from_bytes(png[16:20])


def test_a_curve_shows_its_picture_caption_and_numbers(small: Path) -> None:
    curve = analysis.sparsity_curve(analysis.load(small))
    html = curve._repr_html_()
    width, pixels = picture_size(html)
    assert abs(pixels - PICTURE_SCALE * width) <= 2
    assert curve.note()[:40] in html
    assert html.count("<tr>") == 1 + len(curve.frame())
    assert f"<td>{curve.frame()['mean'][0]:.4g}</td>" in html


def test_everything_that_is_drawn_shows_itself() -> None:
    drawn = {kind for kind, figure in drawers._DRAWERS if figure == "plot"}
    assert len(drawn) > 10
    assert [kind.__name__ for kind in drawn if not issubclass(kind, Shown)] == []


def test_what_cannot_be_drawn_yet_says_why(small: Path) -> None:
    results = analysis.load(small)
    points = analysis.sparsity_curve(results).points.iloc[:0]
    empty = analysis.Curve(results.measure("val_loss"), "sparsity", None, points)
    html = empty._repr_html_()
    assert "there is nothing to draw" in html
    assert PICTURE.findall(html) == []


def test_a_figure_shows_itself_alone(small: Path) -> None:
    figure = analysis.sparsity_curve(analysis.load(small)).plot()
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_results_show_their_question_trials_and_cells(small: Path) -> None:
    results = analysis.load(small)
    html = results._repr_html_()
    assert f"<b>small: {len(results.trials())} COMPLETE</b>" in html
    assert "<p>Small?</p>" in html
    assert "<td>gmp/target=0.9/epoch_multiplier=2</td>" in html
    assert repr(results) == f"<StudyResults small: {len(results.trials())} COMPLETE>"


def test_a_difference_shows_what_changed(small: Path) -> None:
    assert "<td>no, equal on every seed</td>" in analysis.diff(small, small)._repr_html_()


def test_a_study_shows_what_it_opens_or_its_faults() -> None:
    base = TrialSpec(sparsity=SparsitySpec(method="gmp"))
    study = Study(
        name="first",
        question="Is 2 < 3?",
        base=base,
        sweep={"sparsity.target": [0, 0.9]},
        search={"optim.lr": LogUniform(0.01, 1), "optim.nesterov": Choice([True, False])},
    )
    html = study._repr_html_()
    assert "<p>Is 2 &lt; 3?</p>" in html
    for name, value in {
        "cells": "dense, gmp/target=0.9",
        "search optim.lr": "log_uniform 0.01 to 1.0",
        "search optim.nesterov": "choice True, False",
        "objective": "minimize val_error",
    }.items():
        assert f"<td>{name}</td><td>{value}</td>" in html
    faulty = study.with_changes(search={"optim.rate": LogUniform(0.01, 1)})
    assert "`search.optim.rate`: unknown field" in faulty._repr_html_()
    assert "must be given" in Study()._repr_html_()  # type: ignore[call-arg]


def test_a_long_table_is_cut_and_a_missing_value_left_empty() -> None:
    frame = pd.DataFrame({"<x>": [np.nan, *np.linspace(0, 1, 20)], "levels": [(1, 2)] * 21})
    html = frame_html(frame)
    assert "<th>&lt;x&gt;</th>" in html
    assert "<td></td><td>1, 2</td>" in html
    assert html.count("<tr>") == 1 + MAX_TABLE_ROWS
    assert "… and 9 more rows." in html


def test_showing_a_study_loads_no_pandas() -> None:
    code = (
        "import sys; from sparsetune import Study; Study(name='x')._repr_html_();"
        "print({'pandas', 'matplotlib', 'torch', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
