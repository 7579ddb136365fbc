"""Lengths in their units, and the one place where time is rounded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.durations import (
    Clock,
    Length,
    fraction_to_step,
    round_half_up,
    steps_per_epoch,
    total_steps,
)


@pytest.mark.parametrize(
    ("written", "length"),
    [
        (0.25, Length(0.25, "fraction")),
        (1, Length(1.0, "fraction")),
        ("5 epochs", Length(5, "epochs")),
        ("1 epoch", Length(1, "epochs")),
        (" 100 steps ", Length(100, "steps")),
        (Length(3, "steps"), Length(3, "steps")),
    ],
)
def test_a_length_is_read_in_the_unit_it_is_written_in(written: Any, length: Length) -> None:
    assert Length.parse(written) == length


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        (1.5, r"fraction of training must lie in \[0, 1\]"),
        (-0.1, "must not be negative"),
        ("-5 epochs", "must not be negative"),
        ("nan epochs", "must not be negative"),
        (float("inf"), "must not be negative"),
        ("5 minutes", "`5 epochs`, `100 steps` or `4096 samples`"),
        ("five epochs", "`5 epochs`, `100 steps` or `4096 samples`"),
        (True, "`5 epochs`, `100 steps` or `4096 samples`"),
        (None, "`5 epochs`, `100 steps` or `4096 samples`"),
    ],
)
def test_what_is_no_length_is_refused_with_the_rule(written: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Length.parse(written)


@pytest.mark.parametrize(
    ("unit", "steps"), [("fraction", 50.0), ("epochs", 5.0), ("steps", 0.5), ("samples", 0.0625)]
)
def test_only_a_fraction_stretches_with_training(unit: Any, steps: float) -> None:
    length = Length(0.5, unit)
    assert length.steps(Clock(total=100, per_epoch=10, batch_size=8)) == steps
    assert length.steps(Clock(total=200, per_epoch=10, batch_size=8)) == (
        100.0 if unit == "fraction" else steps
    )


def test_samples_keep_their_number_at_another_batch_size_and_steps_do_not() -> None:
    """RigL's 100 steps at batch 4096 are 409,600 samples, and 1,600 steps at batch 256."""
    imagenet = [Clock(32_000, 312, 4096), Clock(512_000, 5004, 256)]
    assert [Length.parse("409600 samples").steps(clock) for clock in imagenet] == [100, 1600]
    assert [Length.parse("100 steps").steps(clock) for clock in imagenet] == [100, 100]


@pytest.mark.parametrize(
    "written", [0.1, "5 epochs", "2.5 epochs", "1234567 steps", "0.1234567890123 epochs"]
)
def test_a_length_is_declared_as_it_was_written(written: float | str) -> None:
    assert Length.parse(written).declared() == written


@pytest.mark.parametrize(
    ("examples", "batch", "steps"), [(1293, 64, 20), (128, 64, 2), (127, 64, 1), (3, 64, 1)]
)
def test_an_epoch_leaves_its_incomplete_batch_out(examples: int, batch: int, steps: int) -> None:
    assert steps_per_epoch(examples, batch) == steps


@pytest.mark.parametrize(
    ("epochs", "multiplier", "steps"),
    [(4, 1, 80), (4, 2, 160), (0.5, 1, 10), (0.001, 1, 1), (0.125, 1, 3)],
)
def test_training_has_whole_steps_and_at_least_one(
    epochs: float, multiplier: float, steps: int
) -> None:
    assert total_steps(epochs, multiplier, per_epoch=20) == steps


def test_halves_are_rounded_upward_so_that_boundaries_stay_evenly_apart() -> None:
    assert [round_half_up(half) for half in (0.5, 1.5, 2.5, 3.5)] == [1, 2, 3, 4]


@given(st.integers(1, 10**7), st.lists(st.floats(0, 1), min_size=2))
def test_steps_are_monotone_in_the_fraction_and_exact_at_the_ends(
    total: int, fractions: list[float]
) -> None:
    steps = [fraction_to_step(fraction, total) for fraction in sorted(fractions)]
    assert steps == sorted(steps)
    assert fraction_to_step(0, total) == 0
    assert fraction_to_step(1, total) == total


@given(st.floats(0, 1e9), st.sampled_from(["epochs", "steps"]))
def test_a_length_survives_being_written_and_read(value: float, unit: Any) -> None:
    assert Length.parse(Length(value, unit).declared()) == Length(value, unit)
