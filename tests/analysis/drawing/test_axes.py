"""Axes of sparsity say how they are scaled."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.drawing.axes import log_density, set_sparsity_axis, sparsity_transform

SPARSITIES = [0, 0.8, 0.9, 0.98, 0.999]


@pytest.fixture
def panel() -> Axes:
    axes: Axes = Figure().subplots()
    return axes


def test_a_logarithmic_axis_shows_the_weights_left_below_the_sparsity(panel: Axes) -> None:
    set_sparsity_axis(panel.xaxis, SPARSITIES)
    assert panel.get_xlabel() == "Sparsity (%),\nbelow: weights left (%, log scale)"
    names = {label.get_text() for label in panel.get_xticklabels()}
    assert names == {"0\n100", "80\n20", "90\n10", "98\n2", "99.9\n0.1"}
    assert sorted(panel.get_xticks()) == pytest.approx(list(log_density(SPARSITIES)))


def test_a_vertical_one_says_so_in_its_label_alone(panel: Axes) -> None:
    set_sparsity_axis(panel.yaxis, SPARSITIES, column="sparsity_now")
    assert panel.get_ylabel() == "Sparsity of the mask (%),\nlog scale of weights left"
    assert {label.get_text() for label in panel.get_yticklabels()} >= {"0", "98", "99.9"}


@pytest.mark.parametrize(
    ("scale", "label"), [("linear", "Sparsity (%)"), ("logit", "Sparsity (%), logit scale")]
)
def test_other_scales_are_not_called_logarithmic(panel: Axes, scale: str, label: str) -> None:
    set_sparsity_axis(panel.xaxis, SPARSITIES, sparsity_transform(scale, SPARSITIES))
    assert panel.get_xlabel() == label
    assert "\n" not in "".join(text.get_text() for text in panel.get_xticklabels())
    assert np.isfinite(panel.get_xticks()).all()
