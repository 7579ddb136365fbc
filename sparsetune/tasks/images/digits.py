"""scikit-learn's handwritten digits: real images without a download (Alpaydin & Kaynak 1998)."""

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
    """Images in [0, 1] (n, 1, 8, 8) and class numbers (n,) of ``train`` (1,437) and ``test`` (360).

    The test set is the same for every trial.
    """
    # Importing takes five seconds, which only a trial on the digits should pay.
    from sklearn.datasets import load_digits

    digits = load_digits()
    inputs = torch.from_numpy(digits.images).float().unsqueeze(1) / 16
    targets = torch.from_numpy(digits.target).long()
    test, train = stratified_split(digits.target, TEST_EXAMPLES, TEST_SEED)
    return {"train": (inputs[train], targets[train]), "test": (inputs[test], targets[test])}
