"""Decimals that numbers were written with, which tell rounded numbers and copies from others."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

MAX_DECIMALS = 6
"""Decimals beyond which a number is not a rounded one."""
ROUNDING_TOLERANCE = 1e-9

Floats = NDArray[np.float64]


def significant_digits(value: float) -> int:
    """Significant digits of a finite number's shortest decimal form."""
    return len(Decimal(repr(float(value))).normalize().as_tuple().digits)


def decimals(value: float) -> int:
    """Decimals of a finite number's shortest decimal form, at least 0."""
    exponent = Decimal(repr(float(value))).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def is_multiple(values: Floats, unit: float) -> NDArray[np.bool_]:
    """True for values that are whole multiples of a unit, but for rounding."""
    ratio = values / unit
    return np.abs(ratio - np.round(ratio)) < ROUNDING_TOLERANCE / unit
