"""The Trainer of Lightning with the callback: the masks of `train`, resumed, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from sparsetune import DeclarationError, SparsetuneError, TrialSpec
from sparsetune.sparsity.masks.exact import Masks
from tests.loops.reference import (
    METHODS,
    Recorded,
    UserLoop,
    assert_same_weights,
    copied,
    first_difference,
    recorded,
    trial,
    weights_of,
)

pl = pytest.importorskip("lightning.pytorch")
older = pytest.importorskip("pytorch_lightning")
from sparsetune.loops.lightning import SparsityCallback  # noqa: E402 (where Lightning is)

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def module_of(loop: UserLoop, package: Any) -> Any:
    """The loop's network as a module of a package of Lightning, with its layers by their names."""

    class Classifier(package.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            for name, layer in loop.model.named_children():
                self.add_module(name, layer)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return loop.model(inputs)

        def training_step(self, batch: Any) -> torch.Tensor:
            inputs, targets = batch
            return cross_entropy(self(inputs), targets)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return loop.optimizer

    return Classifier()


def watching(sparsity: SparsityCallback, package: Any) -> tuple[Any, list[Masks]]:
    """A callback that records the masks that each step sees, and at last the final ones."""
    masks: list[Masks] = []

    class Watching(package.Callback):  # type: ignore[misc, name-defined]
        def on_train_batch_start(self, *args: Any) -> None:
            masks.append(copied(sparsity.training.masks()))  # type: ignore[union-attr]

        def on_train_end(self, *args: Any) -> None:
            masks.append(copied(sparsity.training.masks()))  # type: ignore[union-attr]

    return Watching(), masks


def data_of(loop: UserLoop, batches: int | None = None) -> DataLoader[Any]:
    """The trial's batches in order, or every epoch the first of them."""
    pairs = [(inputs, targets) for inputs, targets, _ in loop.batches()]
    return DataLoader(pairs[:batches], batch_size=1, collate_fn=lambda one: one[0])  # type: ignore[arg-type]


def trainer_of(
    folder: Path, spec: TrialSpec, callbacks: list[Any], package: Any, **given: Any
) -> Any:
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "logger": False,
    }
    return package.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        callbacks=callbacks,
        **{"max_steps": spec.total_steps(), **quiet, **given},
    )


def callback_of(loop: UserLoop) -> SparsityCallback:
    return SparsityCallback(loop.spec.sparsity, seed=loop.spec.seed, losses=loop.losses)


@pytest.mark.parametrize("package", [pl, older], ids=["lightning", "pytorch_lightning"])
@pytest.mark.parametrize("name", ["gmp", "acdc", "rigl", "sr_ste", "obert"])
def test_the_trainer_has_the_masks_weights_and_certificate_of_train(
    name: str, package: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = trial("adamw", lr="constant", **METHODS[name])
    trained: Recorded = recorded(spec, tmp_path, monkeypatch)
    loop = UserLoop(spec)
    callback = callback_of(loop)
    watcher, masks = watching(callback, package)
    trainer = trainer_of(tmp_path, spec, [callback, watcher], package)
    trainer.fit(module_of(loop, package), data_of(loop))
    assert len(masks) == spec.total_steps() + 1
    assert first_difference(masks, trained.masks) == ""
    assert_same_weights(weights_of(loop.model), trained.weights)
    assert trained.result is not None
    assert callback.certificate() == trained.result.certificate


@pytest.mark.parametrize("name", ["rigl", "sr_ste"])
def test_a_resumed_trainer_goes_on_with_its_masks(name: str, tmp_path: Path) -> None:
    spec = trial("adamw", lr="constant", **METHODS[name])
    loop = UserLoop(spec)
    saver = pl.callbacks.ModelCheckpoint(
        dirpath=tmp_path,
        filename="{epoch}",
        every_n_epochs=1,
        save_top_k=-1,
        save_on_train_epoch_end=True,
    )
    callback = callback_of(loop)
    watcher, masks = watching(callback, pl)
    callbacks = [callback, watcher, saver]
    trainer = trainer_of(tmp_path, spec, callbacks, pl, enable_checkpointing=True)
    trainer.fit(module_of(loop, pl), data_of(loop, batches=6))
    again = UserLoop(spec)
    resumed = callback_of(again)
    watcher, seen = watching(resumed, pl)
    trainer = trainer_of(tmp_path, spec, [resumed, watcher], pl)
    trainer.fit(
        module_of(again, pl), data_of(again, batches=6), ckpt_path=tmp_path / "epoch=1.ckpt"
    )
    assert resumed.training is not None
    assert resumed.training.steps == spec.total_steps()
    assert first_difference(seen[:1], masks[12:13]) == ""
    assert len(seen) == spec.total_steps() - 12 + 1
    assert resumed.certificate()["faults"] == []


def test_gradients_are_clipped_after_the_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = trial(lr="constant", method="static").with_values({"optim.clip_norm": 0.5})
    trained = recorded(spec, tmp_path, monkeypatch)
    loop = UserLoop(spec)
    trainer = trainer_of(tmp_path, spec, [callback_of(loop)], pl, gradient_clip_val=0.5)
    trainer.fit(module_of(loop, pl), data_of(loop))
    for name, weight in weights_of(loop.model).items():
        torch.testing.assert_close(weight, trained.weights[name])
        assert weight.eq(0).equal(trained.weights[name].eq(0))


def test_batches_that_are_added_up_make_one_step(tmp_path: Path) -> None:
    """12 steps of two batches each."""
    loop = UserLoop(trial(lr="constant", method="static"))
    callback = callback_of(loop)
    trainer = trainer_of(
        tmp_path, loop.spec, [callback], pl, accumulate_grad_batches=2, max_steps=12
    )
    trainer.fit(module_of(loop, pl), data_of(loop))
    assert callback.training is not None
    assert callback.training.steps == callback.training.total_steps == 12
    assert callback.certificate()["faults"] == []


def test_what_does_not_let_masks_hold_is_refused(tmp_path: Path) -> None:
    loop = UserLoop(trial(lr="constant", method="static"))
    module = module_of(loop, pl)
    module.automatic_optimization = False
    trainer = trainer_of(tmp_path, loop.spec, [callback_of(loop)], pl)
    with pytest.raises(DeclarationError, match=r"`automatic_optimization`: .* `step\(\)` there"):
        trainer.fit(module, data_of(loop))


def test_a_certificate_before_training_is_refused() -> None:
    loop = UserLoop(trial(method="static"))
    with pytest.raises(SparsetuneError, match="must have started"):
        callback_of(loop).certificate()
