import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sparsetune.sparsity.fisher.blocks import BlockFisher, FisherPiece
from sparsetune.sparsity.fisher.pieces import BlockRun
from sparsetune.spec.sparsity import FisherSpec

HAND = FisherSpec(block=2, gradients=1, dampening=1)


def estimated(
    weight: torch.Tensor,
    gradients: Sequence[torch.Tensor],
    spec: FisherSpec,
    pieces: int | None = None,
) -> BlockFisher:
    """The Fisher of one layer, ``a``."""
    return BlockFisher(
        {"a": weight}, spec, lambda: ({"a": gradient} for gradient in gradients), pieces
    )


def by_hand() -> tuple[torch.Tensor, BlockFisher]:
    """Two weights with F = I + (1, 1)(1, 1)^T = [[2, 1], [1, 2]].

    Its inverse is [[2, -1], [-1, 2]] / 3.
    """
    weight = torch.tensor([[3.0, 6.0]])
    return weight, estimated(weight, [torch.tensor([[1.0, 1.0]])], HAND)


def direct_inverse(gradients: list[torch.Tensor], spec: FisherSpec) -> list[torch.Tensor]:
    """Inverse of ``dampening I + (1/m) sum g g^T``, block by block in float64."""
    flat = torch.stack([gradient.double().flatten() for gradient in gradients])
    inverses = []
    for part in flat.split(spec.block, dim=1):
        dampening = spec.dampening * torch.eye(part.shape[1]).double()
        inverses.append(torch.linalg.inv(dampening + part.T @ part / spec.gradients))
    return inverses


def drawn(shape: tuple[int, ...], count: int, seed: int, scale: float = 1.0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(shape, generator=generator) for _ in range(count)]


def test_scores_by_hand() -> None:
    _, fisher = by_hand()
    assert fisher.scores()["a"].tolist() == [pytest.approx([9 / (4 / 3), 36 / (4 / 3)])]


def test_the_survivor_makes_up_for_the_pruned_weight_by_hand() -> None:
    weight, fisher = by_hand()
    fisher.compensate({"a": torch.tensor([[True, False]])})
    assert weight[0, 0] == 0
    assert weight[0, 1].item() == pytest.approx(6 + 3 / 2)


def test_pruned_weights_of_one_block_are_zero_together() -> None:
    weight, fisher = by_hand()
    fisher.compensate({"a": torch.tensor([[True, True]])})
    assert weight.tolist() == [[0, 0]]


def test_effects_of_several_pruned_weights_add_up() -> None:
    changes = []
    for pruned in ([True, False, False], [False, True, False], [True, True, False]):
        weight = torch.tensor([1.0, 2.0, 3.0])
        fisher = estimated(
            weight, drawn((3,), 2, seed=0), FisherSpec(block=3, gradients=2, dampening=0.5)
        )
        fisher.compensate({"a": torch.tensor(pruned)})
        changes.append(weight[2].item() - 3)
    assert changes[2] == pytest.approx(changes[0] + changes[1])
    assert all(changes)


def test_without_gradients_the_order_is_that_of_magnitudes_and_nothing_else_moves() -> None:
    weight = torch.tensor([3.0, -1.0, 2.0])
    fisher = estimated(weight, [], FisherSpec(block=3, dampening=0.5))
    assert fisher.scores()["a"].tolist() == pytest.approx([9 / 4, 1 / 4, 4 / 4])
    fisher.compensate({"a": torch.tensor([False, True, False])})
    assert weight.tolist() == [3, 0, 2]


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    block=st.integers(1, 12),
    m=st.integers(1, 20),
    dampening=st.sampled_from([1e-3, 1e-1, 1.0]),
    seed=st.integers(0, 99),
)
def test_scores_are_those_of_the_direct_inverse(
    shape: tuple[int, ...], block: int, m: int, dampening: float, seed: int
) -> None:
    spec = FisherSpec(block=block, gradients=m, dampening=dampening)
    [weight] = drawn(shape, 1, seed + 1)
    gradients = drawn(shape, m, seed)
    fisher = estimated(weight, gradients, spec)
    inverses = direct_inverse(gradients, spec)
    diagonal = torch.cat([inverse.diagonal() for inverse in inverses]).view(shape)
    expected = weight.double().square() / (2 * diagonal)
    assert fisher.scores()["a"].shape == weight.shape
    assert torch.allclose(fisher.scores()["a"].double(), expected, rtol=2e-3, atol=1e-9)


def correlated(size: int, count: int, scale: float) -> list[torch.Tensor]:
    """Gradients like a layer's: a few directions that all share, and rows that hardly learn."""
    generator = torch.Generator().manual_seed(3)
    shared = torch.randn(size, 8, generator=generator)
    rank = torch.randn(count, 8, generator=generator)
    noise = 0.1 * torch.randn(count, size, generator=generator)
    quiet = torch.logspace(0, -3, size)[torch.randperm(size, generator=generator)]
    return list(scale * (rank @ shared.T + noise) * quiet)


@pytest.mark.parametrize("dampening", [1e-7, 1e-3])
@pytest.mark.parametrize("count", [1024, 16], ids=["published", "fewer than a block"])
@pytest.mark.parametrize("scale", [1e-4, 1e-2, 1.0])
def test_the_inverse_is_numpy_s(scale: float, count: int, dampening: float) -> None:
    gradients = correlated(130, count, scale)
    piece = FisherPiece(
        [BlockRun("a", 0, 130, 50)],
        FisherSpec(gradients=count, dampening=dampening),
        torch.device("cpu"),
    )
    for gradient in gradients:
        piece.add({"a": gradient})
    piece.invert()
    columns = torch.zeros(50, 130)
    for q, column in enumerate(columns):
        column[q::50] = 1
        piece.multiply({"a": column})
    flat = torch.stack(gradients).double().numpy()
    for start in (0, 50, 100):
        part = flat[:, start : start + 50]
        size = part.shape[1]
        expected = np.linalg.inv(dampening * np.eye(size) + part.T @ part / count)
        error = columns[:size, start : start + size].double().numpy() - expected
        assert np.linalg.norm(error) < 1e-6 * np.linalg.norm(expected)
        assert (np.abs(error.diagonal()) < 1e-6 * expected.diagonal()).all()


def test_gradients_that_rounding_makes_singular_still_give_finite_scores() -> None:
    gradients = [1e6 * torch.ones(50), 1e6 * torch.ones(50)]
    scores = estimated(torch.ones(50), gradients, FisherSpec(gradients=2)).scores()["a"]
    assert scores.isfinite().all()
    assert (scores > 0).all()


@given(seed=st.integers(0, 99))
def test_large_dampening_prunes_in_the_order_of_magnitudes(seed: int) -> None:
    [weight] = drawn((7, 9), 1, seed + 1)
    gradients = drawn((7, 9), 12, seed, scale=1e-2)
    by_magnitude = weight.abs().flatten().argsort()
    large = FisherSpec(block=5, gradients=12, dampening=1e4)
    scores = estimated(weight, gradients, large).scores()["a"]
    assert torch.equal(scores.flatten().argsort(), by_magnitude)
    small = large.model_copy(update={"dampening": 1e-7})
    scores = estimated(weight, gradients, small).scores()["a"]
    assert not torch.equal(scores.flatten().argsort(), by_magnitude)


def test_bert_s_published_values_stay_accurate_in_single_precision() -> None:
    spec = FisherSpec()
    gradients = drawn((60,), spec.gradients, seed=0, scale=1e-3)
    common = torch.linspace(-1, 1, 60) * 1e-2  # mini-batch means have much in common
    gradients = [gradient + common for gradient in gradients]
    fisher = estimated(torch.ones(60), gradients, spec)
    diagonal = torch.cat([inverse.diagonal() for inverse in direct_inverse(gradients, spec)])
    assert torch.allclose(fisher.scores()["a"].double(), 1 / (2 * diagonal), rtol=1e-4)


@given(size=st.integers(2, 9), seed=st.integers(0, 99), data=st.data())
def test_one_pruned_weight_is_made_up_for_as_the_quadratic_problem_asks(
    size: int, seed: int, data: st.DataObject
) -> None:
    """The least of ``dw^T F dw / 2`` with ``dw_q = -w_q``, from its Lagrange conditions."""
    spec = FisherSpec(block=size, gradients=5, dampening=0.1)
    q = data.draw(st.integers(0, size - 1))
    [weight] = drawn((size,), 1, seed + 1)
    gradients = drawn((size,), 5, seed)
    fisher = estimated(weight, gradients, spec)
    conditions = torch.zeros(size + 1, size + 1, dtype=torch.float64)
    conditions[:size, :size] = torch.linalg.inv(direct_inverse(gradients, spec)[0])
    conditions[q, size] = 1
    conditions[size, q] = 1
    wanted = torch.zeros(size + 1, dtype=torch.float64)
    wanted[size] = -weight[q].item()
    expected = weight.double() + torch.linalg.solve(conditions, wanted)[:size]
    score = fisher.scores()["a"][q].item()
    step = (expected - weight).unsqueeze(0)
    fisher.compensate({"a": torch.arange(size) == q})
    assert weight[q] == 0
    assert torch.allclose(weight.double(), expected, rtol=1e-3, atol=1e-4)
    rise = (step @ conditions[:size, :size] @ step.T / 2).item()
    assert score == pytest.approx(rise, rel=1e-3, abs=1e-9)


def test_blocks_are_consecutive_and_do_not_meet() -> None:
    weight = torch.ones(2, 3)
    fisher = estimated(weight, [torch.ones(2, 3)], FisherSpec(block=2, gradients=1, dampening=1))
    fisher.compensate({"a": torch.tensor([[False, False, True], [False, False, False]])})
    # The third and the fourth are one block.
    assert weight.flatten().tolist() == pytest.approx([1, 1, 0, 1.5, 1, 1])


def test_a_last_block_that_is_not_full_is_as_one_of_its_own_size() -> None:
    spec = FisherSpec(block=4, gradients=3, dampening=0.1)
    [weight] = drawn((6,), 1, seed=1)
    gradients = drawn((6,), 3, seed=0)
    alone = weight[4:].clone()
    whole = estimated(weight, gradients, spec)
    last = [gradient[4:] for gradient in gradients]
    end = estimated(alone, last, spec.model_copy(update={"block": 2}))
    assert torch.allclose(whole.scores()["a"][4:], end.scores()["a"])
    pruned = torch.tensor([False, False, False, False, True, False])
    whole.compensate({"a": pruned})
    end.compensate({"a": pruned[4:]})
    assert torch.allclose(weight[4:], alone)
    assert weight[4] == 0 != weight[5]


def test_weights_outside_the_mask_stay_zero_and_disturb_nothing() -> None:
    spec = FisherSpec(block=4, gradients=5, dampening=0.1)
    mask = torch.tensor([True, False, True, True])
    weight = torch.tensor([1.0, 0.0, 2.0, 3.0])
    alone = weight[mask]
    gradients = drawn((4,), 5, seed=0)
    within = estimated(weight, [gradient * mask for gradient in gradients], spec)
    kept = [gradient[mask] for gradient in gradients]
    without = estimated(alone, kept, spec.model_copy(update={"block": 3}))
    assert torch.allclose(within.scores()["a"][mask], without.scores()["a"])
    within.compensate({"a": torch.tensor([False, False, True, False])})
    without.compensate({"a": torch.tensor([False, True, False])})
    assert weight[1] == weight[2] == 0
    assert torch.allclose(weight[mask], alone)


def test_layers_are_estimated_apart_and_parameters_changed_in_place() -> None:
    layer = nn.Conv2d(2, 3, 2).to(memory_format=torch.channels_last)
    head = nn.Linear(3, 2)
    weights = {"conv": layer.weight, "head": head.weight}
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    gradients = [
        {name: drawn(shape, 1, seed)[0] for name, shape in shapes.items()} for seed in range(2)
    ]
    fisher = BlockFisher(
        weights, FisherSpec(block=5, gradients=2, dampening=0.1), lambda: gradients
    )
    pruned = {"conv": before["conv"] > 0, "head": torch.zeros(2, 3, dtype=torch.bool)}
    fisher.compensate(pruned)
    assert torch.equal(layer.weight == 0, pruned["conv"])
    assert not torch.equal(layer.weight[~pruned["conv"]], before["conv"][~pruned["conv"]])
    assert torch.equal(head.weight, before["head"])


def test_stored_order_decides_the_blocks_whatever_the_layout_in_memory() -> None:
    [weight] = drawn((2, 4, 3, 3), 1, seed=0)
    [gradient] = drawn((2, 4, 3, 3), 1, seed=1)
    spec = FisherSpec(block=7, gradients=1, dampening=0.1)
    scores = []
    for layout in (torch.contiguous_format, torch.channels_last):
        laid_out = [gradient.to(memory_format=layout)]
        fisher = estimated(weight.to(memory_format=layout), laid_out, spec)
        scores.append(fisher.scores()["a"])
    assert torch.equal(scores[0], scores[1])


def test_half_precision_is_estimated_in_single() -> None:
    weight = torch.tensor([3.0, 6.0], dtype=torch.bfloat16)
    fisher = estimated(weight, [torch.ones(2, dtype=torch.bfloat16)], HAND)
    assert fisher.scores()["a"].dtype == torch.float32
    fisher.compensate({"a": torch.tensor([True, False])})
    assert weight.tolist() == [0, 7.5]


def test_a_zero_weight_costs_nothing_and_scores_are_finite() -> None:
    fisher = estimated(torch.tensor([0.0, 1e-20]), [], FisherSpec(block=2))
    assert fisher.scores()["a"][0] == 0
    assert all(math.isfinite(score) for score in fisher.scores()["a"].tolist())
