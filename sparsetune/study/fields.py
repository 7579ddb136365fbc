"""The fields of a study's declaration, without what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from sparsetune.spec import TrialSpec, flatten_values
from sparsetune.spec.declaration import Declaration
from sparsetune.study.budget import Budget
from sparsetune.study.samplers import Sampler, Sobol
from sparsetune.study.space import Axis, Value
from sparsetune.study.stopping import Halving

SweepValues = Annotated[tuple[Value, ...], Field(min_length=1)]
FIRST_REPORT_SEED = 1000
"""Report seeds start this far above search seeds, so that both can be extended without meeting."""


class Arm(Declaration):
    """A named bundle of overrides of the base: a method with its recipe, and axes of its own."""

    positional: ClassVar[tuple[str, ...]] = ("overrides",)
    overrides: dict[str, Any] = {}
    sweep: dict[str, SweepValues] = {}
    search: dict[str, Axis] = {}

    if TYPE_CHECKING:

        def __init__(
            self,
            overrides: Mapping[str, Any] = ...,
            *,
            sweep: Mapping[str, Any] = ...,
            search: Mapping[str, Any] = ...,
        ) -> None: ...


class _Objective(Declaration):
    positional: ClassVar[tuple[str, ...]] = ("column",)
    column: str

    if TYPE_CHECKING:

        def __init__(self, column: str) -> None: ...


class Minimize(_Objective):
    """Prefer the configuration with the lowest value of a history column at the final step."""

    kind: Literal["minimize"] = "minimize"


class Maximize(_Objective):
    """Prefer the configuration with the highest value of a history column at the final step."""

    kind: Literal["maximize"] = "maximize"


Objective = Annotated[Minimize | Maximize, Field(discriminator="kind")]


class Quick(Declaration):
    """The study's one-minute form: values that replace the study's own."""

    overrides: dict[str, Any] = {}
    sweep: dict[str, SweepValues] = {}
    arms: dict[str, Arm] = {}
    """For arms that need it: all overrides, and values of a sweep axis. Other axes of arms are
    taken at their ends."""
    configurations_per_cell: int = Field(default=2, ge=1)
    search_seeds: int = Field(default=1, ge=1)
    report_seeds: int = Field(default=2, ge=1)


class StudyFields(Declaration):
    """Fields of a study, and the arms that they declare."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
    question: str = ""
    base: TrialSpec = TrialSpec()
    arms: dict[str, Arm] = {}
    sweep: dict[str, SweepValues] = {}
    search: dict[str, Axis] = {}
    known: tuple[dict[str, Value], ...] = ()
    """Points of the search space that every cell tries first. A cell takes the fields of a point
    that apply in it."""
    objective: Objective = Minimize(column="val_error")
    sampler: Sampler = Sobol()
    stopping: Halving | None = None
    """Rule that ends search configurations early; None: all train to their end."""
    equal: Literal["epochs", "train_flops"] = "epochs"
    """Cost that sparse networks share with their dense twins. Under ``train_flops`` each trains
    longer, by a stretch that is planned from the densities known in advance; epochs and multiplier
    are then the dense network's."""
    at_most: Budget | None = None
    """Highest cost of a search configuration; one that would cost more is not tried."""
    configurations_per_cell: int = Field(default=8, ge=1)
    search_seeds: int = Field(default=1, ge=1, le=FIRST_REPORT_SEED)
    report_seeds: int = Field(default=3, ge=1)
    seed: int = Field(default=0, ge=0)
    quick_form: Quick | None = None

    def method(self) -> str:
        """The base's method, also where the base is faulty."""
        return str(flatten_values(self.base.given()).get("sparsity.method", "dense"))

    def declared_arms(self) -> dict[str, Arm]:
        """The arms; a study that declares none has one, named by its base's method."""
        return self.arms or {self.method(): Arm()}
