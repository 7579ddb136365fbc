"""Optuna's view: read back with plain Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from sparsetune.search.journal import Proposal, Result, SearchJournal
from sparsetune.spec import TrialSpec
from sparsetune.study import Arm, Maximize, Study
from sparsetune.study.space import Choice, IntRange, LogUniform, Uniform

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


def tell(
    journal: SearchJournal,
    cell: str,
    config_id: str,
    point: Mapping[str, Any],
    objective: float | None,
    **result: Any,
) -> None:
    """A configuration that was proposed at 1000 s and ended at 1060 s."""
    journal.propose(cell, Proposal(config_id, "sobol:3", point, time=1000.0))
    journal.tell(cell, config_id, Result(objective, time=1060.0, **result))


def states(path: Path, cell: str = GMP) -> list[tuple[str, str, float | None]]:
    return [(t.user_attrs["config_id"], t.state.name, t.value) for t in opened(path, cell).trials]


def test_a_file_holds_a_study_per_cell_and_a_trial_per_configuration(path: Path) -> None:
    journal = SearchJournal(path, study(), study().cells())
    tell(journal, GMP, "good", values(0.1), 0.25)
    tell(journal, GMP, "diverged", values(0.9, "cosine"), None)
    tell(journal, GMP, "stopped", values(0.8, "cosine"), None, stopped=True, rungs={0: 0.5})
    journal.propose(GMP, Proposal("running", "sobol:4", values(0.3)))
    tell(journal, "dense", "other", values(0.5), 0.125)
    assert states(path) == [
        ("good", "COMPLETE", 0.25),
        ("diverged", "FAIL", None),
        ("stopped", "PRUNED", None),
        ("running", "RUNNING", None),
    ]
    trials = opened(path).trials
    points = [values(0.1), values(0.9, "cosine"), values(0.8, "cosine"), values(0.3)]
    assert [t.params for t in trials] == points
    assert trials[2].intermediate_values == {0: 0.5}
    assert trials[0].user_attrs["source"] == "sobol:3"
    assert [t.value for t in opened(path, "dense").trials] == [0.125]
    assert opened(path).best_params == values(0.1)
    # Samplers read results: to them, whatever has no objective is PRUNED.
    told = journal.optuna_study(GMP).trials
    assert [t.state.name for t in told] == ["COMPLETE", "PRUNED", "PRUNED"]


def damages() -> dict[str, Any]:
    return {
        "deleted": lambda path: path.unlink(),
        "emptied": lambda path: path.write_bytes(b""),
        "cut": lambda path: path.write_bytes(path.read_bytes()[:50]),
        "replaced": lambda path: (path.unlink(), path.write_bytes(b"{}\n" * 1000)),
    }


@pytest.mark.parametrize("damage", damages())
@pytest.mark.parametrize("proposes", [False, True])
def test_a_file_that_is_lost_while_a_study_runs_is_whole_again(
    damage: str, proposes: bool, path: Path
) -> None:
    journal = SearchJournal(path, study(), study().cells())
    tell(journal, GMP, "first", values(0.1), 0.25)
    journal.propose(GMP, Proposal("second", "sobol:4", values(0.2), time=1000.0))
    damages()[damage](path)
    if proposes:
        journal.propose(GMP, Proposal("third", "sobol:5", values(0.3), time=1000.0))
    journal.tell(GMP, "second", Result(0.5, time=1060.0))
    expected = [("first", "COMPLETE", 0.25), ("second", "COMPLETE", 0.5)]
    assert states(path) == [*expected, *([("third", "RUNNING", None)] if proposes else [])]


def test_what_others_add_to_the_file_stays(path: Path) -> None:
    journal = SearchJournal(path, study(), study().cells())
    journal.propose(GMP, Proposal("one", "sobol:4", values(0.2), time=1000.0))
    opened(path).set_user_attr("note", "of another tool")
    journal.tell(GMP, "one", Result(0.5, time=1060.0))
    assert states(path) == [("one", "COMPLETE", 0.5)]
    assert opened(path).user_attrs["note"] == "of another tool"


def test_no_change_waits_for_the_disk_since_the_ledger_has_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: int) -> None:
        raise AssertionError("it waits")

    journal = SearchJournal(path, study(), study().cells())
    monkeypatch.setattr("os.fsync", refuse)
    tell(journal, GMP, "c1", values(), 0.25)
    (trial,) = opened(path).trials
    assert trial.value == 0.25


def test_a_configuration_is_told_once(path: Path) -> None:
    journal = SearchJournal(path, study(), study().cells())
    for objective in (0.25, 0.5):
        tell(journal, GMP, "same", values(), objective)
    assert [t.value for t in opened(path).trials] == [0.25]


def test_recipes_beyond_the_ranges_are_kept_and_may_win(path: Path) -> None:
    """Base recipes may lie beyond them, and a control has another cell's."""
    outside = [values(0.001), values(2.0), values(0.1, "constant")]
    low = {"sparsity.method": "gmp", "optim.lr": 0.001}
    high = {"sparsity.method": "acdc", "optim.lr": 2.0, "schedule.lr": "constant"}
    declared = study(arms={"gmp": Arm(low), "acdc": Arm(high)})
    journal = SearchJournal(path, declared, declared.cells())
    for number, point in enumerate(outside):
        tell(journal, GMP, f"recipe {number}", point, 0.1 * (3 - number))
    tell(journal, GMP, "inside", values(), 0.2)
    assert [t.params for t in opened(path).trials] == [*outside, values()]
    assert opened(path).best_trial.user_attrs["config_id"] == "recipe 2"
    # One range for all of a cell's trials, or Optuna's importances would leave the field out.
    assert len({str(t.distributions) for t in opened(path).trials}) == 1
    # A sampler has no place for them.
    told = journal.optuna_study(GMP).trials
    assert [t.user_attrs["config_id"] for t in told] == ["inside"]


def test_what_optuna_cannot_place_is_an_attribute_of_its_trial(path: Path) -> None:
    """No logarithmic range holds 0, and no range of whole numbers a half."""
    search = {"optim.weight_decay": LogUniform(1e-5, 1e-2), "schedule.epochs": IntRange(2, 9)}
    base = TrialSpec().with_values({"optim.weight_decay": 0, "schedule.epochs": 12})
    declared = study(base=base, search=search)
    journal = SearchJournal(path, declared, declared.cells())
    tell(journal, GMP, "base", {"optim.weight_decay": 0, "schedule.epochs": 12}, 0.1)
    tell(journal, GMP, "half", {"optim.weight_decay": 1e-3, "schedule.epochs": 2.5}, 0.2)
    assert [t.params for t in opened(path).trials] == [
        {"schedule.epochs": 12},
        {"optim.weight_decay": 1e-3},
    ]
    assert opened(path).trials[0].user_attrs["optim.weight_decay"] == 0
    assert opened(path).trials[1].user_attrs["schedule.epochs"] == 2.5


def test_times_are_those_of_the_ledger_after_a_move(path: Path) -> None:
    journal = SearchJournal(None, study(), study().cells())
    tell(journal, GMP, "a", values(), 0.25)
    journal.move_to(path)
    (trial,) = opened(path).trials
    assert trial.datetime_start == datetime.fromtimestamp(1000)
    assert trial.datetime_complete == datetime.fromtimestamp(1060)


def test_times_of_what_ends_now_are_of_now(path: Path) -> None:
    before = datetime.now()
    journal = SearchJournal(path, study(), study().cells())
    journal.propose(GMP, Proposal("a", "base", values()))
    journal.tell(GMP, "a", Result(0.25))
    (trial,) = opened(path).trials
    assert before <= trial.datetime_start <= trial.datetime_complete <= datetime.now()


def test_an_axis_that_a_choice_rules_out_is_absent(path: Path) -> None:
    declared = study(
        search={"optim.name": Choice(["sgd", "adamw"]), "optim.momentum": Uniform(0, 0.9)}
    )
    journal = SearchJournal(path, declared, declared.cells())
    tell(journal, GMP, "adamw", {"optim.name": "adamw"}, 0.1)
    tell(journal, GMP, "sgd", {"optim.name": "sgd", "optim.momentum": 0.5}, 0.2)
    assert [t.params for t in opened(path).trials] == [
        {"optim.name": "adamw"},
        {"optim.name": "sgd", "optim.momentum": 0.5},
    ]


def test_it_is_written_anew_at_every_launch_over_whatever_lay_there(path: Path) -> None:
    tell(SearchJournal(path, study(), study().cells()), GMP, "before", values(), 0.1)
    with path.open("a") as file:
        file.write('{"torn')
    tell(SearchJournal(path, study(), study().cells()), GMP, "after", values(), 0.2)
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
    """What was told before and after is read back in the order of proposal, once each."""
    journal = SearchJournal(None, study(), study().cells())
    journal.propose(GMP, Proposal("c", "base", values(0.4)))
    tell(journal, GMP, "a", values(0.1), 0.3, rungs={0: 0.4})
    journal.move_to(path)
    tell(journal, GMP, "a", values(0.1), 0.3)
    tell(journal, GMP, "b", values(0.2), None)
    journal.tell(GMP, "c", Result(0.5))
    assert states(path) == [("c", "COMPLETE", 0.5), ("a", "COMPLETE", 0.3), ("b", "FAIL", None)]
    assert opened(path).trials[1].intermediate_values == {0: 0.4}
    told = journal.optuna_study(GMP).trials
    assert [t.user_attrs["config_id"] for t in told] == ["a", "b", "c"]


@pytest.mark.parametrize("objective", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinities_are_no_objective(path: Path, objective: float) -> None:
    journal = SearchJournal(path, study(), study().cells())
    tell(journal, GMP, "broken", values(0.1), objective)
    tell(journal, GMP, "good", values(0.2), 0.25)
    assert states(path) == [("broken", "FAIL", None), ("good", "COMPLETE", 0.25)]
    assert [trial.value for trial in journal.optuna_study(GMP).trials] == [None, 0.25]
    assert opened(path).best_trial.user_attrs["config_id"] == "good"
