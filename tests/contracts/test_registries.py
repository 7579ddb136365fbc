"""Contracts that every entry of a registry keeps; the names are exactly the declaration's."""

import inspect
from collections.abc import Iterable
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.masks.allocation import ALLOCATIONS, LayerGroup, allocate
from sparsetune.sparsity.plans.ramps import RAMPS
from sparsetune.sparsity.scores import SCORES
from sparsetune.spec.optimizer import UNFIT_OPTIMIZERS, OptimizerName
from sparsetune.spec.rates import DECAYS
from sparsetune.spec.schedule import LrDecay
from sparsetune.spec.sparsity import (
    Allocation,
    RampShape,
    RampSpec,
    Score,
    SparsitySpec,
)
from sparsetune.spec.task import (
    GLUE_TRAIN_SIZES,
    IMAGE_TRAIN_SIZES,
    DigitsTask,
    ImageTask,
    TaskSpec,
    TextTask,
)
from sparsetune.tasks.images.sources import SOURCES
from sparsetune.tasks.kinds import kind_of
from sparsetune.tasks.text.glue import GLUE_TASKS
from sparsetune.testing import check_allocation, check_ramp, check_score, made_context
from sparsetune.train.optim import OPTIMIZERS


@pytest.mark.parametrize(
    ("registry", "names"),
    [
        (SCORES, Score),
        (ALLOCATIONS, Allocation),
        (RAMPS, RampShape),
        (OPTIMIZERS, OptimizerName),
        ([*DECAYS, "step"], LrDecay),
    ],
)
def test_a_registry_has_the_names_of_the_declaration(registry: Iterable[str], names: Any) -> None:
    assert tuple(registry) == get_args(names)


def test_every_optimizer_of_torch_has_a_name_or_a_reason_why_not() -> None:
    classes = inspect.getmembers(torch.optim, inspect.isclass)
    names = {name.lower() for name, cls in classes if issubclass(cls, torch.optim.Optimizer)}
    assert names - {"optimizer"} == {*OPTIMIZERS, *UNFIT_OPTIMIZERS}
    assert {name: cls.__name__.lower() for name, cls in OPTIMIZERS.items()} == {
        name: name for name in OPTIMIZERS
    }


def test_every_task_has_a_source() -> None:
    kinds = {task.model_fields["kind"].default for task in get_args(get_args(TaskSpec)[0])}
    assert set(SOURCES) == {*IMAGE_TRAIN_SIZES, *(kinds - {"image", "folder", "text", "custom"})}
    assert [kind_of(task).strata for task in (DigitsTask(), ImageTask(), TextTask())] == [
        10,
        10,
        2,
    ]
    assert set(GLUE_TASKS) == set(GLUE_TRAIN_SIZES)


@pytest.mark.parametrize("name", list(RAMPS))
@given(
    fractions=st.lists(st.floats(0, 1), min_size=2),
    first=st.floats(0, 0.99),
    target=st.floats(0.01, 0.999),
)
def test_every_ramp_rises_from_its_first_step_to_exactly_the_target(
    name: str, fractions: list[float], first: float, target: float
) -> None:
    spec = RampSpec(shape=name, first=first, levels=(0.5, 0.9) if name == "stepped" else ())
    check_ramp(RAMPS[name], declared=[spec], targets=[target], fractions=fractions)


@pytest.mark.parametrize("name", list(DECAYS))
def test_every_decay_starts_at_exactly_1_and_never_rises(name: str) -> None:
    values = [DECAYS[name](k / 100) for k in range(101)]
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    assert min(values) >= 0


@pytest.mark.parametrize("name", list(SCORES))
def test_every_score_is_finite_of_the_weights_shape_and_leaves_the_weights_alone(name: str) -> None:
    check_score(SCORES[name])
    scores = SCORES[name](made_context()).absolute_values()
    other = SCORES[name](made_context(seed=1)).absolute_values()
    assert torch.equal(scores["a"], other["a"]) == (name == "magnitude")


SHAPES = st.tuples(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from([(), (1, 1), (3, 3), (5,)])
)
LAYERS = st.lists(SHAPES, min_size=2, max_size=8).map(
    lambda shapes: [
        Layer(f"layer{i}", (n_out, n_in, *kernel)) for i, (n_out, n_in, kernel) in enumerate(shapes)
    ]
)


def sparsity_of(allocation: str, target: float, spared: tuple[str, ...] | None) -> SparsitySpec:
    layers = (("*", target),) if allocation == "explicit" else ()
    return SparsitySpec(
        method="gmp", target=target, allocation=allocation, spared=spared, layers=layers
    )


@pytest.mark.parametrize("spared", [(), ("layer0",)], ids=["none spared", "one spared"])
@pytest.mark.parametrize("name", list(ALLOCATIONS))
@given(layers=LAYERS, target=st.floats(0, 0.999))
def test_every_allocation_groups_each_layer_once_and_prunes_the_rounded_total_of_the_others(
    name: str, layers: list[Layer], target: float, spared: tuple[str, ...]
) -> None:
    groups = allocate(layers, target, sparsity_of(name, target, spared))
    assert sorted(n for group in groups for n in group.names) == sorted(
        layer.name for layer in layers
    )
    sizes = {layer.name: layer.weights for layer in layers}
    assert all(0 <= group.pruned <= sum(sizes[n] for n in group.names) for group in groups)
    assert [group for group in groups if spared and "layer0" in group.names] == [
        LayerGroup((n,), 0) for n in spared
    ]
    asked = target * sum(size for layer, size in sizes.items() if layer not in spared)
    assert (
        abs(sum(group.pruned for group in groups) - asked) <= (len(groups) - len(spared)) / 2 + 1e-6
    )


@pytest.mark.parametrize("name", list(ALLOCATIONS))
@given(
    layers=LAYERS, target=st.floats(0.001, 0.999), fractions=st.lists(st.floats(0, 1), max_size=20)
)
def test_no_allocation_prunes_less_of_a_layer_as_the_sparsity_rises(
    name: str, layers: list[Layer], target: float, fractions: list[float]
) -> None:
    spec = sparsity_of(name, target, ()).resolved()
    check_allocation(ALLOCATIONS[name], layers=layers, specs=[spec], fractions=fractions)
