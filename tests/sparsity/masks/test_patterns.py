import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.sparsity.masks.patterns import (
    fits_pattern,
    keep_highest_by_count,
    n_m_faults,
    n_m_mask,
    pattern_problems,
)
from sparsetune.spec.sparsity import SparsitySpec

VALUES = [-math.inf, -1.0, 0.0, 0.5, 1.0, 2.0, math.inf, math.nan]
SPEC = SparsitySpec(method="one_shot", target=0.5, pattern="2:4")


def reference(scores: torch.Tensor, n: int, m: int) -> torch.Tensor:
    """Mask by a stable sort of every group, channels last.

    NaN becomes infinity first, since numpy would sort it behind.
    """
    channels_last = np.moveaxis(scores.double().numpy(), 1, -1)
    groups = np.nan_to_num(channels_last, nan=np.inf, posinf=np.inf, neginf=-np.inf).reshape(-1, m)
    kept = np.ones(groups.shape, dtype=bool)
    np.put_along_axis(kept, groups.argsort(axis=1, kind="stable")[:, : m - n], False, axis=1)
    return torch.from_numpy(np.moveaxis(kept.reshape(channels_last.shape), -1, 1).copy())


def test_the_two_highest_of_every_four_are_kept() -> None:
    scores = torch.tensor([[4.0, 1.0, 3.0, 2.0, 0.1, 0.2, 0.3, 0.4]])
    assert n_m_mask(scores, 2, 4).tolist() == [[True, False, True, False, False, False, True, True]]
    assert n_m_mask(scores, 1, 4).tolist() == [
        [True, False, False, False, False, False, False, True]
    ]


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([1.0, 1.0, 1.0, 1.0], [False, False, True, True]),
        ([1.0, 0.0, 1.0, 1.0], [False, False, True, True]),
        ([math.nan, 5.0, math.inf, 1.0], [True, False, True, False]),
        ([math.nan, math.inf, math.nan, 1.0], [False, True, True, False]),
        ([-math.inf, -math.inf, -3e38, -math.inf], [False, False, True, True]),
    ],
)
def test_ties_go_in_order_of_index_and_nan_counts_as_the_highest(
    scores: list[float], kept: list[bool]
) -> None:
    assert n_m_mask(torch.tensor([scores]), 2, 4).tolist() == [kept]


def test_a_convolution_is_grouped_along_its_channels_and_not_along_its_kernel() -> None:
    # Channels (5, 4) and (6, 3) of a kernel of two.
    scores = torch.tensor([[[[5.0, 4.0]], [[6.0, 3.0]]]])
    assert n_m_mask(scores, 1, 2).tolist() == [[[[False, True]], [[True, False]]]]


def test_groups_run_on_to_the_next_place_of_the_kernel_where_channels_do_not_divide() -> None:
    # Channels last: 1 2 3 4 5 6.
    scores = torch.tensor([[[[1.0, 4.0]], [[2.0, 5.0]], [[3.0, 6.0]]]])
    kept = n_m_mask(scores, 1, 2)
    assert kept.movedim(1, -1).flatten().tolist() == [False, True, False, True, False, True]
    assert kept.is_contiguous()


def test_a_mask_does_not_depend_on_the_masks_before_it_or_on_what_memory_holds() -> None:
    first = torch.tensor([[4.0, 3.0, 2.0, 1.0]])
    second = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    for _ in range(2):
        assert n_m_mask(first, 2, 4).tolist() == [[True, True, False, False]]
    assert n_m_mask(second, 2, 4).tolist() == [[False, False, True, True]]


@given(
    out=st.integers(1, 4),
    channels=st.integers(1, 9),
    kernel=st.lists(st.integers(1, 3), max_size=2),
    m=st.sampled_from([2, 3, 4, 8]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    channels_last=st.booleans(),
    data=st.data(),
)
def test_every_group_keeps_the_last_of_a_stable_sort(
    out: int,
    channels: int,
    kernel: list[int],
    m: int,
    dtype: torch.dtype,
    channels_last: bool,
    data: st.DataObject,
) -> None:
    channels *= 1 if math.prod(kernel) % m == 0 else m // math.gcd(m, math.prod(kernel))
    shape = (out, channels, *kernel)
    n = data.draw(st.integers(0, m))
    size = math.prod(shape)
    values = data.draw(st.lists(st.sampled_from(VALUES), min_size=size, max_size=size))
    scores = torch.tensor(values, dtype=dtype).view(shape).requires_grad_()
    if channels_last and len(kernel) == 2:
        scores = scores.to(memory_format=torch.channels_last)
    kept = n_m_mask(scores, n, m)
    assert torch.equal(kept, reference(scores.detach(), n, m))
    assert int(kept.sum()) == kept.numel() * n // m
    assert n_m_faults(kept, n, m) == 0


@pytest.mark.parametrize(
    ("shape", "n", "m"), [((1, 300), 120, 300), ((2, 4, 5, 5), 2, 4), ((3, 3, 2, 2), 1, 4)]
)
def test_wide_groups_and_kernels_agree_with_the_reference(
    shape: tuple[int, ...], n: int, m: int
) -> None:
    scores = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(n_m_mask(scores, n, m), reference(scores, n, m))


@pytest.mark.parametrize(("shape", "stride"), [((3, 8), 1), ((2, 36), 9)])
def test_tensors_are_ranked_as_arrays_are(shape: tuple[int, int], stride: int) -> None:
    scores = torch.randint(0, 3, shape, generator=torch.Generator().manual_seed(0)).float()
    positions = (torch.arange(shape[1]) // stride % 4).byte()
    tensors = [
        scores,
        positions.expand(shape).clone(),
        torch.full(shape, 7, dtype=torch.uint8),
        positions,
    ]
    arrays = [tensor.numpy().copy() for tensor in tensors]
    keep_highest_by_count(*tensors, 2, 4, stride)
    keep_highest_by_count(*arrays, 2, 4, stride)
    expected = reference(scores.view(shape[0], -1, stride), 2, 4).view(shape)
    assert torch.equal(tensors[2].bool(), expected)
    assert torch.equal(torch.from_numpy(arrays[2]).bool(), expected)


@pytest.mark.gpu
def test_a_gpu_gives_the_masks_of_a_cpu_without_waiting_for_it() -> None:
    scores = torch.randint(0, 5, (64, 32, 3, 3), generator=torch.Generator().manual_seed(0)).float()
    on_gpu = scores.cuda()
    n_m_mask(on_gpu, 2, 4)
    torch.cuda.set_sync_debug_mode("error")
    try:
        kept = n_m_mask(on_gpu, 2, 4)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(kept.cpu(), n_m_mask(scores, 2, 4))


def test_weights_that_do_not_divide_are_refused() -> None:
    for refused in (
        lambda: n_m_mask(torch.zeros(4, 6), 2, 4),
        lambda: n_m_faults(torch.zeros(4, 6), 2, 4),
    ):
        with pytest.raises(
            ValueError, match=r"must divide by 4, got the shape \(4, 6\).*`sparsity.spared`"
        ):
            refused()


def test_faults_are_groups_that_keep_too_many() -> None:
    weight = torch.tensor(
        [[1.0, 2.0, 3.0, 0.0], [0.0, 5.0, 0.0, 6.0], [1.0, -1.0, math.nan, 1e-30]]
    )
    assert n_m_faults(weight, 2, 4) == 2
    assert n_m_faults(weight != 0, 2, 4) == 2
    assert n_m_faults(weight, 3, 4) == 1
    assert n_m_faults(weight, 4, 4) == 0


def test_faults_of_a_convolution_are_counted_along_its_channels() -> None:
    one_channel = torch.tensor([[[[True, True]], [[False, False]]]])
    one_place = torch.tensor([[[[True, False]], [[True, False]]]])
    assert (n_m_faults(one_channel, 1, 2), n_m_faults(one_place, 1, 2)) == (0, 1)


@pytest.mark.parametrize(
    ("shape", "m", "fit"),
    [
        ((5, 8), 4, True),
        ((8, 6), 4, False),
        ((64, 3, 7, 7), 4, False),
        ((8, 1, 2, 2), 4, True),
        ((2, 6, 2), 4, True),
    ],
)
def test_what_divides_is_the_weights_of_one_output(
    shape: tuple[int, ...], m: int, fit: bool
) -> None:
    assert fits_pattern(shape, m) is fit


def test_a_pruned_layer_that_does_not_divide_is_named_with_the_remedy() -> None:
    layers = [
        Layer("conv1.weight", (64, 3, 7, 7)),
        Layer("conv2.weight", (64, 64, 3, 3)),
        Layer("fc.weight", (10, 6)),
    ]
    groups = [LayerGroup(("conv1.weight",), 10), LayerGroup(("conv2.weight", "fc.weight"), 10)]
    [problem] = pattern_problems(layers, groups, SPEC)
    assert str(problem) == (
        "`sparsity.pattern`: the weights of each output of a pruned layer must divide by 4:"
        " keep the others dense by adding conv1.weight, fc.weight to `sparsity.spared`,"
        " got '2:4' with 147 in conv1.weight, 6 in fc.weight"
    )


def test_layers_that_stay_dense_need_not_divide() -> None:
    layers = [Layer("conv1.weight", (64, 3, 7, 7)), Layer("conv2.weight", (64, 64, 3, 3))]
    groups = [LayerGroup(("conv1.weight",), 0), LayerGroup(("conv2.weight",), 10)]
    assert pattern_problems(layers, groups, SPEC) == []
    pruned = [LayerGroup(("conv1.weight", "conv2.weight"), 10)]
    assert pattern_problems(layers, pruned, SparsitySpec(method="gmp", target=0.5)) == []
