"""Runs of real studies on two cores, as their ledgers recorded them.

``recorded/NAME.json`` is a study's declaration. ``recorded/NAME.jsonl.gz`` has the records of its
launch without the columns that no planner reads; times count from the first record.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sparsetune.costs.pace import TimeLeft
from sparsetune.search.planner import build_planner
from sparsetune.search.study_view import StudyView
from sparsetune.storage.records import Ended, Record, Started
from sparsetune.storage.trial_state import TrialState, apply_record
from sparsetune.study import Study
from tests.ledger_records import record

FOLDER = Path(__file__).parent / "recorded"
RUNS = ("digits", "digits-quick", "halved")
"""Searched cells of three lengths; a study of half a minute, most of it the start of the workers;
one whose rungs stop configurations."""


@dataclass(frozen=True)
class RecordedRun:
    """A study that ran from its first record to its end, without interruption."""

    study: Study
    records: Sequence[Record]

    @property
    def start(self) -> float:
        """When the first trial started, in seconds."""
        return min(one.time for one in self.records if isinstance(one, Started))

    @property
    def end(self) -> float:
        """When the last trial ended, in seconds."""
        return max(one.time for one in self.records if isinstance(one, Ended))

    def estimates(self, moments: int) -> Iterator[tuple[float, float | None]]:
        """Seconds to the end, and their estimate, at equally spaced moments."""
        trials: dict[str, TrialState] = {}
        time_left = TimeLeft()
        waiting = list(self.records)
        for number in range(moments):
            now = self.start + number / moments * (self.end - self.start)
            while waiting and waiting[0].time <= now:
                apply_record(trials, waiting[0])
                time_left.observe(waiting.pop(0))
            view = StudyView(build_planner(self.study, trials))
            yield self.end - now, time_left.seconds(view.trials_left(), now)


def recorded_run(name: str) -> RecordedRun:
    """One of `RUNS`."""
    study = Study.model_validate(json.loads((FOLDER / f"{name}.json").read_text()))
    lines = gzip.decompress((FOLDER / f"{name}.jsonl.gz").read_bytes()).splitlines()
    return RecordedRun(study, [record(json.loads(line)) for line in lines])
