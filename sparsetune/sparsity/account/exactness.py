"""Proof that zeros in a parameter are zeros in the weight that is computed from it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

import torch
from torch import nn

from sparsetune.errors import Problem
from sparsetune.sparsity.account.account import Account
from sparsetune.sparsity.account.trace import Example, ForwardTrace, copy_to, trace_values
from sparsetune.spec.sparsity import SparsitySpec

ATTEMPTS = 4
"""Patterns of zeros that are tried."""


def computed_names(account: Account, trace: ForwardTrace) -> list[str]:
    """Pruned parameters that are multiplied in another form, whose zeros have to be proved.

    Torch's own weight norm needs no proof.
    """
    pruned = {row.name for row in account.rows if row.status == "pruned"}
    found = pruned & (account.computed.keys() | trace.computed)
    return [layer.name for layer in account.layers if layer.name in found and not layer.norm_dims]


def exactness_problems(
    model: nn.Module, example: Example, account: Account, names: Collection[str]
) -> list[Problem]:
    """Problem of each layer whose weight is not zero where its parameter is.

    Parts of each parameter become zero in a copy of the network, which passes an example forward on
    the CPU: a product must then read no more numbers that are not zero than the parameter has.

    Args:
        model: Network with values. It is not changed.
        example: One example.
        account: Account of the network.
        names: Parameters to prove; see `computed_names`.
    """
    copied = copy_to(model, "cpu")
    parameters = dict(copied.named_parameters())
    inexact: set[str] = set()
    for attempt in range(ATTEMPTS):
        generator = torch.Generator().manual_seed(attempt)
        kept = {}
        for name in names:
            values = _partly_zero(parameters[name].shape, attempt, generator)
            kept[name] = int(values.count_nonzero())
            with torch.no_grad():
                parameters[name].copy_(values)
        try:
            trace = trace_values(copied, example)
        except Exception:  # a network that needs a GPU; its own training then shows what is wrong
            return []
        inexact |= {name for name in names if trace.nonzeros.get(name, 0) > kept[name]}
    return [_problem(name, account) for name in names if name in inexact]


def as_warnings(problems: Iterable[Problem], sparsity: SparsitySpec) -> list[Problem]:
    """Problems of exactness, which a directory that was started without the check has as warnings.

    Args:
        problems: Of `exactness_problems`.
        sparsity: Declaration.
    """
    if sparsity.prunable_by != "modules":
        return list(problems)
    return [replace(problem, severity="warning") for problem in problems]


def _partly_zero(shape: torch.Size, attempt: int, generator: torch.Generator) -> torch.Tensor:
    """Random numbers, half of them zero: the last, the first, or some at random."""
    # Drawn, since weights that start at zero would prove nothing.
    values = torch.rand(shape, generator=generator) + 0.5
    flat = values.view(-1)
    half = flat.numel() // 2
    if attempt == 0:
        flat[half:] = 0
    elif attempt == 1:
        flat[:half] = 0
    else:
        flat *= torch.rand(flat.shape, generator=generator) < 0.5
    return values


def _problem(name: str, account: Account) -> Problem:
    computed = account.computed.get(name)
    by = f" ({computed.by})" if computed else ""
    layer = computed.layer if computed else name.removesuffix(".weight")
    rule = (
        f"the weight of `{layer}` is computed{by}, and where `{name}` is zero it is not: take the"
        f' layer away, `"-{layer}"`'
    )
    return Problem("sparsity.layers", rule)
