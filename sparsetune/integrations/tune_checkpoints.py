"""Checkpoints of a training in Ray Tune: each goes there with the row of its evaluation."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import tune

from sparsetune.integrations.lineage import LINEAGE_FILE, LINEAGE_METRIC, Lineage
from sparsetune.paths import Place
from sparsetune.train.checkpoint import Checkpoint, Checkpoints, Row


class TuneCheckpoints(Checkpoints):
    """Writer of checkpoints that Tune keeps; one is due at every evaluation.

    The last evaluation waits for what is measured after training: see `send`.

    Args:
        lineage: Recipes of the training so far.
        resumed: Checkpoint that the training resumes from; None for none.
    """

    def __init__(self, lineage: Lineage, resumed: Checkpoint | None) -> None:
        super().__init__(Path(tempfile.gettempdir()), seconds=0)
        self._lineage = lineage
        self._written: Path | None = None
        # Where no evaluation is left to make, the last one is reported again.
        self._row: Row = resumed.reports[-1] if resumed else {}

    def add_row(self, row: Row) -> None:
        """Take the row of an evaluation, whose checkpoint follows."""
        self._row = row

    def due(self, evaluated: bool) -> bool:
        """True just after an evaluation, which Tune takes together with its checkpoint."""
        return evaluated

    def write(self, step: int, trial_id: str, reports: list[Row], state: dict[str, Any]) -> Place:
        """Write a checkpoint under the name of its lineage, and send it unless it is the last."""
        self._written = self.folder = Path(tempfile.mkdtemp(prefix="sparsetune-"))
        path = super().write(step, self._lineage.digest(), reports, state)
        (self.folder / LINEAGE_FILE).write_text(self._lineage.to_json())
        if self._row["progress"] != 1:
            self.send({})
        return path

    def send(self, ending: Mapping[str, float | str | bool | None]) -> None:
        """Report the newest row, with its checkpoint where there is one.

        Args:
            ending: Columns that are known at the end of training only.
        """
        metrics = {**self._row, LINEAGE_METRIC: self._lineage.to_json(), **ending}
        folder, self._written = self._written, None
        if folder is None:
            tune.report(metrics)
            return
        try:
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))
        finally:
            # Tune has its copy, also where it ends the trial here.
            shutil.rmtree(folder, ignore_errors=True)
