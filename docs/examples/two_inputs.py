"""Two inputs and a loss of one's own: pairs of equal digits (after Hadsell et al. 2006)."""

import numpy as np
import torch
from torch import nn

from sparsetune import Arm, CustomTask, MetricSpec, OptimSpec, Quick, ScheduleSpec, Study, TrialSpec


def load():
    """Pairs of scikit-learn's digits, (n, 64) each, and 1 where both show the same digit."""
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    random = np.random.RandomState(0)

    def pairs(count, rows):
        first, other = random.choice(rows, (2, count))
        # Every second pair is of equal digits: for chance, only every tenth would be.
        for place in range(0, count, 2):
            other[place] = random.choice(rows[digits[rows] == digits[first[place]]])
        same = digits[first] == digits[other]
        return (images[first] / 16, images[other] / 16), same.astype("float32")

    train, test = np.split(random.permutation(len(digits)), [1_400])
    return {"train": pairs(2_000, train), "test": pairs(500, test), "n_outputs": 16}


class Twins(nn.Module):
    """One network for both inputs."""

    def __init__(self, n_outputs):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, n_outputs))

    def forward(self, first, other):
        """Distance of the two embeddings, (n,)."""
        return torch.linalg.vector_norm(self.network(first) - self.network(other) + 1e-6, dim=1)


def contrastive(distance, same):
    """Squared distance of equal pairs; of others how much it falls short of 1, squared."""
    return (same * distance**2 + (1 - same) * (1 - distance).clamp(min=0) ** 2).mean()


def right(distance, same):
    """Fraction of pairs that a distance of one half tells apart."""
    return ((distance < 0.5).float() == same).float().mean()


RIGHT = MetricSpec("two_inputs:right", higher_is_better=True, fraction=True)
OWN = {"data": "load", "model": "Twins", "loss": "contrastive"}
TASK = CustomTask(metrics=RIGHT, **{field: f"two_inputs:{name}" for field, name in OWN.items()})
STUDY = Study(
    name="two_inputs",
    base=TrialSpec(task=TASK, optim=OptimSpec(lr=0.1), schedule=ScheduleSpec(epochs=10)),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.8, 0.95]},
    quick_form=Quick(overrides={"schedule.epochs": 4}, report_seeds=1),
)
