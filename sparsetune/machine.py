"""Facts of this machine and its processes, on Linux and on macOS.

What only Linux has (``/proc``, CPU affinity, control groups) is asked here and nowhere else, each
with what is known without it.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sparsetune.errors import SparsetuneError

PROC = Path("/proc")
"""What Linux says of processes; macOS has no such folder."""
CGROUP = Path("/sys/fs/cgroup")
"""What Linux says of the container that this process runs in."""
COMMAND_SECONDS = 10
"""A system command that answers no sooner counts as missing."""
MAX_SOCKET_FOLDER_LENGTH = 25
"""Longest path of a folder for Ray: it adds 77 characters, and macOS allows sockets 103."""


def require_supported_system() -> None:
    """Refuse a system that sparsetune cannot run on.

    Raises:
        SparsetuneError: on Windows, naming what runs it there.
    """
    if sys.platform == "win32":
        raise SparsetuneError(
            "it must run on Linux or macOS, got Windows; install WSL (`wsl --install`),"
            " then install and run sparsetune inside it"
        )


def usable_cpus() -> int:
    """Number of CPUs that this process may use; without CPU affinity, those of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def host_name() -> str:
    """Name of this machine in its network."""
    return os.uname().nodename


def processor_name() -> str:
    """Model name of the processor."""
    with suppress(OSError):
        lines = (PROC / "cpuinfo").read_text().splitlines()
        named = (line for line in lines if line.startswith("model name"))
        return next((line.partition(":")[2].strip() for line in named), "unknown")
    name = _command_output("sysctl", "-n", "machdep.cpu.brand_string")
    return name or platform.processor() or "unknown"


def ram_bytes() -> int:
    """Bytes of RAM that this machine or container has."""
    ram = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # a container without a limit says ``max``
        return min(ram, int((CGROUP / "memory.max").read_text()))
    return ram


def available_ram_bytes() -> float | None:
    """Bytes of RAM that new processes could get here; None where the system does not say.

    Pages that cache files count as available: they are given back when they are asked for.
    """
    try:
        available = 1024.0 * _read_numbers(PROC / "meminfo")["MemAvailable"]
    except (OSError, KeyError):
        return None
    with suppress(OSError, KeyError, ValueError):
        used = int((CGROUP / "memory.current").read_text())
        counts = _read_numbers(CGROUP / "memory.stat")
        cached = counts["file"] - counts["shmem"]
        limit = int((CGROUP / "memory.max").read_text())
        available = min(available, limit - used + cached)
    return available


def forget_peak_memory() -> None:
    """Forget the largest resident set of this process, where the system can."""
    with suppress(OSError):
        (PROC / "self" / "clear_refs").write_text("5")


def peak_memory_bytes() -> int:
    """Largest resident set of this process in bytes, since `forget_peak_memory` where it works."""
    with suppress(OSError, StopIteration):
        lines = (PROC / "self" / "status").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
    import resource  # POSIX alone has it, and this module is imported everywhere

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest


def has_nvidia_driver() -> bool:
    """True if NVIDIA's driver is loaded."""
    return (PROC / "driver" / "nvidia" / "version").exists()


def machine_id() -> str:
    """Boot of this machine and process namespace, in which a pid names one process.

    Without ``/proc`` it is the machine's name.
    """
    try:
        boot = (PROC / "sys" / "kernel" / "random" / "boot_id").read_text().strip()
        return f"{boot} {os.readlink(PROC / 'self' / 'ns' / 'pid')}"
    except OSError:
        return host_name()


def process_start(pid: int) -> str | None:
    """Start of a process, which tells it from a later one of its number; None if there is none.

    Clock ticks since the boot on Linux, else a date.
    """
    if not (PROC / "self" / "stat").exists():
        return _process_start_by_ps(pid)
    try:
        # The name of the command comes before, in brackets, and may hold spaces and brackets.
        state, *others = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A zombie or a dead process runs no study; field 22 of proc(5) is the start.
    return None if state in "ZX" else others[18]


def _process_start_by_ps(pid: int) -> str | None:
    """Start of a process as POSIX's ``ps`` prints it."""
    state, _, start = _command_output("ps", "-o", "stat=,lstart=", "-p", str(pid)).partition(" ")
    return None if state.startswith("Z") else start.strip() or None


@contextmanager
def changed_environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """While open, this process has other variables of its environment; None removes one."""
    before = {name: os.environ.get(name) for name in variables}
    _set_variables(variables)
    try:
        yield
    finally:
        _set_variables(before)


def _set_variables(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def socket_folder() -> str:
    """Folder for temporary files whose paths are short enough for Ray's sockets."""
    folder = tempfile.gettempdir()
    return folder if len(folder) <= MAX_SOCKET_FOLDER_LENGTH else "/tmp"


def _read_numbers(file: Path) -> dict[str, int]:
    """First number of every line, by the word before it."""
    numbers = {}
    for line in file.read_text().splitlines():
        name, number, *_ = line.replace(":", "").split()
        numbers[name] = int(number)
    return numbers


def _command_output(*command: str) -> str:
    """What a system command prints; empty where it is missing or fails."""
    return run_quietly(command) or ""


def run_quietly(command: Sequence[str], folder: Path | None = None) -> str | None:
    """Standard output of a command that succeeds, without white space around it; else None."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=COMMAND_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
