"""Gain of re-tuning over the dense recipe, and the luck in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from analysis.curves.curve import sparsity_curve
from analysis.recipes.tuning_gain.exhibits import optimism_exhibits
from analysis.recipes.tuning_gain.optimism import optimism
from analysis.recipes.tuning_gain.retuning import retuning_gain
from analysis.testing import ResultsBuilder
from sparsetune.errors import SparsetuneError


def tuned(
    winner: Sequence[float], control: Sequence[float], target: float = 0.98
) -> ResultsBuilder:
    """A cell with a winner and a control."""
    return (
        ResultsBuilder()
        .report("c", {"test_accuracy": winner}, target=target)
        .control("c", {"test_accuracy": control})
    )


def test_spreads_of_tuning_gains_are_pooled_within_a_sparsity() -> None:
    made = tuned([0.9, 0.9, 0.9], [0.899, 0.900, 0.898], 0.8)
    made.report("d", {"test_accuracy": [0.8, 0.8]}, target=0.98).control(
        "d", {"test_accuracy": [0.70, 0.75]}
    )
    gains = retuning_gain(made).set_index("cell")
    # gains 0.001, 0, 0.002: sd 0.001, df 2; and 0.1, 0.05: sd 0.05 / sqrt 2, df 1
    assert gains["pooled_sd"].tolist() == pytest.approx([0.001, 0.05 / 2**0.5])
    assert gains["df"].tolist() == [2, 1]


def test_a_recipe_that_diverges_on_some_seeds_has_no_mean() -> None:
    made = tuned([0.9, 0.91, 0.9], [0.89, np.nan, np.nan])
    row = retuning_gain(made).iloc[0]
    assert np.isnan(row["gain"])
    assert row["control_diverged"] == 2
    assert sparsity_curve(made, by=None, gap="control").frame().empty
    sound = tuned([0.9, 0.902, 0.901], [0.89, 0.89, 0.89])
    assert retuning_gain(sound)["control_diverged"].tolist() == [0]


def test_of_runs_that_chose_their_winner_luck_cannot_be_told() -> None:
    given = {"val_error": [0.1, 0.11], "test_accuracy": [0.9, 0.89]}
    lucky = (
        ResultsBuilder(has_fresh_seeds=False)
        .report("c", given, target=0.9)
        .control("c", {"test_accuracy": [0.8, 0.8]})
    )
    lucky.ranges = {("c", "optim.lr"): None}  # type: ignore[dict-item]
    lucky.cell_rows["c"]["objective"] = 0.1
    assert optimism(lucky).frame().empty
    with pytest.raises(SparsetuneError, match="on seeds that did not choose"):
        list(optimism_exhibits(lucky))
