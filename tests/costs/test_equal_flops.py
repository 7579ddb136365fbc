"""Equal training FLOPs: how far a sparse trial is stretched, where a study says so, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsetune.costs.configurations import EQUAL_WITHIN, match_dense_flops, train_flops
from sparsetune.launch.preflight import preflight_problems
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import PUBLISHED_ACDC, RampSpec, RegrowSpec, SparsitySpec
from sparsetune.spec.task import DigitsTask
from sparsetune.study import Arm, Study
from sparsetune.study.budget import Budget, trained_epochs
from sparsetune.study.space import IntRange, LogUniform, Uniform
from sparsetune.train import train

GMP = {"gmp": Arm({"sparsity.method": "gmp"})}


def trial(epochs: float = 4, **sparsity: Any) -> TrialSpec:
    """20 steps an epoch; uniform, so that in a network of linear layers every pass costs the density."""
    sparse = SparsitySpec(**{"target": 0.9, "allocation": "uniform", **sparsity})
    return TrialSpec(schedule=ScheduleSpec(epochs=epochs), sparsity=sparse)


def study(**fields: Any) -> Study:
    return Study(
        **{
            "name": "s",
            "arms": GMP,
            "sweep": {"sparsity.target": [0, 0.9]},
            "equal": "train_flops",
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("spec", "steps"),
    [
        (trial(method="static"), 800),  # 80 dense steps / 0.1
        (trial(method="static", target=0.75), 320),
        (trial(method="one_shot", prune_at=0.5), 145),  # n / 2 dense, n / 2 at 0.1: 80 / 0.55
        (
            trial(method="sr_ste", target=0.5, allocation=None, pattern="2:4"),
            120,
        ),  # (2 * 0.5 + 1) / 3 a step
        (
            trial(40, method="rigl", regrow=RegrowSpec(every="10 steps", until=1.0)),
            8889,
        ),  # 800 / 0.09: every tenth step only moves the mask
    ],
    ids=lambda value: value.sparsity.method if isinstance(value, TrialSpec) else str(value),
)
def test_a_sparse_trial_is_stretched_by_what_its_steps_save(spec: TrialSpec, steps: int) -> None:
    stretched = match_dense_flops(spec)
    assert stretched.total_steps() == pytest.approx(steps, abs=spec.schedule.epochs / 4)
    assert stretched.schedule.stretch == pytest.approx(stretched.total_steps() / spec.total_steps())
    assert train_flops(stretched) == pytest.approx(spec.schedule.epochs, rel=0.01)
    assert stretched.with_values({"schedule.stretch": 1}) == spec.canonical()


def test_dense_twins_keep_their_epochs_and_their_names() -> None:
    spec = trial(method="static")
    assert match_dense_flops(spec).dense() == spec.dense() == match_dense_flops(spec.dense())
    assert match_dense_flops(spec).dense().trial_id() == TrialSpec().trial_id()
    assert TrialSpec(schedule=ScheduleSpec(stretch=3)).trial_id() == TrialSpec().trial_id()
    assert match_dense_flops(match_dense_flops(spec)) == match_dense_flops(spec)


def test_fractions_of_training_stretch_and_epochs_do_not() -> None:
    ramp = RampSpec(start="1 epochs", length=0.5)
    spec = trial(method="gmp", ramp=ramp).with_values({"schedule.stretch": 2.5})
    assert (spec.total_steps(), spec.twin_steps()) == (200, 80)
    assert spec.sparsity.ramp.start.steps(spec.clock()) == 20
    assert spec.sparsity.ramp.length.steps(spec.clock()) == 100


@settings(max_examples=25, deadline=None)
@given(
    method=st.sampled_from(["static", "one_shot", "gmp", "acdc", "rigl", "set"]),
    target=st.floats(0.3, 0.97),
    length=st.integers(6, 40),
    allocation=st.sampled_from(["uniform", "erk"]),
)
def test_no_length_near_by_comes_closer(
    method: str, target: float, length: int, allocation: str
) -> None:
    spec = trial(length, method=method, target=target, allocation=allocation)
    found = match_dense_flops(spec)
    off = abs(train_flops(found) - length) / length
    assert off <= 0.02
    unit = spec.total_steps()
    near = range(max(unit, found.total_steps() - 3), found.total_steps() + 4)
    others = [
        abs(train_flops(spec.with_values({"schedule.stretch": n / unit})) - length) / length
        for n in near
    ]
    assert off <= max(0.01, EQUAL_WITHIN, min(others))


def test_phases_that_do_not_stretch_come_one_by_one() -> None:
    """AC/DC's published plan: each cycle of 10 epochs brings 5 dense ones at once."""
    found = match_dense_flops(trial(100, method="acdc", acdc=PUBLISHED_ACDC))
    assert found.sparsity.acdc == PUBLISHED_ACDC
    assert 0.975 < train_flops(found) / 100 < 1.025


@pytest.mark.parametrize(
    "sparsity",
    [
        {"method": "static"},
        {"method": "gmp", "ramp": RampSpec(updates=12)},
        {"method": "rigl", "regrow": RegrowSpec(every="5 steps")},
        {"method": "acdc"},
    ],
    ids=lambda sparsity: str(sparsity["method"]),
)
@pytest.mark.parametrize("allocation", ["uniform", "erk"])
def test_what_training_records_is_what_was_asked_for(
    sparsity: dict[str, Any], allocation: str
) -> None:
    spec = trial(3, target=0.8, allocation=allocation, **sparsity)
    rows: dict[bool, Any] = {}
    for dense in (True, False):
        train(
            match_dense_flops(spec).dense() if dense else match_dense_flops(spec),
            report=lambda row, d=dense: rows.update({d: row}),
        )
    assert rows[True]["epoch"] == rows[True]["train_flops"] == 3
    assert rows[False]["epoch"] > 1.2 * 3
    assert rows[False]["train_flops"] == pytest.approx(3, rel=0.05)


def test_convolutions_cost_what_they_are_used() -> None:
    """The first convolution stays dense under ``uniform``, and ERK prunes a small layer less."""
    task = DigitsTask(model="resnet8", batch_size=128)
    uniform, erk = (
        match_dense_flops(trial(method="static", allocation=name).with_values({"task": task}))
        for name in ("uniform", "erk")
    )
    assert 4 < erk.schedule.stretch < uniform.schedule.stretch < 10
    for spec in (uniform, erk):
        assert train_flops(spec) == pytest.approx(4, rel=0.01)


def test_a_study_is_equal_in_epochs_unless_it_says_otherwise() -> None:
    assert "equal" not in study(equal="epochs").given()
    assert (
        study(equal="epochs").digest()
        == Study(name="s", arms=GMP, sweep={"sparsity.target": [0, 0.9]}).digest()
    )
    assert study().digest() != study(equal="epochs").digest()
    assert study().validate_declaration() == []
    assert study().quick().equal == "train_flops"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        (
            {"sweep": {"sparsity.target": [0.9], "schedule.stretch": [1, 2]}},
            "sweep.schedule.stretch",
        ),
        (
            {"search": {"schedule.stretch": Uniform(1, 2)}, "at_most": Budget(epochs=100)},
            "search.schedule.stretch",
        ),
        ({"base": TrialSpec(schedule=ScheduleSpec(stretch=2))}, "base.schedule.stretch"),
        (
            {"arms": {"gmp": Arm({"sparsity.method": "gmp", "schedule.stretch": 2})}},
            "arms.gmp.overrides.schedule.stretch",
        ),
        ({"arms": {}, "sweep": {}}, "equal"),
        ({"sweep": {"sparsity.target": [0]}}, "equal"),
    ],
)
def test_what_leaves_nothing_to_equal_is_refused(fields: dict[str, Any], path: str) -> None:
    (problem,) = study(**fields).validate_declaration()
    assert problem.path == path
    assert ("set `equal` to `epochs`" in problem.rule) or (
        "needs a sparse network" in problem.rule
    )
    assert study(**fields, equal="epochs").validate_declaration() == []


def test_a_stretch_of_ones_own_is_an_axis_like_any_other() -> None:
    declared = study(
        equal="epochs", sweep={"sparsity.target": [0, 0.9], "schedule.stretch": [1, 2]}
    )
    assert declared.validate_declaration() == []
    assert {cell.name: trained_epochs(cell.spec) for cell in declared.cells()} == {
        "dense": 4, "gmp/target=0.9/stretch=1": 4, "gmp/target=0.9/stretch=2": 8,
    }  # fmt: skip
    (problem,) = study(
        equal="epochs", search={"schedule.stretch": Uniform(1, 2)}
    ).validate_declaration()
    assert problem.rule.startswith("changes a trial's cost")


def test_a_budget_counts_stretched_epochs() -> None:
    search = {"optim.lr": LogUniform(0.01, 1)}
    assert (
        preflight_problems(study(search=search, at_most=Budget(train_flops=4.01)), needs_data=False)
        == []
    )
    (problem,) = preflight_problems(
        study(search=search, at_most=Budget(epochs=4)), needs_data=False
    )
    needed = trained_epochs(
        match_dense_flops(TrialSpec(sparsity=SparsitySpec(method="gmp", target=0.9)))
    )
    assert needed > 8
    assert problem.path == "at_most.epochs"
    assert f"{needed:g}, the cost of the base of cell `gmp/target=0.9`, would do" in problem.rule
    (longest,) = preflight_problems(
        study(search={"schedule.epochs": IntRange(4, 8)}, at_most=Budget(epochs=5)),
        needs_data=False,
    )
    assert longest.path == "at_most.epochs"
