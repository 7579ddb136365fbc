"""What users read of a field: in ``help()``, in notebooks, in ``sparsetune fields``."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Iterator

import pytest

from sparsetune.errors import SparsetuneError
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.declaration import Declaration
from sparsetune.spec.fields.trial import TrialField, find_fields, trial_fields
from sparsetune.spec.fields.words import field_meaning, public_fields
from sparsetune.spec.values import flatten_values
from sparsetune.study import Study

MEANING_IN_CODE = OptimSpec.model_fields["lr"].description


def declarations(parent: type[Declaration] = Declaration) -> Iterator[type[Declaration]]:
    """Every class of a declaration's part in the package."""
    for child in parent.__subclasses__():
        if child.__module__.startswith("sparsetune."):
            yield child
        yield from declarations(child)


def test_help_shows_type_range_default_and_meaning_of_a_field() -> None:
    shown = pydoc.render_doc(OptimSpec, renderer=pydoc.plaintext)
    assert "lr (float, > 0): Peak learning rate. Default: ``0.1``." in shown
    schedule = pydoc.render_doc(ScheduleSpec, renderer=pydoc.plaintext)
    assert "lr_per ('step' | 'epoch'): Time between changes" in schedule


def test_the_summary_of_a_class_stays_first() -> None:
    lines = (inspect.getdoc(TrialSpec) or "").splitlines()
    assert lines[0] == "Everything that decides a trial's numbers."
    assert max(map(len, lines)) <= 96


def test_a_field_that_has_to_be_given_says_so() -> None:
    text = " ".join((inspect.getdoc(Study) or "").split())
    assert "Name of the study, and of its directory" in text
    assert "``_``, ``.`` and ``-``. Required." in text


@pytest.mark.parametrize("declaration", list(declarations()), ids=lambda one: one.__name__)
def test_every_field_of_every_part_has_a_meaning(declaration: type[Declaration]) -> None:
    silent = [name for name in public_fields(declaration) if not field_meaning(declaration, name)]
    assert silent == []


def test_the_list_has_every_field_that_a_trial_may_set() -> None:
    names = {field.name for field in trial_fields()}
    settable = flatten_values(TrialSpec().model_dump(mode="json"))
    assert {name for name in settable if not name.endswith(".kind")} <= names


def test_a_field_of_the_task_is_listed_for_each_kind_that_has_it() -> None:
    kinds = {field.kind: field.default for field in find_fields("task.batch_size")}
    assert kinds["digits"] == "64"
    assert kinds["folder"] == "256"


def test_a_name_finds_its_field_alone_and_a_part_with_its_fields() -> None:
    (lr,) = find_fields("optim.lr")
    assert lr == TrialField("optim.lr", "", "float, > 0", "0.1", str(MEANING_IN_CODE))
    ramp = [field.name for field in find_fields("sparsity.ramp")]
    assert ramp[:3] == ["sparsity.ramp", "sparsity.ramp.shape", "sparsity.ramp.start"]


@pytest.mark.parametrize(
    ("name", "near"),
    [("optim.learning", "optim.lr"), ("momentun", "optim.momentum"), ("ramp.start", "ramp.start")],
)
def test_an_unknown_name_is_answered_with_near_ones(name: str, near: str) -> None:
    with pytest.raises(SparsetuneError, match=f"no field is named `{name}`; near are .*{near}"):
        find_fields(name)


def test_a_name_like_nothing_is_answered_with_where_all_are() -> None:
    with pytest.raises(SparsetuneError, match="none is near; `sparsetune fields` lists all"):
        find_fields("zzzz")
