"""One trial, trained without Ray.

`loop` is the training loop; the other files are what it uses, and `export` writes a trained network
for other programs.
"""

from sparsetune.tasks.task import epoch_order
from sparsetune.train.loop import TrialResult, train
from sparsetune.train.rows import evaluation_steps

Final = TrialResult
"""Earlier name of `TrialResult`."""

__all__ = ["Final", "TrialResult", "epoch_order", "evaluation_steps", "train"]
