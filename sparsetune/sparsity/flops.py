"""FLOPs of a network: multiplications and additions of one example, by the weight that they read.

Biases, norms, activations and the loss are left out. A backward pass costs two forward passes: one
for the gradient of the inputs, one for that of the weights (Evci et al. 2020, arXiv 1911.11134,
appendix H).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from sparsetune.sparsity.account.trace import Example, ForwardTrace, trace_forward
from sparsetune.sparsity.layers import prunable_weights


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
    """Forward FLOPs of one example, counted in evaluation mode; see `trace_forward`.

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
    names = prunable_weights(model) if prunable is None else prunable
    return prunable_flops(trace_forward(model, example), names)


def prunable_flops(
    trace: ForwardTrace, prunable: Collection[str], *, computed: bool = True
) -> ForwardFlops:
    """FLOPs of a traced forward pass, by the one prunable weight that an operation reads.

    Args:
        trace: Trace of one example.
        prunable: Names of the weights whose cost falls with their density.
        computed: Whether products with what is computed from a weight count as the weight's.
    """
    weights = dict.fromkeys(prunable, 0)
    other = 0
    for (names, computed_from), cost in trace.costs.items():
        read = (names | computed_from if computed else names) & weights.keys()
        if len(read) == 1:
            weights[next(iter(read))] += cost
        else:
            # No weight is read, or two: how their product would shrink with density is not known.
            other += cost
    return ForwardFlops(weights, other)
