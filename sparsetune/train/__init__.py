"""One trial, trained without Ray."""

from sparsetune.train.loop import TrialResult, epoch_order, evaluation_steps, train

__all__ = ["TrialResult", "epoch_order", "evaluation_steps", "train"]
