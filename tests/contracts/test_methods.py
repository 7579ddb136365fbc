"""The contract of methods: every built-in one keeps it, and a user's own is held to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsetune import METHODS, Arm, CombinationRule, MaskChange, Method, StepState, Study
from sparsetune.errors import DeclarationError, OwnCodeError, Problem
from sparsetune.imports import without_own_code
from sparsetune.launch.preflight import preflight_findings
from sparsetune.own_code.modules import CodeReader
from sparsetune.sparsity import method_contracts
from sparsetune.sparsity.plans.schedule import mask_schedule
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import RampSpec, RegrowSpec, SparsitySpec
from sparsetune.spec.task import DigitsTask
from sparsetune.testing import check_method
from sparsetune.train import train
from tests.contracts.own_rigl import LATE_RIGL

OWN = "tests.contracts.own_rigl:LATE_RIGL"
RIGL = METHODS["rigl"]


@pytest.mark.parametrize("name", [name for name in METHODS if name != "transfer"])
def test_every_method_keeps_its_contract(name: str) -> None:
    """But `transfer`, whose weights are a checkpoint's: `tests/sparsity/test_transfer.py`."""
    check_method(METHODS[name])


def test_a_users_own_variant_of_rigl_keeps_it_too() -> None:
    check_method(LATE_RIGL)
    assert len((Path(__file__).parent / "own_rigl.py").read_text().splitlines()) <= 40


def planned(*changes: MaskChange) -> Callable[[TrialSpec], list[MaskChange]]:
    return lambda spec: list(changes)


def own(*changes: MaskChange, **fields: Any) -> Method:
    """A method with one plan for every trial."""
    return Method("own", "own", planned(*changes), source="", **fields)


PRUNED = MaskChange(0, "fixed", 0.5, "prune")
HALF = [SparsitySpec(method="static", target=0.5, score="magnitude", allocation="global")]
CALLS = [0]


def grow_once(spec: TrialSpec) -> list[MaskChange]:
    CALLS[0] += 1
    return [MaskChange(CALLS[0], "fixed", spec.sparsity.target, "prune")]


def revive(state: StepState) -> None:
    """Give the optimizer weights that no checkpoint has."""
    CALLS[0] += 1
    for weight in state.weights.values():
        weight.add_(1e-3 * CALLS[0])


FAULTY = [
    (own(MaskChange(0, "fixed", 0.4, "prune")), "must end on its target, 0.5, got MaskChange"),
    (own(), "must end on its target, 0.5"),
    (own(MaskChange(9, "fixed", 0.5, "prune"), PRUNED), "must be in order of step, got"),
    (own(MaskChange(10**6, "fixed", 0.5, "prune")), "must be a whole number from 0 to 60"),
    (own(MaskChange(0, "warm", 0.5, "prune")), "phase must be one of dense, ramp"),  # type: ignore[arg-type]
    (own(MaskChange(0, "fixed", 0.5, "cut")), "action must be one of keep, draw"),  # type: ignore[arg-type]
    (own(MaskChange(0, "fixed", 1.0, "prune"), PRUNED), "sparsity must be in [0, 1)"),
    (own(MaskChange(0, "fixed", 0.5)), "`keep` leaves a sparsity of 0 as it is"),
    (own(PRUNED, MaskChange(1, "dense", 0.2, "release"), PRUNED), "its sparsity must be 0"),
    (own(PRUNED, MaskChange(1, "dynamic", 0.5, "regrow", 1.5)), "a fraction in [0, 1)"),
    (own(PRUNED, MaskChange(1, "dynamic", 0.5, "regrow", 0.1)), "needs a method with `grows_by`"),
    (own(MaskChange(0, "dynamic", 0.5, "shadow")), "needs a method with `forward`"),
    (own(replace(PRUNED, replaces_step=True)), "only `regrow` may take the place"),
    (own(PRUNED, fields=("method", "rump")), "must name fields of SparsitySpec (target, score,"),
    (own(PRUNED, defaults={"target": 0.3}), "`defaults` may choose score, allocation, reset, got"),
    (own(PRUNED, backward=lambda spec: 0.2), "`backward` needs a `forward`"),
    (own(PRUNED, parameters=lambda spec: {}), "`parameters` of a method's own are not trained yet"),
    (replace(RIGL, plan=grow_once), "the same trial must have the same plan"),
    (own(PRUNED, after_step=revive), "under sgd must end in the same weights: not in layer12"),
    (Method("own", "own", lambda spec: None, source=""), "must be a list of MaskChange, got None"),  # type: ignore[arg-type, return-value]
    (own("prune"), "must be a list of MaskChange, got 'prune' in it"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("method", "sentence"), FAULTY, ids=[text for _, text in FAULTY])
def test_a_faulty_method_is_told_what_it_breaks(method: Method, sentence: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_method(method, specs=HALF)
    assert sentence in str(caught.value)


def test_a_masked_weight_that_a_method_moves_is_zeroed_again() -> None:
    """What runs after the step comes before the mask."""

    def lift(state: StepState) -> None:
        for weight in state.weights.values():
            weight.add_(0.01)

    check_method(own(PRUNED, after_step=lift), specs=HALF)


def test_a_method_changes_gradients_after_the_backward_pass() -> None:
    seen: list[StepState] = []

    def stop(state: StepState) -> None:
        seen.append(state)
        for gradient in state.gradients.values():
            gradient.zero_()

    def end(method: Method) -> list[torch.Tensor]:
        spec = method_contracts._trial(method, HALF[0], 4, "sgd")
        training = method_contracts._Training(method, spec)
        first = [weight.detach().clone() for weight in training.weights.values()]
        while training.at < training.total:
            training.step()
        masks = training.sparsifier.masks()
        pruned = [weight * masks[name] for name, weight in zip(masks, first, strict=True)]
        moved = zip(training.weights.values(), pruned, strict=True)
        return [weight.detach() - before for weight, before in moved]

    assert all(change.abs().max() > 0 for change in end(own(PRUNED)))
    assert all(change.abs().max() == 0 for change in end(own(PRUNED, after_backward=stop)))
    assert [state.step for state in seen] == [0, 1, 2, 3]
    assert all(state.masks["layer12"].float().mean() < 1 for state in seen)


def trial(**sparsity: Any) -> TrialSpec:
    given = {"method": OWN, "target": 0.9, "allocation": "erk", "reset": "grown"} | sparsity
    return TrialSpec(
        task=DigitsTask(batch_size=200),
        optim=OptimSpec(lr=0.02),
        schedule=ScheduleSpec(epochs=4),
        sparsity=SparsitySpec(**given),
    )


def problems(spec: TrialSpec) -> list[Problem]:
    return preflight_findings(Study(name="own", base=spec), needs_data=False)


def test_an_own_method_is_declared_planned_and_trained() -> None:
    spec = trial()
    assert spec.problems() == []
    assert problems(spec) == []
    # 24 steps: exchanges at round(18 sqrt(k / 12)), fixed from 18 on.
    steps = [change.step for change in mask_schedule(spec)]
    assert steps == [0, 5, 7, 9, 10, 12, 13, 14, 15, 16, 17, 18]
    rows: list[dict[str, Any]] = []
    final = train(spec, report=rows.append)
    assert final.status == "COMPLETE"
    assert final.certificate["faults"] == []
    assert final.certificate["sparsity"] == rows[-1]["sparsity"]
    assert rows[-1]["phase"] == "fixed" and rows[-1]["at_target"] is True
    assert rows[-1]["sparsity"] == pytest.approx(0.9, abs=1e-3)
    assert rows[-1]["extra_flops"] > 0, "its exchanges read dense gradients"


@pytest.mark.parametrize(
    ("sparsity", "field", "text"),
    [
        (
            {"allocation": None},
            "allocation",
            "is made for 'erk': write out 'erk', or",
        ),
        ({"reset": None}, "reset", "is made for 'grown': write out 'grown'"),
        ({"pattern": "1:2", "target": 0.5}, "pattern", "drop and grow moves weights from one"),
        (
            {"method": "tests.contracts.own_rigl:shrink"},
            "method",
            "must name a `sparsetune.Method`",
        ),
        ({"method": "tests.contracts.own_rigl:RIGEL"}, "method", "has no attribute 'RIGEL'"),
        ({"method": "tests.contracts.test_methods:RAISES"}, "method", "its plan must not raise"),
        ({"method": "tests.contracts.test_methods:SHORT"}, "method", "must end on its target, 0.9"),
    ],
)
def test_what_is_wrong_is_said_by_field(sparsity: dict[str, Any], field: str, text: str) -> None:
    spec = trial(**sparsity)
    found = [(one.path, one.severity) for one in problems(spec) if text in one.rule]
    assert found == [(f"base.sparsity.{field}", "refusal")]
    with pytest.raises(DeclarationError, match=r"sparsity\." + field):
        train(spec)


RAISES = replace(LATE_RIGL, plan=lambda spec: [1 / 0])  # type: ignore[list-item]
SHORT = replace(LATE_RIGL, plan=planned(PRUNED))


def test_a_choice_that_is_written_out_stands_and_names_the_trial() -> None:
    chosen = trial(allocation="global", score="magnitude")
    assert problems(chosen) == []
    assert chosen.canonical().sparsity.allocation == "global"
    names = {trial().trial_id(), chosen.trial_id(), trial(method="rigl").trial_id()}
    assert len(names) == 3
    # Names are made without a look into the method's file.
    with without_own_code():
        assert trial().trial_id() in names
        assert trial().columns()["sparsity.score"] == "magnitude"
        with pytest.raises(OwnCodeError):
            mask_schedule(trial())


def test_a_field_that_it_does_not_read_is_a_warning() -> None:
    found = problems(trial(ramp=RampSpec(start=0.2), regrow=RegrowSpec(fraction=0.2)))
    assert [(one.path, one.severity) for one in found] == [("base.sparsity.ramp", "warning")]
    assert "does not read it" in found[0].rule


def test_its_rules_and_lengths_are_its_own() -> None:
    rule = CombinationRule("score", "must be `random`", lambda spec: spec.score != "random")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.contracts.own_rigl.LATE_RIGL", replace(LATE_RIGL, rules=(rule,)))
        assert [one.rule for one in problems(trial())] == ["must be `random`"]
        long = replace(LATE_RIGL, schedule_rules=RIGL.schedule_rules)
        patch.setattr("tests.contracts.own_rigl.LATE_RIGL", long)
        found = problems(trial())
        assert [one.path for one in found] == ["base.sparsity.regrow"]
        assert "at least 10 updates" in found[0].rule


def test_a_target_of_0_is_the_dense_network() -> None:
    assert (
        trial(target=0).trial_id()
        == TrialSpec(
            task=DigitsTask(batch_size=200),
            optim=OptimSpec(lr=0.02),
            schedule=ScheduleSpec(epochs=4),
        ).trial_id()
    )


def test_an_unknown_name_lists_the_methods_and_the_form_of_a_path() -> None:
    (found,) = trial(method="rigel").problems()
    assert found.path == "sparsity.method"
    assert "'rigl'" in found.rule and "or your own `package.module:name`" in found.rule


def test_its_code_is_in_the_record() -> None:
    described = CodeReader().describe(trial().given()) or ""
    assert [part.partition("=")[0] for part in described.split()] == ["tests.contracts.own_rigl"]


def test_a_study_has_it_as_an_arm_beside_others() -> None:
    arms = {
        "rigl": Arm({"sparsity.method": "rigl", "sparsity.regrow.every": "1 steps"}),
        "late": Arm(
            {
                "sparsity.method": OWN,
                "sparsity.allocation": "erk",
                "sparsity.reset": "grown",
            }
        ),
    }
    base = trial(method="dense", target=0, allocation=None, reset=None)
    study = Study(name="arms", base=base, arms=arms, sweep={"sparsity.target": [0, 0.9]})
    assert preflight_findings(study, needs_data=False) == []
    assert [cell.name for cell in study.cells()] == [
        "dense",
        "rigl/target=0.9",
        "late/target=0.9",
    ]
