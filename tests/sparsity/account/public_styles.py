"""Small networks in styles that are common in public code, for images of 1 x 8 x 8."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations


def weight_norm(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    hidden = [parametrizations.weight_norm(nn.Linear(64, 64)) for _ in range(2)]
    return nn.Sequential(
        nn.Flatten(), hidden[0], nn.ReLU(), hidden[1], nn.ReLU(), nn.Linear(64, n_classes)
    )


def old_weight_norm(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # public code has the old one still
        hidden = nn.utils.weight_norm(nn.Linear(64, 64))
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.Linear(64, n_classes))


def weight_norm_convolution(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    first = parametrizations.weight_norm(nn.Conv2d(1, 16, 3, padding=1))
    second = parametrizations.weight_norm(nn.Conv2d(16, 16, 3, stride=2))
    return nn.Sequential(
        first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(144, n_classes)
    )


def spectral_norm(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    hidden = parametrizations.spectral_norm(nn.Linear(64, 64))
    old = nn.utils.spectral_norm(nn.Linear(64, 64))
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), old, nn.ReLU(), nn.Linear(64, n_classes))


def orthogonal(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    hidden = parametrizations.orthogonal(nn.Linear(64, 64))
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.Linear(64, n_classes))


class StandardisedConvolution(nn.Conv2d):
    """Convolution with a mean of zero in each kernel (Qiao et al. 2019), as in timm."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        deviation = self.weight.std((1, 2, 3), keepdim=True)
        return functional.conv2d(x, (self.weight - mean) / (deviation + 1e-5), self.bias)


def weight_standardisation(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return nn.Sequential(
        StandardisedConvolution(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, n_classes)
    )


class EqualisedLinear(nn.Linear):
    """Linear layer whose weight is scaled at run time, as in StyleGAN."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self.weight * self.in_features**-0.5 * 4, self.bias)


def equalised_rate(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), EqualisedLinear(64, 64), nn.ReLU(), EqualisedLinear(64, n_classes)
    )


def transposed_convolution(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, n_classes),
    )


def frozen_body(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    body = nn.Linear(64, 64).requires_grad_(False)
    return nn.Sequential(
        nn.Flatten(), body, nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, n_classes)
    )


class DropPath(nn.Module):
    """Residual layers with rates of dropout that rise with depth, as in timm."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 0.1, 3)]
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in self.rates)
        self.head = nn.Linear(64, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        for rate, layer in zip(self.rates, self.layers, strict=True):
            x = x + functional.dropout(layer(x).relu(), rate, self.training)
        logits: torch.Tensor = self.head(x)
        return logits


def values_in_constructor(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return DropPath(n_classes)


class LooksAtValues(nn.Module):
    """Scales inputs that look like bytes."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.body = nn.Linear(64, 64)
        self.head = nn.Linear(64, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.max() > 100:
            x = x / 255
        logits: torch.Tensor = self.head(self.body(x.flatten(1)).relu())
        return logits


def values_in_forward(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return LooksAtValues(n_classes)


class TiedEmbedding(nn.Module):
    """Pixels as tokens; the head shares the weight of the embedding of classes."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(32, 16)
        self.body = nn.Linear(16, 32)
        self.classes = nn.Embedding(n_classes, 32)
        self.head = nn.Linear(32, n_classes, bias=False)
        self.head.weight = self.classes.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = (x.flatten(1) * 8).long().clamp(0, 31)
        logits: torch.Tensor = self.head(self.body(self.tokens(tokens).mean(1)).relu())
        return logits


def tied_embedding(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return TiedEmbedding(n_classes)


class RowsInOrder(nn.Module):
    """A recurrent layer over the rows of an image."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(8, 16, batch_first=True)
        self.head = nn.Linear(16, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.recurrent(x.flatten(1, 2))
        logits: torch.Tensor = self.head(states[:, -1])
        return logits


def recurrent(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return RowsInOrder(n_classes)


class Transformer(nn.Module):
    """Rows as tokens, with a class token and learned positions, as in a vision transformer."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        self.positions = nn.Parameter(torch.randn(1, 9, 16) * 0.02)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(16, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(x.flatten(1, 2))
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1) + self.positions
        logits: torch.Tensor = self.head(self.encoder(tokens)[:, 0])
        return logits


def transformer(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return Transformer(n_classes)


def separable(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU6(),
        nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU6(),
        nn.Conv2d(16, 32, 1, bias=False),
        nn.BatchNorm2d(32),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, n_classes),
    )


def grouped(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, groups=4),
        nn.GroupNorm(4, 32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, n_classes),
    )


class DenseExperts(nn.Module):
    """Experts in one parameter (experts, in, out), mixed by a gate."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.gate = nn.Linear(64, 4)
        self.experts = nn.Parameter(torch.randn(4, 64, 32) * 0.1)
        self.head = nn.Linear(32, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        mixed = torch.einsum("be,beo->bo", self.gate(x).softmax(1), self._outputs(x))
        logits: torch.Tensor = self.head(mixed.relu())
        return logits

    def _outputs(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bi,eio->beo", x, self.experts)


def expert_tensor(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return DenseExperts(n_classes)


class RoutedExperts(nn.Module):
    """Each example goes to the expert with the highest gate."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.gate = nn.Linear(64, 4)
        self.experts = nn.ModuleList(nn.Linear(64, n_classes) for _ in range(4))
        self.outputs = n_classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        weight, choice = self.gate(x).softmax(1).max(1)
        logits = x.new_zeros(len(x), self.outputs)
        for index, expert in enumerate(self.experts):
            chosen = (choice == index).nonzero().flatten()
            if len(chosen):
                logits = logits.index_add(0, chosen, expert(x[chosen]) * weight[chosen, None])
        return logits


def routed_experts(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return RoutedExperts(n_classes)


class Conv1D(nn.Module):
    """Linear layer with a weight (in, out), as GPT-2's in transformers."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) * 0.1)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.addmm(self.bias, x, self.weight)


def conv1d(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), Conv1D(64, 64), nn.GELU(), nn.Linear(64, n_classes))


class LowRankLinear(nn.Module):
    """Frozen linear layer with a low-rank update (Hu et al. 2021)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.base = nn.Linear(inputs, outputs).requires_grad_(False)
        self.down = nn.Parameter(torch.randn(4, inputs) * 0.1)
        self.up = nn.Parameter(torch.zeros(outputs, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        update: torch.Tensor = x @ self.down.T @ self.up.T
        return self.base(x) + update


def low_rank(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), LowRankLinear(64, 64), nn.ReLU(), nn.Linear(64, n_classes))


class UnusedHead(nn.Module):
    """A head that the forward pass never calls, left over from pre-training."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.body = nn.Linear(64, 64)
        self.projection = nn.Linear(64, 128)
        self.head = nn.Linear(64, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.body(x.flatten(1)).relu())
        return logits


def unused_head(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return UnusedHead(n_classes)


class AuxiliaryHead(UnusedHead):
    """A head that only training uses."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.body(x.flatten(1)).relu()
        if self.training:
            hidden = hidden + 0.01 * self.projection(hidden).mean(1, keepdim=True)
        logits: torch.Tensor = self.head(hidden)
        return logits


def auxiliary_head(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return AuxiliaryHead(n_classes)


class SharedLayer(nn.Module):
    """One layer applied three times, and a decoder by the encoder's transposed weight."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(64, 32)
        self.block = nn.Linear(64, 64)
        self.head = nn.Linear(64, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.encoder(x.flatten(1)).relu()
        hidden = functional.linear(hidden, self.encoder.weight.t()).relu()
        for _ in range(3):
            hidden = hidden + self.block(hidden).relu()
        logits: torch.Tensor = self.head(hidden)
        return logits


def shared_layer(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return SharedLayer(n_classes)


class MomentumCopy(UnusedHead):
    """A frozen copy of the body within the network, as self-supervised methods keep one."""

    def __init__(self, n_classes: int) -> None:
        super().__init__(n_classes)
        self.target = copy.deepcopy(self.body).requires_grad_(False)


def momentum_copy(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return MomentumCopy(n_classes)


def normalised_weight(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """A user's own parametrisation, by a slice's largest number: a slice of zeros is NaN."""
    hidden = nn.Linear(64, 64)
    nn.utils.parametrize.register_parametrization(hidden, "weight", ByLargest())
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.Linear(64, n_classes))


class ByLargest(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight / weight.abs().amax(1, keepdim=True)


MODELS: dict[str, Callable[[tuple[int, ...], int], nn.Module]] = {
    build.__name__: build
    for build in (
        weight_norm,
        old_weight_norm,
        weight_norm_convolution,
        spectral_norm,
        orthogonal,
        weight_standardisation,
        equalised_rate,
        normalised_weight,
        transposed_convolution,
        frozen_body,
        values_in_constructor,
        values_in_forward,
        tied_embedding,
        recurrent,
        transformer,
        separable,
        grouped,
        expert_tensor,
        routed_experts,
        conv1d,
        low_rank,
        unused_head,
        auxiliary_head,
        shared_layer,
        momentum_copy,
    )
}
"""Networks by name."""
NAMED_LAYERS = {
    "orthogonal": ("-1",),
    "weight_standardisation": ("-0",),
    "normalised_weight": ("-1",),
    "transposed_convolution": ("2",),
    "tied_embedding": ("head", "tokens"),
    "recurrent": ("recurrent.weight_*",),
    "transformer": ("-embed", "-head", "-token", "-positions"),
    "separable": ("3",),
    "expert_tensor": ("experts", "-gate"),
    "conv1d": ("1",),
    "low_rank": ("*.down", "*.up"),
}
"""`sparsity.layers` with which each is tried as well."""
