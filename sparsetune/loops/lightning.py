"""A callback that prunes a module in the `Trainer` of Lightning."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from sparsetune.errors import DeclarationError, Problem, SparsetuneError
from sparsetune.loops.extra_batches import ExtraLosses
from sparsetune.loops.sparse_training import SparseTraining, sparsify
from sparsetune.sparsity.account.trace import Example
from sparsetune.spec.sparsity import SparsitySpec

try:
    from lightning.pytorch import Callback
except ImportError:  # the same package under its older name; trainers of both call any callback
    try:
        from pytorch_lightning import Callback
    except ImportError as error:
        raise ImportError(
            "`sparsetune.loops.lightning` needs Lightning: install the extra `lightning`, as in"
            ' `pip install "sparsetune[lightning]"`'
        ) from error


class SparsityCallback(Callback):  # type: ignore[misc]  # Lightning is untyped for us
    """Prunes the module that a Trainer fits; Lightning's checkpoints hold the state of its masks.

    Lengths in epochs are those of the Trainer. A training that Lightning resumes (``ckpt_path``)
    goes on with its masks. ``gradient_clip_val`` does not count gradients of pruned weights.

    Args:
        sparsity: Method, target, ramp, allocation, pattern.
        seed: Seed of random masks and of extra batches.
        batch_size: Examples of an optimizer step; needed where a length is in samples.
        losses: See `sparsetune.sparsify`.
        example: See `sparsetune.sparsify`.
    """

    def __init__(
        self,
        sparsity: SparsitySpec,
        *,
        seed: int = 0,
        batch_size: int | None = None,
        losses: ExtraLosses | None = None,
        example: Example | None = None,
    ) -> None:
        self.training: SparseTraining | None = None
        """The training, from its start on."""
        self._sparsity = sparsity
        self._seed = seed
        self._batch_size = batch_size
        self._losses = losses
        self._example = example
        self._saved_state: dict[str, Any] | None = None
        self._is_stepping = False

    def certificate(self) -> dict[str, Any]:
        """See `SparseTraining.certificate`.

        Raises:
            SparsetuneError: before training.
        """
        return self._started().certificate()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Make the training sparse, or continue it.

        Raises:
            DeclarationError: if the declaration, the module or the Trainer does not fit.
            CheckpointError: if the state that Lightning restored is of another training.
        """
        problems = list(_trainer_problems(trainer, pl_module))
        if problems:
            raise DeclarationError(problems, "the Trainer of Lightning")
        self.training = sparsify(
            pl_module,
            trainer.optimizers[0],
            self._sparsity,
            total_steps=int(trainer.estimated_stepping_batches),
            steps_per_epoch=_steps_per_epoch(trainer),
            batch_size=self._batch_size,
            seed=self._seed,
            losses=self._losses,
            example=self._example,
            state=self._saved_state,
        )
        self._saved_state = None

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Mask and gather the gradients; Lightning clips them after."""
        self._started().before_optimizer_step()
        self._is_stepping = True

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Change the mask, where that is due; nothing after a batch that only adds gradients."""
        if self._is_stepping:
            self._is_stepping = False
            self._started().after_optimizer_step()

    def state_dict(self) -> dict[str, Any]:
        """State of the masks, for Lightning's checkpoint; empty before training."""
        return {} if self.training is None else self.training.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the state of a checkpoint until the optimizer is restored too."""
        self._saved_state = state_dict or None

    def _started(self) -> SparseTraining:
        if self.training is None:
            raise SparsetuneError("the training must have started: call `trainer.fit(…)` first")
        return self.training


def _steps_per_epoch(trainer: Any) -> int | None:
    """Optimizer steps of an epoch; None where the data have no length."""
    batches = trainer.num_training_batches
    if math.isinf(batches):
        return None
    steps: int = math.ceil(batches / trainer.accumulate_grad_batches)
    return steps


def _trainer_problems(trainer: Any, module: Any) -> Iterator[Problem]:
    """What in a Trainer or a module does not let masks be kept."""
    if not module.automatic_optimization:
        rule = (
            "with manual optimization the step is the module's: call `sparsetune.sparsify` and its"
            " `step()` there, without this callback"
        )
        yield Problem("automatic_optimization", rule, "False")
    if len(trainer.optimizers) != 1:
        rule = "one optimizer must train all that is pruned: return one from the module"
        yield Problem("configure_optimizers", rule, str(len(trainer.optimizers)))
    if math.isinf(trainer.estimated_stepping_batches):
        rule = "the masks follow the length of training: set it, or `max_epochs` with sized data"
        yield Problem("max_steps", rule, "a training without an end")
    strategy = type(trainer.strategy).__name__
    if any(name in strategy for name in ("FSDP", "DeepSpeed", "ModelParallel")):
        rule = (
            "each process must hold whole weights, since a mask is chosen from all of them: take"
            " `ddp`"
        )
        yield Problem("strategy", rule, strategy)
