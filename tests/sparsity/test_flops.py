"""FLOPs against hand sums: a multiply-add is two, biases and norms are none."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from sparsetune.sparsity.flops import ForwardFlops, forward_flops, step_cost
from sparsetune.sparsity.layers import prunable_weights
from sparsetune.tasks.models import lenet_300_100, meta_model


def test_lenet_has_the_published_count_of_weights() -> None:
    model = lenet_300_100((1, 28, 28), 10)
    assert sum(w.numel() for w in prunable_weights(model).values()) == 266_200
    flops = {"1.weight": 470_400, "3.weight": 60_000, "5.weight": 2_000}
    assert forward_flops(model, (1, 28, 28)) == ForwardFlops(flops, 0)


def test_convolutions_by_hand() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),  # 8 x 8 positions
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=4),  # 4 x 4 positions, 2 inputs a filter
        nn.Conv2d(8, 8, 3, padding=1, groups=8),  # depthwise: not prunable
        nn.ConvTranspose2d(8, 8, 2, stride=2, bias=False),  # from 4 x 4 positions, not prunable
        nn.Flatten(),
        nn.Linear(512, 10),
    )
    flops = forward_flops(model, (3, 8, 8))
    assert flops.weights == {
        "0.weight": 2 * 8 * 27 * 64,
        "2.weight": 2 * 8 * 18 * 16,
        "6.weight": 2 * 5120,
    }
    assert flops.other == 2 * 8 * 9 * 16 + 2 * 8 * 8 * 4 * 16


@pytest.mark.parametrize(
    ("convolution", "shape", "positions"), [(nn.Conv1d, (3, 9), 7), (nn.Conv3d, (3, 5, 5, 5), 27)]
)
def test_convolutions_of_other_dimensions(
    convolution: type, shape: tuple[int, ...], positions: int
) -> None:
    model = convolution(3, 4, 3)
    assert forward_flops(model, shape) == ForwardFlops(
        {"weight": 2 * model.weight.numel() * positions}, 0
    )


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(inputs)) @ self.first.weight.T  # a view of it is a use of it


def test_a_shared_weight_is_one_weight_that_costs_at_every_use() -> None:
    assert list(prunable_weights(Shared())) == ["first.weight"]
    assert forward_flops(Shared(), (4,)) == ForwardFlops({"first.weight": 2 * 16 * 3}, 0)


class Product(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(5, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return functional.linear(inputs, self.first.weight @ self.second.weight)


def test_a_product_of_two_weights_is_counted_as_staying_dense() -> None:
    assert forward_flops(Product(), (5,)) == ForwardFlops(
        {"first.weight": 0, "second.weight": 0}, 2 * 4 * 3 * 5 + 2 * 4 * 5
    )


class SelfAttention(nn.Module):
    def __init__(self, **options: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **options)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        keys = inputs[..., : self.attention.kdim]
        output: torch.Tensor = self.attention(inputs, keys, keys, need_weights=False)[0]
        return output


def test_multi_head_attention_by_hand() -> None:
    """5 tokens of width 8: three projections and one more.

    Queries with keys, and weights with values, take 5 x 5 x 8 each.
    """
    assert torch.backends.mha.get_fastpath_enabled()  # off the meta device it has no count
    projections = {
        "attention.in_proj_weight": 2 * 24 * 8 * 5,
        "attention.out_proj.weight": 2 * 8 * 8 * 5,
    }
    assert forward_flops(SelfAttention(), (5, 8)) == ForwardFlops(projections, 2 * 2 * 5 * 5 * 8)


def test_a_transformers_layer_by_hand() -> None:
    flops = forward_flops(
        nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True), (5, 8)
    )
    weights = {"self_attn.in_proj_weight": 24 * 8, "self_attn.out_proj.weight": 8 * 8}
    weights |= {"linear1.weight": 16 * 8, "linear2.weight": 8 * 16}
    assert flops == ForwardFlops(
        {name: 2 * size * 5 for name, size in weights.items()}, 2 * 2 * 5 * 5 * 8
    )


def test_separate_projections_of_attention_are_layers_too() -> None:
    flops = forward_flops(SelfAttention(kdim=6, vdim=6), (5, 8)).weights
    names = ["q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"]
    assert flops == {
        f"attention.{name}": 2 * 8 * width * 5
        for name, width in zip(names, (8, 6, 6, 8), strict=True)
    }


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(
            functional.scaled_dot_product_attention(inputs, inputs, inputs, is_causal=True)
        )


def test_scaled_dot_product_attention_by_hand() -> None:
    """2 heads, 5 tokens, width 8; a causal mask saves nothing in the count."""
    flops = forward_flops(Attention(), (2, 5, 8))
    assert flops == ForwardFlops({"head.weight": 2 * 24 * 10}, 2 * (2 * 2 * 5 * 5 * 8))


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(input_ids))


@pytest.mark.parametrize("named", [True, False])
def test_an_example_of_tokens(named: bool) -> None:
    ids = torch.zeros(1, 7, dtype=torch.long)
    flops = forward_flops(Tokens(), example={"input_ids": ids} if named else ids)
    assert flops == ForwardFlops({"head.weight": 2 * 24 * 7}, 0)  # an embedding multiplies nothing


@pytest.mark.parametrize("given", [{}, {"input_shape": (8,), "example": torch.zeros(1, 8)}])
def test_the_input_is_a_shape_or_an_example(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="either `input_shape` or `example`"):
        forward_flops(nn.Linear(8, 3), **given)


class Remembering(nn.Module):
    """Keeps a tensor of its forward pass, and has one that is neither a parameter nor a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.dropout = nn.Dropout(0.5)
        self.norm = nn.BatchNorm1d(4)
        self.scale = torch.full((4,), 2.0)
        self.cache: torch.Tensor | None = None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.cache = inputs
        return self.linear(self.norm(self.dropout(inputs)) * self.scale)


def test_the_model_and_the_random_state_stay_as_they_are() -> None:
    model = Remembering()
    model.dropout.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    assert forward_flops(model, (4,)) == ForwardFlops({"linear.weight": 24}, 0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (model.norm.training, model.dropout.training, model.cache) == (True, False, None)
    assert (model.scale.device.type, model.linear.weight.requires_grad) == ("cpu", True)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "swin_t"])
def test_the_total_is_that_of_torchs_own_counter(name: str) -> None:
    model = meta_model(name, (3, 64, 64), 10).eval()
    with torch.no_grad(), torch.device("meta"), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, 64, 64))
    assert forward_flops(model, (3, 64, 64)).total == counter.get_total_flops()


def test_a_fraction_weighs_densities_by_flops_and_leaves_the_rest_dense() -> None:
    assert ForwardFlops({"a": 300, "b": 100}).fraction({"a": 0.5, "b": 1.0}) == pytest.approx(
        250 / 400
    )
    assert ForwardFlops({"a": 300, "b": 100}, 100).fraction({"a": 0.5, "b": 0.0}) == pytest.approx(
        250 / 500
    )
    assert ForwardFlops({"a": 300, "b": 100}, 7).fraction({"a": 1.0, "b": 1.0}) == 1.0
    assert ForwardFlops({"a": 0}).fraction({"a": 0.5}) == 1.0


def test_a_step_by_hand() -> None:
    """Forward pass, gradient of the inputs, gradient of the weights.

    They take 0.1 + 0.1 + 0.1 or 1 of three dense passes.
    """
    assert step_cost(0.1, 0.1) == pytest.approx(0.1)
    assert step_cost(0.1, 1.0) == pytest.approx(0.4)
    assert step_cost(1.0, 1.0) == 1.0
