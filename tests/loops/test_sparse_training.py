"""A plain PyTorch loop with every method: the masks of `train`, resumed, certified, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sparsetune import sparsify
from tests.loops.reference import (
    UserLoop,
    assert_same_weights,
    first_difference,
    recorded,
    trial,
    weights_of,
)
from tests.train.test_resume import AXES, METHOD_SPECS

OWN_SCORE = "a user's own score"
CASES: dict[str, dict[str, Any]] = {
    **{name: {"method": name, **given} for name, given in METHOD_SPECS.items()},
    **AXES,
}
for _given in CASES.values():
    _given.pop("recalibrate", None)
