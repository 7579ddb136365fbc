"""The benchmarks run, and what they time is what they say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sparsetune.sparsity.methods import METHODS
from tests.benchmarks import __main__ as command
from tests.benchmarks import mask_update
from tests.benchmarks.mask_update import ONE_PASS, peak_bytes
from tests.benchmarks.rows import Row, Turn, in_turn, quartiles
from tests.benchmarks.step_cost import BARE, PRUNED, Setting

TINY = Setting("mlp", (1, 8, 8), 2000, 20, rounds=4, timed=2, untimed=1, limit=1.1, without=("obert",))


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
    monkeypatch.setattr(mask_update, "NETWORKS", {"mlp": mask_update.NETWORKS["mlp"]})
    threads = torch.get_num_threads()
    try:
        command.main(["--quick", "--json", str(tmp_path / "rows.json")])
    finally:
        torch.set_num_threads(threads)
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    printed = capsys.readouterr().out
    assert all(row["name"] in printed and row["seconds"] for row in rows)
    expected = {BARE, PRUNED, *METHODS, ONE_PASS, "torch.sort", "mlp, 17,024 weights"}
    assert expected - {"obert"} <= {row["name"] for row in rows}
