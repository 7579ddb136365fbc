"""Launch facts: plain JSON, and true of this process."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import sparsetune
from sparsetune.errors import StudyDirectoryError
from sparsetune.storage import StudyDirectory, provenance
from sparsetune.storage.records import Report, Started


def test_the_facts_are_plain_json_and_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/some/bin/sparsetune", "run", "studies.digits"])
    facts = json.loads(json.dumps(provenance.launch_facts()))
    assert facts["command"] == "sparsetune run studies.digits"
    assert facts["python"] == platform.python_version()
    assert facts["cpus"] == len(os.sched_getaffinity(0))
    assert abs(facts["time"] - time.time()) < 60
    assert facts["packages"].keys() == set(provenance.RECORDED_PACKAGES)
    assert all(facts["packages"].values())


def test_the_commit_is_that_of_the_study_file_and_a_changed_tree_is_said(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        names = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        command = ["git", *names, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    study = tmp_path / "study.py"
    study.write_text("first")
    assert provenance.launch_facts(study)["git"] is None
    git("init")
    git("add", "study.py")
    git("commit", "-m", "first")
    assert provenance.launch_facts(study)["git"] == {
        "commit": git("rev-parse", "HEAD"),
        "changed": False,
        "diff": None,
    }
    digests = set()
    for content in ("second", "third", "second"):
        study.write_text(content)
        facts = provenance.launch_facts(study)
        assert facts["git"]["changed"] is True
        digests.add((facts["git"]["diff"], facts["study_file_digest"]))
    assert len(digests) == 2, "equal changes have equal digests"


def test_a_module_that_changed_since_other_trials_ran_it_is_said_once() -> None:
    def started(own_code: str | None) -> Started:
        return Started(trial_id="t", attempt=1, resumed_from_step=0, own_code=own_code)

    tracker = provenance.EnvironmentTracker([started("lib=1 nets=a"), started(None)])
    assert tracker.describe_code_changes({"lib": "1", "nets": "a", "new": "x"}) == []
    (line,) = tracker.describe_code_changes({"lib": "1", "nets": "b"})
    assert "the code of `nets` is another (b) than in trials before (a)" in line
    assert tracker.describe_changes(started("lib=1 nets=b")) == []
    (line,) = tracker.describe_changes(started("lib=1 nets=c"))
    assert "trials before (a and b)" in line, "an edit while the study runs"


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "RECORDED_PACKAGES", ("pytest", "no-such-package-here"))
    assert provenance.launch_facts()["packages"] == {
        "pytest": pytest.__version__,
        "no-such-package-here": None,
    }


def test_the_folders_of_earlier_launches_are_remembered_where_they_still_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, data, other = (tmp_path / name for name in ("old", "new", "data", "other"))
    for folder in (old, new, data, other):
        folder.mkdir()
    home = StudyDirectory(tmp_path / "study")
    inside = home.path / "trials"
    inside.mkdir(parents=True)
    monkeypatch.setenv("SPARSETUNE_DATA", str(other))
    monkeypatch.chdir(tmp_path)
    facts = provenance.launch_facts(data_root=Path("data"), search_path=[str(old), str(inside)])
    assert (facts["folder"], facts["data_root"]) == (str(tmp_path), str(data))
    home.record_launch(facts)
    home.record_launch({"time": 1.0, "command": "of a version that did not record them"})
    home.record_launch(provenance.launch_facts(search_path=[str(new), str(old), "relative", "/no"]))
    found = provenance.launch_folders(home)
    assert [*found.path] == [new, old], "the newest first; neither gone nor inside the study"
    assert (found.data_root, found.data_root_variable) == (data, other)
    assert found.choose_data_root(new) == new
    assert found.choose_data_root(None) == data
    data.rmdir()
    found = provenance.launch_folders(home)
    assert found.choose_data_root(None) is None, "the variable is still set, and says it"
    monkeypatch.delenv("SPARSETUNE_DATA")
    assert found.choose_data_root(None) == other


@pytest.mark.parametrize("text", ['{"time": 1.0', "[]", "[" * 100_000])
def test_a_damaged_line_of_the_provenance_is_named(tmp_path: Path, text: str) -> None:
    home = StudyDirectory(tmp_path)
    home.provenance.write_text(f'{{"time": 1.0}}\n{text}\n')
    with pytest.raises(StudyDirectoryError, match=r"^line 2 of `.*provenance\.jsonl` is damaged: "):
        home.launches()


def launch(**changed: object) -> dict[str, object]:
    git = {"commit": "0123456789abcdef", "changed": False}
    same = {
        "python": "3.11.7",
        "processor": "A",
        "cpus": 2,
        "code": "c0de",
        "packages": {"torch": "2.15"},
        "git": git,
    }
    return {**same, **changed}


def test_what_changed_between_two_launches_is_said_line_by_line() -> None:
    assert provenance.environment_changes(launch(), launch(time=5, command="other")) == []
    later = launch(
        processor="B",
        packages={"torch": "2.16"},
        git={"commit": "fedcba9876543210", "changed": True},
    )
    assert provenance.environment_changes(launch(), later) == [
        "processor: A -> B",
        "torch: 2.15 -> 2.16",
        "commit: 0123456789ab -> fedcba987654 with changes",
    ]
    older = {name: value for name, value in launch().items() if name not in ("code", "packages")}
    assert provenance.environment_changes(older, launch(code="other")) == [], (
        "an older version did not record them"
    )


def test_the_code_is_every_file_of_the_package() -> None:
    files = sorted(Path(sparsetune.__file__).parent.rglob("*.py"))
    text = b"".join(path.read_bytes() for path in files)
    assert provenance.code_digest() == hashlib.sha256(text).hexdigest()[:12]


def test_a_change_of_sparsetunes_files_is_seen() -> None:
    assert provenance.launch_facts()["code"] == provenance.code_digest()
    assert provenance.environment_changes(launch(), launch(code="other")) == [
        "sparsetune's files, by digest: c0de -> other"
    ]


def test_trials_on_other_hardware_or_data_are_told_from_those_before() -> None:
    def started(**fields: Any) -> Started:
        same = {"data": "digits=aa", "processor": "A", "device": "cpu", "threads": 1}
        return Started(trial_id="t", attempt=1, resumed_from_step=0, **{**same, **fields})

    around = provenance.EnvironmentTracker(
        [started(), Report(trial_id="t", attempt=1, row={}), started(data="other=cc")]
    )
    assert around.describe_changes(started()) == []
    assert around.describe_changes(started(data="digits=bb")) == [
        "digits, data of digest bb, where trials before had aa"
    ]
    assert around.describe_changes(started(processor="B", threads=2)) == [
        "processor B, where trials before had A",
        "threads 2, where trials before had 1",
    ]
    assert around.describe_changes(started(processor="B", threads=2)) == [], "said once"
    assert provenance.EnvironmentTracker().describe_changes(started()) == []
    assert around.changed == []
    resumed = provenance.EnvironmentTracker((), [launch(), launch(), launch(cpus=4)])
    assert resumed.changed == ["since the last launch, CPUs of the process: 2 -> 4"]
