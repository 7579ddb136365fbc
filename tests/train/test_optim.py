import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sparsetune.errors import DeclarationError
from sparsetune.seeds import derived_seed
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.rates import decay_problems, learning_rate
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.spec.task import DigitsTask
from sparsetune.tasks.kinds import load_task
from sparsetune.train import train
from sparsetune.train.optim import OPTIMIZERS, build_optimizer, optimizer_problems


def rates(lr: str, warmup: float) -> list[float]:
    spec = TrialSpec(
        optim=OptimSpec(lr=0.8),
        task=DigitsTask(batch_size=1293),
        schedule=ScheduleSpec(epochs=10, lr=lr, warmup=warmup),
    )
    return [learning_rate(spec)(step) for step in range(10)]


def test_linear_decay_after_warmup_by_hand() -> None:
    assert rates("linear", 0.2) == pytest.approx([0.4, 0.8, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])


def test_cosine_and_constant() -> None:
    assert rates("cosine", 0)[0] == 0.8
    assert rates("cosine", 0)[5] == pytest.approx(0.4)
    assert rates("cosine", 0)[9] == pytest.approx(0.4 * (1 + math.cos(0.9 * math.pi)))
    assert rates("constant", 0.2) == pytest.approx([0.4, *[0.8] * 9])


MODEL = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


@pytest.mark.parametrize("everything", [False, True])
def test_biases_and_norms_are_decayed_only_on_request(everything: bool) -> None:
    spec = OptimSpec(weight_decay=0.1, decay_bias_and_norm=everything)
    decayed, spared = build_optimizer(spec, MODEL).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0)
    assert (len(decayed["params"]), len(spared["params"])) == ((6, 0) if everything else (2, 4))


def step(spec: OptimSpec, steps: int = 2) -> torch.Tensor:
    """The weight of a 1 x 1 layer, 1 at first, after steps with a gradient of 1."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    optimizer = build_optimizer(spec, layer)
    for _ in range(steps):
        layer.weight.grad = torch.ones(1, 1)
        optimizer.step()
    return layer.weight.detach()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"momentum": 0.5, "weight_decay": 0}, 1 - 0.1 - 0.15),
        ({"momentum": 0, "weight_decay": 0}, 0.8),
        ({"momentum": 0, "nesterov": True, "weight_decay": 0}, 0.8),
        ({"momentum": 0.5, "nesterov": True, "weight_decay": 0}, 1 - 0.15 - 0.175),
        ({"momentum": 0, "weight_decay": 0.5}, 0.85 - 0.1 * (1 + 0.5 * 0.85)),
        ({"name": "adamw", "weight_decay": 0}, 0.8),
        ({"name": "adamw", "weight_decay": 0.5}, (1 * 0.95 - 0.1) * 0.95 - 0.1),
        ({"name": "adam", "weight_decay": 0}, 0.8),
        # Weight decay is part of Adam's gradients, 1.5 and 1.45; its moments are their means.
        (
            {"name": "adam", "weight_decay": 0.5},
            1 - 0.1 - 0.1 * (0.28 / 0.19) / (0.00435025 / 0.001999) ** 0.5,
        ),
        # A tenth of the squared gradients, 0.1 and then 0.19, with 0.01 added to their roots.
        (
            {"name": "rmsprop", "weight_decay": 0, "arguments": {"alpha": 0.9, "eps": 0.01}},
            1 - 0.1 / (0.1**0.5 + 0.01) - 0.1 / (0.19**0.5 + 0.01),
        ),
        ({"name": "adagrad", "weight_decay": 0}, 1 - 0.1 - 0.1 / 2**0.5),
        ({"name": "sgd", "weight_decay": 0, "arguments": {"dampening": 0.5}}, 0.9 - 0.14),
        ({"name": "rprop"}, 1 - 0.1 - 0.1 * 1.2),
    ],
)
def test_two_steps_by_hand(fields: dict[str, Any], expected: float) -> None:
    assert step(OptimSpec(lr=0.1, **fields)).item() == pytest.approx(expected, abs=1e-6)


def declared(
    batch_size: int = 129, optim: dict[str, Any] | None = None, **schedule: Any
) -> list[float]:
    """Two epochs, of ten steps each at batch 129."""
    task = DigitsTask(batch_size=batch_size)
    optim_spec = OptimSpec(**{"lr": 1.0, **(optim or {})})
    spec = TrialSpec(
        task=task, optim=optim_spec, schedule=ScheduleSpec(epochs=2, **schedule)
    ).checked()
    rate = learning_rate(spec)
    return [rate(step) for step in range(spec.total_steps())]


def test_steps_fall_at_their_anchors_after_the_warmup() -> None:
    rates = declared(lr="step", warmup="2 steps", anchors=[0.5, "15 steps"], factor=0.2)
    assert rates == pytest.approx([0.5, 1, *[1] * 8, *[0.2] * 5, *[0.04] * 5])


def test_anchors_in_fractions_stretch_and_those_in_steps_do_not() -> None:
    rates = declared(lr="step", warmup=0, anchors=[0.5, "15 steps"], epoch_multiplier=2)
    assert rates == pytest.approx([*[1] * 15, *[0.1] * 5, *[0.01] * 20])


def test_a_rate_per_epoch_stays_through_the_epoch() -> None:
    assert declared(lr="cosine", warmup=0, lr_per="epoch") == pytest.approx(
        [*[1] * 10, *[0.5] * 10]
    )
    assert declared(lr="linear", warmup="1 epoch", lr_per="epoch") == pytest.approx([1] * 20)
    assert declared(lr="linear", warmup="1.5 epochs", lr_per="epoch") == pytest.approx(
        [*[2 / 3] * 10, *[1] * 10]
    )


def test_a_rate_is_scaled_from_the_batch_that_it_is_given_for() -> None:
    assert declared(64, {"lr": 0.256, "lr_batch": 256}, lr="constant", warmup=0)[
        0
    ] == pytest.approx(0.064)
    assert declared(64, {"lr": 0.256}, lr="constant", warmup=0)[0] == 0.256


@pytest.mark.parametrize("given", [{"lr": "step"}, {"lr": "cosine", "anchors": [0.5]}])
def test_anchors_and_the_decay_by_steps_belong_together(given: dict[str, Any]) -> None:
    (problem,) = ScheduleSpec(**given).problems()
    assert problem.rule.startswith("`anchors` belong to the decay `step`, and only there")


def test_anchors_do_not_count_under_another_decay() -> None:
    spec = TrialSpec(schedule=ScheduleSpec(lr="step", anchors=[0.5]))
    assert spec.with_values({"schedule.lr": "linear"}).trial_id() == TrialSpec().trial_id()


def bare_weights(
    spec: TrialSpec,
    build: Callable[[list[dict[str, Any]]], torch.optim.Optimizer],
    masks: dict[str, torch.Tensor],
    clip_norm: float | None = None,
) -> dict[str, torch.Tensor]:
    """Weights after a plain loop of torch over a trial's batches, under fixed masks."""
    task = load_task(spec.task)
    torch.manual_seed(derived_seed(spec.seed, "initialisation"))
    model = task.build_model().train()
    parameters = dict(model.named_parameters())
    matrices = [parameter for parameter in parameters.values() if parameter.dim() > 1]
    others = [parameter for parameter in parameters.values() if parameter.dim() == 1]
    optimizer = build([{"params": matrices, "weight_decay": 1e-4}, {"params": others}])
    rate = learning_rate(spec)
    for step, (inputs, targets, _) in enumerate(task.splits.train.training(spec, 0)):
        if step == spec.total_steps():
            break
        with torch.no_grad():
            for name, mask in masks.items():
                parameters[name].mul_(mask)
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        for name, mask in masks.items():
            parameters[name].grad.mul_(mask)  # type: ignore[union-attr]  # of this batch
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
    with torch.no_grad():
        for name, mask in masks.items():
            parameters[name].mul_(mask)
    return {name: parameter.detach() for name, parameter in parameters.items()}


def trained_weights(spec: TrialSpec, folder: Path) -> dict[str, torch.Tensor]:
    path = folder / "final.safetensors"
    assert train(spec, save_to=path).status == "COMPLETE"
    return load_file(path)


def test_adam_equals_a_bare_loop_bit_for_bit(tmp_path: Path) -> None:
    optim = OptimSpec(name="adam", lr=0.01, beta1=0.8, beta2=0.95, arguments={"eps": 1e-4})
    spec = TrialSpec(optim=optim, schedule=ScheduleSpec(epochs=1))
    trained = trained_weights(spec, tmp_path)
    bare = bare_weights(
        spec, lambda groups: torch.optim.Adam(groups, betas=(0.8, 0.95), eps=1e-4, fused=True), {}
    )
    assert all(torch.equal(weight, bare[name]) for name, weight in trained.items())


def test_a_clipped_sparse_trial_equals_a_bare_loop_bit_for_bit(tmp_path: Path) -> None:
    """Gradients outside the mask are zeroed, then clipped, then applied."""
    spec = TrialSpec(
        optim=OptimSpec(momentum=0.9, clip_norm=0.05),
        schedule=ScheduleSpec(epochs=1),
        sparsity=SparsitySpec(method="static", target=0.8),
    )
    trained = trained_weights(spec, tmp_path)
    masks = {name: weight != 0 for name, weight in trained.items() if weight.dim() > 1}
    bare = bare_weights(
        spec,
        lambda groups: torch.optim.SGD(groups, momentum=0.9, fused=True),
        masks,
        clip_norm=0.05,
    )
    assert all(torch.equal(weight, bare[name]) for name, weight in trained.items())
    unclipped = trained_weights(spec.edited({"optim.clip_norm": None}), tmp_path)
    assert not torch.equal(trained["1.weight"], unclipped["1.weight"])


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_every_optimizer_lowers_the_loss_of_a_sparse_network(name: str) -> None:
    rates = {
        "sgd": 0.3,
        "adagrad": 0.02,
        "adadelta": 10,
        "radam": 0.1,
        "adafactor": 0.05,
        "asgd": 3,
    }
    spec = TrialSpec(
        optim=OptimSpec(name=name, lr=rates.get(name, 0.01)),
        schedule=ScheduleSpec(epochs=1),
        sparsity=SparsitySpec(method="static", target=0.5),
    )
    rows: list[Any] = []
    assert train(spec, report=rows.append).status == "COMPLETE"
    assert rows[-1]["train_loss"] < 2.2  # log 10 where nothing is learned


def problem(**optim: Any) -> str:
    """The one problem of an optimizer under RigL, which resets what grows."""
    sparsity = {"method": "rigl", "target": 0.9, **optim.pop("sparsity", {})}
    spec = TrialSpec(optim=OptimSpec(**optim), sparsity=SparsitySpec(**sparsity))
    (found,) = spec.problems() or optimizer_problems(spec.canonical())
    return str(found)


OWN = """
import torch
def build(groups, lr, momentum=0.9):
    return torch.optim.SGD(groups, lr=lr, momentum=momentum)
def plain(groups, lr):
    return torch.optim.SGD(groups, lr=lr)
def nothing(groups, lr):
    return groups
def by_closure(groups, lr):
    return torch.optim.LBFGS(groups[0]["params"], lr=lr)
def restarts(fraction):
    return 2 - (2 * fraction) % 1
def negative(fraction):
    return 0.5 - fraction
def breaks(fraction):
    return 1 / (1 - fraction)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_optim.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


FACTORED = "`adafactor` keeps moments of whole rows and columns"
NO_MOMENTUM = "`grown` needs an optimizer with momentum or moments"


@pytest.mark.parametrize(
    ("optim", "text"),
    [
        ({"name": "lbfgs"}, "cannot be 'lbfgs', which evaluates the loss several times in a step"),
        ({"name": "SparseAdam"}, "which takes gradients in sparse storage"),
        ({"name": "muon"}, "which takes matrices alone"),
        ({"name": "admw"}, "must be 'sgd', 'adamw', 'adam',"),
        ({"name": "adam", "arguments": {"epss": 1}}, "torch's Adam; valid are `eps`, `amsgrad`"),
        ({"name": "adam", "arguments": {"betas": (0.9, 0.9)}}, "`optim.beta1` and `optim.beta2`"),
        ({"name": "sgd", "arguments": {"momentum": 0.5}}, "declared by `optim.momentum`: set that"),
        ({"name": "rmsprop", "arguments": {"lr": 0.5}}, "declared by `optim.lr`: set that"),
        ({"name": "adam", "arguments": {"fused": True}}, "unknown argument of torch's Adam"),
        ({"name": "adam", "arguments": {"eps": -1}}, "Invalid epsilon value: -1), got adam(eps=-1"),
        ({"name": "adam", "arguments": {"eps": None}}, "`eps` must be a number, a text,"),
        ({"name": "adafactor"}, FACTORED),
        ({"momentum": 0, "sparsity": {"reset": "grown"}}, "`grown` needs momentum to reset"),
        ({"momentum": 0, "sparsity": {"reset": "all"}}, "`all` needs momentum to reset"),
        ({"name": "own_optim:plain"}, NO_MOMENTUM),
        ({"name": "own_optim:nothing"}, "must return a torch.optim.Optimizer, got list"),
        ({"name": "own_optim:by_closure"}, "(TypeError: LBFGS.step() missing"),
        ({"name": "own_optim:build", "arguments": {"eps": 1}}, "unexpected keyword argument 'eps'"),
        ({"name": "own_optim:missing"}, "module 'own_optim' has no attribute 'missing'"),
    ],
)
def test_an_unfit_optimizer_is_one_problem(optim: dict[str, Any], text: str, own: None) -> None:
    assert text in problem(**optim)


@pytest.mark.parametrize(
    ("name", "sparsity"),
    [
        ("adafactor", {"method": "acdc"}),
        ("adafactor", {"method": "rigl", "reset": "none"}),
        ("adafactor", {"method": "gmp"}),
        ("own_optim:plain", {"method": "gmp"}),
        ("own_optim:plain", {"method": "rigl", "reset": "none"}),
        ("own_optim:build", {"method": "rigl"}),
    ],
)
def test_an_optimizer_fits_where_its_state_needs_no_reset_by_weight(
    name: str, sparsity: dict[str, Any], own: None
) -> None:
    spec = TrialSpec(optim=OptimSpec(name=name), sparsity=SparsitySpec(target=0.9, **sparsity))
    assert optimizer_problems(spec.checked().canonical()) == []


def test_plain_gradient_descent_under_the_method_s_own_reset_stays_valid() -> None:
    spec = TrialSpec(optim=OptimSpec(momentum=0), sparsity=SparsitySpec(method="rigl", target=0.9))
    assert spec.problems() == []
    assert optimizer_problems(spec.canonical()) == []


def test_an_own_optimizer_gets_its_arguments(own: None) -> None:
    spec = OptimSpec(name="own_optim:build", lr=0.1, weight_decay=0, arguments={"momentum": 0.5})
    assert step(spec).item() == pytest.approx(1 - 0.1 - 0.15)


def test_an_own_decay_restarts_above_its_floor_by_hand(own: None) -> None:
    """It falls from 2 to 1 in each half; a floor of 0.5 makes that 1.5 to 1."""
    assert declared(lr="own_optim:restarts", warmup="2 steps", floor=0.5)[:12] == pytest.approx(
        [0.5, 1, *[1.5 - index / 18 for index in range(9)], 1.5]
    )


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("own_optim:negative", "at 0.501 from 'own_optim:negative'"),
        ("own_optim:breaks", "division by zero at 1 from"),
        ("own_optim:missing", "has no attribute 'missing'"),
    ],
)
def test_a_faulty_decay_is_refused_before_the_first_step(name: str, got: str, own: None) -> None:
    spec = TrialSpec(schedule=ScheduleSpec(epochs=1, lr=name))
    (found,) = decay_problems(spec)
    assert found.path == "schedule.lr"
    assert got in str(found)
    with pytest.raises(DeclarationError, match=r"schedule\.lr"):
        train(spec)
