"""Work on several cells at once, with linear algebra on one thread each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

MAX_THREADS = 4
"""Threads at most; each may hold some ten megabytes of draws."""

Part = TypeVar("Part")
Found = TypeVar("Found")


def map_on_threads(work: Callable[[Part], Found], parts: Iterable[Part]) -> list[Found]:
    """Results of a function for each part, in their order.

    Args:
        work: Called in several threads at once; what it returns may depend on its part alone.
        parts: What it is called with.
    """
    count = min(MAX_THREADS, os.cpu_count() or 1)
    with single_threaded_algebra(), ThreadPoolExecutor(count) as threads:
        return list(threads.map(work, parts))


@contextmanager
def single_threaded_algebra() -> Iterator[None]:
    """Run linear algebra on one thread inside the ``with`` block.

    Matrices are small here; threads that wait for each other take a third longer in a report, and
    six times as long in `sample_effects` alone.
    """
    # Imported first: the limit does not hold for libraries that are loaded later.
    from scipy import linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
