"""Runs the study of digits once per study seed, in this process, and prints its first answers.

It shows how often the effect that the study ends with comes out:

    uv run python -m tests.studies.repeated_digits 10     about a minute a seed, without Ray
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pandas as pd
import torch

import analysis
from sparsetune.cluster.assignment import Assignment
from sparsetune.launch.driver import Driver
from sparsetune.search.journal import SearchJournal
from sparsetune.search.planner import Planner
from sparsetune.spec import TrialSpec
from sparsetune.storage import StudyDirectory
from sparsetune.storage.records import Ended, Report
from sparsetune.storage.trial_files import OUTCOMES_FILE, file_digests
from sparsetune.storage.trial_files.outcomes import encode_outcomes
from sparsetune.storage.trial_state import TrialState
from sparsetune.study import Study
from sparsetune.train import train
from studies.digits import STUDY
from tests.assignments import SETTINGS, sent

COLUMNS = ["arm", "sparsity", "n", "mean", "low", "high", "verdict"]


def run_in_process(study: Study, path: Path) -> Path:
    """Run a study as its launch does, one trial after another; returns its directory."""
    home = StudyDirectory(path)
    home.create(study)
    home.record_launch({"time": 0.0, "command": "tests.studies.repeated_digits"})
    trials: dict[str, TrialState] = {}
    journal = SearchJournal(home.journal, study, study.cells())
    with closing(home.open_ledger()) as ledger:
        driver = Driver(home, ledger, trials, Planner(study, trials, journal), SETTINGS, 1, [])
        while isinstance(given := driver.next_assignment(), Assignment):
            _train(driver, given)
    return path


def _train(driver: Driver, given: Assignment) -> None:
    driver.receive([sent(given, "started", resumed_from_step=0)])
    names = {"trial_id": given.trial_id, "attempt": given.attempt}
    rows: list[Report] = []
    final = train(
        TrialSpec.model_validate(given.spec),
        read_test=given.read_test,
        report=lambda row: rows.append(Report(row=row, **names)),
    )
    driver.receive(rows)
    folder = Path(given.folder)
    folder.mkdir(parents=True, exist_ok=True)
    if final.outcomes is not None:
        (folder / OUTCOMES_FILE).write_bytes(encode_outcomes(final.outcomes))
    files = file_digests(folder)
    driver.receive([Ended(**names, status=final.status, files=files, columns=final.test)])


def repeat(seeds: int) -> pd.DataFrame:
    """Answers on the gain beyond dense, a row for each study seed, arm and sparsity."""
    tables = []
    for seed in range(seeds):
        study = STUDY.with_changes(seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            results = analysis.load(run_in_process(study, Path(folder) / "digits"))
            found = analysis.answers(results).frame()
        rows = found[found["question"].str.startswith("extension")]
        tables.append(rows[COLUMNS].assign(study_seed=seed))
        print(f"{seed}: {', '.join(rows['verdict'])}", flush=True)
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    table = repeat(int(sys.argv[1]))
    print(table.to_csv(index=False, float_format="%.4f"))
