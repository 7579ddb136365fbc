"""Allocations by hand on a few layers, which layers are spared, and what does not fit them."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.durations import round_half_up
from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.masks.allocation import LayerGroup, allocate, allocation_problems
from sparsetune.spec.sparsity import SparsitySpec

CONVOLUTION = Layer("conv.weight", (4, 1, 3, 3))
"""A layer of 36 weights."""
HEAD = Layer("head.weight", (5, 3))
"""A layer of 15 weights."""


def spec(allocation: str, target: float = 0.5, **fields: object) -> SparsitySpec:
    return SparsitySpec(method="gmp", target=target, allocation=allocation, **fields)


def counts(
    layers: list[Layer], given: SparsitySpec, sparsity: float | None = None
) -> dict[str, int]:
    """Pruned weights by the names of a group, joined."""
    groups = allocate(layers, given.target if sparsity is None else sparsity, given)
    return {" ".join(group.names): group.pruned for group in groups}


def test_global_prunes_the_rounded_total() -> None:
    # 0.9 x 51 is 45.9.
    expected = [LayerGroup(("conv.weight", "head.weight"), 46)]
    assert allocate([CONVOLUTION, HEAD], 0.9, spec("global")) == expected


def test_uniform_rounds_each_layer_and_spares_a_first_convolution() -> None:
    # Half of 15 is 7.5, rounded up.
    assert counts([CONVOLUTION, HEAD], spec("uniform")) == {"conv.weight": 0, "head.weight": 8}
    assert counts([HEAD, CONVOLUTION], spec("uniform")) == {"head.weight": 8, "conv.weight": 18}
    assert counts([CONVOLUTION, HEAD], spec("uniform", spared=())) == {
        "conv.weight": 18,
        "head.weight": 8,
    }


def test_erdos_renyi_by_hand() -> None:
    """300 of 200 and 400 weights are kept, as n_in + n_out = 30 to 50: 112.5 and 187.5."""
    layers = [Layer("a", (10, 20)), Layer("b", (10, 40))]
    assert counts(layers, spec("er")) == {"a": 88, "b": 213}  # 87.5 and 212.5
    # Without kernels they are the same.
    assert counts(layers, spec("erk")) == counts(layers, spec("er"))


def test_kernels_count_in_erk_only() -> None:
    """250 of 1,600 and 900 weights are kept.

    ERK shares them by 40 + 40 and 10 + 10 + 3 + 3, ER by 80 and 20 * 9.
    """
    layers = [Layer("linear", (40, 40)), Layer("kernel", (10, 10, 3, 3))]
    kept = {"erk": (80 / 106 * 250, 26 / 106 * 250), "er": (80 / 260 * 250, 180 / 260 * 250)}
    for name, (linear, kernel) in kept.items():
        assert counts(layers, spec(name, 0.9)) == {
            "linear": round(1600 - linear),
            "kernel": round(900 - kernel),
        }


def test_a_layer_whose_density_passes_1_is_dense_and_the_rest_is_solved_again() -> None:
    """53 of 6 + 100 weights are kept by sums 5 and 20: 10.6 of the 6. The other layer keeps 47."""
    small = Layer("small", (2, 3))
    large = Layer("large", (10, 10))
    assert counts([small, large], spec("erk")) == {"small": 0, "large": 53}


def test_another_layer_may_pass_1_only_when_the_rest_is_solved_again() -> None:
    """113 of 10 + 16 + 400 weights are kept, by 11, 8 and 40.

    That is 21.1 of `a` and 15.3 of `b`; without `a`, 17.2 of `b`.
    """
    a = Layer("a", (1, 10))
    b = Layer("b", (4, 4))
    c = Layer("c", (20, 20))
    assert counts([a, b, c], spec("erk", 313 / 426)) == {"a": 0, "b": 0, "c": 313}


SMALL = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=5)


@given(shapes=SMALL, sparsity=st.floats(0, 0.999))
def test_the_dense_layers_of_erk_are_the_only_ones_that_solve_it(
    shapes: list[tuple[int, int]], sparsity: float
) -> None:
    """Every set of dense layers is tried.

    Right is a set whose layers pass a density of 1 while no other layer does, at one scale.
    """
    layers = [Layer(f"layer{i}", shape) for i, shape in enumerate(shapes)]
    total = sum(layer.weights for layer in layers)
    subsets = [dense for n in range(len(layers)) for dense in combinations(layers, n)]
    found = set()
    for dense in subsets:
        others = [layer for layer in layers if layer not in dense]
        left = (1 - Fraction(sparsity)) * total - sum(layer.weights for layer in dense)
        scale = left / sum(sum(layer.shape) for layer in others)
        kept = {layer: scale * sum(layer.shape) for layer in layers}
        sparse_fit = all(0 <= kept[layer] <= layer.weights for layer in others)
        dense_full = all(kept[layer] >= layer.weights for layer in dense)
        if sparse_fit and dense_full:
            pruned = {layer: round_half_up(float(layer.weights - kept[layer])) for layer in others}
            found.add(tuple(pruned.get(layer, 0) for layer in layers))
    groups = allocate(layers, sparsity, spec("erk", sparsity))
    assert found == {tuple(group.pruned for group in groups)}


def test_explicit_takes_the_first_pattern_that_matches_and_scales_on_the_way_to_the_target() -> (
    None
):
    layers = [
        Layer("stem.weight", (10, 10)),
        Layer("body.0.weight", (10, 40)),
        Layer("body.1.weight", (10, 50)),
    ]
    given = spec("explicit", 0.71, layers=(("body.0", 0.65), ("body.*", 0.9)))
    assert counts(layers, given) == {"stem.weight": 0, "body.0.weight": 260, "body.1.weight": 450}
    half = {"stem.weight": 0, "body.0.weight": 130, "body.1.weight": 225}
    assert counts(layers, given, sparsity=0.355) == half
    assert allocation_problems(layers, given) == []


@pytest.mark.parametrize("allocation", ["global", "uniform", "erk", "er"])
@pytest.mark.parametrize("pattern", ["conv.weight", "conv", "c*", "?onv.weight"])
def test_spared_layers_are_outside_the_request(allocation: str, pattern: str) -> None:
    groups = allocate([CONVOLUTION, HEAD], 0.8, spec(allocation, 0.8, spared=(pattern,)))
    assert groups == [LayerGroup(("head.weight",), 12), LayerGroup(("conv.weight",), 0)]


def test_an_unknown_allocation_lists_the_valid_ones() -> None:
    with pytest.raises(
        ValueError, match=r"must be one of global, uniform, erk, er, explicit, got None"
    ):
        allocate([HEAD], 0.5, SparsitySpec(method="gmp", target=0.5))


PROBLEMS = {
    "unknown spared": (
        spec("erk", spared=("head", "fc.*")),
        "sparsity.spared",
        ["`conv.weight`", "'fc.*'"],
    ),
    "all spared": (
        spec("global", spared=("*",)),
        "sparsity.spared",
        ["a layer to prune", "`head.weight` spared"],
    ),
    "nothing given": (
        spec("explicit"),
        "sparsity.layers",
        ["`explicit` needs", "`conv.weight`, `head.weight`"],
    ),
    "unknown explicit": (
        spec("explicit", layers=(("*", 0.5), ("fc", 0.9))),
        "sparsity.layers",
        ["the first that matches", "`conv.weight`, `head.weight`", "got 'fc'"],
    ),
    "hidden explicit": (
        spec("explicit", layers=(("*", 0.5), ("conv", 0.9))),
        "sparsity.layers",
        ["got 'conv'"],
    ),
    "another target": (
        spec("explicit", layers=(("conv", 0.5), ("head", 0.9))),
        "sparsity.target",
        ["within 0.0005", "0.6176 would do", "got 0.5"],  # (18 + 13.5) / 51
    ),
    "another target of those not spared": (
        spec("explicit", spared=("conv",), layers=(("head", 0.9),)),
        "sparsity.target",
        ["0.9000 would do"],
    ),
}


@pytest.mark.parametrize(("given", "path", "words"), PROBLEMS.values(), ids=PROBLEMS)
def test_what_does_not_fit_the_layers_is_named(
    given: SparsitySpec, path: str, words: list[str]
) -> None:
    (problem,) = allocation_problems([CONVOLUTION, HEAD], given)
    assert problem.path == path
    assert all(word in str(problem) for word in words)


def test_uniform_may_not_spare_the_only_layer_by_its_own_rule() -> None:
    (problem,) = allocation_problems([CONVOLUTION], spec("uniform"))
    assert (problem.path, "`()` too" in problem.rule) == ("sparsity.spared", True)
    assert allocation_problems([CONVOLUTION], spec("uniform", spared=())) == []


@pytest.mark.parametrize(
    ("target", "fits"), [(0.6176, True), (0.6172, True), (0.6170, False), (0.6182, False)]
)
def test_the_value_that_would_do_does(target: float, fits: bool) -> None:
    given = spec("explicit", target, layers=(("conv", 0.5), ("head", 0.9)))
    assert (allocation_problems([CONVOLUTION, HEAD], given) == []) == fits
