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


class GP(Declaration):
    """A Gaussian process with noise, per cell, after Sobol points that all cells share.

    Optuna's `GPSampler` proposes where the expected improvement is largest. Configurations that a
    rung stopped, or of which a seed diverged, count with an objective that is assumed: see
    `sparsetune.search.sampling.gaussian_process`. Below `MIN_GP_CONFIGURATIONS` a cell, all points
    are Sobol's.
    """

    kind: Literal["gp"] = "gp"
    n_startup: int | None = Field(default=None, ge=1, le=MAX_COUNT)
    """Sobol points before the process proposes, besides base, control and known points; by default
    10, and fewer than half of `configurations_per_cell`. Below half of them."""


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


Sampler = Annotated[Sobol | Random | Grid | TPE | GP | OptunaSampler, Field(discriminator="kind")]
Adaptive = TPE | GP | OptunaSampler
"""Samplers whose next point depends on the objectives of the finished ones."""
MIN_GP_CONFIGURATIONS = 16
"""Configurations of a cell from which on `GP` adapts, unless its start-up is declared."""
MAX_GP_STARTUP = 10
"""Start-up of `GP` at most, unless it is declared: so many points cells must share to be compared
by their best values."""


def startup_points(sampler: Adaptive, configurations: int) -> int:
    """Points of a cell that an adaptive sampler does not choose by results.

    Args:
        sampler: The sampler.
        configurations: Configurations of the cell.
    """
    if not isinstance(sampler, GP):
        return sampler.n_startup
    if sampler.n_startup is not None:
        return sampler.n_startup
    if configurations < MIN_GP_CONFIGURATIONS:
        return configurations
    return min(MAX_GP_STARTUP, configurations // 2 - 1)
