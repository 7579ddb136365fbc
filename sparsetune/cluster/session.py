"""A Ray session: a local Ray, which is started and stopped, or an existing cluster."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from sparsetune.errors import ClusterError
from sparsetune.machine import socket_folder, usable_cpus
from sparsetune.units import MIB_BYTES

CONNECT_SECONDS = 5
"""A cluster's port must take a connection within this time."""
MAX_STARTS = 2
"""Starts of a local Ray: it gives up after 30 s, which a busy machine may take."""

LOG_LIMITS = {"RAY_ROTATION_MAX_BYTES": str(4 * MIB_BYTES), "RAY_ROTATION_BACKUP_COUNT": "1"}
"""Limits of what Ray keeps of a worker's output: a trial may print without end."""


@contextmanager
def ray_session(address: str | None = None) -> Iterator[dict[str, float]]:
    """Connect to Ray; a connection that is there already is used, and stays.

    Args:
        address: An existing cluster; None for a local Ray, which gets the CPUs of this process's
            affinity.

    Yields:
        Resources of the whole cluster by Ray's names, ``CPU`` and ``GPU`` among them.

    Raises:
        ClusterError: if Ray does not start, or the cluster does not answer.
    """
    connected = ray.is_initialized()
    folder = None if connected or address else tempfile.mkdtemp(prefix="ray-", dir=socket_folder())
    try:
        if not connected:
            _connect_ray(address, folder)
        yield {"GPU": 0.0, "CPU": 1.0, **ray.cluster_resources()}
    finally:
        if not connected:
            ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def living_nodes() -> list[dict[str, float]]:
    """Resources of every living node of the connected cluster, by Ray's names."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _connect_ray(address: str | None, folder: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    local = {
        # Of the process, not of the machine: a job may use a part of it.
        "num_cpus": usable_cpus(),
        "include_dashboard": False,
        "_temp_dir": folder,
    }
    for name, value in LOG_LIMITS.items():
        os.environ.setdefault(name, value)  # a local Ray's processes take them from here
    for start in range(1, MAX_STARTS + 1):
        try:
            if address:
                _require_listener(address)
            # Without "local", Ray would join a cluster that was left running on this machine.
            with _processes_ignoring_hangups():
                ray.init(address=address or "local", **quiet, **({} if address else local))
            return
        except Exception as error:  # Ray raises errors of many kinds
            ray.shutdown()
            if address:
                advice = "see that it runs (`ray status` on its head) and that its Ray is the same"
                raise ClusterError(
                    f"the cluster `{address}` does not answer: {error}; {advice}"
                ) from error
            if start == MAX_STARTS:
                raise ClusterError(
                    f"Ray did not start: {error} Try again when the machine is less busy"
                ) from error


@contextmanager
def _processes_ignoring_hangups() -> Iterator[None]:
    """While open, processes that are started do not end with the terminal: their trials save first.

    A signal that comes meanwhile reaches this process at the end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _require_listener(address: str) -> None:
    """Refuse a port that is closed at once: Ray itself would try for minutes.

    Raises:
        OSError: if nothing listens there.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "://" not in host:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
