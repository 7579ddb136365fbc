"""Where a study's numbers come from: code, packages, hardware, command."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("sparsetune", "torch", "torchvision", "ray", "optuna", "numpy", "pandas", "scikit-learn")


def facts(study_file: Path | None = None) -> dict[str, Any]:
    """What is worth knowing of this launch, as plain JSON values."""
    return {
        "time": time.time(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": len(os.sched_getaffinity(0)),
        "study_file": str(study_file.resolve()) if study_file else None,
        "git": _git(study_file.resolve().parent if study_file else Path(__file__).parent),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _git(folder: Path) -> dict[str, Any] | None:
    """Commit and whether the tree had changes; None outside a checkout."""
    commit = _run(folder, "rev-parse", "HEAD")
    return (commit and {"commit": commit, "changed": bool(_run(folder, "status", "--porcelain"))}) or None


def _run(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
