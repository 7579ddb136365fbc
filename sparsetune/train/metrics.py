"""Metrics of tasks, as scikit-learn and SciPy compute them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sparsetune.spec.task import Metric

CORRELATION_METRICS = ("matthews", "pearson", "spearman")
"""Metrics that are undefined where all predictions, or all targets, are equal."""


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
    if metric in ("pearson", "spearman"):
        predicted = logits.double().reshape(-1).cpu().numpy()
        expected = targets.double().cpu().numpy()
    else:
        predicted = logits.argmax(-1).cpu().numpy()
        expected = targets.cpu().numpy()
    if metric in CORRELATION_METRICS and (np.ptp(predicted) == 0 or np.ptp(expected) == 0):
        # Undefined. A network that predicts the same for every text has learned nothing, which is a
        # result: NaN would read as a missing one.
        return 0.0
    return _metric_value(metric, predicted, expected)


def _metric_value(metric: Metric, predicted: NDArray[Any], expected: NDArray[Any]) -> float:
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
        case "spearman":
            return float(stats.spearmanr(predicted, expected).statistic)
