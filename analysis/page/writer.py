"""Writes one report into a folder: figures, tables, and the page that shows them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pandas as pd

from analysis.checks import checks
from analysis.exhibit import Exhibit
from analysis.load import StudyResults
from analysis.page import origin
from analysis.page.headlines import (
    headline_sentences,
    length_sentences,
    next_step_sentences,
    tuning_sentences,
)
from analysis.page.markup import to_csv, to_latex, to_markdown
from analysis.page.parts import CombinationPart, Section, ShownExhibit, drop_failed_figures
from analysis.page.printer import FigureExporter
from analysis.page.sections import (
    SECTIONS,
    Combination,
    cell_headings,
    combination_exhibits,
    combinations,
    comparison_exhibits,
    main_table,
    main_table_headings,
)
from analysis.page.table import PageTable, page_table
from analysis.page.template import render_page
from analysis.tables.results import Results
from analysis.tables.selection import report_rows
from sparsetune.paths import Place
from sparsetune.spec.columns import FINISHED_STATUSES

NO_VERDICT_TEXTS = {
    False: "No report trial has finished yet.",
    True: "No accuracy or score was measured, so there is no verdict; what was measured stands below.",
}
"""What the verdict says where there is none, by whether a report trial has finished."""
MAX_LISTED_TRIALS = 200
"""Trials up to which the page shows them in a table."""
TRIAL_HEADINGS = {
    "trial_id": "Trial",
    "arm": "Arm",
    "cell": "Cell",
    "role": "Role",
    "seed": "Seed",
    "status": "Status",
}
TRIAL_HEADINGS |= {
    "epoch": "Epochs",
    "val_loss": "Validation\nloss",
    "val_score": "Validation\nscore (%)",
}
TRIAL_HEADINGS |= {"test_score": "Test\nscore (%)"}
TROUBLED_HEADINGS = {
    name: TRIAL_HEADINGS[name] for name in ("trial_id", "cell", "role", "seed", "status")
}
TROUBLED_HEADINGS |= {"step": "Last step", "error": "Reason"}


class ReportWriter:
    """Writes one report into a folder.

    Args:
        results: What it is of.
        folder: Where ``figures/`` and ``tables/`` are.
        printer: Prints figures and writes files.
    """

    def __init__(self, results: Results, folder: Place, printer: FigureExporter) -> None:
        self.results = results
        self.folder = folder
        self.printer = printer
        self.drawn: set[str] = set()
        """Names of exhibits whose numbers are on the page already."""

    def tables(self) -> None:
        """``trials.csv``, ``history.csv`` and ``cells.csv``."""
        for name in ("trials", "history", "cells"):
            self.numbers(name, getattr(self.results, name)())

    def page_html(self) -> str:
        """The page as HTML, when all other files are written; whatever somebody may have named is escaped."""
        results = self.results
        trials = results.trials()
        cells = results.cells()
        findings = [self.combination_part(at) for at in combinations(results)]
        study = results.study if isinstance(results, StudyResults) else None
        command = origin.resume_command(results)
        found = pd.concat([part.numbers for part in findings]) if findings else pd.DataFrame()
        sections = list(
            self.sections()
        )  # what is drawn comes first: the second process then has something to do
        cells_table = self.cells_table()
        warnings = checks(results)
        self.numbers("findings", warnings)
        self.write("cells", cells_table)
        self.printer.finish()
        findings = list(map(drop_failed_figures, findings))
        sections = list(map(drop_failed_figures, sections))
        return render_page(
            design=results.design,
            study=study,
            nothing=NO_VERDICT_TEXTS[bool(report_rows(results)["status"].eq("COMPLETE").any())],
            status=trials["status"].value_counts().to_dict(),
            finished=bool(
                cells["finished"].all() and trials["status"].isin(FINISHED_STATUSES).all()
            ),
            unfinished=f"{cells['finished'].sum()} of {len(cells)} cells are finished",
            trials=len(trials),
            cells=len(cells),
            findings=findings,
            next=list(next_step_sentences(results, found, command)),
            warnings=warnings.to_dict("records"),
            unchecked=warnings.attrs["not_run"],
            sections=sections,
            cells_table=cells_table,
            counted=origin.weight_counts(trials),
            memory=origin.memory_table(results),
            trials_table=page_table(trials, TRIAL_HEADINGS)
            if len(trials) <= MAX_LISTED_TRIALS
            else None,
            troubled=self.troubled_table(trials),
            launches=origin.launch_table(results),
            source=origin.results_origin(results),
            command=origin.report_command(results),
            made=datetime.now(UTC),
        )

    def combination_part(self, at: Combination) -> CombinationPart:
        """The numbers of one combination, which also go into ``tables/summary``."""
        found = main_table(self.results, at)
        if not len(found):
            return CombinationPart(at.title)
        table = page_table(
            found, main_table_headings(at.y, found["epochs"].nunique() < 2), "sparsity"
        )
        self.write(f"summary{at.suffix}", table, found)
        leads = [
            self.write_exhibit(exhibit, at.suffix)
            for exhibit in comparison_exhibits(self.results, at.y, at.where)
        ]
        if leads and not self.results.design.lengths():
            self.drawn.add(f"{at.y}-sparsity")
        lines = [
            *length_sentences(self.results, at.where),
            *headline_sentences(self.results, found, at.y, at.where),
        ]
        lines += tuning_sentences(self.results, at.y, at.where)
        return CombinationPart(at.title, at.y, found, table, leads, lines=lines)

    def sections(self) -> Iterator[Section]:
        """Every heading under which there is something."""
        several = list(combinations(self.results))
        for title, analyses in SECTIONS.items():
            for at in several:
                shown = []
                lacking = []
                for found in combination_exhibits(self.results, at, analyses):
                    if not isinstance(found, Exhibit):
                        lacking.append(str(found))
                    elif found.name not in self.drawn:
                        shown.append(self.write_exhibit(found, at.suffix))
                if shown or lacking:
                    yield Section(": ".join(filter(None, [title, at.title])), shown, lacking)

    def write_exhibit(self, exhibit: Exhibit, suffix: str = "") -> ShownExhibit:
        """Write an exhibit's files; what the page shows of it."""
        name = f"{exhibit.name}{suffix}"
        table = page_table(exhibit.frame, exhibit.columns, "arm") if exhibit.columns else None
        if exhibit.draw is None:
            self.numbers(name, exhibit.frame)
            return ShownExhibit(name, exhibit.title, exhibit.caption, table=table)
        stem = self.folder / "figures" / name
        self.printer.write(stem.with_suffix(".csv"), lambda: exhibit.frame.to_csv(index=False))
        return ShownExhibit(
            name, exhibit.title, exhibit.caption, self.printer.order(exhibit.draw, stem), table
        )

    def write(self, name: str, table: PageTable, frame: pd.DataFrame | None = None) -> None:
        """A table for a manuscript, and its numbers."""
        folder = self.folder / "tables"
        self.printer.write(folder / f"{name}.md", lambda: to_markdown(table))
        self.printer.write(folder / f"{name}.tex", lambda: to_latex(table))
        if frame is not None:
            self.numbers(name, frame)

    def numbers(self, name: str, frame: pd.DataFrame) -> None:
        """A frame as ``tables/name.csv``."""
        self.printer.write(self.folder / "tables" / f"{name}.csv", lambda: to_csv(frame))

    def cells_table(self) -> PageTable:
        """One row per cell, with its winner."""
        cells = self.results.cells()
        pruned = report_rows(self.results).groupby("cell")["pruned_weights"].first()
        of = {
            name: cells[name].astype("string")
            for name in map(str, cells)
            if "configurations" in name or "report_" in name
        }
        added = cells["added"].fillna(False).astype(bool)
        shown = cells.assign(
            arm=cells["arm"].where(~added, cells["arm"] + " (control only)"),
            pruned=cells["cell"].map(pruned).map(lambda n: "" if pd.isna(n) else f"{n:,.0f}"),
            searched=of["configurations"] + " / " + of["configurations_asked"],
            reported=of["report_trials"] + " / " + of["report_trials_asked"],
            state=cells["finished"].map({True: "finished", False: "unfinished"}),
        )
        for name in ("stopped", "diverged", "failed"):
            shown[name] = cells[name].where(cells[name] > 0)
        return page_table(shown, cell_headings(self.results, cells), "arm")

    def troubled_table(self, trials: pd.DataFrame) -> PageTable | None:
        """Trials that diverged or failed."""
        rows = trials[trials["status"].isin(["DIVERGED", "FAILED", "INVALID"])]
        return page_table(rows, TROUBLED_HEADINGS) if len(rows) else None
