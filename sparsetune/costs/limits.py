"""Limits of disk and time, and the refusal to start a study that is forecast to exceed them."""

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
"""Largest share of the free disk for checkpoints, where nothing was asked for."""


@dataclass(frozen=True)
class Limits:
    """Limits of a study.

    Args:
        hours: Hours from the command to the end of the last trial; None without a limit.
        gib: GiB of checkpoints and models together; None without a limit.
        checkpoint_gib: GiB of all checkpoints; None for a tenth of the free disk.
        keep_models: Whether the final models are written.
    """

    hours: float | None = None
    gib: float | None = None
    checkpoint_gib: float | None = None
    keep_models: bool = False

    def quota(self, path: Place) -> float:
        """Bytes that all checkpoints may take; infinite in an object store unless asked for."""
        if self.checkpoint_gib is not None:
            return self.checkpoint_gib * GIB_BYTES
        space = free_bytes(path)
        return math.inf if space is None else DEFAULT_QUOTA * space

    def check(self, forecast: Forecast, slots: int, path: Place) -> None:
        """Refuse a study that exceeds its limits; what could not be forecast is never refused.

        Args:
            forecast: Cost of what is left to run.
            slots: Trials at once.
            path: The study's directory; it may not exist yet.

        Raises:
            LimitError: naming every limit that it breaks, and what would do.
        """
        if forecast.missing is not None:
            return
        faults = [
            *self._time_problems(forecast, slots),
            *self._space_problems(forecast, slots, path),
        ]
        if faults:
            raise LimitError("\n".join(faults))

    def _time_problems(self, forecast: Forecast, slots: int) -> Iterator[str]:
        seconds = forecast.wall_seconds(slots)
        if self.hours is None or seconds is None or seconds <= 3600 * self.hours:
            return
        # Rounded up, so that the limit in the advice is not exceeded.
        needed = math.ceil(100 * seconds / 3600) / 100
        rule = f"the study must end within --max-hours {self.hours:g}"
        got = f"got a forecast of {needed:g} hours for {forecast.trials} trials, {slots} at once"
        slots_text = self._slots_in_time_text(forecast, slots)
        yield f"{rule}, {got}; --max-hours {needed:g} would do{slots_text}"

    def _slots_in_time_text(self, forecast: Forecast, slots: int) -> str:
        """The smallest number of trials at once that ends in time; empty where none does."""
        limit = 3600 * (self.hours or 0)
        for more in range(slots + 1, forecast.trials + 1):
            if (forecast.wall_seconds(more) or 0) <= limit:
                return f", as would {more} trials at once"
        return ""

    def _space_problems(self, forecast: Forecast, slots: int, path: Place) -> Iterator[str]:
        quota = self.quota(path)
        checkpoints = forecast.checkpoints(slots, quota)
        models = forecast.models if self.keep_models else 0.0
        # Models of trials that have finished count for the limit, but not for the disk: they are
        # on it already.
        kept = forecast.kept if self.keep_models else 0.0
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
        listed = [f"{format_bytes(size)} of {name}" for name, size in parts.items() if size]
        total = format_bytes(checkpoints + models + ledger)
        problem = f"{rule}, got a forecast of {total}: {', '.join(listed)}"
        # The advice that gives up least: only checkpoints can be made to take less.
        if room <= 0:
            return f"{problem}; choose another --storage"
        if models < room:
            return f"{problem}; --checkpoint-gib {_round_down_gib(room - models)} would do"
        if checkpoints <= room:
            left = format_bytes(checkpoints + ledger)
            return f"{problem}; without --keep-models it takes {left}"
        return f"{problem}; --checkpoint-gib {_round_down_gib(room)} without --keep-models would do"


def _round_down_gib(size: float) -> str:
    """A size in GiB with three digits, never more than the size."""
    digits = 2 - math.floor(math.log10(size / GIB_BYTES))
    rounded = math.floor(size / GIB_BYTES * 10**digits) / 10**digits
    return f"{rounded:.10f}".rstrip("0").rstrip(".")


def free_bytes(path: Place) -> int | None:
    """Free bytes of the disk that the path lies on or will lie on; None for an object store."""
    if not isinstance(path, Path):
        return None
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    return shutil.disk_usage(existing).free
