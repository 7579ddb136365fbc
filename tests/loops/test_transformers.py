"""The Trainer of transformers with the callback: the masks of `train`, resumed, refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from sparsetune import DeclarationError, SparsetuneError, TrialSpec
from sparsetune.errors import CheckpointError
from sparsetune.loops.transformers import STATE_FILE, SparsityCallback
from sparsetune.sparsity.masks.exact import Masks
from tests.loops.reference import (
    METHODS,
    UserLoop,
    assert_same_weights,
    copied,
    first_difference,
    recorded,
    trial,
    weights_of,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
]


class Classifier(nn.Sequential):
    """A network whose answer holds the loss, as the Trainer asks."""

    def forward(  # type: ignore[override]
        self, inputs: torch.Tensor, labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        logits = super().forward(inputs)
        return {"loss": cross_entropy(logits, labels), "logits": logits}


class Loop(UserLoop):
    """A user's model for the Trainer."""

    def __init__(self, spec: TrialSpec) -> None:
        super().__init__(spec, Classifier)

    def losses(self, batches: int, batch_size: int | None, seed: int) -> Any:
        for inputs, targets in self.extra(batches, batch_size, seed):
            yield self.model(inputs, targets)["loss"]


class InOrder(Trainer):
    """A Trainer that reads the trial's batches in order."""

    def __init__(self, loop: Loop, **given: Any) -> None:
        super().__init__(model=loop.model, **given)
        self.loop = loop

    def get_train_dataloader(self) -> DataLoader[Any]:
        batches = [{"inputs": x, "labels": y} for x, y, _ in self.loop.batches()]
        # One at a time, since a Trainer that resumes skips batches of a sampler.
        return DataLoader(batches, batch_size=1, collate_fn=lambda one: one[0])  # type: ignore[arg-type]


class Watching(TrainerCallback):
    """Records the masks that each step sees, and at last the final ones."""

    def __init__(self, sparsity: SparsityCallback) -> None:
        self.sparsity = sparsity
        self.masks: list[Masks] = []

    def on_step_begin(self, *args: Any, **given: Any) -> None:
        self.record()

    def on_train_end(self, *args: Any, **given: Any) -> None:
        self.record()

    def record(self) -> None:
        assert self.sparsity.training is not None
        self.masks.append(copied(self.sparsity.training.masks()))


def arguments(folder: Path, spec: TrialSpec, **given: Any) -> TrainingArguments:
    values: Mapping[str, Any] = {
        "output_dir": str(folder),
        "max_steps": spec.total_steps(),
        "max_grad_norm": 0,
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_strategy": "no",
        "dataloader_pin_memory": False,
        "per_device_train_batch_size": 200,
    }
    return TrainingArguments(**{**values, **given})


def trainer_of(loop: Loop, folder: Path, callback: SparsityCallback, **given: Any) -> Trainer:
    constant = torch.optim.lr_scheduler.LambdaLR(loop.optimizer, lambda step: 1.0)
    return InOrder(
        loop,
        args=arguments(folder, loop.spec, **given),
        optimizers=(loop.optimizer, constant),
        callbacks=[callback],
    )


def callback_of(loop: Loop, **given: Any) -> SparsityCallback:
    return SparsityCallback(loop.spec.sparsity, seed=loop.spec.seed, losses=loop.losses, **given)


@pytest.mark.parametrize("name", ["gmp", "acdc", "rigl", "sr_ste", "obert"])
def test_the_trainer_has_the_masks_weights_and_certificate_of_train(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = trial("adamw", lr="constant", **METHODS[name])
    trained = recorded(spec, tmp_path, monkeypatch)
    loop = Loop(spec)
    callback = callback_of(loop)
    trainer = trainer_of(loop, tmp_path, callback)
    watching = Watching(callback)
    trainer.add_callback(watching)
    trainer.train()
    assert len(watching.masks) == spec.total_steps() + 1
    assert first_difference(watching.masks, trained.masks) == ""
    assert_same_weights(weights_of(loop.model), trained.weights)
    assert trained.result is not None
    assert callback.certificate() == trained.result.certificate


@pytest.mark.parametrize("name", ["acdc", "rigl", "sr_ste"])
def test_a_resumed_trainer_continues_bit_for_bit(name: str, tmp_path: Path) -> None:
    spec = trial("adamw", lr="constant", **METHODS[name])
    loop = Loop(spec)
    callback = callback_of(loop)
    saving = {"save_strategy": "steps", "save_steps": 7}
    trainer_of(loop, tmp_path, callback, **saving).train()
    again = Loop(spec)
    resumed = callback_of(again)
    trainer_of(again, tmp_path, resumed).train(
        resume_from_checkpoint=str(tmp_path / "checkpoint-14")
    )
    assert_same_weights(weights_of(again.model), weights_of(loop.model))
    assert resumed.certificate() == callback.certificate()
    moved = (tmp_path / "checkpoint-14").rename(tmp_path / "elsewhere")
    third = Loop(spec)
    with pytest.raises(CheckpointError, match="name its folder with `resume_from=`"):
        trainer_of(third, tmp_path, callback_of(third)).train(resume_from_checkpoint=str(moved))
    fourth = Loop(spec)
    named = callback_of(fourth, resume_from=moved)
    trainer_of(fourth, tmp_path, named).train(resume_from_checkpoint=str(moved))
    assert_same_weights(weights_of(fourth.model), weights_of(loop.model))
    assert (moved / STATE_FILE).is_file()


def test_gradients_are_clipped_after_the_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = trial(lr="constant", method="static")
    spec = declared.with_values({"optim.clip_norm": 0.5})
    trained = recorded(spec, tmp_path, monkeypatch)
    loop = Loop(spec)
    trainer_of(loop, tmp_path, callback_of(loop, clip_norm=0.5)).train()
    assert_same_weights(weights_of(loop.model), trained.weights)


def test_batches_that_are_added_up_make_one_step(tmp_path: Path) -> None:
    """12 steps of two batches each."""
    spec = trial(lr="constant", method="static")
    loop = Loop(spec)
    callback = callback_of(loop)
    trainer_of(loop, tmp_path, callback, gradient_accumulation_steps=2, max_steps=12).train()
    assert callback.training is not None
    assert callback.training.steps == callback.training.total_steps == 12
    assert callback.certificate()["faults"] == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_grad_norm": 1.0}, r"`max_grad_norm`: .* `clip_norm=1` in the SparsityCallback"),
        (
            {"load_best_model_at_end": True, "eval_strategy": "steps", "save_strategy": "steps"},
            "`load_best_model_at_end`: the best model may be one of before the target",
        ),
        ({"auto_find_batch_size": True}, "`auto_find_batch_size`: .* set it to False"),
    ],
)
def test_arguments_under_which_masks_would_not_hold_are_refused(
    given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    loop = Loop(trial(lr="constant", method="static"))
    callback = callback_of(loop)
    args = arguments(tmp_path, loop.spec, **given)
    state = TrainerState(max_steps=24)
    with pytest.raises(DeclarationError, match=message):
        callback.on_train_begin(
            args, state, TrainerControl(), model=loop.model, optimizer=loop.optimizer
        )


def test_a_certificate_before_training_is_refused() -> None:
    loop = Loop(trial(method="static"))
    with pytest.raises(SparsetuneError, match="must have started"):
        callback_of(loop).certificate()
