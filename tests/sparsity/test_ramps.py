import pytest

from sparsetune.sparsity.ramps import cubic, linear


@pytest.mark.parametrize(("fraction", "expected"), [(0, 0), (0.5, 0.875), (0.9, 0.999), (1, 1)])
def test_cubic_ramp_by_hand(fraction: float, expected: float) -> None:
    assert cubic(fraction) == pytest.approx(expected)


def test_linear_ramp_is_the_fraction() -> None:
    assert linear(0.3) == 0.3
