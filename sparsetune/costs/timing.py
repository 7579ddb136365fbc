"""What a trial costs, timed on its first steps: `train`'s own loop, ended early."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
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
from sparsetune.tasks.network import Inputs
from sparsetune.tasks.task import Batch, Task, TrainingBatch
from sparsetune.train import train
from sparsetune.train.checkpoint import Checkpoints, Row
from sparsetune.train.evaluate import evaluate_model

TIMING_SECONDS = 0.3
"""Steps are timed for so long: a machine that others use too gives its time in slices. The first warms up."""
PATIENCE_SECONDS = 120
"""What a process that times may take, its imports and the data with it."""
EVALUATION_SECONDS = 0.1
"""Evaluation batches are timed for so long, of full size where one of the training's size takes less."""


@dataclass(frozen=True)
class TrialCost:
    """Of trials of one task and method, each measured alone. Of mask updates only the Fisher is in it.

    Args:
        setup: Seconds before the first step, data apart: every worker reads them once.
        step: Seconds of a training step.
        example: Seconds to evaluate one example.
        checkpoint: Bytes of a checkpoint.
        model: Bytes of the final weights.
        fisher: Seconds of an estimate of the Fisher, and of the rest below: see `FisherCost`.
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
        """The part of the Fisher."""
        return FisherCost(self.fisher, self.fisher_bytes, self.fisher_pieces, self.unfit)


class _TimingDoneError(Exception):
    """The steps that were wanted are timed."""


class _StepTimer(Checkpoints):
    """Stands where checkpoints do: asked after every step, given the whole state once, and ends the training there."""

    def __init__(self, steps: int, device: str) -> None:
        super().__init__(Path())
        self.device = device
        self.began = time.perf_counter()
        self.steps = steps
        self.ends: list[float] = []
        self.pure: list[float] = []
        self.content: dict[str, Any] = {}

    def due(self, evaluated: bool) -> bool:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)
        self.ends.append(time.perf_counter())
        if len(self.ends) > 1 and not evaluated:
            self.pure.append(self.ends[-1] - self.ends[-2])
        over = len(self.ends) > 1 and self.ends[-1] - self.ends[0] > TIMING_SECONDS
        return over or len(self.ends) >= self.steps

    def write(self, step: int, trial_id: str, reports: list[Row], state: dict[str, Any]) -> Path:
        self.content = state
        raise _TimingDoneError

    def step_seconds(self) -> float:
        """Of a step, without evaluation where that was seen."""
        between = [after - before for before, after in pairwise(self.ends)]
        return mean(self.pure or between or [self.ends[0] - self.began])


def measure_cost(
    spec: TrialSpec, *, device: str = "cpu", threads: int = 1, data_root: Path | None = None
) -> TrialCost:
    """The cost of such a trial on this machine now.

    Raises:
        DataError: if the data are missing.
    """
    spec = spec.checked().canonical()
    task = load_task(
        spec.task, data_root=data_root, device=device, checkpoint=spec.sparsity.checkpoint
    )
    # steps cost the same whatever is pruned by, and the Fisher is timed on its own
    steps_of = spec.with_values({"sparsity.score": "magnitude"}) if uses_fisher(spec) else spec
    untaught = torch.zeros(
        (len(task.splits.train), task.network.outputs)
    )  # costs what a teacher's logits do
    with _restoring_torch_state(threads):
        for steps in (
            1,
            spec.total_steps(),
        ):  # the first trial of a process pays for what is loaded on use
            watch = _StepTimer(steps, device)
            with suppress(_TimingDoneError):
                train(
                    steps_of,
                    checkpoints=watch,
                    teacher=untaught,
                    data_root=data_root,
                    device=device,
                )
        step = watch.step_seconds()
        model = task.build_model().to(device)
        example = _example_seconds(model, task, spec.task.batch_size)
        whole = io.BytesIO()
        torch.save(watch.content, whole)
        weights = sum(tensor.nbytes for tensor in model.state_dict().values())
        setup = max(0.0, watch.ends[0] - watch.began - step)
        fisher = measure_fisher_cost(spec, task, model, device)
        return TrialCost(setup, step, example, whole.tell(), weights, *fisher)


def _example_seconds(model: torch.nn.Module, task: Task, batch_size: int) -> float:
    """Of an evaluation: a batch of training's size, and some of full size where that is quick."""
    split = task.splits.train
    sizes = (torch.arange(batch_size), next(iter(split.chunks())))
    for batch in (
        _BatchSplit(*examples) for examples in split.read(index[: len(split)] for index in sizes)
    ):
        evaluate_model(model, batch, task.metric)
        done = 0
        began = time.perf_counter()
        while not done or time.perf_counter() - began < EVALUATION_SECONDS:
            evaluate_model(model, batch, task.metric)
            done += len(batch)
        seconds = (time.perf_counter() - began) / done
        if seconds * len(batch) > EVALUATION_SECONDS:
            break
    return seconds


@dataclass(frozen=True)
class _BatchSplit:
    """One batch as a split of its own: at hand, however it was read."""

    inputs: Inputs
    targets: torch.Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def chunks(self) -> list[torch.Tensor]:
        return [torch.arange(len(self))]

    def read(self, chosen: Iterable[torch.Tensor]) -> Iterator[Batch]:
        for _ in chosen:
            copied = (
                self.inputs.clone() if isinstance(self.inputs, torch.Tensor) else dict(self.inputs)
            )
            yield copied, self.targets

    def training(self, spec: TrialSpec, first: int) -> Iterator[TrainingBatch]:
        raise NotImplementedError


@contextmanager
def _restoring_torch_state(threads: int) -> Iterator[None]:
    """Torch's thread count and generators are put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)


def measure_in_subprocess(specs: Sequence[TrialSpec], **how: Any) -> list[TrialCost | str]:
    """The costs, or why there is none, from a process of their own: one that has used a GPU keeps some of its memory.

    Args:
        specs: A trial each.
        how: Arguments of `measure_cost`.
    """
    how = {**how, "data_root": how["data_root"] and str(how["data_root"])}
    asked = json.dumps({"specs": [spec.given() for spec in specs], "how": how, "path": sys.path})
    command = [sys.executable, "-m", "sparsetune.costs.timing"]
    try:
        done = subprocess.run(
            command, input=asked, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
    except subprocess.TimeoutExpired:
        return [f"timing took more than {PATIENCE_SECONDS} s"] * len(specs)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return [f"timing ended with status {done.returncode}: {last}"] * len(specs)
    return [
        TrialCost(**one) if isinstance(one, dict) else one
        for one in json.loads(done.stdout.splitlines()[-1])
    ]


def measure_in_process(specs: Sequence[TrialSpec], **how: Any) -> list[TrialCost | str]:
    """The costs, or why there is none, from this process; arguments as `measure_in_subprocess`."""

    def one(spec: TrialSpec) -> TrialCost | str:
        try:
            return measure_cost(spec, **how)
        except SparsetuneError as error:
            return str(error)
        except (
            Exception
        ) as error:  # a user's model may raise anything; its trials will say it again
            return f"{type(error).__name__}: {error}"

    return [one(spec) for spec in specs]


def main() -> None:
    """Answer `measure_in_subprocess`: a JSON object in, a JSON list out."""
    asked = json.load(sys.stdin)
    sys.path += [path for path in asked["path"] if path not in sys.path]
    how = {
        **asked["how"],
        "data_root": asked["how"]["data_root"] and Path(asked["how"]["data_root"]),
    }
    costs = measure_in_process([TrialSpec.model_validate(spec) for spec in asked["specs"]], **how)
    print(json.dumps([cost if isinstance(cost, str) else asdict(cost) for cost in costs]))  # noqa: T201


if __name__ == "__main__":
    main()
