"""Preparation of a launch: nothing is written, refusals come first, another driver's records
count.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from sparsetune.errors import DeclarationError, LimitError, StudyDirectoryError
from sparsetune.launch.extension import Extension
from sparsetune.launch.options import Options
from sparsetune.launch.prepare import prepare_launch
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import Ledger
from sparsetune.storage.records import Ended, Started
from sparsetune.study import Study

STUDY = Study(name="short", report_seeds=1)


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(storage=tmp_path / "runs", quiet=True)


def finish(options: Options, status: str = "COMPLETE") -> StudyDirectory:
    """Another driver's launch, in which the study's one trial ended."""
    prepared = prepare_launch(STUDY, options)
    prepared.directory.create(STUDY)
    use, _ = prepared.planner.next()
    assert use
    names = {"trial_id": use.trial_id, "attempt": 1}
    with closing(Ledger(prepared.directory.ledger)) as ledger:
        ledger.append(use.record(), Started(**names, resumed_from_step=0))
        ledger.append(Ended(**names, status=status))
    return prepared.directory


def test_a_new_study_is_prepared_without_a_file(options: Options, tmp_path: Path) -> None:
    prepared = prepare_launch(STUDY, options)
    assert (prepared.forecast.trials, prepared.added, list(prepared.records)) == (1, None, [])
    assert prepared.forecast.seconds and prepared.forecast.missing is None
    assert list(tmp_path.iterdir()) == []


def test_an_extension_is_in_the_plan_and_not_yet_in_the_ledger(options: Options) -> None:
    directory = finish(options)
    before = directory.ledger.joinpath("000001.jsonl").read_bytes()
    prepared = prepare_launch(STUDY, options, extend=Extension(report_seeds=2))
    assert prepared.added and prepared.records[-1] is prepared.added
    assert (prepared.planner.study.report_seeds, prepared.forecast.trials) == (3, 2)
    assert [path.read_bytes() for path in directory.ledger.iterdir()] == [before]


def test_a_failed_trial_that_is_retried_is_in_the_forecast(options: Options) -> None:
    finish(options, "FAILED")
    assert prepare_launch(STUDY, options).forecast.trials == 0
    again = prepare_launch(STUDY, options, extend=Extension(retry_failed=True))
    assert (again.forecast.trials, [trial.status for trial in again.trials.values()]) == (
        1,
        ["WAITING"],
    )


def test_what_did_not_change_is_not_prepared_again(options: Options) -> None:
    finish(options)
    prepared = prepare_launch(STUDY, options)
    assert prepared.up_to_date() is prepared


def test_what_another_driver_wrote_in_between_counts(options: Options) -> None:
    prepared = prepare_launch(STUDY, options)
    finish(options)
    now = prepared.up_to_date()
    assert now is not prepared
    assert (prepared.forecast.trials, now.forecast.trials) == (1, 0)
    assert now.planner.next()[0] is None


def test_an_extension_that_another_driver_made_first_is_refused(options: Options) -> None:
    study = Study(name="swept", sweep={"schedule.epoch_multiplier": [1]}, report_seeds=1)
    longer = Extension(sweep={"schedule.epoch_multiplier": [2]})
    prepared = prepare_launch(study, options, extend=longer)
    assert prepared.added
    with closing(Ledger(prepared.directory.ledger)) as ledger:
        ledger.append(prepared.added)
    with pytest.raises(DeclarationError, match="swept already are"):
        prepared.up_to_date()


def test_refusals_leave_no_file(options: Options, tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="--max-hours"):
        prepare_launch(STUDY, Options(storage=options.storage, max_hours=1e-9))
    with pytest.raises(DeclarationError, match="gpus_per_trial"):
        prepare_launch(STUDY, Options(storage=options.storage, gpus_per_trial=2))
    assert list(tmp_path.iterdir()) == []
    finish(options)
    with pytest.raises(StudyDirectoryError, match="holds a study of another declaration"):
        prepare_launch(STUDY.with_changes(report_seeds=2), options)
