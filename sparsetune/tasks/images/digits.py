"""scikit-learn's handwritten digits: real images that need no download (Alpaydin & Kaynak 1998)."""

from __future__ import annotations

from functools import cache

import torch

from sparsetune.tasks.task import stratified_split

INPUT_SHAPE = (1, 8, 8)
N_CLASSES = 10
TEST_EXAMPLES = 360
TEST_SEED = 0


@cache
def read_digits() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """``train`` (1,437 examples) and ``test`` (360, the same for every trial): inputs in [0, 1] and classes."""
    from sklearn.datasets import (
        load_digits,  # five seconds, which only a trial on the digits should pay
    )

    digits = load_digits()
    inputs = torch.from_numpy(digits.images).float().unsqueeze(1) / 16
    targets = torch.from_numpy(digits.target).long()
    test, train = stratified_split(digits.target, TEST_EXAMPLES, TEST_SEED)
    return {
        name: (inputs[index], targets[index]) for name, index in (("train", train), ("test", test))
    }
