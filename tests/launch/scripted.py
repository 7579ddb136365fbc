"""A driver whose workers are played: trials end at once, with the scores that a test plants."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsetune.cluster.assignment import Assignment
from sparsetune.launch.driver import Driver
from sparsetune.search.journal import SearchJournal
from sparsetune.search.looks import Looks
from sparsetune.search.planner import Planner
from sparsetune.spec import TrialSpec
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import Ledger, read_records
from sparsetune.storage.records import Extended, Granted, Record
from sparsetune.storage.trial_files import OUTCOMES_FILE, file_digests
from sparsetune.storage.trial_files.outcomes import Outcomes, encode_outcomes
from sparsetune.storage.trial_state import fold_records
from sparsetune.study import Study
from tests.assignments import SETTINGS, sent

CHANCE_LOSS = 2.3
"""Loss of the best constant answer, in nats."""
Score = Callable[[TrialSpec], float]


@dataclass
class Scripted:
    """Launches of one study, each over what the ledger has.

    Args:
        study: The declaration.
        path: Its directory.
        score: Test accuracy of a trial.
        right: Whether a trial answers each test example rightly; None to keep no outcomes.
        train_loss: Final training loss of a trial.
        learned_nothing: Whether a trial gives every test example one answer.
        status: How a trial ends.
    """

    study: Study
    path: Path
    score: Score
    right: Callable[[TrialSpec], NDArray[np.bool_]] | None = None
    train_loss: Score = lambda spec: 0.1
    learned_nothing: Callable[[TrialSpec], bool] = lambda spec: False
    status: Callable[[TrialSpec], str] = lambda spec: "COMPLETE"

    def __post_init__(self) -> None:
        self.directory = StudyDirectory(self.path)
        self.directory.create(self.study)

    def records(self) -> list[Record]:
        """Everything in the ledger."""
        return read_records(self.directory.ledger)

    def grants(self) -> list[Granted]:
        """Seeds that were granted so far."""
        return [record for record in self.records() if isinstance(record, Granted)]

    def launch(self, most: int | None = None, added: Extended | None = None) -> Looks:
        """Run what is left; returns the looks as the launch left them.

        Args:
            most: Trials after which the process is killed; None for none.
            added: An extension that the launch begins with.
        """
        records = [*self.records(), *([added] if added else [])]
        extended = self.study.extended(records)
        trials = fold_records(records)
        journal = SearchJournal(None, extended, extended.cells())
        grants = [record for record in records if isinstance(record, Granted)]
        planner = Planner(extended, trials, journal, grants=grants)
        looks = Looks(self.study, self.directory.questions() or (), planner, self.directory)
        ledger = Ledger(self.directory.ledger)
        if added:
            ledger.append(added)
        driver = Driver(self.directory, ledger, trials, planner, SETTINGS, 1, [], looks=looks)
        for _ in itertools.count() if most is None else range(most):
            assignment = driver.next_assignment()
            if assignment == "done":
                break
            assert assignment is not None
            driver.receive(self._messages(assignment))
        ledger.close()
        assert driver.stopped is None
        return looks

    def _messages(self, given: Assignment) -> list[Any]:
        """What the trial's worker sends, from its start to its end."""
        spec = TrialSpec.model_validate(given.spec)
        step = spec.total_steps()
        status = self.status(spec)
        row = {"step": step, "phase": "fixed", "progress": 1.0, "at_target": True}
        row |= {"val_error": 1 - self.score(spec), "train_loss": self.train_loss(spec)}
        facts: dict[str, Any] = {"status": status}
        if status == "COMPLETE" and given.read_test:
            facts |= {"test_accuracy": self.score(spec), "test_score": self.score(spec)}
            facts |= {"chance_loss": CHANCE_LOSS, "learned_nothing": self.learned_nothing(spec)}
            if self.right is not None:
                facts["files"] = self._write_outcomes(Path(given.folder), self.right(spec))
        return [
            sent(given, "started", resumed_from_step=0),
            sent(given, "report", **row),
            sent(given, "ended", **facts),
        ]

    def _write_outcomes(self, folder: Path, right: NDArray[np.bool_]) -> dict[str, str]:
        folder.mkdir(parents=True)
        outcomes = Outcomes(len(right), accuracy=right, score_is_accuracy=True)
        (folder / OUTCOMES_FILE).write_bytes(encode_outcomes(outcomes))
        return dict(file_digests(folder))
