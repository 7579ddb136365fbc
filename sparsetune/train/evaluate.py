"""Evaluation of a network on a split."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from sparsetune.tasks.measures import ACCURACY, EvaluationResult, Measures, OutputBatch, Recorder
from sparsetune.tasks.network import compute_outputs
from sparsetune.tasks.task import Examples


@torch.no_grad()
def evaluate_model(
    model: nn.Module,
    split: Examples,
    measures: Measures = ACCURACY,
    recorder: Recorder | None = None,
) -> EvaluationResult:
    """Measure a network in evaluation mode, and put its mode back.

    Args:
        model: Network, as `sparsetune.tasks.network.compute_outputs` calls it.
        split: Examples; an empty split measures NaN.
        measures: What is measured.
        recorder: Takes in what is measured, example by example; None for nobody.
    """
    if not len(split):
        return EvaluationResult()
    was_training = model.training
    model.eval()
    try:
        return measures.measure(_outputs_of(model, split), len(split), recorder)
    finally:
        model.train(was_training)


def _outputs_of(model: nn.Module, split: Examples) -> Iterator[OutputBatch]:
    # `read` gives copies: trials share the data, which a network may change in place.
    for inputs, targets in split.read(split.chunks()):
        yield compute_outputs(model, inputs), targets
