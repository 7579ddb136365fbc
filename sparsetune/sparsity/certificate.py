"""The certificate of a trial: proof that its final weights have the sparsity that was asked for."""

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
    account: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Certificate: what was asked and what is there, by layer and in all, as plain JSON values.

    Args:
        weights: Effective prunable weights of the model as they were saved.
        masks: Final masks: True where a weight is kept.
        groups: The request: layers that compete, and how many of their weights are pruned.
        pattern: ``unstructured`` or ``N:M``, which then holds in every layer that is pruned.
        parameters: Number of parameters of the whole network; by default the prunable weights.
        account: What becomes of each parameter of two or more dimensions, as plain JSON values; see
            `sparsetune.sparsity.account.account.AccountRow`.

    Returns:
        ``layers``, each with ``name shape weights kept zeros outside_mask`` and ``asked``, the
        weights it should keep (None where layers compete); ``weights kept pruned zeros asked``
        over all layers; ``sparsity`` of the prunable weights; ``parameters`` and
        ``sparsity_of_parameters``; ``pattern``; ``account``; and ``faults``, sentences, empty
        if all is well. ``zeros`` counts exact zeros, also inside the mask, where they are no fault;
        ``outside_mask`` counts weights outside it that are not zero.
    """
    layers = []
    for name, weight in weights.items():
        layers.append(_layer_counts(name, weight.detach(), masks[name], groups))
    totals = {key: sum(layer[key] for layer in layers) for key in ("weights", "kept", "zeros")}
    pruned = totals["weights"] - totals["kept"]
    parameters = parameters or totals["weights"] or 1
    faults = [
        *_leak_faults(layers),
        *_count_faults(layers, groups),
        *_pattern_faults(weights, masks, groups, pattern),
    ]
    return {
        "layers": layers,
        **totals,
        "pruned": pruned,
        "asked": totals["weights"] - sum(group.pruned for group in groups),
        "sparsity": pruned / totals["weights"] if totals["weights"] else 0.0,
        "parameters": parameters,
        "sparsity_of_parameters": pruned / parameters,
        "pattern": pattern,
        "account": [dict(row) for row in account],
        "faults": faults,
    }


def _layer_counts(
    name: str, weight: torch.Tensor, mask: torch.Tensor, groups: Sequence[LayerGroup]
) -> dict[str, Any]:
    """Counts of one layer, asked for and found; see `certify`."""
    asked = None
    for group in groups:
        if group.names == (name,):
            asked = weight.numel() - group.pruned
    return {
        "name": name,
        "shape": list(weight.shape),
        "weights": weight.numel(),
        "kept": count_nonzero([mask]),
        "asked": asked,
        "zeros": weight.numel() - count_nonzero([weight]),
        "outside_mask": count_nonzero([weight.masked_fill(mask.to(weight.device), 0)]),
    }


def _leak_faults(layers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Layers with weights outside the mask that are not zero."""
    for layer in layers:
        leaked = layer["outside_mask"]
        if leaked:
            yield f"`{layer['name']}` has {leaked} weights outside its mask that are not zero"


def _count_faults(
    layers: Sequence[Mapping[str, Any]], groups: Sequence[LayerGroup]
) -> Iterator[str]:
    """Groups that prune another number of weights than was asked."""
    pruned_in = {layer["name"]: layer["weights"] - layer["kept"] for layer in layers}
    for group in groups:
        pruned = sum(pruned_in[name] for name in group.names)
        if pruned == group.pruned:
            continue
        if len(group.names) == 1:
            where = f"`{group.names[0]}`"
        else:
            where = f"all {len(group.names)} layers together"
        yield f"{where}: {pruned} weights are pruned where {group.pruned} were asked"


def _pattern_faults(
    weights: Mapping[str, torch.Tensor], masks: Masks, groups: Sequence[LayerGroup], pattern: str
) -> Iterator[str]:
    """Pruned layers in which groups of M keep more than N weights."""
    n_m = parse_pattern(pattern)
    if n_m is None:
        return
    n, m = n_m
    pruned = [name for group in groups if group.pruned for name in group.names]
    for name in pruned:
        # The mask too: weights that happen to be zero could hide a mask out of pattern.
        broken = max(n_m_faults(masks[name], n, m), n_m_faults(weights[name], n, m))
        if broken:
            yield f"`{name}` has {broken} groups of {m} weights that keep more than {n}"
