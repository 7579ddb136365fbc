"""Segmentation: which pixels of a made image belong to a disc, which to a square."""

import numpy as np
from torch import nn

from sparsetune import Arm, CustomTask, OptimSpec, Quick, ScheduleSpec, Study, TrialSpec

SIDE = 16


def make_images(count, seed):
    """Noisy images, (count, 1, 16, 16), and classes of pixels: 0 ground, 1 disc, 2 square."""
    random = np.random.RandomState(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    centre = random.randint(4, SIDE - 4, (2, 2, count, 1, 1))
    disc = np.hypot(rows - centre[0, 0], columns - centre[0, 1]) < 3.5
    square = np.maximum(abs(rows - centre[1, 0]), abs(columns - centre[1, 1])) < 3
    classes = np.where(disc, 1, np.where(square, 2, 0))
    images = 0.5 * classes + random.normal(0, 0.3, classes.shape)
    return images[:, None], classes


def load(examples):
    """Made images; ``examples`` of them to train on."""
    return {"train": make_images(examples, 0), "test": make_images(200, 1)}


def build(input_shape, n_outputs):
    """Three convolutions that keep the size of the image."""
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, n_outputs, 3, padding=1),
    )


TASK = CustomTask(
    data="segmentation:load",
    model="segmentation:build",
    options={"examples": 400},
    metrics=("iou", "accuracy"),
    batch_size=20,
)
STUDY = Study(
    name="segmentation",
    question="Does a sparse segmentation network lose its edges?",
    base=TrialSpec(task=TASK, optim=OptimSpec(lr=0.1), schedule=ScheduleSpec(epochs=8)),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.8, 0.9]},
    report_seeds=3,
    quick_form=Quick(overrides={"schedule.epochs": 3}, report_seeds=1),
)

if __name__ == "__main__":
    STUDY.run()
