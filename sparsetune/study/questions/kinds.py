"""Kinds of questions that a study may ask, as they are declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from sparsetune.spec.declaration import Declaration

FRACTION_MARGIN = 0.002
"""Margin of a measure that is a fraction, where none is given: 0.2 points."""


class _Question(Declaration):
    positional: ClassVar[tuple[str, ...]] = ("arm",)
    arm: str | None = None
    """Arm that is asked about. None: every sparse arm, each in a question of its own."""

    if TYPE_CHECKING:

        def __init__(self, arm: str | None = ...) -> None: ...


class _Judged(_Question):
    margin: float | None = Field(default=None, gt=0)
    """Largest effect that counts as none, in units of the score: 0.005 of an accuracy is half a
    point. None: 0.002, which only a score that is a fraction allows."""

    if TYPE_CHECKING:

        def __init__(self, arm: str | None = ..., *, margin: float | None = ...) -> None: ...


class _OfLength(_Judged):
    times: float | None = Field(default=None, gt=1)
    """How many times longer than at its base length the network trains. None: as long as the study
    trains it. The base length is that of the study's `base`, or the shortest one where nothing
    longer than that of the base is swept."""

    if TYPE_CHECKING:

        def __init__(
            self, arm: str | None = ..., *, margin: float | None = ..., times: float | None = ...
        ) -> None: ...


class UnderTrained(_OfLength):
    """Is the network under-trained at its base length? Asked at every sparsity of the arm.

    Its score after longer training is compared with that at the base length. It is under-trained
    if the score rises, over-trained if it falls, and trained enough if it changes by less than the
    margin.
    """

    kind: Literal["under_trained"] = "under_trained"


class ExtensionGain(_OfLength):
    """Does longer training gain more than it gains the dense network? Asked at every sparsity.

    The gain of the dense network is that of its cells of the same lengths, or of the winners' dense
    twins where the study has no such cells.
    """

    kind: Literal["extension"] = "extension"


class RetuningGain(_Judged):
    """Does re-tuning gain over the dense recipe? Asked at every sparsity, at the base length.

    The winner of a cell is compared with the dense network's best recipe, run unchanged.
    """

    kind: Literal["retuning"] = "retuning"


class BestValueMoves(_Question):
    """Does the best value of a searched field move with sparsity, or with the length of training?

    On each search seed, the best value is the mean over the best quarter of the configurations that
    both cells tried, in decades where the axis is logarithmic.
    """

    positional: ClassVar[tuple[str, ...]] = ("arm", "field")
    kind: Literal["best_value"] = "best_value"
    field: str
    """Dotted name of the searched field, a range of numbers."""
    along: Literal["sparsity", "length"] = "sparsity"
    """What the two cells differ in: the arm's highest sparsity against the lowest that searches the
    field, dense included; or the longest training against the base length."""
    margin: float = Field(gt=0)
    """Largest shift that counts as none: in decades of a logarithmic axis, else in its units."""

    if TYPE_CHECKING:

        def __init__(
            self,
            arm: str | None = ...,
            field: str = ...,
            *,
            margin: float,
            along: Literal["sparsity", "length"] = ...,
        ) -> None: ...


class ArmsDiffer(_Judged):
    """Do two arms differ at a sparsity, after the longest training that both have?"""

    positional: ClassVar[tuple[str, ...]] = ("arm", "other")
    kind: Literal["arms_differ"] = "arms_differ"
    arm: str | None = None
    """Arm that is asked about. None: every sparse arm but `other`, each in a question of its
    own."""
    other: str | None = None
    """Arm that it is compared with. None: the first sparse arm."""
    sparsity: float | None = Field(default=None, gt=0, lt=1)
    """Sparsity at which they are compared. None: the highest that both have."""

    if TYPE_CHECKING:

        def __init__(
            self,
            arm: str | None = ...,
            other: str | None = ...,
            *,
            sparsity: float | None = ...,
            margin: float | None = ...,
        ) -> None: ...


class Remaining(_Question):
    """What does the network score at each sparsity? An estimate, without a yes or a no."""

    kind: Literal["remaining"] = "remaining"


Question = Annotated[
    UnderTrained | ExtensionGain | RetuningGain | BestValueMoves | ArmsDiffer | Remaining,
    Field(discriminator="kind"),
]
QUESTION_CLASSES: tuple[type[_Question], ...] = (
    UnderTrained,
    ExtensionGain,
    RetuningGain,
    BestValueMoves,
    ArmsDiffer,
    Remaining,
)


def is_settled_by_seeds(question: Question) -> bool:
    """True if report seeds can answer the question with yes or no.

    A score is an estimate, and the best value of a field is chosen from search runs.
    """
    return not isinstance(question, Remaining | BestValueMoves)
