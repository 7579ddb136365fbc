"""Simulated studies with a known truth, which the analyses must find, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.study import Arm, Study
from sparsetune.study.space import LogUniform
from tests.analysis.simulation import Simulation

Kind = Literal["sated", "hungry", "limited", "over"]

LENGTHS = (4, 8, 16, 32)
"""Epochs of training."""
LINES: Mapping[float, Kind] = {
    0.0: "sated",
    0.8: "sated",
    0.9: "over",
    0.95: "hungry",
    0.98: "limited",
}
"""Response to longer training, by sparsity."""
HUNGER = 0.06
"""Error of a hungry network at the shortest length beyond its final one; a doubling halves it."""
LIMIT = 0.08
"""Error of a network at its capacity limit beyond the dense network's, at any length."""
WORSE = 0.012
"""Error that an over-trained network gains with each doubling, though its training loss falls."""
CURVATURE = 0.02
"""Error one decade away from the best learning rate."""

GMP = {"gmp": Arm({"sparsity.method": "gmp"})}


@dataclass(frozen=True)
class Truth:
    """Truth behind a simulated study.

    Args:
        lines: Response to longer training, by sparsity.
        shift: Decades by which the best learning rate at 98 % is above the dense network's; in
            between, in proportion to the logarithm of the density.
        noise: Standard deviation of a trial's error over seeds; the training loss has five times
            as much, as a fraction.
    """

    lines: Mapping[float, Kind]
    shift: float = 0.0
    noise: float = 0.002

    def best_lr(self, sparsity: float) -> float:
        """Learning rate with the lowest error at this sparsity."""
        return float(0.05 * 10 ** (self.shift * math.log(1 - sparsity) / math.log(0.02)))

    def error(self, sparsity: float, epochs: float, lr: float) -> float:
        """Expected error over seeds."""
        doublings = math.log2(epochs / LENGTHS[0])
        line: dict[Kind, float] = {
            "sated": 0.0,
            "hungry": HUNGER * 2**-doublings,
            "limited": LIMIT,
            "over": WORSE * doublings,
        }
        return (
            0.1
            + line[self.lines[sparsity]]
            + CURVATURE * math.log10(lr / self.best_lr(sparsity)) ** 2
        )

    def train_loss(self, sparsity: float, epochs: float) -> float:
        """Expected loss over seeds, in nats: high at the capacity limit, low where sated."""
        doublings = math.log2(epochs / LENGTHS[0])
        line: dict[Kind, float] = {
            "sated": 0.1,
            "hungry": 0.1 + 0.4 * 2**-doublings,
            "limited": 0.5,
            "over": 0.1 * 2**-doublings,
        }
        return line[self.lines[sparsity]]


class Planted(Simulation):
    """Writes a study whose numbers follow a truth; three evaluations a trial."""

    def __init__(self, study: Study, path: Path, truth: Truth, draw: int) -> None:
        super().__init__(study, path)
        self.truth = truth
        self.draw = draw

    def rows(self, spec: TrialSpec) -> Iterator[Mapping[str, Any]]:
        """Evaluations at the middle, at nine tenths and at the end."""
        random = np.random.default_rng([self.draw, int(spec.trial_id(), 16)])
        sparsity = spec.sparsity.target
        total = spec.total_steps()
        epochs = total / spec.steps_per_epoch()
        error = self.truth.error(sparsity, epochs, spec.optim.lr) + random.normal(
            0, self.truth.noise
        )
        loss = self.truth.train_loss(sparsity, epochs) * (
            1 + random.normal(0, 5 * self.truth.noise)
        )
        for progress in (0.5, 0.9, 1.0):
            step = round(progress * total)
            far = 0.1 * (1 - progress)
            yield {
                **{
                    "step": step,
                    "epoch": step / spec.steps_per_epoch(),
                    "progress": progress,
                    "phase": "fixed",
                },
                **{
                    "at_target": True,
                    "lr": spec.optim.lr,
                    "target": sparsity,
                    "sparsity": sparsity,
                },
                **{
                    "zeros_in_mask": 0,
                    "train_loss": loss + far,
                    "train_entropy": loss + far,
                    "batch_loss": loss + far,
                },
                **{
                    "val_loss": 3 * (error + far),
                    "val_entropy": error + far,
                    "val_error": error + far,
                },
                **{
                    "val_accuracy": 1 - error - far,
                    "val_score": 1 - error - far,
                    "ever_active": 1.0,
                },
                **{"train_flops": progress * epochs * (1 - sparsity / 2), "extra_flops": 0},
                **{"inference_flops": 1 - sparsity, "seconds": progress * epochs},
            }


def lengths_study(lines: Mapping[float, Kind], seeds: int = 3) -> Study:
    """Every sparsity at every length, one recipe."""
    return Study(
        name="planted-lengths",
        base=TrialSpec(),
        arms=GMP,
        sweep={"sparsity.target": list(lines), "schedule.epochs": list(LENGTHS)},
        report_seeds=seeds,
    )


def rates_study(
    sparsities: tuple[float, ...] = (0.0, 0.9, 0.98), configurations: int = 24
) -> Study:
    """Every sparsity with a search of its own for the learning rate, at one length."""
    return Study(
        name="planted-rates",
        base=TrialSpec(schedule=ScheduleSpec(epochs=LENGTHS[-1])),
        arms=GMP,
        sweep={"sparsity.target": list(sparsities)},
        search={"optim.lr": LogUniform(0.005, 2.0)},
        configurations_per_cell=configurations,
        report_seeds=3,
    )
