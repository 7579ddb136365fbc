"""How sparse may a network of my own be, on data of my own?

The data are made up: images with one bright quarter, which is their class. Replace `load` and
`build` by yours; what they may ask for and return stands in `sparsetune fields task`.

    sparsetune preview my_study.py        cells and trials; trains nothing
    sparsetune run my_study.py            a minute on two cores; ends in a report
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from sparsetune import (
    Arm,
    CustomTask,
    LogUniform,
    Minimize,
    OptimSpec,
    ScheduleSpec,
    Study,
    TrialSpec,
)


def load() -> dict[str, Any]:
    """Inputs and targets as arrays or tensors, or torch data sets; "validation" is optional."""
    return {"train": make_examples(1_000, seed=0), "test": make_examples(500, seed=1)}


def make_examples(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Images (count, 1, 8, 8) of noise with one brighter quarter, and its number from 0 to 3."""
    rng = np.random.default_rng(seed)
    quarters = rng.integers(4, size=count)
    images = rng.normal(size=(count, 1, 8, 8)).astype(np.float32)
    for image, quarter in zip(images, quarters, strict=True):
        row, column = divmod(int(quarter), 2)
        image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 0.5
    return images, quarters


def build(input_shape: tuple[int, int, int], n_outputs: int, width: int) -> nn.Module:
    """A small convolutional network; ``width`` is one of the task's options."""
    channels, height, columns = input_shape
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(width * (height // 2) * (columns // 2), n_outputs),
    )


STUDY = Study(
    name="my_study",
    question="How sparse may the network be?",
    base=TrialSpec(
        task=CustomTask(
            data="my_study:load",
            model="my_study:build",
            options={"width": 16},  # "task.options.width" may be swept and searched
            loss="cross_entropy",  # or "mse", "bce_with_logits", "my_study:my_loss"
            metrics=("accuracy",),  # the first is the score
            batch_size=50,
        ),
        optim=OptimSpec(name="sgd", lr=0.03, momentum=0.9, weight_decay=1e-4),
        schedule=ScheduleSpec(epochs=6),
    ),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    # Every value is a cell with a search of its own; 0 is the dense network.
    sweep={"sparsity.target": [0, 0.8, 0.95]},
    search={"optim.lr": LogUniform(0.003, 0.3)},
    objective=Minimize("val_loss"),
    configurations_per_cell=3,
    report_seeds=3,
)

if __name__ == "__main__":
    STUDY.run()
