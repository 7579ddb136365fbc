"""The declaration of the optimizer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sparsetune.spec.declaration import Declaration


class OptimSpec(Declaration):
    """The optimizer. Weight decay spares biases and norms unless ``decay_bias_and_norm``."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(default=0.1, gt=0)
    """Peak learning rate."""
    lr_batch: int | None = Field(default=None, ge=1)
    """Batch size that ``lr`` is given for; ``lr`` is scaled in proportion to the task's batch size
    (Goyal et al. 2017). None: ``lr`` is used as it is."""
    weight_decay: float = Field(default=1e-4, ge=0)
    decay_bias_and_norm: bool = False
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    ema: float = Field(default=0, ge=0, lt=1)
    """Decay per step of a masked moving average of the weights, which is then what is evaluated and
    saved; 0 for none."""
