"""Optuna's view: read back with plain Optuna."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from sparsetune.search.journal import SearchJournal
from sparsetune.study import Arm, Maximize, Study
from sparsetune.study.space import Choice, LogUniform, Uniform

GMP = "gmp/target=0.9"


def study(**fields: Any) -> Study:
    search = {"optim.lr": LogUniform(0.01, 1), "schedule.lr": Choice(["linear", "cosine"])}
    arms = {"gmp": Arm({"sparsity.method": "gmp"})}
    return Study(
        **{
            "name": "s",
            "arms": arms,
            "sweep": {"sparsity.target": [0, 0.9]},
            "search": search,
            **fields,
        }
    )


def opened(path: Path, cell: str = GMP) -> optuna.Study:
    return optuna.load_study(study_name=cell, storage=JournalStorage(JournalFileBackend(str(path))))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "search.journal"


def values(lr: float = 0.1, schedule: str = "linear") -> dict[str, Any]:
    return {"optim.lr": lr, "schedule.lr": schedule}


def test_a_file_holds_a_study_per_cell_and_a_trial_per_configuration(path: Path) -> None:
    journal = SearchJournal(path, study(), study().cells())
    journal.tell(GMP, "good", values(0.1), 0.25)
    journal.tell(GMP, "diverged", values(0.9, "cosine"), None)
    journal.tell("dense", "other", values(0.5), 0.125)
    trials = opened(path).trials
    assert [(t.user_attrs["config_id"], t.state, t.value) for t in trials] == [
        ("good", TrialState.COMPLETE, 0.25),
        ("diverged", TrialState.PRUNED, None),
    ]
    assert [t.params for t in trials] == [values(0.1), values(0.9, "cosine")]
    assert [t.value for t in opened(path, "dense").trials] == [0.125]
    assert opened(path).best_params == values(0.1)


def test_a_configuration_is_told_once(path: Path) -> None:
    journal = SearchJournal(path, study(), study().cells())
    for objective in (0.25, 0.5):
        journal.tell(GMP, "same", values(), objective)
    assert [t.value for t in opened(path).trials] == [0.25]


@pytest.mark.parametrize("outside", [values(0.001), values(2.0), values(0.1, "constant")])
def test_a_base_outside_the_ranges_is_left_out(path: Path, outside: dict[str, Any]) -> None:
    journal = SearchJournal(path, study(), study().cells())
    journal.tell(GMP, "base", outside, 0.1)
    journal.tell(GMP, "inside", values(), 0.2)
    assert [t.user_attrs["config_id"] for t in opened(path).trials] == ["inside"]


def test_an_axis_that_a_choice_rules_out_is_absent(path: Path) -> None:
    declared = study(
        search={"optim.name": Choice(["sgd", "adamw"]), "optim.momentum": Uniform(0, 0.9)}
    )
    journal = SearchJournal(path, declared, declared.cells())
    journal.tell(GMP, "adamw", {"optim.name": "adamw"}, 0.1)
    journal.tell(GMP, "sgd", {"optim.name": "sgd", "optim.momentum": 0.5}, 0.2)
    assert [t.params for t in opened(path).trials] == [
        {"optim.name": "adamw"},
        {"optim.name": "sgd", "optim.momentum": 0.5},
    ]


def test_it_is_written_anew_at_every_launch_over_whatever_lay_there(path: Path) -> None:
    SearchJournal(path, study(), study().cells()).tell(GMP, "before", values(), 0.1)
    with path.open("a") as file:
        file.write('{"torn')
    SearchJournal(path, study(), study().cells()).tell(GMP, "after", values(), 0.2)
    assert [t.user_attrs["config_id"] for t in opened(path).trials] == ["after"]


def test_the_direction_is_the_studys(path: Path) -> None:
    declared = study(objective=Maximize("val_accuracy"))
    SearchJournal(path, declared, declared.cells())
    assert opened(path).direction == optuna.study.StudyDirection.MAXIMIZE


def test_a_cell_that_searches_nothing_has_no_study(path: Path) -> None:
    declared = study(search={"sparsity.ramp.start": Uniform(0, 0.3)})
    SearchJournal(path, declared, declared.cells())
    assert optuna.get_all_study_names(JournalStorage(JournalFileBackend(str(path)))) == [GMP]


def test_a_journal_in_memory_moves_to_a_file_and_continues_there(path: Path) -> None:
    """What was told before and after is read back in order, once each."""
    journal = SearchJournal(None, study(), study().cells())
    journal.tell(GMP, "a", values(0.1), 0.3, {0: 0.4})
    journal.move_to(path)
    journal.tell(GMP, "a", values(0.1), 0.3)
    journal.tell(GMP, "b", values(0.2), None)
    for trials in (journal.optuna_study(GMP).trials, opened(path).trials):
        assert [(t.user_attrs["config_id"], t.state) for t in trials] == [
            ("a", TrialState.COMPLETE),
            ("b", TrialState.PRUNED),
        ]
        assert trials[0].intermediate_values == {0: 0.4}
