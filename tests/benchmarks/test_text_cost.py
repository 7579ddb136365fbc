"""The measure of tokens beside transformers' trainer, on an encoder of two small blocks."""

from __future__ import annotations

import pytest

from sparsetune import ComputeSpec
from tests.benchmarks import text_cost
from tests.benchmarks.text_cost import DENSE, PEER, Encoder, text_rows

SMALL = Encoder(
    "a small shape",
    {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "vocab_size": 2000,
    },
    mean=8,
    longest=24,
    batch=8,
    compute=ComputeSpec(),
)


def test_all_train_on_alike_batches_and_groups_save_padding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text_cost, "TRAIN", 400)
    rows = {row.name: row for row in text_rows(2, encoder=SMALL)}
    peer, dense, masked, mixed = rows.values()
    assert (peer.name, dense.name, dense.against, masked.against) == (PEER, DENSE, PEER, DENSE)
    assert all(len(row.seconds) == 2 and min(row.seconds) > 0 for row in rows.values())
    assert dense.notes["padding"] == peer.notes["padding"] < 0.15 < 0.3 < mixed.notes["padding"]
    assert dense.notes["per_second"] == pytest.approx(1000 / (sum(dense.seconds) / 2))
