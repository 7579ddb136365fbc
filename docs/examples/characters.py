"""A character-level language model of the documentation of Python's built-in functions."""

import builtins

import torch
from torch import nn

from sparsetune import Arm, CustomTask, OptimSpec, Quick, ScheduleSpec, Study, TrialSpec

LENGTH = 32


def load():
    """Sequences of 32 characters as numbers, and for each the sequence one character later."""
    text = "".join(str(getattr(builtins, name).__doc__) for name in dir(builtins))
    characters = sorted(set(text))
    numbers = torch.tensor([characters.index(character) for character in text])
    starts = torch.arange(0, len(numbers) - LENGTH - 1, LENGTH)
    inputs = torch.stack([numbers[start : start + LENGTH] for start in starts])
    targets = torch.stack([numbers[start + 1 : start + LENGTH + 1] for start in starts])
    cut = len(starts) * 4 // 5
    return {
        "train": (inputs[:cut], targets[:cut]),
        "test": (inputs[cut:], targets[cut:]),
        "n_outputs": len(characters),
    }


class Model(nn.Module):
    """An embedding, two causal convolutions and a linear layer."""

    def __init__(self, n_outputs, width):
        super().__init__()
        self.embedding = nn.Embedding(n_outputs, width)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, width, 3) for _ in range(2))
        self.head = nn.Conv1d(width, n_outputs, 1)

    def forward(self, characters):
        """Logits of the next character at every place, (n, characters, 32)."""
        hidden = self.embedding(characters).transpose(1, 2)
        for convolution in self.convolutions:
            hidden = convolution(nn.functional.pad(hidden, (2, 0))).relu()
        return self.head(hidden)


TASK = CustomTask(
    data="characters:load", model="characters:Model", options={"width": 48}, batch_size=32
)
STUDY = Study(
    name="characters",
    base=TrialSpec(task=TASK, optim=OptimSpec(lr=0.5), schedule=ScheduleSpec(epochs=8)),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.8, 0.9]},
    quick_form=Quick(overrides={"schedule.epochs": 2}, report_seeds=1),
)
