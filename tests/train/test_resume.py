"""A trial that is interrupted and resumed equals an uninterrupted one, bit for bit."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sparsetune.sparsity.methods.registry import METHODS
from sparsetune.sparsity.plans.schedule import mask_schedule
from sparsetune.spec import EvaluateSpec, OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import FisherSpec, RampSpec, RegrowSpec, SparsitySpec
from sparsetune.spec.task import DigitsTask, FolderTask, GrowthSpec, ImageTask
from sparsetune.tasks import kinds
from sparsetune.tasks.images import folder, sources
from sparsetune.train import TrialResult, train
from sparsetune.train.checkpoint import Checkpoint, latest_checkpoint
from tests.interruption import Interrupted, Stops
from tests.pictures import write_folder

NOISY = """
from torch import nn
def net(input_shape, n_classes):
    hidden = [nn.Linear(64, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.3)]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(24, n_classes))
"""
OWN = """
import math
import torch
from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.sparsity.scores import ScoreResult
def restarts(fraction):
    return (1 + math.cos(math.pi * (3 * fraction % 1))) / 2
def build(groups, lr, momentum):
    return torch.optim.SGD(groups, lr=lr, momentum=momentum)
def taylor(context):
    (gradients,) = context.gradients(1, None, True)
    weights = context.weights.items()
    return ScoreResult({name: (weight * gradients[name]) ** 2 for name, weight in weights})
def square(fraction, ramp, target):
    return target * (1 - (1 - fraction) ** 2)
def even(layers, sparsity, spec):
    return [LayerGroup((one.name,), math.floor(sparsity * one.weights + 0.5)) for one in layers]
"""
RAMP = {"ramp": RampSpec(start=0.2, length=0.5, updates=10)}
REGROW = {"regrow": RegrowSpec(every="2 steps", until=0.95)}
GATHER = {"regrow": RegrowSpec(every="4 steps", until="41 steps", batches=3), "epochs": 7}
FISHER = {
    "fisher": FisherSpec(block=8, gradients=6, batch_size=4, recomputations=2),
    "ramp": RampSpec(first=0.4, start=0.2, length=0.5, updates=4),
}
PATTERN = {"pattern": "1:4", "target": 0.75}
METHOD_SPECS: dict[str, dict[str, Any]] = {
    "dense": {"target": 0},
    "static": {},
    "one_shot": {"recalibrate": 300},
    "gmp": RAMP,
    "acdc": {"recalibrate": 300},
    "set": REGROW,
    "rigl": GATHER,
    "granet": {**RAMP, "regrow": RegrowSpec(every="2 steps", until=0.95, batches=2), "epochs": 5},
    "sr_ste": PATTERN,
    "ste": {},
    "top_kast": {},
    "powerpropagation": {**RAMP, "recalibrate": 300},
    "obert": FISHER,
}
"""A short schedule of every method, of 4 epochs unless ten mask updates need more."""
AXES: dict[str, dict[str, Any]] = {
    "saliency at initialisation": {"method": "static", "score": "saliency", "saliency_batches": 2},
    "saliency on a ramp": {"method": "gmp", "score": "saliency", **RAMP},
    "random on a ramp": {"method": "gmp", "score": "random", **RAMP},
    "random dropped": {"method": "rigl", "score": "random", **REGROW},
    "saliency dropped": {"method": "granet", "score": "saliency", **RAMP, **REGROW, "epochs": 5},
    "fisher in one shot": {"method": "one_shot", "score": "fisher", **FISHER},
    "N:M on a ramp": {"method": "gmp", **PATTERN, **RAMP},
    "N:M in one shot": {"method": "one_shot", **PATTERN, "allocation": "uniform"},
    "N:M alternating": {"method": "acdc", **PATTERN},
    "uniform": {"method": "rigl", "allocation": "uniform", "spared": ("1",), **REGROW},
    "er": {"method": "set", "allocation": "er", **REGROW},
    "erk": {"method": "gmp", "allocation": "erk", **RAMP},
    "explicit": {"method": "acdc", "allocation": "explicit", "layers": (("*", 0.8),)},
    "a method of one's own": {
        "method": "tests.contracts.own_rigl:LATE_RIGL",
        "allocation": "erk",
        "reset": "grown",
    },
    "momentum kept": {"method": "acdc", "reset": "none"},
    "momentum of the grown": {"method": "acdc", "reset": "grown"},
    "momentum kept by RigL": {"method": "rigl", "reset": "none", **GATHER},
    "all momentum by SET": {"method": "set", "reset": "all", **REGROW},
}
"""Declarations with further state between steps: scores, patterns, allocations, momentum."""


def test_the_table_has_every_method() -> None:
    assert [*METHOD_SPECS, "transfer"] == list(METHODS)  # on texts: see `tests/test_transfer.py`


@pytest.fixture
def noisy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A network with a norm's buffers, and with dropout, which draws from the global generator."""
    (tmp_path / "noisy_network.py").write_text(NOISY)
    monkeypatch.syspath_prepend(tmp_path)
    return "noisy_network:net"


def trial(model: str, optimizer: str, sparsity: dict[str, Any]) -> TrialSpec:
    """Six steps an epoch, an evaluation at every fourth and at the epoch's end."""
    given = {"target": 0.8, "epochs": 4} | sparsity
    return TrialSpec(
        task=DigitsTask(batch_size=200, model=model),
        optim=OptimSpec(name=optimizer, lr=0.02),
        schedule=ScheduleSpec(epochs=given.pop("epochs")),
        sparsity=SparsitySpec(**given),
        evaluate=EvaluateSpec(every="4 steps"),
    )


@dataclass(frozen=True)
class Outcome:
    """Everything that a trial writes, except ``seconds``.

    Numbers are text, so that NaN equals NaN.
    """

    rows: list[dict[str, str]]
    final: TrialResult
    weights: dict[str, torch.Tensor]


def outcome(
    spec: TrialSpec, folder: Path, before: Checkpoint | None = None, **options: Any
) -> Outcome:
    """Outcome of a trial that runs to its end, from a checkpoint or from the start."""
    rows = list(before.reports) if before else []
    path = folder / "final.safetensors"
    final = train(
        spec, report=rows.append, read_test=True, save_to=path, resume_from=before, **options
    )
    text = [{name: repr(value) for name, value in row.items() if name != "seconds"} for row in rows]
    return Outcome(text, final, load_file(path))


def interrupted_in_turn(spec: TrialSpec, folder: Path, steps: set[int]) -> Outcome:
    """Outcome of a trial that is stopped after each of the steps, and resumed from disk."""
    for attempt in range(len(steps)):
        stops = Stops(folder / f"attempt-{attempt}", steps)
        with pytest.raises(Interrupted):
            outcome(spec, folder, latest_checkpoint(folder.glob("attempt-*")), checkpoints=stops)
    return outcome(spec, folder, latest_checkpoint(folder.glob("attempt-*")))


def telling_steps(spec: TrialSpec) -> set[int]:
    """Steps at which an interruption is most likely to show.

    They are around the first and a middle change of each kind, halfway to the next one, and the
    last step.
    """
    changes = mask_schedule(spec)
    kinds = defaultdict[tuple[str, str], list[int]](list)
    for place, change in enumerate(changes):
        kinds[change.phase, change.action].append(place)
    steps = [*(change.step for change in changes), spec.total_steps()]
    told = {place for places in kinds.values() for place in (places[0], places[len(places) // 2])}
    around = {steps[place] + near for place in told for near in (-1, 0, 1)} | {spec.total_steps()}
    halfway = {(steps[place] + steps[place + 1]) // 2 for place in told}
    return {step for step in around | halfway if 0 < step <= spec.total_steps()}


def assert_resumed_equals_uninterrupted(spec: TrialSpec, folder: Path, steps: set[int]) -> None:
    whole = outcome(spec, folder)
    assert whole.final.status == "COMPLETE"
    resumed = interrupted_in_turn(spec, folder, steps)
    assert resumed.rows == whole.rows
    assert repr(resumed.final) == repr(whole.final)  # as text, NaN equals NaN
    assert resumed.weights.keys() == whole.weights.keys()
    assert all(torch.equal(weight, whole.weights[name]) for name, weight in resumed.weights.items())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("method", list(METHOD_SPECS))
def test_every_method(method: str, optimizer: str, tmp_path: Path, noisy: str) -> None:
    spec = trial(noisy, optimizer, {"method": method, **METHOD_SPECS[method]})
    assert_resumed_equals_uninterrupted(spec, tmp_path, telling_steps(spec))


@pytest.mark.parametrize("name", list(AXES))
def test_every_score_pattern_allocation_and_fate_of_momentum(
    name: str, tmp_path: Path, noisy: str
) -> None:
    spec = trial(noisy, "adamw" if "momentum" in name else "sgd", AXES[name])
    assert_resumed_equals_uninterrupted(spec, tmp_path, telling_steps(spec))


OPTIMIZERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "adam, clipped": (
        {"method": "rigl", **GATHER},
        {"optim.name": "adam", "optim.arguments.eps": 1e-6, "optim.clip_norm": 0.5},
    ),
    "nadam, reset as a whole": ({"method": "acdc"}, {"optim.name": "nadam"}),
    "rmsprop, own schedule": (
        {"method": "gmp", **RAMP},
        {
            "optim.name": "rmsprop",
            "optim.lr": 0.001,
            "optim.arguments": {"momentum": 0.9, "centered": True},
            "schedule.lr": "own_functions:restarts",
        },
    ),
    "everything by path": (
        {"method": "gmp", **RAMP},
        {
            "optim.name": "own_functions:build",
            "optim.arguments.momentum": 0.8,
            "sparsity.score": "own_functions:taylor",
            "sparsity.ramp.shape": "own_functions:square",
            "sparsity.allocation": "own_functions:even",
        },
    ),
}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_optimizers_clips_and_what_is_named_by_path(name: str, tmp_path: Path, noisy: str) -> None:
    (tmp_path / "own_functions.py").write_text(OWN)
    sparsity, values = OPTIMIZERS[name]
    spec = trial(noisy, "sgd", sparsity).edited(values)
    assert_resumed_equals_uninterrupted(spec, tmp_path, {3, 7, 12, 20})


VISION: dict[str, dict[str, Any]] = {
    "average of weights": {"optim.ema": 0.9},
    "bfloat16": {"compute.precision": "bfloat16"},
    "parts, layout, smoothing": {
        "compute.accumulate": 4,
        "compute.channels_last": True,
        "task.label_smoothing": 0.1,
    },
}


@pytest.mark.parametrize("name", list(VISION))
def test_what_full_size_training_adds(name: str, tmp_path: Path) -> None:
    spec = trial("resnet8", "sgd", {"method": "gmp", **RAMP}).edited(VISION[name])
    assert_resumed_equals_uninterrupted(spec, tmp_path, {3, 7, 11})


@pytest.mark.parametrize("workers", [0, 2])
def test_augmented_files_within_an_epoch_and_across_workers(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read by the process itself or by two workers, while images grow."""
    monkeypatch.setattr(folder, "count_workers", lambda _: workers)
    task = FolderTask(
        folder=str(write_folder(tmp_path / "images")),
        examples=36,
        classes=3,
        model="resnet8",
        batch_size=8,
        validation=6,
        resolution=32,
        growth=GrowthSpec(first=16, start=0.2, length=0.5, multiple=8),
        eval_resolution=32,
        eval_resize=36,
    )
    spec = TrialSpec(
        task=task,
        schedule=ScheduleSpec(epochs=2),
        sparsity=SparsitySpec(method="static", target=0.5),
    )
    assert_resumed_equals_uninterrupted(spec, tmp_path, {2, 5})


@pytest.mark.parametrize("name", ["crop", "flip", "cutout"])
def test_augmentation_on_the_device(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (60_000, 1, 8, 8), generator=generator, dtype=torch.uint8)
    sets = {
        "train": (pixels, torch.arange(60_000) % 10),
        "test": (pixels[:100], torch.arange(100) % 10),
    }
    source = dataclasses.replace(
        sources.SOURCES["fashion_mnist"], input_shape=(1, 8, 8), read=lambda _: sets
    )
    monkeypatch.setitem(sources.SOURCES, "fashion_mnist", source)
    kinds._load_splits.cache_clear()
    given: dict[str, Any] = {
        "model": "mlp",
        "train_examples": 240,
        "validation": 100,
        "batch_size": 40,
    }
    schedule = ScheduleSpec(epochs=2)
    value = True if name == "flip" else 2
    plain = TrialSpec(task=ImageTask(**given), schedule=schedule)
    augmented = TrialSpec(task=ImageTask(**given, **{name: value}), schedule=schedule)
    assert outcome(plain, tmp_path).rows != outcome(augmented, tmp_path).rows
    assert_resumed_equals_uninterrupted(augmented, tmp_path, {2, 5, 8})
    kinds._load_splits.cache_clear()
