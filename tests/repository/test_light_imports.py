"""What a fresh process must not load: seconds of imports that most commands do not need."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "torchvision",
    "ray",
    "optuna",
    "matplotlib",
    "transformers",
    "datasets",
    "sklearn",
    "mlflow",
    "tensorboardX",
    "wandb",
}
STORES = {"fsspec", "upath", "s3fs", "botocore", "aiobotocore"}


def loaded(*arguments: str) -> set[str]:
    """Top-level packages that a Python process with these arguments imports."""
    return {module.partition(".")[0] for module in loaded_modules(*arguments)}


def loaded_modules(*arguments: str) -> set[str]:
    """Modules that a Python process with these arguments imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


@pytest.mark.parametrize(
    "module", ["sparsetune", "analysis", "sparsetune.study", "sparsetune.storage"]
)
def test_importing_is_light(module: str) -> None:
    packages = loaded("-c", f"import {module}")
    assert module.partition(".")[0] in packages
    assert packages & (HEAVY | STORES) == set()


def test_the_state_of_a_study_is_shown_without_torch_or_ray() -> None:
    packages = loaded("-c", "import sparsetune.search.status")
    assert "optuna" in packages
    assert packages & ((HEAVY | STORES) - {"optuna"}) == set()
    assert "scipy.stats" not in loaded_modules("-c", "import sparsetune.search.status")


def test_the_public_names_are_those_that_load() -> None:
    packages = loaded(
        "-c", "import sparsetune; sparsetune.Study; sparsetune.TrialSpec; sparsetune.LogUniform"
    )
    assert "pydantic" in packages
    assert packages & HEAVY == set()


def test_help_loads_no_more_than_the_parser() -> None:
    assert (
        loaded("-m", "sparsetune", "--help") & (HEAVY | {"pandas", "numpy", "scipy", "pyarrow"})
        == set()
    )


def test_methods_load_before_the_declaration_whose_tables_follow_from_them() -> None:
    modules = loaded_modules("-c", "import sparsetune.sparsity.methods.registry")
    assert "sparsetune.sparsity.methods.hard.rigl" in modules
    assert not {module for module in modules if module.startswith("sparsetune.spec")}
