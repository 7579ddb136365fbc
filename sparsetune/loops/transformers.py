"""A callback that prunes a model in the `Trainer` of transformers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
from transformers import TrainerCallback

from sparsetune.errors import CheckpointError, DeclarationError, Problem, SparsetuneError
from sparsetune.loops.extra_batches import ExtraLosses
from sparsetune.loops.sparse_training import SparseTraining, sparsify
from sparsetune.sparsity.account.trace import Example
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.train.optim import held_parameters

STATE_FILE = "sparsity.pt"
"""File in each checkpoint of the Trainer with the state of the masks."""


class SparsityCallback(TrainerCallback):  # type: ignore[misc]  # transformers is untyped for us
    """Prunes the Trainer's model; every checkpoint holds the state of its masks.

    Lengths in epochs and samples are those of the Trainer. A training that the Trainer resumes
    continues bit for bit.

    Args:
        sparsity: Method, target, ramp, allocation, pattern.
        seed: Seed of random masks and of extra batches.
        clip_norm: Largest norm of the gradients that the optimizer applies, those of pruned weights
            not counted, in place of ``max_grad_norm``; None: gradients are not clipped.
        losses: See `sparsetune.sparsify`.
        example: See `sparsetune.sparsify`.
        resume_from: Folder of the checkpoint that is resumed; by default the one of that step in
            ``output_dir``.
    """

    def __init__(
        self,
        sparsity: SparsitySpec,
        *,
        seed: int = 0,
        clip_norm: float | None = None,
        losses: ExtraLosses | None = None,
        example: Example | None = None,
        resume_from: str | Path | None = None,
    ) -> None:
        self.training: SparseTraining | None = None
        """The training, from its start on."""
        self._sparsity = sparsity
        self._seed = seed
        self._clip_norm = clip_norm
        self._losses = losses
        self._example = example
        self._resume_from = resume_from
        self._trained: list[nn.Parameter] = []

    def certificate(self) -> dict[str, Any]:
        """See `SparseTraining.certificate`.

        Raises:
            SparsetuneError: before training.
        """
        return self._started().certificate()

    def on_train_begin(
        self, args: Any, state: Any, control: Any, *, model: Any, optimizer: Any, **rest: Any
    ) -> None:
        """Make the training sparse, or continue it.

        Raises:
            DeclarationError: if the declaration, or an argument of the Trainer, does not fit.
            CheckpointError: if the resumed checkpoint has no state of masks, or that of another
                training.
        """
        problems = list(_argument_problems(args))
        if problems:
            raise DeclarationError(problems, "the arguments of the Trainer")
        own = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
        accumulated = args.gradient_accumulation_steps
        self.training = sparsify(
            model,
            own,
            self._sparsity,
            total_steps=state.max_steps,
            steps_per_epoch=_steps_per_epoch(rest.get("train_dataloader"), accumulated),
            batch_size=args.train_batch_size * accumulated * args.world_size,
            seed=self._seed,
            losses=self._losses,
            example=self._example,
            state=self._saved_state(args, state.global_step) if state.global_step else None,
        )
        self._trained = held_parameters(model, own)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Mask and gather the gradients, then clip them."""
        made = self._started().before_optimizer_step()
        if made and self._clip_norm is not None:
            clip_grad_norm_(self._trained, self._clip_norm)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Change the mask, where that is due."""
        self._started().after_optimizer_step()

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Write the state of the masks into the Trainer's checkpoint."""
        if state.is_world_process_zero:
            folder = _checkpoint_folder(args, state.global_step)
            torch.save(self._started().state_dict(), folder / STATE_FILE)

    def _saved_state(self, args: Any, step: int) -> dict[str, Any]:
        """State of the masks in the checkpoint that the Trainer resumes."""
        folder = Path(self._resume_from or _checkpoint_folder(args, step))
        path = folder / STATE_FILE
        if not path.is_file():
            raise CheckpointError(
                f"the checkpoint of step {step} must hold `{STATE_FILE}`, which this callback"
                f" writes, got none in {folder}: name its folder with `resume_from=`"
            )
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state

    def _started(self) -> SparseTraining:
        if self.training is None:
            raise SparsetuneError("the training must have started: call `trainer.train()` first")
        return self.training


def _checkpoint_folder(args: Any, step: int) -> Path:
    return Path(args.output_dir) / f"checkpoint-{step}"


def _steps_per_epoch(dataloader: Any, accumulated: int) -> int | None:
    """Optimizer steps of an epoch; None where the data have no length."""
    try:
        return math.ceil(len(dataloader) / accumulated)
    except TypeError:
        return None


def _argument_problems(args: Any) -> Iterator[Problem]:
    """Arguments of the Trainer under which masks could not be kept."""
    if args.max_grad_norm:
        rule = (
            "the Trainer would clip before the mask, and count gradients of pruned weights: set it"
            f" to 0, and `clip_norm={args.max_grad_norm:g}` in the SparsityCallback to clip after"
        )
        yield Problem("max_grad_norm", rule, f"{args.max_grad_norm:g}")
    if args.load_best_model_at_end:
        rule = (
            "the best model may be one of before the target, with other masks: set it to False, and"
            " choose among the checkpoints at the target"
        )
        yield Problem("load_best_model_at_end", rule, "True")
    if args.auto_find_batch_size:
        rule = "a start with smaller batches would begin with pruned weights: set it to False"
        yield Problem("auto_find_batch_size", rule, "True")
    for name in ("deepspeed", "fsdp"):
        if getattr(args, name, None):
            rule = (
                "each process must hold whole weights, since a mask is chosen from all of them:"
                " leave it out"
            )
            yield Problem(name, rule, repr(getattr(args, name)))
