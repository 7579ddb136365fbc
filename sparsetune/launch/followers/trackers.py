"""The trackers that a study can be followed by, by the names of ``--track``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sparsetune.errors import FollowerError
from sparsetune.launch.followers.mlflow import MlflowRuns, local_store
from sparsetune.launch.followers.tensorboard import EventFolders
from sparsetune.launch.followers.tracker import RunStore, Tracker
from sparsetune.launch.followers.wandb import WandbRuns
from sparsetune.paths import Place


@dataclass(frozen=True)
class Client:
    """Client library of a tracker.

    Args:
        title: The tracker's own name.
        package: Top-level package of the library.
    """

    title: str
    package: str


CLIENTS = {
    "tensorboard": Client("TensorBoard", "tensorboardX"),
    "wandb": Client("Weights & Biases", "wandb"),
    "mlflow": Client("MLflow", "mlflow"),
}
"""Client of each tracker, by the names of ``--track``, which are those of the extras as well."""


def require_clients(names: Iterable[str]) -> None:
    """Refuse trackers that are unknown or whose client is not installed.

    Raises:
        FollowerError: naming the extra that installs the client.
    """
    for name in names:
        if name not in CLIENTS:
            raise FollowerError(f"a tracker must be one of {', '.join(CLIENTS)}, got `{name}`")
        client = CLIENTS[name]
        spec = find_spec(client.package)
        # Without an origin it is a folder of that name, such as what a tracker wrote here.
        if spec is None or spec.origin is None:
            raise FollowerError(
                f"{client.title} needs the package `{client.package}`, which is not installed;"
                f" install it with: pip install 'sparsetune[{name}]'"
            )


def build_tracker(name: str, directory: Place, study: str) -> Tracker:
    """The tracker of a study, which it asks nothing and writes nothing yet.

    Args:
        name: One of `CLIENTS`.
        directory: The study's directory, in which trackers keep their files.
        study: Name of the study.

    Raises:
        FollowerError: if the tracker needs a folder, and the study lies in an object store.
    """
    return Tracker(_build_store(name, directory, study))


def _build_store(name: str, directory: Place, study: str) -> RunStore:
    if name == "mlflow" and (address := os.environ.get("MLFLOW_TRACKING_URI")):
        return MlflowRuns(address, study)
    if not isinstance(directory, Path):
        advice = "set MLFLOW_TRACKING_URI to a server" if name == "mlflow" else "leave it out"
        raise FollowerError(
            f"`{name}` needs a study in a folder, got `{directory}`; {advice},"
            " or send the ledger of a copy later: sparsetune track DIR"
        )
    if name == "mlflow":
        return MlflowRuns(local_store(directory), study)
    if name == "wandb":
        return WandbRuns(directory)
    return EventFolders(directory / "tensorboard")
