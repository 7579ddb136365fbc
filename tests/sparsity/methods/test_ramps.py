import pytest

from sparsetune.sparsity.plans.ramps import cubic, exponential, linear, stepped
from sparsetune.spec.sparsity import RampSpec


@pytest.mark.parametrize(
    ("fraction", "expected"), [(0, 0), (0.5, 0.875 * 0.8), (0.9, 0.999 * 0.8), (1, 0.8)]
)
def test_cubic_by_hand(fraction: float, expected: float) -> None:
    assert cubic(fraction, RampSpec(), 0.8) == pytest.approx(expected)


def test_cubic_from_a_first_step() -> None:
    found = [cubic(k / 2, RampSpec(first=0.7), 0.9) for k in range(3)]
    assert found == pytest.approx([0.7, 0.875, 0.9])


def test_linear_by_hand() -> None:
    assert linear(0.3, RampSpec(), 0.5) == 0.15
    assert linear(0.5, RampSpec(first=0.6), 0.8) == pytest.approx(0.7)


def test_exponential_prunes_the_same_share_of_what_is_left() -> None:
    ramp = RampSpec(shape="exponential")
    kept = [1 - exponential(k / 4, ramp, 1 - 0.5**4) for k in range(5)]
    assert kept == pytest.approx([1, 0.5, 0.25, 0.125, 0.0625])
    half = exponential(0.5, RampSpec(shape="exponential", first=0.6), 0.9)
    assert 1 - half == pytest.approx((0.4 * 0.1) ** 0.5)


def test_stepped_by_hand() -> None:
    ramp = RampSpec(shape="stepped", levels=(0.5, 0.75))
    found = [stepped(fraction, ramp, 0.8) for fraction in (0, 0.3, 1 / 3, 0.6, 2 / 3, 0.99, 1)]
    assert found == pytest.approx([0, 0, 0.4, 0.4, 0.6, 0.6, 0.8])


def test_a_first_step_above_the_target_is_the_target() -> None:
    ramps = {cubic: "cubic", linear: "linear", exponential: "exponential"}
    for ramp, shape in ramps.items():
        assert ramp(0.0, RampSpec(shape=shape, first=0.7), 0.5) == 0.5
        assert ramp(0.5, RampSpec(shape=shape, first=0.7), 0.5) == 0.5
    assert stepped(0.5, RampSpec(shape="stepped", first=0.7, levels=(0.5,)), 0.6) == 0.6
