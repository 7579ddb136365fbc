"""Recording of a test evaluation example by example, for what a trial keeps of it.

A score that is no mean over examples is kept as jackknife pseudo-values, whose mean is the score up
to its bias: gaps of scores are then averages over examples too, and a reader needs no code of the
metric, which may be a user's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from sparsetune.storage.trial_files.outcomes import Outcomes
from sparsetune.tasks.losses import LOSSES
from sparsetune.tasks.measures import EvaluationResult, LossFunction, are_class_numbers
from sparsetune.tasks.metrics import Accuracy, OutcomeMetric
from sparsetune.tasks.nested import Nested, count_examples, map_tensors, tensors_of
from sparsetune.train.checkpoint import restore_rng_state, rng_state

MAX_GROUPS = 500
"""Groups of test examples that are left out in turn; up to so many examples each is one."""
MAX_NUMBERS = 2**24
"""Most targets, where they are numbers, that are held to find their best constant answer."""
LOSS_TOLERANCE = 1e-4
"""Relative difference to the measured loss from which on losses of examples are not kept: a loss
that compares the examples of a batch is no mean over them."""
NUMBER_LOSSES = ("mse", "l1", "huber")
"""Losses of numbers to predict, of targets in the form of the outputs."""


@dataclass
class _LabelCounts:
    """Labels of examples that may have several, and whether all examples get the same."""

    examples: int = 0
    positive: torch.Tensor | None = None
    first: torch.Tensor | None = None
    differs: torch.Tensor | None = None
    is_ragged: bool = False

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Take a batch in: logits and targets of 0 and 1, of one shape but for a last 1."""
        n = len(targets)
        answers, labels = ((outputs > 0).reshape(n, -1), (targets > 0.5).reshape(n, -1))
        known = answers if self.first is None else self.first[0]
        if not answers.shape[1] == labels.shape[1] == known.shape[1]:
            self.is_ragged = True
            return
        both = torch.stack([answers, labels])
        if self.first is None or self.differs is None or self.positive is None:
            self.first = both[:, :1]
            self.differs = torch.zeros(2, dtype=torch.bool, device=both.device)
            self.positive = torch.zeros(both.shape[2], dtype=torch.float64, device=both.device)
        self.examples += n
        self.differs |= (both != self.first).reshape(2, -1).any(1)
        self.positive += both[1].double().sum(0)

    def chance_loss(self) -> float | None:
        """Mean over the labels of the entropy of being present, in nats; None if ragged."""
        if self.is_ragged or self.positive is None:
            return None
        share = self.positive / self.examples
        entropy = torch.special.entr(share) + torch.special.entr(1 - share)
        return float(entropy.mean())

    def is_constant_answer(self) -> bool | None:
        """True if all examples get the same labels though their own differ; None if ragged."""
        if self.is_ragged or self.differs is None:
            return None
        answers, targets = self.differs.tolist()
        return not answers and targets


@dataclass
class OutcomeRecorder:
    """Takes in one test evaluation; see `sparsetune.tasks.measures.Recorder`."""

    examples: int = 0
    loss_name: str = ""
    _right: list[torch.Tensor] = field(default_factory=list)
    _losses: list[torch.Tensor] | None = field(default_factory=list)
    _score: NDArray[np.float64] | None = None
    _score_is_accuracy: bool = False
    _counts: torch.Tensor | None = None
    _labels: _LabelCounts = field(default_factory=_LabelCounts)
    _numbers: list[torch.Tensor] = field(default_factory=list)
    _n_numbers: int = 0

    def add_batch(
        self, outputs: Nested, targets: Nested, loss: LossFunction, loss_name: str
    ) -> None:
        """See `Recorder`."""
        self.examples += count_examples(outputs)
        self.loss_name = loss_name
        if are_class_numbers(outputs, targets):
            assert isinstance(outputs, torch.Tensor)
            assert isinstance(targets, torch.Tensor)
            self._add_classes(outputs, targets)
            return
        self._add_losses(outputs, targets, loss)
        if isinstance(outputs, torch.Tensor) and isinstance(targets, torch.Tensor):
            if loss_name == "bce_with_logits":
                self._labels.add(outputs, targets)
            elif loss_name in NUMBER_LOSSES:
                self._add_numbers(targets)

    def add_score(
        self, metric: OutcomeMetric, outcomes: torch.Tensor | None, sign: Literal[-1, 1]
    ) -> None:
        """See `Recorder`."""
        self._score_is_accuracy = isinstance(metric, Accuracy)
        if self._score_is_accuracy:
            if outcomes is not None and not self._right:
                self._right.append(outcomes[:, 0].cpu())
            return
        assert outcomes is not None
        if len(outcomes) != self.examples:
            return  # a metric of one's own that counts something else than examples
        values = pseudo_values(metric, outcomes)
        self._score = None if values is None else sign * values

    def outcomes(self, measured: EvaluationResult) -> Outcomes | None:
        """Outcomes of the evaluation; None of an empty split.

        Args:
            measured: What the evaluation measured.
        """
        if not self.examples:
            return None
        right = torch.cat(self._right).numpy() if self._right else None
        predicted = labels = None
        if self._counts is not None:
            predicted, labels = self._counts.cpu().numpy()
        chance = self._chance_loss()
        return Outcomes(
            self.examples,
            accuracy=right if right is None or right.dtype == np.bool_ else _finite(right),
            loss=self._mean_losses(measured) if right is None else None,
            score=None if math.isnan(measured.score) else _finite(self._score),
            predicted=predicted,
            labels=labels,
            score_is_accuracy=self._score_is_accuracy,
            learned_nothing=self._learned_nothing(measured.loss, chance),
            chance_loss=chance,
        )

    def _add_classes(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        answers = outputs.argmax(1)
        right = answers == targets
        if targets.dim() > 1:
            right = right.double().reshape(len(right), -1).mean(1)
        self._right.append(right.cpu())
        classes = outputs.shape[1]
        is_counted = (targets >= 0) & (targets < classes)  # a loss may ignore others
        pairs = [values[is_counted].reshape(-1).long() for values in (answers, targets)]
        counts = torch.stack([torch.bincount(one, minlength=classes) for one in pairs])
        self._counts = counts if self._counts is None else self._counts + counts

    def _add_losses(self, outputs: Nested, targets: Nested, loss: LossFunction) -> None:
        if self._losses is None:
            return
        device = str(tensors_of(outputs)[0].device)
        state = rng_state(device)
        try:
            found = [
                loss(_example(outputs, i), _example(targets, i))
                for i in range(count_examples(outputs))
            ]
            self._losses.append(torch.stack(found).double().cpu())
        except Exception:  # a user's loss may take no batch of one
            self._losses = None
        finally:
            # What else is measured must not depend on what a user's loss draws here.
            restore_rng_state(state, device)

    def _add_numbers(self, targets: torch.Tensor) -> None:
        numbers = targets.double().cpu().reshape(len(targets), -1)
        is_alike = not self._numbers or numbers.shape[1] == self._numbers[0].shape[1]
        self._n_numbers += numbers.numel() if is_alike else MAX_NUMBERS + 1
        if self._n_numbers <= MAX_NUMBERS:
            self._numbers.append(numbers)
        else:
            self._numbers.clear()

    def _mean_losses(self, measured: EvaluationResult) -> NDArray[np.float32] | None:
        if not self._losses:
            return None
        losses = torch.cat(self._losses).numpy()
        is_mean = math.isclose(losses.mean(), measured.loss, rel_tol=LOSS_TOLERANCE, abs_tol=1e-9)
        return _finite(losses) if is_mean else None

    def _chance_loss(self) -> float | None:
        if self._counts is not None and self.loss_name == "cross_entropy":
            return _entropy(self._counts[1])
        if self._labels.examples:
            return self._labels.chance_loss()
        if self._numbers:
            return _constant_loss(torch.cat(self._numbers), self.loss_name)
        return None

    def _learned_nothing(self, loss: float, chance: float | None) -> bool | None:
        if self._counts is not None:
            answers, targets = (int((counts > 0).sum()) for counts in self._counts)
            return answers == 1 and targets > 1
        if self._labels.examples:
            return self._labels.is_constant_answer()
        if chance is None or not math.isfinite(loss):
            return None
        return loss >= chance > 0


def pseudo_values(metric: OutcomeMetric, outcomes: torch.Tensor) -> NDArray[np.float64] | None:
    """Jackknife pseudo-values of a score: h s - (h - 1) s(without a group), h = examples / group.

    Groups are drawn without regard to the order of the examples, the same for each network (Busing,
    Meijer and van der Leeden 1999, "Delete-m jackknife for unequal m", equation 3).

    Args:
        metric: Metric of the score.
        outcomes: Outcomes of all examples, (n, values).

    Returns:
        Shape [n_groups], one value per example where there are at most `MAX_GROUPS`; None for
        fewer than two examples, and where the metric cannot score a part of them.
    """
    n = len(outcomes)
    if n < 2:
        return None
    size = math.ceil(n / MAX_GROUPS)
    # numpy has frozen the stream of `RandomState`. Leaving one out needs no draw, and keeps order.
    order = np.arange(n) if size == 1 else np.random.RandomState(0).permutation(n)
    groups = [order[start : start + size] for start in range(0, n, size)]
    try:
        whole = metric.score(outcomes)
        values = [_pseudo_value(metric, outcomes, group, whole) for group in groups]
    except Exception:  # a user's metric may raise for a part of the examples
        return None
    found = np.array(values, dtype=np.float64)
    return found if np.isfinite(found).all() else None


def _pseudo_value(
    metric: OutcomeMetric, outcomes: torch.Tensor, group: NDArray[np.intp], whole: float
) -> float:
    n = len(outcomes)
    is_kept = torch.ones(n, dtype=torch.bool, device=outcomes.device)
    is_kept[torch.from_numpy(group)] = False
    ratio = n / len(group)
    return ratio * whole - (ratio - 1) * metric.score(outcomes[is_kept])


def _example(nested: Nested, i: int) -> Nested:
    """Example ``i`` of a batch, alone; a copy, which a user's loss may change."""
    alone: Nested = map_tensors(lambda tensor: tensor[i : i + 1].clone(), nested)
    return alone


def _entropy(counts: torch.Tensor) -> float | None:
    """Entropy in nats of a class drawn by its counts; None without any."""
    total = counts.sum()
    return float(torch.special.entr(counts.double() / total).sum()) if total else None


def _constant_loss(targets: torch.Tensor, loss_name: str) -> float:
    """Loss of the better one of two constant answers: the mean and the median of the targets.

    Args:
        targets: Numbers, (n, values).
        loss_name: ``mse`` (whose best one is the mean), ``l1`` (the median) or ``huber``.
    """
    loss = LOSSES[loss_name]
    constants = (targets.mean(0), targets.median(0).values)
    return min(float(loss(one.expand_as(targets), targets)) for one in constants)


def _finite(values: NDArray[np.float64] | None) -> NDArray[np.float32] | None:
    if values is None or not np.isfinite(values).all():
        return None
    narrow = values.astype(np.float32)
    return narrow if np.isfinite(narrow).all() else None
