"""Outcomes on single test examples, read cell by cell; a damaged file costs what it holds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import analysis
from analysis.estimates.outcomes import cell_outcomes
from analysis.load import StudyResults
from analysis.testing import MadeResults
from sparsetune.errors import SparsetuneError
from sparsetune.storage.merge import merge_studies
from sparsetune.storage.trial_files import OUTCOMES_FILE, file_digests
from sparsetune.storage.trial_files.outcomes import Outcomes, encode_outcomes
from tests.analysis.simulation import SMALL, Simulation

EXAMPLES = 20
CELL = "gmp/target=0.9/epoch_multiplier=1"


def right_answers(trial_id: str) -> np.ndarray:
    return np.random.default_rng(int(trial_id, 16)).random(EXAMPLES) < 0.8


class KeptOutcomes(Simulation):
    """A finished study whose trials with a test measure left their outcomes."""

    def close(self) -> Path:
        searched = {one["trial_id"] for one in self.records if one.get("role") == "search"}
        recorded: list[Mapping[str, Any]] = []
        for record in self.records:
            if record["type"] == "ended" and record["trial_id"] not in searched:
                folder = Path(str(self.directory.attempt(record["trial_id"], 1)))
                folder.mkdir(parents=True)
                right = right_answers(record["trial_id"])
                found = Outcomes(EXAMPLES, accuracy=right, score_is_accuracy=True)
                (folder / OUTCOMES_FILE).write_bytes(encode_outcomes(found))
                record = {**record, "files": file_digests(folder)}
            recorded.append(record)
        self.records = recorded
        return super().close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return KeptOutcomes(SMALL, tmp_path / "study").run()


def trial_of(results: StudyResults, role: str, seed: int) -> str:
    uses = results.uses()
    rows = uses[(uses["cell"] == CELL) & (uses["role"] == role) & (uses["seed"] == seed)]
    return str(rows["trial_id"].iloc[0])


def file_of(directory: Path, trial_id: str) -> Path:
    return directory / "trials" / trial_id / "attempt-1" / OUTCOMES_FILE


def test_a_cell_with_its_twin_and_its_control(directory: Path) -> None:
    results = analysis.load(directory)
    found = cell_outcomes(results, CELL)
    assert found.seeds == (1000, 1001)
    for seed, row in zip(found.seeds, found.winner, strict=True):
        assert row.tolist() == right_answers(trial_of(results, "report", seed)).tolist()
    assert set(found.baselines) == {"twin", "control"} and not found.problems
    for seed, row in zip(found.seeds, found.baselines["control"], strict=True):
        assert row.tolist() == right_answers(trial_of(results, "control", seed)).tolist()
    assert found.baselines["twin"].shape == found.winner.shape == (2, EXAMPLES)
    assert cell_outcomes(results, CELL, "test_score").winner.tolist() == found.winner.tolist()
    dense = cell_outcomes(results, "dense/epoch_multiplier=1")
    assert not dense.baselines and not dense.problems


def test_values_by_trial(directory: Path) -> None:
    results = analysis.load(directory)
    trials = [trial_of(results, "report", seed) for seed in (1001, 1000)]
    found = results.outcomes(trials)
    assert found.dtype == np.float64
    assert found.tolist() == [right_answers(trial).tolist() for trial in trials]
    with pytest.raises(SparsetuneError, match=f"{trials[0]} kept no `test_loss`"):
        results.outcomes(trials, "test_loss")
    with pytest.raises(SparsetuneError, match=r"test_accuracy, test_loss or test_score.*val_loss"):
        results.outcomes(trials, "val_loss")
    with pytest.raises(SparsetuneError, match="at least one trial"):
        results.outcomes([])
    with pytest.raises(SparsetuneError, match=r"search.*left no outcomes"):
        results.outcomes([trial_of(results, "search", 0)])
    with pytest.raises(SparsetuneError, match=r"has no trial `\.\./x`"):
        results.outcomes(["../x"])
    made = MadeResults.copy_of(results)
    with pytest.raises(SparsetuneError, match="kept by a study's directory"):
        made.outcomes(trials)
    with pytest.raises(SparsetuneError, match=f"must be one of dense.*{CELL}.*got `x`"):
        cell_outcomes(results, "x")


@pytest.mark.parametrize("role", ["twin", "control"])
def test_a_damaged_file_costs_its_own_baseline(directory: Path, role: Any) -> None:
    file = file_of(directory, trial_of(analysis.load(directory), role, 1000))
    file.write_bytes(file.read_bytes()[:-1])
    found = cell_outcomes(analysis.load(directory), CELL)
    other = {"twin": "control", "control": "twin"}[role]
    assert set(found.baselines) == {other}
    assert str(file) in found.problems[role] and "copy it again" in found.problems[role]


def test_a_damaged_winner_costs_its_cell_and_no_other(directory: Path) -> None:
    file = file_of(directory, trial_of(analysis.load(directory), "report", 1000))
    file.unlink()
    results = analysis.load(directory)
    with pytest.raises(SparsetuneError, match="left no outcomes of single test examples"):
        cell_outcomes(results, CELL)
    assert cell_outcomes(results, "gmp/target=0.9/epoch_multiplier=2").winner.shape == (2, EXAMPLES)
    found = analysis.checks(results)
    (message,) = found.loc[found["code"] == "SPT024", "message"]
    assert f"{OUTCOMES_FILE}` is missing" in message


def test_other_test_sets_are_not_paired(directory: Path) -> None:
    trial = trial_of(analysis.load(directory), "report", 1001)
    file = file_of(directory, trial)
    file.write_bytes(encode_outcomes(Outcomes(9, accuracy=right_answers(trial)[:9])))
    # As a ledger without digests has it.
    results = analysis.load(directory)
    results.states[trial].ended.files.clear()  # type: ignore[union-attr,attr-defined]
    with pytest.raises(SparsetuneError, match=r"one test set, got 20 examples.* and 9 of"):
        cell_outcomes(results, CELL)


def test_files_are_read_once_and_few_are_kept(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = analysis.load(directory)
    trials = [trial_of(results, "report", seed) for seed in (1000, 1001)]
    assert results.trial_outcomes(trials[0]) is results.trial_outcomes(trials[0])
    monkeypatch.setattr(sys.modules["analysis.load"], "MAX_CACHED_EXAMPLES", EXAMPLES)
    again = results.trial_outcomes(trials[1])
    assert again is not results.trial_outcomes(trials[1]) and again.examples == EXAMPLES


def test_outcomes_survive_a_merge(directory: Path, tmp_path: Path) -> None:
    other = KeptOutcomes(SMALL, tmp_path / "other").run()
    merged = merge_studies([directory, other], tmp_path / "both")
    expected = cell_outcomes(analysis.load(directory), CELL)
    found = cell_outcomes(analysis.load(merged.directory), CELL)
    assert found.winner.tolist() == expected.winner.tolist()
    assert set(found.baselines) == {"twin", "control"}


def test_reading_needs_no_torch(directory: Path) -> None:
    code = (
        "import sys, analysis\n"
        "from analysis.estimates.outcomes import cell_outcomes\n"
        f"cell_outcomes(analysis.load({str(directory)!r}), {CELL!r})\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
