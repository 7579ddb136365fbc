"""One trial, trained without Ray."""

from sparsetune.train.loop import Final, epoch_order, evaluation_steps, train

__all__ = ["Final", "epoch_order", "evaluation_steps", "train"]
