import math

import pytest
import torch
from torch import nn

from sparsetune.tasks.images import resident
from sparsetune.tasks.images.resident import ResidentSplit
from sparsetune.train.evaluate import evaluate_model


def test_measures_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0], [1000.0, -1000.0]])
    measures = evaluate_model(nn.Identity(), ResidentSplit(logits, torch.tensor([1, 1, 0])))
    quarter = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert measures.loss == pytest.approx((-math.log(0.75) + math.log(2) + 0) / 3)
    assert measures.entropy == pytest.approx((quarter + math.log(2) + 0) / 3)
    assert measures.accuracy == measures.score == pytest.approx(2 / 3)
    assert measures.columns("val")["val_loss"] == measures.loss


def test_batches_do_not_change_the_means(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    split = ResidentSplit(
        torch.randn(50, 10, generator=generator), torch.randint(0, 10, (50,), generator=generator)
    )
    whole = evaluate_model(nn.Identity(), split)
    monkeypatch.setattr(resident, "EVALUATED_TOGETHER", 7)
    assert evaluate_model(nn.Identity(), split).columns("val") == pytest.approx(
        whole.columns("val")
    )


def test_an_empty_split_has_no_measures() -> None:
    measures = evaluate_model(
        nn.Identity(), ResidentSplit(torch.zeros(0, 10), torch.zeros(0, dtype=torch.long))
    )
    assert all(math.isnan(value) for value in measures.columns("val").values())


def test_the_model_keeps_its_mode_and_the_data_their_values() -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.BatchNorm1d(4), nn.Dropout(0.9))
    split = ResidentSplit(torch.full((8, 4), -1.0), torch.zeros(8, dtype=torch.long))
    assert evaluate_model(model.train(), split) == evaluate_model(model, split)
    assert model.training
    assert (split.inputs == -1).all()
    assert model[1].running_mean.abs().sum() == 0
    evaluate_model(model.eval(), split)
    assert not model.training
