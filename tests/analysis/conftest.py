"""Simulated study directories for every test of the analyses."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsetune.study import Study
from tests.analysis.simulation import DIGITS, FASHION, SMALL, Simulation


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of four cells."""
    return Simulation(SMALL, tmp_path_factory.mktemp("runs") / "small").run()


@pytest.fixture(scope="session")
def simulation() -> type[Simulation]:
    """For a test that writes a study of its own."""
    return Simulation


@pytest.fixture(scope="session")
def studies() -> dict[str, Study]:
    """The declarations by name."""
    return {"small": SMALL, "digits": DIGITS, "fashion": FASHION}
