"""Reset of an optimizer's momentum and moments where the mask changes.

The optimizer's slots of a weight outside the mask hold gradients of another time: from before the
weight was pruned, or of a network in which it was zero. A weight that comes back would first move
by those. RigL therefore zeroes the slots of grown weights (Evci et al. 2020, arXiv 1911.11134), and
AC/DC all of them where weights are released (Peste et al. 2021, arXiv 2106.12379), as in the
authors' code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch


def reset_moments(optimizer: torch.optim.Optimizer) -> None:
    """Reset every momentum, moment and step count: the next step is that of a fresh optimizer.

    They become zero, except where torch's own optimizers start from another value.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            slots = optimizer.state.get(parameter, {})
            if group.get("dampening"):
                slots.clear()  # SGD does not dampen its first step, but does with a buffer of zeros
            for name, slot in slots.items():
                if isinstance(slot, torch.Tensor):
                    slot.fill_(_first_value(optimizer, group, name))


def _first_value(optimizer: torch.optim.Optimizer, group: Mapping[str, Any], name: str) -> float:
    """Value that a slot of a fresh optimizer has, by its name."""
    match optimizer, name:
        case torch.optim.NAdam(), "mu_product":
            return 1.0
        case torch.optim.ASGD(), "mu":
            return 1.0
        case (torch.optim.ASGD(), "eta") | (torch.optim.Rprop(), "step_size"):
            return float(group["lr"])
        case torch.optim.Adagrad(), "sum":
            return float(group["initial_accumulator_value"])
    return 0.0


def reset_grown_moments(
    optimizer: torch.optim.Optimizer, grown: Iterable[tuple[torch.Tensor, torch.Tensor]]
) -> None:
    """Reset momentum and moments of the weights that come back, as `reset_moments` does.

    Step counts and what else belongs to a whole tensor stay.

    Args:
        optimizer: Any optimizer whose slots have their parameter's shape. One that has made no step
            yet has nothing to zero.
        grown: Pairs of a parameter, the very one that the optimizer holds, and a mask of its shape
            that is True where weights come back.

    Raises:
        ValueError: if the optimizer does not hold a parameter.
    """
    group_of = {
        id(parameter): group for group in optimizer.param_groups for parameter in group["params"]
    }
    for parameter, mask in grown:
        if id(parameter) not in group_of:
            raise ValueError(
                "the optimizer must hold the parameter, got another tensor of shape"
                f" {tuple(parameter.shape)}."
                " Give the parameter itself, not its `detach()` or `data`"
            )
        for name, slot in optimizer.state.get(parameter, {}).items():
            if isinstance(slot, torch.Tensor) and slot.shape == parameter.shape:
                slot.masked_fill_(mask, _first_value(optimizer, group_of[id(parameter)], name))
