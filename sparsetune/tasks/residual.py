"""Residual networks for small images of any number of channels and at least 8 x 8 pixels.

The last stage sees a quarter of each side. Convolutions have no bias, and are drawn as in He et al.
(2015) by the number of their outputs, as in the code of both publications.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import pad, relu

Block = Callable[[int, int, int], nn.Module]
"""Function from input channels, output channels and the first convolution's stride to a block."""
WIDE_BLOCK_DROPOUT = 0.3
"""Dropout between a wide block's convolutions, as in RigL's code.

Later publications that train a sparse WRN-22-2 use it as well.
"""


def resnet8(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """ResNet with one block a stage (He et al. 2016, section 4.2, n = 1).

    75,290 parameters with 3 channels and 10 classes.
    """
    return _resnet(1, input_shape, n_classes)


def resnet20(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """ResNet with three blocks a stage (He et al. 2016, section 4.2, n = 3).

    0.27 M parameters with 3 channels and 10 classes.
    """
    return _resnet(3, input_shape, n_classes)


def resnet56(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """ResNet with nine blocks a stage (He et al. 2016, section 4.2, n = 9).

    0.85 M parameters with 3 channels and 10 classes.
    """
    return _resnet(9, input_shape, n_classes)


def resnet18_cifar(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """ResNet-18 of torchvision, with a first convolution of 3 x 3 and stride 1, and no max-pool.

    11.17 M parameters with 3 channels and 10 classes.
    """
    # Importing takes seconds, which the other models should not pay.
    from torchvision.models import resnet18

    model: nn.Module = resnet18(num_classes=n_classes)
    model.conv1 = _initialise(_convolution(input_shape[0], 64))
    model.maxpool = nn.Identity()
    return model


def wrn_22_2(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Wide ResNet of depth 22 and width 2 (Zagoruyko & Komodakis 2016), as in RigL's experiments.

    After `rigl/cifar_resnet` (Evci et al. 2020): pre-activation, dropout of 0.3, and a projection
    of the activated inputs where the number of channels changes. 1.08 M parameters with 3 channels
    and 10 classes.
    """
    first = [("conv1", _convolution(input_shape[0], 16))]
    stages = _build_stages(WideBlock, (32, 64, 128), 3)
    last = [("bn", nn.BatchNorm2d(128)), ("relu", nn.ReLU())]
    return _build_network([*first, *stages, *last], 128, n_classes)


def _resnet(blocks: int, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    first = [
        ("conv1", _convolution(input_shape[0], 16)),
        ("bn1", nn.BatchNorm2d(16)),
        ("relu", nn.ReLU()),
    ]
    stages = _build_stages(BasicBlock, (16, 32, 64), blocks)
    return _build_network([*first, *stages], 64, n_classes)


def _build_stages(
    block: Block, widths: tuple[int, ...], blocks: int
) -> Iterator[tuple[str, nn.Module]]:
    """Stages by name, ``layer1`` and so on, after a convolution to 16 channels.

    Every stage but the first halves the image's sides.
    """
    for number, (inputs, outputs) in enumerate(pairwise((16, *widths)), start=1):
        # Blocks draw their weights when they are built: this order is part of a trial's numbers.
        rest = [block(outputs, outputs, 1) for _ in range(blocks - 1)]
        first = block(inputs, outputs, 1 if number == 1 else 2)
        yield f"layer{number}", nn.Sequential(first, *rest)


def _build_network(body: list[tuple[str, nn.Module]], features: int, n_classes: int) -> nn.Module:
    head = [
        ("pool", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("fc", nn.Linear(features, n_classes)),
    ]
    return _initialise(nn.Sequential(OrderedDict([*body, *head])))


def _convolution(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


def _initialise(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model


class BasicBlock(nn.Module):
    """Two convolutions, each normalised, and ReLU after the sum with the inputs (He et al. 2016).

    The shortcut has no weights (option A): where the image is halved, it keeps every other pixel
    and adds zeros for new channels. The publication trains it on CIFAR-10, and it leaves no small
    projection for pruning to cut.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = _convolution(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.new_channels = outputs - inputs

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h / stride, w / stride), rounded up."""
        residual = self.bn2(self.conv2(relu(self.bn1(self.conv1(inputs)))))
        shortcut = inputs[:, :, :: self.stride, :: self.stride]
        return relu(residual + pad(shortcut, (0, 0, 0, 0, 0, self.new_channels)))


class WideBlock(nn.Module):
    """Two convolutions, each after normalisation and ReLU, with nothing after the sum.

    The block of Zagoruyko & Komodakis (2016).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = _convolution(inputs, outputs, stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = _convolution(outputs, outputs)
        self.dropout = nn.Dropout(WIDE_BLOCK_DROPOUT)
        self.shortcut = None if inputs == outputs else _convolution(inputs, outputs, stride, size=1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h / stride, w / stride), rounded up."""
        active = relu(self.bn1(inputs))
        residual: torch.Tensor = self.conv2(self.dropout(relu(self.bn2(self.conv1(active)))))
        shortcut: torch.Tensor = inputs if self.shortcut is None else self.shortcut(active)
        return residual + shortcut
