"""The declaration of the optimizer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sparsetune.spec.declaration import Declaration


class OptimSpec(Declaration):
    """The optimizer. Weight decay spares biases and norms unless ``decay_bias_and_norm``."""

    name: Literal["sgd", "adamw"] = "sgd"
    """Optimizer: SGD with momentum, or Adam with decoupled weight decay."""
    lr: float = Field(default=0.1, gt=0)
    """Peak learning rate."""
    lr_batch: int | None = Field(default=None, ge=1)
    """Batch size that ``lr`` is given for; ``lr`` is scaled in proportion to the task's batch size
    (Goyal et al. 2017). None: ``lr`` is used as it is."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Weight decay of every decayed parameter."""
    decay_bias_and_norm: bool = False
    """Decay biases and the weights of norms too."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """``sgd`` only: momentum."""
    nesterov: bool = False
    """``sgd`` only: use Nesterov's momentum."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """``adamw`` only: decay per step of the mean of gradients."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """``adamw`` only: decay per step of the mean of squared gradients."""
    ema: float = Field(default=0, ge=0, lt=1)
    """Decay per step of a masked moving average of the weights, which is then what is evaluated and
    saved; 0 for none."""
