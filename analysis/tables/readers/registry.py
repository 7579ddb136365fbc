"""Every kind of path that is read, those with the most telling marks first."""

from __future__ import annotations

from .formats.delimited import DELIMITED
from .formats.json_records import JSON
from .formats.parquet import PARQUET
from .formats.workbook import WORKBOOK
from .tools.mlflow_store import MLFLOW
from .tools.optuna_storage import OPTUNA
from .tools.ray_experiment import RAY_TUNE
from .tools.sparseml_log import SPARSEML
from .tools.syne_tune import SYNE_TUNE
from .tools.tensorboard_events import TENSORBOARD
from .tools.trainer_state import TRAINER
from .tools.wandb_run import WANDB

TOOLS = (
    RAY_TUNE,
    WANDB,
    SYNE_TUNE,
    OPTUNA,
    MLFLOW,
    TRAINER,
    TENSORBOARD,
    SPARSEML,
)
"""Folders and files of one tool. Ray and the trainer write event files of TensorBoard too."""
FORMATS = (PARQUET, WORKBOOK, JSON, DELIMITED)
"""Files of any program; the last takes every other text."""
READERS = (*TOOLS, *FORMATS)
