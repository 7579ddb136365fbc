"""What every task declares: how many examples are trained on, and which are held out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field

from sparsetune.durations import round_half_up
from sparsetune.spec.declaration import MAX_COUNT, MAX_SEED, RESOLVED_FIELD, Declaration
from sparsetune.spec.task.measured import Measured
from sparsetune.spec.task.sizes import DataSizes, Option

if TYPE_CHECKING:
    from sparsetune.spec.task.images import GrowthSpec

Validation = Annotated[float, Field(ge=0)]


def _whole_or_vary(value: object) -> object:
    """A split's seed, so that what is none has one message instead of one for each type."""
    if value == "vary":
        return value
    try:
        number = int(value)  # type: ignore[call-overload]  # whatever a user gave
        is_seed = number == float(value) and 0 <= number <= MAX_SEED  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        is_seed = False
    if not is_seed:
        raise ValueError(f"must be a whole number from 0 to {MAX_SEED:,}, or 'vary'")
    return number


SplitSeed = Annotated[int | Literal["vary"], BeforeValidator(_whole_or_vary)]
SPLIT_FIELDS = (
    "kind",
    "dataset",
    "folder",
    "examples",
    "train_examples",
    "validation",
    "split_seed",
    "train_split",
    "image",
    "text",
    "label",
)
"""Fields of a task that decide which examples are trained on, and in which form."""


class DatasetTask(Declaration):
    """Base of the tasks: how many examples are trained on, and which are held out."""

    has_sparse_start: ClassVar[bool] = False
    """Whether the method ``transfer`` can go on from a sparse model of such a task."""

    batch_size: int = Field(default=128, ge=1, le=MAX_COUNT)
    """Examples of each optimizer step."""
    validation: Validation = 0.1
    """Examples held out of the training set, stratified: a fraction below 1, otherwise a number of
    examples."""
    split_seed: SplitSeed = 0
    """Seed of the split. A number is not the trial's seed: all trials validate on the same
    examples. ``vary``: the trial's seed draws its split too, a source of variance among others
    (Bouthillier et al. 2021, "Accounting for variance in machine learning benchmarks"); trials of
    one seed, such as a dense twin, still share theirs. The test set stays the same."""
    label_smoothing: float = Field(default=0, ge=0, lt=1)
    """Label smoothing of the loss that is optimised (Szegedy et al. 2016); every measured loss is
    plain cross-entropy."""
    initialisation: Literal["drawn", "fixed"] = "drawn"
    """Weights that trials start from. ``drawn``: drawn for each seed, and a model whose weights
    are the same at every seed is refused. ``fixed``: the same for every seed; intervals over
    seeds then leave out what they would add."""
    weights: str | None = None
    """A local file of trained weights to start from. Its name ends in digits of its SHA-256: see
    `tasks.weights`."""

    def pool(self) -> int:
        """Examples of the published training set."""
        raise NotImplementedError

    def dataset_name(self) -> str:
        """Name of the data set, for messages and records."""
        raise NotImplementedError

    @property
    def is_resolved(self) -> bool:
        """True if the sizes of the data are known; where False, methods that need them raise."""
        return True

    def changes_examples(self) -> bool:
        """Return True if training examples change from one epoch to the next."""
        return False

    def metric_names(self) -> tuple[str, ...]:
        """Metrics with columns of their own, ``val_NAME`` and ``test_NAME``."""
        return ()

    def measured(self) -> Measured:
        """Units and directions of what the task measures."""
        return Measured()

    def unmeasured(self) -> Mapping[str, str]:
        """Quantities that such a task does not have, with the reason: ``accuracy``, ``entropy``."""
        return {}

    def has_validation(self) -> bool:
        """Return False if no example is known to be held out for validation."""
        return self.validation_size() > 0 if self.is_resolved else self.validation > 0

    def column_values(self) -> dict[str, Any]:
        """Fields as plain values for columns of tables, defaults included."""
        left_out = {RESOLVED_FIELD}
        if self.initialisation == "drawn":
            left_out.add("initialisation")
        return self.model_dump(mode="json", exclude=left_out)

    def growth_of_images(self) -> tuple[GrowthSpec, int] | None:
        """Growth of training images and their final side in pixels; None without growth."""
        return None

    def drawn_split_seed(self) -> int:
        """Number that the split is drawn with; 0 where each trial's seed does that."""
        return 0 if self.split_seed == "vary" else self.split_seed

    def split_differences(self, other: DatasetTask) -> list[str]:
        """Dotted fields in which the training split of another task differs."""

        def differs(name: str) -> bool:
            # Tasks of other kinds lack some of these fields.
            values = [getattr(task, name, None) for task in (self, other)]
            # Trials of two seeds have two splits.
            varies = name == "split_seed" and "vary" in values
            return bool(varies or values[0] != values[1])

        return [f"`task.{name}`" for name in SPLIT_FIELDS if differs(name)]

    def held_out(self) -> int:
        """Examples of the training part that are kept for validation."""
        if self.validation < 1:
            return round_half_up(self.validation * self.pool())
        return round_half_up(self.validation)

    def validation_size(self) -> int:
        """Examples that validation measures, held out or brought by the data."""
        return self.held_out()

    def train_size(self) -> int:
        """Examples trained on in one epoch."""
        return self.pool() - self.held_out()

    def test_size(self) -> int | None:
        """Examples of the test set; None where that is not known yet."""
        return None


class SizedTask(DatasetTask):
    """Base of the tasks whose data may have sizes that only a launch finds."""

    resolved: tuple[DataSizes, ...] = ()
    """Filled in at the first launch; leave it out."""

    def size_source(self) -> tuple[str, Mapping[str, Option]]:
        """Name of the data, and the fields that decide what is read of them."""
        raise NotImplementedError

    def needs_sizes(self) -> bool:
        """Return True if the declaration itself does not say the sizes of the data."""
        return True

    @property
    def is_resolved(self) -> bool:
        """True if the sizes of the data are known; where False, methods that need them raise."""
        return not self.needs_sizes() or self.find_sizes() is not None

    def find_sizes(self) -> DataSizes | None:
        """Sizes of the data under these fields; None before they are resolved."""
        data, given = self.size_source()
        for sizes in self.resolved:
            if sizes.data != data:
                continue
            values = {name: given.get(name) for name in sizes.options}
            if values == sizes.options:
                return sizes
        return None

    def sizes(self) -> DataSizes:
        """Sizes of the data under these fields.

        Raises:
            LookupError: if they are not resolved.
        """
        found = self.find_sizes()
        if found is None:
            data, _ = self.size_source()
            raise LookupError(f"the sizes of `{data}` are resolved when a study is launched")
        return found

    def test_size(self) -> int | None:
        """Examples of the test set; None where that is not known yet."""
        found = self.find_sizes()
        return None if found is None else found.test

    def with_sizes(self, sizes: tuple[DataSizes, ...]) -> Self:
        """The same task with sizes of data."""
        return self.model_copy(update={RESOLVED_FIELD: sizes})
