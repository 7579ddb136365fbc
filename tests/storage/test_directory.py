"""The study directory: what it accepts, what it refuses, and who may hold it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sparsetune import Remaining
from sparsetune.errors import StorageError, StudyDirectoryError
from sparsetune.paths import resolve_place
from sparsetune.spec import OptimSpec, TrialSpec
from sparsetune.storage import StudyDirectory, write_durably
from sparsetune.storage.ledger import read_records
from sparsetune.storage.records import Ended
from sparsetune.study import Arm, Study
from sparsetune.study.questions.defaults import asked_questions
from tests.analysis.exact import TWO_ARMS
from tests.object_store import keys
from tests.storage.old_directories import without_questions

STUDY = Study(
    name="s", arms={"gmp": Arm({"sparsity.method": "gmp"})}, sweep={"sparsity.target": [0, 0.9]}
)


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    created = StudyDirectory(tmp_path / "runs" / "s")
    created.create(STUDY)
    return created


def test_a_created_directory_holds_its_declaration_with_digest_and_schema(
    directory: StudyDirectory,
) -> None:
    assert directory.study() == STUDY.under_defaults(1)
    stored = json.loads(directory.declaration.read_text())
    assert (stored["schema"], stored["digest"]) == (1, STUDY.digest())


def test_the_same_declaration_is_accepted_again(directory: StudyDirectory) -> None:
    before = directory.declaration.read_bytes()
    directory.create(STUDY.with_changes(question="Worded anew?"))
    assert directory.declaration.read_bytes() == before


def test_another_declaration_is_refused_naming_what_differs(directory: StudyDirectory) -> None:
    changed = STUDY.with_changes(base=TrialSpec(optim=OptimSpec(lr=0.3)), report_seeds=5)
    with pytest.raises(StudyDirectoryError) as caught:
        directory.create(changed)
    assert "`base.optim.lr`: (absent) -> 0.3" in str(caught.value)
    assert "`report_seeds`: (absent) -> 5" in str(caught.value)
    assert "--name" in str(caught.value)
    assert directory.study() == STUDY.under_defaults(1)


def test_a_folder_that_is_not_a_study_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StudyDirectoryError, match="exists and is not a study"):
        StudyDirectory(tmp_path).create(STUDY)
    with pytest.raises(
        StudyDirectoryError, match=r"is not a study directory: it has no `study.json`"
    ):
        StudyDirectory(tmp_path).study()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_not_a_study_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyDirectoryError, match="exists and is not a study"):
        StudyDirectory(tmp_path / "file").create(STUDY)


def test_a_start_that_was_killed_before_the_declaration_was_in_place_can_be_repeated(
    tmp_path: Path,
) -> None:
    (tmp_path / "study.json.tmp").write_text('{"schema": 1, "decl')
    StudyDirectory(tmp_path).create(STUDY)
    assert StudyDirectory(tmp_path).study() == STUDY.under_defaults(1)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"schema": 2, "declaration": {}}, "has schema version 2, this sparsetune reads 1"),
        ({"schema": 0}, "has schema version 0"),
        ({"name": "something else"}, "is not a study's declaration"),
        ([1, 2], "is not a study's declaration"),
        ({"schema": 1}, "is damaged"),
        (
            {"schema": 1, "declaration": {"name": "s", "of_the_future": 1}},
            "is damaged.*of_the_future",
        ),
    ],
)
def test_a_declaration_of_another_kind_is_refused(
    tmp_path: Path, stored: Any, message: str
) -> None:
    (tmp_path / "study.json").write_text(json.dumps(stored))
    with pytest.raises(StudyDirectoryError, match=f"(?s){message}"):
        StudyDirectory(tmp_path).study()
    with pytest.raises(StudyDirectoryError, match=f"(?s){message}"):
        StudyDirectory(tmp_path).create(STUDY)


def test_a_declaration_that_is_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"schema": 1, "decl')
    with pytest.raises(StudyDirectoryError, match="is not a study's declaration"):
        StudyDirectory(tmp_path).study()


def test_launches_are_kept_in_order(directory: StudyDirectory) -> None:
    assert directory.launches() == []
    directory.record_launch({"command": "run"})
    directory.record_launch({"command": "resume"})
    assert directory.launches() == [{"command": "run"}, {"command": "resume"}]


def test_attempts_are_found_by_their_folders_in_order(directory: StudyDirectory) -> None:
    for number in (1, 10, 2):
        directory.attempt("t", number).mkdir(parents=True)
    (directory.trials / "t" / "attempt-x").mkdir()
    assert directory.attempts("t") == [1, 2, 10]
    assert directory.attempts("other") == []


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert StudyDirectory("runs/s").ledger == tmp_path / "runs" / "s" / "ledger"


HOLD = """
import sys
from sparsetune.storage import StudyDirectory
with StudyDirectory(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def driver(directory: StudyDirectory) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the study."""
    command = [sys.executable, "-c", HOLD, str(directory.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_driver_is_refused_and_told_who_holds_the_study(
    directory: StudyDirectory, driver: subprocess.Popen[str]
) -> None:
    assert directory.driver() is not None
    with pytest.raises(
        StudyDirectoryError, match=rf"is being run by another process \(pid {driver.pid} on "
    ):
        directory.locked().__enter__()


def test_the_lock_of_a_killed_driver_does_not_hold(
    directory: StudyDirectory, driver: subprocess.Popen[str]
) -> None:
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    with directory.locked():
        assert directory.driver() is not None
    assert directory.driver() is None


def test_a_read_only_disk_is_one_message_for_every_writer(small_disk: Path) -> None:
    StudyDirectory(small_disk / "s").create(STUDY)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    directory = StudyDirectory(small_disk / "s")
    directory.create(STUDY)  # reads alone
    for write in (
        lambda: StudyDirectory(small_disk / "new").create(STUDY),
        lambda: directory.record_launch({}),
        lambda: directory.locked().__enter__(),
    ):
        with pytest.raises(StorageError, match="cannot be written: Read-only file system"):
            write()
    assert directory.study() == STUDY.under_defaults(1)


def test_a_full_disk_loses_no_launch_and_blocks_no_later_start(small_disk: Path) -> None:
    directory = StudyDirectory(small_disk / "s")
    directory.create(STUDY)
    directory.record_launch({"command": "run"})
    (small_disk / "ballast").write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 4096))
    with pytest.raises(StorageError, match="No space left"):
        directory.record_launch({"command": "x" * 10_000})
    with pytest.raises(StorageError, match="No space left"):
        StudyDirectory(small_disk / "new").create(STUDY.with_changes(question="x" * 10_000))
    (small_disk / "ballast").unlink()
    directory.record_launch({"command": "resume"})
    assert directory.launches() == [{"command": "run"}, {"command": "resume"}]
    StudyDirectory(small_disk / "new").create(STUDY)


def test_a_place_that_cannot_be_a_folder_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written: Not a directory"):
        StudyDirectory(tmp_path / "file" / "s").create(STUDY)


@pytest.fixture
def stored(bucket: str) -> StudyDirectory:
    created = StudyDirectory(f"{bucket}/runs/s")
    created.create(STUDY)
    return created


def test_a_study_in_an_object_store_is_what_it_is_on_a_disk(
    stored: StudyDirectory, directory: StudyDirectory
) -> None:
    assert stored.study() == STUDY.under_defaults(1)
    assert stored.declaration.read_bytes() == directory.declaration.read_bytes()
    stored.create(STUDY.with_changes(question="Worded anew?"))
    with pytest.raises(StudyDirectoryError, match=r"`report_seeds`: \(absent\) -> 5"):
        stored.create(STUDY.with_changes(report_seeds=5))
    assert stored.launches() == []
    stored.record_launch({"command": "run"})
    stored.record_launch({"command": "resume"})
    assert stored.launches() == [{"command": "run"}, {"command": "resume"}]
    for number in (1, 10, 2):
        (stored.attempt("t", number) / "file").write_bytes(b"")
    assert (stored.attempts("t"), stored.attempts("other")) == ([1, 2, 10], [])


def test_a_prefix_that_is_not_a_study_is_refused_and_left_alone(bucket: str) -> None:
    resolve_place(f"{bucket}/thesis/chapter/one.tex").write_bytes(b"years of work")
    with pytest.raises(StudyDirectoryError, match="exists and is not a study"):
        StudyDirectory(f"{bucket}/thesis").create(STUDY)
    assert keys(bucket) == {"thesis/chapter/one.tex": b"years of work"}


def test_of_two_declarations_created_at_once_the_later_is_refused(bucket: str) -> None:
    late = StudyDirectory(f"{bucket}/s")

    def unused(self: StudyDirectory) -> bool:
        patch.undo()
        StudyDirectory(f"{bucket}/s").create(STUDY)  # between its look and its write
        return True

    patch = pytest.MonkeyPatch()
    patch.setattr(StudyDirectory, "_is_unused", unused)
    with pytest.raises(StudyDirectoryError, match="holds a study of another declaration"):
        late.create(STUDY.with_changes(report_seeds=5))
    assert late.study() == STUDY.under_defaults(1)


def test_the_journal_is_built_on_a_disk_and_copied_to_the_store(stored: StudyDirectory) -> None:
    with stored.journal_file() as file:
        assert isinstance(file, Path)
        file.write_bytes(b"told")
    assert stored.journal.read_bytes() == b"told"
    assert not file.exists()


def test_a_file_is_replaced_as_a_whole_or_not_at_all(small_disk: Path) -> None:
    write_durably(small_disk / "new" / "file", "old é")
    with pytest.raises(OSError, match="No space left"):
        write_durably(small_disk / "new" / "file", b"x" * 100_000)
    assert [(path.name, path.read_text()) for path in (small_disk / "new").iterdir()] == [
        ("file", "old é")
    ]


WRITE = """
import sys
from contextlib import closing
from sparsetune.errors import LostStudyError
from sparsetune.storage import StudyDirectory
from sparsetune.storage.records import Ended
directory = StudyDirectory(sys.argv[1])
with directory.locked() as mine, closing(directory.open_ledger(mine)) as ledger:
    for line in sys.stdin:
        try:
            ledger.append(Ended(trial_id=line.strip(), attempt=1, status="COMPLETE"))
            print("written", flush=True)
        except LostStudyError as error:
            print(" ".join(str(error).split()), flush=True)
"""


@pytest.fixture
def writer(directory: StudyDirectory) -> Iterator[Callable[[str], str]]:
    """Another process that drives the study: writes a trial's end, and says how that went."""
    directory.create(STUDY)
    command = [sys.executable, "-c", WRITE, str(directory.path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:

        def write(trial_id: str) -> str:
            assert process.stdin and process.stdout
            process.stdin.write(f"{trial_id}\n")
            process.stdin.flush()
            return process.stdout.readline()

        assert write("first") == "written\n"
        yield write
        process.communicate()


def test_without_its_lock_a_driver_stops_and_a_second_one_is_refused(
    directory: StudyDirectory, writer: Callable[[str], str]
) -> None:
    (Path(str(directory.path)) / "driver.lock").unlink()
    assert directory.driver() == "unknown"
    with pytest.raises(StudyDirectoryError, match="whose lock was deleted"):
        directory.locked().__enter__()
    assert "driver.lock` was deleted or replaced while the study ran" in writer("lost")
    assert [one.trial_id for one in read_records(directory.ledger) if isinstance(one, Ended)] == [
        "first"
    ]


def test_a_driver_whose_folder_is_gone_stops_and_makes_none(
    directory: StudyDirectory, writer: Callable[[str], str]
) -> None:
    folder = Path(str(directory.path))
    folder.rename(folder.with_name("moved"))
    said = writer("lost")
    assert "was renamed or deleted while it ran" in said and "Nothing that was" not in said
    assert not folder.exists()
    folder.with_name("moved").rename(folder)
    assert writer("found again") == "written\n"


@pytest.mark.parametrize("damage", ["deleted", "replaced", "cut", "added to"])
def test_a_driver_whose_segment_is_no_more_its_own_stops(
    directory: StudyDirectory, writer: Callable[[str], str], damage: str
) -> None:
    segment = Path(str(directory.ledger)) / "000001.jsonl"
    data = segment.read_bytes()
    if damage == "added to":
        with segment.open("ab") as file:
            file.write(b"{}\n")
    elif damage == "cut":
        os.truncate(segment, 10)
    else:
        segment.unlink()
    if damage == "replaced":
        segment.write_bytes(data)
    assert "while the study ran" in writer("lost")


@pytest.mark.parametrize("kind", ["link", "link to nothing", "second name", "FIFO", "folder"])
def test_a_lock_that_is_no_file_of_its_own_is_refused_and_nothing_behind_it_written(
    directory: StudyDirectory, tmp_path: Path, kind: str
) -> None:
    directory.create(STUDY)
    lock = Path(str(directory.path)) / "driver.lock"
    victim = tmp_path / "victim"
    victim.write_text("precious")
    if kind == "second name":
        os.link(victim, lock)
    elif kind == "FIFO":
        os.mkfifo(lock)
    elif kind == "folder":
        lock.mkdir()
    else:
        lock.symlink_to(victim if kind == "link" else tmp_path / "new")
    with pytest.raises(StorageError, match=r"driver\.lock` cannot be written: "):
        directory.locked().__enter__()
    assert directory.driver() is None
    assert victim.read_text() == "precious" and not (tmp_path / "new").exists()


def test_questions_are_stored_in_full_before_the_data(tmp_path: Path) -> None:
    home = StudyDirectory(tmp_path / "asked")
    home.create(TWO_ARMS)
    assert home.questions() == asked_questions(TWO_ARMS)
    # What is declared later, under the same digest, was not asked at the start.
    later = TWO_ARMS.with_changes(questions=[Remaining("gmp")])
    home.create(later)
    assert home.questions() == asked_questions(TWO_ARMS)
    other = StudyDirectory(tmp_path / "other")
    other.create(later)
    assert other.questions() == (Remaining("gmp"),)
    assert other.study().questions == (Remaining("gmp"),)


def test_a_directory_of_an_older_version_has_no_list_of_questions(tmp_path: Path) -> None:
    StudyDirectory(tmp_path / "old").create(TWO_ARMS)
    without_questions(tmp_path / "old")
    old = StudyDirectory(tmp_path / "old")
    assert old.questions() is None
    assert old.study() == TWO_ARMS.under_defaults(1)


@pytest.mark.parametrize(
    "questions", ["many", [{"kind": "guess"}], [{"kind": "retuning", "margin": -1}], [3]]
)
def test_questions_that_cannot_be_read_are_damage(tmp_path: Path, questions: Any) -> None:
    home = StudyDirectory(tmp_path / "asked")
    home.create(TWO_ARMS)
    stored = json.loads(home.declaration.read_text())
    stored["questions"] = questions
    home.declaration.write_text(json.dumps(stored))
    with pytest.raises(StudyDirectoryError, match="its checksum does not"):
        home.study()
    with pytest.raises(StudyDirectoryError, match="is damaged"):
        home.questions()
