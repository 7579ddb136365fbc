"""The proof, at the end of a trial, that its weights have the sparsity that was asked for, counted layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.sparsity.masks.exact import Masks, count_nonzero
from sparsetune.sparsity.masks.patterns import n_m_faults
from sparsetune.spec.sparsity import parse_pattern


def certify(
    weights: Mapping[str, torch.Tensor],
    masks: Masks,
    groups: Sequence[LayerGroup],
    pattern: str = "unstructured",
    parameters: int | None = None,
) -> dict[str, Any]:
    """What was asked and what is there, per layer and in all, as plain JSON values.

    Args:
        weights: The model's prunable weights, effective ones, as they were saved.
        masks: The final masks: True where a weight is kept.
        groups: The request: which layers compete, and how many of their weights are pruned.
        pattern: ``unstructured`` or ``N:M``, which then holds in every layer that is pruned.
        parameters: Of the whole network; the prunable weights by default.

    Returns:
        ``layers`` (each with ``name shape weights kept zeros outside_mask`` and ``asked``, how many it should keep;
        None where layers compete); ``weights kept pruned zeros asked`` over all; ``sparsity``, of the prunable weights;
        ``parameters`` and ``sparsity_of_parameters``, of all; ``pattern``; and ``faults``: empty if all is well.
        ``zeros`` counts exact zeros, inside the mask too, where they are no fault.
    """
    layers = [
        _layer_facts(name, weight.detach(), masks[name], groups) for name, weight in weights.items()
    ]
    totals = {key: sum(layer[key] for layer in layers) for key in ("weights", "kept", "zeros")}
    pruned = totals["weights"] - totals["kept"]
    parameters = parameters or totals["weights"]
    return {
        "layers": layers,
        **totals,
        "pruned": pruned,
        "asked": totals["weights"] - sum(group.pruned for group in groups),
        "sparsity": pruned / totals["weights"],
        "parameters": parameters,
        "sparsity_of_parameters": pruned / parameters,
        "pattern": pattern,
        "faults": [
            *_leak_faults(layers),
            *_count_faults(layers, groups),
            *_pattern_faults(weights, masks, groups, pattern),
        ],
    }


def _layer_facts(
    name: str, weight: torch.Tensor, mask: torch.Tensor, groups: Sequence[LayerGroup]
) -> dict[str, Any]:
    alone = {group.names[0]: group.pruned for group in groups if len(group.names) == 1}
    return {
        "name": name,
        "shape": list(weight.shape),
        "weights": weight.numel(),
        "kept": count_nonzero([mask]),
        "asked": weight.numel() - alone[name] if name in alone else None,
        "zeros": weight.numel() - count_nonzero([weight]),
        "outside_mask": count_nonzero([weight.masked_fill(mask.to(weight.device), 0)]),
    }


def _leak_faults(layers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for layer in layers:
        if layer["outside_mask"]:
            yield f"`{layer['name']}` has {layer['outside_mask']} weights outside its mask that are not zero"


def _count_faults(
    layers: Sequence[Mapping[str, Any]], groups: Sequence[LayerGroup]
) -> Iterator[str]:
    pruned_in = {layer["name"]: layer["weights"] - layer["kept"] for layer in layers}
    for group in groups:
        pruned = sum(pruned_in[name] for name in group.names)
        if pruned != group.pruned:
            where = (
                f"`{group.names[0]}`"
                if len(group.names) == 1
                else f"all {len(group.names)} layers together"
            )
            yield f"{where}: {pruned} weights are pruned where {group.pruned} were asked"


def _pattern_faults(
    weights: Mapping[str, torch.Tensor], masks: Masks, groups: Sequence[LayerGroup], pattern: str
) -> Iterator[str]:
    if (n_m := parse_pattern(pattern)) is None:
        return
    for name in (name for group in groups if group.pruned for name in group.names):
        if broken := max(n_m_faults(masks[name], *n_m), n_m_faults(weights[name], *n_m)):
            yield f"`{name}` has {broken} groups of {n_m[1]} weights that keep more than {n_m[0]}"
