"""Networks that leave something behind in their process, or do not let it go on.

They are unruly in a worker alone, whose trials run in another thread than the first: what a launch
tries beforehand runs in the first.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings

import numpy as np
import torch
from torch import nn

from sparsetune.tasks.models import mlp


def in_worker() -> bool:
    return threading.current_thread() is not threading.main_thread()


class Plain(nn.Module):
    """A network that hooks its training steps."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        self.body = mlp(input_shape, n_classes)
        self.steps = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and not x.is_meta:
            self.steps += 1
            if in_worker():
                self.on_step()
        return self.body(x)  # type: ignore[no-any-return]

    def on_step(self) -> None:
        pass


class Doubling(Plain):
    """Makes networks of double precision, which these data do not fit."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int) -> None:
        if in_worker():
            torch.set_default_dtype(torch.float64)
        super().__init__(input_shape, n_classes)


class Untidy(Plain):
    """Trains well, and leaves everything in disorder."""

    def on_step(self) -> None:
        torch.set_num_threads(3)
        torch.set_flush_denormal(True)
        torch.backends.mkldnn.fp32_precision = "bf16"
        nn.Linear.reset_parameters = lambda self: None  # type: ignore[method-assign]
        np.seterr(all="raise")
        warnings.simplefilter("error")
        os.environ["OMP_NUM_THREADS"] = "3"
        os.chdir("/")


class Quitting(Plain):
    """Ends its program."""

    def on_step(self) -> None:
        if self.steps == 5:
            sys.exit(3)


class Sleepy(Plain):
    """Sleeps at its thirtieth step in one process life: a second attempt gets through."""

    def on_step(self) -> None:
        if self.steps == 30:
            time.sleep(600)


class Talking(Plain):
    """Prints 40 MB in its fifth step."""

    def on_step(self) -> None:
        if self.steps == 5:
            for _ in range(40_000):
                print("x" * 1_000)
