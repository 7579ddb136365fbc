"""Checks of each node of a Ray cluster: it sees the storage, and runs the same code."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sparsetune.errors import ClusterError
from sparsetune.paths import Place, create_object, refusal_errors, refusal_reason, resolve_place
from sparsetune.storage import translating_write_errors
from sparsetune.storage.provenance import RECORDED_PACKAGES, code_digest, version_of

SHOWN_PACKAGES = (*RECORDED_PACKAGES, "transformers")
"""Packages that a trial's numbers depend on: always shown, and equal on every node."""
ANSWER_SECONDS = 60
"""A node that has not answered after so long counts as a fault."""
CREDENTIALS_ADVICE = (
    "start Ray with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL set there as here"
)


@dataclass(frozen=True)
class EnvironmentCheck:
    """Result of one check of an environment.

    Args:
        name: Subject of the check.
        level: How it stands.
        found: What was found, for people.
        advice: What to do where it is not ok.
    """

    name: str
    level: Literal["ok", "warning", "fault"]
    found: str
    advice: str = ""


def require_equal_nodes(address: str, storage: Place) -> None:
    """Let every node of a cluster show that it sees the storage and runs the same versions.

    Raises:
        ClusterError: with a line for each fault.
        StorageError: if this process cannot write there.
    """
    with translating_write_errors(storage), token_file(storage) as token:
        faults = [check for check in cluster_checks(address, token) if check.level == "fault"]
    if faults:
        lines = [f"  - {check.name}: {check.found}; {check.advice}" for check in faults]
        raise ClusterError(
            "\n".join([f"the cluster `{address}` must be able to run every trial:", *lines])
        )


@contextmanager
def token_file(storage: Place) -> Iterator[Place]:
    """Yield a file with a secret, in a folder of its own where studies would lie; removed after.

    It is written, synced and locked; in an object store its key refuses to be created again.

    Raises:
        OSError: or another of `storage_errors`, if the disk or the store refuses any of it.
        StorageError: if the store does.
    """
    folder = nearest_existing_folder(storage) / f".sparsetune-doctor-{secrets.token_hex(8)}"
    if isinstance(folder, Path):
        with _token_on_disk(folder) as file:
            yield file
        return
    token = folder / "token"
    try:
        created = create_object(token, secrets.token_hex(16).encode())
        if not created or create_object(token, b"again"):
            raise PermissionError(
                "it must refuse to write a key that is taken (If-None-Match), and did not"
            )
        yield token
    finally:
        with suppress(*refusal_errors()):
            folder.fs.rm(folder.path, recursive=True)


@contextmanager
def _token_on_disk(folder: Path) -> Iterator[Path]:
    # With the permissions of a study's folder: a worker may be another user.
    folder.mkdir()
    try:
        with open(folder / "token", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(secrets.token_hex(16))
            file.flush()
            os.fsync(file.fileno())
        yield folder / "token"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def nearest_existing_folder(folder: Place) -> Place:
    """The folder, or its nearest parent that exists; a prefix of an object store itself."""
    if not isinstance(folder, Path):
        return folder
    folder = folder.expanduser().resolve()
    return next(path for path in (folder, *folder.parents) if os.path.exists(path))


def cluster_checks(address: str, token: Place) -> Iterator[EnvironmentCheck]:
    """A check of the cluster, then one of each node."""
    try:
        answers = ask_nodes(address, token)
    except Exception as error:  # Ray raises errors of many kinds.
        advice = (
            "see that it runs (`ray status` on its head), that its port is open,"
            " and that its Ray is the same"
        )
        yield EnvironmentCheck(
            "cluster",
            "fault",
            f"`{address}` does not answer: {join_lines(error.__cause__ or error)}",
            advice,
        )
        return
    cpus = sum(node["Resources"].get("CPU", 0) for node, _ in answers)
    gpus = sum(node["Resources"].get("GPU", 0) for node, _ in answers)
    nodes = "1 node" if len(answers) == 1 else f"{len(answers)} nodes"
    yield EnvironmentCheck(
        "cluster",
        "ok",
        f"`{address}` answers: {nodes}, CPUs {cpus:g}, GPUs {gpus:g}",
    )
    here = code_versions()
    for node, answer in answers:
        yield node_check(node, answer, here, token.parent.parent)


def ask_nodes(address: str, token: Place) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each living node as Ray describes it, with its answer or an ``error`` instead of one."""
    from sparsetune.cluster.session import ray_session

    with ray_session(address):
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = [node for node in ray.nodes() if node["Alive"]]
        places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
        remote = ray.remote(num_cpus=0, max_retries=0)(examine_node)  # a busy node answers too
        secret = token.read_text()
        pinned = [remote.options(scheduling_strategy=place) for place in places]
        asked = [one.remote(str(token), secret) for one in pinned]
        ray.wait(asked, num_returns=len(asked), timeout=ANSWER_SECONDS)
        return [(node, _node_answer(ray, one)) for node, one in zip(nodes, asked, strict=True)]


def _node_answer(ray: Any, asked: Any) -> dict[str, Any]:
    try:
        return dict(ray.get(asked, timeout=0.1))
    except ray.exceptions.GetTimeoutError:
        return {"error": f"nothing came in {ANSWER_SECONDS} s"}
    except ray.exceptions.RayError as error:
        return {"error": str(error).strip().splitlines()[-1]}


def examine_node(token: str, text: str) -> dict[str, Any]:
    """Run on a node: its versions, and why it cannot use the storage; None where it can."""
    refused = None
    try:
        there = resolve_place(token)
        # Written first: a folder that can only be read is of no use to a worker.
        there.with_name(secrets.token_hex(8)).write_bytes(b"")
        # Another disk may have a folder of the same path, but not the secret in it.
        if there.read_text() != text:
            refused = "another folder has this path there"
    except refusal_errors() as error:
        refused = refusal_reason(error)
    return {"versions": code_versions(), "storage": refused}


def code_versions() -> dict[str, str | None]:
    """Versions that must be equal on every node, with a digest of sparsetune's files."""
    versions = {name: version_of(name) for name in ("python", *SHOWN_PACKAGES)}
    return {**versions, "sparsetune's files": code_digest()}


def node_check(
    node: Mapping[str, Any],
    answer: Mapping[str, Any],
    here: Mapping[str, str | None],
    storage: Place,
) -> EnvironmentCheck:
    """Check of one node.

    Args:
        node: ``NodeManagerAddress``, ``NodeManagerHostname`` and ``Resources``, as Ray names them.
        answer: Result of `examine_node` there, or an ``error``.
        here: Versions of the driver.
        storage: Folder that the node had to see.
    """
    label = f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
    if "error" in answer:
        advice = "see that sparsetune is installed there, and look at its Ray logs"
        return EnvironmentCheck(label, "fault", f"does not answer: {answer['error']}", advice)
    there = answer["versions"]
    faults = []
    advice_of: dict[str, None] = {}  # a set in order
    for name, version in here.items():
        if there.get(name) != version:
            faults.append(f"{name} is {there.get(name) or 'missing'}, here {version or 'missing'}")
            advice_of["install the same versions"] = None
    if answer["storage"]:
        faults.append(f"cannot use `{storage}`: {answer['storage']}")
        on_disk = isinstance(storage, Path)
        mount = "mount it at the same path on every node"
        advice_of[mount if on_disk else CREDENTIALS_ADVICE] = None
    if faults:
        return EnvironmentCheck(label, "fault", "; ".join(faults), " and ".join(advice_of))
    cpus = node["Resources"].get("CPU", 0)
    gpus = node["Resources"].get("GPU", 0)
    found = f"CPUs {cpus:g}, GPUs {gpus:g}; sees the storage, runs the same versions"
    return EnvironmentCheck(label, "ok", found)


def join_lines(message: object) -> str:
    """An error or a warning without its line breaks."""
    return " ".join(str(message).split()) or type(message).__name__
