"""What holds for every valid declaration."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sparsetune.spec import TrialSpec, canonical_values, field_applies, flatten_values, set_field
from sparsetune.study import declaration_differences

fraction = st.floats(0, 1)
positive = st.floats(1e-6, 1e6)
length = (
    fraction
    | st.integers(0, 500).map("{} epochs".format)
    | st.floats(0, 1e6).map("{} steps".format)
)

task = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.just("digits")},
        optional={"batch_size": st.integers(1, 999), "model": st.text()},
    ),
    st.fixed_dictionaries(
        {"kind": st.just("image")},
        optional={
            "validation": fraction | st.integers(1, 10_000),
            "train_examples": st.integers(1, 60_000),
        },
    ),
)
optim = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["sgd", "adamw"]),
        "lr": positive,
        "momentum": st.floats(0, 0.99),
        "beta2": st.floats(0, 0.9999),
        "nesterov": st.booleans(),
    },
)
ramp = st.fixed_dictionaries(
    {}, optional={"start": st.floats(0, 0.4), "updates": st.integers(10, 99)}
)
acdc = st.fixed_dictionaries(
    {}, optional={name: length for name in ("warmup", "compress", "final")}
)
sparsity = st.fixed_dictionaries(
    {"method": st.sampled_from(["one_shot", "gmp", "acdc"])},
    optional={"target": st.floats(0, 0.999), "ramp": ramp, "acdc": acdc, "prune_at": fraction},
)
schedule = st.fixed_dictionaries({}, optional={"epochs": positive, "warmup": st.floats(0, 0.9)})
declared = st.fixed_dictionaries(
    {},
    optional={
        "task": task,
        "optim": optim,
        "schedule": schedule,
        "sparsity": sparsity | st.just({"method": "dense"}),
        "evaluate": st.fixed_dictionaries({"every": length}),
        "seed": st.integers(0, 2**40),
    },
)
specs = declared.map(TrialSpec.model_validate)


@given(specs)
def test_a_spec_survives_json(spec: TrialSpec) -> None:
    again = TrialSpec.model_validate(json.loads(json.dumps(spec.given())))
    assert again == spec == TrialSpec.model_validate(spec.model_dump(mode="json"))
    assert again.trial_id() == spec.trial_id()


@given(specs)
def test_a_canonical_spec_is_its_own_canonical_form(spec: TrialSpec) -> None:
    once = spec.canonical()
    assert once.canonical() == once
    assert once.trial_id() == spec.trial_id()
    assert once.problems() == []
    assert canonical_values(once.given()) == once.given()


@given(declared, st.randoms())
def test_the_digest_does_not_depend_on_the_order_of_fields(
    values: dict[str, Any], random: Any
) -> None:
    fields = list(flatten_values(values).items())
    random.shuffle(fields)
    shuffled: dict[str, Any] = {}
    for path, value in fields:
        set_field(shuffled, path, value)
    assert (
        TrialSpec.model_validate(shuffled).trial_id() == TrialSpec.model_validate(values).trial_id()
    )


@given(specs, specs)
def test_the_digest_does_not_depend_on_fields_that_do_not_apply(
    spec: TrialSpec, other: TrialSpec
) -> None:
    recipe = spec.canonical()
    foreign = {
        path: value
        for path, value in flatten_values(other.given()).items()
        if not field_applies(recipe.given(), path)
    }
    foreign.pop(
        "sparsity.target", None
    )  # a target applies to every method but the one that it makes dense
    foreign.pop("sparsity.method", None)
    assert recipe.with_values(foreign) == recipe
    assert recipe.edited(foreign).trial_id() == recipe.trial_id()


@given(specs, st.integers(0, 99))
def test_seeds_share_a_configuration_and_nothing_else(spec: TrialSpec, seed: int) -> None:
    other = spec.with_values({"seed": seed})
    assert other.config_id() == spec.config_id()
    assert (other.trial_id() == spec.trial_id()) is (seed == spec.seed)


@given(specs)
def test_the_columns_rebuild_the_trial(spec: TrialSpec) -> None:
    rebuilt: dict[str, Any] = {}
    for path, value in spec.columns().items():
        set_field(rebuilt, path, value)
    assert TrialSpec.model_validate(rebuilt).trial_id() == spec.trial_id()


@given(specs, specs)
def test_differences_are_none_exactly_between_equals(one: TrialSpec, other: TrialSpec) -> None:
    assert declaration_differences(one.given(), one.given()) == []
    assert (declaration_differences(one.given(), other.given()) == []) is (one == other)
    assert len(declaration_differences(one.given(), other.given())) == len(
        declaration_differences(other.given(), one.given())
    )
