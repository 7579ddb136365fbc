"""What a study still costs: epochs, time and bytes, from the costs of its trials and what is left to run."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from sparsetune.cluster.placement import resources_per_trial
from sparsetune.costs.fisher_cost import FisherCost, count_estimates, uses_fisher
from sparsetune.costs.timing import TrialCost, measure_in_process, measure_in_subprocess
from sparsetune.errors import LimitError
from sparsetune.search.planner import Planner
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import MEASURED_COLUMNS, PROGRESS_COLUMNS
from sparsetune.storage import ledger
from sparsetune.train import evaluation_steps
from sparsetune.train.checkpoint import CHECKPOINTS_KEPT
from sparsetune.units import format_bytes, format_duration

START_SECONDS = 20.0
"""Starting Ray and its workers; 9 to 30 s where it was measured."""
TRIAL_SECONDS = 0.1
"""Handing a trial to a worker that is warm."""
PROPOSED_BYTES = 1_200
"""Records of a trial besides its rows: proposed, started, ended."""
ROW_BYTES = (
    len(
        ledger.encode_record(
            {"type": "report"} | {c.name: 1 / 3 for c in (*PROGRESS_COLUMNS, *MEASURED_COLUMNS)}
        )
    )
    + 80
)
"""A row of a trial's history in the ledger, at full length, with its time and its trial's name."""
REPORT_BYTES = 4 << 20
"""A report with its figures, more where a study has many arms; its table of all rows comes besides."""
ZERO_COST = TrialCost(0.0, 0.0, 0.0, 0, 0)
NO_FISHER = FisherCost()


class CostKind(NamedTuple):
    """What a trial's cost depends on, as far as it is measured; see `cost_kind`."""

    task: str
    method: str
    optimizer: str
    fisher: str


Costs = Mapping[CostKind, TrialCost | str]


def cost_kind(spec: TrialSpec) -> CostKind:
    """Trials of one kind cost the same per step."""
    fisher = spec.sparsity.fisher.model_dump_json() if uses_fisher(spec) else ""
    return CostKind(spec.task.model_dump_json(), spec.sparsity.method, spec.optim.name, fisher)


@dataclass(frozen=True)
class Forecast:
    """Of all that is left to run of a study.

    Args:
        trials: How many, at most.
        epochs: Of training.
        seconds: Of one worker alone, from training's start to the last trial's end; None where nothing was timed.
        missing: Why the time and the bytes are not known, or None.
        checkpoint: Bytes of one checkpoint, the largest.
        models: Bytes of the final weights of every trial that is left.
        kept: Bytes of the final weights of trials that have finished.
        records: Bytes of what is left to write of the ledger.
        report: Bytes of the report with its tables and figures, of what was left to run.
        conditions: Where and how it was timed.
        fisher: Seconds, bytes and pieces of one estimate of the Fisher, of the trials whose takes longest.
        unfit: Why the Fisher of some trials does not fit into memory.
    """

    trials: int
    epochs: float
    seconds: float | None = None
    missing: str | None = None
    checkpoint: float = 0.0
    models: float = 0.0
    kept: float = 0.0
    records: float = 0.0
    report: float = 0.0
    conditions: str = ""
    fisher: FisherCost = NO_FISHER
    unfit: tuple[str, ...] = ()

    def require_memory(self) -> None:
        """Refuse trials that could not be pruned for want of memory.

        Raises:
            LimitError: saying what they need, what there is and what would do.
        """
        if self.unfit:
            raise LimitError("\n".join(self.unfit))

    def wall_seconds(self, slots: int) -> float | None:
        """Seconds from the command to the last trial's end with so many trials at once."""
        if self.seconds is None:
            return None
        return START_SECONDS + self.seconds / max(1, min(slots, self.trials))

    def checkpoints(self, slots: int, quota: float = math.inf) -> float:
        """Bytes of checkpoints at most while trials run: those that are kept and the one being written."""
        return min(quota, (CHECKPOINTS_KEPT + 1) * self.checkpoint * min(slots, self.trials))

    def facts(self, slots: int) -> dict[str, Any]:
        """Plain JSON values."""
        known = self.missing is None
        return {
            "trials_left": self.trials,
            "epochs_left": self.epochs,
            "trials_at_once": slots,
            "seconds": self.wall_seconds(slots),
            "checkpoint_bytes": self.checkpoints(slots) if known else None,
            "model_bytes": self.models if known else None,
            "record_bytes": self.records + self.report if known else None,
            "fisher": self._fisher_facts(),
            "missing": self.missing,
            "conditions": self.conditions,
        }

    def _fisher_facts(self) -> dict[str, Any] | None:
        """None where there is no Fisher, or it does not fit."""
        seconds, size, pieces, _ = self.fisher
        return {"seconds": seconds, "bytes": size, "pieces": pieces} if pieces else None

    def _fisher_lines(self) -> list[str]:
        seconds, size, pieces, _ = self.fisher
        if not pieces:
            return list(self.unfit)
        parts = f"in {pieces} pieces, one after the other" if pieces > 1 else "in one piece"
        long = format_duration(seconds) if seconds >= 1 else "less than 1 s"
        line = f"An estimate of the Fisher takes {long} and {format_bytes(size)} of a trial's memory, {parts}."
        return [line, *self.unfit]

    def lines(
        self, slots: int, *, keep_models: bool | None = None, quota: float = math.inf
    ) -> list[str]:
        """For people: time and bytes, or why they are not known. Whether models are kept may be open."""
        if self.missing:
            return [f"Time and bytes are not known: {self.missing}"]
        wall = self.wall_seconds(slots)
        together = f"{slots} trials at once" if slots > 1 else "one trial at a time"
        time = (
            [f"About {format_duration(wall)} with {together} ({self.conditions})."]
            if wall is not None
            else []
        )
        models = f", {format_bytes(self.models)} of models" if keep_models else ""
        kept = (
            f", and {format_bytes(self.models)} of models with --keep-models"
            if keep_models is None
            else ""
        )
        parts = (
            f"{format_bytes(self.checkpoints(slots, quota))} of checkpoints while it runs{models}"
        )
        records = format_bytes(self.records + self.report)
        return [
            *time,
            *self._fisher_lines(),
            f"Writes at most {parts}, {records} of records and report{kept}.",
        ]


class _TrialForecast(NamedTuple):
    """One trial's share of a forecast."""

    epochs: float
    seconds: float
    model: float
    rows: float


def measure_costs(planner: Planner, *, device: str, threads: int, data_root: Path | None) -> Costs:
    """What each kind of trial that is left to run costs here, or why that is not known."""
    left = [
        plan.cell.spec
        for plan in planner.plans.values()
        if _remaining_epochs(planner, planner.expected_cell_epochs(plan))
    ]
    specs = {cost_kind(spec): spec for spec in left}
    # A user's own network may take its process down; data that were read, and a GPU that was used, keep their memory.
    harmless = all(
        ":" not in spec.task.model and spec.task.kind == "digits" for spec in specs.values()
    )
    measure = measure_in_process if harmless and device == "cpu" else measure_in_subprocess
    costs = measure(list(specs.values()), device=device, threads=threads, data_root=data_root)
    return dict(zip(specs, costs, strict=True))


def forecast_study(planner: Planner, costs: Costs, conditions: str = "") -> Forecast:
    """Of what is left to run; time and bytes only where every kind of trial was timed.

    Args:
        planner: Knows what is done.
        costs: By kind; one that is no cost says why.
        conditions: Where and how they were timed.
    """
    parts: dict[str, _TrialForecast] = {}
    known = {kind: cost for kind, cost in costs.items() if isinstance(cost, TrialCost)}
    for plan in planner.plans.values():
        cost = known.get(cost_kind(plan.cell.spec), ZERO_COST)
        left = _remaining_epochs(planner, planner.expected_cell_epochs(plan))
        parts |= {
            name: _forecast_trial(plan.cell.spec, epochs, cost) for name, epochs in left.items()
        }
    epochs, seconds, models, rows = (
        (sum(column) for column in zip(*parts.values(), strict=True)) if parts else (0,) * 4
    )
    missing = next((cost for cost in costs.values() if isinstance(cost, str)), None)
    unfit = tuple(sorted({cost.unfit for cost in known.values() if cost.unfit}))
    if missing:
        return Forecast(len(parts), epochs, missing=missing, unfit=unfit)
    finished = sum(trial.finished for trial in planner.trials.values())
    return Forecast(
        trials=len(parts),
        epochs=epochs,
        seconds=seconds,
        checkpoint=max((cost.checkpoint for cost in known.values()), default=0),
        models=models,
        kept=finished * max((cost.model for cost in known.values()), default=0),
        records=rows * ROW_BYTES + len(parts) * PROPOSED_BYTES,
        report=rows * ROW_BYTES + REPORT_BYTES,
        conditions=conditions,
        fisher=max((cost.fisher_part() for cost in known.values()), default=NO_FISHER),
        unfit=unfit,
    )


def _remaining_epochs(planner: Planner, epochs: Mapping[str, float]) -> dict[str, float]:
    """Those of the trials that have not finished, with the epochs that they still train."""
    states = {name: planner.trials.get(name) for name in epochs}
    waiting = {name: state for name, state in states.items() if not (state and state.finished)}
    done = {name: state.last.get("epoch", 0.0) if state else 0.0 for name, state in waiting.items()}
    return {name: max(0.0, epochs[name] - done[name]) for name in waiting}


def _forecast_trial(spec: TrialSpec, epochs: float, cost: TrialCost) -> _TrialForecast:
    """A trial of so many epochs; the evaluation of the test set counts as one of the others."""
    per_epoch = spec.steps_per_epoch()
    rows = epochs * len(evaluation_steps(spec)) * per_epoch / spec.total_steps()
    examples = min(spec.evaluate.train_examples, spec.task.train_size()) + spec.task.held_out()
    seconds = cost.setup + epochs * per_epoch * cost.step + (rows + 1) * examples * cost.example
    seconds += epochs * per_epoch / spec.total_steps() * count_estimates(spec) * cost.fisher
    return _TrialForecast(epochs, seconds + TRIAL_SECONDS, cost.model, rows)


def forecast_on_this_machine(
    planner: Planner,
    cpus_per_trial: float = 1,
    gpus_per_trial: float | None = None,
    data_root: Path | None = None,
) -> tuple[Forecast, int]:
    """The forecast with every kind of trial timed on this machine, and how many trials it runs at once."""
    node = {"CPU": float(len(os.sched_getaffinity(0))), "GPU": float(torch.cuda.device_count())}
    share = resources_per_trial(cpus_per_trial, gpus_per_trial, node["GPU"])
    device = "cuda" if share.gpu and node["GPU"] else "cpu"
    threads = max(1, int(cpus_per_trial))
    costs = measure_costs(planner, device=device, threads=threads, data_root=data_root)
    conditions = f"steps timed alone on this machine's {'GPU' if device == 'cuda' else 'CPU'}; trials at once share it"
    return forecast_study(planner, costs, conditions), max(1, share.trials_on(node))
