"""Writes the report of a study: one page that needs no network, with its figures and tables.

The page has the verdict first, then findings, figures and tables, and last their provenance.
"""

from __future__ import annotations

import os

from sparsetune.errors import SparsetuneError
from sparsetune.paths import Place, resolve_place
from sparsetune.storage import translating_write_errors, write_durably

from .estimates.threads import single_threaded_algebra
from .load import StudyResults, load
from .page.figure_export import MAX_FIGURES_WITHOUT_PROCESS, FigureExporter
from .page.study_tables import MAX_LISTED_TRIALS
from .page.writer import ReportWriter
from .tables.results import Results


def report(
    source: str | os.PathLike[str] | Place | Results,
    out: str | os.PathLike[str] | Place | None = None,
    *,
    salvage: bool = False,
) -> Place:
    """Write ``tables/``, ``figures/`` and ``report/index.html`` of a study or a table of runs.

    The study may be unfinished.

    Args:
        source: A study directory, or results.
        out: The folder to write into; by default the study directory.
        salvage: True to read a damaged ledger up to its first damage; see `analysis.load`.

    Returns:
        Path of the page.

    Raises:
        StudyDirectoryError: if ``source`` is no readable study directory.
        SparsetuneError: if results of no study directory come without ``out``.
        StorageError: if a file cannot be written.
    """
    if isinstance(source, Results):
        results = source
    else:
        results = load(source, compact=out is None, salvage=salvage)
    folder = _report_folder(results, out)
    page = folder / "report" / "index.html"
    # A large study has many figures, so the second process starts while its tables are made.
    is_large = len(results.trials()) > MAX_LISTED_TRIALS
    max_without_process = 0 if is_large else MAX_FIGURES_WITHOUT_PROCESS
    with (
        translating_write_errors(page),
        single_threaded_algebra(),
        FigureExporter(max_without_process) as exporter,
    ):
        writer = ReportWriter(results, folder, exporter)
        writer.write_study_tables()
        write_durably(page, writer.page_html())
    return page


def _report_folder(results: Results, out: str | os.PathLike[str] | Place | None) -> Place:
    """Folder to write into: ``out``, else the study directory.

    Raises:
        SparsetuneError: if there is neither.
    """
    if out is not None:
        return resolve_place(out)
    if isinstance(results, StudyResults):
        return results.directory.path
    raise SparsetuneError(
        "the report of results that are no study directory needs a folder: give `out`"
    )
