"""What a trial keeps of its test evaluation, example by example; numbers worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sparsetune.spec import EvaluateSpec, OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.storage.trial_files.outcomes import Outcomes, decode_outcomes, encode_outcomes
from sparsetune.tasks.images.resident import ResidentSplit
from sparsetune.tasks.losses import LOSSES
from sparsetune.tasks.measures import ClassMeasures, CustomMeasures, Measures
from sparsetune.tasks.metrics import (
    Accuracy,
    ByOutcomes,
    IntersectionOverUnion,
    PredictionMetric,
)
from sparsetune.train import outcomes as recording
from sparsetune.train import train
from sparsetune.train.checkpoint import latest_checkpoint
from sparsetune.train.evaluate import evaluate_model
from sparsetune.train.outcomes import OutcomeRecorder, pseudo_values
from tests.interruption import Interrupted, Stops

Batches = list[tuple[torch.Tensor, torch.Tensor]]


def recorded(measures: Measures, outputs: torch.Tensor, targets: torch.Tensor) -> Outcomes:
    """Outcomes of two unequal batches; nothing that is measured changes by recording them."""
    batches: Batches = [(outputs[:1], targets[:1]), (outputs[1:], targets[1:])]
    recorder = OutcomeRecorder()
    measured = measures.measure(iter(batches), len(targets), recorder)
    plain = measures.measure(iter(batches), len(targets))
    assert repr(measured) == repr(plain)
    found = recorder.outcomes(measured)
    assert found is not None
    assert decode_outcomes(encode_outcomes(found)) == found
    return found


def logits_of(classes: list[int], count: int = 3) -> torch.Tensor:
    """Logits whose largest is that of each example's class."""
    return 2.0 * torch.eye(count)[classes]


def test_right_answers_and_the_counts_of_classes() -> None:
    found = recorded(ClassMeasures(), logits_of([0, 1, 1, 2]), torch.tensor([0, 1, 2, 2]))
    assert found.accuracy is not None and found.accuracy.tolist() == [True, True, False, True]
    assert found.predicted is not None and found.predicted.tolist() == [1, 2, 1]
    assert found.labels is not None and found.labels.tolist() == [1, 1, 2]
    assert found.majority_share == 0.5
    assert found.values("score") is not None, "the score is the accuracy"
    assert found.values("accuracy").tolist() == found.values("score").tolist() == [1, 1, 0, 1]  # type: ignore[union-attr]
    assert found.values("loss") is None
    # Of a quarter, a quarter and a half.
    assert found.chance_loss == pytest.approx(1.5 * math.log(2))


@pytest.mark.parametrize(
    ("answers", "targets", "expected"),
    [
        ([1, 1, 1, 1], [1, 1, 1, 0], True),
        ([2, 2, 2, 2], [0, 0, 1, 1], True),  # also where it is never right
        ([0, 0, 0, 0], [0, 1, 0, 1], True),  # a balanced set, right in exactly half
        ([0, 1, 1, 0], [0, 1, 0, 1], False),  # as often right, with varied answers
        ([1, 2, 1, 2], [0, 0, 0, 0], False),
        ([0, 0, 0, 0], [0, 0, 0, 0], False),  # what there was to learn
    ],
)
def test_a_network_that_learned_nothing(
    answers: list[int], targets: list[int], expected: bool
) -> None:
    found = recorded(ClassMeasures(), logits_of(answers), torch.tensor(targets))
    assert found.learned_nothing is expected


def test_elements_of_examples_are_fractions_and_ignored_targets_do_not_count() -> None:
    answers = torch.tensor([[0, 1], [1, 1], [2, 0]])
    outputs = 2.0 * torch.eye(3)[answers].movedim(-1, 1)
    measures = CustomMeasures(
        LOSSES["cross_entropy"], {"iou": ByOutcomes(IntersectionOverUnion())}, True, "cross_entropy"
    )
    found = recorded(measures, outputs, torch.tensor([[0, 1], [1, 2], [-100, 1]]))
    assert found.accuracy is not None and found.accuracy.tolist() == [1.0, 0.5, 0.0]
    assert found.labels is not None and found.labels.tolist() == [1, 3, 1]
    assert found.predicted is not None and found.predicted.tolist() == [2, 3, 0]
    assert found.score is not None and len(found.score) == 3
    assert not found.score_is_accuracy


def test_numbers_keep_their_losses_and_the_constant_answer() -> None:
    targets = torch.tensor([0.0, 1.0, 2.0, 5.0])
    measures = CustomMeasures(
        LOSSES["mse"], {"r2": ByOutcomes(PredictionMetric("r2"))}, True, "mse"
    )
    found = recorded(measures, torch.tensor([[0.0], [1.0], [2.0], [3.0]]), targets)
    assert found.loss is not None and found.loss.tolist() == [0, 0, 0, 4]
    assert found.accuracy is None and found.labels is None
    # Deviations from the mean 2: 4 + 1 + 0 + 9, over 4.
    assert found.chance_loss == 3.5
    assert found.learned_nothing is False
    constant = recorded(measures, torch.full((4, 1), 2.0), targets)
    assert constant.learned_nothing is True
    worse = recorded(measures, torch.tensor([[5.0], [2.0], [1.0], [0.0]]), targets)
    assert worse.learned_nothing is True, "not below the constant's error"
    same = recorded(measures, torch.full((4, 1), 2.0), torch.full((4,), 1.0))
    assert same.learned_nothing is False, "all targets are one: nothing was to be learned"


def test_the_best_constant_of_absolute_errors_is_the_median() -> None:
    targets = torch.tensor([0.0, 0.0, 0.0, 8.0, 8.0])
    measures = CustomMeasures(LOSSES["l1"], {"r2": ByOutcomes(PredictionMetric("r2"))}, True, "l1")
    found = recorded(measures, torch.zeros(5, 1), targets)
    assert found.chance_loss == pytest.approx(16 / 5)  # 3.84 at the mean
    assert found.learned_nothing is True


def test_sets_of_labels() -> None:
    metrics = {"accuracy": ByOutcomes(Accuracy())}
    measures = CustomMeasures(LOSSES["bce_with_logits"], metrics, True, "bce_with_logits")
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    same = recorded(measures, torch.tensor([[1.0, -1.0]]).repeat(4, 1), targets)
    assert same.accuracy is not None and same.accuracy.tolist() == [1.0, 1.0, 0.5, 0.5]
    assert same.learned_nothing is True
    # The first label is there in half of them, the second in none.
    assert same.chance_loss == pytest.approx(math.log(2) / 2)
    varied = torch.tensor([[1.0, -1.0], [1.0, -1.0], [-1.0, -1.0], [1.0, -1.0]])
    assert recorded(measures, varied, targets).learned_nothing is False


def test_a_loss_of_ones_own_is_kept_where_it_is_a_mean_over_examples() -> None:
    outputs = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    targets = torch.tensor([0.0, 1.0, 2.0, 5.0])

    def own(outputs: Any, targets: Any) -> torch.Tensor:
        torch.rand(1)  # draws, which must change no later number
        return ((outputs.squeeze(1) - targets) ** 2).mean()

    def of_batches(outputs: Any, targets: Any) -> torch.Tensor:
        return (outputs.squeeze(1) - targets).sum() ** 2

    metrics = {"r2": ByOutcomes(PredictionMetric("r2"))}
    torch.manual_seed(0)
    found = recorded(CustomMeasures(own, metrics, False, "mine:own"), outputs, targets)
    # Two evaluations of two batches each drew one number per batch.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(4):
            torch.rand(1)
        after = torch.rand(1)
    assert torch.rand(1) == after
    assert found.loss is not None and found.loss.tolist() == [0, 0, 0, 4]
    assert found.chance_loss is None and found.learned_nothing is None
    # A batch's sum is squared: 3 examples of 4, where single ones have a mean of 1.
    other = recorded(CustomMeasures(of_batches, metrics, False, "mine:b"), outputs, targets)
    assert other.loss is None


def test_batches_of_other_widths_end_no_trial() -> None:
    """Sequences of a user's own may have another length in each batch."""
    for name in ("mse", "bce_with_logits"):
        recorder = OutcomeRecorder()
        metrics = {"own": ByOutcomes(Tokens())}
        measures = CustomMeasures(LOSSES[name], metrics, True, name)
        batches = [(torch.zeros(2, 3), torch.ones(2, 3)), (torch.zeros(2, 5), torch.zeros(2, 5))]
        found = recorder.outcomes(measures.measure(batches, 4, recorder))
        assert found is not None
        assert found.chance_loss is None and found.learned_nothing is None
        assert found.loss is not None and len(found.loss) == 4
        assert found.score is None, "its metric counts tokens, not examples"
        assert decode_outcomes(encode_outcomes(found)) == found


class Tokens:
    """A metric of a user's own with a row for each token."""

    higher_is_better = True

    def outcomes(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs - targets).reshape(-1, 1)

    def score(self, outcomes: torch.Tensor) -> float:
        return float(outcomes.mean())


def test_answers_of_yes_and_no() -> None:
    """Targets that are booleans, which only a loss of one's own takes."""

    def loss(outputs: Any, targets: Any) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs, targets.long())

    measures = CustomMeasures(loss, {"accuracy": ByOutcomes(Accuracy())}, False, "mine:loss")
    found = recorded(measures, logits_of([0, 1, 1], 2), torch.tensor([False, True, False]))
    assert found.labels is not None and found.labels.tolist() == [2, 1]
    assert found.predicted is not None and found.predicted.tolist() == [1, 2]


def test_pseudo_values_of_a_mean_are_its_examples() -> None:
    outcomes = torch.tensor([[1.0], [0.0], [0.0], [1.0], [1.0]], dtype=torch.float64)
    found = pseudo_values(Accuracy(), outcomes)
    assert found == pytest.approx(outcomes[:, 0].numpy())


def test_pseudo_values_by_hand() -> None:
    # Answers and targets: F1 = 2 TP / (2 TP + FP + FN) = 2·2 / (4 + 1 + 0) = 0.8.
    outcomes = torch.tensor([[1, 1], [1, 1], [1, 0], [0, 0]], dtype=torch.float64)
    found = pseudo_values(PredictionMetric("f1"), outcomes)
    # Without a true positive 2/3, without the false one 1, without the true negative 0.8.
    expected = [4 * 0.8 - 3 * one for one in (2 / 3, 2 / 3, 1.0, 0.8)]
    assert found == pytest.approx(np.array(expected))


def test_groups_of_many_examples_hold_each_of_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_GROUPS", 5)
    values = torch.arange(13, dtype=torch.float64).reshape(-1, 1) / 13
    found = pseudo_values(Accuracy(), values)
    assert found is not None
    # Groups of 3, 3, 3, 3 and 1: a mean's pseudo-value is its group's mean.
    assert len(found) == 5
    weights = np.array([3, 3, 3, 3, 1])
    assert (found * weights).sum() / 13 == pytest.approx(values.mean().item())
    assert found == pytest.approx(pseudo_values(Accuracy(), values)), "the same every time"


def test_a_metric_that_cannot_score_a_part_keeps_nothing() -> None:
    class Needy(PredictionMetric):
        def score(self, outcomes: torch.Tensor) -> float:
            if len(outcomes) < 4:
                raise ValueError("too few")
            return 0.5

    assert pseudo_values(Needy("f1"), torch.zeros(4, 2)) is None
    assert pseudo_values(PredictionMetric("f1"), torch.zeros(1, 2)) is None


def test_nothing_of_an_empty_split() -> None:
    recorder = OutcomeRecorder()
    split = ResidentSplit(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    assert recorder.outcomes(evaluate_model(nn.Identity(), split, recorder=recorder)) is None


SPEC = TrialSpec(
    optim=OptimSpec(lr=0.1),
    schedule=ScheduleSpec(epochs=3),
    sparsity=SparsitySpec(method="gmp", target=0.9),
    evaluate=EvaluateSpec(),
)


def test_a_trial_keeps_what_its_test_measures_are_made_of() -> None:
    final = train(SPEC, read_test=True)
    found = final.outcomes
    assert found is not None and found.accuracy is not None
    assert found.accuracy.shape == (360,) and found.accuracy.dtype == np.bool_
    assert found.accuracy.mean() == pytest.approx(final.test["test_accuracy"], abs=1e-12)
    assert found.learned_nothing is False
    assert found.chance_loss == pytest.approx(math.log(10), abs=0.01)
    assert found.labels is not None and found.labels.sum() == 360
    assert train(SPEC).outcomes is None, "the test set was not read"


def test_a_resumed_trial_has_the_outcomes_of_one_that_ran_through(tmp_path: Path) -> None:
    whole = train(SPEC, read_test=True)
    stops = Stops(tmp_path / "attempt-1", {SPEC.total_steps() // 2})
    with pytest.raises(Interrupted):
        train(SPEC, read_test=True, checkpoints=stops)
    resumed = train(SPEC, read_test=True, resume_from=latest_checkpoint([tmp_path / "attempt-1"]))
    assert whole.outcomes is not None and resumed.outcomes is not None
    assert encode_outcomes(resumed.outcomes) == encode_outcomes(whole.outcomes)
    assert resumed.test == whole.test
