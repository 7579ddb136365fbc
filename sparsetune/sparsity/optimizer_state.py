"""Reset of an optimizer's momentum and moments where the mask changes.

The optimizer's slots of a weight outside the mask hold gradients of another time: from before the
weight was pruned, or of a network in which it was zero. A weight that comes back would first move
by those. RigL therefore zeroes the slots of grown weights (Evci et al. 2020, arXiv 1911.11134), and
AC/DC all of them where weights are released (Peste et al. 2021, arXiv 2106.12379), as in the
authors' code.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch


def reset_moments(optimizer: torch.optim.Optimizer) -> None:
    """Zero every momentum, moment and step count: the next step is that of a fresh optimizer."""
    for slots in optimizer.state.values():
        for slot in slots.values():
            if isinstance(slot, torch.Tensor):
                slot.zero_()


def reset_grown_moments(
    optimizer: torch.optim.Optimizer, grown: Iterable[tuple[torch.Tensor, torch.Tensor]]
) -> None:
    """Zero momentum and moments of the weights that come back.

    Step counts belong to a whole tensor and stay.

    Args:
        optimizer: Any optimizer whose slots have their parameter's shape. One that has made no step
            yet has nothing to zero.
        grown: Pairs of a parameter, the very one that the optimizer holds, and a mask of its shape
            that is True where weights come back.

    Raises:
        ValueError: if the optimizer does not hold a parameter.
    """
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for parameter, mask in grown:
        if id(parameter) not in held:
            raise ValueError(
                "the optimizer must hold the parameter, got another tensor of shape"
                f" {tuple(parameter.shape)}."
                " Give the parameter itself, not its `detach()` or `data`"
            )
        for slot in optimizer.state.get(parameter, {}).values():
            if isinstance(slot, torch.Tensor) and slot.shape == parameter.shape:
                slot.masked_fill_(mask, 0)
