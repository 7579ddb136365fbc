"""Tasks of images: digits, public sets of small images, and images in folders by class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from sparsetune.durations import Length, LengthField, round_half_up
from sparsetune.spec.declaration import MAX_COUNT, MAX_SIDE, Declaration, all_positive
from sparsetune.spec.task.base import DatasetTask, SizedTask, Validation
from sparsetune.spec.task.hub import HubTask, dataset_rule
from sparsetune.spec.task.sizes import Option

IMAGE_TRAIN_SIZES = {
    "fashion_mnist": 60_000,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "cifar10_jpeg": 50_000,
}
"""Examples of the published training sets, by the name of the data set."""
IMAGE_TEST_SIZE = 10_000
"""Examples of each of their test sets."""


class DigitsTask(DatasetTask):
    """scikit-learn's handwritten digits: 1,797 grey images of 8 x 8.

    A stratified fifth, 360 images, is the test set.
    """

    kind: Literal["digits"] = "digits"
    model: str = "mlp"
    """Name of a model in `sparsetune.tasks.models.MODELS`, or ``package.module:function``."""
    batch_size: int = Field(default=64, ge=1, le=MAX_COUNT)

    def pool(self) -> int:
        """Examples outside the test set."""
        return 1437  # of 1,797, without the 360 of the test set

    def test_size(self) -> int | None:
        """Examples of the test set."""
        return 360

    def dataset_name(self) -> str:
        """Name of the data set, for messages and records."""
        return "digits"


ImageDataset = Annotated[str, AfterValidator(dataset_rule(IMAGE_TRAIN_SIZES))]


class ImageTask(HubTask):
    """A set of small images of one size, held on the device whole.

    It is a public one, read through torchvision, or any that the Hugging Face library `datasets`
    reads. ``cifar10_jpeg`` is CIFAR-10 compressed by JPEG with loss: a number from it is none of
    CIFAR-10.
    """

    kind: Literal["image"] = "image"
    hub_fields: ClassVar[tuple[str, ...]] = ("image", "resize", *HubTask.hub_fields)
    dataset: ImageDataset = "fashion_mnist"
    """A name of `IMAGE_TRAIN_SIZES`; ``hf:owner/name`` of the Hugging Face hub, also with a
    configuration and a revision as in ``hf:owner/name:config@revision``; or ``hf:path`` of a file
    or folder, below the data root or absolute."""
    image: str = Field(default="image", min_length=1)
    """Column of the images, of a data set ``hf:…``."""
    resize: int | None = Field(default=None, ge=4, le=MAX_SIDE)
    """Pixels of the side of a square that images of a data set ``hf:…`` are resized to. None: they
    stay as they are, and must have one size."""
    model: str = "lenet_300_100"
    """Name of a model in `sparsetune.tasks.models.MODELS`, or ``package.module:function``."""
    train_examples: int | None = Field(default=None, ge=1, le=MAX_COUNT)
    """Examples of a stratified subset to train on; None: all. Validation is held out first."""
    crop: int = Field(default=0, ge=0, le=16)
    """Pixels of black around an image that random crops may reach into; the published CIFAR recipes
    take 4."""
    flip: bool = False
    """Mirror every other training image, at random."""
    cutout: int = Field(default=0, ge=0, le=MAX_SIDE)
    """Side, in pixels, of a square at a random place that is set to the mean colour (DeVries and
    Taylor 2017, arXiv 1708.04552); 0 for none."""

    def pool(self) -> int:
        """Examples of the whole training set."""
        return self.sizes().train if self.is_hub else IMAGE_TRAIN_SIZES[self.dataset]

    def test_size(self) -> int | None:
        """Examples of the test set; None where that is not known yet."""
        return super().test_size() if self.is_hub else IMAGE_TEST_SIZE

    def changes_examples(self) -> bool:
        """Return True if training examples change from one epoch to the next."""
        return bool(self.crop or self.flip or self.cutout)

    def train_size(self) -> int:
        """Examples trained on in one epoch."""
        return min(super().train_size(), self.train_examples or self.pool())


class GrowthSpec(Declaration):
    """Progressive resizing: training images start small and grow in steps (after ffcv-imagenet)."""

    first: int = Field(ge=8, le=MAX_SIDE)
    """Pixels of an image's side until the growth starts."""
    start: LengthField = Length(0.75)
    """Training done when images start to grow."""
    length: LengthField = Length(0.125)
    """Training over which images grow to the task's ``resolution``."""
    multiple: int = Field(default=32, ge=1, le=MAX_SIDE)
    """Sides are rounded to a multiple of this."""

    @model_validator(mode="after")
    def _starts_at_a_multiple(self) -> GrowthSpec:
        if all_positive(self.first, self.multiple) and self.first % self.multiple:
            raise ValueError(
                f"`first` must be a multiple of `multiple`, {self.multiple}, got {self.first}"
            )
        return self


RESIZED_TO_EVALUATED = 256 / 224
"""Shorter side of an evaluated image over the side of its centre that is kept, as for ImageNet."""


class FolderTask(SizedTask):
    """Images in folders by class, as ImageNet is kept: ``train/CLASS/*`` and ``val/CLASS/*``.

    ``val`` is the test set. Under version 1 of the defaults some are ImageNet's (Russakovsky et al.
    2015); since version 2 they follow the folder and ``resolution``.
    """

    kind: Literal["folder"] = "folder"
    folder: str = "imagenet"
    """Folder of the images: below the data root, or a path."""
    examples: int | None = Field(default=1_281_167, ge=1, le=MAX_COUNT)
    """Images in ``train``. None: counted at the first launch."""
    classes: int | None = Field(default=1000, ge=2, le=MAX_COUNT)
    """Number of class folders, and of the network's outputs. None: counted at the first launch."""
    model: str = "resnet50"
    """Name of a model in `sparsetune.tasks.models.MODELS`, or ``package.module:function``."""
    batch_size: int = Field(default=256, ge=1, le=MAX_COUNT)
    validation: Validation = 10_000
    resolution: int = Field(default=224, ge=8, le=MAX_SIDE)
    """Pixels of a training image's side, after random-resized-crop. Training FLOPs are in epochs at
    this size."""
    growth: GrowthSpec | None = None
    """Growth of training images; None: they have their full size from the start."""
    least_area: float = Field(default=0.08, gt=0, le=1)
    """Smallest fraction of the image's area in a random-resized-crop (Szegedy et al. 2015)."""
    flip: bool = True
    """Mirror every other training image, at random."""
    eval_resolution: int | None = Field(default=224, ge=8, le=MAX_SIDE)
    """Pixels of an evaluated image's side: the centre of the image resized to ``eval_resize``.
    None: ``resolution``."""
    eval_resize: int | None = Field(default=256, ge=8, le=MAX_SIDE)
    """Pixels of the shorter side before the centre is cut out. None: 256/224 of the side that is
    kept."""
    eval_batch: int | None = Field(default=1000, ge=1, le=MAX_COUNT)
    """Images of a forward pass in evaluations, which changes no more than the last bit of results.
    None: as many as have 4,194,304 numbers, 27 images of 224 pixels, and 1,000 at most."""
    decoding: Literal["pillow", "faithful"] = "pillow"
    """How files become pixels. ``pillow``: as Pillow and torchvision convert them, which leaves
    photographs turned, cuts 16 bits and shows what transparency hides. ``faithful``: turned upright
    as their EXIF data say, 16 bits scaled to 8, and transparent images refused."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> FolderTask:
        sides = (self.resolution, self.eval_resize or 1, self.eval_resolution or 1)
        if all_positive(*sides) and self.evaluated_resize() < self.evaluated_side():
            raise ValueError(
                "`eval_resize` must be at least `eval_resolution`, got"
                f" {self.evaluated_resize()} < {self.evaluated_side()}"
            )
        first: Any = getattr(self.growth, "first", None)
        if all_positive(first, self.resolution) and first > self.resolution:
            raise ValueError(
                f"`growth.first` must be at most `resolution`, {self.resolution}, got {first}"
            )
        return self

    def size_source(self) -> tuple[str, Mapping[str, Option]]:
        """See `SizedTask`."""
        return self.folder, {}

    def needs_sizes(self) -> bool:
        """Return True if the declaration itself does not say the sizes of the data."""
        return self.examples is None or self.classes is None

    def evaluated_side(self) -> int:
        """Pixels of an evaluated image's side."""
        return self.eval_resolution or self.resolution

    def evaluated_resize(self) -> int:
        """Pixels of an evaluated image's shorter side before its centre is cut out."""
        return self.eval_resize or round_half_up(self.evaluated_side() * RESIZED_TO_EVALUATED)

    def column_values(self) -> dict[str, Any]:
        """Fields as plain values for columns of tables, with what follows from others."""
        values = super().column_values()
        values["eval_resolution"] = self.evaluated_side()
        values["eval_resize"] = self.evaluated_resize()
        if self.is_resolved:
            values["examples"] = self.pool()
            values["classes"] = self.class_count()
        return values

    def class_count(self) -> int:
        """Number of classes."""
        return self.classes or self.sizes().n_outputs

    def pool(self) -> int:
        """Images in ``train``."""
        return self.examples or self.sizes().train

    def dataset_name(self) -> str:
        """Name of the folder."""
        return PurePath(self.folder).name

    def changes_examples(self) -> bool:
        """Return True: every training image is a random crop."""
        return True

    def growth_of_images(self) -> tuple[GrowthSpec, int] | None:
        """Growth of training images and their final side in pixels; None without growth."""
        return None if self.growth is None else (self.growth, self.resolution)
