"""A study whose trials ran in two directories goes on in their union, to the same numbers."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sparsetune import Arm, OptimSpec, ScheduleSpec, Study, TrialSpec
from sparsetune.cli.main import main
from sparsetune.launch.launch import Options, launch
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import Ledger, read_records
from sparsetune.storage.records import Record
from tests.integration.runs import rows, trials

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
STUDY = Study(
    name="parted",
    base=TrialSpec(optim=OptimSpec(lr=0.05), schedule=ScheduleSpec(epochs=1)),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.5]},
    report_seeds=2,
)


def test_a_merged_study_is_resumed_to_the_numbers_of_one_that_ran_alone(tmp_path: Path) -> None:
    options: Any = {"quiet": True, "cpus_per_trial": 1}
    alone = Path(str(launch(STUDY, Options(storage=tmp_path / "alone", **options)).directory))
    expected = trials(alone)
    assert len(expected) == 4
    records = read_records(alone / "ledger")
    parts = []
    for number, kept in enumerate([list(expected)[:2], list(expected)[2:3]]):
        home = StudyDirectory(tmp_path / f"part-{number}")
        home.create(StudyDirectory(alone).study())
        home.record_launch(StudyDirectory(alone).launches()[0])
        own: list[Record] = [one for one in records if getattr(one, "trial_id", None) in kept]
        with closing(Ledger(home.ledger)) as ledger:
            ledger.append(*own)
        parts.append(str(home.path))
    both = tmp_path / "both"
    assert main(["merge", *parts, "--into", str(both)]) == 0
    assert len(trials(both)) == 3
    assert main(["resume", str(both), "--no-report"]) == 0
    found = trials(both)
    assert {one: rows(state) for one, state in found.items()} == {
        one: rows(state) for one, state in expected.items()
    }
    assert [state.attempts for state in found.values()] == [1, 1, 1, 1], "none was run again"
