"""Seeds: all randomness of a trial is a function of its seed and its purpose, never of order.

Global generators are those of Python, numpy and torch. Of numpy and torch only what is imported
already is touched: this module imports neither.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

IMPORT_SEED = 67280421310721
"""Seed of the global generators while a user's module is imported: torch's own in a new process."""


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A seed in [0, 2^63) for one purpose, unrelated to those of other purposes or seeds."""
    text = ":".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def seed_generators(seed: int) -> None:
    """Seed every global generator.

    Args:
        seed: In [0, 2^63).
    """
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed % 2**32)  # it takes no larger ones
    if torch := _torch():
        torch.manual_seed(seed)


@dataclass(frozen=True)
class GeneratorStates:
    """States of the global generators.

    Args:
        python: Of Python's `random`.
        numpy: Of numpy's legacy generator; None where numpy was not imported.
        torch: Of torch on the CPU, a tensor; None where torch was not imported.
        cuda: Of torch on every GPU, tensors; empty where CUDA was not used.
    """

    python: tuple[Any, ...]
    numpy: tuple[Any, ...] | None
    torch: Any
    cuda: tuple[Any, ...]

    @classmethod
    def now(cls) -> GeneratorStates:
        """The states as they are."""
        numpy = sys.modules.get("numpy")
        torch = _torch()
        return cls(
            python=random.getstate(),
            numpy=numpy.random.get_state() if numpy else None,
            torch=torch.get_rng_state() if torch else None,
            cuda=tuple(torch.cuda.get_rng_state_all()) if torch and _uses_cuda(torch) else (),
        )

    def restore(self) -> None:
        """Set the generators to these states."""
        random.setstate(self.python)
        if self.numpy is not None:
            sys.modules["numpy"].random.set_state(self.numpy)
        if self.torch is not None:
            torch: Any = sys.modules["torch"]
            torch.set_rng_state(self.torch)
            if self.cuda:
                torch.cuda.set_rng_state_all(list(self.cuda))

    def equal_to(self, other: GeneratorStates) -> list[str]:
        """Names of the generators whose state is the same in others."""
        same = []
        if self.python == other.python:
            same.append("random")
        if self.numpy is not None and other.numpy is not None:
            keys, *rest = self.numpy[1:]
            other_keys, *other_rest = other.numpy[1:]
            if rest == other_rest and (keys == other_keys).all():
                same.append("numpy.random")
        if self.torch is not None and other.torch is not None and self.torch.equal(other.torch):
            same.append("torch")
        return same


@contextmanager
def seeded_generators(seed: int) -> Iterator[None]:
    """Seed every global generator, and put their states back at the end."""
    before = GeneratorStates.now()
    seed_generators(seed)
    try:
        yield
    finally:
        before.restore()


def _torch() -> Any:
    """The module, where it is imported and not just being so; else None."""
    module = sys.modules.get("torch")
    return module if hasattr(module, "get_rng_state") else None


def _uses_cuda(torch: Any) -> bool:
    return bool(torch.cuda.is_available() and torch.cuda.is_initialized())
