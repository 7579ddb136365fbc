"""Checks of your own methods, scores, ramps and allocations: they pass what built-in ones pass.

Each check raises an AssertionError with a sentence, as an assertion of a test does.
"""

from sparsetune.sparsity.contracts import (
    check_allocation,
    check_ramp,
    check_score,
    made_context,
)
from sparsetune.sparsity.method_contracts import check_method

__all__ = ["check_allocation", "check_method", "check_ramp", "check_score", "made_context"]
