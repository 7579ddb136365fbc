"""Images in folders by class, as ImageNet is kept, decoded and augmented by worker processes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from sparsetune.errors import DataError, first_line
from sparsetune.seeds import derived_seed
from sparsetune.spec import TrialSpec
from sparsetune.spec.rates import image_resolution
from sparsetune.spec.task import FolderTask, TaskSpec
from sparsetune.tasks.data_roots import given_root
from sparsetune.tasks.task import (
    EVALUATED_TOGETHER,
    Batch,
    Splits,
    TrainingBatch,
    epoch_order,
    split_indices,
)

CHANNEL_MEAN = (0.485, 0.456, 0.406)
CHANNEL_DEVIATION = (0.229, 0.224, 0.225)
"""Of ImageNet's channels, as torchvision's models take them."""

Draw = tuple[int, int | None, int]
"""What a worker reads: an index, a seed of its augmentation (None: as evaluations see it), and the side in pixels."""


@dataclass(frozen=True)
class BrokenImage:
    """What a worker sends instead of a batch; an exception would reach the user as two tracebacks."""

    reason: str


class ImageFiles(Dataset[tuple[torch.Tensor, int]]):
    """Decoded images, 3 x side x side bytes, with their classes; what cannot be read is `BrokenImage`.

    Args:
        root: The folder that ``paths`` are below.
        paths: As bytes: an array is shared by worker processes, where a list of text is copied by and by.
        targets: Class numbers.
        spec: How images are augmented and evaluated.
    """

    def __init__(
        self, root: Path, paths: NDArray[np.bytes_], targets: NDArray[np.int64], spec: FolderTask
    ) -> None:
        self._root = root
        self._paths = paths
        self._targets = targets
        self._spec = spec

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, draw: Draw) -> Any:
        """The image and class of a `Draw`, or why there is none."""
        index, seed, side = draw
        path = self._root / self._paths[index].decode()
        try:
            image = decode_image(path)
            if seed is None:
                image = _evaluation_transform(self._spec.eval_resize, side)(image)
            else:
                image = self._augmented(image, seed, side)
        except (
            OSError,
            RuntimeError,
            ValueError,
            SyntaxError,
        ) as error:  # Pillow raises all four on broken files
            return BrokenImage(
                f"`{path}` must be an image that can be read, got {type(error).__name__} ({first_line(error)})"
            )
        return image, int(self._targets[index])

    def _augmented(self, image: torch.Tensor, seed: int, side: int) -> torch.Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            changed: torch.Tensor = _training_transform(
                side, self._spec.least_area, self._spec.flip
            )(image)
        return changed


@dataclass(frozen=True)
class FolderSplit:
    """Examples read from files when they are needed. Numbers do not depend on the count of workers.

    Args:
        images: What worker processes read.
        eval_side: Pixels of an evaluated image's side.
        device: Where batches go.
    """

    images: ImageFiles
    eval_side: int
    device: str

    def __len__(self) -> int:
        return len(self.images)

    def chunks(self) -> Iterable[torch.Tensor]:
        """See `sparsetune.tasks.task.Examples`."""
        return torch.split(torch.arange(len(self)), EVALUATED_TOGETHER)

    def read(self, chosen: Iterable[torch.Tensor]) -> Iterator[Batch]:
        """See `sparsetune.tasks.task.Examples`."""
        return self._batches(
            [(i, None, self.eval_side) for i in index.tolist()] for index in chosen
        )

    def training(self, spec: TrialSpec, first: int) -> Iterator[TrainingBatch]:
        """See `sparsetune.tasks.task.Examples`; workers read ahead from one epoch into the next."""
        drawn, read = tee(self._draws(spec, first))
        for draws, (inputs, targets) in zip(drawn, self._batches(read), strict=True):
            index = torch.tensor([index for index, _, _ in draws])
            yield inputs, targets, index.to(self.device, non_blocking=True)

    def _draws(self, spec: TrialSpec, first: int) -> Iterator[list[Draw]]:
        assert isinstance(spec.task, FolderTask)
        per_epoch = spec.steps_per_epoch()
        size = spec.task.batch_size
        order = torch.empty(0)
        for step in range(first, spec.total_steps()):
            epoch, batch = divmod(step, per_epoch)
            if batch == 0 or step == first:
                order = epoch_order(spec.seed, epoch, len(self))
            side = image_resolution(spec, step) or spec.task.resolution
            index = order[batch * size : (batch + 1) * size].tolist()
            yield [(i, derived_seed(spec.seed, "augment", epoch, i), side) for i in index]

    def _batches(self, draws: Iterable[list[Draw]]) -> Iterator[Batch]:
        """Batches on the device, normalised there: bytes are a quarter of what floats would move."""
        on_gpu = self.device.startswith("cuda")
        loader: DataLoader[Any] = DataLoader(
            self.images,
            batch_sampler=_BatchSampler(draws),
            collate_fn=_collate_images,
            num_workers=count_workers(self.device),
            pin_memory=on_gpu,
            generator=torch.Generator(),  # or starting to read would draw from the trial's own
        )
        mean, deviation = (
            torch.tensor(v, device=self.device)[:, None, None]
            for v in (CHANNEL_MEAN, CHANNEL_DEVIATION)
        )
        for batch in loader:
            if isinstance(batch, BrokenImage):
                raise DataError(batch.reason)
            inputs, targets = (part.to(self.device, non_blocking=True) for part in batch)
            yield inputs.float().div_(255).sub_(mean).div_(deviation), targets


def count_workers(device: str) -> int:
    """Processes that read images: the CPUs of a trial on a GPU; none on a CPU, which computes slower than it reads."""
    return torch.get_num_threads() if device.startswith("cuda") else 0


class _BatchSampler:
    """What a loader takes for a batch sampler."""

    def __init__(self, draws: Iterable[list[Draw]]) -> None:
        self._draws = draws

    def __iter__(self) -> Iterator[list[Draw]]:
        return iter(self._draws)


@dataclass(frozen=True)
class FolderSource:
    """A folder of images as a data set; see `sparsetune.spec.task.FolderTask`."""

    spec: FolderTask

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of a training image at its full size."""
        return 3, self.spec.resolution, self.spec.resolution

    @property
    def n_classes(self) -> int:
        """As declared."""
        return self.spec.classes

    def prepare(self, data_root: Path | None) -> object:
        """Find the folder and count its images.

        Raises:
            DataError: if there are not as many as declared, or in other classes.
        """
        train, test = _list_images(self.folder(data_root))
        found = {
            "train": (len(train.targets), self.spec.examples),
            "val": (len(test.targets), None),
        }
        for name, (images, declared) in found.items():
            if declared is not None and images != declared:
                rule = f"must hold `examples` images, {declared}, got {images}; set `task.examples`"
                raise DataError(f"`{self.folder(data_root) / name}` {rule}")
        for name, listing in (("train", train), ("val", test)):
            if len(listing.classes) != self.spec.classes:
                rule = (
                    f"must hold `classes` folders, {self.spec.classes}, got {len(listing.classes)}"
                )
                raise DataError(f"`{self.folder(data_root) / name}` {rule}; set `task.classes`")
        if train.classes != test.classes:
            odd = sorted(set(train.classes) ^ set(test.classes))[:3]
            rule = f"`train` and `val` must hold the same classes, {', '.join(odd)} stand in one of them alone"
            raise DataError(f"`{self.folder(data_root)}`: {rule}")
        return train

    def folder(self, data_root: Path | None) -> Path:
        """Where the images lie, wherever that may be."""
        root = given_root(data_root)
        return (root or Path.cwd()) / Path(self.spec.folder).expanduser()

    def digest(self, data_root: Path | None) -> str:
        """Twelve hexadecimal digits that name every file by its path and size; its content is not read."""
        digest = hashlib.sha256()
        folder = self.folder(data_root)
        for name, listing in zip(("train", "val"), _list_images(folder), strict=True):
            for path in listing.paths:
                digest.update(path + str((folder / name / path.decode()).stat().st_size).encode())
        return digest.hexdigest()[:12]

    def splits(self, spec: TaskSpec, data_root: Path | None, device: str, subset: int) -> Splits:
        """The four splits; ``val`` is the test split."""
        assert isinstance(spec, FolderTask)
        self.prepare(data_root)
        folder = self.folder(data_root)
        train, test = _list_images(folder)
        chosen = split_indices(
            train.targets, spec.held_out(), spec.train_size(), spec.split_seed, subset
        )

        def split(name: str, listing: ImageListing, index: NDArray[np.intp] | slice) -> FolderSplit:
            images = ImageFiles(folder / name, listing.paths[index], listing.targets[index], spec)
            return FolderSplit(images, spec.eval_resolution, device)

        return Splits(
            **{name: split("train", train, index) for name, index in chosen.items()},
            test=split("val", test, slice(None)),
        )


@dataclass(frozen=True)
class ImageListing:
    """The images of a folder, by class in alphabetical order: ``paths`` below it (n,), ``targets`` (n,)."""

    paths: NDArray[np.bytes_]
    targets: NDArray[np.int64]
    classes: list[str]


@lru_cache(maxsize=4)
def _list_images(folder: Path) -> tuple[ImageListing, ImageListing]:
    """``train`` and ``val``, as torchvision lists them."""
    from torchvision.datasets import (
        ImageFolder,  # seconds, which only a trial on a folder should pay
    )

    found = []
    for name in ("train", "val"):
        try:
            listed = ImageFolder(str(folder / name))
        except OSError as error:
            raise DataError(
                f"`{folder / name}` must hold a folder of images for every class, got {type(error).__name__}"
                f" ({first_line(error)}); set `task.folder`, and --data-root or SPARSETUNE_DATA to the folder above it"
            ) from error
        paths = [str(Path(path).relative_to(folder / name)).encode() for path, _ in listed.samples]
        found.append(
            ImageListing(np.array(paths), np.array(listed.targets, dtype=np.int64), listed.classes)
        )
    return found[0], found[1]


def decode_image(file: Path | io.BytesIO) -> torch.Tensor:
    """The image as bytes, (3, height, width); grey becomes three equal channels.

    Raises:
        OSError: if it is missing, torn or no image.
    """
    from PIL import Image
    from torchvision.transforms.v2.functional import pil_to_tensor

    with Image.open(file) as image:
        pixels: torch.Tensor = pil_to_tensor(image.convert("RGB"))
    return pixels


@lru_cache(maxsize=32)
def _training_transform(side: int, least_area: float, flip: bool) -> Any:
    from torchvision.transforms import v2

    return v2.Compose(
        [
            v2.RandomResizedCrop(side, scale=(least_area, 1.0), antialias=True),
            v2.RandomHorizontalFlip(0.5 * flip),
        ]
    )


@lru_cache(maxsize=4)
def _evaluation_transform(resize: int, side: int) -> Any:
    from torchvision.transforms import v2

    return v2.Compose([v2.Resize(resize, antialias=True), v2.CenterCrop(side)])


def _collate_images(items: list[Any]) -> Any:
    if broken := next((item for item in items if isinstance(item, BrokenImage)), None):
        return broken
    images, targets = zip(*items, strict=True)
    return torch.stack(images), torch.tensor(targets)
