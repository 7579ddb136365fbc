"""Knowledge distillation: a student's loss against the logits of a teacher, computed once for every example."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as tensors
from torch import nn
from torch.nn import functional

from sparsetune.errors import DataError
from sparsetune.paths import Place, read_content
from sparsetune.spec import DistillSpec
from sparsetune.tasks.network import compute_logits
from sparsetune.tasks.task import Examples

LOGITS_FILE = "logits.safetensors"
"""The file of a teacher's logits, in the folder of its trial's attempt."""
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def distillation_loss(
    teacher: torch.Tensor, student: torch.Tensor, temperature: float
) -> torch.Tensor:
    """``T^2 KL(softmax(teacher / T) || softmax(student / T))`` in nats, a mean over examples and heads.

    Args:
        teacher: Logits (n, classes), or (n, heads, classes) of several heads.
        student: The same.
        temperature: T, above 0. Its square keeps gradients of one size (Hinton et al. 2015, section 2.1).
    """
    wanted, said = (
        functional.log_softmax(logits.float() / temperature, -1) for logits in (teacher, student)
    )
    return (
        temperature**2
        * functional.kl_div(said, wanted, reduction="none", log_target=True).sum(-1).mean()
    )


class DistillationLoss:
    """What a student is optimised for, where it has a teacher.

    Args:
        spec: Hardness and temperature.
        logits: Of every example of the training split, in its order (n, ...), on the trial's device.
    """

    def __init__(self, spec: DistillSpec, logits: torch.Tensor) -> None:
        self._spec = spec
        self._logits = logits

    def loss(
        self, outputs: torch.Tensor, targets: torch.Tensor, index: torch.Tensor, task: Loss
    ) -> torch.Tensor:
        """``(1 - h) task + h KL``, a mean over the batch.

        Args:
            outputs: Of the student.
            targets: Of the batch.
            index: Which examples they are.
            task: The loss without a teacher; not computed where the hardness is 1.
        """
        hardness = self._spec.hardness
        wanted = self._logits[index]
        if outputs.shape[-1] == 1:  # a number is predicted: a softmax of one logit says nothing
            taught = functional.mse_loss(outputs.float(), wanted)
        else:
            taught = distillation_loss(wanted, outputs, self._spec.temperature)
        return (
            taught if hardness == 1 else (1 - hardness) * task(outputs, targets) + hardness * taught
        )


@torch.no_grad()
def compute_split_logits(model: nn.Module, split: Examples) -> torch.Tensor:
    """The logits of every example of a split, in evaluation mode, in the split's order: float32 on the CPU."""
    was_training = model.training
    model.eval()
    chunks = list(split.chunks())
    said = torch.cat(
        [compute_logits(model, inputs).float().cpu() for inputs, _ in split.read(chunks)]
    )
    model.train(was_training)
    whole = torch.empty_like(said)
    whole[torch.cat(chunks)] = said
    return whole


def read_logits(place: Place, examples: int) -> torch.Tensor:
    """The logits that a teacher's trial left.

    Raises:
        DataError: if they are gone, torn, or of another number of examples.
        StorageError: if an object store does not answer.
    """
    whole = read_content(place)
    try:
        logits = tensors(whole or b"")["logits"]
    except Exception as error:  # a torn file may raise anything
        got = "nothing" if whole is None else type(error).__name__
        raise DataError(
            f"`{place}` must hold the logits of a teacher, got {got}; run the study again"
        ) from error
    if len(logits) != examples:
        raise DataError(
            f"`{place}` must hold logits of {examples} examples, got {len(logits)}; run the study again"
        )
    return logits


def train_teacher(train: Callable[..., Any], how: Mapping[str, Any], examples: int) -> torch.Tensor:
    """The logits of a teacher that is trained first, for a student that is trained outside of a study.

    Args:
        train: `sparsetune.train.train`.
        how: Its arguments for the teacher.
        examples: Of the training split.

    Raises:
        DataError: if the teacher diverges.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / LOGITS_FILE
        final = train(**how, logits_to=place)
        if final.status != "COMPLETE":
            raise DataError(
                f"the teacher must end well, got {final.status} ({final.error}); change its recipe"
            )
        return read_logits(place, examples)
