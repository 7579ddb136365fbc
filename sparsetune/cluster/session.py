"""A Ray session: a local Ray, which is started and stopped, or an existing cluster."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from typing import Any

import ray
from ray._private import ray_constants
from ray._private import worker as ray_worker

from sparsetune.errors import ClusterError
from sparsetune.machine import changed_environment, socket_folder, usable_cpus
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
    with ExitStack() as stack:
        if not connected:
            folder = None
            if not address:
                folder = stack.enter_context(_private_folder())
                stack.enter_context(_token_required())
            # Ray says on stdout, which may be JSON, that a worker ended, even without a driver's
            # logs; every trial's end has its reason in the ledger.
            stack.enter_context(_attribute_set(ray_worker, "_worker_logs_enabled", False))
            stack.callback(ray.shutdown)
            _connect_ray(address, folder)
        yield {"GPU": 0.0, "CPU": 1.0, **ray.cluster_resources()}


@contextmanager
def _attribute_set(owner: Any, name: str, value: Any) -> Iterator[None]:
    """While open, an attribute of one of Ray's modules has another value."""
    before = getattr(owner, name, None)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _private_folder() -> Iterator[str]:
    """A folder for a local Ray, deleted at the end.

    It lies in one that only this user enters, since Ray gives its own to everybody (mode 0777).
    """
    # `mkdtemp` makes it with mode 0700.
    outer = tempfile.mkdtemp(prefix="ray-", dir=socket_folder())
    try:
        yield os.path.join(outer, "r")
    finally:
        shutil.rmtree(outer, ignore_errors=True)


@contextmanager
def _token_required() -> Iterator[None]:
    """While open, a local Ray serves only who knows its token, a new one that nobody stores.

    Other users of the machine reach its ports too. ``RAY_AUTH_MODE`` that is set stays.
    """
    if "RAY_AUTH_MODE" in os.environ:
        yield
        return
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        with changed_environment({**token, "RAY_AUTH_TOKEN_PATH": None}):
            _read_token_again()
            yield
    finally:
        _read_token_again()


def _read_token_again() -> None:
    """Let Ray take its mode and token from the environment as it is now; it keeps what it read."""
    with suppress(ImportError, AttributeError):  # an older Ray knows no tokens
        raylet = import_module("ray._raylet")  # its names have no types
        # In this order: while the mode is that of a token, Ray's threads may ask for one.
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()


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
                if address:
                    ray.init(address=address, **quiet)
                else:
                    # It then listens on this machine's loopback alone, as on macOS by itself: on
                    # Linux, Ray replaces a loopback address that it is given.
                    with _attribute_set(ray_constants, "ENABLE_RAY_CLUSTER", False):
                        ray.init(address="local", **quiet, **local)
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
