"""What the tests of `sparsetune.tune` share: no Ray is started."""

from __future__ import annotations

import pytest

from sparsetune.tune.sampling import quiet_optuna


@pytest.fixture(autouse=True)
def _quiet_optuna() -> None:
    """Every test has warning filters of its own, where Optuna's experimental samplers are errors."""
    quiet_optuna()
