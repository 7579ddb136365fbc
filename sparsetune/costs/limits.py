"""What a study may take of disk and time, and the refusal to start one that cannot keep to it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sparsetune.costs.forecast import Forecast
from sparsetune.errors import LimitError
from sparsetune.paths import Place
from sparsetune.units import GIB_BYTES, format_bytes

DEFAULT_QUOTA = 0.1
"""Share of the free disk that checkpoints take at most, unless told otherwise."""


@dataclass(frozen=True)
class Limits:
    """What was asked for; None is no limit.

    Args:
        hours: From the command to the last trial's end.
        gib: Of checkpoints and models together, in GiB.
        checkpoint_gib: Of all checkpoints, in GiB; by default a tenth of the disk that is free.
        keep_models: Whether the final models are written.
    """

    hours: float | None = None
    gib: float | None = None
    checkpoint_gib: float | None = None
    keep_models: bool = False

    def quota(self, path: Place) -> float:
        """Bytes that the study's checkpoints take at most; infinite in an object store, unless asked for."""
        if self.checkpoint_gib is not None:
            return self.checkpoint_gib * GIB_BYTES
        space = free_bytes(path)
        return math.inf if space is None else DEFAULT_QUOTA * space

    def check(self, forecast: Forecast, slots: int, path: Place) -> None:
        """Refuse a study that cannot end within its limits; what could not be forecast is never refused.

        Args:
            forecast: Of what is left to run.
            slots: Trials at once.
            path: The study's directory, or where it will be.

        Raises:
            LimitError: naming every limit that it breaks, and what would do.
        """
        if forecast.missing is None and (
            faults := [
                *self._time_problems(forecast, slots),
                *self._space_problems(forecast, slots, path),
            ]
        ):
            raise LimitError("\n".join(faults))

    def _time_problems(self, forecast: Forecast, slots: int) -> Iterator[str]:
        seconds = forecast.wall_seconds(slots)
        if self.hours is None or seconds is None or seconds <= 3600 * self.hours:
            return
        needed = math.ceil(100 * seconds / 3600) / 100
        rule = f"the study must end within --max-hours {self.hours:g}"
        got = f"got a forecast of {needed:g} hours for {forecast.trials} trials, {slots} at once"
        yield f"{rule}, {got}; --max-hours {needed:g} would do{self._slots_in_time_text(forecast, slots)}"

    def _slots_in_time_text(self, forecast: Forecast, slots: int) -> str:
        """How many trials at once would end in time; empty where no number does."""
        more = (n for n in range(slots + 1, forecast.trials + 1))
        enough = next(
            (n for n in more if (forecast.wall_seconds(n) or 0) <= 3600 * (self.hours or 0)), None
        )
        return f", as would {enough} trials at once" if enough else ""

    def _space_problems(self, forecast: Forecast, slots: int, path: Place) -> Iterator[str]:
        quota = self.quota(path)
        checkpoints = forecast.checkpoints(slots, quota)
        models, kept = (forecast.models, forecast.kept) if self.keep_models else (0.0, 0.0)
        if self.gib is not None and checkpoints + models + kept > self.gib * GIB_BYTES:
            rule = f"checkpoints and models must take at most --max-gib {self.gib:g}"
            yield self._too_large(rule, checkpoints, models + kept, self.gib * GIB_BYTES)
        space = free_bytes(path)
        if space is not None and checkpoints + models + forecast.records > space:
            rule = f"`{path}` must have room for the study, with {format_bytes(space)} free"
            yield self._too_large(
                rule, checkpoints, models, space - forecast.records, forecast.records
            )

    @staticmethod
    def _too_large(
        rule: str, checkpoints: float, models: float, room: float, ledger: float = 0.0
    ) -> str:
        parts = {"checkpoints": checkpoints, "models": models, "records": ledger}
        listed = ", ".join(
            f"{format_bytes(size)} of {name}" for name, size in parts.items() if size
        )
        said = f"{rule}, got a forecast of {format_bytes(checkpoints + models + ledger)}: {listed}"
        if room <= 0:
            return f"{said}; choose another --storage"
        if models < room:
            return f"{said}; --checkpoint-gib {_round_up_gib(room - models)} would do"
        if checkpoints <= room:
            return f"{said}; without --keep-models it takes {format_bytes(checkpoints + ledger)}"
        return f"{said}; --checkpoint-gib {_round_up_gib(room)} without --keep-models would do"


def _round_up_gib(size: float) -> str:
    """Three digits, never more than the size."""
    digits = 2 - math.floor(math.log10(size / GIB_BYTES))
    return f"{math.floor(size / GIB_BYTES * 10**digits) / 10**digits:.10f}".rstrip("0").rstrip(".")


def free_bytes(path: Place) -> int | None:
    """Bytes that are free where the path lies or will lie; None for an object store."""
    if not isinstance(path, Path):
        return None
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    return shutil.disk_usage(existing).free
