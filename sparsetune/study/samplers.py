"""Samplers: how the search of a cell chooses its configurations.

`sparsetune.search.sampling` carries them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue

from sparsetune.spec.declaration import MAX_COUNT, Declaration


class Sobol(Declaration):
    """A scrambled Sobol sequence.

    Point k is a function of the study's seed and k, the same in every cell.
    """

    kind: Literal["sobol"] = "sobol"


class Random(Declaration):
    """Independent uniform points.

    Point k is a function of the study's seed and k, the same in every cell.
    """

    kind: Literal["random"] = "random"


class Grid(Declaration):
    """Every combination of the cell's search axes, with all options and all whole numbers."""

    kind: Literal["grid"] = "grid"
    points: int | None = Field(default=None, ge=2, le=MAX_COUNT)
    """Number of values in every range of real numbers, both ends included, evenly spaced on the
    axis's own scale."""


class TPE(Declaration):
    """Optuna's tree-structured Parzen estimator, per cell, after ``n_startup`` random points."""

    kind: Literal["tpe"] = "tpe"
    # No default: Optuna's own, 10, is more than the configurations that a cell has by default.
    n_startup: int = Field(ge=1, le=MAX_COUNT)
    """Random points before the sampler adapts; below half of `configurations_per_cell`."""


class OptunaSampler(Declaration):
    """An adaptive sampler of Optuna, by its name in `optuna.samplers`, after ``n_startup`` random
    points.

    Its seed and its own start-up count are the study's to set; every other argument may be given.
    """

    positional: ClassVar[tuple[str, ...]] = ("name", "arguments")
    kind: Literal["optuna"] = "optuna"
    name: str
    """Name of the class, such as ``CmaEsSampler``."""
    arguments: dict[str, JsonValue] = {}
    """Arguments of the class as plain JSON values, since they are stored with the study."""
    n_startup: int = Field(ge=1, le=MAX_COUNT)
    """Random points before the sampler adapts; below half of `configurations_per_cell`."""

    if TYPE_CHECKING:

        def __init__(
            self, name: str, arguments: Mapping[str, Any] = ..., *, n_startup: int
        ) -> None: ...


Sampler = Annotated[Sobol | Random | Grid | TPE | OptunaSampler, Field(discriminator="kind")]
Adaptive = TPE | OptunaSampler
"""Samplers whose next point depends on the objectives of the finished ones."""
