from sparsetune.sparsity.allocation import Group, Layer, global_, uniform

CONVOLUTION, HEAD = Layer("conv", (4, 1, 3, 3)), Layer("head", (5, 3))


def test_global_prunes_the_rounded_total() -> None:
    assert global_([CONVOLUTION, HEAD], 0.9) == [Group(("conv", "head"), 46)]  # 0.9 * 51 = 45.9


def test_uniform_rounds_each_layer_and_spares_a_first_convolution() -> None:
    assert uniform([CONVOLUTION, HEAD], 0.5) == [Group(("conv",), 0), Group(("head",), 8)]  # 7.5 up
    assert uniform([HEAD, CONVOLUTION], 0.5) == [Group(("head",), 8), Group(("conv",), 18)]
