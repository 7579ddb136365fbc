"""The tasks' metrics against numbers worked by hand."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.spec.task import Metric
from sparsetune.tasks.metrics import compute_metric

TARGETS = torch.tensor([1, 1, 1, 0, 0, 1, 0, 0, 0, 1])
PREDICTED = torch.tensor([1, 1, 0, 0, 0, 1, 1, 0, 0, 1])
"""Four true positives, four true negatives, one of each error."""


def logits(classes: torch.Tensor, of: int = 2) -> torch.Tensor:
    """Whose largest is at these classes."""
    return torch.nn.functional.one_hot(classes, of).float()


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("accuracy", 8 / 10),
        ("f1", 2 * 4 / (2 * 4 + 1 + 1)),
        ("matthews", (4 * 4 - 1 * 1) / math.sqrt(5 * 5 * 5 * 5)),
    ],
)
def test_metrics_of_classes(metric: Metric, expected: float) -> None:
    assert compute_metric(metric, logits(PREDICTED), TARGETS) == pytest.approx(expected, abs=1e-12)


def test_f1_is_that_of_class_1() -> None:
    predicted = torch.tensor([1, 0, 0, 0])
    targets = torch.tensor([1, 1, 0, 0])
    assert compute_metric("f1", logits(predicted), targets) == pytest.approx(2 * 1 / (2 * 1 + 1))
    assert compute_metric("f1", logits(1 - predicted), 1 - targets) == pytest.approx(
        2 * 2 / (2 * 2 + 1)
    )


def test_three_classes() -> None:
    predicted = torch.tensor([0, 1, 2, 2])
    targets = torch.tensor([0, 1, 2, 1])
    assert compute_metric("accuracy", logits(predicted, of=3), targets) == 0.75
    # Gorodkin 2004, with sums over classes:
    # (n · correct - Σ predicted · true) / √((n² - Σ predicted²)(n² - Σ true²))
    expected = (4 * 3 - (1 * 1 + 1 * 2 + 2 * 1)) / math.sqrt(
        (16 - (1 + 1 + 4)) * (16 - (1 + 4 + 1))
    )
    assert compute_metric("matthews", logits(predicted, of=3), targets) == pytest.approx(
        expected, abs=1e-12
    )


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_metrics_of_numbers(shape: tuple[int, ...]) -> None:
    predicted = torch.tensor([1.0, 2.0, 4.0, 3.0]).reshape(shape)
    targets = torch.tensor([0.0, 1.0, 2.0, 5.0])
    # about the means: (-1.5, -0.5, 1.5, 0.5) and (-2, -1, 0, 3)
    assert compute_metric("pearson", predicted, targets) == pytest.approx(
        5 / math.sqrt(5 * 14), abs=1e-12
    )
    # ranks (1, 2, 4, 3) and (1, 2, 3, 4): 1 - 6 · Σ d² / (n (n² - 1))
    assert compute_metric("spearman", predicted, targets) == pytest.approx(
        1 - 6 * 2 / (4 * 15), abs=1e-12
    )


@pytest.mark.parametrize("same", [0, 1])
def test_predictions_that_are_all_equal_score_nothing(same: int) -> None:
    assert compute_metric("matthews", logits(torch.full_like(TARGETS, same)), TARGETS) == 0
    assert compute_metric("f1", logits(torch.zeros_like(TARGETS)), TARGETS) == 0
    assert compute_metric("f1", logits(torch.zeros_like(TARGETS)), torch.zeros_like(TARGETS)) == 0
    for metric in ("pearson", "spearman"):
        assert compute_metric(metric, torch.full((10,), float(same)), TARGETS.float()) == 0
        assert compute_metric(metric, torch.arange(10.0), torch.full((10,), float(same))) == 0


@pytest.mark.parametrize("metric", get_args(Metric))
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_logit_that_is_not_finite_gives_no_score(metric: Metric, value: float) -> None:
    broken = torch.arange(10.0) if metric in ("pearson", "spearman") else logits(PREDICTED)
    broken.view(-1)[3] = value
    assert math.isnan(compute_metric(metric, broken, TARGETS))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_every_metric_of_classes_is_within_its_range(pairs: list[tuple[bool, bool]]) -> None:
    predicted, targets = (torch.tensor(column).long() for column in zip(*pairs, strict=True))
    assert 0 <= compute_metric("accuracy", logits(predicted), targets) <= 1
    assert 0 <= compute_metric("f1", logits(predicted), targets) <= 1
    assert -1 <= compute_metric("matthews", logits(predicted), targets) <= 1
    assert compute_metric("accuracy", logits(predicted), predicted) == 1


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=20, unique=True), st.data())
def test_correlations_do_not_change_under_scale_and_shift(
    values: list[float], data: st.DataObject
) -> None:
    targets = torch.tensor(data.draw(st.permutations(range(len(values))))).float()
    predicted = torch.tensor(values).double()
    for metric in ("pearson", "spearman"):
        assert compute_metric(metric, 2 * predicted, targets) == pytest.approx(
            compute_metric(metric, predicted, targets), abs=1e-9
        )
        assert compute_metric(metric, -predicted, targets) == pytest.approx(
            -compute_metric(metric, predicted, targets), abs=1e-9
        )
        assert -1 <= compute_metric(metric, predicted, targets) <= 1
