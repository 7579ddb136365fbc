"""The declaration of a task: data, model, batches, what is held out, and how images are augmented.

Sizes of public data are declared here, so that a study can be planned and previewed without them;
those of a user's own are resolved when the study is first launched.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sparsetune.spec.task.base import DatasetTask
from sparsetune.spec.task.custom import CustomTask, DataSizes, MetricSpec, TensorSize
from sparsetune.spec.task.images import (
    IMAGE_TRAIN_SIZES,
    DigitsTask,
    FolderTask,
    GrowthSpec,
    ImageTask,
)
from sparsetune.spec.task.text import GLUE_TRAIN_SIZES, METRICS_BY_DATASET, Metric, TextTask

__all__ = [
    "GLUE_TRAIN_SIZES",
    "IMAGE_TRAIN_SIZES",
    "METRICS_BY_DATASET",
    "CustomTask",
    "DataSizes",
    "DatasetTask",
    "DigitsTask",
    "FolderTask",
    "GrowthSpec",
    "ImageTask",
    "Metric",
    "MetricSpec",
    "TaskSpec",
    "TensorSize",
    "TextTask",
]

TaskSpec = Annotated[
    DigitsTask | ImageTask | FolderTask | TextTask | CustomTask, Field(discriminator="kind")
]
"""Kinds of task: data set, network and splits that belong to a task's declaration."""
