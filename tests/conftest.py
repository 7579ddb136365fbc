"""What must hold before anything is imported, and the data that some tests read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("patient")
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = (
    "0"  # else Ray builds a second environment under `uv run`
)
os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_UPDATE_DOWNLOAD_COUNTS"] = "0"  # else `datasets` reports each read to its server
os.environ["OMP_NUM_THREADS"] = (
    "1"  # torch reads it when it is imported, which is not for every test
)

TERMINAL_VARIABLES = (
    "CLICOLOR_FORCE",
    "COLUMNS",
    "FORCE_COLOR",
    "LINES",
    "NO_COLOR",
    "PYTHON_COLORS",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two processes: what starts Ray mostly waits for it, and quick tests take longer than one may
    be asked to wait.
    """
    return 2


@pytest.fixture(autouse=True)
def _environment_as_found() -> Iterator[None]:
    """Undo what a command line that runs in the test's own process sets for the rest of it."""
    data_root = os.environ.get("SPARSETUNE_DATA")
    search_path = list(sys.path)
    yield
    os.environ.pop("SPARSETUNE_DATA", None)
    if data_root is not None:
        os.environ["SPARSETUNE_DATA"] = data_root
    sys.path[:] = search_path


@pytest.fixture(scope="session", autouse=True)
def _cache() -> Iterator[None]:
    """A cache of the session's own, unless one is given."""
    if "SPARSETUNE_CACHE" in os.environ:
        yield
        return
    with (
        tempfile.TemporaryDirectory(prefix="sparsetune-cache-") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("SPARSETUNE_CACHE", folder)
        yield


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB, to be filled or made read-only; the test is skipped where mounting one is
    not allowed.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("fills a small disk: mounting one needs root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture(scope="session")
def object_store() -> Iterator[dict[str, str]]:
    """An object store on this machine, for all tests that use one: the environment that
    reaches it.
    """
    from tests.object_store import serving

    with serving() as environment:
        yield environment


@pytest.fixture
def bucket(object_store: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket, such as ``s3://bucket-1f``; the environment reaches it."""
    from tests.object_store import new_bucket

    for name, value in object_store.items():
        monkeypatch.setenv(name, value)
    return new_bucket()


@pytest.fixture(scope="session", autouse=True)
def _plain_output() -> Iterator[None]:
    """Hide what makes Rich, argparse and tracebacks print wider, narrower or in colour."""
    with pytest.MonkeyPatch.context() as patch:
        for name in TERMINAL_VARIABLES:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _given_data() -> Iterator[str]:
    """The value of ``SPARSETUNE_DATA``, hidden from every test so that none depends on it."""
    with pytest.MonkeyPatch.context() as patch:
        given = os.environ.get("SPARSETUNE_DATA", "")
        patch.delenv("SPARSETUNE_DATA", raising=False)
        yield given


@pytest.fixture
def data_root(_given_data: str, request: pytest.FixtureRequest) -> Path:
    """The folder of real data sets, for tests marked ``data``.

    The mark's arguments name the data sets that the test reads. The test is skipped where one is
    missing.
    """
    mark = request.node.get_closest_marker("data")
    if mark is None:
        pytest.fail('a test that reads real data must be marked, as in `@pytest.mark.data("glue")`')
    missing = [name for name in mark.args if not Path(_given_data, name).is_dir()]
    if not _given_data or missing:
        wanted = " and ".join(f"`{name}`" for name in mark.args)
        got = _given_data or "nothing"
        pytest.skip(f"set SPARSETUNE_DATA to the folder that holds {wanted}, got {got}")
    return Path(_given_data).resolve()


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray with two processors, since starting it takes ten seconds; launches in this
    process use it instead of starting theirs.
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
