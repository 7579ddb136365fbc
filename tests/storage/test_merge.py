"""Directories of one declaration become one: trials by id, and refusals that name what differs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import analysis
from sparsetune.errors import StudyDirectoryError
from sparsetune.search.planner import build_planner
from sparsetune.search.sampling.points import quiet_optuna
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import Ledger, read_records
from sparsetune.storage.merge import merge_studies
from sparsetune.storage.records import Ended, Extended, Granted, Record, Report, Started
from sparsetune.storage.trial_state import fold_records
from sparsetune.study.additions import granted_seeds
from tests.analysis.simulation import SMALL, Simulation

Change = Callable[[Record], Record | None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study with simulated numbers."""
    return Simulation(SMALL, tmp_path_factory.mktemp("whole") / "small").run()


@pytest.fixture(autouse=True)
def _quiet() -> None:
    quiet_optuna()


def part(whole: Path, path: Path, change: Change, **facts: Any) -> Path:
    """A copy of a study whose records are changed, or left out where the change gives None."""
    home = StudyDirectory(path)
    home.create(StudyDirectory(whole).study())
    home.record_launch({"time": 1.0, "command": f"run {path.name}", **facts})
    changed = [change(record) for record in read_records(whole / "ledger")]
    with closing(Ledger(home.ledger)) as ledger:
        ledger.append(*[record for record in changed if record is not None])
    return path


def of_trials(keep: Callable[[int], bool], whole: Path) -> Change:
    """Keeps the records of some trials, by their number in the order of their first proposal."""
    trials = list(fold_records(read_records(whole / "ledger")))
    kept = {trial_id for number, trial_id in enumerate(trials) if keep(number)}
    return lambda record: record if getattr(record, "trial_id", None) in kept else None


def refused(*paths: Path, into: Path) -> str:
    with pytest.raises(StudyDirectoryError) as caught:
        merge_studies(paths, into)
    assert not into.exists()
    assert [path.name for path in into.parent.iterdir() if path.name.startswith(".")] == []
    return str(caught.value)


def contents(folder: Path) -> Mapping[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_study_that_was_cut_in_two_is_whole_again(whole: Path, tmp_path: Path) -> None:
    odd = part(whole, tmp_path / "odd", of_trials(lambda n: n % 2 == 1, whole))
    even = part(whole, tmp_path / "even", of_trials(lambda n: n % 2 == 0, whole))
    (odd / "trials" / "t").mkdir(parents=True)
    before = contents(odd), contents(even)
    merged = merge_studies([odd, even], tmp_path / "new" / "both")
    assert (contents(odd), contents(even)) == before
    assert set(merged.counts) == {"COMPLETE"}
    ours, theirs = (analysis.load(path) for path in (merged.directory, whole))
    for table in ("trials", "history", "cells"):
        keys = ["trial_id", "step"] if table != "cells" else ["cell"]
        frames = [
            getattr(one, table)().sort_values(keys).reset_index(drop=True) for one in (ours, theirs)
        ]
        pd.testing.assert_frame_equal(*frames)
    home = StudyDirectory(merged.directory)
    assert [facts["command"] for facts in home.launches()] == ["run odd", "run even"]
    assert [facts["merged_from"] for facts in home.launches()] == [str(odd), str(even)]
    planner = build_planner(home.study(), fold_records(read_records(home.ledger)))
    assert planner.next()[0] is None, "nothing is left to run"


def test_an_ended_trial_wins_and_the_rest_goes_on_with_its_files(
    whole: Path, tmp_path: Path
) -> None:
    last = list(fold_records(read_records(whole / "ledger")))[-1]

    def halted(after: int) -> Change:
        def change(record: Record) -> Record | None:
            if getattr(record, "trial_id", None) != last:
                return record
            is_later = isinstance(record, Report) and record.epoch > after
            return None if isinstance(record, Ended) or is_later else record

        return change

    early = part(whole, tmp_path / "early", halted(2))
    late = part(whole, tmp_path / "late", halted(6))
    for path in (early, late):
        folder = path / "trials" / last / "attempt-1"
        folder.mkdir(parents=True)
        (folder / "checkpoint-9.pt").write_text(path.name)
        (folder / "secret").symlink_to("/etc/hostname")
        os.mkfifo(folder / "waiting")
    merged = merge_studies([early, late], tmp_path / "both")
    state = fold_records(read_records(merged.directory / "ledger"))[last]
    assert (state.status, state.epochs) == ("RUNNING", 6)
    (kept,) = (merged.directory / "trials").rglob("*.pt")
    assert kept.read_text() == "late"
    assert [file.name for file in (merged.directory / "trials").rglob("*-1/*")] == [kept.name]
    ended = merge_studies([early, late, whole], tmp_path / "all")
    assert set(ended.counts) == {"COMPLETE"}


def test_numbers_that_differ_are_named(whole: Path, tmp_path: Path) -> None:
    def other_machine(record: Record) -> Record:
        if isinstance(record, Report):
            return replace(record, row={**record.row, "seconds": 99.0}, time=5.0)
        return replace(record, host="b", pid=7) if isinstance(record, Started) else record

    same = part(whole, tmp_path / "same", other_machine)
    assert set(merge_studies([whole, same], tmp_path / "both").counts) == {"COMPLETE"}

    def last_digit(record: Record) -> Record:
        if isinstance(record, Ended):
            return replace(record, columns={**record.columns, "test_accuracy": 0.125})
        return record

    other = part(whole, tmp_path / "other", last_digit)
    message = refused(whole, other, into=tmp_path / "refused")
    assert "must have the same numbers in all" in message
    assert "test_accuracy" in message and "and 0.125" in message
    assert "more" in message and message.count("\n") < 10


def test_another_declaration_code_or_data_is_named(whole: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    declared = tmp_path / "declared"
    StudyDirectory(declared).create(SMALL.with_changes(report_seeds=4))
    message = refused(whole, declared, into=into)
    assert "must be of one declaration" in message and "`report_seeds`: 2 -> 4" in message

    def fingerprinted(digest: str) -> Change:
        data = f"digits={digest} other=1"
        return lambda one: replace(one, data=data) if isinstance(one, Started) else one

    a = part(whole, tmp_path / "a", fingerprinted("aa"), code="c1", packages={"torch": "2.15"})
    b = part(whole, tmp_path / "b", fingerprinted("bb"), code="c1")
    assert "`digits`, by digest: aa -> bb" in refused(a, b, into=into)
    c = part(whole, tmp_path / "c", fingerprinted("aa"), code="c2")
    assert "sparsetune's files, by digest: c1 -> c2" in refused(a, c, into=into)
    d = part(whole, tmp_path / "d", fingerprinted("aa"), code="c1", packages={"torch": "2.16"})
    (warning,) = merge_studies([a, d], into).warnings
    assert warning == f"`{a}` and `{d}` differ in torch: 2.15 -> 2.16"


def test_extensions_are_taken_once_and_must_agree(whole: Path, tmp_path: Path) -> None:
    def extended(name: str, *counts: int) -> Path:
        path = tmp_path / name
        shutil.copytree(whole, path)
        with closing(Ledger(path / "ledger")) as ledger:
            ledger.append(*[Extended(report_seeds=count) for count in counts])
        return path

    merged = merge_studies(
        [whole, extended("one", 1), extended("two", 1, 2)], tmp_path / "merged"
    ).directory
    records = read_records(merged / "ledger")
    assert StudyDirectory(merged).study().extended(records).report_seeds == 2 + 1 + 2
    message = refused(tmp_path / "two", extended("three", 3), into=tmp_path / "refused")
    assert "report seeds 1; report seeds 2" in message and "report seeds 3" in message


def test_seeds_granted_at_looks_are_taken_once_and_must_agree(whole: Path, tmp_path: Path) -> None:
    def granted(name: str, *cells: str) -> Path:
        path = tmp_path / name
        shutil.copytree(whole, path)
        with closing(Ledger(path / "ledger")) as ledger:
            for look, cell in enumerate(cells, start=2):
                ledger.append(Granted(look=look, report_seeds=2, cells=[cell]))
        return path

    sources = [whole, granted("one", "dense"), granted("two", "dense", "gmp")]
    merged = merge_studies(sources, tmp_path / "merged").directory
    records = read_records(merged / "ledger")
    assert granted_seeds(records) == {"dense": 2, "gmp": 2}
    message = refused(tmp_path / "two", granted("three", "gmp"), into=tmp_path / "refused")
    assert "report seeds 2, in cells ['gmp']" in message


def test_questions_that_were_asked_later_are_kept_of_every_source(
    whole: Path, tmp_path: Path
) -> None:
    tuning = {"kind": "retuning", "arm": "gmp", "margin": 0.002}
    remaining = {"kind": "remaining", "arm": "gmp"}

    def asked(name: str, *questions: Mapping[str, Any]) -> Path:
        path = tmp_path / name
        shutil.copytree(whole, path)
        with closing(Ledger(path / "ledger")) as ledger:
            ledger.append(Extended(asked=list(questions)))
        return path

    sources = [whole, asked("one", tuning), asked("two", tuning, remaining)]
    merged = merge_studies(sources, tmp_path / "merged").directory
    records = read_records(merged / "ledger")
    found = [record.asked for record in records if isinstance(record, Extended)]
    assert found == [[tuning, remaining]]
    assert StudyDirectory(merged).questions() == StudyDirectory(whole).questions()


def test_a_failed_trial_that_was_asked_for_again_waits(whole: Path, tmp_path: Path) -> None:
    last = list(fold_records(read_records(whole / "ledger")))[-1]

    def failed(record: Record) -> Record:
        is_end = isinstance(record, Ended) and record.trial_id == last
        return replace(record, status="FAILED") if is_end else record  # type: ignore[type-var]

    path = part(whole, tmp_path / "failed", failed)
    with closing(Ledger(path / "ledger")) as ledger:
        ledger.append(Extended(retried=(last,)))
    merged = merge_studies([path, path], tmp_path / "merged")
    assert merged.counts["WAITING"] == 1


def test_places_that_cannot_be_merged_into_or_from(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("years of work")
    with pytest.raises(StudyDirectoryError, match="must be a new folder"):
        merge_studies([whole, whole], tmp_path / "taken")
    with pytest.raises(StudyDirectoryError, match="is not a study directory"):
        merge_studies([whole, tmp_path / "taken"], tmp_path / "new")
    with pytest.raises(StudyDirectoryError, match="at least two"):
        merge_studies([whole], tmp_path / "new")
    with (
        StudyDirectory(whole).locked(),
        pytest.raises(StudyDirectoryError, match="is being run by another process"),
    ):
        merge_studies([whole, whole], tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert json.loads((whole / "study.json").read_text())["schema"] == 1
