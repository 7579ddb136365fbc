"""Options of a launch: how to run a study, which changes no number."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sparsetune.costs.limits import Limits
from sparsetune.launch.followers.follower import Follower
from sparsetune.paths import Place


@dataclass(frozen=True)
class Options:
    """Options of a launch, which change no number.

    Args:
        storage: Parent of the study's directory: a folder, or ``s3://bucket/prefix``.
        address: Address of an existing Ray cluster; None starts a local Ray.
        gpus_per_trial: Share of a GPU in [0, 1]; None for a whole one where there are any, else
            none.
        cpus_per_trial: CPUs of a trial, also its torch threads on a CPU; may be a fraction.
        data_root: The folder that data sets lie in; see `sparsetune.tasks.prepare_data`.
        path: Folders that a user's own modules lie in, beside the current one and that of the
            study's file.
        checkpoint_seconds: Seconds between checkpoints of a running trial.
        silence_minutes: Minutes without a step after which a trial is ended, and tried once more
            from its checkpoint; 0 for no limit.
        trial_minutes: Minutes that an attempt of a trial may take; None for no limit.
        keep_models: Whether every finished trial leaves its effective weights as
            ``model.safetensors``.
        checkpoint_gib: Most GiB of all checkpoints; None for a tenth of the free disk.
        max_hours: Refuse to start what is forecast to take longer.
        max_gib: Refuse to start what is forecast to leave more GiB of checkpoints and models.
        track: Trackers that follow the study: ``tensorboard``, ``wandb``, ``mlflow``.
        tensorboard: The same as ``tensorboard`` in ``track``.
        callbacks: Your own followers of the study; see `sparsetune.Follower`.
        study_file: The file that declares the study, for provenance and imports.
        quiet: Print nothing.
    """

    storage: str | Place = Path("runs")
    address: str | None = None
    gpus_per_trial: float | None = None
    cpus_per_trial: float = 1
    data_root: Path | None = None
    path: Sequence[Path] = ()
    checkpoint_seconds: float = 30
    silence_minutes: float = 15
    trial_minutes: float | None = None
    keep_models: bool = False
    checkpoint_gib: float | None = None
    max_hours: float | None = None
    max_gib: float | None = None
    track: Sequence[str] = ()
    tensorboard: bool = False
    callbacks: Sequence[Follower] = ()
    study_file: Path | None = None
    quiet: bool = False

    @property
    def limits(self) -> Limits:
        """Limits of disk and time."""
        return Limits(self.max_hours, self.max_gib, self.checkpoint_gib, self.keep_models)

    @property
    def trackers(self) -> tuple[str, ...]:
        """Trackers that follow the study, each once."""
        named = [*self.track, *(["tensorboard"] if self.tensorboard else [])]
        return tuple(dict.fromkeys(named))

    def resolve_data_root(self) -> Path | None:
        """Absolute folder of the data sets, by option or environment; None for the default."""
        root = self.data_root or os.environ.get("SPARSETUNE_DATA")
        return Path(root).expanduser().resolve() if root else None


DEFAULT_OPTIONS = Options()
"""A local Ray, a whole GPU where there are any, no limits."""
