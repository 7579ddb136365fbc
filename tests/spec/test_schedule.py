"""Floors and rewinds of the learning rate, by hand and by property."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsetune.durations import Length
from sparsetune.sparsity.plans.schedule import mask_schedule, mask_schedule_problems
from sparsetune.spec import OptimSpec, RewindSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.rates import DECAYS, learning_rate, rewind_steps, warmup_steps
from sparsetune.spec.schedule import OBERT_REWINDS
from sparsetune.spec.sparsity import OBERT_RAMP, RampSpec, SparsitySpec
from sparsetune.spec.task import TextTask


def declared(per_epoch: int, **schedule: Any) -> TrialSpec:
    """Training of so many steps an epoch, at a peak of 1."""
    task = TextTask(batch_size=1, validation=0, train_examples=per_epoch)
    return TrialSpec(
        task=task, optim=OptimSpec(lr=1.0), schedule=ScheduleSpec(**{"warmup": 0} | schedule)
    )


def rates(spec: TrialSpec) -> list[float]:
    rate = learning_rate(spec)
    return [rate(step) for step in range(spec.total_steps())]


def test_a_linear_decay_ends_at_its_floor() -> None:
    assert rates(declared(4, epochs=1, floor=0.2)) == pytest.approx([1, 0.8, 0.6, 0.4])


def test_half_a_cosine_ends_at_its_floor() -> None:
    assert rates(declared(4, epochs=1, lr="cosine", floor=0.2))[::2] == pytest.approx([1, 0.6])


@pytest.mark.parametrize("lr", ["linear", "cosine"])
def test_without_floor_and_rewinds_no_bit_changes(lr: str) -> None:
    """Trials that were trained before there were any would be others under the same name."""
    spec = declared(37, epochs=5, lr=lr, warmup=0.07).with_values({"optim.lr": 0.3})
    assert rates(spec)[13:] == [
        0.3 * DECAYS[lr]((step - 13) / (185 - 13)) for step in range(13, 185)
    ]


def test_each_rewind_repeats_the_decay_and_the_last_is_shortened() -> None:
    spec = declared(2, epochs=5, floor=0.5, rewind=RewindSpec(start="1 epoch", every="2 epochs"))
    assert rewind_steps(spec) == [2, 6]
    assert rates(spec) == pytest.approx([1, 0.75, 1, 0.875, 0.75, 0.625, 1, 0.875, 0.75, 0.625])
    assert rates(spec.with_values({"schedule.epochs": 4})) == pytest.approx(
        [1, 0.75, 1, 0.875, 0.75, 0.625, 1, 0.75]
    )


def test_only_the_first_decay_is_warmed_up() -> None:
    spec = declared(2, epochs=4, warmup="2 steps", rewind=RewindSpec())
    assert rates(spec) == pytest.approx([0.5, 1, 1, 0.5, 1, 0.75, 0.5, 0.25])


def test_rewinds_within_the_warmup_change_nothing() -> None:
    spec = declared(
        4, epochs=2, warmup="4 steps", rewind=RewindSpec(start="1 step", every="3 steps")
    )
    assert rewind_steps(spec) == [7]
    assert rates(spec) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 2 / 3, 1 / 3, 1])


def test_rewinds_beyond_training_change_nothing() -> None:
    beyond = declared(4, epochs=2, rewind=RewindSpec(start="2 epochs"))
    assert rewind_steps(beyond) == []
    assert rates(beyond) == rates(declared(4, epochs=2))


def test_a_rate_per_epoch_rewinds_at_an_epochs_start() -> None:
    spec = declared(2, epochs=4, lr_per="epoch", rewind=RewindSpec())
    assert rates(spec) == pytest.approx([1, 1, 0.5, 0.5, 1, 1, 0.5, 0.5])


@pytest.mark.parametrize("lr", ["step", "constant"])
def test_decays_without_an_end_have_neither_floor_nor_rewinds(lr: str) -> None:
    given = declared(
        4,
        epochs=2,
        lr=lr,
        anchors=["1 epoch"] if lr == "step" else [],
        floor=0.5,
        rewind=RewindSpec(),
    )
    assert rewind_steps(given.canonical()) == []
    assert rates(given.canonical()) == pytest.approx([1] * 4 + [0.1 if lr == "step" else 1] * 4)


@pytest.mark.parametrize("every", ["0.5 steps", "0.1 epochs", 0])
def test_rewinds_more_often_than_steps_are_a_problem(every: str | float) -> None:
    (problem,) = mask_schedule_problems(declared(4, epochs=2, rewind=RewindSpec(every=every)))
    assert (problem.path, problem.rule) == (
        "schedule.rewind.every",
        "must be at least one optimizer step",
    )
    assert mask_schedule_problems(declared(4, epochs=2, rewind=RewindSpec(every="1 step"))) == []


HALF_EPOCHS = st.integers(1, 12).map(lambda halves: Length(halves / 2, "epochs"))
SCHEDULES = st.builds(
    declared,
    st.integers(2, 30),
    epochs=st.floats(1, 12),
    lr=st.sampled_from(["linear", "cosine"]),
    warmup=st.sampled_from([Length(0), Length(0.1), Length(2, "steps"), Length(1, "epochs")]),
    floor=st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.9]),
    rewind=st.builds(RewindSpec, start=HALF_EPOCHS, every=HALF_EPOCHS),
)


@settings(deadline=None, max_examples=50)
@given(SCHEDULES)
def test_rates_fall_from_the_peak_to_the_floor_between_rewinds(spec: TrialSpec) -> None:
    found = rates(spec)
    warmup = warmup_steps(spec)
    again = rewind_steps(spec)
    assert max(found) <= 1
    assert all(found[step] == 1 for step in (warmup, *again) if step < len(found))
    assert all(rate >= spec.schedule.floor for rate in found[warmup:])
    rises = {
        step for step, (before, after) in enumerate(pairwise(found), start=1) if after > before
    }
    assert {step for step in rises if step >= max(1, warmup)} <= set(again)


@settings(deadline=None, max_examples=50)
@given(
    per_epoch=st.integers(1, 15).map(lambda n: 2 * n + 1),
    start=st.integers(1, 4),
    halves=st.integers(1, 8),
)
def test_rewinds_meet_the_pruning_steps_of_the_same_lengths(
    per_epoch: int, start: int, halves: int
) -> None:
    """Half-epochs of odd steps per epoch end between two steps.

    The ramp has four intervals, whole epochs together.
    """
    starts = Length(start, "epochs")
    every = Length(halves / 2, "epochs")
    ramp = RampSpec(first=0.5, start=starts, tail="0 steps", every=every)
    spec = declared(
        per_epoch, epochs=start + 2 * halves, rewind=RewindSpec(start=starts, every=every)
    )
    *pruned, last = [
        c.step for c in mask_schedule(spec.edited({"sparsity": gmp(ramp)})) if c.action == "prune"
    ]
    assert rewind_steps(spec) == pruned
    assert (len(pruned), last) == (4, spec.total_steps())


def gmp(ramp: RampSpec) -> SparsitySpec:
    return SparsitySpec(method="gmp", target=0.9, ramp=ramp)


@pytest.mark.parametrize("per_epoch", [3, 77, 12_271])
def test_rewinds_of_obert_meet_its_pruning_steps(per_epoch: int) -> None:
    spec = declared(per_epoch, epochs=30, rewind=OBERT_REWINDS).edited(
        {"sparsity": gmp(OBERT_RAMP)}
    )
    pruned = [change.step for change in mask_schedule(spec) if change.action == "prune"]
    assert (
        rewind_steps(spec) == pruned == [epoch * per_epoch for epoch in (2, 6, 10, 14, 18, 22, 26)]
    )
