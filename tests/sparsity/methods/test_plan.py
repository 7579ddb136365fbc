import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.sparsity.methods.registry import METHODS
from sparsetune.sparsity.plans.changes import MaskChange
from sparsetune.sparsity.plans.exchanges import regrow_updates
from sparsetune.sparsity.plans.schedule import mask_schedule, mask_schedule_problems
from sparsetune.spec import EvaluateSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import (
    GMP_STAR,
    OBERT_RAMP,
    PUBLISHED_ACDC,
    AcdcSpec,
    RampSpec,
    RegrowSpec,
    SparsitySpec,
)
from sparsetune.spec.task import DigitsTask, TextTask

ONE_STEP_AN_EPOCH = DigitsTask(batch_size=1293)


def trial(epochs: float, task: DigitsTask = ONE_STEP_AN_EPOCH, **sparsity: object) -> TrialSpec:
    return TrialSpec(
        task=task,
        schedule=ScheduleSpec(epochs=epochs),
        sparsity=SparsitySpec(target=0.9, **sparsity),
    )


def published(epochs: int) -> list[MaskChange]:
    """The authors' configurations: compressed for 5 of every 10 epochs.

    The last alternating phase starts at epochs - 30.
    """
    changes = [MaskChange(0, "dense", 0.0)]
    for start in range(10, epochs - 29, 10):
        changes += [
            MaskChange(start, "compressed", 0.9, "prune"),
            MaskChange(start + 5, "decompressed", 0.0, "release"),
        ]
    return [*changes, MaskChange(epochs - 15, "compressed", 0.9, "prune")]


@pytest.mark.parametrize("epochs", [100, 150, 200])
def test_acdc_in_epochs_is_the_published_plan(epochs: int) -> None:
    assert mask_schedule(trial(epochs, method="acdc", acdc=PUBLISHED_ACDC)) == published(epochs)


@pytest.mark.parametrize("batch_size", [1293, 64, 100])
def test_acdc_in_fractions_is_the_published_plan_at_100_epochs(batch_size: int) -> None:
    spec = trial(100, DigitsTask(batch_size=batch_size), method="acdc")
    per_epoch = spec.steps_per_epoch()
    assert [(c.step / per_epoch, c.phase) for c in mask_schedule(spec)] == [
        (c.step, c.phase) for c in published(100)
    ]


def test_half_of_all_epochs_are_compressed() -> None:
    for epochs in (100, 150, 200):
        changes = mask_schedule(trial(epochs, method="acdc", acdc=PUBLISHED_ACDC))
        ends = [*(change.step for change in changes[1:]), epochs]
        phases = zip(changes, ends, strict=True)
        assert sum(end - change.step for change, end in phases if change.sparsity) == epochs / 2


def test_what_the_alternation_leaves_over_lengthens_the_final_phase() -> None:
    changes = mask_schedule(trial(107, method="acdc", acdc=PUBLISHED_ACDC))
    assert [change.step for change in changes] == [change.step for change in published(100)]


def test_gmp_by_hand() -> None:
    ramp = RampSpec(shape="linear", start=0.1, length=0.6, updates=10)
    changes = mask_schedule(trial(100, method="gmp", ramp=ramp))
    assert changes[:2] == [MaskChange(0, "dense", 0.0), MaskChange(10, "ramp", 0.0)]
    assert [c.step for c in changes[2:]] == [16, 22, 28, 34, 40, 46, 52, 58, 64, 70]
    assert [c.sparsity for c in changes[2:]] == pytest.approx([0.09 * k for k in range(1, 11)])
    assert changes[-1] == MaskChange(70, "fixed", 0.9, "prune")


def test_extending_acdc_repeats_the_published_phases_and_stretches_the_fractions() -> None:
    """From 100 to 200 epochs.

    The released configuration has ten more alternating phases; fractions have longer ones.
    """
    twice = {"schedule.epoch_multiplier": 2}
    repeated = mask_schedule(trial(100, method="acdc", acdc=PUBLISHED_ACDC).with_values(twice))
    assert repeated == published(200)
    stretched = mask_schedule(trial(100, method="acdc").with_values(twice))
    assert [change.step for change in stretched] == [2 * change.step for change in published(100)]


@pytest.mark.parametrize(("multiplier", "epochs"), [(1, 10), (3, 30)])
def test_gmp_star_prunes_ten_times_an_epoch_between_fixed_ends(
    multiplier: int, epochs: int
) -> None:
    """Kurtic et al. 2024, appendix A: 10 and 30 epochs, masks fixed in the first and last two."""
    spec = trial(10, DigitsTask(batch_size=64), method="gmp", ramp=GMP_STAR)
    changes = mask_schedule(spec.with_values({"schedule.epoch_multiplier": multiplier}))
    assert spec.steps_per_epoch() == 20
    updates = 10 * (epochs - 4)
    at = [2 + k / 10 for k in range(updates + 1)]
    assert [c.step / 20 for c in changes[1:]] == pytest.approx(at)
    assert changes[1] == MaskChange(40, "ramp", 0.7, "prune")
    cubic = [0.9 - 0.2 * (1 - k / updates) ** 3 for k in range(updates + 1)]
    assert [c.sparsity for c in changes[1:]] == pytest.approx(cubic)
    assert changes[-1] == MaskChange(20 * (epochs - 2), "fixed", 0.9, "prune")


@pytest.mark.parametrize(
    ("target", "sparsities"),
    [
        (0.90, [0.70, 0.784, 0.841, 0.875, 0.893, 0.899, 0.90]),
        (0.97, [0.70, 0.814, 0.890, 0.936, 0.960, 0.969, 0.97]),
    ],
)
def test_obert_prunes_at_the_published_epochs_to_the_published_sparsities(
    target: float, sparsities: list[float]
) -> None:
    """The 30-epoch recipe: epochs 2, 6, ... 26 (Kurtic et al. 2022)."""
    spec = trial(30, method="obert", ramp=OBERT_RAMP).with_values({"sparsity.target": target})
    changes = mask_schedule(spec)[1:]
    assert [change.step for change in changes] == [2, 6, 10, 14, 18, 22, 26]
    assert [change.sparsity for change in changes] == pytest.approx(sparsities, abs=5e-4)
    assert not mask_schedule_problems(spec)


def test_rigl_by_hand() -> None:
    """Evci et al. 2020: alpha 0.3, cosine, every 100 steps to three quarters.

    Longer training has more updates.
    """
    spec = trial(1000, method="rigl")
    changes = mask_schedule(spec)
    assert changes[0] == MaskChange(0, "dynamic", 0.9, "draw")
    assert [change.step for change in changes[1:-1]] == [100, 200, 300, 400, 500, 600, 700]
    cosine = [0.15 * (1 + math.cos(math.pi * step / 750)) for step in range(100, 800, 100)]
    assert [change.exchanged for change in changes[1:-1]] == pytest.approx(cosine)
    kinds = {(c.phase, c.action, c.replaces_step) for c in changes[1:-1]}
    assert kinds == {("dynamic", "regrow", True)}
    assert changes[-1] == MaskChange(750, "fixed", 0.9, "keep")
    assert mask_schedule(spec.with_values({"sparsity.method": "set"})) == changes
    longer = mask_schedule(spec.with_values({"schedule.epoch_multiplier": 5}))
    assert [change.step for change in longer[1:-1]] == list(range(100, 3750, 100))


@given(every=st.floats(0.1, 40), epochs=st.integers(1, 300), until=st.floats(0, 1))
def test_exchanges_come_at_the_rounded_multiples_before_the_end(
    every: float, epochs: int, until: float
) -> None:
    spec = trial(epochs, method="set", regrow=RegrowSpec(every=f"{every} steps", until=until))
    end = math.floor(until * epochs + 0.5)
    multiples = [math.floor(k * max(1.0, every) + 0.5) for k in range(1, 400)]
    found = [change.step for change in mask_schedule(spec) if change.action == "regrow"]
    assert found == [step for step in multiples if step < end]
    assert regrow_updates(spec) == len(found)


def test_granet_by_hand() -> None:
    regrow = RegrowSpec(fraction=0.5, every="10 steps")
    ramp = RampSpec(shape="linear", start=0.1, length=0.25)
    changes = mask_schedule(trial(100, method="granet", ramp=ramp, regrow=regrow))
    assert changes[1] == MaskChange(10, "ramp", 0.0, "keep")
    assert [c.step for c in changes[2:]] == [20, 30, 35, 40, 50, 60, 70, 75]
    assert [c.sparsity for c in changes[2:]] == pytest.approx([0.36, 0.72, *[0.9] * 6])
    assert [c.phase for c in changes[2:]] == ["ramp", "ramp", *["dynamic"] * 5, "fixed"]
    assert changes[2].exchanged == pytest.approx(0.25 * (1 + math.cos(math.pi * 20 / 75)))
    assert not any(change.replaces_step for change in changes)


def test_stepped_ramp_has_an_update_a_level() -> None:
    ramp = RampSpec(shape="stepped", levels=(0.5, 0.75), start=0.1, length=0.6)
    spec = trial(100, method="gmp", ramp=ramp)
    found = [(c.step, c.sparsity) for c in mask_schedule(spec)[2:]]
    assert found == [(30, pytest.approx(0.45)), (50, pytest.approx(0.675)), (70, 0.9)]
    assert not mask_schedule_problems(spec)


def test_static_sr_ste_and_tails() -> None:
    assert mask_schedule(trial(9, method="static")) == [MaskChange(0, "fixed", 0.9, "prune")]
    assert mask_schedule(trial(9, method="sr_ste", pattern="1:10")) == [
        MaskChange(0, "dynamic", 0.9, "shadow")
    ]
    assert mask_schedule(trial(100, method="gmp", ramp=RampSpec(tail="5 epochs")))[-1].step == 95


def test_one_shot_and_dense() -> None:
    pruned = MaskChange(25, "fixed", 0.9, "prune")
    start = MaskChange(0, "dense", 0)
    assert mask_schedule(trial(100, method="one_shot", prune_at=0.25)) == [start, pruned]
    assert mask_schedule(TrialSpec()) == [start]


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
    kind = TextTask if method == "transfer" else DigitsTask
    task = kind(batch_size=batch_size)
    spec = TrialSpec(task=task, schedule=ScheduleSpec(epochs=epochs), sparsity=sparsity).checked()
    changes = mask_schedule(spec)
    steps = [change.step for change in changes]
    assert steps[0] == 0
    assert steps[-1] <= spec.total_steps()
    assert all(first < second for first, second in pairwise(steps))
    assert changes[-1].sparsity == spec.sparsity.target
    lasting = [change for change in changes if change.phase in ("compressed", "fixed")]
    assert {change.sparsity for change in lasting} <= {spec.sparsity.target}
    if method in ("gmp", "obert", "granet"):
        assert all(first.sparsity <= second.sparsity for first, second in pairwise(changes))


@pytest.mark.parametrize(
    ("epochs", "sparsity", "path"),
    [
        (1, {"method": "acdc"}, "sparsity.acdc"),
        (40, {"method": "acdc", "acdc": PUBLISHED_ACDC}, "sparsity.acdc"),
        (5, {"method": "gmp"}, "sparsity.ramp"),
        (100, {"method": "gmp", "ramp": RampSpec(length=0.05)}, "sparsity.ramp"),
        (
            5,
            {"method": "gmp", "ramp": RampSpec(start="2 epochs", tail="4 epochs")},
            "sparsity.ramp",
        ),
        (
            5,
            {"method": "gmp", "ramp": RampSpec(start="2 epochs", length="4 epochs", updates=4)},
            "sparsity.ramp",
        ),
        (1000, {"method": "rigl"}, "sparsity.regrow"),
    ],
)
def test_a_plan_too_short_names_the_fewest_epochs_that_do(
    epochs: int, sparsity: dict[str, object], path: str
) -> None:
    spec = trial(epochs, **sparsity)
    (problem,) = mask_schedule_problems(spec)
    assert problem.path == path
    needed = int(problem.rule.partition("`schedule.epochs` of ")[2].split()[0])
    assert needed > epochs
    assert not mask_schedule_problems(spec.with_values({"schedule.epochs": needed}))
    assert mask_schedule_problems(spec.with_values({"schedule.epochs": needed - 1}))


def test_a_plan_that_no_number_of_epochs_can_fix_says_so() -> None:
    fractions = AcdcSpec(warmup=0.5, last_dense=0.3, final=0.3)
    (problem,) = mask_schedule_problems(trial(100, method="acdc", acdc=fractions))
    assert "change its lengths" in problem.rule


def test_long_enough_plans_have_no_problem() -> None:
    assert not mask_schedule_problems(trial(50, method="acdc", acdc=PUBLISHED_ACDC))
    assert not mask_schedule_problems(trial(20, method="gmp"))
    assert not mask_schedule_problems(TrialSpec())


def test_evaluations_more_often_than_steps_are_refused() -> None:
    spec = TrialSpec(evaluate=EvaluateSpec(every=0.001), schedule=ScheduleSpec(epochs=1))
    assert [problem.path for problem in mask_schedule_problems(spec)] == ["evaluate.every"]


@pytest.mark.parametrize("epochs", range(1, 13))
@pytest.mark.parametrize("levels", [(0.5, 0.8), (0.2, 0.4, 0.6, 0.8)])
def test_no_level_of_a_stepped_ramp_is_late_where_its_step_is_rounded(
    epochs: int, levels: tuple[float, ...]
) -> None:
    ramp = RampSpec(shape="stepped", levels=levels, start=0.1, length=0.6)
    trial = TrialSpec(
        schedule=ScheduleSpec(epochs=epochs),
        sparsity=SparsitySpec(method="gmp", target=0.8, ramp=ramp),
    )
    reached = [change.sparsity for change in mask_schedule(trial) if change.sparsity]
    assert reached == pytest.approx([*(0.8 * level for level in levels), 0.8])
