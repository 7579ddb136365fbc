"""What an estimate of the Fisher costs beside its gradients, per million weights, on an encoder
drawn at random.

Against a bare loop that only computes the gradients, and the authors' update of the inverse
gradient by gradient, which is what ours replaces. All take the same gradients of the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, BertConfig, PreTrainedModel

from sparsetune.sparsity.fisher.blocks import BlockFisher
from sparsetune.spec.sparsity import FisherSpec
from sparsetune.tasks.text.encoders import encoder_weights
from tests.benchmarks.mask_update import peak_bytes
from tests.benchmarks.rows import Row, interleaved, timed

SPEC = FisherSpec(gradients=32)
"""BERT-base's published block, batch size and dampening; fewer gradients, of which every one costs
the same.
"""
SMALL = BertConfig(
    num_hidden_layers=2, hidden_size=256, num_attention_heads=4, intermediate_size=1024
)
PIECES = 4
BARE = "bare loop: gradients only"

Gradients = dict[str, torch.Tensor]


def fisher_rows(rounds: int, device: str = "cpu") -> list[Row]:
    """Of an encoder of two layers on sequences of 32; on a GPU of BERT-base on sequences of 128."""
    config, length = (SMALL, 32) if device == "cpu" else (BertConfig(), 128)
    torch.manual_seed(0)
    model: PreTrainedModel = (
        AutoModelForSequenceClassification.from_config(config).to(device).eval()
    )
    weights = {
        name: weight.detach() for name, weight in encoder_weights("benchmark", model).items()
    }
    gradients = partial(passes, model, length)
    works: dict[str, Callable[[], object]] = {
        BARE: lambda: sum(1 for _ in gradients()),
        "ours: Fisher, inverse, scores": lambda: BlockFisher(weights, SPEC, gradients, 1).scores(),
        f"ours in {PIECES} pieces": lambda: BlockFisher(weights, SPEC, gradients, PIECES).scores(),
        "the inverse updated by each gradient": lambda: woodbury(weights, gradients),
    }
    size = sum(weight.numel() for weight in weights.values())
    taken = interleaved(
        {name: partial(timed, work, device) for name, work in works.items()}, rounds
    )
    memory = {name: peak_bytes(work, device) / size for name, work in works.items()}
    gradients = f"{SPEC.gradients} gradients of {SPEC.batch_size} x {length}"
    title = f"Fisher of {size:,} weights per million of them: {gradients}"
    return [
        Row(
            title,
            name,
            [seconds * 1e6 / size for seconds in taken[name]],
            None if name == BARE else BARE,
            notes={"peak_bytes_per_weight": memory[name]},
        )
        for name in works
    ]


def passes(model: PreTrainedModel, length: int) -> Iterator[Gradients]:
    """The gradients on random token ids, the same in every pass."""
    device = model.device
    generator = torch.Generator(device).manual_seed(0)
    weights = encoder_weights("benchmark", model)
    for _ in range(SPEC.gradients):
        shape = (SPEC.batch_size, length)
        ids = torch.randint(model.config.vocab_size, shape, generator=generator, device=device)
        labels = torch.randint(2, shape[:1], generator=generator, device=device)
        loss = functional.cross_entropy(model(ids).logits, labels)
        yield dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))


def woodbury(weights: Gradients, gradients: Callable[[], Iterator[Gradients]]) -> Gradients:
    """The authors' way, in single precision: ``F^-1 -= u u^T / (m + g^T u)`` with ``u = F^-1 g``;
    the scores.
    """
    block = SPEC.block
    m = SPEC.gradients
    inverses = {name: _dampened(weight) for name, weight in weights.items()}
    for given in gradients():
        for name, inverse in inverses.items():
            g = _blocks(given[name], block)
            u = torch.bmm(g.unsqueeze(1), inverse).squeeze(1)
            u /= (m + (g * u).sum(1, keepdim=True)).sqrt_()
            inverse.baddbmm_(u.unsqueeze(2), u.unsqueeze(1), alpha=-1)
    diagonals = {name: inverse.diagonal(dim1=1, dim2=2) for name, inverse in inverses.items()}
    return {
        name: _blocks(weight, block).square() / (2 * diagonals[name])
        for name, weight in weights.items()
    }


def _dampened(weight: torch.Tensor) -> torch.Tensor:
    blocks = -(-weight.numel() // SPEC.block)
    return torch.eye(SPEC.block, device=weight.device).div_(SPEC.dampening).repeat(blocks, 1, 1)


def _blocks(values: torch.Tensor, block: int) -> torch.Tensor:
    flat = values.flatten()
    return functional.pad(flat, (0, -flat.numel() % block)).view(-1, block)
