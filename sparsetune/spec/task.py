"""The declaration of a task: data, model, batches, what is held out, and how images are augmented.

Sizes are declared here, so that a study can be planned and previewed without its data.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sparsetune.durations import Length, LengthField, round_half_up
from sparsetune.spec.declaration import Declaration, all_positive

Validation = Annotated[float, Field(ge=0)]

IMAGE_TRAIN_SIZES = {
    "fashion_mnist": 60_000,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "cifar10_jpeg": 50_000,
}
"""Examples of the published training sets, by the name of the data set."""
GLUE_TRAIN_SIZES = {
    "cola": 8_551, "sst2": 67_349, "mrpc": 3_668, "qqp": 363_846, "stsb": 5_749,
    "mnli": 392_702, "mnli_mismatched": 392_702, "qnli": 104_743, "rte": 2_490, "wnli": 635,
}  # fmt: skip
"""Examples of the training sets of GLUE's tasks (Wang et al. 2018, arXiv 1804.07461)."""
Metric = Literal["accuracy", "f1", "matthews", "pearson", "spearman"]
TWO_CLASSES: tuple[Metric, ...] = ("accuracy", "f1", "matthews")
METRICS_BY_DATASET: dict[str, tuple[Metric, ...]] = {
    "stsb": ("pearson", "spearman"),
    "mnli": ("accuracy", "matthews"),
    "mnli_mismatched": ("accuracy", "matthews"),
}
"""Metrics of GLUE's tasks that do not have two classes: scores of numbers, three classes."""


class _DatasetTask(Declaration):
    """Base of the tasks: how many examples are trained on, and which are held out."""

    batch_size: int = Field(default=128, ge=1)
    """Examples of each optimizer step."""
    validation: Validation = 0.1
    """Examples held out of the training set, stratified: a fraction below 1, otherwise a number of
    examples."""
    split_seed: int = Field(default=0, ge=0)
    """Seed of the split. It is not the trial's seed: all trials validate on the same examples."""
    label_smoothing: float = Field(default=0, ge=0, lt=1)
    """Label smoothing of the loss that is optimised (Szegedy et al. 2016); every measured loss is
    plain cross-entropy."""
    weights: str | None = None
    """A local file of trained weights to start from. Its name ends in digits of its SHA-256: see
    `tasks.weights`."""

    def pool(self) -> int:
        """Examples of the published training set."""
        raise NotImplementedError

    def held_out(self) -> int:
        """Examples of the validation split."""
        if self.validation < 1:
            return round_half_up(self.validation * self.pool())
        return round_half_up(self.validation)

    def train_size(self) -> int:
        """Examples trained on in one epoch."""
        return self.pool() - self.held_out()


class DigitsTask(_DatasetTask):
    """scikit-learn's handwritten digits: 1,797 grey images of 8 x 8.

    A stratified fifth, 360 images, is the test set.
    """

    kind: Literal["digits"] = "digits"
    model: str = "mlp"
    """Name of a model in `sparsetune.tasks.models.MODELS`, or ``package.module:function``."""
    batch_size: int = Field(default=64, ge=1)

    def pool(self) -> int:
        """Examples outside the test set."""
        return 1437  # of 1,797, without the 360 of the test set


class ImageTask(_DatasetTask):
    """A public set of small images, read through torchvision and held on the device whole.

    ``cifar10_jpeg`` is CIFAR-10 compressed by JPEG with loss: a number from it is none of CIFAR-10.
    """

    kind: Literal["image"] = "image"
    dataset: Literal["fashion_mnist", "cifar10", "cifar100", "cifar10_jpeg"] = "fashion_mnist"
    """Name of the data set."""
    model: str = "lenet_300_100"
    """Name of a model in `sparsetune.tasks.models.MODELS`, or ``package.module:function``."""
    train_examples: int | None = Field(default=None, ge=1)
    """Examples of a stratified subset to train on; None: all. Validation is held out first."""
    crop: int = Field(default=0, ge=0, le=16)
    """Pixels of black around an image that random crops may reach into; the published CIFAR recipes
    take 4."""
    flip: bool = False
    """Mirror every other training image, at random."""
    cutout: int = Field(default=0, ge=0)
    """Side, in pixels, of a square at a random place that is set to the mean colour (DeVries and
    Taylor 2017, arXiv 1708.04552); 0 for none."""

    def pool(self) -> int:
        """Examples of the published training set."""
        return IMAGE_TRAIN_SIZES[self.dataset]

    def train_size(self) -> int:
        """Examples trained on in one epoch."""
        return min(super().train_size(), self.train_examples or self.pool())


class GrowthSpec(Declaration):
    """Progressive resizing: training images start small and grow in steps (after ffcv-imagenet)."""

    first: int = Field(ge=8)
    """Pixels of an image's side until the growth starts."""
    start: LengthField = Length(0.75)
    """Training done when images start to grow."""
    length: LengthField = Length(0.125)
    """Training over which images grow to the task's ``resolution``."""
    multiple: int = Field(default=32, ge=1)
    """Sides are rounded to a multiple of this."""

    @model_validator(mode="after")
    def _starts_at_a_multiple(self) -> GrowthSpec:
        if all_positive(self.first, self.multiple) and self.first % self.multiple:
            raise ValueError(
                f"`first` must be a multiple of `multiple`, {self.multiple}, got {self.first}"
            )
        return self


class FolderTask(_DatasetTask):
    """Images in folders by class, as ImageNet is kept: ``train/CLASS/*`` and ``val/CLASS/*``.

    ``val`` is the test set. The defaults are ImageNet's (Russakovsky et al. 2015), with 10,000
    training images held out for validation.
    """

    kind: Literal["folder"] = "folder"
    folder: str = "imagenet"
    """Folder of the images: below the data root, or a path."""
    examples: int = Field(default=1_281_167, ge=1)
    """Images in ``train``."""
    classes: int = Field(default=1000, ge=2)
    """Number of class folders, and of the network's outputs."""
    model: str = "resnet50"
    """Name of a model in `sparsetune.tasks.models.MODELS`, or ``package.module:function``."""
    batch_size: int = Field(default=256, ge=1)
    validation: Validation = 10_000
    resolution: int = Field(default=224, ge=8)
    """Pixels of a training image's side, after random-resized-crop. Training FLOPs are in epochs at
    this size."""
    growth: GrowthSpec | None = None
    """Growth of training images; None: they have their full size from the start."""
    least_area: float = Field(default=0.08, gt=0, le=1)
    """Smallest fraction of the image's area in a random-resized-crop (Szegedy et al. 2015)."""
    flip: bool = True
    """Mirror every other training image, at random."""
    eval_resolution: int = Field(default=224, ge=8)
    """Pixels of an evaluated image's side: the centre of the image resized to ``eval_resize``."""
    eval_resize: int = Field(default=256, ge=8)
    """Pixels of the shorter side before the centre is cut out."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> FolderTask:
        are_sides = all_positive(self.eval_resize, self.eval_resolution)
        if are_sides and self.eval_resize < self.eval_resolution:
            raise ValueError(
                "`eval_resize` must be at least `eval_resolution`, got"
                f" {self.eval_resize} < {self.eval_resolution}"
            )
        first: Any = getattr(self.growth, "first", None)
        if all_positive(first, self.resolution) and first > self.resolution:
            raise ValueError(
                f"`growth.first` must be at most `resolution`, {self.resolution}, got {first}"
            )
        return self

    def pool(self) -> int:
        """Images in ``train``."""
        return self.examples


class TextTask(_DatasetTask):
    """A task of GLUE: sentences or pairs of them, classified by a fine-tuned encoder.

    GLUE's dev set is the test set.
    """

    kind: Literal["text"] = "text"
    dataset: Literal[
        "cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "mnli_mismatched", "qnli", "rte", "wnli"
    ] = "sst2"
    """``mnli_mismatched`` has MNLI's training set and its mismatched dev set."""
    folder: str | None = None
    """Folder of the task's TSV files in GLUE's layout: below the data root, or a path. None: GLUE's
    own name for it (``glue/SST-2``) below the data root where that exists, else the Hugging Face
    hub."""
    model: str = "google-bert/bert-base-uncased"
    """A local folder, a model of the hub (``owner/name``, pinned as ``owner/name@revision``), or an
    untrained encoder of `sparsetune.tasks.text.encoders.UNTRAINED_ENCODERS`."""
    batch_size: int = Field(default=32, ge=1)
    max_length: int = Field(default=128, ge=8)
    """Tokens of a text; longer ones are cut. FLOPs are those of texts of this length."""
    train_examples: int | None = Field(default=None, ge=1)
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
        return self

    def pool(self) -> int:
        """Examples of the published training set."""
        return GLUE_TRAIN_SIZES[self.dataset]

    def train_size(self) -> int:
        """Examples trained on in one epoch."""
        # A subset larger than what the validation split leaves is all of it.
        return min(super().train_size(), self.train_examples or self.pool())

    def headline(self) -> Metric:
        """Metric that ``score`` reports."""
        # GLUE's metrics of these tasks (Wang et al. 2018); where it has two, one of them.
        own: dict[str, Metric] = {"cola": "matthews", "mrpc": "f1", "stsb": "pearson"}
        return self.metric or own.get(self.dataset, "accuracy")


TaskSpec = Annotated[DigitsTask | ImageTask | FolderTask | TextTask, Field(discriminator="kind")]
