"""Other people's tuners drive a sparse training: Ray Tune's schedulers and searchers, and Optuna.

Here their tool is the driver and this package the training. A study of ours, with its cells,
controls and report seeds, is `sparsetune.Study`.
"""

from sparsetune.integrations.optuna_objective import optuna_objective, optuna_rows
from sparsetune.integrations.ray_trainable import ray_trainable, tune_rows

__all__ = ["optuna_objective", "optuna_rows", "ray_trainable", "tune_rows"]
