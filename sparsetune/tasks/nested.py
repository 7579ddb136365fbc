"""Inputs, outputs and targets: one tensor, a tuple of tensors, or tensors by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

Nested = torch.Tensor | tuple[torch.Tensor, ...] | dict[str, torch.Tensor]
"""Tensors whose first dimension is the examples."""


def map_tensors(function: Callable[[Any], Any], nested: Any) -> Any:
    """Nested values of the same form, each tensor replaced by what ``function`` returns."""
    if isinstance(nested, Mapping):
        return {name: function(tensor) for name, tensor in nested.items()}
    if isinstance(nested, tuple):
        return tuple(function(tensor) for tensor in nested)
    return function(nested)


def tensors_of(nested: Nested) -> list[torch.Tensor]:
    """All tensors, in order."""
    if isinstance(nested, Mapping):
        return list(nested.values())
    return list(nested) if isinstance(nested, tuple) else [nested]


def count_examples(nested: Nested) -> int:
    """Size of the first dimension."""
    return len(tensors_of(nested)[0])


def concatenate(parts: Sequence[Nested]) -> Nested:
    """Batches of the same form as one, along the examples."""
    columns = zip(*(tensors_of(part) for part in parts), strict=True)
    tensors = tuple(torch.cat(column) for column in columns)
    first = parts[0]
    if isinstance(first, Mapping):
        return dict(zip(first, tensors, strict=True))
    return tensors if isinstance(first, tuple) else tensors[0]


def split_batch(nested: Nested, count: int) -> Iterator[Nested]:
    """Equal parts of a batch, along the examples."""
    if isinstance(nested, torch.Tensor):
        yield from nested.chunk(count)
        return
    chunks = [tensor.chunk(count) for tensor in tensors_of(nested)]
    for parts in zip(*chunks, strict=True):
        yield dict(zip(nested, parts, strict=True)) if isinstance(nested, Mapping) else parts
