"""The declaration of evaluation."""

from __future__ import annotations

from pydantic import Field

from sparsetune.durations import LengthField
from sparsetune.spec.declaration import MAX_COUNT, Declaration


class EvaluateSpec(Declaration):
    """Times of evaluation besides the end of every epoch, and size of the training subset."""

    every: LengthField | None = None
    """Training between two evaluations; None: at the end of every epoch only."""
    train_examples: int = Field(default=10_000, ge=1, le=MAX_COUNT)
    """Examples of the training split on which the training loss is measured; all where it has
    fewer."""
