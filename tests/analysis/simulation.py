"""Study directories as training writes them, with seeded numbers from a formula."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.task import ImageTask
from sparsetune.storage import StudyDirectory
from sparsetune.study import Arm, Study
from sparsetune.study.cells import Cell
from sparsetune.study.selection import objective_of, winner_of
from sparsetune.study.space import LogUniform, Uniform
from tests.ledger_records import record

DIGITS = Study(
    name="digits",
    question="Does a sparse network of digits want another recipe, and more epochs,"
    " than a dense one?",
    base=TrialSpec(schedule=ScheduleSpec(epochs=10)),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.8, 0.9, 0.95, 0.98], "schedule.epoch_multiplier": [1, 2, 4]},
    search={
        "optim.lr": LogUniform(0.01, 1.0),
        "optim.weight_decay": LogUniform(1e-6, 1e-3),
        "sparsity.ramp.start": Uniform(0.0, 0.3),
        "sparsity.ramp.length": Uniform(0.3, 0.7),
    },
    configurations_per_cell=6,
    search_seeds=1,
    report_seeds=2,
)
FASHION = Study(
    name="fashion-mnist-extension",
    question="Does a 99 % sparse LeNet want more epochs than its dense twin?",
    base=TrialSpec(task=ImageTask(train_examples=20_000)),
    arms={
        "dense": Arm({"sparsity.method": "dense"}, sweep={"sparsity.target": [0]}),
        "gmp": Arm({"sparsity.method": "gmp"}, sweep={"sparsity.target": [0.9, 0.95, 0.98, 0.99]}),
        "acdc": Arm(
            {"sparsity.method": "acdc"}, sweep={"sparsity.target": [0.9, 0.95, 0.98, 0.99]}
        ),
    },
    sweep={"schedule.epochs": [2, 4, 8, 16, 32, 64]},
    report_seeds=3,
)
SMALL = Study(
    name="small",
    question="Small?",
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.9], "schedule.epoch_multiplier": [1, 2]},
    search={"optim.lr": LogUniform(0.01, 1.0), "sparsity.ramp.start": Uniform(0.0, 0.3)},
    configurations_per_cell=3,
    report_seeds=2,
)

WEIGHTS = 17_024
PARAMETERS = 17_226
"""Prunable weights, and all parameters, of every simulated network."""

Outcome = Callable[[str, str, int], str]
"""Status of a trial by (cell, role, seed)."""


class Simulation:
    """Writes one study directory, cell by cell; `rows` may be replaced by a test's own numbers."""

    def __init__(
        self, study: Study, path: Path, *, outcome: Outcome = lambda cell, role, seed: "COMPLETE"
    ) -> None:
        self.study = study
        self.outcome = outcome
        self.directory = StudyDirectory(path)
        self.directory.create(study)
        facts = {
            "time": 1.7e9,
            "command": f"sparsetune run studies.{study.name}",
            "packages": {"torch": "2.15"},
        }
        self.directory.record_launch(
            {**facts, "processor": "simulated", "python": "3.11", "git": None}
        )
        self.records: list[Mapping[str, Any]] = []
        self.winners: dict[str, dict[str, Any]] = {}
        self.done: dict[str, float | None] = {}

    def run(self, cells: int | None = None) -> Path:
        """Run the first ``cells`` cells, all by default; returns the directory."""
        for cell in self.study.cells()[:cells]:
            self.cell(cell)
        return self.close()

    def close(self) -> Path:
        """Write what happened as one segment of the ledger."""
        ledger = self.directory.open_ledger()
        ledger.append(*map(record, self.records))
        ledger.close()
        self.records.clear()
        return self.directory.path

    def cell(self, cell: Cell) -> None:
        """Search a cell, then run its winner, control and dense twins on the report seeds."""
        configs = list(self.configurations(cell)) if cell.search else [(0, "base", {})]
        objectives = {}
        for index, source, values in configs if cell.search else []:
            spec = cell.spec.with_values(values)
            seeds = [
                self.trial(cell, "search", spec, index, source, seed)
                for seed in self.study.seeds("search")
            ]
            objectives.setdefault(spec.config_id(), objective_of(seeds))
        best = winner_of(objectives, minimize=True)
        for index, source, values in configs:
            spec = cell.spec.with_values(values)
            if not cell.search or spec.config_id() == best:
                self.winners[cell.name] = values
                for seed in self.study.seeds("report"):
                    self.trial(cell, "report", spec, index, source, seed)
            elif source == "control" and not cell.is_dense:
                for seed in self.study.seeds("report"):
                    self.trial(cell, "control", spec, index, source, seed)

    def configurations(self, cell: Cell) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """Base, control, then random points that are the same in every cell."""
        yield 0, "base", {}
        index = 1
        if cell.control_from:
            control = self.winners.get(cell.control_from, {})
            yield (
                1,
                "control",
                {path: value for path, value in control.items() if path in cell.search},
            )
            index = 2
        for k in range(index, self.study.configurations_per_cell):
            u = np.random.default_rng(k - index).random(8)
            yield (
                k,
                f"sobol:{k - index}",
                {p: a.at(float(x)) for (p, a), x in zip(cell.search.items(), u, strict=False)},
            )

    def trial(
        self, cell: Cell, role: str, spec: TrialSpec, index: int, source: str, seed: int
    ) -> float | None:
        """Propose a trial, run it unless it ran before; returns its final validation error."""
        spec = spec.with_values({"seed": seed})
        twin = spec.dense() if spec.sparsity.target and role == "report" else None
        self.records.append(
            {
                **{
                    "type": "proposed",
                    "time": 1.7e9,
                    "trial_id": spec.trial_id(),
                    "config_id": spec.config_id(),
                },
                **{
                    "cell": cell.name,
                    "arm": cell.arm,
                    "role": role,
                    "index": index,
                    "source": source,
                    "seed": seed,
                },
                **{"spec": spec.given(), "twin_id": twin and twin.trial_id()},
            }
        )
        if spec.trial_id() not in self.done:
            self.done[spec.trial_id()] = self.attempt(spec, self.outcome(cell.name, role, seed))
        if twin:
            self.trial(cell, "twin", twin, index, source, seed)
        return self.done[spec.trial_id()]

    def attempt(self, spec: TrialSpec, status: str) -> float | None:
        """One uninterrupted attempt; a FAILED or DIVERGED one ends half way."""
        trial_id = spec.trial_id()
        if status == "WAITING":
            return None
        key = {"trial_id": trial_id, "attempt": 1}
        start = {
            "type": "started",
            "time": 1.7e9,
            **key,
            "resumed_from_step": 0,
            "host": "h",
            "device": "cpu",
            "threads": 1,
        }
        rows = list(self.rows(spec))
        rows = rows if status == "COMPLETE" else rows[: len(rows) // 2]
        reports = [{"type": "report", "time": 1.7e9, **key, **row} for row in rows]
        self.records += [start, *reports]
        if status == "RUNNING":
            return None
        complete = status == "COMPLETE"
        end = {
            "type": "ended",
            "time": 1.7e9,
            **key,
            "status": status,
            "certified": True if complete else None,
        }
        pruned = round(spec.sparsity.target * WEIGHTS)
        end |= (
            {"pruned_weights": pruned, "prunable_weights": WEIGHTS, "parameters": PARAMETERS}
            if complete
            else {}
        )
        test = (
            {
                f"test_{name}": rows[-1][f"val_{name}"] - 0.002
                for name in ("accuracy", "score", "loss", "entropy")
            }
            if complete
            else {}
        )
        self.records.append(
            {**end, "error": None if complete else f"{status.lower()} <b>here</b>", **test}
        )
        return rows[-1]["val_error"] if complete else None

    def rows(self, spec: TrialSpec) -> Iterator[Mapping[str, Any]]:
        """Evaluations at the end of every epoch."""
        random = np.random.default_rng(int(spec.trial_id(), 16))
        per_epoch = spec.steps_per_epoch()
        total = spec.total_steps()
        epochs = total / per_epoch
        target = spec.sparsity.target
        hardness = 1 / (1 - target) ** 0.6
        off = math.log10(spec.optim.lr / (0.1 * hardness**0.3)) ** 2 * 0.01
        best = (
            0.885
            - 0.004 * math.log(hardness) ** 2
            - off
            - 0.055 * hardness**0.7 / epochs**0.8
            + random.normal(0, 0.002)
        )
        for epoch in range(1, math.ceil(epochs) + 1):
            step = min(total, epoch * per_epoch)
            progress = step / total
            sparsity, phase = self.mask(spec, progress)
            accuracy = (
                best
                - 0.2 * (1 - progress) ** 2 * (1 + 1.5 * (sparsity > 0.5))
                + random.normal(0, 0.002)
            )
            loss = max(0.02, 3.2 * (0.93 - accuracy))
            yield {
                **{"step": step, "epoch": step / per_epoch, "progress": progress, "phase": phase},
                **{
                    "at_target": abs(sparsity - target) < 1e-6,
                    "lr": spec.optim.lr * (1 - progress),
                    "target": target,
                },
                **{
                    "sparsity": sparsity,
                    "zeros_in_mask": 0,
                    "train_loss": loss * 0.8,
                    "train_entropy": loss * 0.7,
                },
                **{
                    "val_loss": loss,
                    "val_accuracy": accuracy,
                    "val_score": accuracy,
                    "val_error": 1 - accuracy,
                },
                **{
                    "val_entropy": loss * 0.75,
                    "batch_loss": loss * 1.1,
                    "train_flops": epoch * (1 - 0.5 * target),
                },
                **{
                    "extra_flops": 0,
                    "inference_flops": 1 - target,
                    "ever_active": 1.0,
                    "seconds": epoch * 0.5,
                },
            }

    @staticmethod
    def mask(spec: TrialSpec, progress: float) -> tuple[float, str]:
        """Sparsity and phase of the mask."""
        target = spec.sparsity.target
        if spec.sparsity.method == "gmp":
            ramp = spec.sparsity.ramp
            done = min(1.0, max(0.0, (progress - ramp.start.value) / ramp.length.value))
            return target * (1 - (1 - done) ** 3), "fixed" if done == 1 else "ramp"
        if spec.sparsity.method == "acdc":
            dense = (
                progress < 0.1
                or 0.75 <= progress < 0.85
                or (progress < 0.75 and int(progress * 20) % 2)
            )
            return (0.0, "decompressed") if dense else (target, "compressed")
        return 0.0, "dense"
