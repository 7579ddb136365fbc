"""The report: one page that needs no network. Verdict first, then findings, figures, tables, where they come from."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import pandas as pd

from analysis.checks import checks
from analysis.exhibit import Exhibit
from analysis.lengths.extension import extension_gain
from analysis.load import StudyResults, load
from analysis.page import origin
from analysis.page.headlines import headlines, lengths_needed, recipes, what_next
from analysis.page.interactive import Interactive
from analysis.page.markup import latex, markdown
from analysis.page.printer import AT_ONCE, Order, Printer
from analysis.page.sections import (
    SECTIONS,
    Combination,
    cell_columns,
    combinations,
    exhibits,
    fault,
    lead,
    number_columns,
    numbers,
)
from analysis.page.table import PageTable, page_table
from analysis.results import Results
from analysis.select import report_rows
from sparsetune.errors import SparsetuneError
from sparsetune.places import Place, place
from sparsetune.store import write_durably, writing
from sparsetune.tables import FINISHED

FEW = 200
"""Trials up to which the page shows them in a table."""
TRIALS = {"trial_id": "Trial", "arm": "Arm", "cell": "Cell", "role": "Role", "seed": "Seed", "status": "Status"}
TRIALS |= {"epoch": "Epochs", "val_loss": "Validation\nloss", "val_score": "Validation\nscore (%)"}
TRIALS |= {"test_score": "Test\nscore (%)"}
TROUBLED = {name: TRIALS[name] for name in ("trial_id", "cell", "role", "seed", "status")}
TROUBLED |= {"step": "Last step", "error": "Reason"}


@dataclass(frozen=True)
class Shown:
    """An exhibit on the page: the drawing and what makes it interactive, or a table."""

    name: str
    title: str
    caption: str
    order: Order | None = None
    table: PageTable | None = None

    @property
    def svg(self) -> str:
        """As it goes into a page; empty for a table."""
        whole = self.order.result().files["svg"].decode() if self.order else ""
        return whole[whole.find("<svg") :]

    @property
    def interactive(self) -> Interactive | None:
        """What makes it interactive, where it can be."""
        return self.order.result().interactive if self.order else None

    @property
    def width(self) -> int:
        """In pixels."""
        return self.order.result().width if self.order else 0

    @property
    def height(self) -> int:
        """Of a panel, in pixels."""
        found = self.order.result() if self.order else None
        live = found.interactive if found else None
        rows = -(-len(live.panels) // live.columns) if live else 1
        return max(260, min(420, found.height // rows)) if found else 0


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it, and why something does not."""

    title: str
    shown: Sequence[Shown] = ()
    lacking: Sequence[str] = ()


@dataclass(frozen=True)
class Finding:
    """What one combination showed, in a table; a comparison of arms comes before it."""

    title: str
    measure: str = ""
    numbers: pd.DataFrame = field(default_factory=pd.DataFrame)
    table: PageTable | None = None
    shown: Sequence[Shown] = ()
    lacking: Sequence[str] = ()
    lines: Sequence[str] = ()


Part = TypeVar("Part", Section, Finding)


def report(
    source: str | os.PathLike[str] | Place | Results, out: str | os.PathLike[str] | Place | None = None
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
        raise SparsetuneError("the report of results that are no study directory needs a folder: give `out`")
    folder = place(out) if out is not None else results.directory.path  # type: ignore[attr-defined]
    page = folder / "report" / "index.html"
    with writing(page), one_thread(), Printer(0 if len(results.trials()) > FEW else AT_ONCE) as printer:
        writer = Writer(results, folder, printer)
        writer.tables()
        write_durably(page, writer.page())
    return page


@contextmanager
def one_thread() -> Iterator[None]:
    """Linear algebra on one thread: here matrices are small, and threads that wait for each other cost a third more."""
    from scipy import linalg  # noqa: F401  # what is loaded later would not be limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


def csv(frame: pd.DataFrame) -> bytes:
    """A frame as CSV, by the fast writer; frames that it cannot write, by the slow one."""
    import pyarrow as pa
    import pyarrow.csv

    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        sink = pa.BufferOutputStream()
        pyarrow.csv.write_csv(table, sink, pyarrow.csv.WriteOptions(quoting_style="needed"))
        return bytes(sink.getvalue())
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return frame.to_csv(index=False).encode()


class Writer:
    """Writes one report into a folder.

    Args:
        results: What it is of.
        folder: Where ``figures/`` and ``tables/`` are.
        printer: Prints figures and writes files.
    """

    def __init__(self, results: Results, folder: Place, printer: Printer) -> None:
        self.results, self.folder, self.printer = results, folder, printer
        self.drawn: set[str] = set()
        """Names of exhibits whose numbers are on the page already."""

    def tables(self) -> None:
        """``trials.csv``, ``history.csv`` and ``cells.csv``."""
        for name in ("trials", "history", "cells"):
            self.numbers(name, getattr(self.results, name)())

    def page(self) -> str:
        """The page as HTML, when all other files are written; whatever somebody may have named is escaped."""
        results = self.results
        trials, cells = results.trials(), results.cells()
        findings = [self.finding(at) for at in combinations(results)]
        study = results.study if isinstance(results, StudyResults) else None
        command = origin.resuming(results)
        found = pd.concat([part.numbers for part in findings]) if findings else pd.DataFrame()
        cells_table, warnings = self.cells_table(), checks(results)
        self.numbers("findings", warnings)
        self.write("cells", cells_table)
        sections = list(self.sections())
        self.printer.finish()
        findings, sections = list(map(printable, findings)), list(map(printable, sections))
        template = _environment().get_template("page.html.jinja")
        page: str = template.render(
            design=results.design,
            study=study,
            status=trials["status"].value_counts().to_dict(),
            finished=bool(cells["finished"].all() and trials["status"].isin(FINISHED).all()),
            unfinished=f"{cells['finished'].sum()} of {len(cells)} cells are finished",
            trials=len(trials),
            cells=len(cells),
            findings=findings,
            next=list(what_next(results, found, command)),
            warnings=warnings.to_dict("records"),
            unchecked=warnings.attrs["not_run"],
            sections=sections,
            cells_table=cells_table,
            counted=origin.counted(trials),
            memory=origin.memory(results),
            trials_table=page_table(trials, TRIALS) if len(trials) <= FEW else None,
            troubled=self.troubled(trials),
            launches=origin.launches(results),
            source=origin.source(results),
            command=origin.command(results),
            made=datetime.now(UTC),
            **scripts(),
        )
        return page

    def finding(self, at: Combination) -> Finding:
        """The numbers of one combination, which also go into ``tables/summary``."""
        found = numbers(self.results, at)
        if not len(found):
            return Finding(at.title)
        table = page_table(found, number_columns(at.y, found["epochs"].nunique() < 2), "sparsity")
        self.write(f"summary{at.suffix}", table, found)
        gains = extension_gain(self.results, at.y, where=at.where)
        leads = [self.show(exhibit, at.suffix) for exhibit in lead(self.results, at.y, at.where)]
        if leads and not self.results.design.lengths():
            self.drawn.add(f"{at.y}-sparsity")
        lines = [*lengths_needed(self.results, at.where), *headlines(found, gains, at.y)]
        lines += recipes(self.results, at.y, at.where)
        return Finding(at.title, at.y, found, table, leads, lines=lines)

    def sections(self) -> Iterator[Section]:
        """Every heading under which there is something."""
        several = list(combinations(self.results))
        for title, analyses in SECTIONS.items():
            for at in several:
                shown, lacking = [], []
                for found in exhibits(self.results, at, analyses):
                    if not isinstance(found, Exhibit):
                        lacking.append(str(found))
                    elif found.name not in self.drawn:
                        shown.append(self.show(found, at.suffix))
                if shown or lacking:
                    yield Section(": ".join(filter(None, [title, at.title])), shown, lacking)

    def show(self, exhibit: Exhibit, suffix: str = "") -> Shown:
        """Write an exhibit's files; what the page shows of it."""
        name = f"{exhibit.name}{suffix}"
        table = page_table(exhibit.frame, exhibit.columns, "arm") if exhibit.columns else None
        if exhibit.draw is None:
            self.numbers(name, exhibit.frame)
            return Shown(name, exhibit.title, exhibit.caption, table=table)
        stem = self.folder / "figures" / name
        self.printer.write(stem.with_suffix(".csv"), lambda: exhibit.frame.to_csv(index=False))
        return Shown(name, exhibit.title, exhibit.caption, self.printer.order(exhibit.draw, stem), table)

    def write(self, name: str, table: PageTable, frame: pd.DataFrame | None = None) -> None:
        """A table for a manuscript, and its numbers."""
        folder = self.folder / "tables"
        self.printer.write(folder / f"{name}.md", lambda: markdown(table))
        self.printer.write(folder / f"{name}.tex", lambda: latex(table))
        if frame is not None:
            self.numbers(name, frame)

    def numbers(self, name: str, frame: pd.DataFrame) -> None:
        """A frame as ``tables/name.csv``."""
        self.printer.write(self.folder / "tables" / f"{name}.csv", lambda: csv(frame))

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
        return page_table(shown, cell_columns(self.results, cells), "arm")

    def troubled(self, trials: pd.DataFrame) -> PageTable | None:
        """Trials that diverged or failed."""
        rows = trials[trials["status"].isin(["DIVERGED", "FAILED", "INVALID"])]
        return page_table(rows, TROUBLED) if len(rows) else None


def printable(part: Part) -> Part:
    """What can be shown of a part, and why the rest cannot: days of training must not end without a page."""
    shown, lacking = [], list(part.lacking)
    for one in part.shown:
        try:
            if one.order:
                one.order.result()
            shown.append(one)
        except Exception as error:
            lacking.append(str(fault(one.title, error)))
    return replace(part, shown=shown, lacking=lacking)


def scripts() -> dict[str, Any]:
    """The page's style and scripts, and the policy that lets these run and nothing else, nor ask any network."""
    from importlib.resources import files

    from plotly.offline import get_plotlyjs

    own = {name: (files("analysis") / "page" / name).read_text() for name in ("page.css", "page.js")}
    # Never written into the page as they are: what a parser of HTML, or a reader who looks for links, could act on.
    code = [get_plotlyjs().replace("</script", "<\\/script"), own["page.js"]]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in code]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src {allowed}"
    return {"style": own["page.css"], "scripts": code, "policy": policy}


def as_json(value: Any) -> str:
    """JSON that may stand in a script of a page, whatever text is in it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _environment() -> Any:
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    from sparsetune.memory import in_words

    environment = Environment(
        loader=PackageLoader("analysis", "page"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"html": Markup, "json": lambda given: Markup(as_json(given)), "bytes": in_words}
    return environment
