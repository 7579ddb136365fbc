"""Forecast of a study: epochs, time and bytes of the trials that are left to run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sparsetune.costs.fisher_cost import FisherCost, count_estimates, uses_fisher
from sparsetune.costs.remaining import RemainingWork
from sparsetune.costs.timing import (
    StepsFailed,
    TrialCost,
    measure_in_process,
    measure_in_subprocess,
)
from sparsetune.errors import LimitError, Problem
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import MEASURED_COLUMNS, PROGRESS_COLUMNS
from sparsetune.train import evaluation_steps
from sparsetune.train.checkpoint import CHECKPOINTS_KEPT
from sparsetune.units import format_bytes, format_duration

START_SECONDS = 20.0
"""Start of Ray and its workers; 9 to 30 s where it was measured."""
TRIAL_SECONDS = 0.1
"""Handing a trial to a worker that has started."""
PROPOSED_BYTES = 1_200
"""Records of a trial besides its reports: proposed, started, ended."""
NAMES_BYTES = 97
"""The type, time, trial and attempt of a report in the ledger."""
# A third is written with 16 digits, as most floats are.
_FULL_ROW = {column.name: 1 / 3 for column in (*PROGRESS_COLUMNS, *MEASURED_COLUMNS)}
ROW_BYTES = NAMES_BYTES + len(json.dumps(_FULL_ROW, separators=(",", ":")))
"""A report in the ledger, with every number at full length."""
REPORT_BYTES = 4 << 20
"""A report with its figures, without its table of all rows; more where there are many arms."""
ZERO_COST = TrialCost(0.0, 0.0, 0.0, 0, 0)
NO_FISHER = FisherCost()


class CostKind(NamedTuple):
    """Key of trials that cost the same per step.

    Args:
        task: The task as JSON.
        method: Sparsity method.
        optimizer: Name of the optimizer.
        fisher: Settings of the Fisher as JSON; empty for a trial without one.
    """

    task: str
    method: str
    optimizer: str
    fisher: str


Costs = Mapping[CostKind, TrialCost | str]
"""Measured cost of each kind of trial, or why it is not known."""


def cost_kind(spec: TrialSpec) -> CostKind:
    """Kind of a trial: trials of one kind cost the same per step."""
    fisher = spec.sparsity.fisher.model_dump_json() if uses_fisher(spec) else ""
    return CostKind(spec.task.model_dump_json(), spec.sparsity.method, spec.optim.name, fisher)


@dataclass(frozen=True)
class Forecast:
    """Cost of the trials of a study that are left to run.

    Args:
        trials: Number of trials, at most.
        epochs: Epochs of training.
        seconds: Seconds of one worker alone, from the start of training to the end of the last
            trial; None where nothing was timed.
        missing: Why time and bytes are not known; None where they are.
        checkpoint: Bytes of the largest checkpoint.
        models: Bytes of the final weights of every trial that is left.
        kept: Bytes of the final weights of trials that have finished.
        records: Bytes of the ledger that are left to write.
        report: Bytes of the report with its tables and figures, for the trials that were left.
        conditions: Where and how the costs were timed, for people.
        fisher: Seconds, bytes and pieces of one estimate of the Fisher, of the trials whose takes
            longest.
        unfit: Why the Fisher of some trials does not fit into memory.
        failed: Why the first steps of some trials raised, by their method.
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
    failed: Mapping[str, str] = field(default_factory=dict)

    def problems(self) -> list[Problem]:
        """Trials that cannot be trained, since the steps that were timed raised."""
        found = []
        for method, reason in self.failed.items():
            rule = f"the first steps of a trial with the method `{method}` must run on this machine"
            found.append(Problem("base", rule, " ".join(reason.split()), "first_launch"))
        return found

    def require_memory(self) -> None:
        """Refuse trials that could not be pruned for lack of memory.

        Raises:
            LimitError: saying what they need, what there is and what would do.
        """
        if self.unfit:
            raise LimitError("\n".join(self.unfit))

    def wall_seconds(self, slots: int) -> float | None:
        """Seconds from the command to the end of the last trial; None where nothing was timed.

        Args:
            slots: Trials at once.
        """
        if self.seconds is None:
            return None
        return START_SECONDS + self.seconds / max(1, min(slots, self.trials))

    def checkpoints(self, slots: int, quota: float = math.inf) -> float:
        """Largest bytes of checkpoints while trials run: those kept and the one being written.

        Args:
            slots: Trials at once.
            quota: Bytes that they may take.
        """
        running = min(slots, self.trials)
        return min(quota, (CHECKPOINTS_KEPT + 1) * self.checkpoint * running)

    def facts(self, slots: int) -> dict[str, Any]:
        """The forecast as plain JSON values, with so many trials at once."""
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
        """One estimate of the Fisher; None where there is none, or it does not fit."""
        seconds, size, pieces, _ = self.fisher
        return {"seconds": seconds, "bytes": size, "pieces": pieces} if pieces else None

    def _fisher_lines(self) -> list[str]:
        seconds, size, pieces, _ = self.fisher
        if not pieces:
            return list(self.unfit)
        parts = f"in {pieces} pieces, one after the other" if pieces > 1 else "in one piece"
        long = format_duration(seconds) if seconds >= 1 else "less than 1 s"
        line = (
            f"An estimate of the Fisher takes {long} and {format_bytes(size)} of a trial's memory,"
            f" {parts}."
        )
        return [line, *self.unfit]

    def lines(
        self, slots: int, *, keep_models: bool | None = None, quota: float = math.inf
    ) -> list[str]:
        """The forecast for people: time and bytes, or why they are not known.

        Args:
            slots: Trials at once.
            keep_models: Whether models are kept; None where that is open.
            quota: Bytes that checkpoints may take.
        """
        if self.missing:
            return [f"Time and bytes are not known: {self.missing}"]
        lines = []
        wall = self.wall_seconds(slots)
        if wall is not None:
            together = f"{slots} trials at once" if slots > 1 else "one trial at a time"
            lines.append(f"About {format_duration(wall)} with {together} ({self.conditions}).")
        lines += self._fisher_lines()
        checkpoints = format_bytes(self.checkpoints(slots, quota))
        records = format_bytes(self.records + self.report)
        models = f", {format_bytes(self.models)} of models" if keep_models else ""
        kept = ""
        if keep_models is None:
            kept = f", and {format_bytes(self.models)} of models with --keep-models"
        lines.append(
            f"Writes at most {checkpoints} of checkpoints while it runs{models},"
            f" {records} of records and report{kept}."
        )
        return lines


class _TrialForecast(NamedTuple):
    """One trial's share of a forecast: epochs, seconds, bytes of its model, rows of its history."""

    epochs: float
    seconds: float
    model: float
    rows: float


def measure_costs(
    work: RemainingWork, *, device: str, threads: int, data_root: Path | None
) -> Costs:
    """Measure each kind of trial that is left to run on this machine.

    Args:
        work: What is left to run.
        device: Device as torch names it.
        threads: CPU threads of torch.
        data_root: The folder that data sets lie in; see `sparsetune.tasks.prepare_data`.

    Returns:
        The cost of each kind, or why it is not known.
    """
    # One trial stands for all of its kind.
    specs = {cost_kind(cell.spec): cell.spec for cell in work.cells if cell.epochs}
    # A GPU that was used keeps memory, as data do that were read.
    here = device == "cpu" and all(map(_is_harmless, specs.values()))
    measure = measure_in_process if here else measure_in_subprocess
    costs = measure(list(specs.values()), device=device, threads=threads, data_root=data_root)
    return dict(zip(specs, costs, strict=True))


def _is_harmless(spec: TrialSpec) -> bool:
    """True if this process can train the trial; a user's own network may take it down."""
    is_own_network = ":" in spec.task.model
    return not is_own_network and spec.task.kind == "digits"


def forecast_study(work: RemainingWork, costs: Costs, conditions: str = "") -> Forecast:
    """Forecast what is left to run; time and bytes only where every kind of trial was timed.

    Args:
        work: What is left to run.
        costs: Cost of each kind of trial; one that is no cost says why.
        conditions: Where and how they were timed, for people.
    """
    known: dict[CostKind, TrialCost] = {}
    missing: str | None = None
    failed = {}
    for kind, cost in costs.items():
        if isinstance(cost, StepsFailed):
            failed[kind.method] = str(cost)
        if isinstance(cost, TrialCost):
            known[kind] = cost
        elif missing is None:
            missing = cost
    largest = _largest_costs(known.values())
    # By name: a trial that several cells use runs once.
    parts: dict[str, _TrialForecast] = {}
    for cell in work.cells:
        trial_cost = known.get(cost_kind(cell.spec), ZERO_COST)
        for name, epochs in cell.epochs.items():
            parts[name] = _forecast_trial(cell.spec, epochs, trial_cost)
    total_epochs = sum(part.epochs for part in parts.values())
    if missing:
        return Forecast(
            len(parts), total_epochs, missing=missing, unfit=largest.unfit, failed=failed
        )
    row_bytes = ROW_BYTES * sum(part.rows for part in parts.values())
    return Forecast(
        trials=len(parts),
        epochs=total_epochs,
        seconds=sum(part.seconds for part in parts.values()),
        checkpoint=largest.checkpoint,
        models=sum(part.model for part in parts.values()),
        # Nobody timed the trials that have finished; they may be of other kinds.
        kept=work.finished * largest.model,
        records=row_bytes + len(parts) * PROPOSED_BYTES,
        # The report's tables hold every row of the ledger once more.
        report=row_bytes + REPORT_BYTES,
        conditions=conditions,
        fisher=largest.fisher,
        unfit=largest.unfit,
    )


class _LargestCosts(NamedTuple):
    """The largest of several costs: bytes of checkpoint and model, the longest Fisher estimate.

    ``unfit`` has every reason why a Fisher does not fit into memory, each once.
    """

    checkpoint: int
    model: int
    fisher: FisherCost
    unfit: tuple[str, ...]


def _largest_costs(costs: Iterable[TrialCost]) -> _LargestCosts:
    checkpoint = 0
    model = 0
    fisher = NO_FISHER
    unfit = set()
    for cost in costs:
        checkpoint = max(checkpoint, cost.checkpoint)
        model = max(model, cost.model)
        fisher = max(fisher, cost.fisher_part())
        if cost.unfit:
            unfit.add(cost.unfit)
    return _LargestCosts(checkpoint, model, fisher, tuple(sorted(unfit)))


def _forecast_trial(spec: TrialSpec, epochs: float, cost: TrialCost) -> _TrialForecast:
    """A trial of so many epochs; the evaluation of the test set counts as one of the others."""
    # A trial may be of another length than its cell's base: what the base does in all is scaled.
    per_epoch = spec.steps_per_epoch()
    rows = epochs * len(evaluation_steps(spec)) * per_epoch / spec.total_steps()
    train_examples = min(spec.evaluate.train_examples, spec.task.train_size())
    examples = train_examples + spec.task.validation_size()
    seconds = cost.setup + epochs * per_epoch * cost.step + (rows + 1) * examples * cost.example
    seconds += epochs * per_epoch / spec.total_steps() * count_estimates(spec) * cost.fisher
    return _TrialForecast(epochs, seconds + TRIAL_SECONDS, cost.model, rows)
