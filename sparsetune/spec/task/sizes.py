"""Sizes of data that a launch finds, where a declaration does not say them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from sparsetune.spec.declaration import Declaration

Option = bool | int | float | str | None
"""Value of an option: what JSON can write in one word."""


class TensorSize(Declaration):
    """Shape and type of one input of the network, without the batch dimension."""

    shape: tuple[int, ...] = ()
    """Size of every dimension."""
    dtype: str = "float32"
    """Type of the elements, as torch names it."""


AnySize = TensorSize | tuple[TensorSize, ...] | dict[str, TensorSize]


class DataSizes(Declaration):
    """What a launch learned from the data of a study; no part of any name."""

    data: str
    """Name of the data: the import path of a function, a data set, or a folder."""
    options: dict[str, Option] = Field(default_factory=dict)
    """Options that the function was called with, or fields that say what is read."""
    train: int = Field(ge=1)
    """Examples to train on, those held out for validation among them."""
    validation: int = Field(default=0, ge=0)
    """Examples of a validation part of the data's own; 0 where it is held out of ``train``."""
    test: int = Field(ge=1)
    """Examples of the test part."""
    inputs: AnySize = TensorSize()
    """Inputs of one example: a tensor, several, or several by name; without a shape for texts, and
    for images that are resized as they are read."""
    n_outputs: int = Field(ge=1)
    """Outputs that the model is asked for: classes, or numbers to predict."""
    classes: int = Field(default=0, ge=0)
    """Classes that splits are stratified by; 0 where a target is no class number."""
    class_names: tuple[str, ...] = ()
    """Names of the classes by number; empty where the data give none."""
    mean: tuple[float, ...] = ()
    """Mean of the training inputs, per channel or feature, or one for all; empty unless the task
    normalises by it."""
    deviation: tuple[float, ...] = ()
    """Standard deviation of the training inputs, as ``mean``; 1 where an input never varies."""
    fingerprint: str = ""
    """Twelve hexadecimal digits of the counts, the targets and a sample of the inputs."""

    def __hash__(self) -> int:
        return hash((self.fingerprint, self.train))

    def input_shape(self) -> Any:
        """Shape of an example: a tuple, or one tuple for each of several inputs."""
        if isinstance(self.inputs, Mapping):
            return {name: size.shape for name, size in self.inputs.items()}
        if isinstance(self.inputs, tuple):
            return tuple(size.shape for size in self.inputs)
        return self.inputs.shape
