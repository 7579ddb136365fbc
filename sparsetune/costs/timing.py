"""Cost of a trial, timed on its first steps in `train`'s own loop, which is ended early."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from sparsetune.costs.fisher_cost import FisherCost, measure_fisher_cost, uses_fisher
from sparsetune.errors import SparsetuneError
from sparsetune.spec import TrialSpec
from sparsetune.tasks.kinds import load_task
from sparsetune.tasks.nested import Nested, count_examples, map_tensors
from sparsetune.tasks.task import Batch, Task, TrainingBatch
from sparsetune.train import train
from sparsetune.train.checkpoint import Checkpoints, Row
from sparsetune.train.evaluate import evaluate_model

TIMING_SECONDS = 0.3
"""Seconds for which steps are timed, after a first one that warms up.

A single step would not do: on a shared machine it varies too much.
"""
FIRST_STEPS = 20
"""Steps of which any that raises raises in every trial; a later one may do so for its weights."""
TIMEOUT_SECONDS = 120
"""Seconds that a process that times may take, with its imports and the data."""
EVALUATION_SECONDS = 0.1
"""Seconds for which evaluations are timed.

A batch of full size is timed as well, where one of the training's size takes less.
"""


@dataclass(frozen=True)
class TrialCost:
    """Measured cost of one trial, for one task and method.

    Mask updates are not in it, except for the Fisher information.

    Args:
        setup: Seconds before the first step, without reading data, which a worker does once.
        step: Seconds of a training step.
        example: Seconds to evaluate one example.
        checkpoint: Bytes of a checkpoint.
        model: Bytes of the final weights.
        fisher: Seconds of an estimate of the Fisher information; see `FisherCost`.
        fisher_bytes: See `FisherCost`.
        fisher_pieces: See `FisherCost`.
        unfit: See `FisherCost`.
    """

    setup: float
    step: float
    example: float
    checkpoint: int
    model: int
    fisher: float = 0.0
    fisher_bytes: int = 0
    fisher_pieces: int = 0
    unfit: str = ""

    def fisher_part(self) -> FisherCost:
        """Cost of the Fisher information alone."""
        return FisherCost(self.fisher, self.fisher_bytes, self.fisher_pieces, self.unfit)


class StepsFailed(str):
    """Reason why a trial's own steps raised where they were timed: its training would, too."""

    __slots__ = ()


class _TimingDoneError(Exception):
    """Ends a training whose steps have been timed."""


class _LaterStepError(Exception):
    """A step after the first ones raised, with the reason as its text."""


class _StepTimer(Checkpoints):
    """Checkpoints that write nothing: `due` notes the time of every step.

    The first checkpoint that is due gives its state, and ends the training.

    Args:
        steps: Most steps to time, the first included.
        device: As torch names it.
    """

    def __init__(self, steps: int, device: str) -> None:
        super().__init__(Path())
        self._device = device
        self._max_steps = steps
        self._began = time.perf_counter()
        self._ends: list[float] = []
        self._without_evaluation: list[float] = []
        self.state: dict[str, Any] = {}

    def due(self, evaluated: bool) -> bool:
        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)
        self._ends.append(time.perf_counter())
        if len(self._ends) == 1:
            return self._max_steps <= 1
        if not evaluated:
            self._without_evaluation.append(self._ends[-1] - self._ends[-2])
        timed_seconds = self._ends[-1] - self._ends[0]
        return timed_seconds > TIMING_SECONDS or len(self._ends) >= self._max_steps

    def write(self, step: int, trial_id: str, reports: list[Row], state: dict[str, Any]) -> Path:
        self.state = state
        raise _TimingDoneError

    @property
    def steps(self) -> int:
        """Steps that have ended."""
        return len(self._ends)

    def step_seconds(self) -> float:
        """Mean seconds of a step, without evaluations unless every step had one."""
        between = [after - before for before, after in pairwise(self._ends)]
        return mean(self._without_evaluation or between or [self.first_step_seconds()])

    def first_step_seconds(self) -> float:
        """Seconds from the start of training to the end of its first step."""
        # A training that diverges in its first step has no end of one.
        return (self._ends[0] if self._ends else time.perf_counter()) - self._began


def measure_cost(
    spec: TrialSpec, *, device: str = "cpu", threads: int = 1, data_root: Path | None = None
) -> TrialCost:
    """Measure the cost of a trial on this machine.

    Args:
        spec: Declaration of the trial.
        device: As torch names it.
        threads: Number of threads that the trial gets.
        data_root: Folder that data sets lie in.

    Raises:
        DataError: if the data are missing.
    """
    spec = spec.checked().canonical()
    task = load_task(
        spec.task, data_root=data_root, device=device, checkpoint=spec.sparsity.checkpoint
    )
    # Steps cost the same under every score, and the Fisher information is timed apart.
    timed = spec.with_values({"sparsity.score": "magnitude"}) if uses_fisher(spec) else spec
    # Stand for a teacher's logits, whose values do not change the cost.
    logits = torch.zeros((len(task.splits.train), task.network.outputs))
    with _restoring_torch_state(threads):
        # The first trial of a process loads libraries, so one of a single step goes before.
        _time_steps(timed, 1, logits, data_root, device)
        timer = _time_steps(timed, spec.total_steps(), logits, data_root, device)
        step = timer.step_seconds()
        model = task.build_model().to(device)
        checkpoint = io.BytesIO()
        torch.save(timer.state, checkpoint)
        return TrialCost(
            max(0.0, timer.first_step_seconds() - step),
            step,
            _example_seconds(model, task, spec.task.batch_size),
            checkpoint.tell(),
            sum(tensor.nbytes for tensor in model.state_dict().values()),
            *measure_fisher_cost(spec, task, model, device),
        )


def _time_steps(
    spec: TrialSpec, steps: int, logits: torch.Tensor, data_root: Path | None, device: str
) -> _StepTimer:
    """Train at most ``steps`` steps, and time them."""
    timer = _StepTimer(steps, device)
    try:
        train(spec, checkpoints=timer, teacher=logits, data_root=data_root, device=device)
    except _TimingDoneError:
        pass
    except Exception as error:  # a user's model may raise anything
        if timer.steps < FIRST_STEPS:
            raise
        raise _LaterStepError(_reason(error)) from error
    return timer


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, SparsetuneError) else f"{type(error).__name__}: {error}"


def _may_pass(error: Exception) -> bool:
    """True for a lack of memory: a trial may find it on another node, or later."""
    out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return out_of_memory or "can't allocate memory" in str(error)


def _example_seconds(model: torch.nn.Module, task: Task, batch_size: int) -> float:
    """Seconds to evaluate one example, in a batch of full size unless that takes too long."""
    split = task.splits.train
    indices = [torch.arange(batch_size)[: len(split)], next(iter(split.chunks()))]
    for inputs, targets in split.read(indices):
        batch = _BatchSplit(inputs, targets)
        evaluate_model(model, batch, task.measures)
        done = 0
        began = time.perf_counter()
        while not done or time.perf_counter() - began < EVALUATION_SECONDS:
            evaluate_model(model, batch, task.measures)
            done += len(batch)
        seconds = (time.perf_counter() - began) / done
        if seconds * len(batch) > EVALUATION_SECONDS:
            break
    return seconds


@dataclass(frozen=True)
class _BatchSplit:
    """Split of one batch, which is in memory already, so that no reading is timed."""

    inputs: Nested
    targets: Nested

    def __len__(self) -> int:
        return count_examples(self.targets)

    def chunks(self) -> list[torch.Tensor]:
        return [torch.arange(len(self))]

    def read(self, chosen: Iterable[torch.Tensor]) -> Iterator[Batch]:
        for _ in chosen:
            # A network may change its inputs in place.
            yield map_tensors(torch.clone, self.inputs), self.targets

    def training(self, spec: TrialSpec, first: int) -> Iterator[TrainingBatch]:
        raise NotImplementedError


@contextmanager
def _restoring_torch_state(threads: int) -> Iterator[None]:
    """Set torch's number of threads; on leaving, put it and torch's generators back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)


def measure_in_subprocess(
    specs: Sequence[TrialSpec], *, device: str, threads: int, data_root: Path | None
) -> list[TrialCost | str]:
    """Measure costs in a process of their own.

    A process that has used a GPU keeps some of its memory; this one ends.

    Args:
        specs: Declaration of one trial of each kind.
        device: As torch names it.
        threads: Number of threads that a trial gets.
        data_root: Folder that data sets lie in.

    Returns:
        Cost of each trial, or the reason why it could not be measured: `StepsFailed` where the
        trial's own steps raised.
    """
    request = {
        "specs": [spec.given() for spec in specs],
        "device": device,
        "threads": threads,
        "data_root": str(data_root) if data_root else None,
        "path": sys.path,
    }
    command = [sys.executable, "-m", "sparsetune.costs.timing"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return [f"timing took more than {TIMEOUT_SECONDS} s"] * len(specs)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return [f"timing ended with status {done.returncode}: {last}"] * len(specs)
    # A user's model may print, so only the last line is the answer.
    answer = json.loads(done.stdout.splitlines()[-1])
    return [_decode(**cost) for cost in answer]


def _encode(cost: TrialCost | str) -> dict[str, Any]:
    if isinstance(cost, TrialCost):
        return {"cost": asdict(cost)}
    return {"reason": cost, "failed": isinstance(cost, StepsFailed)}


def _decode(
    cost: dict[str, Any] | None = None, reason: str = "", failed: bool = False
) -> TrialCost | str:
    if cost is not None:
        return TrialCost(**cost)
    return StepsFailed(reason) if failed else reason


def measure_in_process(
    specs: Sequence[TrialSpec], *, device: str, threads: int, data_root: Path | None
) -> list[TrialCost | str]:
    """Measure costs in this process; arguments and results as in `measure_in_subprocess`."""

    def cost_or_reason(spec: TrialSpec) -> TrialCost | str:
        try:
            return measure_cost(spec, device=device, threads=threads, data_root=data_root)
        except _LaterStepError as error:
            return str(error)
        except Exception as error:  # a user's model may raise anything; its trials will, too
            reason = _reason(error)
            return reason if _may_pass(error) else StepsFailed(reason)

    return [cost_or_reason(spec) for spec in specs]


def main() -> None:
    """Answer `measure_in_subprocess`: a JSON object in, a JSON list out."""
    request = json.load(sys.stdin)
    # A user's own models are imported from where the asking process finds them.
    sys.path += [path for path in request["path"] if path not in sys.path]
    costs = measure_in_process(
        [TrialSpec.model_validate(spec) for spec in request["specs"]],
        device=request["device"],
        threads=request["threads"],
        data_root=Path(request["data_root"]) if request["data_root"] else None,
    )
    print(json.dumps([_encode(cost) for cost in costs]))  # noqa: T201


if __name__ == "__main__":
    main()
