"""What a launch says on questions: looks that seeds begin, and declarations that changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsetune import Remaining, UnderTrained
from sparsetune.launch.extension import Extension
from sparsetune.launch.options import Options
from sparsetune.launch.prepare import prepare_launch
from sparsetune.storage import StudyDirectory
from sparsetune.storage.records import Extended
from sparsetune.study import Arm, Study

STUDY = Study(
    name="looks",
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.9], "schedule.epoch_multiplier": [1, 2]},
    questions=[UnderTrained("gmp")],
)


@pytest.fixture
def home(tmp_path: Path) -> StudyDirectory:
    directory = StudyDirectory(tmp_path / "looks")
    directory.create(STUDY)
    return directory


def notices(home: StudyDirectory, extension: Extension) -> list[str]:
    """What a launch would say of looks."""
    prepared = prepare_launch(STUDY, Options(), home.path, extension)
    return [line for line in prepared.notices if "look" in line]


def test_seeds_begin_a_look_which_spends_a_part_of_the_level(home: StudyDirectory) -> None:
    # The parts of the looks are 3.04, 0.76 and 0.34 %.
    (second,) = notices(home, Extension(report_seeds=2))
    assert second.startswith("these report seeds begin look 2 of the study: answers are open until")
    assert second.endswith("wrong in 0.76 % of repetitions; later looks have 1.2 %")
    with home.locked() as owner:
        ledger = home.open_ledger(owner)
        ledger.append(Extended(report_seeds=2), Extended(configurations_per_cell=1))
        ledger.close()
    (third,) = notices(home, Extension(report_seeds=1))
    assert "look 3 " in third
    assert notices(home, Extension(asked=[Remaining("gmp")])) == []


def test_seeds_that_are_added_come_after_the_declared_looks(tmp_path: Path) -> None:
    declared = STUDY.with_changes(until_settled=12)
    home = StudyDirectory(tmp_path / "looks")
    home.create(declared)
    prepared = prepare_launch(declared, Options(), home.path, Extension(report_seeds=2))
    (line,) = [line for line in prepared.notices if "look" in line]
    # Looks 1 to 3 are the first stage, reached or not: the second may spend 0.76 %.
    assert line.startswith("these report seeds begin look 4 of the study")
    assert line.endswith("wrong in 0.76 % of repetitions; later looks have 1.2 %")


def test_a_forecast_counts_the_seeds_of_every_look(home: StudyDirectory) -> None:
    once = prepare_launch(STUDY, Options(), home.path).forecast.trials
    other = StudyDirectory(home.path.parent / "other")
    declared = STUDY.with_changes(until_settled=12)
    assert prepare_launch(declared, Options(), other.path).forecast.trials == 4 * once


def test_questions_that_changed_since_the_start_are_told(home: StudyDirectory) -> None:
    prepared = prepare_launch(STUDY, Options(), home.path)
    assert not any("questions" in line for line in prepared.warnings)
    changed = STUDY.with_changes(questions=[UnderTrained("gmp", margin=0.1)])
    prepared = prepare_launch(changed, Options(), home.path)
    assert [line for line in prepared.warnings if "questions have changed" in line]
    assert home.questions() == (UnderTrained("gmp", margin=0.002, times=2),)
