"""What to know before a study: versions, hardware, data, storage, and every node of a Ray cluster."""

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
from rich.console import Console
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
from sparsetune.paths import Place, refusal_errors, refusal_reason, resolve_place
from sparsetune.storage.provenance import version_of
from sparsetune.tasks.data_roots import cache_root, given_root

DATASET_FILES = {
    "digits": ("", 0),
    "fashion_mnist": ("FashionMNIST/raw/*-ubyte*", 4),
    "cifar10": ("cifar-10-*", 1),
    "cifar100": ("cifar-100-*", 1),
    "cifar10_jpeg": ("cifar10-jpeg/*.parquet", 2),
}
"""Where the files of a data set lie in a root, plain or packed, and how many; digits come with scikit-learn."""
WORKER_GIB = 1
FREE_DISK_GIB = 1
LEVEL_COLOURS = {"ok": "green", "warning": "yellow", "fault": "red"}


def run_checks(
    storage: Place, *, address: str | None = None, data_root: Path | None = None
) -> Iterator[EnvironmentCheck]:
    """Every check as soon as it is made. Starts no Ray; leaves nothing behind.

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
        yield EnvironmentCheck(
            "ray",
            "ok",
            "a local Ray with these CPUs and GPUs will be used; --address asks a cluster",
        )
    try:
        with token_file(storage) as token:
            yield disk_check(storage, token.parent)
            yield from cluster_checks(address, token) if address else ()
    except refusal_errors() as error:
        yield storage_refused_check(
            storage, error, unasked=", then ask the nodes again" if address else ""
        )


def storage_refused_check(storage: Place, error: Exception, unasked: str) -> EnvironmentCheck:
    """Why studies cannot lie there."""
    if isinstance(error, StorageError):
        found = str(error)
        mend = "see that the bucket exists and the environment has its keys"
    elif isinstance(storage, Path):
        found = f"`{nearest_existing_folder(storage)}` cannot be written and locked: {refusal_reason(error)}"
        mend = "free it"
    else:
        found = f"`{storage}` cannot be used: {refusal_reason(error)}"
        mend = "see that the environment has its keys"
    return EnvironmentCheck(
        "storage", "fault", found, f"{mend}, or give another folder with --storage{unasked}"
    )


def version_checks() -> Iterator[EnvironmentCheck]:
    """Python, sparsetune and its packages against the bounds in sparsetune's own metadata."""
    try:
        own = metadata.metadata("sparsetune")
    except metadata.PackageNotFoundError:
        found = "was never installed here, so that the versions it needs are unknown"
        yield EnvironmentCheck(
            "sparsetune", "warning", found, "run `uv sync`, or `pip install .` in its folder"
        )
        return
    yield requirement_check(f"python{own['Requires-Python']}")
    yield EnvironmentCheck("sparsetune", "ok", own["Version"])
    for text in metadata.requires("sparsetune") or ():
        check = requirement_check(text)
        if check.name in SHOWN_PACKAGES or check.level != "ok":
            yield check


def requirement_check(text: str) -> EnvironmentCheck:
    """Whether what is installed lies within one requirement, such as ``torch>=2.9``."""
    requirement = Requirement(text)
    name = requirement.name
    installed = version_of(requirement.name)
    if installed is None:
        return EnvironmentCheck(name, "fault", "is not installed", f"install `{requirement}`")
    if not requirement.specifier.contains(installed, prereleases=True):
        return EnvironmentCheck(
            name,
            "fault",
            f"{installed} is outside {requirement.specifier}",
            f"install `{requirement}`",
        )
    return EnvironmentCheck(name, "ok", f"{installed} ({requirement.specifier})")


def processor_checks() -> EnvironmentCheck:
    """CPUs of the process's affinity, which a local Ray gets, and what a trial takes of them."""
    usable = len(os.sched_getaffinity(0))
    found = f"{usable} of {os.cpu_count()} for this process; a trial takes 1, with 1 thread (--cpus-per-trial)"
    return EnvironmentCheck("CPUs", "ok", found)


def memory_check() -> EnvironmentCheck:
    """What the kernel could give to new processes, against a worker on every CPU."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) / 2**20
    workers = len(os.sched_getaffinity(0))
    if free >= WORKER_GIB * workers:
        return EnvironmentCheck("memory", "ok", f"{free:.1f} GiB free")
    found = f"{free:.1f} GiB free, where {workers} workers take about {WORKER_GIB} GiB each"
    return EnvironmentCheck(
        "memory",
        "warning",
        found,
        "end other programs, or run fewer trials at once with --cpus-per-trial",
    )


def gpu_checks() -> Iterator[EnvironmentCheck]:
    """The CUDA build of torch, and the GPUs that torch can use."""
    with warnings.catch_warnings(
        record=True
    ) as caught:  # torch warns of a driver that it cannot use
        warnings.simplefilter("always")
        try:
            import torch

            devices = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
            found = [torch.cuda.get_device_properties(index) for index in devices]
        except (ImportError, OSError, RuntimeError) as error:
            yield EnvironmentCheck(
                "torch",
                "fault",
                f"cannot be used: {join_lines(error)}",
                "install it anew, or mend the driver",
            )
            return
    build = torch.version.cuda or torch.version.hip
    yield EnvironmentCheck(
        "CUDA build",
        "ok",
        f"torch is built for {build}" if build else "torch is built for the CPU alone",
    )
    driver = Path("/proc/driver/nvidia/version").exists()
    said = "; ".join(join_lines(warning.message) for warning in caught)
    yield from gpu_checks_for(
        [(gpu.name, gpu.total_memory) for gpu in found], driver=driver, said=said
    )


def gpu_checks_for(
    gpus: Sequence[tuple[str, int]], *, driver: bool, said: str
) -> Iterator[EnvironmentCheck]:
    """A line for every GPU, or one for none.

    Args:
        gpus: Name and bytes of each that torch can use.
        driver: Whether the machine has NVIDIA's driver.
        said: What torch warned of.
    """
    for index, (name, size) in enumerate(gpus):
        yield EnvironmentCheck(f"GPU {index}", "ok", f"{name}, {size / 2**30:.0f} GiB")
    if said or (driver and not gpus):
        reason = said or "NVIDIA's driver is here, but torch sees no GPU; trials run on the CPU"
        advice = "install a torch built for this driver's CUDA, and look at `nvidia-smi` and CUDA_VISIBLE_DEVICES"
        yield EnvironmentCheck("GPUs", "warning", reason, advice)
    elif not gpus:
        yield EnvironmentCheck("GPUs", "ok", "there are none: trials run on the CPU")


def data_checks(data_root: Path | None) -> Iterator[EnvironmentCheck]:
    """Data sets at hand, recognised by their files' names; nothing is read, unpacked or downloaded."""
    given = given_root(data_root)
    roots = [root for root in (given, cache_root()) if root is not None]
    if given and not given.is_dir():
        yield EnvironmentCheck(
            "data", "warning", f"`{given}` is not a folder", "mend --data-root or SPARSETUNE_DATA"
        )
    for name, (pattern, files) in DATASET_FILES.items():
        found = {root: len({*_file_stems(root, pattern)}) for root in roots if pattern}
        home = next((root for root, count in found.items() if count >= files), None)
        torn = next((root for root, count in found.items() if count), None)
        if home or not pattern:
            yield EnvironmentCheck(
                name, "ok", f"in `{home}`" if home else "comes with scikit-learn"
            )
        elif torn:
            yield EnvironmentCheck(
                name, "warning", f"is in part in `{torn}`", f"put all {files} files there, or none"
            )
        else:
            yield EnvironmentCheck(
                name, "ok", "not here; a study that needs it downloads it (or set SPARSETUNE_DATA)"
            )


def _file_stems(root: Path, pattern: str) -> Iterator[str]:
    return (path.name.removesuffix(".gz") for path in root.glob(pattern))


def disk_check(storage: Place, folder: Place) -> EnvironmentCheck:
    """Free space where studies lie, after a file was written there; an object store has no end."""
    if not isinstance(folder, Path):
        return EnvironmentCheck(
            "storage", "ok", f"`{storage}` can be written and read, and keeps what was created once"
        )
    free = shutil.disk_usage(folder).free / 2**30
    found = f"`{resolve_place(storage.expanduser())}` can be written, {free:.1f} GiB free"
    if free >= FREE_DISK_GIB:
        return EnvironmentCheck("storage", "ok", found)
    return EnvironmentCheck(
        "storage", "warning", found, "free some: every running trial keeps its last two checkpoints"
    )


def checks_as_json(checks: Iterable[EnvironmentCheck]) -> dict[str, Any]:
    """All checks as plain JSON values, with the number of ``warnings`` and ``faults``."""
    seen = [asdict(check) for check in checks]
    levels = Counter(check["level"] for check in seen)
    return {"checks": seen, "warnings": levels["warning"], "faults": levels["fault"]}


def print_checks(checks: Iterable[EnvironmentCheck]) -> int:
    """Print a line for each check as it comes, and a summary; returns the number of faults."""
    console = Console(highlight=False, soft_wrap=True)
    levels = Counter[str]()
    for check in checks:
        levels[check.level] += 1
        advice = f"; {escape(check.advice)}" if check.advice else ""
        level = f"[{LEVEL_COLOURS[check.level]}]{check.level:<8}[/]"
        console.print(
            f"{level} [bold]{escape(f'{check.name:<13}')}[/] {escape(check.found)}{advice}"
        )
    counts = [
        f"{levels[name]} {name}{'s' * (levels[name] != 1)}"
        for name in ("fault", "warning")
        if levels[name]
    ]
    console.print(", ".join(counts) or "Nothing stands in a study's way.")
    return levels["fault"]
