"""Tasks of a user's own: data, model, loss and metrics named by import path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sparsetune.imports import IMPORT_PATH
from sparsetune.spec.declaration import MAX_COUNT, Declaration, digest_of
from sparsetune.spec.task.base import DatasetTask, SizedTask
from sparsetune.spec.task.measured import LOSS_UNITS, Measured, MetricFacts, metric_facts
from sparsetune.spec.task.sizes import Option

BUILT_IN_LOSSES = ("cross_entropy", "mse", "l1", "huber", "bce_with_logits")
"""Losses by name; each is a mean over all elements of the targets."""
BUILT_IN_METRICS = ("accuracy", "f1", "iou", "matthews", "pearson", "r2", "spearman")
"""Metrics that need no further library; all are better when higher."""
LOSSES_OF_NUMBERS = ("mse", "l1", "huber", "bce_with_logits")
"""Losses whose targets are no class numbers."""
METRIC_OF_LOSS = {"cross_entropy": "accuracy", "mse": "r2", "l1": "r2", "huber": "r2"}
"""Metric that the score reports where a task names none, by its loss."""


def _own_name(value: str) -> str:
    if not IMPORT_PATH.fullmatch(value):
        raise ValueError("must be an import path, `package.module:name`")
    return value


def _loss_name(value: str) -> str:
    if value not in BUILT_IN_LOSSES and not IMPORT_PATH.fullmatch(value):
        valid = ", ".join(BUILT_IN_LOSSES)
        raise ValueError(f"must be one of {valid}, or your own `package.module:function`")
    return value


OwnName = Annotated[str, AfterValidator(_own_name)]
LossName = Annotated[str, AfterValidator(_loss_name)]


class MetricSpec(Declaration):
    """A metric of a user's task, with its direction."""

    positional: ClassVar[tuple[str, ...]] = ("name",)
    name: str = Field(min_length=1)
    """One of `BUILT_IN_METRICS`, a class of torchmetrics such as ``F1Score``, or your own
    ``package.module:function`` of (outputs, targets)."""
    higher_is_better: bool | None = None
    """Direction. None: the metric's own, where it has one (``higher_is_better``)."""
    arguments: dict[str, Option] = Field(default_factory=dict)
    """Keyword arguments of a class of torchmetrics, such as ``task="multilabel"``."""
    fraction: bool | None = None
    """Whether its values are fractions, which reports show in percent. None: as for known metrics
    such as accuracy and F1; your own are shown as plain numbers."""

    def __hash__(self) -> int:
        return hash(self.digest())

    def column(self) -> str:
        """Name of the metric in columns: lower case, with underscores."""
        last = re.split(r"[:.]", self.name)[-1]
        return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[0-9])(?=[A-Z][a-z])", "_", last).lower()

    def facts(self) -> MetricFacts:
        """What its name and its declaration tell about its values."""
        return metric_facts(self.name, self.column(), self.fraction, self.higher_is_better)


def _as_metric(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _as_metrics(value: Any) -> Any:
    return (value,) if isinstance(value, str | MetricSpec) else value


AnyMetric = Annotated[MetricSpec, BeforeValidator(_as_metric)]


class CustomTask(SizedTask):
    """A task of your own: everything by import path, ``package.module:name``.

    Your functions are called with what they ask for by the names of their arguments; every option
    must be asked for by one of them.
    """

    kind: Literal["custom"] = "custom"
    data: OwnName
    """Function that returns ``{"train": (inputs, targets), "test": (inputs, targets)}``, with
    ``"validation"`` where the data have one: arrays or tensors, inputs also a tuple or a dictionary
    of them; or map-style torch datasets. It may also return ``"n_outputs"``, ``"class_names"`` and
    ``"collate"``. It may ask for ``data_root`` and the options."""
    model: OwnName
    """Function that returns a `torch.nn.Module`. It may ask for ``input_shape``, ``n_outputs`` and
    the options."""
    options: dict[str, Option] = Field(default_factory=dict)
    """Keyword arguments of your functions, as fields: ``task.options.width`` can be swept, and
    searched where ``data`` does not ask for it."""
    loss: LossName = "cross_entropy"
    """A name of `BUILT_IN_LOSSES`, or your function of (outputs, targets): a mean over the
    batch."""
    metrics: Annotated[tuple[AnyMetric, ...], BeforeValidator(_as_metrics)] = ()
    """Metrics, by name or as `MetricSpec`; the first is the score. Empty: accuracy for
    ``cross_entropy``, R² for ``mse``, ``l1`` and ``huber``."""
    normalise: str | None = None
    """``standard``: subtract the mean of the training examples and divide by their standard
    deviation, per channel, or per feature of a vector; or your function of (inputs). None: inputs
    are used as they are."""
    augment: OwnName | None = None
    """Your function of (inputs, generator), a batch of training inputs and a `torch.Generator` on
    their device, seeded by seed, epoch and batch."""
    train_examples: int | None = Field(default=None, ge=1, le=MAX_COUNT)
    """Examples of a subset to train on, stratified by class; None: all."""

    def __hash__(self) -> int:
        return hash(digest_of(self.given()))

    @model_validator(mode="after")
    def _fits_together(self) -> CustomTask:
        if self.label_smoothing and self.loss != "cross_entropy":
            raise ValueError(
                f"`label_smoothing` is for the loss `cross_entropy`, got the loss `{self.loss}`"
            )
        if self.normalise is not None and self.normalise != "standard":
            try:
                _own_name(self.normalise)
            except ValueError as error:
                raise ValueError(
                    f"`normalise` must be `standard` or your own `package.module:function`, got"
                    f" {self.normalise!r}"
                ) from error
        if not self.metrics and self.loss not in METRIC_OF_LOSS:
            raise ValueError(
                f"`metrics` must name a metric: the loss `{self.loss}` has no usual one"
            )
        columns = [metric.column() for metric in self.metrics if isinstance(metric, MetricSpec)]
        if len(set(columns)) < len(columns):
            raise ValueError(f"`metrics` must have different names, got {', '.join(columns)}")
        return self

    def size_source(self) -> tuple[str, Mapping[str, Option]]:
        """See `SizedTask`."""
        return self.data, self.options

    def column_values(self) -> dict[str, Any]:
        """Fields as plain values for columns of tables, metrics as their names."""
        values = super().column_values()
        del values["metrics"]
        if not self.options:
            del values["options"]
        return {**values, "metrics": ", ".join(metric.column() for metric in self.all_metrics())}

    def metric_names(self) -> tuple[str, ...]:
        """Metrics with columns of their own: all but the accuracy, which every task has."""
        if not all(isinstance(metric, MetricSpec) for metric in self.metrics):
            return ()  # faulty, which has its own message
        names = [metric.column() for metric in self.all_metrics()]
        return tuple(name for name in names if name != "accuracy")

    def measured(self) -> Measured:
        """See `DatasetTask`."""
        metrics = tuple(metric.facts() for metric in self.all_metrics())
        return Measured(LOSS_UNITS.get(self.loss, ""), metrics)

    def unmeasured(self) -> Mapping[str, str]:
        """See `DatasetTask`; of a loss of your own, both are taken to be measured."""
        if self.loss not in LOSSES_OF_NUMBERS:
            return {}
        reason = f"the loss `{self.loss}` has no classes"
        found = {"entropy": reason}
        if "accuracy" not in [metric.column() for metric in self.all_metrics()]:
            found["accuracy"] = f"{reason}, and no metric is `accuracy`"
        return found

    def has_validation(self) -> bool:
        """See `DatasetTask`; before they are resolved, the data may have a part of their own."""
        return not self.is_resolved or super().has_validation()

    def all_metrics(self) -> tuple[MetricSpec, ...]:
        """Metrics, the first of which is the score; the loss's usual one where none is named."""
        return self.metrics or (self.headline(),)

    def headline(self) -> MetricSpec:
        """Metric that ``score`` reports."""
        if self.metrics:
            return self.metrics[0]
        headline: MetricSpec = MetricSpec(name=METRIC_OF_LOSS.get(self.loss, "accuracy"))
        return headline

    def dataset_name(self) -> str:
        """Path of the data function."""
        return self.data

    def pool(self) -> int:
        """Examples to train on, those held out for validation among them."""
        return self.sizes().train

    def held_out(self) -> int:
        """Examples held out of ``train``; 0 where the data have a validation part."""
        return 0 if self.sizes().validation else super().held_out()

    def validation_size(self) -> int:
        """Examples that validation measures, held out or brought by the data."""
        return self.sizes().validation or self.held_out()

    def train_size(self) -> int:
        """Examples trained on in one epoch."""
        return min(super().train_size(), self.train_examples or self.pool())

    def changes_examples(self) -> bool:
        """Return True if training examples change from one epoch to the next."""
        return self.augment is not None

    def split_differences(self, other: DatasetTask) -> list[str]:
        """Dotted fields in which the training split of another task differs."""
        different = super().split_differences(other)
        if not isinstance(other, CustomTask):
            return different
        if self.data != other.data:
            different.append("`task.data`")
        sizes = self.find_sizes()
        if sizes is not None:
            for name in sizes.options:
                if self.options.get(name) != other.options.get(name):
                    different.append(f"`task.options.{name}`")
        return different
