"""Checks before a study: versions, hardware, data, storage, and every node of a Ray cluster."""

from __future__ import annotations

import os
import shutil
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from rich.markup import escape

from sparsetune.cluster.nodes import (
    SHOWN_PACKAGES,
    EnvironmentCheck,
    cluster_checks,
    join_lines,
    nearest_existing_folder,
    token_file,
)
from sparsetune.errors import StorageError
from sparsetune.machine import (
    available_ram_bytes,
    has_nvidia_driver,
    ram_bytes,
    usable_cpus,
)
from sparsetune.paths import Place, refusal_errors, refusal_reason, resolve_place
from sparsetune.storage.provenance import version_of
from sparsetune.tasks.data_roots import cache_root, given_root
from sparsetune.terminal import TextConsole
from sparsetune.units import GIB_BYTES

DATASET_FILES = {
    "digits": ("", 0),
    "fashion_mnist": ("FashionMNIST/raw/*-ubyte*", 4),
    "cifar10": ("cifar-10-*", 1),
    "cifar100": ("cifar-100-*", 1),
    "cifar10_jpeg": ("cifar10-jpeg/*.parquet", 2),
}
"""Pattern of a data set's files below a data root, and their number; digits need none."""

WORKER_GIB = 1
"""Memory that a worker takes with torch loaded, before its trial's own."""

FREE_DISK_GIB = 1
"""Free space below which a warning is given."""

LEVEL_COLOURS = {"ok": "green", "warning": "yellow", "fault": "red"}


def run_checks(
    storage: Place, *, address: str | None = None, data_root: Path | None = None
) -> Iterator[EnvironmentCheck]:
    """Yield every check as soon as it is made. Starts no Ray and leaves no file.

    Args:
        storage: Where studies would lie; need not exist yet.
        address: An existing Ray cluster, of which every node is asked.
        data_root: Where data sets lie; by default ``$SPARSETUNE_DATA``.
    """
    yield from version_checks()
    yield processor_checks()
    yield memory_check()
    yield from gpu_checks()
    yield from data_checks(data_root)
    if not address:
        found = "a local Ray with these CPUs and GPUs will be used; --address asks a cluster"
        yield EnvironmentCheck("ray", "ok", found)
    try:
        with token_file(storage) as token:
            yield disk_check(storage, token.parent)
            if address:
                yield from cluster_checks(address, token)
    except refusal_errors() as error:
        # The nodes are asked by a file in the storage, so that none was asked.
        unasked = ", then ask the nodes again" if address else ""
        yield storage_refused_check(storage, error, unasked=unasked)


def storage_refused_check(storage: Place, error: Exception, unasked: str) -> EnvironmentCheck:
    """Fault that says why studies cannot be kept in a storage.

    Args:
        storage: A folder or a prefix of an object store.
        error: What writing there raised.
        unasked: Advice that follows, about checks that could not be made.
    """
    if isinstance(error, StorageError):
        found = str(error)
        remedy = "see that the bucket exists and the environment has its keys"
    elif isinstance(storage, Path):
        folder = nearest_existing_folder(storage)
        found = f"`{folder}` cannot be written and locked: {refusal_reason(error)}"
        remedy = "free it"
    else:
        found = f"`{storage}` cannot be used: {refusal_reason(error)}"
        remedy = "see that the environment has its keys"
    advice = f"{remedy}, or give another folder with --storage{unasked}"
    return EnvironmentCheck("storage", "fault", found, advice)


def version_checks() -> Iterator[EnvironmentCheck]:
    """Check Python, sparsetune and its packages against the bounds in sparsetune's metadata."""
    try:
        own = metadata.metadata("sparsetune")
    except metadata.PackageNotFoundError:
        found = "was never installed here, so that the versions it needs are unknown"
        advice = "run `uv sync`, or `pip install .` in its folder"
        yield EnvironmentCheck("sparsetune", "warning", found, advice)
        return
    yield requirement_check(f"python{own['Requires-Python']}")
    yield EnvironmentCheck("sparsetune", "ok", own["Version"])
    for text in metadata.requires("sparsetune") or ():
        check = requirement_check(text)
        if check.name in SHOWN_PACKAGES or check.level != "ok":
            yield check


def requirement_check(text: str) -> EnvironmentCheck:
    """Check the installed version against one requirement, such as ``torch>=2.9``."""
    requirement = Requirement(text)
    name = requirement.name
    advice = f"install `{requirement}`"
    installed = version_of(name)
    if installed is None:
        return EnvironmentCheck(name, "fault", "is not installed", advice)
    if not requirement.specifier.contains(installed, prereleases=True):
        found = f"{installed} is outside {requirement.specifier}"
        return EnvironmentCheck(name, "fault", found, advice)
    return EnvironmentCheck(name, "ok", f"{installed} ({requirement.specifier})")


def processor_checks() -> EnvironmentCheck:
    """Report the CPUs of the process's affinity, which a local Ray gets."""
    usable = usable_cpus()
    share = "a trial takes 1, with 1 thread (--cpus-per-trial)"
    found = f"{usable} of {os.cpu_count()} for this process; {share}"
    return EnvironmentCheck("CPUs", "ok", found)


def memory_check() -> EnvironmentCheck:
    """Check the memory that new processes could get against a worker on every CPU."""
    available = available_ram_bytes()
    size = ram_bytes() if available is None else available
    # Where the system does not say what is free, the whole is at least known.
    kind = "in all" if available is None else "free"
    found = f"{size / GIB_BYTES:.1f} GiB {kind}"
    workers = usable_cpus()
    if size >= WORKER_GIB * GIB_BYTES * workers:
        return EnvironmentCheck("memory", "ok", found)
    found = f"{found}, where {workers} workers take about {WORKER_GIB} GiB each"
    advice = "end other programs, or run fewer trials at once with --cpus-per-trial"
    return EnvironmentCheck("memory", "warning", found, advice)


def gpu_checks() -> Iterator[EnvironmentCheck]:
    """Check torch's CUDA build, and the GPUs that torch can use."""
    # Recorded, since torch only warns of a driver that it cannot use.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            import torch

            count = torch.cuda.device_count() if torch.cuda.is_available() else 0
            devices = [torch.cuda.get_device_properties(index) for index in range(count)]
        except (ImportError, OSError, RuntimeError) as error:
            found = f"cannot be used: {join_lines(error)}"
            yield EnvironmentCheck("torch", "fault", found, "install it anew, or mend the driver")
            return
    build = torch.version.cuda or torch.version.hip
    found = f"torch is built for {build}" if build else "torch is built for the CPU alone"
    yield EnvironmentCheck("CUDA build", "ok", found)
    driver = has_nvidia_driver()
    warned = "; ".join(join_lines(warning.message) for warning in caught)
    gpus = [(device.name, device.total_memory) for device in devices]
    yield from gpu_checks_for(gpus, driver=driver, warned=warned)


def gpu_checks_for(
    gpus: Sequence[tuple[str, int]], *, driver: bool, warned: str
) -> Iterator[EnvironmentCheck]:
    """Yield a check for every GPU, or one that says that there is none.

    Args:
        gpus: Name and bytes of each GPU that torch can use.
        driver: Whether the machine has NVIDIA's driver.
        warned: Text of torch's warnings; empty without any.
    """
    for index, (name, size) in enumerate(gpus):
        yield EnvironmentCheck(f"GPU {index}", "ok", f"{name}, {size / 2**30:.0f} GiB")
    if warned or (driver and not gpus):
        reason = warned or "NVIDIA's driver is here, but torch sees no GPU; trials run on the CPU"
        advice = (
            "install a torch built for this driver's CUDA, and look at `nvidia-smi` and"
            " CUDA_VISIBLE_DEVICES"
        )
        yield EnvironmentCheck("GPUs", "warning", reason, advice)
    elif not gpus:
        yield EnvironmentCheck("GPUs", "ok", "there are none: trials run on the CPU")


def data_checks(data_root: Path | None) -> Iterator[EnvironmentCheck]:
    """Check which data sets are at hand, by the names of their files.

    Nothing is read, unpacked or downloaded.
    """
    given = given_root(data_root)
    if given and not given.is_dir():
        advice = "mend --data-root or SPARSETUNE_DATA"
        yield EnvironmentCheck("data", "warning", f"`{given}` is not a folder", advice)
    roots = [root for root in (given, cache_root()) if root is not None]
    for name in DATASET_FILES:
        yield _dataset_check(name, roots)


def _dataset_check(name: str, roots: Sequence[Path]) -> EnvironmentCheck:
    pattern, expected = DATASET_FILES[name]
    if not pattern:
        return EnvironmentCheck(name, "ok", "comes with scikit-learn")
    counts = {root: len({*_file_stems(root, pattern)}) for root in roots}
    complete = [root for root, count in counts.items() if count >= expected]
    partial = [root for root, count in counts.items() if count]
    if complete:
        return EnvironmentCheck(name, "ok", f"in `{complete[0]}`")
    if partial:
        advice = f"put all {expected} files there, or none"
        return EnvironmentCheck(name, "warning", f"is in part in `{partial[0]}`", advice)
    found = "not here; a study that needs it downloads it (or set SPARSETUNE_DATA)"
    return EnvironmentCheck(name, "ok", found)


def _file_stems(root: Path, pattern: str) -> Iterator[str]:
    """Names of files without ``.gz``, since a file may lie there plain and packed."""
    return (path.name.removesuffix(".gz") for path in root.glob(pattern))


def disk_check(storage: Place, folder: Place) -> EnvironmentCheck:
    """Check the free space of a storage in which a file was just written.

    Args:
        storage: As given.
        folder: Where the file was written; an object store has no free space to check.
    """
    if not isinstance(folder, Path):
        found = f"`{storage}` can be written and read, and keeps what was created once"
        return EnvironmentCheck("storage", "ok", found)
    free = shutil.disk_usage(folder).free / 2**30
    found = f"`{resolve_place(storage.expanduser())}` can be written, {free:.1f} GiB free"
    if free >= FREE_DISK_GIB:
        return EnvironmentCheck("storage", "ok", found)
    advice = "free some: every running trial keeps its last two checkpoints"
    return EnvironmentCheck("storage", "warning", found, advice)


def checks_as_json(checks: Iterable[EnvironmentCheck]) -> dict[str, Any]:
    """All checks as plain JSON values, with the number of ``warnings`` and ``faults``."""
    seen = [asdict(check) for check in checks]
    levels = Counter(check["level"] for check in seen)
    return {"checks": seen, "warnings": levels["warning"], "faults": levels["fault"]}


def print_checks(checks: Iterable[EnvironmentCheck]) -> int:
    """Print a line for each check as it comes, then a summary. Returns the number of faults."""
    console = TextConsole(soft_wrap=True)
    levels = Counter[str]()
    for check in checks:
        levels[check.level] += 1
        level = f"[{LEVEL_COLOURS[check.level]}]{check.level:<8}[/]"
        name = escape(f"{check.name:<13}")
        advice = f"; {escape(check.advice)}" if check.advice else ""
        console.print(f"{level} [bold]{name}[/] {escape(check.found)}{advice}")
    counts = []
    for level in ("fault", "warning"):
        plural = "" if levels[level] == 1 else "s"
        if levels[level]:
            counts.append(f"{levels[level]} {level}{plural}")
    console.print(", ".join(counts) or "Nothing stands in a study's way.")
    return levels["fault"]
