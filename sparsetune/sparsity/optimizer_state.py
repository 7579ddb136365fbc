"""What becomes of an optimizer's slots, its momentum and moments, where the mask changes."""

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
    """Zero momentum and both moments of weights that come back; step counts are a whole tensor's and stay.

    Args:
        optimizer: Any whose slots have their parameter's shape; one that has made no step yet has nothing to zero.
        grown: Pairs of a parameter, the very one that the optimizer holds, and a mask: True where weights come back.

    Raises:
        ValueError: if the optimizer does not hold a parameter.
    """
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for parameter, mask in grown:
        if id(parameter) not in held:
            raise ValueError(
                f"the optimizer must hold the parameter, got another tensor of shape {tuple(parameter.shape)}."
                " Give the parameter itself, not its `detach()` or `data`"
            )
        for slot in optimizer.state.get(parameter, {}).values():
            if isinstance(slot, torch.Tensor) and slot.shape == parameter.shape:
                slot.masked_fill_(mask, 0)
