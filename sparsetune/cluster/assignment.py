"""The assignment of a worker: everything that it is given to run one trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class LaunchSettings:
    """The part of an assignment that all trials of a Ray session share.

    Args:
        launch: Random name of the launch, under which a worker asks whether it should stop.
        device: Device as torch names it: ``cpu`` or ``cuda``.
        threads: CPU threads of torch, at least 1.
        checkpoint_seconds: Seconds between checkpoints that are written at evaluations.
        checkpoint_bytes: Bytes that all checkpoints of one trial may take at any time; may be
            infinite.
        keep_models: Whether the final weights are written as ``model.safetensors``.
        data_root: Absolute path of the folder that data sets lie in; None for the default.
        python_path: Absolute folders to append to the worker's import path.
        silence_seconds: Seconds without a step after which a trial is ended; 0 for no limit.
        trial_seconds: Seconds that an attempt may take; 0 for no limit.
    """

    launch: str
    device: str
    threads: int
    checkpoint_seconds: float
    checkpoint_bytes: float
    keep_models: bool
    data_root: str | None
    python_path: tuple[str, ...]
    silence_seconds: float = 0
    trial_seconds: float = 0


@dataclass(frozen=True)
class Assignment:
    """One attempt of one trial.

    Args:
        trial_id: Id of the trial.
        attempt: Number of the attempt, from 1.
        spec: Declaration of the trial as plain values, as `TrialSpec.given` returns it.
        read_test: Whether the test set is read at the end; search trials never do.
        folder: Path or URL of this attempt's folder, which only this worker writes.
        earlier: Folders of earlier attempts, oldest first; the newest checkpoint there is resumed.
        retry: Why the attempt before failed in this launch; None for a trial that is not retried.
        rungs: Fractions of training in (0, 1) at which the driver may stop the trial.
        teaches: Whether other trials learn from this one, so that it leaves its logits.
        teacher: Path or URL of the teacher's logits; None without a teacher.
        shared: What all trials of the session share.
    """

    trial_id: str
    attempt: int
    spec: Mapping[str, Any]
    read_test: bool
    folder: str
    earlier: tuple[str, ...]
    retry: str | None
    rungs: tuple[float, ...]
    teaches: bool
    teacher: str | None
    shared: LaunchSettings

    def to_config(self) -> dict[str, Any]:
        """The assignment as the plain dictionary that Tune carries to the worker."""
        return {**_field_values(self), "shared": _field_values(self.shared)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Assignment:
        """The assignment that `to_config` wrote."""
        shared = config["shared"]
        settings = LaunchSettings(**{**shared, "python_path": tuple(shared["python_path"])})
        lists = {name: tuple(config[name]) for name in ("earlier", "rungs")}
        return cls(**{**config, **lists, "shared": settings})


def _field_values(part: Assignment | LaunchSettings) -> dict[str, Any]:
    return {one.name: getattr(part, one.name) for one in fields(part)}
