"""The benchmarks run, and what they time is what they say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sparsetune.ledger import fold, read
from sparsetune.sparsity.methods import METHODS
from tests.benchmarks import __main__ as command
from tests.benchmarks import ledger_cost, mask_update, resume_cost
from tests.benchmarks.mask_update import ONE_PASS, peak_bytes
from tests.benchmarks.rows import Row, Turn, in_turn, quartiles
from tests.benchmarks.step_cost import BARE, PRUNED, Setting
from tests.benchmarks.trial_cost import OURS, PLAIN, REUSED, Life, slot_seconds, trial_rows, warm_since

TINY = Setting("mlp", (1, 8, 8), 2000, 20, rounds=4, timed=2, untimed=1, limit=1.1, methods=("dense", "gmp", "rigl"))


def _loop(log: list[str], name: str) -> Callable[[Turn], None]:
    def run(turn: Turn) -> None:
        while True:
            log.append(name)
            turn.tick()

    return run


def test_loops_take_turns_of_equal_length() -> None:
    log: list[str] = []
    taken = in_turn({name: _loop(log, name) for name in "ab"}, rounds=3, timed=2, untimed=1, device="cpu")
    assert "".join(log) == "aaabbb" * 4
    assert {name: [len(steps) for steps in rounds] for name, rounds in taken.items()} == {"a": [2] * 3, "b": [2] * 3}


def test_a_loop_that_fails_ends_the_others() -> None:
    def fails(turn: Turn) -> None:
        turn.tick()
        raise ValueError("no data")

    with pytest.raises(ValueError, match="no data"):
        in_turn({"fails": fails, "other": _loop([], "other")}, rounds=3, timed=1, untimed=0, device="cpu")


def test_ratios_are_round_by_round_within_the_table() -> None:
    rows = [Row("a", "base", [1.0, 2.0]), Row("b", "base", [5.0, 5.0]), Row("a", "ours", [3.0, 3.0], "base", 1.05)]
    assert rows[2].ratios(rows) == [3.0, 1.5]
    assert rows[2].as_json(rows)["ratio"] == (1.875, 2.25, 2.625)
    assert rows[0].as_json(rows)["ratio"] is None
    assert quartiles([7.0]) == (7.0, 7.0, 7.0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the peak")
def test_the_peak_counts_what_is_freed_again() -> None:
    size = 64_000_000
    assert peak_bytes(lambda: torch.ones(size, dtype=torch.uint8).max(), "cpu") == pytest.approx(size, rel=0.1)


def test_the_command_prints_every_row_and_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SETTINGS", [TINY])
    monkeypatch.setattr(ledger_cost, "APPENDS", 3)
    monkeypatch.setattr(mask_update, "NETWORKS", {"mlp": mask_update.NETWORKS["mlp"]})
    threads = torch.get_num_threads()
    try:
        command.main(["steps", "masks", "ledger", "--quick", "--json", str(tmp_path / "rows.json")])
    finally:
        torch.set_num_threads(threads)
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    printed = capsys.readouterr().out
    assert all(row["name"] in printed and row["seconds"] for row in rows)
    expected = {BARE, PRUNED, *METHODS, ONE_PASS, "torch.sort", "mlp, 17,024 weights", "Ledger.append"}
    assert expected - {"obert"} <= {row["name"] for row in rows}


def test_an_unknown_section_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["speed"])
    assert "sections are steps, masks, trials, resume, ledger, got speed" in capsys.readouterr().err


def test_a_trials_seconds_are_of_one_workers_time() -> None:
    # of two workers, one takes 2 s for each of three trials, the other 3 s for each of two
    assert slot_seconds([2, 4, 6, 3, 6], workers=2) == [2, 3, 2]
    assert slot_seconds([0, 1, 2, 3], workers=1) == [1, 1, 1]


def test_warm_is_when_the_last_worker_trains() -> None:
    lives = [Life(7, 10, 11), Life(7, 11, 12), Life(8, 12.5, 13), Life(7, 12, 13)]
    assert warm_since(lives, workers=2) == 12.5
    assert warm_since([Life(pid, 10 + pid, 11 + pid) for pid in range(5)], workers=2) == 11  # none is used again


def test_a_long_study_is_measured_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume_cost, "REPORTS", 2)
    home = resume_cost.write_study(tmp_path, 6)
    *parts, (name, whole, _) = resume_cost.by_parts(home)
    assert name == resume_cost.WHOLE and sum(seconds for _, seconds, _ in parts) <= whole
    assert len(fold(read(home.ledger))) == 6 and len(list(home.ledger.iterdir())) == 1, "the study stays as it was"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_trials_are_run_in_every_way() -> None:
    rows = {row.name: row.seconds for row in trial_rows(6) if row.table.startswith("6")}
    assert len(rows[OURS]) >= 2 and len(rows[REUSED]) >= 2 and len(rows[PLAIN]) == 4
