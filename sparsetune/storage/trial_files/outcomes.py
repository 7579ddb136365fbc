"""Outcomes of a network on each example of the test set, as a trial leaves them in a small file.

The file has safetensors' format, as masks have: its size bounds what reading it takes, and nothing
in it is run. Right and wrong answers take one bit per example.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sparsetune.storage.checks import is_count, is_number, parse_json

Quantity = Literal["accuracy", "loss", "score"]
"""What outcomes are of, as in the columns ``test_accuracy``, ``test_loss`` and ``test_score``."""
MAX_OUTCOMES_BYTES = 2**28
"""Largest file that is read: outcomes of ten million examples take a fraction of it."""
FACTS_KEY = "facts"
"""Key of the file's metadata whose value is a JSON object: ``examples score_is_accuracy
learned_nothing chance_loss``."""
_Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Outcomes of one network on the test set, in the order of its examples.

    Args:
        examples: Number of test examples.
        accuracy: Whether each answer is right, bool, shape [n_examples]; where an example has
            several, its fraction of right ones, float32; None without classes.
        loss: Loss of each example, float32, shape [n_examples]; None where `accuracy` is kept, or
            where the loss is no mean over examples.
        score: Jackknife pseudo-values of the score, float32, shape [n_groups], whose mean is the
            score up to its bias; None where the score is the accuracy, or its metric does not say
            what each example contributes.
        predicted: Number of answers in each class, int64, shape [n_classes]; None without classes.
        labels: Number of targets in each class, int64, shape [n_classes]; None without classes.
        score_is_accuracy: True if the task's score is its accuracy.
        learned_nothing: True if every example gets the same answer though targets differ; of
            numbers, if the loss is not below that of the best constant answer. None where neither
            is known.
        chance_loss: Loss of the best constant answer on the test set; None where it is not known.
    """

    examples: int
    accuracy: NDArray[np.bool_] | NDArray[np.float32] | None = None
    loss: NDArray[np.float32] | None = None
    score: NDArray[np.float32] | None = None
    predicted: NDArray[np.int64] | None = None
    labels: NDArray[np.int64] | None = None
    score_is_accuracy: bool = False
    learned_nothing: bool | None = None
    chance_loss: float | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outcomes) and encode_outcomes(self) == encode_outcomes(other)

    __hash__ = None  # type: ignore[assignment]  # arrays have none

    @property
    def majority_share(self) -> float | None:
        """Share of the most frequent class among the targets, in (0, 1]; None without classes."""
        if self.labels is None or not self.labels.sum():
            return None
        return float(self.labels.max() / self.labels.sum())

    def values(self, quantity: Quantity) -> NDArray[np.float64] | None:
        """Numbers whose mean is a measure of the test set; None where they were not kept.

        Returns:
            Shape [n_examples]; [n_groups] for pseudo-values of a score. Entry i is about the same
            examples for every network that was measured on the same test set.
        """
        is_accuracy = quantity == "score" and self.score_is_accuracy
        kept = self.accuracy if is_accuracy else getattr(self, quantity)
        return None if kept is None else np.asarray(kept, dtype=np.float64)


def encode_outcomes(outcomes: Outcomes) -> bytes:
    """Content of the file; equal outcomes give equal bytes."""
    from safetensors.numpy import save

    facts = {
        "examples": outcomes.examples,
        "score_is_accuracy": outcomes.score_is_accuracy,
        "learned_nothing": outcomes.learned_nothing,
        "chance_loss": outcomes.chance_loss,
    }
    right = outcomes.accuracy
    arrays: dict[str, NDArray[Any] | None] = {
        "accuracy": right if right is None or right.dtype != np.bool_ else _packed(right),
        "loss": outcomes.loss,
        "score": outcomes.score,
        "predicted": outcomes.predicted,
        "labels": outcomes.labels,
    }
    tensors = {name: array for name, array in arrays.items() if array is not None}
    # One key alone: the order of several would differ from one process to the next.
    return save(tensors, {FACTS_KEY: json.dumps(facts, allow_nan=False)})


def _packed(right: NDArray[Any]) -> NDArray[np.uint8]:
    return np.packbits(right)


def decode_outcomes(content: bytes) -> Outcomes:
    """Outcomes in the content of a file.

    Raises:
        ValueError: if it does not hold what `encode_outcomes` writes, a clause.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(content)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"it is no safetensors file ({type(error).__name__})") from error
    facts = _facts(content)
    examples = facts.get("examples")
    chance = facts.get("chance_loss")
    if not is_count(examples) or examples == 0:
        raise ValueError("it must have a number of `examples`, 1 or more")
    if chance is not None and not is_number(chance):
        raise ValueError("its `chance_loss` must be a number or null")
    learned_nothing = facts.get("learned_nothing")
    score_is_accuracy = facts.get("score_is_accuracy")
    if type(score_is_accuracy) is not bool or type(learned_nothing) not in (bool, type(None)):
        raise ValueError("its `learned_nothing` and `score_is_accuracy` must be true or false")
    predicted, labels = (_counts(tensors, name) for name in ("predicted", "labels"))
    n_classes = [0 if counts is None else len(counts) for counts in (predicted, labels)]
    if n_classes[0] != n_classes[1]:
        raise ValueError("it must have `predicted` and `labels` of the same classes")
    return Outcomes(
        examples,
        _accuracy(tensors, examples),
        _numbers(tensors, "loss", examples, examples),
        _numbers(tensors, "score", 1, examples),
        predicted,
        labels,
        score_is_accuracy,
        learned_nothing,
        chance,
    )


def _facts(content: bytes) -> dict[str, Any]:
    """The JSON object in the metadata of a file that safetensors has read."""
    size = int.from_bytes(content[:8], "little")
    header = parse_json(content[8 : 8 + size])
    text = header.get("__metadata__", {}).get(FACTS_KEY)
    facts = parse_json(text.encode()) if isinstance(text, str) else None
    if not isinstance(facts, dict):
        raise ValueError(f"its metadata must have `{FACTS_KEY}`, a JSON object")
    return facts


def _accuracy(tensors: _Tensors, examples: int) -> NDArray[np.bool_] | NDArray[np.float32] | None:
    given = tensors.get("accuracy")
    if given is None:
        return None
    if given.dtype != np.uint8:
        fractions = _numbers(tensors, "accuracy", examples, examples)
        if fractions is None or fractions.min() < 0 or fractions.max() > 1:
            raise ValueError("its `accuracy` must lie in [0, 1]")
        return fractions
    # Sizes first, since a count of examples from outside may be any number.
    if given.shape != (-(-examples // 8),):
        raise ValueError(f"its `accuracy` must have a bit for each of {examples:,} examples")
    bits = np.unpackbits(given)
    if bits[examples:].any():
        raise ValueError("its `accuracy` must be 0 after the last example")
    return bits[:examples].astype(np.bool_)


def _numbers(tensors: _Tensors, name: str, least: int, most: int) -> NDArray[np.float32] | None:
    given = tensors.get(name)
    if given is None:
        return None
    if given.dtype != np.float32 or given.ndim != 1 or not least <= len(given) <= most:
        raise ValueError(f"its `{name}` must be {most:,} numbers of 32 bits")
    if not np.isfinite(given).all():
        raise ValueError(f"its `{name}` must be finite")
    return given


def _counts(tensors: _Tensors, name: str) -> NDArray[np.int64] | None:
    given = tensors.get(name)
    if given is None:
        return None
    if given.dtype != np.int64 or given.ndim != 1 or not given.size or given.min() < 0:
        raise ValueError(f"its `{name}` must be a count for each class")
    return given
