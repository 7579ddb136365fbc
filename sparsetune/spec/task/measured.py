"""What the values of a task's loss and metrics are: their units, and which way they improve."""

from __future__ import annotations

import re
from dataclasses import dataclass

LOSS_UNITS = {
    "cross_entropy": "nats",
    "bce_with_logits": "nats",
    "mse": "squared error",
    "l1": "absolute error",
    "huber": "Huber",
}
"""Unit of each built-in loss; a loss of a user's own has none."""
METRIC_NAMES = {
    "matthews": "Matthews' correlation",
    "pearson": "Pearson's correlation",
    "r2_score": "R²",
    "spearman": "Spearman's correlation",
}
"""Names in words of metrics, by column, where the column's own words would mislead."""
SPELLINGS = {"auc": "AUC", "auroc": "AUROC", "f1": "F1", "iou": "IoU", "r2": "R²"}
"""Spelling of words of a column that are not written in lower case."""
RISING_METRICS = ("r2", "R2Score")
"""Metrics that are better when higher, and no fractions."""
RISING_FRACTIONS = (
    *("accuracy", "f1", "iou", "matthews", "pearson", "spearman"),
    *("AUROC", "Accuracy", "AveragePrecision", "ExactMatch", "F1Score", "FBetaScore"),
    *("JaccardIndex", "LogAUC", "MatthewsCorrCoef", "NegativePredictiveValue", "PearsonCorrCoef"),
    *("Precision", "Recall", "SpearmanCorrCoef", "Specificity"),
)
"""Metrics that reports show in percent, and that are better when higher."""
FALLING_FRACTIONS = ("CalibrationError", "EER", "HammingDistance")
"""Metrics that reports show in percent, and that are better when lower."""


@dataclass(frozen=True)
class MetricFacts:
    """A metric of a task, as far as its name and declaration tell.

    Args:
        column: Its name in columns.
        is_fraction: True if its values are fractions, which reports show in percent.
        higher_is_better: Direction; None where only the metric itself knows it.
    """

    column: str
    is_fraction: bool = True
    higher_is_better: bool | None = True

    @property
    def words(self) -> str:
        """Its name in words."""
        words = " ".join(SPELLINGS.get(word, word) for word in self.column.split("_"))
        return METRIC_NAMES.get(self.column, words)


@dataclass(frozen=True)
class Measured:
    """What a task measures.

    Args:
        loss_unit: Unit of every measured loss; empty for none.
        metrics: Its metrics; the first is the score.
    """

    loss_unit: str = LOSS_UNITS["cross_entropy"]
    metrics: tuple[MetricFacts, ...] = (MetricFacts("accuracy"),)


def metric_facts(
    name: str, column: str, fraction: bool | None = None, higher_is_better: bool | None = None
) -> MetricFacts:
    """Facts on a metric: what is declared, else what is known of its name.

    Args:
        name: One of ours, a class of torchmetrics, or an import path.
        column: Its name in columns.
        fraction: Whether it is declared to be a fraction; None: not declared.
        higher_is_better: Declared direction; None: not declared.
    """
    # torchmetrics has a class for each kind of targets: BinaryAccuracy, MulticlassAccuracy.
    known = re.sub(r"^(Binary|Multiclass|Multilabel)(?=[A-Z])", "", name)
    rises = known in RISING_FRACTIONS or known in RISING_METRICS
    falls = known in FALLING_FRACTIONS or known.endswith("Error")
    if fraction is None:
        fraction = known in RISING_FRACTIONS or known in FALLING_FRACTIONS
    if higher_is_better is None and (rises or falls):
        higher_is_better = rises
    return MetricFacts(column, fraction, higher_is_better)
