"""A user's data: what their function returns, checked, with every tensor in a plain form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from sparsetune.errors import DataError, first_line
from sparsetune.imports import asked_names, call_by_name
from sparsetune.seeds import derived_seed, seeded_generators
from sparsetune.spec.task import CustomTask
from sparsetune.spec.task.sizes import Option
from sparsetune.tasks.data_roots import given_root
from sparsetune.tasks.nested import (
    Nested,
    concatenate,
    count_examples,
    map_tensors,
    tensors_of,
)

PARTS = ("train", "validation", "test")
FURTHER_KEYS = ("n_outputs", "class_names", "collate")
"""What a data function may return beside the parts."""
READ_TOGETHER = 256
"""Examples of a torch data set that are read at once where all targets are needed."""

Collate = Callable[[list[Any]], Any]
"""Function from a list of examples to a batch of inputs and targets."""


@dataclass(frozen=True)
class TensorPart:
    """Examples in memory.

    Args:
        inputs: Inputs of the network, (n, …) each.
        targets: Targets of the loss, (n, …) each.
    """

    inputs: Nested
    targets: Nested

    def __len__(self) -> int:
        return count_examples(self.targets)

    def batch(self, index: torch.Tensor) -> tuple[Nested, Nested]:
        """Inputs and targets of some examples."""
        inputs: Nested = map_tensors(lambda tensor: tensor[index], self.inputs)
        targets: Nested = map_tensors(lambda tensor: tensor[index], self.targets)
        return inputs, targets

    def all_targets(self) -> Nested:
        """Targets of every example."""
        return self.targets


@dataclass(frozen=True)
class DatasetPart:
    """Examples of a map-style torch data set, read when they are needed.

    Args:
        dataset: The data set, whose items are (inputs, targets).
        collate: Makes a batch of a list of items.
        field: Where it comes from, for messages.
    """

    dataset: Any
    collate: Collate
    field: str

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, index: torch.Tensor) -> tuple[Nested, Nested]:
        """Inputs and targets of some examples.

        Raises:
            DataError: if an example cannot be read.
        """
        try:
            collated = self.collate([self.dataset[i] for i in index.tolist()])
        except Exception as error:  # a user's data set may raise anything
            got = f"{type(error).__name__}: {first_line(error)}"
            raise DataError(f"{self.field} must give examples that make a batch, got {got}") from (
                error
            )
        return _checked_pair(collated, self.field)

    def all_targets(self) -> Nested:
        """Targets of every example; all examples are read."""
        batches = torch.split(torch.arange(len(self)), READ_TOGETHER)
        return concatenate([self.batch(index)[1] for index in batches])


Part = TensorPart | DatasetPart


@dataclass(frozen=True)
class CustomData:
    """Everything that a data function returned.

    Args:
        parts: ``train``, ``test`` and maybe ``validation``.
        n_outputs: Outputs that the model is asked for, where the function says so.
        class_names: Names of the classes, where it gives them.
    """

    parts: Mapping[str, Part]
    n_outputs: int | None
    class_names: tuple[str, ...]


def data_options(task: CustomTask) -> dict[str, Option]:
    """Options that the data function asks for, with their values.

    Raises:
        DeclarationError: if it cannot be imported, or asks for something else.
    """
    asked = asked_names(task.data, "task.data", {**task.options, "data_root": None})
    return {name: task.options[name] for name in asked if name in task.options}


def read_data(task: CustomTask, data_root: Path | None) -> CustomData:
    """What the task's data function returns; read once in a process for equal options.

    Raises:
        DeclarationError: if the function cannot be imported or called.
        DataError: if it returns something else than data that can be learned from.
    """
    options = tuple(sorted(data_options(task).items()))
    return _read_data(task.data, options, given_root(data_root))


def forget_data() -> None:
    """Free the memory of all data that were read."""
    _read_data.cache_clear()


# Few, since data may take much memory.
@lru_cache(maxsize=2)
def _read_data(
    path: str, options: tuple[tuple[str, Option], ...], data_root: Path | None
) -> CustomData:
    # Drawn from global generators, equal data in every process.
    with seeded_generators(derived_seed(0, "data")):
        returned = call_by_name(path, "task.data", {**dict(options), "data_root": data_root})
    named = f"`{path}`"
    if not isinstance(returned, Mapping):
        rule = f"{named} must return a dictionary with `train` and `test`"
        raise DataError(f"{rule}, got {type(returned).__name__}")
    unknown = [str(key) for key in returned if key not in (*PARTS, *FURTHER_KEYS)]
    if unknown:
        valid = ", ".join((*PARTS, *FURTHER_KEYS))
        raise DataError(f"{named} may return {valid}, got {', '.join(unknown)}")
    missing = [name for name in ("train", "test") if name not in returned]
    if missing:
        rule = f"{named} must return `train` and `test`"
        raise DataError(f"{rule}, got {', '.join(map(str, returned)) or 'nothing'}")
    collate = returned.get("collate") or default_collate
    parts = {}
    for name in PARTS:
        if name in returned:
            parts[name] = _as_part(returned[name], collate, f"{named}: `{name}`")
    n_outputs = returned.get("n_outputs")
    class_names = tuple(str(name) for name in returned.get("class_names") or ())
    return CustomData(parts, None if n_outputs is None else int(n_outputs), class_names)


def _as_part(value: Any, collate: Collate, field: str) -> Part:
    """One part, checked.

    Raises:
        DataError: if it is empty, its lengths differ, or it holds NaN.
    """
    is_dataset = hasattr(value, "__getitem__") and hasattr(value, "__len__")
    if not isinstance(value, tuple | list) and is_dataset:
        part = DatasetPart(value, collate, field)
        if not len(part):
            raise DataError(f"{field} must hold examples, and holds none")
        _require_same_twice(part)
        inputs, targets = part.batch(torch.arange(1))
        _require_finite(inputs, f"{field}, inputs")
        _require_finite(targets, f"{field}, targets")
        return part
    if len(value) != 2:
        rule = f"{field} must be (inputs, targets) or a torch data set"
        raise DataError(f"{rule}, got {len(value)} values")
    inputs, targets = _checked_pair(value, field)
    lengths = {len(tensor) for tensor in (*tensors_of(inputs), *tensors_of(targets))}
    if len(lengths) != 1:
        listed = ", ".join(map(str, sorted(lengths)))
        raise DataError(f"{field} must have as many inputs as targets, got lengths of {listed}")
    if lengths == {0}:
        raise DataError(f"{field} must hold examples, and holds none")
    _require_finite(inputs, f"{field}, inputs")
    _require_finite(targets, f"{field}, targets")
    return TensorPart(inputs, targets)


def _require_same_twice(part: DatasetPart) -> None:
    first = part.batch(torch.arange(1))
    second = part.batch(torch.arange(1))
    for one, other in zip(first, second, strict=True):
        pairs = zip(tensors_of(one), tensors_of(other), strict=True)
        if any(not torch.equal(a, b) for a, b in pairs):
            raise DataError(
                f"{part.field} must give the same example each time, and its first one differs:"
                " leave random changes to `task.augment`, or a resumed trial would differ"
            )


def _checked_pair(value: Any, field: str) -> tuple[Nested, Nested]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        rule = f"{field} must give (inputs, targets)"
        raise DataError(f"{rule}, got {type(value).__name__}")
    return _as_nested(value[0], f"{field}, inputs"), _as_nested(value[1], f"{field}, targets")


def _as_nested(value: Any, field: str) -> Nested:
    """Tensors in a plain form: floats in single precision, integers in 64 bits."""
    if isinstance(value, list | tuple) and value and not _is_number(value[0]):
        return tuple(_as_tensor(item, field) for item in value)
    if isinstance(value, Mapping):
        return {str(name): _as_tensor(item, f"{field}.{name}") for name, item in value.items()}
    return _as_tensor(value, field)


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float | np.number)


def _as_tensor(value: Any, field: str) -> torch.Tensor:
    try:
        tensor = torch.as_tensor(np.asarray(value) if not torch.is_tensor(value) else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{field} must be numbers, got {type(value).__name__}") from error
    if tensor.dim() == 0:
        raise DataError(f"{field} must hold a value for each example, got one number")
    if tensor.is_complex():
        raise DataError(f"{field} must be real numbers, got {tensor.dtype}")
    # Bytes are pixels, and a network multiplies them.
    if tensor.is_floating_point() or tensor.dtype == torch.uint8:
        return tensor.float()
    return tensor.long()


def _require_finite(nested: Nested, field: str) -> None:
    for tensor in tensors_of(nested):
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            broken = int((~torch.isfinite(tensor)).sum())
            raise DataError(
                f"{field} must be finite numbers, got {broken:,} NaN or infinite ones; fill or"
                " leave out those examples"
            )
