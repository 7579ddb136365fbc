"""Every entry of a registry keeps the registry's contract, and the declaration's names are exactly the registries'."""

from collections.abc import Mapping
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.optim import DECAYS, OPTIMIZERS
from sparsetune.sparsity.allocation import ALLOCATIONS, Layer
from sparsetune.sparsity.plan import METHODS
from sparsetune.sparsity.ramps import RAMPS
from sparsetune.sparsity.scores import SCORES
from sparsetune.spec import (
    Allocation,
    DigitsTask,
    ImageTask,
    Method,
    OptimSpec,
    RampShape,
    ScheduleSpec,
    Score,
    TaskSpec,
)
from sparsetune.tasks import SOURCES, source_of


@pytest.mark.parametrize(
    ("registry", "names"),
    [
        (METHODS, Method),
        (SCORES, Score),
        (ALLOCATIONS, Allocation),
        (RAMPS, RampShape),
        (OPTIMIZERS, OptimSpec.model_fields["name"].annotation),
        (DECAYS, ScheduleSpec.model_fields["lr"].annotation),
    ],
)
def test_a_registry_has_the_names_of_the_declaration(registry: Mapping[str, Any], names: Any) -> None:
    assert tuple(registry) == get_args(names)


def test_every_task_has_a_source() -> None:
    datasets = get_args(ImageTask.model_fields["dataset"].annotation)
    kinds = {task.model_fields["kind"].default for task in get_args(get_args(TaskSpec)[0])}
    assert set(SOURCES) == {*datasets, *(kinds - {"image"})}
    assert [source_of(task).n_classes for task in (DigitsTask(), ImageTask())] == [10, 10]


@pytest.mark.parametrize("name", list(RAMPS))
@given(fractions=st.lists(st.floats(0, 1), min_size=2))
def test_every_ramp_rises_from_exactly_0_to_exactly_1(name: str, fractions: list[float]) -> None:
    ramp = RAMPS[name]
    assert (ramp(0.0), ramp(1.0)) == (0.0, 1.0)
    values = [ramp(fraction) for fraction in sorted(fractions)]
    assert values == sorted(values)


@pytest.mark.parametrize("name", list(DECAYS))
def test_every_decay_starts_at_exactly_1_and_never_rises(name: str) -> None:
    values = [DECAYS[name](k / 100) for k in range(101)]
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    assert min(values) >= 0


@pytest.mark.parametrize("name", list(SCORES))
def test_every_score_is_finite_of_the_weights_shape_and_leaves_the_weights_alone(name: str) -> None:
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    before = weight.clone()
    scores = SCORES[name](weight)
    assert scores.shape == weight.shape
    assert scores.isfinite().all()
    assert torch.equal(weight, before)


@pytest.mark.parametrize("name", list(ALLOCATIONS))
@given(sizes=st.lists(st.integers(1, 500), min_size=1, max_size=8), sparsity=st.floats(0, 0.999))
def test_every_allocation_puts_each_layer_into_one_group_and_prunes_the_rounded_total(
    name: str, sizes: list[int], sparsity: float
) -> None:
    layers = [Layer(f"layer{i}", (size, 1)) for i, size in enumerate(sizes)]
    groups = ALLOCATIONS[name](layers, sparsity)
    assert sorted(n for group in groups for n in group.names) == sorted(layer.name for layer in layers)
    by_name = {layer.name: layer.weights for layer in layers}
    assert all(0 <= group.pruned <= sum(by_name[n] for n in group.names) for group in groups)
    assert abs(sum(group.pruned for group in groups) - sparsity * sum(sizes)) <= len(groups) / 2 + 1e-6
