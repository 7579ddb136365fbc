"""Residual networks for small images: sizes by hand, shapes, and prunable layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sparsetune.sparsity.flops import forward_flops
from sparsetune.sparsity.layers import layers_of, prunable_weights
from sparsetune.sparsity.masks.allocation import allocate
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.tasks.models import build_model, meta_model
from sparsetune.tasks.residual import BasicBlock, WideBlock

CIFAR = (3, 32, 32)
RESIDUAL = ("resnet8", "resnet20", "resnet56", "resnet18_cifar", "wrn_22_2")


def basic(blocks: int) -> int:
    """Parameters of a network of ``2 * blocks`` convolutions a stage.

    Weights, then two for each normalised channel.
    """
    rest = 2 * blocks - 1
    stages = 9 * 16 * 16 * (rest + 1), 9 * 32 * (16 + 32 * rest), 9 * 64 * (32 + 64 * rest)
    return 9 * 3 * 16 + sum(stages) + 2 * (16 + 2 * blocks * (16 + 32 + 64)) + 64 * 10 + 10


WIDE = (
    (9 * 3 * 16)
    + 9 * (16 * 32 + 5 * 32 * 32) + 16 * 32  # the last is the projection
    + 9 * (32 * 64 + 5 * 64 * 64) + 32 * 64
    + 9 * (64 * 128 + 5 * 128 * 128) + 64 * 128
    + 2 * ((16 + 5 * 32) + (32 + 5 * 64) + (64 + 5 * 128) + 128)
    + 128 * 10 + 10
)  # fmt: skip
TORCHVISIONS = 11_689_512 - (512 * 1000 + 1000) - 49 * 3 * 64 + 9 * 3 * 64 + (512 * 10 + 10)
"""The published resnet18 with another first convolution and another head."""


@pytest.mark.parametrize(
    ("name", "by_hand", "parameters"),
    [
        ("resnet8", basic(1), 75_290),
        ("resnet20", basic(3), 269_722),
        ("resnet56", basic(9), 853_018),
        ("wrn_22_2", WIDE, 1_079_642),
        ("resnet18_cifar", TORCHVISIONS, 11_173_962),
    ],
)
def test_a_network_has_its_published_size(name: str, by_hand: int, parameters: int) -> None:
    model = meta_model(name, CIFAR, 10)
    assert sum(parameter.numel() for parameter in model.parameters()) == by_hand == parameters


@pytest.mark.parametrize(
    ("name", "convolutions"), [("resnet8", 7), ("resnet20", 19), ("resnet56", 55), ("wrn_22_2", 22)]
)
def test_the_convolutions_are_those_of_the_name(name: str, convolutions: int) -> None:
    """6n + 2 with the head (He et al. 2016); WRN-22 counts three projections, and no head."""
    weights = prunable_weights(meta_model(name, CIFAR, 10))
    kernels = [tuple(weight.shape[2:]) for weight in weights.values() if weight.ndim == 4]
    assert len(kernels) == convolutions
    assert kernels.count((1, 1)) == (3 if name == "wrn_22_2" else 0)


def test_the_layers_read_well_in_a_report() -> None:
    names = list(prunable_weights(meta_model("wrn_22_2", CIFAR, 10)))
    block = [f"layer1.0.{part}.weight" for part in ("conv1", "conv2", "shortcut")]
    assert (names[0], names[1:4], names[-1]) == ("conv1.weight", block, "fc.weight")
    names = list(prunable_weights(meta_model("resnet8", CIFAR, 10)))
    convolutions = [
        f"layer{stage}.0.conv{number}.weight" for stage in (1, 2, 3) for number in (1, 2)
    ]
    assert names == ["conv1.weight", *convolutions, "fc.weight"]


@pytest.mark.parametrize("name", RESIDUAL)
@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 9, 13), (3, 33, 32)])
def test_any_channels_and_sides_do_without_memory(name: str, shape: tuple[int, ...]) -> None:
    model = meta_model(name, shape, 7)
    with torch.device("meta"):
        assert model.train()(torch.empty(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("name", RESIDUAL)
def test_a_network_runs_in_channels_last_and_bfloat16(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, (3, 16, 16), 10)
    inputs = torch.randn(4, 3, 16, 16)
    plain = model.eval()(inputs)
    last = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert torch.allclose(
        last(inputs.contiguous(memory_format=torch.channels_last)), plain, rtol=1e-3, atol=1e-4
    )
    with torch.autocast("cpu", torch.bfloat16):
        rounded = last.train()(inputs.contiguous(memory_format=torch.channels_last))
    assert rounded.dtype == torch.bfloat16
    rounded.float().square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["resnet20", "wrn_22_2"])
def test_the_image_stays_channels_last_down_to_the_pool(name: str) -> None:
    model = build_model(name, (3, 16, 16), 10).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    seen: list[bool] = []
    model.pool.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
    )
    model(torch.randn(2, 3, 16, 16).contiguous(memory_format=torch.channels_last))
    assert seen == [True]


def test_a_basic_block_without_weights_is_its_shortcut() -> None:
    """Every other pixel, positive ones as they are, and zeros in the new channels."""
    block = BasicBlock(2, 3, 2).eval()
    nn.init.zeros_(block.conv2.weight)
    inputs = torch.arange(-8.0, 24.0).reshape(1, 2, 4, 4)
    expected = torch.tensor([[[[0.0, 0], [0, 2]], [[8, 10], [16, 18]], [[0, 0], [0, 0]]]])
    assert torch.equal(block(inputs), expected)


def test_a_wide_block_adds_its_inputs_as_they_came() -> None:
    """Nothing is activated on the way of the identity; a projection sees activated inputs."""
    inputs = torch.arange(-8.0, 24.0).reshape(1, 2, 4, 4)
    same = WideBlock(2, 2, 1).eval()
    wider = WideBlock(2, 4, 2).eval()
    for block in (same, wider):
        nn.init.zeros_(block.conv2.weight)
    assert torch.equal(same(inputs), inputs)
    assert wider.shortcut is not None
    nn.init.ones_(wider.shortcut.weight)
    below = torch.tensor(
        [[8.0, 10.0], [16.0, 20.0]]
    )  # channel 0 is negative at the first three of its four pixels
    expected = below.expand(1, 4, 2, 2) / (1 + wider.bn1.eps) ** 0.5
    assert torch.allclose(wider(inputs), expected)


def test_a_wide_network_drops_out_only_in_training() -> None:
    torch.manual_seed(0)
    model = build_model("wrn_22_2", (1, 8, 8), 10)
    inputs = torch.randn(4, 1, 8, 8)
    assert not torch.equal(model(inputs), model(inputs))
    model.eval()
    assert torch.equal(model(inputs), model(inputs))


@pytest.mark.parametrize("name", ["resnet20", "wrn_22_2", "resnet18_cifar"])
def test_convolutions_are_drawn_with_the_published_deviation(name: str) -> None:
    torch.manual_seed(0)
    for module in build_model(name, CIFAR, 10).modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 1500:
            outputs = module.out_channels * module.kernel_size[0] ** 2
            assert module.weight.std().item() == pytest.approx((2 / outputs) ** 0.5, rel=0.08)


def test_erk_densities_are_in_the_proportion_of_their_formula() -> None:
    """A density is in proportion to (inputs + outputs + height + width) / their product.

    It is capped at 1 (RigL, equation 3).
    """
    layers = layers_of(prunable_weights(meta_model("resnet20", CIFAR, 10)))
    spec = SparsitySpec(method="static", target=0.9, allocation="erk").resolved()
    pruned = {group.names[0]: group.pruned for group in allocate(layers, 0.9, spec)}
    density = {layer.name: 1 - pruned[layer.name] / layer.weights for layer in layers}
    wide = density["layer3.1.conv1.weight"]
    narrow = density["layer1.1.conv1.weight"]
    assert narrow / wide == pytest.approx((38 / (9 * 16 * 16)) / (134 / (9 * 64 * 64)), rel=0.01)
    assert density["fc.weight"] == 1


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        (
            "resnet8",
            9 * (16 * (3 + 2 * 16) * 32**2 + 32 * (16 + 32) * 16**2 + 64 * (32 + 64) * 8**2)
            + 64 * 10,
        ),
        (
            "resnet18_cifar",
            9 * 64 * (3 + 4 * 64) * 32**2
            + (9 * 128 * (64 + 3 * 128) + 64 * 128) * 16**2
            + (9 * 256 * (128 + 3 * 256) + 128 * 256) * 8**2
            + (9 * 512 * (256 + 3 * 512) + 256 * 512) * 4**2
            + 512 * 10,
        ),
    ],
)
def test_multiplications_at_every_pixel_by_hand(name: str, by_hand: int) -> None:
    """Outputs have the whole image at first, and half of each side from stage to stage.

    FLOPs are twice as many.
    """
    flops = forward_flops(meta_model(name, CIFAR, 10), CIFAR)
    assert (flops.total, flops.other) == (2 * by_hand, 0)
