"""Attempts that end at a step, with a checkpoint written there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsetune.train.checkpoint import Checkpoints


class Interrupted(Exception):
    """Ends an attempt."""


class Stops(Checkpoints):
    """Writes a checkpoint after each of the given steps, and ends the attempt there."""

    def __init__(self, folder: Path, steps: set[int]) -> None:
        super().__init__(folder, seconds=0, mid_epoch_seconds=0)
        self.steps = steps

    def write(self, step: int, *args: Any) -> Path:
        if step not in self.steps:
            return self.folder
        super().write(step, *args)
        raise Interrupted
