"""What a network costs: multiplications and additions of one example, by the weight that they read.

Biases, norms, activations and the loss are left out, and a backward pass costs two forward passes: one for the
gradient of the inputs, one for that of the weights (Evci et al. 2020, appendix H).
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

Example = torch.Tensor | Mapping[str, torch.Tensor]
"""What a network is called with: one tensor, or keyword arguments as language models take them."""


@dataclass(frozen=True)
class ForwardFlops:
    """Forward FLOPs of one example through the dense network.

    Args:
        weights: Of each prunable weight, by parameter name; a shared weight's at every use.
        other: Of everything else that multiplies: attention's products, and weights that are not prunable.
    """

    weights: dict[str, int]
    other: int = 0

    @property
    def total(self) -> int:
        """Of the whole dense network."""
        return sum(self.weights.values()) + self.other

    def fraction(self, density: Mapping[str, float]) -> float:
        """FLOPs of a masked pass as a fraction of the dense one's: a weight's cost falls with its density in [0, 1]."""
        sparse = sum(cost * density[name] for name, cost in self.weights.items()) + self.other
        return sparse / self.total if self.total else 1.0


def step_cost(forward: float, weight_gradient: float) -> float:
    """What a training step costs, in steps of the dense network (Evci et al. 2020, appendix H).

    Args:
        forward: FLOPs of its forward pass as a fraction of the dense one's; the gradient of the inputs costs the same.
        weight_gradient: The same at the density whose weight gradients are computed: 1 where all of them are.
    """
    return (2 * forward + weight_gradient) / 3


def forward_flops(
    model: nn.Module,
    input_shape: tuple[int, ...] | None = None,
    *,
    example: Example | None = None,
    prunable: Collection[str] | None = None,
) -> ForwardFlops:
    """Forward FLOPs of one example, counted on the meta device, in evaluation mode; the model stays as it is.

    Args:
        model: On any device; its tensors are neither read nor copied.
        input_shape: Of one floating-point example, without the batch dimension; or else
        example: One example (a batch of one), such as token ids; of its tensors only shape and type count.
        prunable: Names of the weights whose cost falls with their density; by default every linear and convolution
            layer's.

    Raises:
        ValueError: unless exactly one of ``input_shape`` and ``example`` is given.
    """
    if (input_shape is None) == (example is None):
        raise ValueError(
            f"give either `input_shape` or `example`, got {input_shape} and {type(example).__name__}"
        )
    given = torch.empty((1, *(input_shape or ())), device="meta") if example is None else example
    on_meta = _meta_copy(model).eval()
    if prunable is None:
        weights: dict[str, nn.Parameter] = prunable_weights(on_meta)
    else:
        named = dict(on_meta.named_parameters())
        weights = {name: named[name] for name in prunable}
    with torch.no_grad(), torch.device("meta"), _FlopCounter(weights) as count:
        if isinstance(given, Mapping):
            on_meta(**{name: _meta_tensor(value) for name, value in given.items()})
        else:
            on_meta(_meta_tensor(given))
    return ForwardFlops(count.weights, count.other)


class _FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds what each operation costs to the one weight that it reads; a view of a weight has the weight's storage."""

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
        if formula := flop_registry.get(func.overloadpacket):
            cost = int(formula(*args, **kwargs, out_val=result))
            tensors = [
                leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)
            ]
            read = self._names.keys() & {tensor.untyped_storage() for tensor in tensors}
            if len(read) == 1:
                self.weights[self._names[read.pop()]] += cost
            else:  # how a product of two weights would shrink is not known
                self.other += cost
        return result


def _meta_copy(model: nn.Module) -> nn.Module:
    """The model with all its tensors on the meta device, sharing kept.

    A copy, since a forward pass may keep tensors in the model, such as a cache of positions.
    """
    plain = [
        value
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, torch.Tensor)
    ]
    tensors = [*model.parameters(), *model.buffers(), *plain]
    return copy.deepcopy(model, {id(tensor): _meta_tensor(tensor) for tensor in tensors})


def _meta_tensor(tensor: torch.Tensor) -> torch.Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, requires_grad=False) if isinstance(tensor, nn.Parameter) else empty
