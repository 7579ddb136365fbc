"""Simulated studies whose test scores are exactly those that a test plants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.storage.trial_files import OUTCOMES_FILE, file_digests
from sparsetune.storage.trial_files.outcomes import Outcomes, encode_outcomes
from sparsetune.study import Arm, Study
from sparsetune.study.fields import FIRST_REPORT_SEED
from tests.analysis.simulation import Outcome, Simulation

Score = Callable[[TrialSpec], float]
Right = Callable[[TrialSpec], NDArray[np.bool_]]
TEST_OFFSET = 0.002
"""Simulated test accuracies are validation accuracies minus this."""
CHANCE_LOSS = 2.3
"""Loss of the best constant answer, in nats."""
TWO_ARMS = Study(
    name="two-arms",
    base=TrialSpec(schedule=ScheduleSpec(epochs=8)),
    arms={"gmp": Arm({"sparsity.method": "gmp"}), "acdc": Arm({"sparsity.method": "acdc"})},
    sweep={"sparsity.target": [0, 0.95, 0.98], "schedule.epoch_multiplier": [1, 4]},
    report_seeds=5,
)
"""Two sparse arms and the dense network at two lengths of training, without a search."""


class Exact(Simulation):
    """Writes a study whose trials have the test accuracy that a function of their recipe gives.

    Args:
        study: The declaration.
        path: Its directory.
        score: Test accuracy of a trial.
        train_loss: Final training loss of a trial; by default 0.1 nats.
        right: Whether a trial answers each test example rightly, of which ``score`` is the mean;
            None to keep no outcomes.
        learned_nothing: Whether a trial gives every test example one answer.
        outcome: Status of a trial by cell, role and seed.
    """

    def __init__(
        self,
        study: Study,
        path: Path,
        score: Score,
        *,
        train_loss: Score = lambda spec: 0.1,
        right: Right | None = None,
        learned_nothing: Callable[[TrialSpec], bool] = lambda spec: False,
        outcome: Outcome = lambda cell, role, seed: "COMPLETE",
    ) -> None:
        super().__init__(study, path, outcome=outcome)
        self.score = score
        self.train_loss = train_loss
        self.right = right
        self.learned_nothing = learned_nothing

    def attempt(self, spec: TrialSpec, status: str) -> float | None:
        """One attempt, with the loss of the best constant answer at its end."""
        reached = super().attempt(spec, status)
        if status == "COMPLETE":
            facts: dict[str, Any] = {
                "chance_loss": CHANCE_LOSS,
                "learned_nothing": self.learned_nothing(spec),
            }
            if self.right is not None and seed_number(spec) >= 0:
                facts["files"] = self._write_outcomes(spec, self.right(spec))
            self.records[-1] = {**self.records[-1], **facts}
        return reached

    def _write_outcomes(self, spec: TrialSpec, right: NDArray[np.bool_]) -> dict[str, str]:
        """Write the outcomes of a report trial; returns the digests of its files."""
        folder = Path(str(self.directory.attempt(spec.trial_id(), 1)))
        folder.mkdir(parents=True)
        outcomes = Outcomes(len(right), accuracy=right, score_is_accuracy=True)
        (folder / OUTCOMES_FILE).write_bytes(encode_outcomes(outcomes))
        return dict(file_digests(folder))

    def rows(self, spec: TrialSpec) -> Iterator[Mapping[str, Any]]:
        """One evaluation, at the end; two for what ends half way."""
        accuracy = self.score(spec) + TEST_OFFSET
        total = spec.total_steps()
        for part in (0.5, 1.0):
            yield {
                "step": round(part * total),
                "epoch": part * total / spec.steps_per_epoch(),
                "progress": part,
                "phase": "fixed" if spec.sparsity.target else "dense",
                "at_target": True,
                "lr": 0.0,
                "target": spec.sparsity.target,
                "sparsity": spec.sparsity.target,
                "zeros_in_mask": 0,
                "train_loss": self.train_loss(spec),
                "train_entropy": 0.1,
                "val_loss": 0.1,
                "val_accuracy": accuracy,
                "val_score": accuracy,
                "val_error": 1 - accuracy,
                "val_entropy": 0.1,
                "batch_loss": 0.1,
                "train_flops": 1.0,
                "extra_flops": 0,
                "inference_flops": 1.0,
                "ever_active": 1.0,
                "seconds": 1.0,
            }


def seed_number(spec: TrialSpec) -> int:
    """Number of a report seed, from 0; negative for a search seed."""
    return spec.seed - FIRST_REPORT_SEED


def planted(levels: Mapping[tuple[str, float, float], float], spread: float = 0.001) -> Score:
    """A score of a level for each method, sparsity and multiplier, and a known spread.

    The differences between lengths have the deviations -2, -1, 0, 1, 2 times ``spread`` on the
    first five seeds, a standard deviation of 1.58 times ``spread``; of AC/DC in turned order.
    """

    def score(spec: TrialSpec) -> float:
        target = spec.sparsity.target
        method = spec.sparsity.method if target else "dense"
        multiplier = spec.schedule.epoch_multiplier
        deviation = (seed_number(spec) % 5 - 2) * spread
        if method == "acdc":
            deviation = -deviation
        # Networks of one seed share some luck, which pairing takes away.
        shared = 0.003 * (seed_number(spec) % 3)
        is_long_sparse = target > 0 and multiplier > 1
        return levels[method, target, multiplier] + shared + deviation * is_long_sparse

    return score
