"""The driver over a real ledger: what workers send, what is lost, and a disk that fills."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sparsetune.cluster.assignment import Assignment
from sparsetune.launch.driver import Driver, python_path
from sparsetune.launch.failures import HOPELESS_FAILURES, MAX_ATTEMPTS
from sparsetune.search.journal import SearchJournal
from sparsetune.search.planner import Planner
from sparsetune.search.stopping.halving import HalvingRungs
from sparsetune.storage import StudyDirectory, ledger
from sparsetune.storage.announcements import Announcement, Retried
from sparsetune.storage.ledger import Ledger
from sparsetune.storage.records import Extended
from sparsetune.storage.trial_state import fold_records
from sparsetune.study import Arm, Study
from sparsetune.study.space import LogUniform
from sparsetune.study.stopping import Halving
from tests.assignments import SETTINGS, failed, sent
from tests.ledger_records import Plain, plain_records

STUDY = Study(
    name="s",
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.9]},
    search={"optim.lr": LogUniform(0.01, 1)},
    configurations_per_cell=2,
    report_seeds=1,
)
Open = Callable[..., Driver]


@pytest.fixture
def open_driver(tmp_path: Path) -> Iterator[Open]:
    """Opens a driver over the one directory, as each launch does."""
    opened: list[Ledger] = []

    def open_(
        slots: int = 1, announce: Callable[[Announcement], None] = lambda message: None
    ) -> Driver:
        directory = StudyDirectory(tmp_path / "s")
        directory.create(STUDY)
        trials = fold_records(ledger.read_records(directory.ledger))
        opened.append(Ledger(directory.ledger))
        planner = Planner(STUDY, trials, SearchJournal(None, STUDY, STUDY.cells()))
        return Driver(directory, opened[-1], trials, planner, SETTINGS, slots, [announce])

    yield open_
    for segment in opened:
        segment.close()


def on_disk(driver: Driver) -> list[Plain]:
    return plain_records(driver.directory.ledger)


def started(config: Assignment, step: int = 0) -> Any:
    return sent(config, "started", resumed_from_step=step)


def report(config: Assignment, step: int, attempt: int | None = None, **fields: Any) -> Any:
    given = replace(config, attempt=attempt or config.attempt)
    return sent(given, "report", step=step, val_error=step / 100, **fields)


def ended(config: Assignment, status: str = "COMPLETE", error: str | None = None) -> Any:
    return sent(config, "ended", status=status, error=error)


def configured(driver: Driver) -> Assignment:
    config = driver.next_assignment()
    assert isinstance(config, Assignment)
    return config


def test_a_trial_is_on_disk_before_it_is_handed_out(open_driver: Open) -> None:
    driver = open_driver()
    config = configured(driver)
    (proposed,) = on_disk(driver)
    assert (proposed["type"], proposed["trial_id"], proposed["spec"]) == (
        "proposed",
        config.trial_id,
        config.spec,
    )
    assert proposed["time"] > 0
    assert config.shared == SETTINGS
    assert (config.attempt, config.earlier, config.retry, config.read_test) == (
        1,
        (),
        None,
        False,
    )
    assert config.folder == str(driver.directory.path / "trials" / config.trial_id / "attempt-1")


def test_no_more_trials_are_handed_out_than_run_at_once(open_driver: Open) -> None:
    driver = open_driver(slots=2)
    first = configured(driver)
    second = configured(driver)
    assert driver.next_assignment() is None
    driver.receive([started(first), report(first, 80), ended(first)])
    assert configured(driver).trial_id not in (first.trial_id, second.trial_id)


def run_all(driver: Driver) -> list[Assignment]:
    configs = []
    while (config := driver.next_assignment()) != "done":
        assert config is not None
        configs.append(config)
        driver.receive([started(config), report(config, 80), ended(config)])
    return configs


def test_a_study_is_done_when_nothing_is_left_and_only_searches_skip_the_test_set(
    open_driver: Open,
) -> None:
    driver = open_driver()
    configs = run_all(driver)
    # Two configurations in each of two cells; a report each, a twin and, if it is not the winner, a
    # control.
    assert len(configs) == len(driver.trials) == len(driver.planner.expected_epochs())
    reads = {config.trial_id: config.read_test for config in configs}
    assert reads == {
        name: trial.proposed[0].role != "search" for name, trial in driver.trials.items()
    }
    assert set(reads.values()) == {False, True}
    assert open_driver().next_assignment() == "done"


def test_a_known_trial_is_not_proposed_twice(open_driver: Open) -> None:
    first = configured(open_driver())
    again = open_driver()
    assert configured(again).trial_id == first.trial_id
    assert [record["type"] for record in on_disk(again)] == ["proposed"]


def test_a_resumed_trials_reports_fill_the_ledger_and_are_not_written_twice(
    open_driver: Open,
) -> None:
    driver = open_driver()
    first = configured(driver)
    driver.receive(
        [started(first), report(first, 20), report(first, 40)]
    )  # the driver dies; the worker got to 60
    again = open_driver()
    second = configured(again)
    again.receive(
        [
            started(second, 60),
            *(report(second, step, attempt=1) for step in (20, 40, 60)),
            report(second, 80),
        ]
    )
    rows = [(r["attempt"], r["step"]) for r in on_disk(again) if r["type"] == "report"]
    assert rows == [(1, 20), (1, 40), (1, 60), (2, 80)]
    assert list(again.trials[second.trial_id].reports) == [20, 40, 60, 80]


def test_what_decides_nothing_is_written_with_what_does_and_a_rung_is_judged_at_once(
    open_driver: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    writings: list[int] = []
    write = Ledger.append

    def counted(self: Ledger, *records: Any) -> None:
        writings.append(len(records))
        write(self, *records)

    def reports(config: Assignment, *steps: int) -> list[Any]:
        settled = {"phase": "sparse", "at_target": True}
        return [report(config, step, progress=step / 80, **settled) for step in steps]

    driver = open_driver()
    config = configured(driver)
    driver.receive([started(config)])
    monkeypatch.setattr(Ledger, "append", counted)
    driver.receive([*reports(config, 20, 40, 80), ended(config)])
    assert writings == [4]
    judged = configured(driver)
    driver.planner.judge.rungs = HalvingRungs(Halving(rungs=(0.5,)), STUDY.objective, STUDY.equal)
    driver.receive([started(judged)])
    writings.clear()
    driver.receive(reports(judged, 20, 40, 60))
    assert writings == [2, 1]
    assert list(driver.trials[judged.trial_id].reports) == [20, 40, 60]


def test_reports_beyond_the_checkpoint_are_written_again(open_driver: Open) -> None:
    driver = open_driver()
    first = configured(driver)
    driver.receive([started(first), report(first, 20), report(first, 40)])
    again = open_driver()
    second = configured(again)
    again.receive(
        [started(second, 20), report(second, 20, attempt=1), report(second, 40), report(second, 60)]
    )
    rows = [(r["attempt"], r["step"]) for r in on_disk(again) if r["type"] == "report"]
    assert rows == [(1, 20), (1, 40), (2, 40), (2, 60)]
    states = fold_records(ledger.read_records(again.directory.ledger))[second.trial_id].reports
    assert {step: row.attempt for step, row in states.items()} == {20: 1, 40: 2, 60: 2}


@pytest.mark.parametrize(
    ("told", "folders", "attempt"),
    [(0, [], 1), (2, [], 3), (0, [1], 2), (1, [1, 2], 3), (3, [2], 4)],
)
def test_the_attempts_number_follows_both_ledger_and_folders(
    open_driver: Open, told: int, folders: list[int], attempt: int
) -> None:
    driver = open_driver()
    config = configured(driver)
    for number in range(1, told + 1):
        driver.receive([started(replace(config, attempt=number))])
    paths = [driver.directory.attempt(config.trial_id, number) for number in folders]
    for path in paths:
        path.mkdir(parents=True)
    again = configured(open_driver())
    assert (again.trial_id, again.attempt) == (config.trial_id, attempt)
    assert again.earlier == tuple(str(path) for path in paths)
    assert again.folder.endswith(f"attempt-{attempt}")


def test_a_lost_worker_is_retried_with_its_reason_and_then_fails(open_driver: Open) -> None:
    announced: list[Announcement] = []
    driver = open_driver(announce=announced.append)
    first = configured(driver)
    for number in range(1, MAX_ATTEMPTS + 1):
        config = first if number == 1 else configured(driver)
        assert (config.trial_id, config.attempt) == (first.trial_id, number)
        assert config.retry == (None if number == 1 else f"death {number - 1}")
        driver.receive([started(config)])
        driver.on_attempt_failed(config.trial_id, number, "lost", f"death {number}")
    trial = driver.trials[first.trial_id]
    assert (trial.status, trial.ended and trial.ended.error) == (
        "FAILED",
        f"death {MAX_ATTEMPTS}",
    )
    assert [r.error for r in announced if isinstance(r, Retried)] == ["death 1", "death 2"]
    assert [r["error"] for r in on_disk(driver) if r["type"] == "ended"] == [
        f"death {MAX_ATTEMPTS}"
    ]
    assert configured(driver).trial_id != first.trial_id


def test_what_may_pass_is_tried_again_and_a_trials_own_error_is_not(open_driver: Open) -> None:
    driver = open_driver()
    first = configured(driver)
    driver.receive([started(first), failed(first, "memory")])
    second = configured(driver)
    assert (second.trial_id, second.attempt, second.retry) == (first.trial_id, 2, "why")
    driver.receive([started(second), failed(second, "code", "ValueError: no")])
    assert driver.trials[first.trial_id].status == "FAILED"
    assert [r["error"] for r in on_disk(driver) if r["type"] == "ended"] == ["ValueError: no"]
    assert not [r for r in on_disk(driver) if r["type"] in ("failed", "retried")]
    assert configured(driver).trial_id != first.trial_id


def test_a_silent_trial_is_tried_once_more_and_its_note_is_the_reason(open_driver: Open) -> None:
    driver = open_driver()
    for attempt in (1, 2):
        assignment = configured(driver)
        assert assignment.attempt == attempt
        driver.receive([started(assignment)])
        note = {"cause": "silent", "reason": f"no step for 15 minutes ({attempt})"}
        folder = Path(assignment.folder)
        folder.mkdir(parents=True)
        (folder / "exit.json").write_text(json.dumps(note))
        driver.on_attempt_failed(assignment.trial_id, attempt, "lost", "The actor died")
    state = driver.trials[assignment.trial_id]
    assert (state.status, state.attempts) == ("FAILED", 2)
    assert state.ended and state.ended.error == "no step for 15 minutes (2)"


@pytest.mark.parametrize("cause", ["time", "code"])
def test_a_trial_over_its_whole_limit_is_not_tried_again(cause: Any, open_driver: Open) -> None:
    driver = open_driver()
    assignment = configured(driver)
    driver.receive([started(assignment)])
    driver.on_attempt_failed(assignment.trial_id, 1, cause, "it took longer")
    assert driver.trials[assignment.trial_id].status == "FAILED"


@pytest.mark.parametrize("renamed", [False, True])
def test_a_folder_that_is_renamed_or_deleted_ends_the_launch_in_words(
    renamed: bool, open_driver: Open, tmp_path: Path
) -> None:
    driver = open_driver(slots=2)
    assignment = configured(driver)
    driver.receive([started(assignment)])
    driver.check_folder()
    assert driver.stopped is None
    if renamed:
        driver.directory.path.rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(driver.directory.path)
    driver.receive([ended(assignment)])
    assert "was renamed or deleted while it ran" in str(driver.stopped)
    assert "Nothing that was reported is lost" not in str(driver.stopped)
    assert driver.next_assignment() == "done"
    assert not driver.directory.path.exists()


def test_a_worker_whose_disk_is_full_ends_the_launch_and_its_trial_can_go_on(
    open_driver: Open,
) -> None:
    driver = open_driver()
    config = configured(driver)
    driver.receive(
        [
            started(config),
            failed(config, "storage", "`x` cannot be written: No space left on device"),
        ]
    )
    assert "No space left on device" in str(driver.stopped) and "free space" in str(driver.stopped)
    assert driver.next_assignment() == "done" and not driver.complete
    again = open_driver()
    assert again.trials[config.trial_id].status == "RUNNING"
    assert configured(again).trial_id == config.trial_id


MANY = STUDY.with_changes(configurations_per_cell=9)


@pytest.mark.parametrize("good", [None, 0, HOPELESS_FAILURES - 1])
def test_a_study_in_which_everything_fails_stops_and_says_why(
    tmp_path: Path, good: int | None
) -> None:
    directory = StudyDirectory(tmp_path / "s")
    directory.create(MANY)
    segment = Ledger(directory.ledger)
    planner = Planner(MANY, trials := {}, SearchJournal(None, MANY, MANY.cells()))
    driver = Driver(directory, segment, trials, planner, SETTINGS, 1, [])
    for number in range(HOPELESS_FAILURES):
        assert driver.stopped is None
        config = configured(driver)
        driver.receive(
            [
                started(config),
                ended(config) if number == good else failed(config, "code", "KeyError: 'x'"),
            ]
        )
    said = str(driver.stopped)
    if good is None:
        assert (
            f"the first {HOPELESS_FAILURES} trials all failed" in said and "KeyError: 'x'" in said
        )
        assert driver.next_assignment() == "done" and not driver.complete
    else:
        assert driver.stopped is None and configured(driver)
    segment.close()


def test_a_retried_trial_goes_on_from_its_checkpoints_as_a_new_attempt(open_driver: Open) -> None:
    driver = open_driver()
    config = configured(driver)
    Path(config.folder).mkdir(parents=True)
    driver.receive(
        [started(config), report(config, 20), report(config, 40), ended(config, "FAILED")]
    )
    driver.append(Extended(retried=[config.trial_id]))
    again = open_driver()
    assert again.trials[config.trial_id].status == "WAITING"
    second = configured(again)
    assert (second.trial_id, second.attempt) == (config.trial_id, 2)
    assert second.earlier == (config.folder,)
    again.receive([started(second, 20), report(second, 40), report(second, 80), ended(second)])
    state = again.trials[second.trial_id]
    assert {step: row.attempt for step, row in state.reports.items()} == {20: 1, 40: 2, 80: 2}
    assert (state.status, [r["type"] for r in on_disk(again)].count("proposed")) == ("COMPLETE", 1)


def test_a_retry_that_nothing_waits_for_any_more_stays_failed_and_the_status_says_so(
    open_driver: Open,
) -> None:
    """The winner's report failed and so did a better configuration, which takes its place when it
    runs again.
    """
    driver = open_driver()
    first = configured(driver)
    second = None
    driver.receive([started(first), ended(first, "FAILED")])
    second = configured(driver)
    driver.receive(
        [started(second), report(second, 80), ended(second)]
    )  # wins, with an error of 0.8
    failed_report = configured(driver)
    driver.receive([started(failed_report), ended(failed_report, "FAILED", "lost")])
    run_all(driver)
    driver.append(Extended(retried=[first.trial_id, failed_report.trial_id]))
    again = open_driver()
    config = configured(again)
    assert config.trial_id == first.trial_id
    again.receive([started(config), report(config, 1), ended(config)])
    run_all(again)
    left = again.trials[failed_report.trial_id]
    assert (left.status, left.ended and left.ended.error, left.attempts) == ("FAILED", "lost", 1)
    assert (
        fold_records(ledger.read_records(again.directory.ledger))[failed_report.trial_id].status
        == "FAILED"
    )
    assert "WAITING" not in {trial.status for trial in again.trials.values()}


def test_a_worker_that_dies_after_its_trial_ended_changes_nothing(open_driver: Open) -> None:
    driver = open_driver()
    config = configured(driver)
    driver.receive([started(config), report(config, 80), ended(config)])
    before = on_disk(driver)
    driver.on_attempt_failed(config.trial_id, 1, "lost", "killed while idle")
    assert (on_disk(driver), driver.trials[config.trial_id].status) == (before, "COMPLETE")


def test_records_are_announced_after_they_are_durable(open_driver: Open) -> None:
    seen: list[tuple[str, int]] = []
    driver = open_driver(
        announce=lambda record: seen.append((type(record).__name__.lower(), len(on_disk(driver))))
    )
    config = configured(driver)
    driver.receive([started(config), ended(config, "DIVERGED")])
    assert seen == [("proposed", 1), ("started", 2), ("ended", 3)]


FULL = """
import json, resource, signal, sys
from pathlib import Path
from sparsetune.storage import ledger
from sparsetune.storage import StudyDirectory
from sparsetune.launch.driver import Driver
from sparsetune.search.journal import SearchJournal
from sparsetune.search.planner import Planner
from sparsetune.search.sampling.points import quiet_optuna
from tests.assignments import SETTINGS, sent
quiet_optuna()
directory = StudyDirectory(sys.argv[1])
study, announced = directory.study(), []
planner = Planner(study, trials := {}, SearchJournal(None, study, study.cells()))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
driver = Driver(
    directory, ledger.Ledger(directory.ledger), trials, planner, SETTINGS, 1, [announced.append]
)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
config, step = driver.next_assignment(), 0
driver.receive([sent(config, "started")])
while not driver.stopped:
    driver.receive([sent(config, "report", step=(step := step + 1))])
driver.receive([sent(config, "ended", status="COMPLETE")])
state = trials[config.trial_id]
counts = [len(announced), len(state.reports)]
print(json.dumps([str(driver.stopped), driver.next_assignment(), *counts, state.status]))
"""


def test_a_full_disk_stops_the_launch_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    directory = StudyDirectory(tmp_path / "s")
    directory.create(STUDY)
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(directory.path)],
        capture_output=True,
        text=True,
        check=True,
    )
    stopped, next_config, announced, reports, status = json.loads(done.stdout)
    records = plain_records(directory.ledger)
    assert "ledger/000001.jsonl` cannot be written" in stopped
    assert next_config == "done"
    assert (len(records), status) == (announced, "RUNNING")
    assert [r["step"] for r in records if r["type"] == "report"] == list(range(1, reports + 1))
    assert reports > 10


def test_a_disk_without_room_stops_the_launch(small_disk: Path, open_driver: Open) -> None:
    driver = open_driver()
    driver.ledger = Ledger(small_disk / "ledger")
    config = configured(driver)
    (small_disk / "ballast").write_bytes(b"x" * 32_000)
    driver.receive([started(config), report(config, 1, filler="x" * 40_000)])
    assert "No space left on device" in str(driver.stopped)
    assert driver.next_assignment() == "done"
    assert [record["type"] for record in plain_records(small_disk / "ledger")] == [
        "proposed",
        "started",
    ]
    driver.ledger.close()


def test_workers_import_from_the_current_folder_and_from_beside_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert python_path(None) == [str(tmp_path)]
    assert python_path(Path("mine/study.py")) == [str(tmp_path), str(tmp_path / "mine")]
    assert python_path(Path("study.py"), [Path("lib"), Path("lib")]) == [
        str(tmp_path / "lib"),
        str(tmp_path),
    ]
