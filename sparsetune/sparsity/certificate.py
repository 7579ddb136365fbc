"""The proof, at the end of a trial, that its weights have the sparsity that was asked for, counted layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sparsetune.sparsity.allocation import Group
from sparsetune.sparsity.masks import Masks, count


def certify(weights: Mapping[str, torch.Tensor], masks: Masks, groups: Sequence[Group]) -> dict[str, Any]:
    """What was asked and what is there, per layer and in all, as plain JSON values.

    Args:
        weights: The model's prunable weights.
        masks: The final masks: True where a weight is kept.
        groups: The request: which layers compete, and how many of their weights are pruned.

    Returns:
        ``layers`` (each with ``name shape weights kept zeros outside_mask`` and ``asked``, how many it should keep;
        None where layers compete), ``weights kept zeros asked`` over all, and ``faults``: empty if all is well.
    """
    layers = [_layer(name, weight.detach(), masks[name], groups) for name, weight in weights.items()]
    kept = {layer["name"]: layer["kept"] for layer in layers}
    sizes = {layer["name"]: layer["weights"] for layer in layers}
    faults = [
        f"`{layer['name']}` has {layer['outside_mask']} weights outside its mask that are not zero"
        for layer in layers
        if layer["outside_mask"]
    ]
    for group in groups:
        pruned = sum(sizes[name] - kept[name] for name in group.names)
        if pruned != group.pruned:
            where = f"`{group.names[0]}`" if len(group.names) == 1 else f"all {len(group.names)} layers together"
            faults.append(f"{where}: {pruned} weights are pruned where {group.pruned} were asked")
    totals = {key: sum(layer[key] for layer in layers) for key in ("weights", "kept", "zeros")}
    asked = totals["weights"] - sum(group.pruned for group in groups)
    return {"layers": layers, **totals, "asked": asked, "faults": faults}


def _layer(name: str, weight: torch.Tensor, mask: torch.Tensor, groups: Sequence[Group]) -> dict[str, Any]:
    alone = {group.names[0]: group.pruned for group in groups if len(group.names) == 1}
    return {
        "name": name,
        "shape": list(weight.shape),
        "weights": weight.numel(),
        "kept": count([mask]),
        "asked": weight.numel() - alone[name] if name in alone else None,
        "zeros": weight.numel() - count([weight]),
        "outside_mask": count([weight.masked_fill(mask, 0)]),
    }
