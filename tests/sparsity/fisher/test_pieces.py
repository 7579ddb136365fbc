"""Pieces of the Fisher: they change no number; what they need, and when there is no room."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.errors import LimitError
from sparsetune.sparsity.fisher import blocks, pieces
from sparsetune.sparsity.fisher.pieces import (
    FREE_MEMORY_SHARE,
    free_bytes,
    needed_bytes,
    pieces_within,
    plan_runs,
    split_runs,
)
from sparsetune.spec.sparsity import FisherSpec, SparsitySpec
from tests.sparsity.small import SmallRun

SIZES = {"a": 700, "b": 3, "c": 1000}


@given(block=st.integers(1, 60), run=st.integers(1, 300), count=st.integers(1, 50))
def test_every_weight_is_in_one_piece_and_every_block_whole(
    block: int, run: int, count: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "MAX_RUN_WEIGHTS", run)
        runs = plan_runs(SIZES, FisherSpec(block=block))
    parts = split_runs(runs, count)
    assert [part for piece in parts for part in piece] == runs
    assert len(parts) <= count
    covered = [(part.layer, index) for part in runs for index in range(part.start, part.end)]
    assert covered == [(layer, index) for layer, size in SIZES.items() for index in range(size)]
    assert all(part.start % part.block == 0 for part in runs)
    assert all(part.end - part.start <= max(run, part.block) for part in runs)


def pruned(count: int | None, monkeypatch: pytest.MonkeyPatch, **given: Any) -> SmallRun:
    """A trial with the Fisher in so many pieces, of runs of two blocks."""
    monkeypatch.setattr(pieces, "MAX_RUN_WEIGHTS", 16)
    if count:
        monkeypatch.setattr(blocks, "pieces_within", lambda runs, free: count)
    estimate = FisherSpec(block=8, gradients=17, batch_size=4, recomputations=2)
    return SmallRun(
        SparsitySpec(method="one_shot", score="fisher", target=0.6, fisher=estimate, **given)
    ).run(51)


def test_pieces_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pruned(1, monkeypatch)
    for count in (3, 1000):
        other = pruned(count, monkeypatch)
        assert all(
            torch.equal(other.values()[name], value) for name, value in whole.values().items()
        )
        assert all(torch.equal(other.masks()[name], mask) for name, mask in whole.masks().items())
        assert other.sparsifier.extra_steps == whole.sparsifier.extra_steps


def test_only_one_piece_is_in_memory_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[weakref.ref[blocks.FisherPiece]] = []
    made = blocks.FisherPiece.__init__

    def init(self: blocks.FisherPiece, *args: Any) -> None:
        assert not any(piece() for piece in alive)
        alive.append(weakref.ref(self))
        made(self, *args)

    monkeypatch.setattr(blocks.FisherPiece, "__init__", init)
    pruned(5, monkeypatch)
    assert len(alive) == 2 * 2 * 5  # parts of the update, scores and compensation, pieces


def test_what_is_needed_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of 100 weights in blocks of 10.

    Each weight needs 10 numbers of 8 bytes, and 4 bytes in each of 16 waiting gradients.
    """
    monkeypatch.setattr(pieces, "MAX_RUN_WEIGHTS", 100)
    runs = plan_runs({"a": 200}, FisherSpec(block=10))
    run = 100 * (80 + 64)
    assert needed_bytes(runs, 1) == 2 * run + 2 * run + 200 * 24
    assert needed_bytes(runs, 2) == run + 2 * run + 200 * 24
    assert pieces_within(runs, needed_bytes(runs, 1) / FREE_MEMORY_SHARE) == 1
    assert pieces_within(runs, (needed_bytes(runs, 1) - 1) / FREE_MEMORY_SHARE) == 2
    with pytest.raises(
        LimitError, match=r"blocks of 10 weights must fit .* got .*`sparsity.fisher.block`"
    ):
        pieces_within(runs, (needed_bytes(runs, 2) - 1) / FREE_MEMORY_SHARE)


def test_a_small_memory_makes_pieces_and_a_smaller_one_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = pruned(None, monkeypatch)
    made = []
    monkeypatch.setattr(
        blocks, "split_runs", lambda runs, count: made.append(count) or split_runs(runs, count)
    )
    monkeypatch.setattr(blocks, "free_bytes", lambda device: 60_000.0)
    small = pruned(None, monkeypatch)
    assert made[0] > 1
    assert all(torch.equal(small.values()[name], value) for name, value in whole.values().items())
    monkeypatch.setattr(blocks, "free_bytes", lambda device: 10_000.0)
    with pytest.raises(LimitError, match="fewer trials at once would do"):
        pruned(None, monkeypatch)


def test_a_trial_gets_the_part_of_the_ram_that_it_has_of_the_processors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pieces, "available_ram_bytes", lambda: 8000.0)
    monkeypatch.setattr(pieces, "usable_cpus", lambda: 16)
    monkeypatch.setattr(pieces.torch, "get_num_threads", lambda: 4)
    assert free_bytes(torch.device("cpu")) == 2000
