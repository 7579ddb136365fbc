"""What a user of an exported image network needs: how pixels become inputs, names of classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sparsetune.spec.task import FolderTask
from sparsetune.tasks.images import jpeg
from sparsetune.tasks.images.folder import CHANNEL_DEVIATION, CHANNEL_MEAN
from sparsetune.tasks.images.small_sets import (
    CIFAR10_DATASET,
    CIFAR100_DATASET,
    FASHION_MNIST_DATASET,
)
from sparsetune.tasks.network import ImageNetwork

CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
FASHION_MNIST_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
)  # fmt: skip


@dataclass(frozen=True)
class PixelForm:
    """How pixels become inputs: ``(pixels / largest - mean) / deviation``, per channel.

    Args:
        largest: Value of white.
        mean: Mean per channel; empty where pixels are only divided by ``largest``.
        deviation: Standard deviation per channel, as ``mean``.
        class_names: Names of the classes by number; empty where the data's files give them.
    """

    largest: int
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    class_names: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """As plain JSON values."""
        normalisation = {
            "divided_by": self.largest,
            "mean": list(self.mean),
            "deviation": list(self.deviation),
        }
        names = {"class_names": list(self.class_names)} if self.class_names else {}
        return {"normalisation": normalisation, **names}


PIXEL_FORMS = {
    "digits": PixelForm(16, class_names=tuple(str(digit) for digit in range(10))),
    "fashion_mnist": PixelForm(
        255, FASHION_MNIST_DATASET.mean, FASHION_MNIST_DATASET.deviation, FASHION_MNIST_CLASSES
    ),
    "cifar10": PixelForm(255, CIFAR10_DATASET.mean, CIFAR10_DATASET.deviation, CIFAR10_CLASSES),
    "cifar100": PixelForm(255, CIFAR100_DATASET.mean, CIFAR100_DATASET.deviation),
    "cifar10_jpeg": PixelForm(255, jpeg.CHANNEL_MEAN, jpeg.CHANNEL_DEVIATION, CIFAR10_CLASSES),
}
"""Forms by the name of the data set."""
FOLDER_FORM = PixelForm(255, CHANNEL_MEAN, CHANNEL_DEVIATION)

LOADING_LINES = """\
import torch
from safetensors.torch import load_file

from sparsetune.tasks.models import build_model

model = build_model({network.name!r}, {network.input_shape}, {network.outputs})
model.load_state_dict(load_file("model.safetensors"))
model.eval()


def predict(pixels):
    \"\"\"Class numbers of images, (n, {sizes}), with pixels from 0 to {largest}.\"\"\"
    inputs = {inputs}
    with torch.no_grad():
        return model(inputs).argmax(1)"""

FOLDER_LINES = """\
import torch
from safetensors.torch import load_file
from torchvision.transforms import v2

from sparsetune.tasks.images.pixels import {decode}
from sparsetune.tasks.models import build_model

model = build_model({network.name!r}, {network.input_shape}, {network.outputs})
model.load_state_dict(load_file("model.safetensors"))
model.eval()
cut = v2.Compose([v2.Resize({resize}, antialias=True), v2.CenterCrop({side})])


def predict(path):
    \"\"\"Class number of an image file.\"\"\"
    pixels = cut({decode}(path).expand(3, -1, -1))
    inputs = {inputs}
    with torch.no_grad():
        return model(inputs[None]).argmax(1).item()"""


def loading_lines(network: ImageNetwork, form: PixelForm) -> str:
    """Lines of Python that load a network of a set of small images, and predict."""
    sizes = ", ".join(map(str, network.input_shape))
    return LOADING_LINES.format(
        network=network, sizes=sizes, largest=form.largest, inputs=_input_expression(form)
    )


def folder_lines(network: ImageNetwork, task: FolderTask, form: PixelForm = FOLDER_FORM) -> str:
    """Lines of Python that load a network of a folder of images, and predict."""
    return FOLDER_LINES.format(
        network=network,
        resize=task.evaluated_resize(),
        side=task.evaluated_side(),
        decode="decode_image" if task.decoding == "pillow" else "decode_faithfully",
        inputs=_input_expression(form),
    )


def _input_expression(form: PixelForm) -> str:
    scaled = f"pixels.float() / {form.largest}"
    if not form.mean:
        return scaled
    mean = f"torch.tensor({form.mean})[:, None, None]"
    deviation = f"torch.tensor({form.deviation})[:, None, None]"
    return f"({scaled} - {mean}) / {deviation}"


def image_facts(network: ImageNetwork, form: PixelForm) -> Mapping[str, Any]:
    """Input shape, normalisation and class names, as plain JSON values."""
    return {"input_shape": list(network.input_shape), **form.facts()}
