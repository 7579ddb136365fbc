"""Tasks of text, read by a fine-tuned encoder: GLUE, and data sets of a user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sparsetune.spec.declaration import MAX_COUNT
from sparsetune.spec.task.hub import HubTask, dataset_rule
from sparsetune.spec.task.measured import LOSS_UNITS, Measured, MetricFacts

GLUE_TRAIN_SIZES = {
    "cola": 8_551, "sst2": 67_349, "mrpc": 3_668, "qqp": 363_846, "stsb": 5_749,
    "mnli": 392_702, "mnli_mismatched": 392_702, "qnli": 104_743, "rte": 2_490, "wnli": 635,
}  # fmt: skip
"""Examples of the training sets of GLUE's tasks (Wang et al. 2018, arXiv 1804.07461)."""
GLUE_TEST_SIZES = {
    "cola": 1_043, "sst2": 872, "mrpc": 408, "qqp": 40_430, "stsb": 1_500,
    "mnli": 9_815, "mnli_mismatched": 9_832, "qnli": 5_463, "rte": 277, "wnli": 71,
}  # fmt: skip
"""Examples of the published development sets, which serve as test sets: those of GLUE's own test
sets have no public labels."""
Metric = Literal["accuracy", "f1", "matthews", "pearson", "spearman"]
TWO_CLASSES: tuple[Metric, ...] = ("accuracy", "f1", "matthews")
METRICS_BY_DATASET: dict[str, tuple[Metric, ...]] = {
    "stsb": ("pearson", "spearman"),
    "mnli": ("accuracy", "matthews"),
    "mnli_mismatched": ("accuracy", "matthews"),
}
"""Metrics of GLUE's tasks that do not have two classes: scores of numbers, three classes."""


def _as_columns(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


TextDataset = Annotated[str, AfterValidator(dataset_rule(GLUE_TRAIN_SIZES))]
TextColumns = Annotated[
    tuple[str, ...], BeforeValidator(_as_columns), Field(min_length=1, max_length=2)
]


class TextTask(HubTask):
    """Sentences or pairs of them, classified by a fine-tuned encoder.

    They are a task of GLUE, whose dev set is the test set, or any data set that the Hugging Face
    library `datasets` reads.
    """

    has_sparse_start: ClassVar[bool] = True
    kind: Literal["text"] = "text"
    hub_fields: ClassVar[tuple[str, ...]] = ("text", *HubTask.hub_fields)
    dataset: TextDataset = "sst2"
    """A name of `GLUE_TRAIN_SIZES`, of which ``mnli_mismatched`` has MNLI's training set and its
    mismatched dev set; ``hf:owner/name`` of the Hugging Face hub, also with a configuration and a
    revision as in ``hf:owner/name:config@revision``; or ``hf:path`` of a file or folder, below the
    data root or absolute."""
    text: TextColumns = ("text",)
    """Column of the texts, or the two columns of pairs, of a data set ``hf:…``."""
    folder: str | None = None
    """Folder of a GLUE task's TSV files in GLUE's layout: below the data root, or a path. None:
    GLUE's own name for it (``glue/SST-2``) below the data root where that exists, else the Hugging
    Face hub."""
    model: str = "google-bert/bert-base-uncased"
    """A local folder, a model of the hub (``owner/name``, pinned as ``owner/name@revision``), or an
    untrained encoder of `sparsetune.tasks.text.encoders.UNTRAINED_ENCODERS`."""
    batch_size: int = Field(default=32, ge=1, le=MAX_COUNT)
    max_length: int = Field(default=128, ge=8, le=1_000_000)
    """Tokens of a text; longer ones are cut. FLOPs are those of texts of this length."""
    train_examples: int | None = Field(default=None, ge=1, le=MAX_COUNT)
    """Examples of a stratified subset to train on; None: all. Validation is held out first."""
    group_by_length: bool = True
    """Make batches of texts of similar lengths, which saves padding; the order stays random."""
    metric: Metric | None = None
    """Metric that ``score`` reports. None: Matthews' correlation for CoLA, F1 for MRPC, Pearson's
    correlation for STS-B, accuracy for the others."""

    @model_validator(mode="after")
    def _measures_what_there_is(self) -> TextTask:
        fitting = METRICS_BY_DATASET.get(self.dataset, TWO_CLASSES)
        if self.metric is not None and self.metric not in fitting:
            valid = ", ".join(fitting)
            raise ValueError(
                f"`metric` must be one of {valid} for `{self.dataset}`, got {self.metric!r}"
            )
        if self.folder is not None and self.is_hub:
            raise ValueError("`folder` is for GLUE's tasks; name your own data as `hf:path`")
        return self

    def unmeasured(self) -> Mapping[str, str]:
        """Quantities that such a task does not have, with the reason."""
        reason = "the targets are numbers, not classes"
        return dict.fromkeys(("accuracy", "entropy"), reason) if self.dataset == "stsb" else {}

    def pool(self) -> int:
        """Examples of the whole training set."""
        return self.sizes().train if self.is_hub else GLUE_TRAIN_SIZES[self.dataset]

    def test_size(self) -> int | None:
        """Examples of the test set; None where that is not known yet."""
        return super().test_size() if self.is_hub else GLUE_TEST_SIZES[self.dataset]

    def train_size(self) -> int:
        """Examples trained on in one epoch."""
        # A subset larger than what the validation split leaves is all of it.
        return min(super().train_size(), self.train_examples or self.pool())

    def column_values(self) -> dict[str, Any]:
        """Fields as plain values for columns of tables, columns of pairs as one value."""
        values = super().column_values()
        if self.is_hub:
            values["text"] = ", ".join(self.text)
        return values

    def measured(self) -> Measured:
        """See `DatasetTask`; GLUE gives all its scores in percent."""
        # STS-B has numbers to predict, the others have classes.
        loss = "mse" if self.dataset == "stsb" else "cross_entropy"
        return Measured(LOSS_UNITS[loss], (MetricFacts(self.headline()),))

    def headline(self) -> Metric:
        """Metric that ``score`` reports."""
        # GLUE's metrics of these tasks (Wang et al. 2018); where it has two, one of them.
        own: dict[str, Metric] = {"cola": "matthews", "mrpc": "f1", "stsb": "pearson"}
        return self.metric or own.get(self.dataset, "accuracy")
