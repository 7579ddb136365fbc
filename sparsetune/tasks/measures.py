"""Measures of a network's outputs on a split: loss, accuracy, the task's score and the entropy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Any, Literal, Protocol

import torch
from torch.nn import functional

from sparsetune.spec.task import Metric
from sparsetune.tasks.losses import class_loss
from sparsetune.tasks.metrics import (
    Accuracy,
    OutcomeMetric,
    OutcomeState,
    PredictionMetric,
    TaskMetric,
    compute_metric,
)
from sparsetune.tasks.nested import Nested, count_examples, map_tensors, tensors_of

OutputBatch = tuple[Nested, Nested]
"""Outputs of the network, and targets, of a batch."""
LossFunction = Callable[[Any, Any], torch.Tensor]
"""Loss of outputs and targets, in whatever form the task gives them: a mean over the batch."""


@dataclass(frozen=True)
class EvaluationResult:
    """Means over a split; all NaN for an empty one.

    Args:
        loss: Cross-entropy in nats; squared error where numbers are predicted; a user's own loss.
        accuracy: Fraction of correct classes, in [0, 1]; NaN where targets are no classes.
        score: The task's headline metric, better when higher: negated where the metric itself is
            better when lower, as scikit-learn's scorers are.
        entropy: Entropy of the softmax in nats; NaN where targets are no classes.
        error: 1 - score; the metric itself where that is better when lower.
        metrics: Every metric of a user's task by its name, as the metric gives it.
    """

    loss: float = nan
    accuracy: float = nan
    score: float = nan
    entropy: float = nan
    error: float = nan
    metrics: Mapping[str, float] = field(default_factory=dict)

    def columns(self, prefix: str) -> dict[str, float]:
        """Values by column name, such as ``test_loss``; the error is no column of its own."""
        values = {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "score": self.score,
            "entropy": self.entropy,
            **self.metrics,
        }
        return {f"{prefix}_{name}": value for name, value in values.items()}


class Recorder(Protocol):
    """Takes in what an evaluation measures, example by example; it changes no measure."""

    def add_batch(
        self, outputs: Nested, targets: Nested, loss: LossFunction, loss_name: str
    ) -> None:
        """Take a batch in.

        Args:
            outputs: Outputs of the network, as the loss takes them.
            targets: Targets, as the loss takes them.
            loss: The loss that is measured.
            loss_name: Its name in `sparsetune.tasks.losses.LOSSES`; another one for a user's own.
        """

    def add_score(
        self, metric: OutcomeMetric, outcomes: torch.Tensor | None, sign: Literal[-1, 1]
    ) -> None:
        """Take the score in.

        Args:
            metric: Its metric.
            outcomes: Outcomes of all examples, (n, values); None where the batches tell them.
            sign: Sign of the score: -1 where the metric is better when lower.
        """


class Measures(Protocol):
    """What evaluations of a task measure."""

    def measure(
        self, batches: Iterable[OutputBatch], examples: int, recorder: Recorder | None = None
    ) -> EvaluationResult:
        """Measure a split.

        Args:
            batches: Outputs and targets of the whole split, batch by batch, in evaluation mode.
            examples: Number of examples in the split, at least 1.
            recorder: Takes in what is measured, example by example; None for nobody.
        """


@dataclass(frozen=True)
class ClassMeasures:
    """Measures of one class number, or one number to predict, per example.

    Args:
        metric: Metric of the score.
    """

    metric: Metric = "accuracy"

    def measure(
        self, batches: Iterable[OutputBatch], examples: int, recorder: Recorder | None = None
    ) -> EvaluationResult:
        """See `Measures`; outputs are logits, (n, classes), or predicted numbers, (n, 1)."""
        sums: list[torch.Tensor] = []
        all_logits: list[torch.Tensor] = []
        all_targets: list[torch.Tensor] = []
        for outputs, targets in batches:
            assert isinstance(outputs, torch.Tensor)
            assert isinstance(targets, torch.Tensor)
            logits = outputs.double()
            sums.append(_batch_sums(logits, targets))
            if recorder:
                name = "mse" if targets.is_floating_point() else "cross_entropy"
                recorder.add_batch(logits, targets, class_loss, name)
            if self.metric != "accuracy":
                all_logits.append(logits)
                all_targets.append(targets)
        # Added one after the other: a sum over a stacked tensor may add in another order.
        total = sums[0]
        for batch_sums in sums[1:]:
            total = total + batch_sums
        loss, accuracy, entropy = (total / examples).tolist()
        score = accuracy
        if self.metric != "accuracy":
            logits = torch.cat(all_logits)
            targets = torch.cat(all_targets)
            score = compute_metric(self.metric, logits, targets)
            if recorder:
                metric = PredictionMetric(self.metric)
                recorder.add_score(metric, metric.outcomes(logits, targets), 1)
        elif recorder:
            recorder.add_score(Accuracy(), None, 1)
        return EvaluationResult(loss, accuracy, score, entropy, 1 - score)


ACCURACY = ClassMeasures()
"""Measures of a classifier whose score is its accuracy."""


def _batch_sums(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Loss, number of correct classes, and entropy, summed over a batch, (3,).

    Args:
        logits: (n, outputs), in double precision.
        targets: Class numbers or numbers, (n,).
    """
    if targets.is_floating_point():
        loss = functional.mse_loss(logits.squeeze(1), targets.double(), reduction="sum")
        undefined = torch.full_like(loss, nan)
        return torch.stack([loss, undefined, undefined])
    loss = functional.cross_entropy(logits, targets, reduction="sum")
    right = (logits.argmax(1) == targets).sum()
    entropy = torch.special.entr(logits.softmax(1)).sum()
    return torch.stack([loss, right.double(), entropy])


@dataclass(frozen=True)
class CustomMeasures:
    """Measures of a user's task.

    Args:
        loss: The loss without smoothing or penalty.
        metrics: Metrics by their names in columns; the first is the score.
        in_double: Compute in double precision, as built-in losses allow.
        loss_name: Name of the loss, as the task declares it.
    """

    loss: LossFunction
    metrics: Mapping[str, TaskMetric]
    in_double: bool
    loss_name: str = ""

    def measure(
        self, batches: Iterable[OutputBatch], examples: int, recorder: Recorder | None = None
    ) -> EvaluationResult:
        """See `Measures`; outputs and targets may have any form that the loss takes."""
        sums = torch.zeros(3, dtype=torch.float64)
        states = {name: metric.start() for name, metric in self.metrics.items()}
        is_finite = True
        for outputs, targets in batches:
            if self.in_double:
                outputs = map_tensors(_double_if_float, outputs)
                targets = map_tensors(_double_if_float, targets)
            n = count_examples(outputs)
            loss = self.loss(outputs, targets).double().cpu()
            sums += torch.stack([n * loss, *_class_sums(outputs, targets)])
            is_finite &= all(bool(torch.isfinite(each).all()) for each in tensors_of(outputs))
            if is_finite:  # a metric may raise for NaN, which the loss shows already
                for state in states.values():
                    state.update(outputs, targets)
            if recorder:
                recorder.add_batch(outputs, targets, self.loss, self.loss_name)
        loss_mean, accuracy, entropy = (sums / examples).tolist()
        values = {}
        for name, state in states.items():
            values[name] = state.compute() if is_finite else nan
        if isnan(accuracy):  # of several labels, which the metric measures
            accuracy = values.get("accuracy", nan)
        first = next(iter(self.metrics))
        higher = self.metrics[first].higher_is_better
        score = values[first] if higher else -values[first]
        error = 1 - score if higher else values[first]
        state = states[first]
        if recorder and is_finite and isinstance(state, OutcomeState):
            recorder.add_score(state.metric, state.outcomes(), 1 if higher else -1)
        return EvaluationResult(
            loss=loss_mean,
            accuracy=accuracy,
            score=score,
            entropy=entropy,
            error=error,
            # Accuracy is a column of its own.
            metrics={name: value for name, value in values.items() if name != "accuracy"},
        )


def _double_if_float(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _class_sums(outputs: Nested, targets: Nested) -> list[torch.Tensor]:
    """Right answers and entropy, summed over a batch, each a mean over an example's elements.

    Both are NaN unless outputs are logits, (n, classes, …), of targets (n, …).
    """
    if not are_class_numbers(outputs, targets):
        return [torch.tensor(nan, dtype=torch.float64)] * 2
    assert isinstance(outputs, torch.Tensor)
    assert isinstance(targets, torch.Tensor)
    right = (outputs.argmax(1) == targets).double()
    entropy = torch.special.entr(outputs.softmax(1)).sum(1).double()
    return [values.reshape(len(values), -1).mean(1).sum().cpu() for values in (right, entropy)]


def are_class_numbers(outputs: Nested, targets: Nested) -> bool:
    """True if outputs are logits, (n, classes, …), and targets class numbers, (n, …)."""
    if not isinstance(outputs, torch.Tensor) or not isinstance(targets, torch.Tensor):
        return False
    if targets.is_floating_point() or outputs.dim() != targets.dim() + 1:
        return False
    return outputs.shape[:1] + outputs.shape[2:] == targets.shape
