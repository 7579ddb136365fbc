"""Sparse transfer: training from a sparse checkpoint within its mask, and targets that differ."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sparsetune.errors import DeclarationError
from sparsetune.sparsity.transfer import transfer_problems
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.spec.task import TextTask
from sparsetune.tasks.text.encoders import build_encoder, encoder_weights
from sparsetune.train import train
from sparsetune.train.checkpoint import latest_checkpoint
from tests.sparsity.small import SmallRun, prune_lowest
from tests.train.test_resume import Interrupted, Stops, outcome

TRANSFER = SparsitySpec(method="transfer", target=0.9, checkpoint="sparse")


def layer(zeros: int) -> dict[str, nn.Parameter]:
    """A layer of 10,000 weights."""
    weight = torch.ones(100, 100)
    weight.view(-1)[:zeros] = 0
    return {"a": nn.Parameter(weight)}


def test_the_target_must_be_the_checkpoint_s_sparsity() -> None:
    (problem,) = transfer_problems(layer(9003), TRANSFER.model_copy(update={"target": 0.97}))
    expected = "`sparsity.target`: must be the checkpoint's sparsity, 0.9003: set it, got 0.97"
    assert str(problem) == expected


@pytest.mark.parametrize(
    ("zeros", "fits"), [(9000, True), (9010, True), (8990, True), (9011, False), (8989, False)]
)
def test_a_thousandth_is_let_pass(zeros: int, fits: bool) -> None:
    assert (transfer_problems(layer(zeros), TRANSFER) == []) == fits


def test_other_methods_start_from_any_weights() -> None:
    assert transfer_problems(layer(0), SparsitySpec(method="gmp", target=0.9)) == []


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_mask_is_the_zeros_from_the_first_step_to_the_last_and_only_the_rest_trains(
    name: str,
) -> None:
    spec = SparsitySpec(method="transfer", target=0.7, checkpoint="sparse")
    run = SmallRun(spec, name=name, lr=0.01)
    before = {layer: weight.detach().clone() for layer, weight in run.weights.items()}
    while run.at < run.steps:
        run.step()
        assert all(torch.equal(mask, before[layer] != 0) for layer, mask in run.masks().items())
        assert all((run.weights[layer][weight == 0] == 0).all() for layer, weight in before.items())
    moved = [(run.weights[layer] != weight)[weight != 0] for layer, weight in before.items()]
    assert torch.cat(moved).float().mean() > 0.8


@pytest.fixture
def rte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrialSpec:
    """A trial on real sentences that starts from an encoder of which 80 % are zero."""
    monkeypatch.setenv("SPARSETUNE_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    encoder = build_encoder("bert_tiny", 2, None)
    prune_lowest(encoder_weights("bert_tiny", encoder), 0.8)
    encoder.save_pretrained(tmp_path / "sparse")
    task = TextTask(
        dataset="rte", model="bert_tiny", train_examples=256, validation=64, max_length=16
    )
    return TrialSpec(
        task=task,
        optim=OptimSpec(name="adamw", lr=1e-3),
        schedule=ScheduleSpec(epochs=2),
        sparsity=SparsitySpec(method="transfer", target=0.8, checkpoint=str(tmp_path / "sparse")),
    )


@pytest.mark.data("glue")
def test_a_trial_on_texts_keeps_the_checkpoint_s_zeros_through_an_interruption(
    rte: TrialSpec, tmp_path: Path, data_root: Path
) -> None:
    whole = outcome(rte, tmp_path, data_root=data_root)
    assert whole.final.status == "COMPLETE"
    start = load_file(tmp_path / "sparse" / "model.safetensors")
    matrices = {name: weight for name, weight in start.items() if weight.dim() == 2}
    frozen = [name for name, weight in matrices.items() if (weight == 0).float().mean() > 0.5]
    assert len(frozen) >= 6
    assert all(torch.equal(whole.weights[name] == 0, start[name] == 0) for name in frozen)
    assert not any(torch.equal(whole.weights[name], start[name]) for name in frozen)
    stops = Stops(tmp_path / "checkpoints", {11})
    with pytest.raises(Interrupted):
        train(rte, checkpoints=stops, data_root=data_root)
    found = latest_checkpoint([tmp_path / "checkpoints"])
    again = outcome(rte, tmp_path, found, data_root=data_root)
    assert again.rows == whole.rows
    assert all(torch.equal(again.weights[name], weight) for name, weight in whole.weights.items())


@pytest.mark.data("glue")
def test_another_target_is_refused_before_the_first_step(rte: TrialSpec, data_root: Path) -> None:
    spec = rte.with_values({"sparsity.target": 0.9})
    with pytest.raises(
        DeclarationError, match=r"must be the checkpoint's sparsity, 0\.8000: set it, got 0\.9"
    ):
        train(spec, data_root=data_root)
    assert math.isclose(rte.sparsity.target, 0.8)
