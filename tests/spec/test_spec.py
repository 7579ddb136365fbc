"""Trial specs: what applies, what equals what, and the numbers that follow from a declaration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sparsetune.sparsity.methods.registry import METHODS
from sparsetune.spec import (
    OptimSpec,
    ScheduleSpec,
    TrialSpec,
    field_applies,
    flatten_values,
    set_field,
)
from sparsetune.spec.sparsity import PUBLISHED_ACDC, AcdcSpec, RampSpec, SparsitySpec
from sparsetune.spec.task import DigitsTask, ImageTask

GMP = TrialSpec(sparsity=SparsitySpec(method="gmp", target=0.9))


def test_digits_have_1437_examples_outside_the_test_set_of_which_a_tenth_is_held_out() -> None:
    task = DigitsTask()
    assert (task.pool(), task.held_out(), task.train_size()) == (1437, 144, 1293)
    assert TrialSpec(task=task).steps_per_epoch() == 20
    assert (
        TrialSpec(task=task, schedule=ScheduleSpec(epochs=3, epoch_multiplier=2)).total_steps()
        == 120
    )


def test_a_subset_of_images_is_taken_after_validation_is_held_out() -> None:
    assert ImageTask().train_size() == 54_000
    assert ImageTask(train_examples=20_000).train_size() == 20_000
    assert ImageTask(train_examples=59_000).train_size() == 54_000
    assert ImageTask(validation=10_000).held_out() == 10_000
    assert ImageTask(validation=0).train_size() == 60_000


def test_a_target_of_zero_is_dense_whatever_the_method() -> None:
    for method in METHODS:
        assert TrialSpec(sparsity=SparsitySpec(method=method)).canonical() == TrialSpec()
        assert (
            TrialSpec(sparsity=SparsitySpec(method=method, target=0)).trial_id()
            == TrialSpec().trial_id()
        )


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (TrialSpec(), "sparsity.ramp.start"),
        (TrialSpec(), "sparsity.score"),
        (GMP, "sparsity.acdc.final"),
        (GMP, "sparsity.prune_at"),
        (GMP.with_values({"sparsity.method": "acdc"}), "sparsity.ramp.length"),
        (GMP.with_values({"optim.name": "adamw"}), "optim.momentum"),
        (GMP, "optim.beta2"),
    ],
)
def test_fields_that_do_not_apply_do_not_name_a_trial(spec: TrialSpec, path: str) -> None:
    value: Any = {"sparsity.score": "magnitude"}.get(path, 0.25)
    assert not field_applies(spec.given(), path)
    assert spec.with_values({path: value}).trial_id() == spec.trial_id()
    assert path not in spec.columns()


@pytest.mark.parametrize(
    "path",
    [
        "sparsity.ramp.start",
        "sparsity.target",
        "optim.momentum",
        "optim.lr",
        "schedule.warmup",
        "seed",
    ],
)
def test_fields_that_apply_name_a_trial(path: str) -> None:
    assert GMP.with_values({path: 3 if path == "seed" else 0.25}).trial_id() != GMP.trial_id()
    assert path in GMP.columns()


def test_a_configuration_is_named_without_its_seed() -> None:
    again = GMP.with_values({"seed": 5})
    assert again.config_id() == GMP.config_id() == GMP.trial_id()
    assert again.trial_id() != GMP.trial_id()


def test_the_dense_twin_keeps_recipe_seed_and_epochs() -> None:
    spec = GMP.with_values(
        {"optim.lr": 0.3, "seed": 7, "schedule.epoch_multiplier": 2, "sparsity.ramp.start": 0.2}
    )
    twin = TrialSpec(optim=OptimSpec(lr=0.3), schedule=ScheduleSpec(epoch_multiplier=2), seed=7)
    assert spec.dense() == twin


def test_setting_a_field_keeps_the_rest_and_leaves_the_original_alone() -> None:
    changed = GMP.with_values({"sparsity.ramp.start": 0.2, "task.model": "small"})
    assert changed.given() == {
        "task": {"kind": "digits", "model": "small"},
        "sparsity": {"method": "gmp", "target": 0.9, "ramp": {"start": 0.2}},
    }
    assert GMP.sparsity.ramp == RampSpec()


def test_another_task_is_set_by_its_kind() -> None:
    assert TrialSpec().with_values({"task.kind": "image"}).task == ImageTask()


def test_editing_keeps_fields_that_will_apply_once_the_method_is_set() -> None:
    base = TrialSpec().edited({"sparsity.ramp.start": 0.2})
    assert (
        base.with_values(
            {"sparsity.method": "gmp", "sparsity.target": 0.5}
        ).sparsity.ramp.start.value
        == 0.2
    )


def test_setting_a_faulty_field_is_a_problem_not_an_exception() -> None:
    assert [str(p) for p in GMP.with_values({"optim.lr": -1}).problems()] == [
        "`optim.lr`: must be greater than 0, got -1"
    ]
    assert [
        p.path for p in GMP.with_values({"optim.learning_rate": 1, "optim.lr.low": 1}).problems()
    ] == [
        "optim.lr",
        "optim.learning_rate",
    ]


def test_an_unknown_method_is_a_fault_even_at_a_target_of_zero() -> None:
    for values in ({"sparsity.method": "gpm"}, {"sparsity.method": "gpm", "sparsity.target": 0}):
        assert [p.path for p in TrialSpec().with_values(values).problems()] == ["sparsity.method"]


@pytest.mark.parametrize(
    ("ramp", "valid"),
    [(RampSpec(start=0.3, length=0.7), True), (RampSpec(start=0.3, length=0.71), False)],
)
def test_a_ramp_ends_within_training(ramp: RampSpec, valid: bool) -> None:
    assert (ramp.problems() == []) is valid


def test_the_published_acdc_plan_is_in_epochs_and_survives_json() -> None:
    spec = GMP.with_values({"sparsity.method": "acdc", "sparsity.acdc": PUBLISHED_ACDC})
    stored = json.loads(json.dumps(spec.given()))
    assert stored["sparsity"]["acdc"] == {
        "warmup": "10 epochs", "compress": "5 epochs", "decompress": "5 epochs",
        "last_dense": "10 epochs", "final": "15 epochs",
    }  # fmt: skip
    assert TrialSpec.model_validate(stored) == spec
    assert spec.sparsity.acdc == PUBLISHED_ACDC != AcdcSpec()


def test_the_columns_of_a_dense_trial_say_that_it_is_dense() -> None:
    columns = TrialSpec().columns()
    assert {path for path in columns if path.startswith("sparsity")} == {
        "sparsity.method",
        "sparsity.target",
    }
    assert (columns["sparsity.method"], columns["sparsity.target"]) == ("dense", 0)
    assert columns["task.model"] == "mlp"


def test_flat_and_nested_values_are_two_forms_of_one_thing() -> None:
    nested = {"a": {"b": {"c": 1}, "d": 2}, "e": 3, "empty": {}}
    flat = {"a.b.c": 1, "a.d": 2, "e": 3, "empty": {}}
    assert flatten_values(nested) == flat
    rebuilt: dict[str, Any] = {}
    for path, value in flat.items():
        set_field(rebuilt, path, value)
    assert rebuilt == nested
