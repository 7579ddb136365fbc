"""Images in folders by class, as ImageNet is kept, decoded and augmented by worker processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from sparsetune.errors import DataError, DeclarationError, Problem, first_line
from sparsetune.seeds import derived_seed
from sparsetune.spec import TrialSpec
from sparsetune.spec.rates import image_resolution
from sparsetune.spec.task import DataSizes, FolderTask
from sparsetune.tasks.data_roots import given_root
from sparsetune.tasks.images.pixels import decode_faithfully, decode_image, per_channel
from sparsetune.tasks.task import (
    Batch,
    Splits,
    TrainingBatch,
    epoch_order,
    evaluated_together,
    split_indices,
)

CHANNEL_MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's pixels per channel, in [0, 1], as torchvision's models expect."""
CHANNEL_DEVIATION = (0.229, 0.224, 0.225)
"""Standard deviation of the same pixels per channel."""

COUNTED = {"classes": "folders of images", "examples": "images"}
"""What a field of the task counts in ``train``."""

ImageRequest = tuple[int, int | None, int]
"""Index of an image, seed of its augmentation (None: as evaluations see it), side in pixels."""


@dataclass(frozen=True)
class BrokenImage:
    """Reason why an image cannot be read; a worker process sends it instead of the image.

    An exception would reach the user as two tracebacks.
    """

    reason: str


class ImageFiles(Dataset[tuple[torch.Tensor, int]]):
    """Decoded images, bytes (3, side, side), with their classes, or `BrokenImage`.

    Args:
        root: The folder that ``paths`` are below.
        paths: Paths as bytes, (n,). Worker processes share the memory of an array, whereas a list
            of Python strings is copied gradually as its reference counts change.
        targets: Class numbers, (n,).
        spec: The task's declaration.
    """

    def __init__(
        self,
        root: Path,
        paths: NDArray[np.bytes_],
        targets: NDArray[np.int64],
        spec: FolderTask,
    ) -> None:
        self._root = root
        self._paths = paths
        self._targets = targets
        self._spec = spec

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, request: ImageRequest) -> Any:
        """Image and class number, or `BrokenImage`."""
        index, seed, side = request
        path = self._root / self._paths[index].decode()
        try:
            image = self._decoded(path)
            if seed is None:
                image = _evaluation_transform(self._spec.evaluated_resize(), side)(image)
            else:
                image = self._augmented(image, seed, side)
        # Pillow raises all four on broken files.
        except (OSError, RuntimeError, ValueError, SyntaxError) as error:
            got = f"{type(error).__name__} ({first_line(error)})"
            return BrokenImage(f"`{path}` must be an image that can be read, got {got}")
        return image, int(self._targets[index])

    def _decoded(self, path: Path) -> torch.Tensor:
        """Bytes (3, height, width)."""
        if self._spec.decoding == "pillow":
            return decode_image(path)
        return decode_faithfully(path).expand(3, -1, -1)

    def _augmented(self, image: torch.Tensor, seed: int, side: int) -> torch.Tensor:
        transform = _training_transform(side, self._spec.least_area, self._spec.flip)
        # torchvision's transforms draw from the global generator, which on a CPU is the trial's.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            augmented: torch.Tensor = transform(image)
        return augmented


@dataclass(frozen=True)
class FolderSplit:
    """Examples read from files when they are needed. No number depends on the count of workers.

    Args:
        images: Images that worker processes read.
        eval_side: Side of an evaluated image in pixels.
        device: Device of the batches, as torch names it.
        evaluated_together: Images of a forward pass in evaluations.
    """

    images: ImageFiles
    eval_side: int
    device: str
    evaluated_together: int

    def __len__(self) -> int:
        return len(self.images)

    def chunks(self) -> Iterable[torch.Tensor]:
        """See `sparsetune.tasks.task.Examples`."""
        return torch.split(torch.arange(len(self)), self.evaluated_together)

    def read(self, chosen: Iterable[torch.Tensor]) -> Iterator[Batch]:
        """See `sparsetune.tasks.task.Examples`."""
        return self._batches(self._evaluation_requests(index) for index in chosen)

    def training(self, spec: TrialSpec, first: int) -> Iterator[TrainingBatch]:
        """See `sparsetune.tasks.task.Examples`; workers read ahead from one epoch into the next."""
        # The loader takes requests ahead of the batches it gives, so indices are read from a copy.
        requests, read = tee(self._training_requests(spec, first))
        for batch, (inputs, targets) in zip(requests, self._batches(read), strict=True):
            index = torch.tensor([index for index, _, _ in batch])
            yield inputs, targets, index.to(self.device, non_blocking=True)

    def _evaluation_requests(self, index: torch.Tensor) -> list[ImageRequest]:
        return [(i, None, self.eval_side) for i in index.tolist()]

    def _training_requests(self, spec: TrialSpec, first: int) -> Iterator[list[ImageRequest]]:
        """Requests of each step's batch, from step ``first`` to the last."""
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

    def _batches(self, requests: Iterable[list[ImageRequest]]) -> Iterator[Batch]:
        """Batches on the device, normalised there: bytes are a quarter of the size of floats."""
        loader: DataLoader[Any] = DataLoader(
            self.images,
            batch_sampler=_BatchSampler(requests),
            collate_fn=_collate_images,
            num_workers=count_workers(self.device),
            pin_memory=self.device.startswith("cuda"),
            # Without a generator of its own, a loader draws from the trial's.
            generator=torch.Generator(),
        )
        mean = per_channel(CHANNEL_MEAN, self.device)
        deviation = per_channel(CHANNEL_DEVIATION, self.device)
        for batch in loader:
            if isinstance(batch, BrokenImage):
                raise DataError(batch.reason)
            pixels, targets = batch
            inputs = pixels.to(self.device, non_blocking=True).float()
            inputs.div_(255).sub_(mean).div_(deviation)
            yield inputs, targets.to(self.device, non_blocking=True)


def count_workers(device: str) -> int:
    """Number of processes that read images: the trial's CPUs on a GPU, and 0 on a CPU.

    A CPU computes more slowly than it reads.
    """
    return torch.get_num_threads() if device.startswith("cuda") else 0


class _BatchSampler:
    """Batch sampler, as a loader expects it, over given requests."""

    def __init__(self, requests: Iterable[list[ImageRequest]]) -> None:
        self._requests = requests

    def __iter__(self) -> Iterator[list[ImageRequest]]:
        return iter(self._requests)


@dataclass(frozen=True)
class FolderSource:
    """Folder of images as a data set; see `sparsetune.spec.task.FolderTask`."""

    spec: FolderTask

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of a training image at full size, (3, side, side)."""
        return 3, self.spec.resolution, self.spec.resolution

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.spec.class_count()

    def prepare(self, data_root: Path | None) -> object:
        """Find the folder and compare its images with the declaration.

        Raises:
            DataError: if there are not as many as declared, or in other classes.
        """
        folder = self.folder(data_root)
        train, test = _list_images(folder)
        _require_same_classes(folder, train, test)
        for field, found in _count(train).items():
            declared: int | None = getattr(self.spec, field)
            sizes = self.spec.find_sizes()
            if declared is not None and found != declared:
                rule = f"must hold `{field}` {COUNTED[field]}, {declared:,}, got {found:,}"
                advice = f"leave `task.{field}` out, or set it to {found}"
                raise DataError(f"`{folder / 'train'}` {rule}; {advice}")
            known = sizes and (sizes.train if field == "examples" else sizes.n_outputs)
            if known is not None and found != known:
                raise DataError(
                    f"`{folder / 'train'}` must hold the {known:,} {COUNTED[field]} that the study"
                    f" was launched with, got {found:,}; put them back, or start another study"
                    " (--name)"
                )
        return train

    def resolve(self, data_root: Path | None) -> DataSizes:
        """Sizes of what the folder holds.

        Raises:
            DeclarationError: if a declared size is another one.
            DataError: if there is no such folder, or ``train`` and ``val`` have different classes.
        """
        folder = self.folder(data_root)
        train, test = _list_images(folder)
        _require_same_classes(folder, train, test)
        if len(train.classes) < 2:
            raise DataError(f"`{folder / 'train'}` must hold folders of at least 2 classes, got 1")
        self._require_declared(folder, _count(train))
        sizes: DataSizes = DataSizes(
            data=self.spec.folder,
            train=len(train.targets),
            test=len(test.targets),
            n_outputs=len(train.classes),
            classes=len(train.classes),
            class_names=tuple(train.classes),
            fingerprint=self.digest(data_root),
        )
        return sizes.checked()

    def _require_declared(self, folder: Path, counts: Mapping[str, int]) -> None:
        """Refuse declared sizes that are not the folder's, before anything follows from them."""
        problems: list[Problem] = []
        for field, found in counts.items():
            declared: int | None = getattr(self.spec, field)
            if declared not in (None, found):
                held = f"the {COUNTED[field]} of `{folder / 'train'}`"
                rule = f"must be {found}, {held}; leave it out to have them counted"
                problems.append(Problem(f"task.{field}", rule, str(declared)))
        if problems:
            raise DeclarationError(problems, "the task")

    def class_names(self, data_root: Path | None) -> list[str]:
        """Names of the classes by number; empty where the images are not there."""
        sizes = self.spec.find_sizes()
        if sizes is not None:
            return list(sizes.class_names)
        try:
            return _list_images(self.folder(data_root))[0].classes
        except DataError:
            return []

    def folder(self, data_root: Path | None) -> Path:
        """Path of the images; it need not exist."""
        root = given_root(data_root)
        return (root or Path.cwd()) / Path(self.spec.folder).expanduser()

    def digest(self, data_root: Path | None) -> str:
        """Twelve hexadecimal digits that name every file's path and size; contents are not read."""
        digest = hashlib.sha256()
        folder = self.folder(data_root)
        for name, listing in zip(("train", "val"), _list_images(folder), strict=True):
            for path in listing.paths:
                size = (folder / name / path.decode()).stat().st_size
                digest.update(path + str(size).encode())
        return digest.hexdigest()[:12]

    def splits(self, data_root: Path | None, device: str, subset: int) -> Splits:
        """Four splits, of which ``val`` is the test split.

        Args:
            data_root: Folder that data sets lie in.
            device: As torch names it.
            subset: Number of training examples on which the training loss is measured.
        """
        spec = self.spec
        self.prepare(data_root)
        folder = self.folder(data_root)
        train, test = _list_images(folder)
        chosen = split_indices(
            train.targets, spec.held_out(), spec.train_size(), spec.drawn_split_seed(), subset
        )

        def split(name: str, listing: ImageListing, index: NDArray[np.intp] | slice) -> FolderSplit:
            images = ImageFiles(folder / name, listing.paths[index], listing.targets[index], spec)
            side = spec.evaluated_side()
            together = spec.eval_batch or evaluated_together(3 * side**2)
            return FolderSplit(images, side, device, together)

        return Splits(
            train=split("train", train, chosen["train"]),
            train_subset=split("train", train, chosen["train_subset"]),
            validation=split("train", train, chosen["validation"]),
            test=split("val", test, slice(None)),
        )


@dataclass(frozen=True)
class ImageListing:
    """Images of a folder, by class in alphabetical order.

    Args:
        paths: Paths below the folder, (n,).
        targets: Class numbers, (n,).
        classes: Names of the classes.
    """

    paths: NDArray[np.bytes_]
    targets: NDArray[np.int64]
    classes: list[str]


def _count(listing: ImageListing) -> dict[str, int]:
    """Sizes of a folder by the field that declares them."""
    return {"classes": len(listing.classes), "examples": len(listing.targets)}


def _require_same_classes(folder: Path, train: ImageListing, test: ImageListing) -> None:
    if train.classes != test.classes:
        odd = ", ".join(sorted(set(train.classes) ^ set(test.classes))[:3])
        rule = f"must hold the same classes, {odd} stand in one of them alone"
        raise DataError(f"`{folder}`: `train` and `val` {rule}")


@lru_cache(maxsize=4)
def _list_images(folder: Path) -> tuple[ImageListing, ImageListing]:
    """Images of ``train`` and of ``val``."""
    return _list_folder(folder / "train"), _list_folder(folder / "val")


def _list_folder(folder: Path) -> ImageListing:
    # Importing takes seconds, which only a trial on a folder should pay.
    from torchvision.datasets import ImageFolder

    try:
        listed = ImageFolder(str(folder))
    except OSError as error:
        got = f"{type(error).__name__} ({first_line(error)})"
        advice = "set `task.folder`, and --data-root or SPARSETUNE_DATA to the folder above it"
        raise DataError(
            f"`{folder}` must hold a folder of images for every class, got {got}; {advice}"
        ) from error
    paths = [str(Path(path).relative_to(folder)).encode() for path, _ in listed.samples]
    targets = np.array(listed.targets, dtype=np.int64)
    return ImageListing(np.array(paths), targets, listed.classes)


@lru_cache(maxsize=32)
def _training_transform(side: int, least_area: float, flip: bool) -> Any:
    from torchvision.transforms import v2

    crop = v2.RandomResizedCrop(side, scale=(least_area, 1.0), antialias=True)
    return v2.Compose([crop, v2.RandomHorizontalFlip(0.5 * flip)])


@lru_cache(maxsize=4)
def _evaluation_transform(resize: int, side: int) -> Any:
    from torchvision.transforms import v2

    return v2.Compose([v2.Resize(resize, antialias=True), v2.CenterCrop(side)])


def _collate_images(items: list[Any]) -> Any:
    """Images (n, 3, side, side) and class numbers (n,), or the first `BrokenImage`."""
    for item in items:
        if isinstance(item, BrokenImage):
            return item
    images, targets = zip(*items, strict=True)
    return torch.stack(images), torch.tensor(targets)
