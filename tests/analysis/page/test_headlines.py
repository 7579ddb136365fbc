"""Sentences of the verdict and of next steps, each on a study that has it and one that does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from analysis.curves.comparison import compare_arms
from analysis.curves.curve import sparsity_curve
from analysis.lengths.summary import summary
from analysis.measure import Measure
from analysis.page.headlines import (
    headline_sentences,
    length_sentences,
    ranking_sentence,
    tuning_sentences,
    undertrained_lengths,
)
from analysis.page.next_steps import next_step_sentences
from analysis.recipes.tuning_gain.exhibits import optimism_exhibits
from analysis.recipes.tuning_gain.optimism import optimism
from analysis.recipes.tuning_gain.retuning import retuning_gain
from analysis.testing import ResultsBuilder
from sparsetune.errors import SparsetuneError

ACCURACY = Measure.by_name("test_accuracy")


def near(mean: float, place: int) -> np.ndarray:
    """Three values around a mean, others for each place."""
    noise = np.random.default_rng(place).normal(0, 2e-4, 3)
    return mean + noise - noise.mean()


def trained(*cells: tuple[str, float, int, float | Sequence[float]]) -> ResultsBuilder:
    """Winners of ``arm sparsity epochs`` and mean accuracy, at n = 3, or their accuracies."""
    made = ResultsBuilder()
    for place, (arm, target, epochs, reached) in enumerate(cells):
        accuracy = (
            np.asarray(reached)
            if np.size(reached) > 1
            else near(float(np.ravel(reached)[0]), place)
        )
        values = {"test_accuracy": accuracy, "val_accuracy": accuracy, "val_error": 1 - accuracy}
        values["train_loss"] = 2 - accuracy
        made.report(f"{arm}-{target}-{epochs}", values, target=target, epochs=epochs, arm=arm)
    return made


def said(made: ResultsBuilder) -> list[str]:
    return list(headline_sentences(made, summary(made), "test_accuracy", {}))


def tuned(
    winner: Sequence[float], control: Sequence[float], target: float = 0.98
) -> ResultsBuilder:
    return (
        ResultsBuilder()
        .report("c", {"test_accuracy": winner}, target=target)
        .control("c", {"test_accuracy": control})
    )


def test_a_network_that_became_worse_does_not_gain() -> None:
    worse = trained(
        ("dense", 0, 8, 0.950),
        ("dense", 0, 64, 0.941),
        ("gmp", 0.9, 8, 0.902),
        ("gmp", 0.9, 64, 0.899),
    )
    # A sparse network that falls by 0.3 points beside a dense one that falls by 0.9: whether either
    # itself loses is the sign of a mean without an interval, and is not said.
    (line,) = [line for line in said(worse) if "epochs, the change" in line]
    assert line.startswith(
        "From 8 to 64 epochs, the change of GMP minus that of the dense network is 0.60 points ("
    )
    assert line.endswith(", 3 seeds) at 90 %.")
    assert "loses" not in " ".join(said(worse))
    better = trained(
        ("dense", 0, 8, 0.950),
        ("dense", 0, 64, 0.950),
        ("gmp", 0.9, 8, 0.902),
        ("gmp", 0.9, 64, 0.909),
    )
    (line,) = [line for line in said(better) if "epochs, the change" in line]
    assert "is 0.70 points (" in line and "not settled" not in line
    vague = trained(
        ("dense", 0, 8, 0.950),
        ("dense", 0, 64, 0.950),
        ("gmp", 0.9, 8, [0.90, 0.91, 0.92]),
        ("gmp", 0.9, 64, [0.89, 0.92, 0.91]),
    )
    (line,) = [line for line in said(vague) if "epochs, the change" in line]
    assert line.endswith("3 seeds) at 90 % (not settled).")


def test_steps_of_different_lengths_have_a_sentence_each() -> None:
    dense = [("dense", 0, epochs, 0.95) for epochs in (4, 16, 64)]
    sparse = [
        ("gmp", 0.9, 4, 0.90),
        ("gmp", 0.9, 16, 0.92),
        ("gmp", 0.98, 4, 0.70),
        ("gmp", 0.98, 64, 0.80),
    ]
    lines = [line for line in said(trained(*dense, *sparse)) if "epochs, the change" in line]
    assert [line.partition(",")[0] for line in lines] == [
        "From 4 to 16 epochs",
        "From 4 to 64 epochs",
    ]


def test_dense_needs_the_longest_only_where_several_lengths_of_it_were_run() -> None:
    needs = "The dense network is within 0.2 points of its best only at the longest training"
    sparse = [("gmp", 0.9, 8, 0.90), ("gmp", 0.9, 16, 0.92)]
    assert any(
        needs in line
        for line in said(trained(("dense", 0, 8, 0.90), ("dense", 0, 16, 0.95), *sparse))
    )
    assert not any(
        needs in line
        for line in said(trained(("dense", 0, 8, 0.95), ("dense", 0, 16, 0.95), *sparse))
    )
    assert not any(needs in line for line in said(trained(("dense", 0, 8, 0.95), *sparse)))
    dense = [("dense", 0, 4, 0.9), ("dense", 0, 8, 0.95), ("dense", 0, 16, 0.95)]
    short = trained(
        *dense, ("gmp", 0.9, 4, 0.8), sparse[0]
    )  # 8 suffices, and the sparse one was not run longer
    assert not any(needs in line for line in said(short))


def test_lengths_are_named_where_under_training_is_not_shown_at_all_shorter_ones() -> None:
    line = pd.DataFrame(
        {"epochs": [4, 8, 16], "verdict": ["under-trained", "over-trained", "under-trained"]}
    )
    assert undertrained_lengths(line) == "after 4 and 16 epochs"
    assert (
        undertrained_lengths(line.assign(verdict=["under-trained", "under-trained", "enough"]))
        == "up to 8 epochs"
    )
    assert (
        undertrained_lengths(line.assign(verdict=["enough", "under-trained", "enough"]))
        == "after 8 epochs"
    )


def test_how_many_verdicts_chance_would_give_is_said() -> None:
    under = trained(
        *[("gmp", s, e, 0.7 + 0.05 * np.log2(e) - s / 9) for s in (0.9, 0.98) for e in (4, 8, 16)]
    )
    first = next(length_sentences(under, {}))
    assert first == (
        "GMP is under-trained at 90 % up to 8 epochs, at 98 % up to 8 epochs"
        " (4 cells judged, 0.1 of them would be called so by chance)."
    )


def test_arms_are_ranked_after_the_longest_training_that_all_had() -> None:
    columns = ["arm", "sparsity", "epochs", "mean", "low", "n"]
    rows = [
        ["a", 0.9, 64, 0.91, 0.9, 3],
        ["a", 0.9, 8, 0.85, 0.8, 3],
        ["b", 0.9, 8, 0.905, np.nan, 1],
    ]
    rows += [["c", 0.9, 8, 0.90, 0.8, 3], ["d", 0.9, 8, 0.89, 0.8, 3]]
    line = ranking_sentence(pd.DataFrame(rows, columns=columns), ACCURACY)
    assert line.startswith(
        "At 90 % sparsity after 8 epochs, test accuracy in percent: b 90.50 (one seed), c 90.00,"
    )
    assert "d 89.00, a 85.00." in line
    line = ranking_sentence(pd.DataFrame([*rows[:1], *rows[2:]], columns=columns), ACCURACY)
    assert "a 91.00 after 64 epochs, b 90.50 after 8 epochs (one seed)" in line


def test_arms_are_compared_after_the_longest_training_that_most_had() -> None:
    made = trained(
        ("a", 0.9, 8, 0.85), ("a", 0.9, 64, 0.91), ("b", 0.9, 8, 0.9), ("c", 0.9, 8, 0.89)
    )
    found = compare_arms(made)
    assert found.epochs == 8 and found.shared() == [0.9]
    assert compare_arms(made, epochs=64).shared() == []


def test_spreads_of_tuning_gains_are_pooled_within_a_sparsity() -> None:
    made = tuned([0.9, 0.9, 0.9], [0.899, 0.900, 0.898], 0.8)
    made.report("d", {"test_accuracy": [0.8, 0.8]}, target=0.98).control(
        "d", {"test_accuracy": [0.70, 0.75]}
    )
    gains = retuning_gain(made).set_index("cell")
    # gains 0.001, 0, 0.002: sd 0.001, df 2; and 0.1, 0.05: sd 0.05 / sqrt 2, df 1
    assert gains["pooled_sd"].tolist() == pytest.approx([0.001, 0.05 / 2**0.5])
    assert gains["df"].tolist() == [2, 1]


def test_a_recipe_that_diverges_on_some_seeds_has_no_mean_and_is_named() -> None:
    made = tuned([0.9, 0.91, 0.9], [0.89, np.nan, np.nan])
    row = retuning_gain(made).iloc[0]
    assert np.isnan(row["gain"]) and row["control_diverged"] == 2
    assert list(tuning_sentences(made, "test_accuracy", {})) == [
        "For GMP at 98 %, 8 epochs, the dense recipe diverged on 2 seeds, the winner did not."
    ]
    assert sparsity_curve(made, by=None, gap="control").frame().empty
    sound = tuned([0.9, 0.902, 0.901], [0.89, 0.89, 0.89])
    assert retuning_gain(sound)["control_diverged"].tolist() == [0]
    (better,) = tuning_sentences(sound, "test_accuracy", {})
    assert better == (
        "Re-tuning GMP at 98 %, 8 epochs, changed test accuracy by 1.10 points (0.85 to 1.35,"
        " 3 seeds) over the dense winner's recipe at 1x training."
    )
    worse = tuned([0.88, 0.88, 0.881], [0.89, 0.89, 0.89])
    assert " by -0.97 points (" in next(tuning_sentences(worse, "test_accuracy", {}))
    vague = tuned([0.88, 0.90, 0.89], [0.89, 0.89, 0.89])
    assert next(tuning_sentences(vague, "test_accuracy", {})).endswith(": not settled.")


def test_the_sparsest_cell_speaks_for_its_arm_also_where_it_chose_the_dense_recipe() -> None:
    made = tuned([0.9, 0.91, 0.9], [0.89, 0.89, 0.89], 0.9)
    made.report("sparsest", {"test_accuracy": [0.7, 0.7, 0.7]}, target=0.98)
    made.cell_rows["sparsest"]["control_id"] = made.cell_rows["sparsest"]["winner_id"]
    assert list(tuning_sentences(made, "test_accuracy", {})) == [
        "For GMP at 98 %, 8 epochs, the search chose the dense recipe itself."
    ]


def test_of_runs_that_chose_their_winner_luck_cannot_be_told_and_gains_are_said_to_be_lucky() -> (
    None
):
    given = {"val_error": [0.1, 0.11], "test_accuracy": [0.9, 0.89]}
    lucky = (
        ResultsBuilder(has_fresh_seeds=False)
        .report("c", given, target=0.9)
        .control("c", {"test_accuracy": [0.8, 0.8]})
    )
    lucky.ranges = {("c", "optim.lr"): None}  # type: ignore[dict-item]
    lucky.cell_rows["c"]["objective"] = 0.1
    assert "on the runs that chose it, so too good by luck" in next(
        tuning_sentences(lucky, "test_accuracy", {})
    )
    assert optimism(lucky).frame().empty
    with pytest.raises(SparsetuneError, match="on seeds that did not choose"):
        list(optimism_exhibits(lucky))


def test_dense_is_advised_to_train_longer_too_and_nothing_that_diverged_there() -> None:
    rising = [
        (arm, s, e, 0.7 + 0.05 * np.log2(e))
        for arm, s in (("dense", 0), ("gmp", 0.9))
        for e in (4, 8)
    ]
    made = trained(*rising)
    advice = " ".join(next_step_sentences(made, summary(made), ""))
    expected = (
        "Train longer than 8 epochs: every shorter training is shown to be too short for"
        " the dense network, GMP at 90 %"
    )
    assert expected in advice
    made = trained(*rising)
    made.report("lost", {"val_error": [0.5, 0.5, 0.5]}, target=0.9, epochs=16)
    for row in made.trial_rows:
        row["status"] = "DIVERGED" if row["cell"] == "lost" else row["status"]
    advice = " ".join(next_step_sentences(made, summary(made), ""))
    assert "too short for the dense network" in advice and "GMP at 90 %" not in advice


def test_what_was_not_measured_and_what_nobody_ran_is_refused() -> None:
    made = trained(("gmp", 0.9, 8, 0.9))
    with pytest.raises(
        SparsetuneError,
        match=r"no finished run has `test_score`; measured were .*val_accuracy.*: give",
    ):
        sparsity_curve(made, "test_score", None)
    with pytest.raises(SparsetuneError, match=r"`schedule.epochs` must be one of 8, got 17"):
        sparsity_curve(made, by=None, where={"schedule.epochs": 17})
    with pytest.raises(SparsetuneError, match=r"give `analysis.load\(...\)`, got str"):
        sparsity_curve("runs/digits", by=None)  # type: ignore[arg-type]
