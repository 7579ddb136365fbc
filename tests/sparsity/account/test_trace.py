"""FLOPs and reads of forward passes, on the meta device and where it does not do."""

from __future__ import annotations

import torch
from torch import nn

from sparsetune.sparsity.account.trace import trace_forward, trace_values
from sparsetune.sparsity.flops import ForwardFlops, prunable_flops
from tests.sparsity.account.public_styles import MODELS, LooksAtValues

IMAGE = torch.zeros(1, 1, 8, 8)


def flops(name: str, *prunable: str) -> ForwardFlops:
    model = MODELS[name]((1, 8, 8), 10)
    return prunable_flops(trace_forward(model, IMAGE), prunable)


def test_flops_of_layers_of_other_kinds_by_hand() -> None:
    # Two FLOPs a weight and position: 4 x 4 inputs of a transposed convolution, 8 steps of an LSTM.
    assert flops("transposed_convolution", "2.weight").weights == {"2.weight": 2 * 2048 * 16}
    recurrent = flops("recurrent", "recurrent.weight_ih_l0", "recurrent.weight_hh_l0").weights
    assert list(recurrent.values()) == [2 * 64 * 8 * 8, 2 * 64 * 16 * 8]
    assert flops("expert_tensor", "experts").weights == {"experts": 2 * 4 * 64 * 32}
    assert flops("conv1d", "1.weight").weights == {"1.weight": 2 * 64 * 64}
    assert flops("tied_embedding", "tokens.weight").weights == {"tokens.weight": 0}


def test_flops_of_computed_weights_are_those_of_their_parameter() -> None:
    for name, weight in (
        ("weight_norm", "1.parametrizations.weight.original1"),
        ("old_weight_norm", "1.weight_v"),
        ("spectral_norm", "1.parametrizations.weight.original"),
        ("spectral_norm", "3.weight_orig"),
        ("equalised_rate", "1.weight"),
    ):
        assert flops(name, weight).weights == {weight: 2 * 64 * 64}


def test_a_directory_of_before_counts_only_weights_that_are_read_as_they_are() -> None:
    trace = trace_forward(MODELS["equalised_rate"]((1, 8, 8), 10), IMAGE)
    before = prunable_flops(trace, ["1.weight"], computed=False)
    assert (before.weights, before.other) == ({"1.weight": 0}, 2 * 64 * 64 + 2 * 64 * 10)


def test_a_forward_pass_that_looks_at_values_counts_as_one_that_does_not() -> None:
    looks = LooksAtValues(10)
    trace = trace_forward(looks, IMAGE)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    expected = prunable_flops(trace_forward(plain, IMAGE), ["1.weight", "3.weight"])
    found = prunable_flops(trace, ["body.weight", "head.weight"])
    assert list(found.weights.values()) == list(expected.weights.values())
    assert (trace.on_meta, trace.unread) == (False, frozenset())
    assert trace.outputs.shape == (1, 10)


def test_the_cpu_counts_what_the_meta_device_counts() -> None:
    """Fused kernels of recurrent and attention layers would have no FLOPs."""
    for name in ("recurrent", "transformer", "transposed_convolution", "weight_norm"):
        model = MODELS[name]((1, 8, 8), 10)
        on_meta = trace_forward(model, IMAGE)
        with_values = trace_values(model, IMAGE)
        weights = [key for key, weight in model.named_parameters() if weight.dim() > 1]
        assert prunable_flops(on_meta, weights) == prunable_flops(with_values, weights)


def test_a_trace_leaves_network_and_generators_alone() -> None:
    model = MODELS["spectral_norm"]((1, 8, 8), 10).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    generator = torch.get_rng_state()
    trace_forward(model, IMAGE)
    trace_values(model, IMAGE)
    assert torch.equal(generator, torch.get_rng_state())
    assert model.training
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
