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
HEAD = Layer("head.weight", (5, 3))  # 36 and 15 weights


def spec(allocation: str, target: float = 0.5, **fields: object) -> SparsitySpec:
    return SparsitySpec(method="gmp", target=target, allocation=allocation, **fields)


def counts(
    layers: list[Layer], given: SparsitySpec, sparsity: float | None = None
) -> dict[str, int]:
    """Pruned weights by the names of a group, joined."""
    groups = allocate(layers, given.target if sparsity is None else sparsity, given)
    return {" ".join(group.names): group.pruned for group in groups}


def test_global_prunes_the_rounded_total() -> None:
    assert allocate([CONVOLUTION, HEAD], 0.9, spec("global")) == [
        LayerGroup(("conv.weight", "head.weight"), 46)
    ]  # 45.9


def test_uniform_rounds_each_layer_and_spares_a_first_convolution() -> None:
    assert counts([CONVOLUTION, HEAD], spec("uniform")) == {
        "conv.weight": 0,
        "head.weight": 8,
    }  # 7.5 up
    assert counts([HEAD, CONVOLUTION], spec("uniform")) == {"head.weight": 8, "conv.weight": 18}
    assert counts([CONVOLUTION, HEAD], spec("uniform", spared=())) == {
        "conv.weight": 18,
        "head.weight": 8,
    }


def test_erdos_renyi_by_hand() -> None:
    """Weights 200 and 400, of which 300 are kept in proportion to n_in + n_out = 30 and 50: 112.5 and 187.5."""
    layers = [Layer("a", (10, 20)), Layer("b", (10, 40))]
    assert counts(layers, spec("er")) == {"a": 88, "b": 213}  # 87.5 and 212.5
    assert counts(layers, spec("erk")) == counts(
        layers, spec("er")
    )  # without kernels they are the same


def test_kernels_count_in_erk_only() -> None:
    """Weights 1,600 and 900, of which 250 are kept: ERK by 40 + 40 and 10 + 10 + 3 + 3, ER by 80 and 20 * 9."""
    layers = [Layer("linear", (40, 40)), Layer("kernel", (10, 10, 3, 3))]
    kept = {"erk": (80 / 106 * 250, 26 / 106 * 250), "er": (80 / 260 * 250, 180 / 260 * 250)}
    for name, (linear, kernel) in kept.items():
        assert counts(layers, spec(name, 0.9)) == {
            "linear": round(1600 - linear),
            "kernel": round(900 - kernel),
        }


def test_a_layer_whose_density_passes_1_is_dense_and_the_rest_is_solved_again() -> None:
    """Of 6 + 100 weights 53 are kept by sums 5 and 20: 10.6 of the 6. Then the other layer keeps 47."""
    small = Layer("small", (2, 3))
    large = Layer("large", (10, 10))
    assert counts([small, large], spec("erk")) == {"small": 0, "large": 53}


def test_another_layer_may_pass_1_only_when_the_rest_is_solved_again() -> None:
    """113 of 10 + 16 + 400 weights are kept, by 11, 8 and 40: 21.1 of `a`, 15.3 of `b`; without `a` 17.2 of `b`."""
    a = Layer("a", (1, 10))
    b = Layer("b", (4, 4))
    c = Layer("c", (20, 20))
    assert counts([a, b, c], spec("erk", 313 / 426)) == {"a": 0, "b": 0, "c": 313}


SMALL = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=5)


@given(shapes=SMALL, sparsity=st.floats(0, 0.999))
def test_the_dense_layers_of_erk_are_the_only_ones_that_solve_it(
    shapes: list[tuple[int, int]], sparsity: float
) -> None:
    """Every set of dense layers is tried: right is one where its layers pass 1, and no other does, at one scale."""
    layers = [Layer(f"layer{i}", shape) for i, shape in enumerate(shapes)]
    found = set()
    for dense in (set(some) for n in range(len(layers)) for some in combinations(layers, n)):
        others = [layer for layer in layers if layer not in dense]
        left = (1 - Fraction(sparsity)) * sum(x.weights for x in layers) - sum(
            x.weights for x in dense
        )
        scale = left / sum(sum(layer.shape) for layer in others)
        kept = {layer: scale * sum(layer.shape) for layer in layers}
        if all(0 <= kept[x] <= x.weights for x in others) and all(
            kept[x] >= x.weights for x in dense
        ):
            found.add(
                tuple(
                    0 if x in dense else round_half_up(float(x.weights - kept[x])) for x in layers
                )
            )
    assert found == {
        tuple(group.pruned for group in allocate(layers, sparsity, spec("erk", sparsity)))
    }


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
