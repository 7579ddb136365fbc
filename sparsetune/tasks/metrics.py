"""Metrics of tasks, as scikit-learn and SciPy compute them, and what a metric offers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsetune.spec.task import Metric
from sparsetune.tasks.nested import Nested

PredictionMetricName = Literal["accuracy", "f1", "matthews", "pearson", "r2", "spearman"]
CORRELATION_METRICS = ("matthews", "pearson", "spearman")
"""Metrics that are undefined where all predictions, or all targets, are equal."""
NUMBER_METRICS = ("pearson", "r2", "spearman")
"""Metrics of predicted numbers."""


class MetricState(Protocol):
    """A metric over the batches of one evaluation."""

    def update(self, outputs: Nested, targets: Nested) -> None:
        """Take a batch in."""

    def compute(self) -> float:
        """Value over all batches."""


class TaskMetric(Protocol):
    """A metric of a task."""

    @property
    def higher_is_better(self) -> bool:
        """Direction."""

    def start(self) -> MetricState:
        """Fresh state for one evaluation."""


class OutcomeMetric(Protocol):
    """A metric that says, for each example, what its score is made of.

    From the outcomes the score over any selection of test examples follows, and so how far it would
    vary with other ones. An example is what is drawn: a sequence or a document, not a token.
    """

    @property
    def higher_is_better(self) -> bool:
        """Direction."""

    def outcomes(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """What the score is made of, (n, values)."""

    def score(self, outcomes: torch.Tensor) -> float:
        """Score of examples with these outcomes, (n, values)."""


@dataclass(frozen=True)
class ByOutcomes:
    """Metric computed from outcomes.

    Args:
        metric: The metric.
    """

    metric: OutcomeMetric

    @property
    def higher_is_better(self) -> bool:
        """See `TaskMetric`."""
        return self.metric.higher_is_better

    def start(self) -> MetricState:
        """See `TaskMetric`."""
        return OutcomeState(self.metric)


@dataclass
class OutcomeState:
    """State of a metric computed from outcomes; see `MetricState`.

    Args:
        metric: The metric.
        parts: Outcomes of each batch, (n, values).
    """

    metric: OutcomeMetric
    parts: list[torch.Tensor] = field(default_factory=list)

    def update(self, outputs: Any, targets: Any) -> None:
        """Take a batch in."""
        self.parts.append(self.metric.outcomes(outputs, targets))

    def outcomes(self) -> torch.Tensor:
        """Outcomes of all examples, (n, values)."""
        return torch.cat(self.parts)

    def compute(self) -> float:
        """Value over all batches."""
        return self.metric.score(self.outcomes())


@dataclass(frozen=True)
class Accuracy:
    """Fraction of right class numbers; of an example, the mean over its elements."""

    higher_is_better = True

    def outcomes(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Fraction of right answers in each example, (n, 1).

        Args:
            outputs: Logits, (n, classes, …), or (n, …) of targets that are 0 or 1 each.
            targets: Class numbers, (n, …).
        """
        if outputs.shape == targets.shape:
            right = (outputs > 0) == (targets > 0.5)
        else:
            right = outputs.argmax(1) == targets
        return right.double().reshape(len(right), -1).mean(1, keepdim=True)

    def score(self, outcomes: torch.Tensor) -> float:
        """Mean over the examples."""
        return float(outcomes.mean())


@dataclass(frozen=True)
class IntersectionOverUnion:
    """Intersection over union of predicted and true elements, a mean over classes (Jaccard)."""

    higher_is_better = True

    def outcomes(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Elements in the intersection and in the union of every class, (n, 2 classes).

        Args:
            outputs: Logits, (n, classes, …), or (n, …) of targets that are 0 or 1 each.
            targets: Class numbers, (n, …).
        """
        if outputs.shape == targets.shape:
            predicted = (outputs > 0).long()
            classes = [1]
        else:
            predicted = outputs.argmax(1)
            classes = list(range(outputs.shape[1]))
        targets = targets.long()
        counts: list[torch.Tensor] = []
        for number in classes:
            chosen = (predicted == number).reshape(len(targets), -1)
            true = (targets == number).reshape(len(targets), -1)
            counts += [(chosen & true).sum(1), (chosen | true).sum(1)]
        return torch.stack(counts, 1).double()

    def score(self, outcomes: torch.Tensor) -> float:
        """Mean over the classes that occur."""
        intersections, unions = outcomes.sum(0).reshape(-1, 2).unbind(1)
        occurs = unions > 0
        return float((intersections[occurs] / unions[occurs]).mean()) if occurs.any() else 0.0


@dataclass(frozen=True)
class PredictionMetric:
    """Metric of predictions and targets, one of each per example.

    Args:
        name: Its name.
    """

    name: PredictionMetricName
    higher_is_better = True

    def outcomes(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Predictions and targets, (n, 2).

        Args:
            outputs: (n, classes); of metrics of numbers (n,) or (n, 1).
            targets: Class numbers or numbers, (n,) or (n, 1).
        """
        predicted = outputs.reshape(-1) if self.name in NUMBER_METRICS else outputs.argmax(-1)
        return torch.stack([predicted.double(), targets.reshape(-1).double()], 1)

    def score(self, outcomes: torch.Tensor) -> float:
        """The metric; see `compute_metric`."""
        predicted, expected = outcomes.unbind(1)
        if self.name in NUMBER_METRICS:
            return _score_of(self.name, predicted, expected)
        return _score_of(self.name, predicted.long(), expected.long())


def compute_metric(metric: Metric, logits: Tensor, targets: Tensor) -> float:
    """Score of predictions: accuracy and F1 of class 1 in [0, 1], correlations in [-1, 1].

    Args:
        metric: Name of the metric.
        logits: (n, classes); for Pearson's and Spearman's correlation (n,) or (n, 1).
        targets: Class numbers, or numbers, (n,).

    Returns:
        The score; NaN where a logit is not finite; 0 for a correlation where all predictions, or
        all targets, are equal.
    """
    if not torch.isfinite(logits).all():
        return float("nan")
    if metric in NUMBER_METRICS:
        return _score_of(metric, logits.double().reshape(-1), targets.double())
    return _score_of(metric, logits.argmax(-1), targets)


def _score_of(metric: PredictionMetricName, predictions: Tensor, targets: Tensor) -> float:
    """Score of predictions, (n,), against targets, (n,)."""
    predicted = predictions.cpu().numpy()
    expected = targets.cpu().numpy()
    if metric in CORRELATION_METRICS and (np.ptp(predicted) == 0 or np.ptp(expected) == 0):
        # Undefined. A network that predicts the same for every text has learned nothing, which is a
        # result: NaN would read as a missing one.
        return 0.0
    return _metric_value(metric, predicted, expected)


def _metric_value(
    metric: PredictionMetricName, predicted: NDArray[Any], expected: NDArray[Any]
) -> float:
    # Importing both takes seconds, which only a trial with such a metric should pay.
    from scipy import stats
    from sklearn import metrics

    match metric:
        case "accuracy":
            return float(metrics.accuracy_score(expected, predicted))
        case "f1":
            return float(metrics.f1_score(expected, predicted, zero_division=0))
        case "matthews":
            return float(metrics.matthews_corrcoef(expected, predicted))
        case "pearson":
            return float(stats.pearsonr(predicted, expected).statistic)
        case "r2":
            return float(metrics.r2_score(expected, predicted))
        case "spearman":
            return float(stats.spearmanr(predicted, expected).statistic)
