"""Tasks of images: digits, public sets of small images, and images in folders by class."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Literal

from pydantic import Field, model_validator

from sparsetune.durations import Length, LengthField
from sparsetune.spec.declaration import Declaration, all_positive
from sparsetune.spec.task.base import DatasetTask, Validation

IMAGE_TRAIN_SIZES = {
    "fashion_mnist": 60_000,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "cifar10_jpeg": 50_000,
}
"""Examples of the published training sets, by the name of the data set."""


class DigitsTask(DatasetTask):
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

    def dataset_name(self) -> str:
        """Name of the data set, for messages and records."""
        return "digits"


class ImageTask(DatasetTask):
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

    def dataset_name(self) -> str:
        """Name of the data set, for messages and records."""
        return self.dataset

    def changes_examples(self) -> bool:
        """Return True if training examples change from one epoch to the next."""
        return bool(self.crop or self.flip or self.cutout)

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


class FolderTask(DatasetTask):
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

    def dataset_name(self) -> str:
        """Name of the folder."""
        return PurePath(self.folder).name

    def changes_examples(self) -> bool:
        """Return True: every training image is a random crop."""
        return True

    def growth_of_images(self) -> tuple[GrowthSpec, int] | None:
        """Growth of training images and their final side in pixels; None without growth."""
        return None if self.growth is None else (self.growth, self.resolution)
