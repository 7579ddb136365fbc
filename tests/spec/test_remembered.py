"""Names of a trial are worked out once for each object, and no copy inherits them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from sparsetune.spec import TrialSpec
from sparsetune.spec.declaration import remembered

GMP = TrialSpec().with_values({"sparsity.method": "gmp", "sparsity.target": 0.9, "seed": 3})


class CountedSpec(TrialSpec):
    """A trial that counts how often its names are worked out."""

    @remembered
    def answer(self) -> list[int]:
        return [self.seed]


def named() -> TrialSpec:
    """A trial whose id, configuration id and columns were asked for."""
    spec = TrialSpec.model_validate(GMP.given())
    spec.trial_id()
    spec.config_id()
    spec.columns()
    return spec


def test_a_result_is_worked_out_once_for_each_object() -> None:
    spec = CountedSpec(seed=1)
    assert spec.answer() is spec.answer()
    assert spec.model_copy().answer() is not spec.answer()


@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        lambda spec: spec.model_copy(),
        lambda spec: spec.model_copy(deep=True),
        lambda spec: pickle.loads(pickle.dumps(spec)),
    ],
    ids=["copy", "deepcopy", "model_copy", "model_copy-deep", "pickle"],
)
def test_copies_and_pickles_drop_the_results(copied: Callable[[CountedSpec], CountedSpec]) -> None:
    spec = CountedSpec(seed=1)
    first = spec.answer()
    other = copied(spec)
    assert other == spec
    assert other.answer() == first
    assert other.answer() is not first


def test_a_copy_with_other_values_has_other_names() -> None:
    spec = named()
    changed = spec.model_copy(update={"seed": 4})
    assert changed.trial_id() == spec.with_values({"seed": 4}).trial_id() != spec.trial_id()
    assert changed.columns()["seed"] == 4
    schedule = spec.schedule.model_copy(update={"epochs": 9.0})
    longer = spec.model_copy(update={"schedule": schedule})
    assert longer.config_id() == spec.with_values({"schedule.epochs": 9}).config_id()
    assert longer.config_id() != spec.config_id()


def test_nothing_else_sees_that_a_trial_knows_its_names() -> None:
    fresh = TrialSpec.model_validate(GMP.given())
    spec = named()
    seen: list[Callable[[TrialSpec], Any]] = [
        TrialSpec.given,
        TrialSpec.model_dump,
        TrialSpec.digest,
        hash,
        repr,
        pickle.dumps,
    ]
    assert spec == fresh
    for look in seen:
        assert look(spec) == look(fresh)


def test_columns_are_the_callers_own() -> None:
    spec = named()
    spec.columns().clear()
    assert spec.columns()["sparsity.method"] == "gmp"


def test_a_faulty_trial_raises_each_time() -> None:
    faulty = TrialSpec(seed=-1)
    for _ in range(2):
        with pytest.raises(ValueError, match="greater than or equal to 0"):
            faulty.trial_id()
