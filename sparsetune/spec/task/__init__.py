"""The declaration of a task: data, model, batches, what is held out, and how images are augmented.

Sizes of public data are declared here, so that a study can be planned and previewed without them;
those of other data are resolved when the study is first launched.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sparsetune.spec.task.base import DatasetTask, SizedTask
from sparsetune.spec.task.custom import CustomTask, MetricSpec
from sparsetune.spec.task.hub import HUB_PREFIX, HubTask
from sparsetune.spec.task.images import (
    IMAGE_TRAIN_SIZES,
    DigitsTask,
    FolderTask,
    GrowthSpec,
    ImageTask,
)
from sparsetune.spec.task.sizes import DataSizes, TensorSize
from sparsetune.spec.task.text import GLUE_TRAIN_SIZES, METRICS_BY_DATASET, Metric, TextTask

__all__ = [
    "GLUE_TRAIN_SIZES",
    "HUB_PREFIX",
    "IMAGE_TRAIN_SIZES",
    "METRICS_BY_DATASET",
    "CustomTask",
    "DataSizes",
    "DatasetTask",
    "DigitsTask",
    "FolderTask",
    "GrowthSpec",
    "HubTask",
    "ImageTask",
    "Metric",
    "MetricSpec",
    "SizedTask",
    "TaskSpec",
    "TensorSize",
    "TextTask",
]

TaskSpec = Annotated[
    DigitsTask | ImageTask | FolderTask | TextTask | CustomTask, Field(discriminator="kind")
]
"""Kinds of task: data set, network and splits that belong to a task's declaration."""
