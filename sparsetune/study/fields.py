"""The fields of a study's declaration, without what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from sparsetune.spec import TrialSpec, flatten_values
from sparsetune.spec.declaration import MAX_SEED, Declaration
from sparsetune.study.budget import Budget
from sparsetune.study.questions.kinds import Question
from sparsetune.study.samplers import Sampler, Sobol
from sparsetune.study.space import Axis, DeclaredValue
from sparsetune.study.stopping import Halving

SweepValues = Annotated[tuple[DeclaredValue, ...], Field(min_length=1)]
FIRST_REPORT_SEED = 1000
"""Report seeds start this far above search seeds, so that both can be extended without meeting."""

MAX_CONFIGURATIONS = 10_000
"""Most configurations of a cell."""
MAX_REPORT_SEEDS = 10_000
"""Most report seeds of a winner."""


class Arm(Declaration):
    """A named bundle of overrides of the base: a method with its recipe, and axes of its own."""

    positional: ClassVar[tuple[str, ...]] = ("overrides",)
    overrides: dict[str, Any] = {}
    """Values that replace the base's, by dotted field such as ``sparsity.method``."""
    sweep: dict[str, SweepValues] = {}
    """Sweep axes of this arm alone, by dotted field; over a field of the study's they win."""
    search: dict[str, Axis] = {}
    """Search axes of this arm alone, by dotted field; over a field of the study's they win."""

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
    """Name of the column, one of `sparsetune.spec.columns.OBJECTIVE_COLUMNS`."""

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
    """Values that replace the base's, by dotted field."""
    sweep: dict[str, SweepValues] = {}
    """Values of the study's sweep axes, by dotted field; axes that are left out keep theirs."""
    arms: dict[str, Arm] = {}
    """Overrides, all of them, and values of sweep axes, by arm that needs them. Other axes of arms
    are taken at their ends."""
    configurations_per_cell: int = Field(default=2, ge=1, le=MAX_CONFIGURATIONS)
    """Configurations that the search of each cell tries."""
    search_seeds: int = Field(default=1, ge=1, le=FIRST_REPORT_SEED)
    """Seeds of each configuration."""
    report_seeds: int = Field(default=2, ge=1, le=MAX_REPORT_SEEDS)
    """Fresh seeds of each winner."""
    known_base: bool = False
    """As `Study.known_base`, where the values above put the base outside a searched range."""


class StudyFields(Declaration):
    """Fields of a study, and the arms that they declare."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
    """Name of the study, and of its directory: letters, digits, ``_``, ``.`` and ``-``."""
    question: str = ""
    """The question in words, for the report; it changes nothing that runs."""
    questions: tuple[Question, ...] = ()
    """Questions that the report answers with yes or no; they change nothing that runs. Without any,
    those that follow from the axes: `sparsetune.default_questions`."""
    base: TrialSpec = TrialSpec()
    """The trial that arms and axes vary."""
    arms: dict[str, Arm] = {}
    """Arms by name; none stands for one, named by the base's method."""
    sweep: dict[str, SweepValues] = {}
    """Sweep axes by dotted field, crossed exhaustively: each combination of values is a cell."""
    search: dict[str, Axis] = {}
    """Search axes by dotted field, optimised within each cell."""
    known: tuple[dict[str, DeclaredValue], ...] = ()
    """Points that every cell tries first; they may lie outside the searched ranges. A cell takes
    the fields of a point that apply in it."""
    known_base: bool = False
    """Allow a base, which every cell tries first, outside a searched range: it may win there, but
    no sampler learns from it."""
    objective: Objective = Minimize(column="val_error")
    """Column by which configurations are compared: never one of the test set."""
    sampler: Sampler = Sobol()
    """Sampler of each cell's points, after the base, the control and the known points. Left out, it
    is `GP` from 16 configurations a cell on, with `stopping` as in `EARLY_HALVING`."""
    stopping: Halving | None = None
    """Rule that ends search configurations early; None: all train to their end."""
    equal: Literal["epochs", "train_flops"] = "epochs"
    """Cost that sparse networks share with their dense twins. Under ``train_flops`` each trains
    longer, by a stretch that is planned from the densities known in advance; epochs and multiplier
    are then the dense network's."""
    at_most: Budget | None = None
    """Highest cost of a search configuration; one that would cost more is not tried."""
    budget: Budget | None = None
    """Cost of the whole study: of `configurations_per_cell` and `report_seeds`, those that are left
    out are chosen so that its expected cost is within it."""
    configurations_per_cell: int = Field(default=8, ge=1, le=MAX_CONFIGURATIONS)
    """Configurations that the search of each cell tries, the base and the control among them. Left
    out together with `sampler` and `stopping`, there are 16."""
    # More search seeds would meet the report seeds, which must be fresh.
    search_seeds: int = Field(default=1, ge=1, le=FIRST_REPORT_SEED)
    """Seeds of each configuration; it is compared by their mean."""
    report_seeds: int = Field(default=3, ge=1, le=MAX_REPORT_SEEDS)
    """Fresh seeds on which each winner, its twins and its control are run again."""
    until_settled: int | None = Field(default=None, le=MAX_REPORT_SEEDS)
    """Most report seeds of a cell whose answers stay open: `report_seeds`, doubled one to four
    times. Each doubling is a look at the answers, after which only cells of answers that are not
    settled get further seeds. None: every cell has `report_seeds`."""
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """First search seed, and seed of the sampler."""
    quick_form: Quick | None = None
    """The one-minute form; None: the ends of every sweep axis, with the values of `Quick`."""

    def method(self) -> str:
        """The base's method, also where the base is faulty."""
        # By plain values: a faulty base may have no part `sparsity` to ask.
        return str(flatten_values(self.base.given()).get("sparsity.method", "dense"))

    def looks(self) -> tuple[int, ...]:
        """Report seeds of a cell at each look at the answers that is declared, at least one."""
        seeds = [self.report_seeds]
        while self.until_settled is not None and seeds[-1] < self.until_settled:
            seeds.append(2 * seeds[-1])
        return tuple(seeds)

    def declared_arms(self) -> dict[str, Arm]:
        """The arms; a study that declares none has one, named by its base's method."""
        return self.arms or {self.method(): Arm()}
