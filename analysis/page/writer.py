"""Writes one report into a folder: figures, tables, and the page that shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from sparsetune.errors import SparsetuneError
from sparsetune.paths import Place
from sparsetune.spec.columns import FINISHED_STATUSES

from ..answers.answers import Answers, answers
from ..answers.exhibits import answer_exhibit, question_exhibit
from ..answers.groups import AnswerGroup, answer_groups
from ..answers.page_sentences import write_on_page
from ..catalogue import write
from ..checks import checks
from ..curves.exhibits import comparison_exhibits
from ..drawing.line_styles import numbered_arms, sparse_arms
from ..exhibit import Exhibit
from ..lengths.extension import tolerance_text
from ..load import StudyResults
from ..tables.csv import csv_bytes, csv_text
from ..tables.foreign import TableResults
from ..tables.results import Results
from .figure_export import FigureExporter
from .markup import to_latex, to_markdown
from .network_names import NetworkNames
from .opening.notes import finding_notes, place_notes
from .opening.screen import first_screen, no_warning, notes_at_figures
from .origin import (
    launch_table,
    memory_table,
    reading_table,
    results_origin,
)
from .parts import (
    CombinationPart,
    QuestionPart,
    Section,
    ShownExhibit,
    drop_failed_figures,
    share_sentences,
    tell_once,
)
from .sections import (
    SECTIONS,
    Combination,
    MeasureExhibits,
    combination_exhibits,
    combinations,
    fault_sentence,
    not_shown,
)
from .study_tables import (
    cells_table,
    failed_trials_table,
    main_table_columns,
    main_table_frame,
    trials_table,
)
from .table import PageTable, page_table
from .template import render_page
from .texts import (
    cell_sentences,
    check_sentences,
    finding_rows,
    memory_sentences,
    open_runs,
    origin_sentences,
    summary_sentences,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_ANSWERS = Answers("", (), (), (), ())
"""Answers of results that none can be given of."""


class ReportWriter:
    """Writes one report into a folder.

    Args:
        results: The study.
        folder: Folder that gets ``figures/`` and ``tables/``.
        exporter: Renders figures and writes files.
        sections: Analyses by the heading that their exhibits stand under.
    """

    def __init__(
        self,
        results: Results,
        folder: Place,
        exporter: FigureExporter,
        sections: Mapping[str, tuple[MeasureExhibits, ...]] = SECTIONS,
    ) -> None:
        self._results = results
        self._folder = folder
        self._exporter = exporter
        self._names = NetworkNames(results)
        self._sections = sections
        self._arms = sparse_arms(results.cells())
        # Exhibits whose numbers stand on the page already.
        self._shown_elsewhere: set[str] = set()

    def write_study_tables(self) -> None:
        """Write ``trials.csv``, ``history.csv`` and ``cells.csv``; of a table ``reading.csv``."""
        self._write_csv("trials", self._results.trials())
        self._write_csv("history", self._results.history())
        self._write_csv("cells", self._results.cells())
        if isinstance(self._results, TableResults):
            self._write_csv("reading", self._results.reading)

    def page_html(self) -> str:
        """Write every other file, and return the page as HTML, foreign text escaped."""
        results = self._results
        found, groups, faults = self._answers()
        first = answer_exhibit(results, groups)
        answer = Section("", [self._show(first, "")] if first else [], faults)
        question_parts = [self._question_part(group, first) for group in groups]
        questions = [part for part in question_parts if part.shown or not part.is_open]
        parts = [self._combination_part(at) for at in combinations(results)]
        # Figures are ordered before the checks run: the second process renders them meanwhile.
        sections = list(self._exhibit_sections())
        cells = cells_table(results, self._names)
        findings = checks(results)
        self._write_csv("findings", findings)
        self._write_csv("answers", found.frame())
        self._write_table("cells", cells)
        self._exporter.finish()
        # From here on every figure is rendered, or known to have failed.
        answer = drop_failed_figures(answer)
        questions = tell_once([drop_failed_figures(part) for part in questions])
        parts = [drop_failed_figures(part) for part in parts]
        sections = [share_sentences(drop_failed_figures(section)) for section in sections]
        explored = [shown for part in parts for shown in part.shown]
        explored += [shown for section in sections for shown in section.shown]
        every_note = finding_notes(findings)
        screen = first_screen(results, found, groups, every_note)
        notes = notes_at_figures(screen, every_note)
        trials = results.trials()
        all_cells = results.cells()
        are_trials_finished = trials["status"].isin(FINISHED_STATUSES).all()
        is_finished = bool(all_cells["finished"].all() and are_trials_finished)
        origin = results_origin(results)
        has_summary = any(part.table for part in parts)
        every_exhibit = [
            *answer.shown,
            *(shown for part in questions for shown in part.shown),
            *explored,
        ]
        names = [shown.name for shown in every_exhibit]
        figures = {each.name: each.interactive for each in every_exhibit}
        return render_page(
            figures={name: figure.panels for name, figure in figures.items() if figure},
            design=results.design,
            study=results.study if isinstance(results, StudyResults) else None,
            screen=screen,
            answer=answer,
            questions=questions,
            notes=place_notes(notes, names),
            no_step=write_on_page("no_step"),
            no_warning=no_warning(every_note),
            later=write_on_page("open_later"),
            exploration=write_on_page("exploration"),
            open_runs=None if is_finished else open_runs(results),
            trials=len(trials),
            findings=[
                (part, list(summary_sentences(results, part))) for part in parts if part.table
            ],
            warnings=list(finding_rows(findings)),
            no_finding=write("checks_none"),
            about_checks=list(check_sentences(results, findings.attrs["not_run"])),
            sections=sections,
            cells_table=cells,
            about_cells=list(cell_sentences(results)),
            memory=memory_table(results),
            about_memory=memory_sentences(),
            trials_table=trials_table(results, self._names),
            troubled=failed_trials_table(self._names.in_words(trials)),
            launches=launch_table(results),
            origin=list(origin_sentences(results, origin, has_summary=has_summary)),
            reading=reading_table(results),
            decisions=origin.notes,
        )

    def _answers(self) -> tuple[Answers, list[AnswerGroup], list[str]]:
        """The answers, by kind too, and sentences on what kept them from the page."""
        try:
            found = answers(self._results)
        except SparsetuneError as error:
            return NO_ANSWERS, [], [str(not_shown(error))]
        except Exception as error:
            # Days of training must not end without a page.
            return NO_ANSWERS, [], [str(fault_sentence("answers", error))]
        for name, text in (("md", found.markdown), ("tex", found.latex)):
            self._exporter.write(self._folder / "tables" / f"answers.{name}", text)
        return found, answer_groups(found.answers), []

    def _question_part(self, group: AnswerGroup, first: Exhibit | None) -> QuestionPart:
        """The section on one kind of question."""
        exhibit = question_exhibit(self._results, group, first)
        shown = [self._show(exhibit, "")] if exhibit else []
        return QuestionPart(group.heading(), group.meaning(), group.is_before, group.is_open, shown)

    def _combination_part(self, at: Combination) -> CombinationPart:
        """Means of one combination, whose main table goes into ``tables/summary``."""
        results = self._results
        numbers = main_table_frame(results, at.y, at.where)
        if numbers.empty:
            return CombinationPart(at.title)
        has_one_length = numbers["epochs"].nunique() < 2
        columns = main_table_columns(results.measure(at.y), has_one_length)
        table = page_table(self._names.in_words(numbers), columns, "sparsity")
        self._write_table(f"summary{at.suffix}", table)
        self._write_csv(f"summary{at.suffix}", numbers)
        exhibits = comparison_exhibits(results, at.y, at.where)
        shown = [self._show(exhibit, at.suffix) for exhibit in exhibits]
        if shown and not results.design.lengths():
            # Without lengths, the comparison shows the same means as the curve over sparsity.
            self._shown_elsewhere.add(f"{at.y}-sparsity")
        has_gains = numbers["gain"].notna().any()
        tolerance = tolerance_text(results, at.y, at.where) if has_gains else ""
        return CombinationPart(at.title, at.y, numbers, table, shown, tolerance=tolerance)

    def _exhibit_sections(self) -> Iterator[Section]:
        """Every section that has something to show, or to say that it lacks."""
        every_combination = list(combinations(self._results))
        for title, analyses in self._sections.items():
            for at in every_combination:
                shown = []
                lacking = []
                for found in combination_exhibits(self._results, at, analyses):
                    if not isinstance(found, Exhibit):
                        lacking.append(str(found))
                    elif found.name not in self._shown_elsewhere:
                        shown.append(self._show(found, at.suffix))
                if shown or lacking:
                    heading = f"{title}: {at.title}" if at.title else title
                    yield Section(heading, shown, lacking)

    def _show(self, exhibit: Exhibit, suffix: str) -> ShownExhibit:
        """Write an exhibit's files, and return what the page shows of it."""
        name = f"{exhibit.name}{suffix}"
        table = None
        if exhibit.columns:
            table = page_table(self._names.in_words(exhibit.frame), exhibit.columns, "arm")
        if exhibit.draw is None:
            # The numbers of a table alone lie with the other tables, not with the figures.
            self._write_csv(name, exhibit.frame)
            return ShownExhibit(name, exhibit.title, exhibit.caption, table=table)
        stem = self._folder / "figures" / name
        self._exporter.write(stem.with_suffix(".csv"), lambda: csv_text(exhibit.frame))
        job = self._exporter.order(partial(_draw_numbered, exhibit.draw, self._arms), stem)
        return ShownExhibit(name, exhibit.title, exhibit.caption, job, table)

    def _write_table(self, name: str, table: PageTable) -> None:
        """Write a table for a manuscript, as ``tables/name.md`` and ``tables/name.tex``."""
        folder = self._folder / "tables"
        self._exporter.write(folder / f"{name}.md", lambda: to_markdown(table))
        self._exporter.write(folder / f"{name}.tex", lambda: to_latex(table))

    def _write_csv(self, name: str, frame: pd.DataFrame) -> None:
        """Write a frame as ``tables/name.csv``."""
        path = self._folder / "tables" / f"{name}.csv"
        self._exporter.write(path, lambda: csv_bytes(frame))


def _draw_numbered(draw: Callable[[], Figure], arms: Sequence[str]) -> Figure:
    """Draw a figure in which arms have the hues that they have in every figure of the report."""
    with numbered_arms(arms):
        return draw()
