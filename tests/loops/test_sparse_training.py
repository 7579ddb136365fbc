"""A plain PyTorch loop with every method: the masks of `train`, resumed, certified, refused."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from sparsetune import (
    DeclarationError,
    RampSpec,
    RegrowSpec,
    SparseTraining,
    SparsetuneError,
    SparsitySpec,
    sparsify,
)
from sparsetune.errors import CheckpointError
from sparsetune.sparsity.masks.exact import Masks
from sparsetune.train.optim import held_parameters
from tests.loops.reference import (
    METHODS,
    UserLoop,
    assert_same_weights,
    first_difference,
    recorded,
    trial,
    weights_of,
)
from tests.train.test_resume import AXES

RAMP = RampSpec(start=0.2, length=0.5, updates=10)
REGROW = RegrowSpec(every="2 steps", until=0.95)


CASES = [(name, optimizer) for name in METHODS for optimizer in ("sgd", "adamw")]
CASES += [(name, "sgd") for name in AXES]
DECLARED = METHODS | AXES


def begun(loop: UserLoop, **given: Any) -> SparseTraining:
    """A sparse training in a user's loop."""
    arguments = loop.length() | loop.arguments() | given
    return sparsify(loop.model, loop.optimizer, loop.spec.sparsity, **arguments)


@pytest.mark.parametrize("name, optimizer", CASES)
def test_a_loop_has_the_masks_weights_and_certificate_of_train(
    name: str, optimizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = trial(optimizer, **DECLARED[name])
    trained = recorded(spec, tmp_path, monkeypatch)
    loop = UserLoop(spec)
    training = begun(loop)
    masks: list[Masks] = []
    loop.run(training, masks=masks)
    assert len(masks) == spec.total_steps() + 1
    assert first_difference(masks, trained.masks) == ""
    assert_same_weights(weights_of(loop.model), trained.weights)
    assert trained.result is not None
    assert training.certificate() == trained.result.certificate
    assert training.certificate()["faults"] == []


def saved(loop: UserLoop, training: SparseTraining) -> dict[str, Any]:
    """Everything that a user's checkpoint holds, written and read as files are."""
    file = io.BytesIO()
    states = {
        "model": loop.model.state_dict(),
        "optimizer": loop.optimizer.state_dict(),
        "sparsity": training.state_dict(),
    }
    torch.save(states, file)
    file.seek(0)
    read: dict[str, Any] = torch.load(file, weights_only=True)
    return read


STOPS = (1, 6, 11, 14, 17, 21)
"""Steps in every phase of every method."""
PHASES = {
    "dense": {"dense"},
    "static": {"fixed"},
    "one_shot": {"dense", "fixed"},
    "acdc": {"dense", "compressed", "decompressed"},
    "gmp": {"dense", "ramp", "fixed"},
    "obert": {"dense", "ramp", "fixed"},
    "granet": {"dense", "ramp", "fixed"},
    "set": {"dynamic", "fixed"},
    "rigl": {"dynamic", "fixed"},
    "sr_ste": {"dynamic"},
    "ste": {"dynamic"},
    "top_kast": {"dynamic"},
    "powerpropagation": {"dense", "ramp", "fixed"},
}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("name", METHODS)
def test_a_loop_that_is_resumed_in_any_phase_continues_bit_for_bit(
    name: str, optimizer: str
) -> None:
    spec = trial(optimizer, **METHODS[name])
    loop = UserLoop(spec)
    training = begun(loop)
    checkpoints = {}
    phases = {training.phase}
    for stop in STOPS:
        loop.run(training, until=stop)
        phases.add(training.phase)
        checkpoints[stop] = saved(loop, training)
    loop.run(training)
    phases.add(training.phase)
    assert phases == PHASES[name]
    for stop, states in checkpoints.items():
        again = UserLoop(spec)
        if stop % 2:
            resumed = begun(again)
            again.model.load_state_dict(states["model"])
            again.optimizer.load_state_dict(states["optimizer"])
            resumed.load_state_dict(states["sparsity"])
        else:
            again.model.load_state_dict(states["model"])
            again.optimizer.load_state_dict(states["optimizer"])
            resumed = begun(again, state=states["sparsity"])
        assert resumed.steps == stop
        again.run(resumed)
        assert_same_weights(weights_of(again.model), weights_of(loop.model))
        assert first_difference([resumed.masks()], [training.masks()]) == ""
        assert resumed.certificate() == training.certificate()


def test_a_state_does_not_change_with_the_training_that_goes_on() -> None:
    """RigL gathers gradients in place over the three batches before an update."""
    spec = trial(**METHODS["rigl"])
    loop = UserLoop(spec)
    training = begun(loop)
    loop.run(training, until=11)
    states = {
        "model": weights_of(loop.model),
        "sparsity": training.state_dict(),
        "optimizer": saved(loop, training)["optimizer"],
    }
    loop.run(training)
    again = UserLoop(spec)
    again.model.load_state_dict(states["model"])
    again.optimizer.load_state_dict(states["optimizer"])
    again.run(begun(again, state=states["sparsity"]))
    assert_same_weights(weights_of(again.model), weights_of(loop.model))


def test_a_step_says_where_an_update_takes_its_place() -> None:
    """RigL, every 4 steps until step 41: the optimizer is not called on those batches."""
    loop = UserLoop(trial(**METHODS["rigl"]))
    training = begun(loop)
    made = loop.run(training)
    assert [step for step, is_made in enumerate(made) if not is_made] == list(range(4, 41, 4))


def test_the_optimizer_may_be_called_by_somebody_else() -> None:
    """Gradients are withheld where an update takes the step's place, and there again after it."""
    spec = trial("adamw", **METHODS["rigl"])
    loop = UserLoop(spec)
    loop.run(begun(loop))
    other = UserLoop(spec)
    training = begun(other)
    for step, batch in enumerate(other.batches()):
        for group in other.optimizer.param_groups:
            group["lr"] = other.rate(step)
        other.backward(batch)
        training.before_optimizer_step()
        other.optimizer.step()
        training.after_optimizer_step()
        assert all(parameter.grad is not None for parameter in other.model.parameters())
    assert_same_weights(weights_of(other.model), weights_of(loop.model))


def test_gradients_that_are_clipped_in_the_step_are_those_inside_the_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = trial(method="static").with_values({"optim.clip_norm": 0.5})
    trained = recorded(spec, tmp_path, monkeypatch)
    loop = UserLoop(spec)
    training = begun(loop)
    parameters = held_parameters(loop.model, loop.optimizer)

    def clipped_step() -> None:
        clip_grad_norm_(parameters, 0.5)
        loop.optimizer.step()

    for step, batch in enumerate(loop.batches()):
        for group in loop.optimizer.param_groups:
            group["lr"] = loop.rate(step)
        loop.backward(batch)
        training.step(clipped_step)
    assert_same_weights(weights_of(loop.model), trained.weights)


def test_between_steps_a_model_is_sparse_and_its_dense_weights_lie_in_the_state() -> None:
    """SR-STE at 1:4: evaluations and files see a quarter of the weights; the optimizer has all."""
    loop = UserLoop(trial(**METHODS["sr_ste"]))
    training = begun(loop)
    loop.run(training, until=7)
    masks = training.masks()
    weights = dict(loop.model.named_parameters())
    moved = training.state_dict()["optimizer_weights"]
    for name, mask in masks.items():
        assert mask.sum() * 4 == mask.numel()
        assert weights[name][~mask].count_nonzero() == 0
        assert moved[name][~mask].count_nonzero() > 0
        assert moved[name][mask].equal(weights[name][mask])
    # Reading the state puts everything back.
    loop.run(training)
    undisturbed = UserLoop(loop.spec)
    undisturbed.run(begun(undisturbed))
    assert_same_weights(weights_of(loop.model), weights_of(undisturbed.model))


def test_a_certificate_before_the_end_says_what_is_missing() -> None:
    loop = UserLoop(trial(method="gmp", ramp=RAMP))
    training = begun(loop)
    assert training.sparsity == 0
    assert not training.at_target
    assert "weights are pruned where" in training.certificate()["faults"][0]
    loop.run(training)
    assert training.at_target
    assert training.sparsity == pytest.approx(0.8, abs=1e-4)
    assert training.certificate()["faults"] == []


def test_a_certificate_sees_weights_that_were_changed_after_the_last_step() -> None:
    loop = UserLoop(trial(method="static"))
    training = begun(loop)
    loop.run(training)
    with torch.no_grad():
        for parameter in loop.model.parameters():
            parameter.add_(1)
    assert "outside its mask that are not zero" in training.certificate()["faults"][0]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def sgd(model: nn.Module, momentum: float = 0.9) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)


def train_a_step(model: nn.Module, training: SparseTraining) -> bool:
    model.zero_grad()
    model(torch.ones(2, 8)).square().sum().backward()
    return training.step()


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "epochs of unknown length": (
        {"method": "gmp", "ramp": RampSpec(start="2 epochs")},
        {},
        r"`sparsity.ramp.start`: a length in epochs needs `steps_per_epoch=`, or write it in steps,"
        r" got '2 epochs'",
    ),
    "samples of unknown batches": (
        {"method": "gmp", "ramp": RampSpec(length="640 samples")},
        {},
        r"`sparsity.ramp.length`: a length in samples needs `batch_size=`",
    ),
    "a training that is too short": (
        {"method": "rigl"},
        {"total_steps": 1000},
        r"`sparsity.regrow`: drop and grow needs .* `total_steps` of 1,334 would do, got 7",
    ),
    "a length beyond the end": (
        {"method": "gmp", "ramp": RampSpec(start="500 steps")},
        {},
        r"`sparsity.ramp.start`: must end within the training; '99 steps' would do, got '500",
    ),
    "a score that reads gradients": (
        {"method": "static", "score": "saliency"},
        {},
        r"`sparsity.score`: the score `saliency` reads gradients of extra batches: give `losses=`",
    ),
    "a method whose own score does": (
        {"method": "obert"},
        {},
        r"the score `fisher` reads gradients of extra batches: give `losses=`",
    ),
    "batch norm estimated again": (
        {"method": "one_shot", "recalibrate": 100},
        {},
        r"`sparsity.recalibrate`: .* call `torch.optim.swa_utils.update_bn`",
    ),
    "a checkpoint of transfer": (
        {"method": "transfer", "checkpoint": "a.safetensors"},
        {},
        r"`sparsity.checkpoint`: load the sparse weights into the model before `sparsify`",
    ),
    "transfer of a dense model": (
        {"method": "transfer"},
        {},
        r"`sparsity.target`: must be the checkpoint's sparsity, 0.0000: set it",
    ),
    "a combination": (
        {"method": "rigl", "pattern": "2:4", "target": 0.5, "regrow": REGROW},
        {},
        r"`sparsity.pattern`: drop and grow moves weights",
    ),
    "a pattern that does not fit": (
        {"method": "gmp", "pattern": "3:5", "target": 0.4},
        {},
        r"3:5",
    ),
    "a layer that is not there": (
        {"method": "static", "layers": ("-decoder.*",)},
        {},
        r"`sparsity.layers`: must match a parameter",
    ),
    "no target in range": ({"method": "static", "target": 1.5}, {}, r"`target`"),
    "no steps": (
        {"method": "static"},
        {"total_steps": 0},
        r"`total_steps`: must be a whole number",
    ),
    "no seed": ({"method": "static"}, {"seed": -1}, r"`seed`: must be a whole number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_by_name_with_what_to_do(case: str) -> None:
    given, arguments, message = REFUSED[case]
    model = net()
    before = weights_of(model)
    with pytest.raises(DeclarationError, match=message):
        declared = SparsitySpec(**({"target": 0.9} | given))
        sparsify(model, sgd(model), declared, **({"total_steps": 100} | arguments))
    assert_same_weights(weights_of(model), before)


def test_lengths_in_epochs_and_samples_are_counted_in_the_loops_steps() -> None:
    """Of 5 steps an epoch and 4 examples a step: from 2 epochs, step 10, for 120 samples, to 40."""
    model = net()
    ramp = RampSpec(shape="linear", start="2 epochs", length="120 samples", updates=10)
    declared = SparsitySpec(method="gmp", target=0.5, ramp=ramp)
    training = sparsify(
        model, sgd(model), declared, total_steps=50, steps_per_epoch=5, batch_size=4
    )
    sparsities = [training.sparsity]
    for _ in range(50):
        train_a_step(model, training)
        sparsities.append(training.sparsity)
    first = next(step for step, sparsity in enumerate(sparsities) if sparsity)
    at_target = next(step for step, sparsity in enumerate(sparsities) if sparsity == 0.5)
    assert (first, at_target) == (13, 40)


def test_transfer_keeps_the_zeros_that_a_model_has() -> None:
    model = net()
    with torch.no_grad():
        model[0].weight[:, ::2] = 0
        model[2].weight[:, ::2] = 0
    training = sparsify(
        model, sgd(model), SparsitySpec(method="transfer", target=0.5), total_steps=5
    )
    zeros = {name: weight == 0 for name, weight in weights_of(model).items() if weight.dim() == 2}
    for _ in range(5):
        train_a_step(model, training)
    assert {name: bool(mask.equal(~zeros[name])) for name, mask in training.masks().items()} == {
        "0.weight": True,
        "2.weight": True,
    }
    assert training.certificate()["faults"] == []


def test_an_optimizer_must_hold_what_is_pruned() -> None:
    model = net()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    declared = SparsitySpec(method="static", target=0.5)
    with pytest.raises(DeclarationError, match=r"`optimizer`: must hold .* `2.weight` is not"):
        sparsify(model, optimizer, declared, total_steps=10)
    spared = SparsitySpec(method="static", target=0.5, layers=("-2.weight",))
    assert list(sparsify(model, optimizer, spared, total_steps=10).masks()) == ["0.weight"]


def test_an_optimizer_that_passes_a_batch_forward_again_is_refused() -> None:
    model = net()
    with pytest.raises(DeclarationError, match="LBFGS passes it forward several times"):
        sparsify(
            model,
            torch.optim.LBFGS(model.parameters()),
            SparsitySpec(method="static", target=0.5),
            total_steps=10,
        )


def test_a_reset_needs_something_to_reset() -> None:
    declared = SparsitySpec(method="rigl", target=0.5, regrow=REGROW, reset="grown")
    model = net()
    with pytest.raises(DeclarationError, match="SGD without momentum has nothing to reset"):
        sparsify(model, sgd(model, momentum=0), declared, total_steps=60)
    # The method's own choice stands: it is a reset of nothing.
    own = declared.model_copy(update={"reset": None})
    assert train_a_step(model, sparsify(model, sgd(model, momentum=0), own, total_steps=60))
    optimizer = torch.optim.Adafactor(model.parameters())
    training = sparsify(model, optimizer, declared, total_steps=60)
    with pytest.raises(DeclarationError, match="`optimizer`: `Adafactor` keeps moments of whole"):
        train_a_step(model, training)


def test_a_weight_that_is_computed_needs_an_example() -> None:
    declared = SparsitySpec(method="static", target=0.5)
    model = nn.Sequential(spectral_norm(nn.Linear(8, 4)))
    with pytest.raises(DeclarationError, match=r"`example`: the weight of .* is computed"):
        sparsify(model, sgd(model), declared, total_steps=10)
    sparsify(model, sgd(model), declared, total_steps=10, example=torch.ones(1, 8))
    plain = nn.Sequential(weight_norm(nn.Linear(8, 4)))
    sparsify(plain, sgd(plain), declared, total_steps=10)  # needs no proof


def test_an_example_shows_which_layers_are_used() -> None:
    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = nn.Linear(8, 8)
            self.unused = nn.Linear(8, 8)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.used(inputs)

    declared = SparsitySpec(method="static", target=0.5)
    model = Part()
    training = sparsify(model, sgd(model), declared, total_steps=10, example=torch.ones(1, 8))
    assert list(training.masks()) == ["used.weight"]


def test_a_compiled_model_has_the_names_and_masks_of_its_own() -> None:
    declared = SparsitySpec(method="static", target=0.5, score="random")
    model, compiled = net(), torch.compile(net())
    masks = sparsify(model, sgd(model), declared, total_steps=10).masks()
    others = sparsify(compiled, sgd(compiled), declared, total_steps=10).masks()
    assert first_difference([masks], [others]) == ""


def test_a_step_beyond_the_last_is_refused() -> None:
    model = net()
    training = sparsify(model, sgd(model), SparsitySpec(method="static", target=0.5), total_steps=2)
    train_a_step(model, training)
    train_a_step(model, training)
    with pytest.raises(SparsetuneError, match="must have 2 optimizer steps"):
        train_a_step(model, training)
    assert training.certificate()["faults"] == []


def test_calls_out_of_order_are_refused() -> None:
    model = net()
    training = sparsify(model, sgd(model), SparsitySpec(method="static", target=0.5), total_steps=5)
    with pytest.raises(SparsetuneError, match="must follow `before_optimizer_step`"):
        training.after_optimizer_step()
    training.before_optimizer_step()
    with pytest.raises(SparsetuneError, match="`after_optimizer_step` is missing"):
        training.state_dict()
    with pytest.raises(SparsetuneError, match="`after_optimizer_step` is missing"):
        training.step()


def test_a_state_of_other_weights_or_of_another_training_is_refused() -> None:
    declared = SparsitySpec(method="static", target=0.5)
    model = net()
    training = sparsify(model, sgd(model), declared, total_steps=5)
    train_a_step(model, training)
    state = training.state_dict()
    other = net()
    with pytest.raises(CheckpointError, match="load its own `state_dict`"):
        sparsify(other, sgd(other), declared, total_steps=5, state=state)
    with pytest.raises(CheckpointError, match="the same `total_steps`, 6, got 5"):
        sparsify(model, sgd(model), declared, total_steps=6, state=state)
    denser = declared.model_copy(update={"target": 0.4})
    with pytest.raises(CheckpointError, match="the same `sparsity`"):
        sparsify(model, sgd(model), denser, total_steps=5, state=state)
    with pytest.raises(CheckpointError, match="version 1"):
        training.load_state_dict({**state, "version": 7})
    training.load_state_dict(state)
    assert training.steps == 1


def test_losses_must_be_as_many_as_a_score_asks_for() -> None:
    model = net()

    def too_few(batches: int, batch_size: int | None, seed: int) -> Iterator[torch.Tensor]:
        yield model(torch.ones(2, 8)).sum()

    declared = SparsitySpec(method="static", target=0.5, score="saliency", saliency_batches=3)
    with pytest.raises(DeclarationError, match="`losses` must yield 3 losses, got 1"):
        sparsify(model, sgd(model), declared, total_steps=5, losses=too_few)


def test_a_users_own_score_says_that_it_needs_losses() -> None:
    model = net()
    declared = SparsitySpec(method="static", target=0.5, score="tests.loops.reference:taylor")
    with pytest.raises(DeclarationError, match="reads gradients needs `losses=`"):
        sparsify(model, sgd(model), declared, total_steps=5)


def test_extra_batches_leave_no_trace_in_training() -> None:
    """The mode, batch norm's statistics and torch's generator are as they were."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
    seen = []

    def losses(batches: int, batch_size: int | None, seed: int) -> Iterator[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(batches):
            seen.append((model.training, batch_size))
            yield model(torch.randn(batch_size or 4, 8, generator=generator)).square().mean()

    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    generator_state = torch.get_rng_state()
    declared = SparsitySpec(method="static", target=0.5, score="fisher")
    declared = declared.model_copy(
        update={"fisher": declared.fisher.model_copy(update={"block": 4, "gradients": 6})}
    )
    sparsify(model, sgd(model), declared, total_steps=5, losses=losses)
    assert set(seen) == {(False, 16)}
    assert model.training
    assert torch.get_rng_state().equal(generator_state)
    assert_same_weights(dict(model.named_buffers()), buffers)
    assert [one.grad for one in model.parameters()] == [None] * 6
