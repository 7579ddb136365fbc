"""A study that is half done, and Optuna kept quiet: fixtures of tests that start no Ray."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from sparsetune.search.sampling.points import quiet_optuna
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import Ledger
from sparsetune.storage.records import Record
from sparsetune.study import Arm, Study
from tests.ledger_records import records


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Every test has warning filters of its own, where Optuna's experimental samplers are
    errors.
    """
    quiet_optuna()


@pytest.fixture
def half_done(tmp_path: Path) -> StudyDirectory:
    """Eight trials of 4 or 8 epochs of 20 steps, 48 in all, of which four began: 7 epochs were
    reported.
    """
    study = Study(
        name="half",
        question="How [far]?",
        arms={"gmp": Arm({"sparsity.method": "gmp"})},
        sweep={"sparsity.target": [0, 0.9], "schedule.epoch_multiplier": [1, 2]},
        report_seeds=2,
    )
    directory = StudyDirectory(tmp_path / "runs" / "half")
    directory.create(study)
    directory.record_launch({"time": 1000.0, "command": "sparsetune run half.py"})
    with closing(Ledger(directory.ledger)) as ledger:
        ledger.append(
            *_trial(study, "dense/epoch_multiplier=1", 1000, {20: 0.5, 80: 0.04}, "COMPLETE")
        )
        ledger.append(
            *_trial(
                study,
                "dense/epoch_multiplier=1",
                1001,
                {20: 0.01},
                "DIVERGED",
                "loss is nan [at] 30",
            )
        )
        ledger.append(*_trial(study, "gmp/target=0.9/epoch_multiplier=1", 1000, {20: 0.6, 40: 0.3}))
        ledger.append(
            *_trial(study, "gmp/target=0.9/epoch_multiplier=2", 1000, {}, "FAILED", "worker lost")
        )
    return directory


def _trial(
    study: Study,
    cell_name: str,
    seed: int,
    rows: dict[int, float],
    status: str | None = None,
    error: str | None = None,
) -> list[Record]:
    cell = next(cell for cell in study.cells() if cell.name == cell_name)
    spec = cell.spec.with_values({"seed": seed})
    names = {"trial_id": spec.trial_id(), "attempt": 1, "time": 1010.0}
    proposed = {
        "type": "proposed",
        **names,
        "config_id": spec.config_id(),
        "cell": cell.name,
        "arm": cell.arm,
        "role": "report",
        "index": 0,
        "source": "base",
        "seed": seed,
        "spec": spec.given(),
    }
    reports = [
        {
            "type": "report",
            **names,
            "step": step,
            "epoch": step / 20,
            "progress": step / spec.total_steps(),
            "val_error": value,
        }
        for step, value in rows.items()
    ]
    ended = (
        [{"type": "ended", **names, "status": status, "error": error, "certified": None}]
        if status
        else []
    )
    started = {"type": "started", **names, "resumed_from_step": 0}
    return records([proposed, started, *reports, *ended])
