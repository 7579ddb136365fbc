"""A user's own code, as the tests of their tasks import it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

EXAMPLES = 60
TEST_EXAMPLES = 20
FEATURES = 4


def numbers(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def vectors(examples: int = EXAMPLES) -> dict[str, Any]:
    """Vectors of three classes, which the sum of their features tells apart."""
    train = numbers(0, examples, FEATURES)
    test = numbers(1, TEST_EXAMPLES, FEATURES)
    return {"train": (train, class_of(train)), "test": (test, class_of(test))}


def class_of(inputs: torch.Tensor) -> torch.Tensor:
    return torch.bucketize(inputs.sum(1), torch.tensor([-1.0, 1.0]))


def build(input_shape: tuple[int, ...], n_outputs: int, width: int = 8) -> nn.Module:
    """A network with a norm's buffers, and with dropout, which draws from the generator."""
    hidden = [nn.Linear(*input_shape, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*hidden, nn.Linear(width, n_outputs))


def shake(inputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    noise = torch.randn(inputs.shape, generator=generator, device=inputs.device)
    return inputs + 0.1 * noise


class Vectors(Dataset[Any]):
    """The same examples, read one by one."""

    def __init__(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        self.inputs = inputs
        self.targets = targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Any:
        return self.inputs[index], self.targets[index]


def vectors_one_by_one() -> dict[str, Any]:
    return {name: Vectors(*part) for name, part in vectors().items()}


def pairs() -> dict[str, Any]:
    """Two inputs, and a number to predict."""
    parts = {}
    for seed, (name, count) in enumerate({"train": EXAMPLES, "test": TEST_EXAMPLES}.items()):
        first = numbers(2 * seed, count, FEATURES)
        other = numbers(2 * seed + 1, count, FEATURES)
        parts[name] = ((first, other), (first * other).sum(1))
    return parts


class OfTwo(nn.Module):
    def __init__(self, input_shape: Any, n_outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(*input_shape[0], 8)
        self.other = nn.Linear(*input_shape[1], 8)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, first: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.head(self.first(first) * self.other(other))
        return hidden


def named_inputs() -> dict[str, Any]:
    """Token numbers and a mask by name; the class is that of the first token."""
    parts = {}
    for seed, (name, count) in enumerate({"train": EXAMPLES, "test": TEST_EXAMPLES}.items()):
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.randint(0, 10, (count, 6), generator=generator)
        inputs = {"tokens": tokens, "weights": torch.ones(count, 6)}
        parts[name] = (inputs, tokens[:, 0] % 2)
    return parts


class OfNames(nn.Module):
    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 8)
        self.head = nn.Linear(48, n_outputs)

    def forward(self, tokens: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head((self.embedding(tokens) * weights[..., None]).flatten(1))
        return logits


def several_heads() -> dict[str, Any]:
    """One input, and two targets by name."""
    parts = {}
    for name, (inputs, targets) in vectors().items():
        parts[name] = (inputs, {"class": targets, "sum": inputs.sum(1)})
    return {**parts, "n_outputs": 3}


class Heads(nn.Module):
    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.body = nn.Linear(FEATURES, 8)
        self.classes = nn.Linear(8, n_outputs)
        self.number = nn.Linear(8, 1)

    def forward(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = self.body(inputs).relu()
        return {"class": self.classes(hidden), "sum": self.number(hidden).squeeze(1)}


def heads_loss(outputs: Any, targets: Any) -> torch.Tensor:
    classes = nn.functional.cross_entropy(outputs["class"], targets["class"])
    return classes + nn.functional.mse_loss(outputs["sum"], targets["sum"])


def heads_right(outputs: Any, targets: Any) -> torch.Tensor:
    return (outputs["class"].argmax(1) == targets["class"]).double().mean()


heads_right.higher_is_better = True  # type: ignore[attr-defined]


def absolute_error(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    return float((outputs.squeeze(1) - targets).abs().mean())


class Share:
    """A metric with outcomes."""

    higher_is_better = True

    def outcomes(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs.argmax(1) == targets).double()[:, None]

    def score(self, outcomes: torch.Tensor) -> float:
        return float(outcomes.mean())


# Data and functions that cannot be learned from.


def raises() -> dict[str, Any]:
    raise ValueError("no such file")


def asks_for_more(folder: str) -> dict[str, Any]:
    return {"folder": folder}


def a_list() -> Any:
    return [1, 2]


def without_test() -> dict[str, Any]:
    return {"train": vectors()["train"]}


def with_an_odd_key() -> dict[str, Any]:
    return {**vectors(), "dev": None}


def with_nan() -> dict[str, Any]:
    inputs, targets = vectors()["train"]
    inputs = inputs.clone()
    inputs[3, 1] = float("nan")
    return {**vectors(), "train": (inputs, targets)}


def of_one_class() -> dict[str, Any]:
    inputs, targets = vectors()["train"]
    return {**vectors(), "train": (inputs, torch.ones_like(targets))}


def of_unequal_lengths() -> dict[str, Any]:
    inputs, targets = vectors()["train"]
    return {**vectors(), "train": (inputs, targets[:-1])}


def of_nothing() -> dict[str, Any]:
    return {**vectors(), "test": (torch.zeros(0, FEATURES), torch.zeros(0))}


def of_words() -> dict[str, Any]:
    return {**vectors(), "test": (["a", "b"], [0, 1])}


class Restless(Vectors):
    def __getitem__(self, index: int) -> Any:
        return torch.rand(FEATURES), self.targets[index]


def restless() -> dict[str, Any]:
    return {**vectors(), "train": Restless(*vectors()["train"])}


def no_module(n_outputs: int) -> Any:
    return n_outputs


def too_narrow(input_shape: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(nn.Linear(*input_shape, 8), nn.ReLU(), nn.Linear(8, 2))


def loss_of_each(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(outputs, targets, reduction="none")
