import pytest
import torch
from torch import nn

from sparsetune.sparsity.flops import cost_fraction, forward_flops, prunable_weights
from sparsetune.tasks.models import lenet_300_100


def test_lenet_has_the_published_count_of_weights() -> None:
    model = lenet_300_100((1, 28, 28), 10)
    assert sum(w.numel() for w in prunable_weights(model).values()) == 266_200
    flops = {"1.weight": 470_400, "3.weight": 60_000, "5.weight": 2_000}
    assert forward_flops(model, (1, 28, 28)) == flops


def test_convolutions_by_hand() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),  # 8 x 8 positions
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=4),  # 4 x 4 positions, 2 inputs a filter
        nn.Flatten(),
        nn.Linear(128, 10),
    )
    flops = forward_flops(model, (3, 8, 8))
    assert flops == {"0.weight": 2 * 8 * 27 * 64, "2.weight": 2 * 8 * 18 * 16, "4.weight": 2 * 1280}
    assert next(model.parameters()).device.type == "cpu"


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(inputs))


def test_a_shared_weight_is_one_weight_that_costs_twice() -> None:
    assert list(prunable_weights(Shared())) == ["first.weight"]
    assert forward_flops(Shared(), (4,)) == {"first.weight": 2 * 16 * 2}


def test_cost_weighs_densities_by_flops() -> None:
    assert cost_fraction({"a": 300, "b": 100}, {"a": 0.5, "b": 1.0}) == pytest.approx(250 / 400)
    assert cost_fraction({"a": 300, "b": 100}, {"a": 1.0, "b": 1.0}) == 1.0
