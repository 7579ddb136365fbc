"""Launch facts: plain JSON, and true of this process."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparsetune import provenance


def test_the_facts_are_plain_json_and_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/some/bin/sparsetune", "run", "studies.digits"])
    facts = json.loads(json.dumps(provenance.facts()))
    assert facts["command"] == "sparsetune run studies.digits"
    assert facts["python"] == platform.python_version()
    assert facts["cpus"] == len(os.sched_getaffinity(0))
    assert abs(facts["time"] - time.time()) < 60
    assert facts["packages"].keys() == set(provenance.PACKAGES)
    assert all(facts["packages"].values())


def test_the_commit_is_that_of_the_study_file_and_a_changed_tree_is_said(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        names = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        command = ["git", *names, *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    study = tmp_path / "study.py"
    study.write_text("first")
    assert provenance.facts(study)["git"] is None
    git("init")
    git("add", "study.py")
    git("commit", "-m", "first")
    assert provenance.facts(study)["git"] == {"commit": git("rev-parse", "HEAD"), "changed": False}
    study.write_text("second")
    assert provenance.facts(study)["git"]["changed"] is True


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("pytest", "no-such-package-here"))
    assert provenance.facts()["packages"] == {"pytest": pytest.__version__, "no-such-package-here": None}
