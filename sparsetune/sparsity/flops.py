"""FLOPs of a network: multiplications and additions of one example, by the weight that they read.

Biases, norms, activations and the loss are left out. A backward pass costs two forward passes: one
for the gradient of the inputs, one for that of the weights (Evci et al. 2020, arXiv 1911.11134,
appendix H).
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from sparsetune.sparsity.layers import prunable_weights

Example = torch.Tensor | tuple[torch.Tensor, ...] | Mapping[str, torch.Tensor]
"""Input of a network: one tensor, several, or keyword arguments as language models take them."""


@dataclass(frozen=True)
class ForwardFlops:
    """Forward FLOPs of one example through the dense network.

    Args:
        weights: FLOPs that read each prunable weight, by parameter name; over all uses of a shared
            weight.
        other: FLOPs of everything else that multiplies: attention's products, and weights that are
            not prunable.
    """

    weights: dict[str, int]
    other: int = 0

    @property
    def total(self) -> int:
        """FLOPs of the whole dense network."""
        return sum(self.weights.values()) + self.other

    def fraction(self, density: Mapping[str, float]) -> float:
        """FLOPs of a masked forward pass as a fraction of the dense one's, in [0, 1].

        Args:
            density: Density of each prunable weight, in [0, 1], which its FLOPs are multiplied by.
        """
        sparse = sum(cost * density[name] for name, cost in self.weights.items()) + self.other
        return sparse / self.total if self.total else 1.0


def step_cost(forward: float, weight_gradient: float) -> float:
    """Cost of a training step, in steps of the dense network.

    Source: Evci et al. 2020, arXiv 1911.11134, appendix H.

    Args:
        forward: FLOPs of the forward pass as a fraction of the dense one's. The gradient of the
            inputs costs as much.
        weight_gradient: FLOPs of the weights' gradient as a fraction of the dense one's: 1 where
            the gradients of all weights are computed.
    """
    return (2 * forward + weight_gradient) / 3


def forward_flops(
    model: nn.Module,
    input_shape: tuple[int, ...] | None = None,
    *,
    example: Example | None = None,
    prunable: Collection[str] | None = None,
) -> ForwardFlops:
    """Forward FLOPs of one example, counted on the meta device in evaluation mode.

    Args:
        model: Network on any device. It is not changed; its tensors are neither read nor copied.
        input_shape: Shape of one floating-point example, without the batch dimension; or else
        example: One example (a batch of one), such as token ids; only the shapes and types of its
            tensors matter.
        prunable: Names of the weights whose cost falls with their density; by default those of
            every linear and convolution layer.

    Raises:
        ValueError: unless exactly one of ``input_shape`` and ``example`` is given.
    """
    if (input_shape is None) == (example is None):
        raise ValueError(
            f"give either `input_shape` or `example`,"
            f" got {input_shape} and {type(example).__name__}"
        )
    if example is None:
        example = torch.empty((1, *(input_shape or ())), device="meta")
    on_meta = _meta_copy(model).eval()
    if prunable is None:
        weights: dict[str, nn.Parameter] = prunable_weights(on_meta)
    else:
        named = dict(on_meta.named_parameters())
        weights = {name: named[name] for name in prunable}
    with torch.no_grad(), torch.device("meta"), _FlopCounter(weights) as counter:
        if isinstance(example, Mapping):
            on_meta(**{name: _meta_tensor(value) for name, value in example.items()})
        elif isinstance(example, tuple):
            on_meta(*(_meta_tensor(tensor) for tensor in example))
        else:
            on_meta(_meta_tensor(example))
    return ForwardFlops(counter.weights, counter.other)


class _FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the FLOPs of each operation for the one prunable weight that it reads.

    Weights are known by their storage, which their views share: a transposed weight is the weight.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights = dict.fromkeys(weights, 0)
        self.other = 0
        self._names = {weight.untyped_storage(): name for name, weight in weights.items()}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        if formula:
            cost = int(formula(*args, **kwargs, out_val=result))
            self._add(cost, tree_leaves((args, kwargs)))
        return result

    def _add(self, cost: int, arguments: list[Any]) -> None:
        storages = {leaf.untyped_storage() for leaf in arguments if isinstance(leaf, torch.Tensor)}
        read = self._names.keys() & storages
        if len(read) == 1:
            self.weights[self._names[read.pop()]] += cost
        else:
            # No weight is read, or two: how their product would shrink with density is not known.
            self.other += cost


def _meta_copy(model: nn.Module) -> nn.Module:
    """Copy of the model with all its tensors on the meta device, sharing kept.

    It is a copy because a forward pass may keep tensors in the model, such as a cache of positions.
    """
    tensors = [*model.parameters(), *model.buffers()]
    for module in model.modules():
        # Tensors that are plain attributes are in neither list, but would be copied as well.
        tensors += [value for value in vars(module).values() if isinstance(value, torch.Tensor)]
    replaced = {id(tensor): _meta_tensor(tensor) for tensor in tensors}
    # `deepcopy` takes what its memo already holds for an object as the copy of that object.
    return copy.deepcopy(model, replaced)


def _meta_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """Tensor of the same shape and type on the meta device; a parameter for a parameter."""
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, requires_grad=False) if isinstance(tensor, nn.Parameter) else empty
