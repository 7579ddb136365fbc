"""Networks of a task: how each is built, its shapes, an example input, and its prunable weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import nn

from sparsetune.errors import Problem
from sparsetune.seeds import seeded_generators
from sparsetune.sparsity.account.account import Account, account_for
from sparsetune.sparsity.account.exactness import as_warnings, computed_names, exactness_problems
from sparsetune.sparsity.account.trace import Example, ForwardTrace, is_meta, trace_forward
from sparsetune.spec.sparsity import TAKEN_AWAY, SparsitySpec
from sparsetune.tasks.models import build_model, meta_model
from sparsetune.tasks.nested import Nested


class Network(Protocol):
    """Model by name, with the sizes that the task gives it."""

    @property
    def name(self) -> str:
        """Name of the model, as the task gives it."""

    @property
    def outputs(self) -> int:
        """Number of outputs of an example: the classes, or how many numbers are predicted."""

    @property
    def input_text(self) -> str:
        """Inputs in words, for messages."""

    def __hash__(self) -> int:
        """Hash of name and sizes: equal networks share entries of caches."""

    def build(self) -> nn.Module:
        """Fresh network; untrained parts are drawn from torch's global generator.

        Raises:
            DeclarationError: if the name is unknown.
            DataError: if its trained weights are missing.
        """

    def meta(self) -> nn.Module:
        """Network on the meta device: all shapes, and no memory; with values where its building
        looks at them.
        """

    def example(self) -> Example:
        """Inputs of one example of full size, on the meta device."""

    def among(self, model: nn.Module, named: Sequence[str]) -> Collection[str] | None:
        """Names of the weights that are pruned unless they are named, of a network from `build` or
        `meta`; None where these are all linear and convolution layers.

        Args:
            model: The network.
            named: Patterns of parameters that the declaration names.

        Raises:
            DeclarationError: if the network is not one whose layers can be told apart.
        """

    def output_problem(self, outputs: Any) -> str | None:
        """Rule that outputs for `example` break, in words; None where they fit.

        Args:
            outputs: What the network gave, on the meta device.
        """


@dataclass(frozen=True)
class ImageNetwork:
    """Network for images: every linear and convolution layer may be pruned.

    Args:
        name: A key of `MODELS`, a classification model of torchvision, or
            ``package.module:function``.
        input_shape: Shape of one example, (channels, height, width).
        outputs: Number of classes.
    """

    name: str
    input_shape: tuple[int, ...]
    outputs: int

    def build(self) -> nn.Module:
        """See `Network`."""
        return build_model(self.name, self.input_shape, self.outputs)

    def meta(self) -> nn.Module:
        """See `Network`."""
        return meta_model(self.name, self.input_shape, self.outputs)

    def example(self) -> torch.Tensor:
        """See `Network`."""
        return torch.empty((1, *self.input_shape), device="meta")

    def among(self, model: nn.Module, named: Sequence[str]) -> None:
        """See `Network`."""

    @property
    def input_text(self) -> str:
        """See `Network`."""
        return f"inputs of shape {self.input_shape}"

    def output_problem(self, outputs: Any) -> str | None:
        """See `Network`."""
        return logits_problem(outputs, self.outputs)

    def at(self, side: int) -> ImageNetwork:
        """Network for square images of another size, ``side`` pixels."""
        return replace(self, input_shape=(self.input_shape[0], side, side))


@dataclass(frozen=True)
class Outline:
    """A network before training, examined by one forward pass.

    Args:
        network: How it is built.
        model: The network: on the meta device, or with values where it looks at them.
        trace: Trace of the forward pass of one example.
    """

    network: Network
    model: nn.Module
    trace: ForwardTrace
    _accounts: dict[tuple[object, ...], Account] = field(default_factory=dict, compare=False)
    _inexact: dict[tuple[str, ...], list[Problem]] = field(default_factory=dict, compare=False)

    def account(self, sparsity: SparsitySpec) -> Account:
        """Account of its parameters under a declaration."""
        spec = sparsity.resolved()
        key = (spec.prunes, spec.layers, spec.spared, spec.allocation, spec.prunable_by)
        if key not in self._accounts:
            account = network_account(self.network, self.model, self.trace, sparsity)
            self._accounts[key] = account
        return self._accounts[key]

    def exactness_problems(self, account: Account, sparsity: SparsitySpec) -> list[Problem]:
        """Problems of weights that are computed from what is pruned.

        Only values show them: a network on the meta device is built once more.
        """
        names = tuple(computed_names(account, self.trace))
        if names and names not in self._inexact:
            model = self.model
            if is_meta(model):
                with seeded_generators(0):
                    model = self.network.build()
            example = self.network.example()
            self._inexact[names] = exactness_problems(model, example, account, names)
        return as_warnings(self._inexact.get(names, []), sparsity)


def outline_of(network: Network) -> Outline:
    """Examine a network, without memory where it allows that.

    Raises:
        DeclarationError: if it cannot be built.
        Exception: whatever its forward pass raises.
    """
    model = network.meta()
    example = network.example()
    try:
        return Outline(network, model, trace_forward(model, example))
    except Exception:  # the forward pass may look at values, in any way
        if not is_meta(model):
            raise
    with seeded_generators(0):
        model = network.build()
    return Outline(network, model, trace_forward(model, example))


def network_account(
    network: Network, model: nn.Module, trace: ForwardTrace, sparsity: SparsitySpec
) -> Account:
    """Account of a network's parameters under a declaration.

    Raises:
        DeclarationError: if its layers cannot be told apart.
    """
    named = [entry.removeprefix(TAKEN_AWAY) for entry in sparsity.layer_patterns()]
    return account_for(model, sparsity, trace, network.among(model, named))


def logits_problem(outputs: Any, count: int) -> str | None:
    """Rule that the outputs of a classifier for one example break; None where they fit."""
    if tuple(outputs.shape) == (1, count):
        return None
    return f"the network must return logits of shape (n, {count})"


def compute_outputs(network: Any, inputs: Nested) -> Any:
    """Outputs of a batch: of classifiers logits, (n, classes).

    Args:
        network: A module, compiled or not. Several inputs are its arguments, inputs by name its
            keyword arguments. Where it answers with an object that has ``logits``, as models of
            transformers do, these are its outputs.
        inputs: The batch.
    """
    if isinstance(inputs, torch.Tensor):
        return outputs_of(network(inputs))
    if isinstance(inputs, Mapping):
        return outputs_of(network(**inputs))
    return outputs_of(network(*inputs))


def outputs_of(outputs: Any) -> Any:
    """Outputs in what a network answers: `compute_outputs`' return value."""
    if isinstance(outputs, torch.Tensor):
        return outputs
    return getattr(outputs, "logits", outputs)
