"""Checks of your own scores, ramps and allocations: they pass what the built-in ones pass.

Each check raises an AssertionError with a sentence, as an assertion of a test does.
"""

from sparsetune.sparsity.contracts import (
    check_allocation,
    check_ramp,
    check_score,
    made_context,
)

__all__ = ["check_allocation", "check_ramp", "check_score", "made_context"]
