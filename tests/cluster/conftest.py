"""Fixtures of these tests: no Ray is started."""

from tests.half_done import half_done, quiet

__all__ = ["half_done", "quiet"]
