"""Contracts that every entry of a registry keeps; the names are exactly the declaration's."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.masks.allocation import ALLOCATIONS, LayerGroup, allocate
from sparsetune.sparsity.methods.ramps import RAMPS
from sparsetune.sparsity.methods.registry import METHODS
from sparsetune.sparsity.scores import SCORES, ScoreContext
from sparsetune.spec import OptimSpec, ScheduleSpec
from sparsetune.spec.rates import DECAYS
from sparsetune.spec.sparsity import (
    Allocation,
    FisherSpec,
    Method,
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
from sparsetune.train.optim import OPTIMIZERS


@pytest.mark.parametrize(
    ("registry", "names"),
    [
        (METHODS, Method),
        (SCORES, Score),
        (ALLOCATIONS, Allocation),
        (RAMPS, RampShape),
        (OPTIMIZERS, OptimSpec.model_fields["name"].annotation),
        ([*DECAYS, "step"], ScheduleSpec.model_fields["lr"].annotation),
    ],
)
def test_a_registry_has_the_names_of_the_declaration(registry: Iterable[str], names: Any) -> None:
    assert tuple(registry) == get_args(names)


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
    ramp = RAMPS[name]
    spec = RampSpec(shape=name, first=first, levels=(0.5, 0.9) if name == "stepped" else ())
    assert ramp(0.0, spec, target) == pytest.approx(min(first, target))
    assert ramp(1.0, spec, target) == pytest.approx(target)
    values = [ramp(fraction, spec, target) for fraction in sorted(fractions)]
    assert all(second >= first - 1e-12 for first, second in pairwise(values))
    assert max(values) <= target + 1e-12


@pytest.mark.parametrize("name", list(DECAYS))
def test_every_decay_starts_at_exactly_1_and_never_rises(name: str) -> None:
    values = [DECAYS[name](k / 100) for k in range(101)]
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    assert min(values) >= 0


def moment(seed: int = 0) -> ScoreContext:
    """Two layers, the first half masked, with random gradients."""
    generator = torch.Generator().manual_seed(0)
    weights = {
        "a": torch.randn(3, 4, generator=generator),
        "b": torch.randn(2, 3, generator=generator),
    }
    masks = {"a": torch.arange(12).view(3, 4) % 2 == 0, "b": torch.ones(2, 3, dtype=torch.bool)}
    weights["a"] *= masks["a"]

    def gradients(
        batches: int, batch_size: int | None, training: bool
    ) -> Iterator[dict[str, torch.Tensor]]:
        own = torch.Generator().manual_seed(seed)
        for _ in range(batches):
            yield {
                name: torch.randn(weight.shape, generator=own) for name, weight in weights.items()
            }

    spec = SparsitySpec(
        method="gmp", target=0.5, fisher=FisherSpec(block=4, gradients=8)
    ).resolved()
    return ScoreContext(weights, masks, spec, seed, gradients)


@pytest.mark.parametrize("name", list(SCORES))
def test_every_score_is_finite_of_the_weights_shape_and_leaves_the_weights_alone(name: str) -> None:
    given = moment()
    before = {layer: weight.clone() for layer, weight in given.weights.items()}
    scores = SCORES[name](given).absolute_values()
    for layer, weight in before.items():
        assert scores[layer].shape == weight.shape
        assert scores[layer].isfinite().all()
        assert (scores[layer] >= 0).all()
        assert torch.equal(given.weights[layer], weight)
    again = SCORES[name](moment()).absolute_values()
    assert all(torch.equal(scores[layer], again[layer]) for layer in before)
    other = SCORES[name](moment(seed=1)).absolute_values()
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
    spec = sparsity_of(name, target, None)
    counts = [
        {group.names: group.pruned for group in allocate(layers, target * fraction, spec)}
        for fraction in sorted([0.0, *fractions, 1.0])
    ]
    assert set(counts[0].values()) == {0}
    for fewer, more in pairwise(counts):
        assert fewer.keys() == more.keys()
        assert all(fewer[names] <= more[names] for names in more)
