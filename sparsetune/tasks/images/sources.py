"""Data sets that fit on a device, by name."""

from __future__ import annotations

from sparsetune.tasks.images import digits, jpeg
from sparsetune.tasks.images.resident import ResidentSource
from sparsetune.tasks.images.small_sets import (
    CIFAR10_DATASET,
    CIFAR100_DATASET,
    FASHION_MNIST_DATASET,
    TorchvisionDataset,
)


def _torchvision_source(images: TorchvisionDataset) -> ResidentSource:
    return ResidentSource(
        images.input_shape, images.n_classes, images.prepare, images.read, images.normalised
    )


SOURCES = {
    "digits": ResidentSource(
        input_shape=digits.INPUT_SHAPE,
        n_classes=digits.N_CLASSES,
        prepare=lambda _: None,
        read=lambda _: digits.read_digits(),
        normalised=lambda inputs: inputs,
    ),
    "fashion_mnist": _torchvision_source(FASHION_MNIST_DATASET),
    "cifar10": _torchvision_source(CIFAR10_DATASET),
    "cifar100": _torchvision_source(CIFAR100_DATASET),
    "cifar10_jpeg": ResidentSource(
        input_shape=jpeg.INPUT_SHAPE,
        n_classes=jpeg.N_CLASSES,
        prepare=jpeg.prepare_cifar10_jpeg,
        read=jpeg.read_cifar10_jpeg,
        normalised=jpeg.normalise_jpeg,
    ),
}
"""Data sets by the name that a task gives them."""
