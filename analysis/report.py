"""The report: one page that needs no network. Verdict first, then findings, figures, tables, where they come from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from analysis.load import StudyResults, load
from analysis.page.printer import AT_ONCE, FigureExporter
from analysis.page.writer import MAX_LISTED_TRIALS, ReportWriter
from analysis.tables.results import Results
from sparsetune.errors import SparsetuneError
from sparsetune.paths import Place, resolve_place
from sparsetune.storage import translating_write_errors, write_durably


def report(
    source: str | os.PathLike[str] | Place | Results,
    out: str | os.PathLike[str] | Place | None = None,
) -> Place:
    """Write ``tables/``, ``figures/`` and ``report/index.html`` of a study, finished or not, or of anybody's runs.

    Args:
        source: A study directory, or results.
        out: The folder to write into; by default the study directory.

    Returns:
        The page.

    Raises:
        StudyDirectoryError: if it is no readable study directory.
        SparsetuneError: if results of no study directory come without ``out``.
        StorageError: if it cannot be written.
    """
    results = source if isinstance(source, Results) else load(source, compact=out is None)
    if out is None and not isinstance(results, StudyResults):
        raise SparsetuneError(
            "the report of results that are no study directory needs a folder: give `out`"
        )
    folder = resolve_place(out) if out is not None else results.directory.path  # type: ignore[attr-defined]
    page = folder / "report" / "index.html"
    with (
        translating_write_errors(page),
        single_threaded_algebra(),
        FigureExporter(0 if len(results.trials()) > MAX_LISTED_TRIALS else AT_ONCE) as printer,
    ):
        writer = ReportWriter(results, folder, printer)
        writer.tables()
        write_durably(page, writer.page_html())
    return page


@contextmanager
def single_threaded_algebra() -> Iterator[None]:
    """Linear algebra on one thread: here matrices are small, and threads that wait for each other cost a third more."""
    from scipy import linalg  # noqa: F401  # what is loaded later would not be limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
