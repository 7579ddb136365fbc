"""The benchmarks of the Fisher run, and the ways that they compare agree."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertConfig

from sparsetune.sparsity.fisher.blocks import BlockFisher
from sparsetune.tasks.text.encoders import encoder_weights
from tests.benchmarks import fisher
from tests.benchmarks.one_shot import SPARSITIES, one_shot, recipe

TINY = BertConfig(
    vocab_size=20, num_hidden_layers=1, hidden_size=8, num_attention_heads=2, intermediate_size=16
)


def test_the_authors_way_gives_the_same_scores() -> None:
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(TINY).eval()
    weights = {name: weight.detach() for name, weight in encoder_weights("tiny", model).items()}
    gradients = partial(fisher.passes, model, 5)
    ours = BlockFisher(weights, fisher.SPEC, gradients, 1).scores()
    theirs = fisher.woodbury(weights, gradients)
    for name, scores in ours.items():
        assert torch.allclose(
            theirs[name].flatten()[: scores.numel()], scores.flatten(), rtol=1e-2, atol=1e-12
        )


def test_a_row_of_every_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fisher, "SMALL", TINY)
    rows = fisher.fisher_rows(1)
    assert [row.against for row in rows] == [None, *[fisher.BARE] * 3]
    assert all(row.seconds[0] > 0 for row in rows)


@pytest.mark.data("glue")
def test_every_score_prunes_the_same_fine_tuned_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_root: Path
) -> None:
    monkeypatch.setenv("SPARSETUNE_CACHE", str(tmp_path))
    spec = recipe("bert_tiny", gradients=4, examples=64, epochs=1)
    rows = list(one_shot(spec, data_root, "cpu"))
    wanted = [
        ("", 0.0),
        *(("magnitude", s) for s in SPARSITIES),
        *(("fisher", s) for s in SPARSITIES),
    ]
    assert [(row.score, row.sparsity) for row in rows] == wanted
    assert len({row.measures.loss for row in rows}) == len(rows)
