"""The declaration of the schedule: the length of training, and its learning rate over time.

`sparsetune.spec.rates` turns it into the learning rate of every step.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from sparsetune.durations import Length, LengthField
from sparsetune.imports import name_or_import_path
from sparsetune.spec.declaration import Declaration, to_plain

MAX_EPOCHS = 1_000_000
"""Most epochs of training, and largest factor that extends it."""
LrDecay = Literal["linear", "cosine", "constant", "step"]


class RewindSpec(Declaration):
    """Learning-rate rewinds: the decay starts again at its peak and reaches its floor in time."""

    start: LengthField = Length(2, "epochs")
    """Training done at the first rewind."""
    every: LengthField = Length(2, "epochs")
    """Training between two rewinds; the last decay ends with training, however short it is."""


GMP_STAR_REWINDS = RewindSpec()
"""GMP*: the two-epoch schedule of dense fine-tuning, repeated (Kurtic et al. 2024, app. A)."""
OBERT_REWINDS = RewindSpec(every="4 epochs")
"""oBERT's 30-epoch recipe: a rewind at each pruning step, epochs 2, 6, … 26 (Kurtic et al. 2022,
arXiv 2203.07259)."""


class ScheduleSpec(Declaration):
    """Length of training, and the learning rate over it: a linear warm-up, then a decay."""

    epochs: float = Field(default=4, gt=0, le=MAX_EPOCHS)
    """Epochs of training before ``epoch_multiplier`` and ``stretch``; may be a fraction."""
    epoch_multiplier: float = Field(default=1, gt=0, le=MAX_EPOCHS)
    """Extends training; learning rate, ramp and all other fractions of training stretch with it."""
    stretch: float = Field(default=1, gt=0, le=MAX_EPOCHS)
    """Sparse networks only: extends training as the multiplier does, but not for dense twins. Set
    by studies that equal training FLOPs."""
    lr: Annotated[str, AfterValidator(name_or_import_path(get_args(LrDecay)))] = "linear"
    """Decay of the learning rate after the warm-up: ``linear`` or ``cosine`` to zero, ``constant``,
    ``step`` by ``factor`` at each of ``anchors``; or your own ``package.module:function``, from the
    fraction of the decay that is done, in [0, 1], to the fraction of the peak rate."""
    warmup: LengthField = Length(0.05)
    """Training over which the learning rate rises to its peak: a fraction stretches, epochs do
    not."""
    anchors: tuple[LengthField, ...] = ()
    """``step`` only: training done at each fall."""
    factor: float = Field(default=0.1, gt=0, lt=1)
    """``step`` only: factor of the learning rate at each fall."""
    floor: float = Field(default=0, ge=0, lt=1)
    """``linear``, ``cosine`` and your own: where the decay ends, as a fraction of the peak."""
    rewind: RewindSpec | None = None
    """``linear``, ``cosine`` and your own: when the decay starts again; None for never."""
    lr_per: Literal["step", "epoch"] = "step"
    """Time between changes of the learning rate: every step, or once per epoch as in AC/DC's
    code."""

    @model_validator(mode="after")
    def _is_consistent(self) -> ScheduleSpec:
        if (self.lr == "step") != bool(self.anchors):
            given = to_plain(self.anchors)
            raise ValueError(
                f"`anchors` belong to the decay `step`, and only there, got {given} for `{self.lr}`"
            )
        return self
