"""Names and files of the past: digests do not move, and old folders still load."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from sparsetune.spec import SCHEMA_VERSION, TrialSpec
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import read_records
from sparsetune.storage.trial_state import fold_records
from sparsetune.study.selection import winner_of

HERE = Path(__file__).parent
MEANING = (
    "the digest of `{}` has moved: every finished trial would be run again under another name. Give"
    " a new field a default that changes nothing, and list a changed default in"
    " sparsetune/spec/defaults.py; the class keeps that of version 1"
)
PINNED = json.loads((HERE / "digests.json").read_text())


@pytest.mark.parametrize("kind", PINNED)
def test_digests_are_what_they_were(kind: str) -> None:
    now = runpy.run_path(str(HERE / "make.py"))["digests"]()
    assert now[kind].keys() == PINNED[kind].keys()
    for name, digest in PINNED[kind].items():
        assert now[kind][name] == digest, MEANING.format(name)


def test_different_declarations_have_different_digests() -> None:
    trials = {name: digest for name, digest in PINNED["trials"].items() if name != "gmp, target 0"}
    assert len(set(trials.values())) == len(trials) == 12
    assert PINNED["trials"]["gmp, target 0"] == trials["defaults"]
    assert len(set(PINNED["studies"].values())) == 4


@pytest.fixture(scope="module")
def old() -> StudyDirectory:
    """A study of schema 1, as it was written then: killed once, resumed, finished."""
    return StudyDirectory(HERE / "schema-1")


def test_the_schema_of_the_committed_study_is_still_read() -> None:
    assert SCHEMA_VERSION == 1, (
        "keep tests/golden/schema-1, and add what makes it load or a test that it is refused"
    )


def test_an_old_declaration_loads_with_its_digest_and_cells(old: StudyDirectory) -> None:
    study = old.study()
    assert study.digest() == json.loads(old.declaration.read_text())["digest"]
    assert [(cell.name, cell.control_from) for cell in study.cells()] == [
        ("dense", None),
        ("gmp/target=0.9", "dense"),
    ]
    assert study.seeds("report") == [1000]
    assert len(old.launches()) == 2
    old.create(study)  # resuming it is accepted


def test_an_old_ledger_loads_with_its_results(old: StudyDirectory) -> None:
    trials = fold_records(read_records(old.ledger))
    found = [(t.use.cell, t.use.role, t.use.index, t.status, t.attempts) for t in trials.values()]
    assert found == [
        ("dense", "search", 0, "COMPLETE", 1),
        ("dense", "search", 1, "COMPLETE", 1),
        ("gmp/target=0.9", "search", 0, "COMPLETE", 1),
        ("gmp/target=0.9", "search", 1, "COMPLETE", 2),
        ("dense", "report", 1, "COMPLETE", 1),
        ("gmp/target=0.9", "report", 1, "COMPLETE", 1),
        ("gmp/target=0.9", "control", 1, "DIVERGED", 1),
        ("gmp/target=0.9", "twin", 1, "COMPLETE", 2),
    ]
    errors = [[row.row["val_error"] for row in trial.reports.values()] for trial in trials.values()]
    assert errors == [
        [0.5, 0.3],
        [0.5, 0.1],
        [0.5, 0.4],
        [0.5, 0.2],
        [0.5, 0.12],
        [0.5, 0.22],
        [0.9],
        [0.15],
    ]
    for cell, best in (("dense", 1), ("gmp/target=0.9", 3)):
        searched = {
            name: trial.last.row["val_error"]
            for name, trial in trials.items()
            if (trial.use.cell, trial.use.role) == (cell, "search")
        }
        assert winner_of(searched, minimize=True) == list(trials)[best]


def test_old_trials_keep_their_names(old: StudyDirectory) -> None:
    for name, trial in fold_records(read_records(old.ledger)).items():
        spec = TrialSpec.model_validate(trial.use.spec)
        assert (spec.trial_id(), spec.config_id()) == (name, trial.use.config_id)
