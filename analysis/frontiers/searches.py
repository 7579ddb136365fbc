"""Searches replayed over a record: regret of what they choose against the epochs they train."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from sparsetune.errors import SparsetuneError
from sparsetune.paths import Place
from sparsetune.storage import StudyDirectory, translating_write_errors, write_durably
from sparsetune.storage.checks import read_json
from sparsetune.study import Study

from ..catalogue import paragraph, write
from ..catalogue.template import Sentence
from ..drawers import draw
from ..drawing.files import render_files
from ..load import StudyResults, load
from ..measure import Measure
from ..notebook import Shown
from ..tables.design import Design
from ..tables.measured import task_measure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEARCH_COLUMNS: dict[str, type | tuple[type, ...]] = {
    "cell": (str, type(None)),
    "method": str,
    "words": str,
    "recorded": int,
    "epochs_fraction": float,
    "regret": float,
    "low": float,
    "high": float,
    "failed": float,
    "front": bool,
}
"""Columns of a replay with the types of their values."""
SEARCHES_FILE = "searches.json"
"""Name of the file in ``tables/`` that keeps a replay for the report."""
ENDED_STATUSES = ("COMPLETE", "DIVERGED", "PRUNED")


@dataclass(frozen=True)
class SearchFront(Shown):
    """Searches by their regret and by the epochs that they train.

    Args:
        y: The objective.
        rows: Rows that `frame` returns.
        configurations: Configurations of whole training.
        seeds: Seeds of every configuration of the record.
        stopped: Configurations that did not train to their end, and so were left out.
    """

    y: Measure
    rows: pd.DataFrame
    configurations: int
    seeds: int
    stopped: int = 0

    @classmethod
    def of(
        cls,
        study: Study,
        table: Sequence[Mapping[str, Any]],
        *,
        configurations: int,
        seeds: int,
        stopped: int = 0,
    ) -> SearchFront:
        """Build it from the rows of a replay, see `SEARCH_COLUMNS`.

        Args:
            study: The recorded study.
            table: A row per cell and search, and one per search over all cells: ``cell`` is None.
            configurations: Configurations of whole training.
            seeds: Seeds of every configuration.
            stopped: Configurations that were left out.
        """
        design = Design.of(study)
        column = study.objective.column
        # Of a metric without a declared direction, the record would have to tell.
        measure = task_measure(design.measured, column, lambda: None)
        rows = pd.DataFrame(list(table), columns=list(SEARCH_COLUMNS))
        return cls(measure, rows, configurations, seeds, stopped)

    def frame(self) -> pd.DataFrame:
        """One row per cell and search, then one per search over all cells.

        Columns: ``cell``, None over all cells; ``method``, as `sparsetune replay` takes it, and
        ``words`` for it; ``recorded`` configurations; ``epochs_fraction`` of whole training;
        ``regret low high``, the mean and its 95 % interval, positive is worse; ``failed``, the part
        of what is chosen that diverged or collapsed on fresh seeds; ``front``, True if no other
        search has both less regret and fewer epochs.
        """
        return self.rows.copy()

    def over_cells(self) -> pd.DataFrame:
        """The rows over all cells."""
        return self.rows[self.rows["cell"].isna()].reset_index(drop=True)

    def plot(self) -> Figure:
        """Draw regret against epochs with intervals, each search labelled, and their front."""
        return draw(self)

    def write_figure(self, path: Place) -> None:
        """Write the figure as the kind of file that the suffix names.

        Raises:
            StorageError: if the file cannot be written.
        """
        contents = render_files(self.plot())[path.suffix.removeprefix(".")]
        with translating_write_errors(path.parent):
            write_durably(path, contents)

    def note(self) -> str:
        """What is drawn, for a caption."""
        return paragraph(self._sentences())

    def _sentences(self) -> Iterator[Sentence]:
        networks = int(self.rows["cell"].nunique())
        yield write("searches_marks")
        if networks > 1:
            yield write("searches_networks", networks=networks)
        yield write("searches_regret", measure=self.y.phrase, configurations=self.configurations)
        yield write("searches_failed")
        over = "resampled configurations"
        if self.seeds > 1:
            over = f"seeds and {over}"
        yield write("searches_bars", over=over)
        yield write("searches_front")
        if self.seeds == 1:
            yield write("searches_one_seed")
        if self.stopped:
            yield write("searches_stopped", count=self.stopped)


def write_searches(found: SearchFront, path: Place) -> Place:
    """Keep a replay of a study directory for its report; returns the file.

    Raises:
        StudyDirectoryError: if it is no study directory.
        StorageError: if the file cannot be written.
    """
    results = load(path)
    file = results.directory.tables / SEARCHES_FILE
    facts = {
        "trials": _ended_trials(results),
        "configurations": found.configurations,
        "seeds": found.seeds,
        "stopped": found.stopped,
        # A missing cell is None in the rows, NaN in the frame.
        "table": json.loads(found.rows.to_json(orient="records")),
    }
    with translating_write_errors(file):
        write_durably(file, json.dumps(facts, indent=1))
    return file


def read_searches(results: StudyResults) -> tuple[SearchFront, bool] | None:
    """The replay that was kept for a study's report, and True if trials have ended since.

    None without one, or if it is not what `write_searches` writes.
    """
    file = StudyDirectory(results.directory.path).tables / SEARCHES_FILE
    try:
        facts = read_json(file)
    except SparsetuneError:
        return None
    if not _is_replay(facts):
        return None
    counts = {name: facts[name] for name in ("configurations", "seeds", "stopped")}
    found = SearchFront.of(results.study, facts["table"], **counts)
    return found, facts["trials"] != _ended_trials(results)


def _is_replay(facts: Any) -> bool:
    """True if the contents of a file are those of a replay."""
    if not isinstance(facts, dict) or not isinstance(facts.get("table"), list):
        return False
    for name in ("trials", "configurations", "seeds", "stopped"):
        if not isinstance(facts.get(name), int):
            return False
    for row in facts["table"]:
        if not isinstance(row, dict) or row.keys() != SEARCH_COLUMNS.keys():
            return False
        for name, kind in SEARCH_COLUMNS.items():
            # JSON writes 0.0 as 0 where it likes.
            allowed = (int, float) if kind is float else kind
            if not isinstance(row[name], allowed):
                return False
    return bool(facts["table"])


def _ended_trials(results: StudyResults) -> int:
    return int(results.trials()["status"].isin(ENDED_STATUSES).sum())
