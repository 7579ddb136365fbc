"""Storage of a trial's checkpoints: never exceeded, also while one is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.train.checkpoint import CheckpointAllowance, Checkpoints, latest_checkpoint

WEIGHTS = {"w": torch.zeros(25_000)}
SIZE = 102_000
"""A checkpoint of these weights has a little over 100,000 bytes."""


def write(folder: Path, steps: list[int], size: float, **room: object) -> Checkpoints:
    checkpoints = Checkpoints(folder, seconds=0)
    checkpoints.room = CheckpointAllowance(size, **room)  # type: ignore[arg-type]
    for step in steps:
        checkpoints.write(step, "t", [], WEIGHTS)
    return checkpoints


def left(*folders: Path) -> list[str]:
    return [path.name for folder in folders for path in sorted(folder.glob("*"))]


@pytest.mark.parametrize(("sizes", "kept"), [(10, 2), (3, 2), (2.9, 1), (2, 1), (1.9, 0), (0, 0)])
def test_two_stay_where_three_have_room_and_one_where_two_have(
    tmp_path: Path, sizes: float, kept: int
) -> None:
    write(tmp_path / "a", [10, 20, 30], sizes * SIZE)
    assert left(tmp_path / "a") == ["checkpoint-20.pt", "checkpoint-30.pt"][2 - kept :]


@given(st.floats(0, 1e15), st.integers(1, 10**12))
def test_what_is_kept_and_one_more_have_room(room: float, size: int) -> None:
    kept = CheckpointAllowance(room).kept(size)
    assert kept in (0, 1, 2)
    assert kept == 0 or (kept + 1) * size <= room
    assert kept == 2 or (kept + 2) * size > room


def test_what_has_no_room_is_said_once_and_not_asked_for_again(tmp_path: Path) -> None:
    said: list[str] = []
    checkpoints = write(tmp_path / "a", [10, 20], SIZE, warn=said.append)
    (line,) = said
    assert "must fit, got 100 KiB of the study's checkpoint quota; raise --checkpoint-gib" in line
    assert not checkpoints.due(evaluated=True)


def test_checkpoints_of_earlier_attempts_make_room(tmp_path: Path) -> None:
    first = tmp_path / "attempt-1"
    second = tmp_path / "attempt-2"
    write(first, [10, 20], 10 * SIZE)
    write(second, [30], 3 * SIZE, earlier=[first])
    assert left(first, second) == ["checkpoint-20.pt", "checkpoint-30.pt"]
    write(second, [40], 3 * SIZE, earlier=[first])
    assert left(first, second) == ["checkpoint-30.pt", "checkpoint-40.pt"]


def test_a_torn_one_of_an_earlier_attempt_does_not_displace_a_whole_one(tmp_path: Path) -> None:
    """Attempt 1 was torn at step 30, so attempt 2 went on from 20 and wrote 25."""
    first = tmp_path / "attempt-1"
    second = tmp_path / "attempt-2"
    write(first, [20], 10 * SIZE)
    (first / "checkpoint-30.pt").write_bytes(b"torn")
    write(second, [25], 10 * SIZE, earlier=[first])
    assert left(first, second) == ["checkpoint-20.pt", "checkpoint-25.pt"]
    found = latest_checkpoint([first, second])
    assert found is not None
    assert found.step == 25
