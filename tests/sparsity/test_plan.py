from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.sparsity.plan import METHODS, Change, plan, plan_problems
from sparsetune.spec import (
    PUBLISHED_ACDC,
    AcdcSpec,
    DigitsTask,
    EvaluateSpec,
    RampSpec,
    ScheduleSpec,
    SparsitySpec,
    TrialSpec,
)

ONE_STEP_AN_EPOCH = DigitsTask(batch_size=1293)


def trial(epochs: float, task: DigitsTask = ONE_STEP_AN_EPOCH, **sparsity: object) -> TrialSpec:
    return TrialSpec(task=task, schedule=ScheduleSpec(epochs=epochs), sparsity=SparsitySpec(target=0.9, **sparsity))


def published(epochs: int) -> list[Change]:
    """The authors' configurations: compress every 10 epochs for 5, the last alternating one at epochs - 30."""
    changes = [Change(0, "dense", 0.0)]
    for start in range(10, epochs - 29, 10):
        changes += [Change(start, "compressed", 0.9), Change(start + 5, "decompressed", 0.0, reset="all")]
    return [*changes, Change(epochs - 15, "compressed", 0.9)]


@pytest.mark.parametrize("epochs", [100, 150, 200])
def test_acdc_in_epochs_is_the_published_plan(epochs: int) -> None:
    assert plan(trial(epochs, method="acdc", acdc=PUBLISHED_ACDC)) == published(epochs)


@pytest.mark.parametrize("batch_size", [1293, 64, 100])
def test_acdc_in_fractions_is_the_published_plan_at_100_epochs(batch_size: int) -> None:
    spec = trial(100, DigitsTask(batch_size=batch_size), method="acdc")
    per_epoch = spec.steps_per_epoch()
    assert [(c.step / per_epoch, c.phase) for c in plan(spec)] == [(c.step, c.phase) for c in published(100)]


def test_half_of_all_epochs_are_compressed() -> None:
    for epochs in (100, 150, 200):
        changes = plan(trial(epochs, method="acdc", acdc=PUBLISHED_ACDC))
        ends = [*(change.step for change in changes[1:]), epochs]
        assert sum(e - c.step for c, e in zip(changes, ends, strict=True) if c.sparsity) == epochs / 2


def test_what_the_alternation_leaves_over_lengthens_the_final_phase() -> None:
    steps = [change.step for change in plan(trial(107, method="acdc", acdc=PUBLISHED_ACDC))]
    assert steps == [change.step for change in published(100)]


def test_gmp_by_hand() -> None:
    ramp = RampSpec(shape="linear", start=0.1, length=0.6, updates=10)
    changes = plan(trial(100, method="gmp", ramp=ramp))
    assert changes[:2] == [Change(0, "dense", 0.0), Change(10, "ramp", 0.0)]
    assert [c.step for c in changes[2:]] == [16, 22, 28, 34, 40, 46, 52, 58, 64, 70]
    assert [c.sparsity for c in changes[2:]] == pytest.approx([0.09 * k for k in range(1, 11)])
    assert changes[-1] == Change(70, "fixed", 0.9)


def test_one_shot_and_dense() -> None:
    assert plan(trial(100, method="one_shot", prune_at=0.25)) == [Change(0, "dense", 0), Change(25, "fixed", 0.9)]
    assert plan(TrialSpec()) == [Change(0, "dense", 0)]


@given(
    method=st.sampled_from(list(METHODS)),
    epochs=st.floats(0.5, 300),
    batch_size=st.integers(1, 1293),
    target=st.floats(0.01, 0.999),
    start=st.floats(0, 1),
    length=st.floats(0, 1),
    updates=st.integers(10, 200),
    acdc=st.tuples(*[st.floats(0, 0.3)] * 5),
)
def test_every_plan_is_ordered_within_training_and_ends_on_its_target(
    method: str,
    epochs: float,
    batch_size: int,
    target: float,
    start: float,
    length: float,
    updates: int,
    acdc: tuple[float, ...],
) -> None:
    sparsity = SparsitySpec(
        method=method,
        target=0 if method == "dense" else target,
        ramp=RampSpec(start=start, length=length * (1 - start), updates=updates),
        acdc=AcdcSpec(**dict(zip(AcdcSpec.model_fields, acdc, strict=True))),
    )
    task = DigitsTask(batch_size=batch_size)
    spec = TrialSpec(task=task, schedule=ScheduleSpec(epochs=epochs), sparsity=sparsity).checked()
    changes = plan(spec)
    steps = [change.step for change in changes]
    assert steps[0] == 0
    assert steps[-1] <= spec.total_steps()
    assert all(first < second for first, second in pairwise(steps))
    assert changes[-1].sparsity == spec.sparsity.target
    assert {change.sparsity for change in changes if change.phase in ("compressed", "fixed")} <= {spec.sparsity.target}
    if method == "gmp":
        assert all(first.sparsity <= second.sparsity for first, second in pairwise(changes))


@pytest.mark.parametrize(
    ("epochs", "sparsity", "path"),
    [
        (1, {"method": "acdc"}, "sparsity.acdc"),
        (40, {"method": "acdc", "acdc": PUBLISHED_ACDC}, "sparsity.acdc"),
        (5, {"method": "gmp"}, "sparsity.ramp"),
        (100, {"method": "gmp", "ramp": RampSpec(length=0.05)}, "sparsity.ramp"),
    ],
)
def test_a_plan_too_short_names_the_fewest_epochs_that_do(epochs: int, sparsity: dict[str, object], path: str) -> None:
    spec = trial(epochs, **sparsity)
    (problem,) = plan_problems(spec)
    assert problem.path == path
    needed = int(problem.rule.partition("`schedule.epochs` of ")[2].split()[0])
    assert needed > epochs
    assert not plan_problems(spec.with_values({"schedule.epochs": needed}))
    assert plan_problems(spec.with_values({"schedule.epochs": needed - 1}))


def test_a_plan_that_no_number_of_epochs_mends_says_so() -> None:
    fractions = AcdcSpec(warmup=0.5, last_dense=0.3, final=0.3)
    (problem,) = plan_problems(trial(100, method="acdc", acdc=fractions))
    assert "change its lengths" in problem.rule


def test_long_enough_plans_have_no_problem() -> None:
    assert not plan_problems(trial(50, method="acdc", acdc=PUBLISHED_ACDC))
    assert not plan_problems(trial(20, method="gmp"))
    assert not plan_problems(TrialSpec())


def test_evaluations_more_often_than_steps_are_refused() -> None:
    spec = TrialSpec(evaluate=EvaluateSpec(every=0.001), schedule=ScheduleSpec(epochs=1))
    assert [problem.path for problem in plan_problems(spec)] == ["evaluate.every"]
