"""One change of the mask during training: the words in which every method describes itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sparsetune.spec import TrialSpec
    from sparsetune.spec.columns import Phase

Action = Literal["keep", "draw", "prune", "release", "regrow", "shadow"]


@dataclass(frozen=True)
class MaskChange:
    """A change of the mask at an optimizer step.

    It is made before the forward pass of the step; ``regrow`` after its backward pass, whose
    gradients it needs.

    Args:
        step: Optimizer steps done before the change, in [0, total]; a change at ``total`` is made
            at the end of training.
        phase: Phase that begins.
        sparsity: Fraction of the prunable weights outside the mask from then on, in [0, 1); 0 for
            a dense network.
        action: ``keep`` leaves the mask as it is; ``draw`` takes a random one; ``prune`` removes
            the lowest scores; ``release`` lets every weight train; ``regrow`` prunes, then
            exchanges kept weights for pruned ones; ``shadow`` prunes again before every forward
            pass and keeps the dense weights behind.
        exchanged: For ``regrow``, the fraction of a layer's kept weights to exchange, in [0, 1).
        replaces_step: True if the optimizer does not step on this batch.
        allocation: For ``draw``, the allocation of the random mask; None: the declared one.
    """

    step: int
    phase: Phase
    sparsity: float
    action: Action = "keep"
    exchanged: float = 0.0
    replaces_step: bool = False
    allocation: str | None = None


Plan = Callable[["TrialSpec"], list[MaskChange]]
"""Function of a valid trial: the changes of its mask, in order of step."""
