"""Precision, memory layout, parts of a batch: what they may change, and what they may not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from sparsetune.sparsity.methods.registry import METHODS
from sparsetune.spec import ComputeSpec, OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import (
    AcdcSpec,
    FisherSpec,
    RampSpec,
    RegrowSpec,
    SparsitySpec,
)
from sparsetune.spec.task import DigitsTask
from sparsetune.train import train
from sparsetune.train.compute import ComputedModel

PATTERNS = {"sr_ste": {"pattern": "1:4", "target": 0.75}}


def trial(method: str = "gmp", batch_norm: bool = True, **compute: Any) -> TrialSpec:
    model = "resnet8" if batch_norm else "tests.train.test_compute:without_batch_norm"
    given: dict[str, Any] = {"method": method, "target": 0.9, **PATTERNS.get(method, {})}
    sparsity = SparsitySpec(
        **given,
        ramp=RampSpec(updates=4),
        acdc=AcdcSpec(),
        regrow=RegrowSpec(every="1 step"),
        fisher=FisherSpec(block=4, gradients=4, batch_size=8),
    )
    if method == "dense":
        sparsity = SparsitySpec()
    return TrialSpec(
        task=DigitsTask(model=model, batch_size=64, validation=720),
        optim=OptimSpec(lr=0.05),
        schedule=ScheduleSpec(epochs=2),
        sparsity=sparsity,
        compute=ComputeSpec(**compute),
    )


def without_batch_norm(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(576, n_classes),
    )


def rows(spec: TrialSpec) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    final = train(spec, report=found.append)
    assert final.status == "COMPLETE", final.error
    return found


@pytest.mark.parametrize(
    "method", sorted({*METHODS} - {"transfer"})
)  # which goes on from a sparse encoder
def test_a_memory_layout_changes_only_the_last_digits_of_any_method(method: str) -> None:
    plain = rows(trial(method, False))
    laid_out = rows(trial(method, False, channels_last=True))
    assert [row["sparsity"] for row in laid_out] == [row["sparsity"] for row in plain]
    assert laid_out[-1]["train_loss"] == pytest.approx(plain[-1]["train_loss"], rel=2e-2)


def test_convolutions_have_the_layout_and_parameters_keep_their_identity() -> None:
    model = without_batch_norm((1, 8, 8), 10)
    before = list(model.parameters())
    compute = ComputedModel(ComputeSpec(channels_last=True), model, "cpu")
    assert all(one is other for one, other in zip(before, model.parameters(), strict=True))
    assert (
        before[2].is_contiguous(memory_format=torch.channels_last) and not before[2].is_contiguous()
    )
    images = torch.zeros(2, 3, 4, 5)
    assert compute.inputs(images).is_contiguous(memory_format=torch.channels_last)
    assert compute.inputs(torch.zeros(2, 3)).shape == (2, 3)


def test_parts_of_a_batch_give_the_gradient_of_the_whole() -> None:
    whole = rows(trial("gmp", False))
    parts = rows(trial("gmp", False, accumulate=4))
    for name in ("batch_loss", "train_loss", "val_loss"):
        assert [row[name] for row in parts] == pytest.approx([row[name] for row in whole], rel=1e-3)


def test_parts_are_what_batch_norm_sees() -> None:
    assert rows(trial(accumulate=4))[-1]["train_loss"] != pytest.approx(
        rows(trial())[-1]["train_loss"], rel=1e-3
    )


def test_a_batch_is_cut_in_equal_parts_only() -> None:
    (problem,) = trial(accumulate=3).problems()
    assert problem.rule == "`compute.accumulate` must divide `task.batch_size`, got 3 and 64"


def test_bfloat16_is_of_forward_passes_and_not_of_weights() -> None:
    seen: list[torch.dtype] = []
    model = nn.Linear(4, 2)
    model.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    compute = ComputedModel(ComputeSpec(precision="bfloat16"), model, "cpu")
    with compute.arithmetic():
        compute.network(torch.zeros(1, 4)).sum().backward()
    assert seen == [torch.bfloat16]
    assert model.weight.dtype == torch.float32 and model.weight.grad is not None
    assert model.weight.grad.dtype == torch.float32


def test_bfloat16_trains_as_well_but_not_to_the_same_digits() -> None:
    plain = rows(trial("gmp", False))
    rounded = rows(trial("gmp", False, precision="bfloat16"))
    assert rounded[-1]["train_loss"] != plain[-1]["train_loss"]
    assert rounded[-1]["train_loss"] == pytest.approx(plain[-1]["train_loss"], rel=0.2)


def test_parts_divide_what_is_scored_by_gradients_too() -> None:
    """RigL grows by the gradient of the whole batch, however many parts it came in."""
    whole = rows(trial("rigl", False))
    parts = rows(trial("rigl", False, accumulate=2))
    assert [row["mask_iou"] for row in parts] == pytest.approx(
        [row["mask_iou"] for row in whole], nan_ok=True, rel=0.05
    )


@pytest.mark.slow
def test_a_compiled_network_trains_as_the_other() -> None:
    plain = rows(trial("rigl", False))
    compiled = rows(trial("rigl", False, compile=True))
    assert compiled[-1]["train_loss"] == pytest.approx(plain[-1]["train_loss"], rel=2e-2)
    assert compiled[-1]["sparsity"] == plain[-1]["sparsity"]
