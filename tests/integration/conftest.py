"""One Ray for all tests that need no process of their own: starting it takes ten seconds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A local Ray with two processors; launches in this process use it instead of starting
    theirs.
    """
    import ray

    from tests.integration.runs import HERE

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, at start and stop
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"env_vars": {"PYTHONPATH": str(HERE.parent.parent)}},
        )
        yield
        ray.shutdown()
