"""Declared parts: faults are kept and named together, in words and with dotted paths."""

from __future__ import annotations

import pytest

from sparsetune.durations import Length
from sparsetune.errors import DeclarationError, Problem
from sparsetune.spec import ComputeSpec, OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.declaration import digest_of
from sparsetune.spec.sparsity import AcdcSpec, RampSpec, SparsitySpec
from sparsetune.spec.task import DigitsTask, FolderTask, GrowthSpec
from sparsetune.study import Study
from sparsetune.study.space import LogUniform, Uniform


def test_building_a_faulty_part_does_not_raise_and_checking_it_names_every_fault() -> None:
    spec = TrialSpec(
        optim=OptimSpec(lr=-1, momentum=1),
        sparsity=SparsitySpec(method="gmp", target=90, ramp=RampSpec(start=0.6, length=0.7)),
    )
    with pytest.raises(DeclarationError) as caught:
        spec.checked()
    assert str(caught.value).splitlines() == [
        "4 problems in the TrialSpec:",
        "  - `optim.lr`: must be greater than 0, got -1",
        "  - `optim.momentum`: must be less than 1, got 1",
        "  - `sparsity.ramp`: `start` + `length` must be at most 1 (the end of training), got"
        " 0.6 + 0.7 = 1.3; a length of 0.4 would do",
        "  - `sparsity.target`: must be less than 1, got 90",
    ]


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (
            SparsitySpec(methd="gmp"),
            "`methd`: unknown field; valid are `method`, `target`, `score`",
        ),
        (
            SparsitySpec(method="gpm"),
            "`method`: must be 'dense', 'static', 'one_shot', 'gmp', 'acdc',",
        ),
        (
            SparsitySpec(target=0.9),
            "a target of 0.9 needs a sparse method: static, one_shot, gmp, acdc, set",
        ),
        (
            TrialSpec(task={"kind": "digit"}),
            "`task`: `kind` must be one of 'digits', 'image', 'folder', 'text', 'custom', got"
            " 'digit'",
        ),
        (TrialSpec(task=DigitsTask(modl="mlp")), "`task.modl`: unknown field; valid are"),
        (ScheduleSpec(epochs=0), "`epochs`: must be greater than 0, got 0"),
        (ScheduleSpec(epochs=float("nan")), "`epochs`: must be a finite number, got nan"),
        (
            AcdcSpec(final="15 minutes"),
            "`final`: a length must be a fraction of training, `5 epochs`, `100 steps` or",
        ),
    ],
)
def test_a_fault_is_said_in_our_words(spec: TrialSpec, problem: str) -> None:
    assert len(spec.problems()) == 1
    assert str(spec.problems()[0]).startswith(problem)


@pytest.mark.parametrize(
    "spec",
    [
        TrialSpec(task={"kind": "digit"}, compute=ComputeSpec(accumulate=2)),
        TrialSpec(task=DigitsTask(batch_size="many"), compute=ComputeSpec(accumulate=2)),
        TrialSpec(task=DigitsTask(), compute=ComputeSpec(accumulate=0)),
        TrialSpec(schedule=ScheduleSpec(lr="step", anchors=5)),
        TrialSpec(task=FolderTask(resolution="big", growth=GrowthSpec(first=32))),
        TrialSpec(task=FolderTask(growth=GrowthSpec(first="small"))),
        TrialSpec(task=FolderTask(eval_resize="small")),
        TrialSpec(task=FolderTask(growth=GrowthSpec(first=32, multiple=0))),
    ],
)
def test_rules_between_fields_stand_faulty_ones(spec: TrialSpec) -> None:
    assert spec.problems()
    assert Study(name="faulty", base=spec).validate_declaration()


def test_positional_fields_are_counted() -> None:
    assert Uniform(1, 2) == Uniform(low=1, high=2)
    with pytest.raises(TypeError, match="LogUniform takes 2 positional arguments, got 3"):
        LogUniform(1, 2, 3)  # type: ignore[call-arg]


def test_a_declaration_leaves_defaults_out_and_keeps_its_kind() -> None:
    assert TrialSpec().given() == {}
    assert TrialSpec(optim=OptimSpec(lr=0.1)).given() == {}
    assert TrialSpec(task=DigitsTask(model="small"), optim=OptimSpec(lr=1)).given() == {
        "task": {"kind": "digits", "model": "small"},
        "optim": {"lr": 1.0},
    }


def test_a_declaration_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        TrialSpec().seed = 3  # type: ignore[misc]


def test_the_digest_is_of_values_not_of_how_they_are_written() -> None:
    assert digest_of({"a": 1, "b": [0.0]}) == digest_of({"b": (0,), "a": 1.0})
    assert digest_of({"a": 1}) != digest_of({"a": "1"})
    assert AcdcSpec(final=Length(5, "epochs")).digest() == AcdcSpec(final="5.0 epochs").digest()
    assert AcdcSpec(final=0.2).digest() != AcdcSpec(final="0.2 epochs").digest()


def test_problems_are_listed_once_and_in_order() -> None:
    error = DeclarationError(
        [Problem("b", "must be x", "y"), Problem("a", "must be x"), Problem("b", "must be x", "y")]
    )
    assert (
        str(error)
        == "2 problems in the declaration:\n  - `a`: must be x\n  - `b`: must be x, got y"
    )
    assert (
        str(DeclarationError([Problem("", "must be x")], "study `s`"))
        == "1 problem in study `s`:\n  - must be x"
    )
