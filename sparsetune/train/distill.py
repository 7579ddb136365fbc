"""Knowledge distillation: a student's loss against a teacher's logits.

The logits are computed once for every example of the training split.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import load
from torch import nn
from torch.nn import functional

from sparsetune.errors import DataError
from sparsetune.paths import Place, read_content
from sparsetune.spec import DistillSpec
from sparsetune.tasks.nested import Nested
from sparsetune.tasks.network import compute_outputs
from sparsetune.tasks.task import Examples

LOGITS_FILE = "logits.safetensors"
"""Name of the file with a teacher's logits, in the folder of its trial's attempt."""
TaskLoss = Callable[[Any, Any], torch.Tensor]
"""Loss without a teacher, a mean over a batch of outputs and targets."""


def distillation_loss(
    teacher: torch.Tensor, student: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Divergence ``T^2 KL(softmax(teacher / T) || softmax(student / T))`` in nats.

    Args:
        teacher: Logits, (n, classes), or (n, heads, classes) of several heads.
        student: Logits of the same shape.
        temperature: T, above 0. Its square keeps the size of gradients (Hinton et al. 2015,
            section 2.1).

    Returns:
        Mean over examples and heads.
    """
    teacher_log = functional.log_softmax(teacher.float() / temperature, -1)
    student_log = functional.log_softmax(student.float() / temperature, -1)
    divergence = functional.kl_div(student_log, teacher_log, reduction="none", log_target=True)
    return temperature**2 * divergence.sum(-1).mean()


class DistillationLoss:
    """Loss of a student that has a teacher.

    Args:
        spec: Declaration of hardness and temperature.
        logits: Teacher's logits of every example of the training split in its order, (n, ...), on
            the trial's device.
    """

    def __init__(self, spec: DistillSpec, logits: torch.Tensor) -> None:
        self._spec = spec
        self._logits = logits

    def loss(
        self, outputs: torch.Tensor, targets: Nested, index: torch.Tensor, task: TaskLoss
    ) -> torch.Tensor:
        """Loss ``(1 - h) task + h KL`` with hardness h, a mean over the batch.

        Args:
            outputs: Logits of the student, (n, ...).
            targets: Targets of the batch.
            index: Indices of its examples in the training split, (n,).
            task: Loss without a teacher; not computed where the hardness is 1.
        """
        hardness = self._spec.hardness
        teacher = self._logits[index]
        # Where a number is predicted, the softmax of its one logit is always 1.
        if outputs.shape[-1] == 1:
            distilled = functional.mse_loss(outputs.float(), teacher)
        else:
            distilled = distillation_loss(teacher, outputs, self._spec.temperature)
        if hardness == 1:
            return distilled
        return (1 - hardness) * task(outputs, targets) + hardness * distilled


@torch.no_grad()
def compute_split_logits(model: nn.Module, split: Examples) -> torch.Tensor:
    """Logits of all examples of a split in its order, (n, outputs), float32 on the CPU.

    The model is in evaluation mode meanwhile, and its mode is put back.
    """
    was_training = model.training
    model.eval()
    chunks = list(split.chunks())
    batches = [compute_outputs(model, inputs).float().cpu() for inputs, _ in split.read(chunks)]
    model.train(was_training)
    logits = torch.cat(batches)
    # Chunks may follow another order than the split, as texts by length do.
    ordered = torch.empty_like(logits)
    ordered[torch.cat(chunks)] = logits
    return ordered


def read_logits(place: Place, examples: int) -> torch.Tensor:
    """Read the logits that a teacher's trial wrote, (examples, outputs).

    Raises:
        DataError: if they are missing, torn, or of another number of examples.
        StorageError: if an object store does not answer.
    """
    content = read_content(place)
    try:
        logits = load(content or b"")["logits"]
    except Exception as error:  # a torn file may raise anything
        got = "nothing" if content is None else type(error).__name__
        rule = f"`{place}` must hold the logits of a teacher"
        raise DataError(f"{rule}, got {got}; run the study again") from error
    if len(logits) != examples:
        rule = f"`{place}` must hold logits of {examples} examples"
        raise DataError(f"{rule}, got {len(logits)}; run the study again")
    return logits
