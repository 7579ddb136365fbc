import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from sparsetune.errors import CheckpointError, DeclarationError
from sparsetune.seeds import derived_seed
from sparsetune.sparsity.masks import choice
from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.sparsity.masks.exact import Masks, compute_masks
from sparsetune.sparsity.sparsifier import Sparsifier
from sparsetune.spec import EvaluateSpec, OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.columns import MEASURED_COLUMNS, PROGRESS_COLUMNS
from sparsetune.spec.sparsity import RampSpec, SparsitySpec
from sparsetune.spec.task import DigitsTask, ImageTask
from sparsetune.storage.checks import column_rule
from sparsetune.tasks.kinds import load_task
from sparsetune.train import TrialResult, epoch_order, evaluation_steps, train
from sparsetune.train.checkpoint import (
    Checkpoint,
    Checkpoints,
    Row,
    latest_checkpoint,
    load_checkpoint,
)

NOISY = """
from torch import nn
def net(input_shape, n_classes):
    hidden = [nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3)]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(32, n_classes))
"""


@pytest.fixture
def noisy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A network with a norm's buffers and with dropout, which draws from the global generator."""
    (tmp_path / "noisy_networks.py").write_text(NOISY)
    monkeypatch.syspath_prepend(tmp_path)
    return "noisy_networks:net"


def trial(
    method: str = "dense", *, epochs: float = 4, model: str = "mlp", **fields: Any
) -> TrialSpec:
    """Six steps an epoch, an evaluation in between."""
    sparsity = SparsitySpec(method=method, target=0 if method == "dense" else 0.8)
    task = DigitsTask(batch_size=200, model=model)
    given: dict[str, Any] = {"sparsity": sparsity, "evaluate": EvaluateSpec(every="4 steps")}
    return TrialSpec(**({"task": task, "schedule": ScheduleSpec(epochs=epochs)} | given | fields))


def history(spec: TrialSpec, **options: Any) -> list[Row]:
    rows: list[Row] = []
    train(spec, report=rows.append, **options)
    return rows


def numbers(rows: list[Row]) -> list[dict[str, str]]:
    """The rows without ``seconds``, as text, so that NaN equals NaN and every bit counts."""
    return [{name: repr(value) for name, value in row.items() if name != "seconds"} for row in rows]


SHORT = ["dense", "static", "one_shot", "gmp", "acdc"]
"""Methods whose defaults fit into 24 steps; every method is resumed in `tests/test_resume.py`."""


class Interrupted(Exception):
    pass


class Stop:
    """Reports, and raises at the ``last``-th row."""

    def __init__(self, last: int) -> None:
        self.rows: list[Row] = []
        self.last = last

    def __call__(self, row: Row) -> None:
        self.rows.append(row)
        if len(self.rows) == self.last:
            raise Interrupted


class Everywhere(Checkpoints):
    """Writes after every step, and remembers each as it is read back."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, seconds=0, mid_epoch_seconds=0)
        self.read: list[Checkpoint] = []

    def write(self, *args: Any) -> Path:
        path = super().write(*args)
        self.read.append(load_checkpoint(path))
        return path


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("method", SHORT)
def test_resumed_anywhere_equals_uninterrupted(
    method: str, optimizer: str, tmp_path: Path, noisy: str
) -> None:
    spec = trial(method, model=noisy, optim=OptimSpec(name=optimizer, lr=0.02))
    everywhere = Everywhere(tmp_path / "attempt-1")
    rows: list[Row] = []
    final = train(spec, report=rows.append, checkpoints=everywhere, read_test=True)
    assert [checkpoint.step for checkpoint in everywhere.read] == list(range(1, 25))
    assert numbers(rows) == numbers(history(spec))
    for checkpoint in everywhere.read:
        more: list[Row] = []
        resumed = train(spec, report=more.append, resume_from=checkpoint, read_test=True)
        assert numbers([*checkpoint.reports, *more]) == numbers(rows)
        assert resumed == final


@pytest.mark.parametrize("method", SHORT)
def test_interrupted_at_every_report_and_resumed_from_disk(method: str, tmp_path: Path) -> None:
    spec = trial(method)
    expected = numbers(history(spec))
    attempt = 0
    rows = list[Row]()
    while len(rows) < len(expected):
        attempt += 1
        stop = Stop(
            2
        )  # the first row of each attempt is followed by a checkpoint, the second is not
        found = latest_checkpoint(tmp_path.glob("attempt-*"))
        before = list(found.reports) if found else []
        policy = Checkpoints(tmp_path / f"attempt-{attempt}", seconds=0)
        try:
            train(spec, report=stop, checkpoints=policy, resume_from=found.path if found else None)
        except Interrupted:
            stop.rows.pop()
        rows = [*before, *stop.rows]
        assert numbers(rows) == expected[: len(rows)]
    assert attempt == len(expected)


def test_numbers_do_not_depend_on_what_ran_before(noisy: str) -> None:
    spec = trial("acdc", model=noisy)
    expected = numbers(history(spec))
    threads = torch.get_num_threads()
    torch.rand(1000)
    assert numbers(history(spec)) == expected
    with pytest.raises(Interrupted):
        train(trial("gmp", model=noisy, seed=7), report=Stop(2))
    assert numbers(history(spec)) == expected
    train(trial("dense", optim=OptimSpec(lr=1e9)))
    assert numbers(history(spec)) == expected
    assert torch.get_num_threads() == threads


def test_every_seed_matters(noisy: str) -> None:
    expected = numbers(history(trial(model=noisy)))
    assert numbers(history(trial(model=noisy, seed=1))) != expected
    other_split = TrialSpec(
        task=DigitsTask(batch_size=200, model=noisy, split_seed=1), schedule=ScheduleSpec(epochs=4)
    )
    assert history(other_split)[-1]["val_loss"] != history(trial(model=noisy))[-1]["val_loss"]
    assert not torch.equal(epoch_order(0, 0, 50), epoch_order(0, 1, 50))
    assert not torch.equal(epoch_order(0, 0, 50), epoch_order(1, 0, 50))
    assert sorted(epoch_order(0, 3, 50).tolist()) == list(range(50))
    assert (
        len({derived_seed(s, p) for s in (0, 1) for p in ("order", "initialisation", "training")})
        == 6
    )


def test_a_row_has_every_column_of_the_contract() -> None:
    rows = history(trial("gmp"))
    kinds = {"string": str, "boolean": bool, "Int64": int, "float64": float}
    for row in rows:
        assert set(row) == {column.name for column in (*PROGRESS_COLUMNS, *MEASURED_COLUMNS)}
        for column in (*PROGRESS_COLUMNS, *MEASURED_COLUMNS):
            assert isinstance(row[column.name], kinds[column.dtype]), column.name
    assert [row["step"] for row in rows] == [4, 6, 8, 12, 16, 18, 20, 24]
    last = rows[-1]
    assert (last["epoch"], last["progress"], last["phase"], last["at_target"]) == (
        4.0,
        1.0,
        "fixed",
        True,
    )
    assert (last["target"], last["sparsity"]) == (0.8, pytest.approx(0.8, abs=1e-4))
    assert last["val_error"] == 1 - float(last["val_accuracy"] or 0)
    seconds = [float(row["seconds"] or 0) for row in rows]
    assert sorted(seconds) == seconds
    assert seconds[0] > 0


def test_evaluations_describe_the_mask_of_the_last_step() -> None:
    task = DigitsTask(batch_size=200)
    schedule = ScheduleSpec(epochs=20)
    sparsity = SparsitySpec(method="acdc", target=0.8)
    rows = history(TrialSpec(task=task, schedule=schedule, sparsity=sparsity))
    compressed = [3, 5, 7, 9, 11, 13, 15, 18, 19, 20]
    assert [row["epoch"] for row in rows if row["phase"] == "compressed"] == compressed
    assert [row["epoch"] for row in rows if row["phase"] == "decompressed"] == [
        4,
        6,
        8,
        10,
        12,
        14,
        16,
        17,
    ]
    for row in rows:
        assert row["at_target"] == (row["phase"] == "compressed")
        assert row["sparsity"] == (pytest.approx(0.8, abs=1e-4) if row["at_target"] else 0)
        assert (row["inference_flops"] == 1) == (not row["at_target"])
        assert math.isnan(float(row["mask_iou"] or 0)) == (float(row["epoch"] or 0) < 5)
    cost = float(rows[2]["inference_flops"] or 0)
    assert rows[-1]["train_flops"] == pytest.approx(10 + 10 * cost, rel=0.01)


def test_losses_are_those_of_the_final_weights() -> None:
    rows: list[Row] = []
    final = train(trial(epochs=20), report=rows.append, read_test=True)
    assert final.status == "COMPLETE"
    assert set(final.test) == {"test_loss", "test_accuracy", "test_score", "test_entropy"}
    assert final.test["test_accuracy"] > 0.85
    assert float(rows[0]["train_loss"] or 0) > float(rows[-1]["train_loss"] or 0) > 0
    assert float(rows[-1]["batch_loss"] or 0) == pytest.approx(
        float(rows[-1]["train_loss"] or 0), rel=0.2
    )
    assert train(trial(epochs=1)).test == {}


def test_batch_loss_is_the_mean_since_the_last_evaluation() -> None:
    each = history(trial(evaluate=EvaluateSpec(every="1 steps"), epochs=1))
    whole = history(trial(evaluate=EvaluateSpec(), epochs=1))
    assert whole[0]["batch_loss"] == pytest.approx(
        sum(float(row["batch_loss"] or 0) for row in each) / 6
    )


def test_without_a_validation_split_its_columns_are_missing() -> None:
    task = DigitsTask(batch_size=200, validation=0)
    last = history(TrialSpec(task=task, schedule=ScheduleSpec(epochs=1)))[-1]
    missing = [
        name for name, value in last.items() if isinstance(value, float) and math.isnan(value)
    ]
    assert missing == [
        "mask_iou",
        "val_loss",
        "val_accuracy",
        "val_score",
        "val_entropy",
        "val_error",
    ]
    assert train(TrialSpec(task=task, schedule=ScheduleSpec(epochs=1))).status == "COMPLETE"


@pytest.mark.parametrize("method", SHORT)
def test_a_trial_that_diverges_says_so_and_stops(method: str) -> None:
    rows: list[Row] = []
    final = train(trial(method, optim=OptimSpec(lr=1e12)), report=rows.append, read_test=True)
    assert final.status == "DIVERGED"
    assert final.error is not None
    assert final.error.startswith("batch loss became ")
    assert final.error.endswith(f" by step {rows[-1]['step']}")
    assert (final.certified, final.certificate, final.test) == (None, {}, {})
    assert not math.isfinite(float(rows[-1]["batch_loss"] or 0))
    assert len(rows) < 8
    # A ledger with a row that breaks a rule could not be read.
    known = {name: value for name, value in rows[-1].items() if isinstance(value, int | float)}
    finite = {name: value for name, value in known.items() if math.isfinite(value)}
    assert not [rule for name, value in finite.items() if (rule := column_rule(name, value))]
    assert all(row["zeros_in_mask"] == 0 for row in rows)


def test_a_loss_that_diverges_only_at_the_last_step_is_found() -> None:
    spec = trial(optim=OptimSpec(lr=1e30), schedule=ScheduleSpec(epochs=0.1, warmup=0))
    assert spec.total_steps() == 1
    final = train(spec)
    assert final.status == "DIVERGED"
    assert str(final.error).startswith("train loss became")


@pytest.mark.parametrize("allocation", ["global", "uniform"])
def test_the_certificate_counts_what_was_asked(allocation: str) -> None:
    sparsity = SparsitySpec(method="gmp", target=0.9, allocation=allocation)
    final = train(trial(sparsity=sparsity))
    assert final.certified
    certificate = final.certificate
    assert [layer["name"] for layer in certificate["layers"]] == [
        "1.weight",
        "3.weight",
        "5.weight",
    ]
    assert certificate["weights"] == 17_024
    assert certificate["kept"] == certificate["asked"] == 17_024 - 15_322
    if allocation == "uniform":
        assert [layer["kept"] for layer in certificate["layers"]] == [819, 819, 64]
        assert [layer["asked"] for layer in certificate["layers"]] == [819, 819, 64]


def test_final_masks_are_written_a_bit_a_weight_and_agree_with_the_weights(tmp_path: Path) -> None:
    spec = TrialSpec(
        sparsity=SparsitySpec(method="gmp", target=0.93), schedule=ScheduleSpec(epochs=2)
    )
    final = train(
        spec, save_to=tmp_path / "model.safetensors", masks_to=tmp_path / "masks.safetensors"
    )
    weights = load_file(tmp_path / "model.safetensors")
    with safe_open(tmp_path / "masks.safetensors", "np") as masks:
        shapes = json.loads(masks.metadata()["shapes"])
        assert shapes == {layer["name"]: layer["shape"] for layer in final.certificate["layers"]}
        for layer in final.certificate["layers"]:
            name = layer["name"]
            packed = masks.get_tensor(layer["name"])
            mask = np.unpackbits(packed, count=layer["weights"]).astype(bool).reshape(shapes[name])
            assert mask.sum() == layer["kept"] < layer["weights"]
            assert packed.dtype == np.uint8 and packed.size == math.ceil(layer["weights"] / 8)
            assert not weights[name].numpy()[~mask].any()


def test_a_mask_that_is_not_enforced_makes_the_trial_invalid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Sparsifier, "after_step", lambda self: None)
    final = train(trial("one_shot"), read_test=True)
    assert (final.status, final.certified, final.test) == ("INVALID", False, {})
    assert "outside its mask that are not zero" in str(final.error)


def test_a_mask_of_another_count_makes_the_trial_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(scores: Any, groups: list[LayerGroup], *rest: Any, **more: Any) -> Masks:
        return compute_masks(
            scores, [LayerGroup(group.names, group.pruned // 2) for group in groups], *rest, **more
        )

    monkeypatch.setattr(choice, "compute_masks", half)
    final = train(trial("one_shot"))
    assert final.status == "INVALID"
    assert "6809 weights are pruned where 13619 were asked" in str(final.error)


def test_a_ramp_that_ends_with_training_is_at_target_in_the_last_row() -> None:
    sparsity = SparsitySpec(method="gmp", target=0.9, ramp=RampSpec(start=0.1, length=0.9))
    rows = history(trial(sparsity=sparsity))
    assert (rows[-1]["phase"], rows[-1]["at_target"]) == ("fixed", True)


def test_a_fraction_of_an_epoch_and_a_multiplier() -> None:
    spec = trial(schedule=ScheduleSpec(epochs=0.75, epoch_multiplier=2), evaluate=EvaluateSpec())
    assert [row["step"] for row in history(spec)] == [6, 9]
    assert evaluation_steps(spec.with_values({"evaluate.every": 0.34})) == {3, 6, 9}


def test_faulty_declarations_are_refused_before_training() -> None:
    with pytest.raises(DeclarationError, match=r"sparsity\.target"):
        train(TrialSpec(sparsity=SparsitySpec(method="gmp", target=90)))
    with pytest.raises(DeclarationError, match=r"sparsity\.ramp"):
        train(trial("gmp", epochs=1))
    with pytest.raises(DeclarationError, match=r"task\.model"):
        train(trial(model="nothing"))


def test_a_checkpoint_of_another_trial_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(trial(), report=Stop(2), checkpoints=Checkpoints(tmp_path, seconds=0))
    found = latest_checkpoint([tmp_path])
    with pytest.raises(CheckpointError, match=r"must be of trial .*, got"):
        train(trial(seed=1), resume_from=found)


def test_equal_declarations_are_one_trial() -> None:
    dense = numbers(history(trial()))
    assert numbers(history(trial(sparsity=SparsitySpec(method="gmp", target=0)))) == dense


@pytest.mark.data("FashionMNIST")
@pytest.mark.parametrize("method", ["dense", "gmp", "acdc"])
def test_fashion_mnist_is_learnt_at_high_sparsity(method: str, data_root: Path) -> None:
    sparsity = SparsitySpec(method=method, target=0 if method == "dense" else 0.95)
    spec = TrialSpec(
        task=ImageTask(train_examples=20_000), schedule=ScheduleSpec(epochs=1), sparsity=sparsity
    )
    final: TrialResult = train(spec, data_root=data_root, read_test=True)
    assert final.certified
    assert final.test["test_accuracy"] > 0.7


def test_data_outlive_trials_unchanged() -> None:
    before = load_task(DigitsTask(batch_size=200)).splits.train.inputs.clone()
    history(trial("acdc"))
    assert torch.equal(load_task(DigitsTask(batch_size=200)).splits.train.inputs, before)
