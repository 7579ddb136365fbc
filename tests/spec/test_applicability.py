"""Fields that apply: every choice lists its own, or the package does not import."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sparsetune.spec import OptimSpec, TrialSpec
from sparsetune.spec.applicability import require_every_choice
from sparsetune.spec.sparsity import SCORE_FIELDS


def test_a_score_without_a_line_is_refused_by_name() -> None:
    without = {name: fields for name, fields in SCORE_FIELDS.items() if name != "saliency"}
    with pytest.raises(LookupError, match=r"`sparsity\.score`: list the fields of saliency"):
        require_every_choice("sparsity.score", without)


def test_a_line_without_a_score_is_refused_by_name() -> None:
    with pytest.raises(LookupError, match=r"`sparsity\.score`: its table lists wanda"):
        require_every_choice("sparsity.score", [*SCORE_FIELDS, "wanda"])


@pytest.mark.parametrize("score", SCORE_FIELDS)
def test_a_trial_has_the_fisher_columns_of_the_score_fisher_alone(score: str) -> None:
    spec = TrialSpec().with_values(
        {"sparsity.method": "gmp", "sparsity.target": 0.5, "sparsity.score": score}
    )
    assert ("sparsity.fisher.block" in spec.columns()) is (score == "fisher")


def trial(**values: Any) -> TrialSpec:
    sparse = {"sparsity.method": "gmp", "sparsity.target": 0.5}
    return TrialSpec().with_values(sparse | values)


def test_an_own_score_has_the_fields_that_its_context_shows() -> None:
    own = trial(**{"sparsity.score": "mylab.scores:taylor"})
    assert {"sparsity.fisher.block", "sparsity.saliency_batches"} <= set(own.columns())
    several = own.with_values({"sparsity.saliency_batches": 4})
    assert several.trial_id() != own.trial_id()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("sgd", {"momentum", "nesterov", "weight_decay", "decay_bias_and_norm"}),
        ("adam", {"beta1", "beta2", "weight_decay", "decay_bias_and_norm"}),
        ("rmsprop", {"weight_decay", "decay_bias_and_norm"}),
        ("rprop", set()),
        ("mylab.optim:build", {"weight_decay", "decay_bias_and_norm"}),
    ],
)
def test_an_optimizer_has_its_own_fields_and_those_of_all(name: str, fields: set[str]) -> None:
    columns = trial(**{"optim.name": name, "optim.arguments.eps": 0.5}).columns()
    shared = {"name", "lr", "lr_batch", "ema", "clip_norm", "arguments.eps"}
    assert {path.removeprefix("optim.") for path in columns if path.startswith("optim.")} == {
        *fields,
        *shared,
    }
    assert "optim.arguments" not in trial(**{"optim.name": name}).columns()


def test_an_own_decay_has_floor_and_rewinds_and_no_anchors() -> None:
    columns = trial(**{"schedule.lr": "mylab.rates:restarts", "schedule.factor": 0.5}).columns()
    assert {"schedule.floor", "schedule.rewind"} <= set(columns)
    assert "schedule.factor" not in columns


def test_arguments_are_part_of_a_trial_s_name_and_hash_whatever_their_order() -> None:
    one = TrialSpec(optim=OptimSpec(name="adam", arguments={"eps": 1e-6, "amsgrad": True}))
    other = TrialSpec(optim=OptimSpec(name="adam", arguments={"amsgrad": True, "eps": 1e-6}))
    assert one == other
    assert hash(one) == hash(other)
    assert one.trial_id() == other.trial_id()
    assert one.trial_id() != one.with_values({"optim.arguments.eps": 1e-8}).trial_id()
    assert TrialSpec.model_validate(json.loads(json.dumps(one.given()))) == one
    plain = TrialSpec(optim=OptimSpec(arguments={}, clip_norm=None))
    assert plain.trial_id() == TrialSpec().trial_id()
