"""Plans and masks against the authors' own code and configurations, by commit."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch

from sparsetune import (
    CIFAR100_ACDC,
    METHODS,
    MOCANU_SET,
    PUBLISHED_GRANET,
    PUBLISHED_GRANET_RAMP,
    RIGL_SET,
    UNIFORM_ACDC,
    UNIFORM_GMP,
    Arm,
    ImageTask,
    Study,
)
from sparsetune.sparsity.masks.allocation import allocate
from sparsetune.sparsity.plans.schedule import mask_schedule
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import RampSpec, RegrowSpec, SparsitySpec
from sparsetune.spec.task import DigitsTask
from sparsetune.study.rules.combinations import combination_problems
from sparsetune.tasks.kinds import network_of
from sparsetune.tasks.network import outline_of
from sparsetune.testing import check_method
from tests.sparsity.small import SmallRun

CIFAR = ImageTask(dataset="cifar100", model="wrn_22_2", batch_size=128, validation=0)


def epochs(spec: TrialSpec, phase: str) -> list[float]:
    """Epochs at which a phase begins."""
    changes = [change for change in mask_schedule(spec) if change.phase == phase]
    return [change.step / spec.steps_per_epoch() for change in changes]


def test_acdc_on_cifar_100() -> None:
    """IST-DASLab/ACDC @ ac53210, `iht_cifar100_wideresnet_steplr_freq20_s90.yaml`."""
    pruner = {"epochs": [10, 40, 171]}
    recycler = {"epochs": [30, 40, 161]}
    spec = TrialSpec(
        task=CIFAR,
        schedule=ScheduleSpec(epochs=200),
        sparsity=SparsitySpec(method="acdc", target=0.9, acdc=CIFAR100_ACDC),
    )
    assert epochs(spec, "compressed") == list(range(*_as_range(pruner["epochs"])))
    assert epochs(spec, "decompressed") == list(range(*_as_range(recycler["epochs"])))


def _as_range(declared: list[int]) -> tuple[int, int, int]:
    """Start, end and step of a list [start, frequency, end]."""
    start, every, end = declared
    return start, end, every


@pytest.mark.parametrize(
    ("overrides", "dense"),
    [(UNIFORM_ACDC, {"conv1.weight", "fc.weight"}), (UNIFORM_GMP, {"conv1.weight"})],
)
def test_uniform_layers_of_resnet_50(overrides: dict[str, object], dense: set[str]) -> None:
    """`iht_imagenet_resnet50_insta_cosinelr_s90_ep100_unif.yaml` lists all but conv1 and fc."""
    base = TrialSpec(task=ImageTask(dataset="cifar10", model="resnet50", validation=0))
    study = Study(
        name="uniform", base=base, arms={"arm": Arm(overrides)}, sweep={"sparsity.target": [0.9]}
    )
    spec = study.cells()[-1].spec
    assert spec.sparsity.allocation == "uniform"
    layers = outline_of(network_of(spec.task)).account(spec.sparsity).layers
    assert len(layers) == 54
    groups = allocate(layers, 0.9, spec.sparsity.resolved())
    sizes = {layer.name: layer.weights for layer in layers}
    assert {group.names[0] for group in groups if group.pruned == 0} == dense
    for group in groups:
        (name,) = group.names
        if name not in dense:
            assert group.pruned == math.floor(0.9 * sizes[name] + 0.5)


def snip_masks(scores: list[torch.Tensor], keep_ratio: float) -> list[torch.Tensor]:
    """Masks of mil-ad/snip @ 883c805, `snip.py`, of absolute products of weight and gradient."""
    all_scores = torch.cat([torch.flatten(one) for one in scores])
    norm_factor = torch.sum(all_scores)
    all_scores = all_scores / norm_factor
    keep = int(len(all_scores) * keep_ratio)
    threshold, _ = torch.topk(all_scores, keep, sorted=True)
    return [(one / norm_factor) >= threshold[-1] for one in scores]


def test_snip_keeps_the_largest_products_of_all_layers_since_version_5() -> None:
    declared = {"method": "static", "score": "saliency", "target": 0.8}
    run = SmallRun(SparsitySpec(**declared, method_choices=5), steps=4)
    gradients: list[dict[str, torch.Tensor]] = []
    given = run.probe.gradients

    def recorded(*arguments: object) -> Iterator[dict[str, torch.Tensor]]:
        for found in given(*arguments):  # type: ignore[arg-type]
            gradients.append({name: one.clone() for name, one in found.items()})
            yield found

    run.probe.gradients = recorded  # type: ignore[method-assign]
    weights = {name: weight.detach().clone() for name, weight in run.weights.items()}
    run.begin()
    (found,) = gradients
    scores = [(weights[name] * found[name]).abs() for name in weights]
    assert all(
        torch.equal(mask, expected)
        for mask, expected in zip(run.masks().values(), snip_masks(scores, 0.2), strict=True)
    )
    before = SmallRun(SparsitySpec(**declared), steps=4)
    before.begin()
    assert any(not torch.equal(mask, before.masks()[name]) for name, mask in run.masks().items()), (
        "ERK's mask is another one"
    )


def trial(steps: int, sparsity: SparsitySpec) -> TrialSpec:
    """A trial of one step an epoch."""
    examples = DigitsTask().train_size()
    task = DigitsTask(batch_size=examples)
    return TrialSpec(task=task, schedule=ScheduleSpec(epochs=steps), sparsity=sparsity)


def granet_rates(total: int, rate: float) -> list[float]:
    """Rate after each step, of `CosineDecay` (VITA-Group/GraNet @ f338a24, `CIFAR/.../core.py`)."""
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, total, 0.005)
    rates = [rate]
    for _ in range(total):
        sgd.step()
        cosine.step()
        rates.append(sgd.param_groups[0]["lr"])
    return rates


@pytest.mark.parametrize("ramp", [PUBLISHED_GRANET_RAMP, RampSpec(start=0, length="80 epochs")])
def test_granet_on_cifar_exchanges_when_and_as_much_as_its_authors_code(ramp: RampSpec) -> None:
    """160 epochs of 391 batches, `CIFAR/scripts/script`: an update at every thousandth step."""
    spec = TrialSpec(
        task=ImageTask(dataset="cifar10", model="wrn_22_2", batch_size=128, validation=0),
        schedule=ScheduleSpec(epochs=160),
        sparsity=SparsitySpec(method="granet", target=0.9, ramp=ramp, regrow=PUBLISHED_GRANET),
    )
    per_epoch = spec.steps_per_epoch()
    total = 160 * per_epoch
    assert total == spec.total_steps()
    rates = granet_rates(total, 0.5)
    updates = {one.step: one for one in mask_schedule(spec) if one.action == "regrow"}
    end_of_ramp = 80 * per_epoch
    assert set(updates) - {end_of_ramp} == set(range(1000, total, 1000))
    assert len(updates) == 63
    first = 0.5 if ramp.first else 0.0
    for step, update in updates.items():
        assert update.exchanged == pytest.approx(rates[step], abs=1e-6)
        done = min(1.0, step / end_of_ramp)
        # `pruning`: (1 - initial) + (initial - final)(1 - (1 - x)^3), of densities.
        expected = first + (0.9 - first) * (1 - (1 - done) ** 3)
        assert update.sparsity == pytest.approx(expected, abs=1e-12)
        assert not update.replaces_step
    assert rates[total] == pytest.approx(0.005)


def test_granet_rounds_up_and_starts_from_a_random_mask_of_erk() -> None:
    sparsity = SparsitySpec(
        method="granet",
        target=0.9,
        ramp=RampSpec(start=0, length=0.5, first=0.5, first_mask="erk"),
        regrow=RegrowSpec(fraction=0.5, every="10 steps", until=1.0, floor=0.005, rounding="up"),
    )
    run = SmallRun(sparsity, steps=100)
    first = {name: weight.detach().clone() for name, weight in run.weights.items()}
    run.begin()
    erk = SmallRun(SparsitySpec(method="static", target=0.5), steps=4)
    erk.begin()
    pruned = {name: int((~mask).sum()) for name, mask in run.masks().items()}
    assert pruned == {name: int((~mask).sum()) for name, mask in erk.masks().items()}
    # It is random: some of the largest weights are outside it.
    for name, mask in run.masks().items():
        if pruned[name]:
            assert first[name][~mask].abs().max() > first[name][mask].abs().min()
    run.run()
    assert run.sparsifier.at_target()


@pytest.mark.parametrize(("rounding", "exchanged"), [("down", 0), ("up", 1)])
def test_a_share_of_a_weight_is_exchanged_only_where_counts_round_up(
    rounding: str, exchanged: int
) -> None:
    """Of 60 weights at 95 % sparsity three are kept; a tenth of three is 0.3 of a weight."""
    regrow = RegrowSpec(fraction=0.1, decay="constant", every="1 steps", until=1.0)
    sparsity = SparsitySpec(
        method="set",
        target=0.95,
        allocation="uniform",
        regrow=regrow.model_copy(update={"rounding": rounding}),
    )
    run = SmallRun(sparsity, steps=12, sizes=(20, 3, 20))
    moved = 0
    run.step()
    while run.at < 11:
        before = run.masks()
        run.step()
        moved += sum(int((mask & ~before[name]).sum()) for name, mask in run.masks().items())
    assert (moved > 0) == bool(exchanged)


def test_set_after_mocanu_exchanges_30_percent_after_every_epoch_but_the_last() -> None:
    """dcmocanu/sparse-evolutionary-… @ 62ac974, `set_mlp_keras_cifar10.py`: zeta = 0.3."""
    sparsity = SparsitySpec(method="set", target=0.9, allocation="er", regrow=MOCANU_SET)
    spec = TrialSpec(
        task=DigitsTask(batch_size=100), schedule=ScheduleSpec(epochs=20), sparsity=sparsity
    )
    per_epoch = spec.steps_per_epoch()
    updates = [one for one in mask_schedule(spec) if one.action == "regrow"]
    assert [one.step for one in updates] == [per_epoch * epoch for epoch in range(1, 20)]
    assert {(one.exchanged, one.replaces_step) for one in updates} == {(0.3, False)}


def test_set_of_rigls_code_steps_on_the_batch_of_an_exchange_too() -> None:
    every = {"every": "5 steps"}
    taken = SparsitySpec(method="set", target=0.8, regrow=RegrowSpec(**every))
    steps = SparsitySpec(
        method="set", target=0.8, regrow=RIGL_SET.model_copy(update={"every": _every(5)})
    )
    plans = [mask_schedule(trial(100, sparsity)) for sparsity in (taken, steps)]
    assert [one.step for one in plans[0]] == [one.step for one in plans[1]]
    assert {one.replaces_step for one in plans[0] if one.action == "regrow"} == {True}
    assert {one.replaces_step for one in plans[1] if one.action == "regrow"} == {False}
    moved = []
    for sparsity in (taken, steps):
        run = SmallRun(sparsity, steps=100)
        run.run(5)
        before = run.values()
        run.step()  # an exchange: biases move only where the optimizer steps
        moved.append(not torch.equal(run.values()["0.bias"], before["0.bias"]))
        spent = run.sparsifier.dense_steps
        run.step()
        assert run.sparsifier.dense_steps > spent
    assert moved == [False, True]


def _every(steps: int) -> object:
    return RegrowSpec(every=f"{steps} steps").every


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("set", {"allocation": "er", "regrow": {"floor": 0.1, "rounding": "up"}}),
        ("rigl", {"regrow": {"replaces_step": False}}),
        ("granet", {"ramp": {"start": 0, "first": 0.5, "first_mask": "erk"}}),
    ],
)
def test_new_settings_keep_the_contract(name: str, fields: dict[str, object]) -> None:
    ramp = {"updates": 10} | fields.pop("ramp", {})  # type: ignore[operator]
    regrow = {"every": "2 steps"} | fields.pop("regrow", {})  # type: ignore[operator]
    spec = SparsitySpec(
        method=name, target=0.8, ramp=RampSpec(**ramp), regrow=RegrowSpec(**regrow), **fields
    )
    check_method(METHODS[name], specs=[spec])


def test_what_cannot_work_is_refused() -> None:
    granet = SparsitySpec(method="granet", target=0.9, regrow=RegrowSpec(replaces_step=True))
    (found,) = combination_problems(granet)
    assert found.path == "sparsity.regrow" and "leave out `replaces_step`" in found.rule
    pattern = {"pattern": "2:4", "target": 0.5, "allocation": "uniform"}
    ramp = RampSpec(first=0.2, first_mask="erk")
    (found,) = combination_problems(SparsitySpec(method="gmp", ramp=ramp, **pattern))
    assert found.path == "sparsity.pattern" and "a random first mask" in found.rule
    assert "`floor` must be at most `fraction`" in str(RegrowSpec(floor=0.5).problems())
    assert "needs a `first` sparsity above 0" in str(RampSpec(first_mask="erk").problems())
