"""Steps of a user's own task against those of its built-in twin."""

from __future__ import annotations

import statistics
from functools import partial
from typing import Any

import torch

from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.task import CustomTask, ImageTask, TaskSpec
from sparsetune.tasks.images.sources import SOURCES
from sparsetune.tasks.models import lenet_300_100
from sparsetune.train import train
from tests.benchmarks.rows import Row, Turn, in_turn
from tests.benchmarks.step_cost import HELD_OUT, LENET, Clock, Loop, random_images

BUILT_IN = "ImageTask"
OWN = "CustomTask"
MAX_RATIO = 1.03
PATH = "tests.benchmarks.own_task"


def load() -> dict[str, Any]:
    """Fashion-MNIST as the built-in task reads and normalises it."""
    source = SOURCES["fashion_mnist"]
    parts = source.read(None)
    return {name: (source.normalised(pixels), labels) for name, (pixels, labels) in parts.items()}


def build(input_shape: tuple[int, ...], n_outputs: int) -> torch.nn.Module:
    """The built-in network."""
    return lenet_300_100(input_shape, n_outputs)


def own_task_rows(rounds: int, device: str = "cpu") -> list[Row]:
    """A row for each form of the task."""
    sizes = {
        "validation": HELD_OUT,
        "train_examples": LENET.examples,
        "batch_size": LENET.batch,
    }
    tasks: dict[str, TaskSpec] = {
        BUILT_IN: ImageTask(model=LENET.model, **sizes),
        OWN: CustomTask(data=f"{PATH}:load", model=f"{PATH}:build", **sizes),
    }
    loops: dict[str, Loop] = {name: partial(_steps, tasks[name], device) for name in tasks}
    with random_images(LENET.input_shape, LENET.examples + HELD_OUT):
        taken = in_turn(loops, rounds, LENET.timed, LENET.untimed, device)
    rows: list[Row] = []
    for name in loops:
        seconds = [statistics.median(steps) for steps in taken[name]]
        is_own = name == OWN
        against = BUILT_IN if is_own else None
        limit = MAX_RATIO if is_own else None
        table = f"a step of {LENET.model}, batch {LENET.batch}, by the kind of task"
        rows.append(Row(table, name, seconds, against, limit))
    return rows


def _steps(task: TaskSpec, device: str, turn: Turn) -> None:
    spec = TrialSpec(
        task=task, optim=OptimSpec(lr=0.01), schedule=ScheduleSpec(epochs=LENET.epochs)
    )
    train(spec, checkpoints=Clock(turn), device=device)
