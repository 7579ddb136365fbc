"""Comparison of whole searches over a recorded study: regret on fresh seeds against epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.markup import escape
from rich.table import Table
from threadpoolctl import threadpool_limits

from sparsetune.errors import DeclarationError, Problem, StudyDirectoryError
from sparsetune.imports import without_own_code
from sparsetune.paths import Place
from sparsetune.search.replay.landscape import read_landscape, read_study
from sparsetune.search.replay.methods import (
    NamedSearch,
    StoppingRule,
    default_methods,
    parse_methods,
)
from sparsetune.search.replay.regret import (
    CellDraws,
    SearchReplay,
    front,
    regret_estimate,
)
from sparsetune.search.replay.searches import RecordedCell
from sparsetune.search.sampling.points import quiet_optuna
from sparsetune.storage import StudyDirectory
from sparsetune.study import Study
from sparsetune.study.questions.points import study_points
from sparsetune.study.questions.words import cell_words
from sparsetune.study.samplers import Adaptive
from sparsetune.terminal import TextConsole

MIN_CONFIGURATIONS = 8
"""Configurations of the smallest cell that is replayed: a quarter of them is still a search."""
MAX_CONFIGURATIONS = 32
"""Configurations of whole training at most, unless more are asked for."""
RESAMPLES = 8
"""How often the configurations of each cell are resampled, unless asked otherwise."""
LANDSCAPE_SUFFIX = ".parquet"


@dataclass(frozen=True)
class SearchComparison:
    """Searches that were compared over a recorded study.

    Args:
        study: The declaration.
        names: Each cell that was replayed, in words.
        configurations: Configurations of whole training of one search.
        seeds: Seeds of every configuration.
        resamples: How often the configurations of each cell were resampled.
        left_out: Configurations that did not train to their end with every seed.
        skipped: Cells with too few configurations, or none that learned anything, by name.
        table: A row per cell and search, and one per search over all cells, whose ``cell`` is
            None: ``cell method words recorded`` (configurations of the record) ``epochs_fraction``
            (of whole training) ``regret low high`` (in the objective's own unit, positive is
            worse), ``failed`` (part of what is chosen that diverged or collapsed on fresh seeds)
            and ``front`` (no other search has both less regret and fewer epochs).
    """

    study: Study
    names: Mapping[str, str]
    configurations: int
    seeds: int
    resamples: int
    left_out: int
    skipped: Sequence[str]
    table: list[dict[str, Any]]

    @property
    def objective(self) -> str:
        """The column that was optimised."""
        return self.study.objective.column

    @property
    def warnings(self) -> list[str]:
        """What limits the comparison, each in one sentence."""
        found = []
        if self.left_out:
            found.append(
                f"Left out: {self.left_out} configurations that did not train to their end, which"
                " nothing can be replayed beyond. Stopping looks safer without them."
            )
        if self.skipped:
            found.append(
                f"Left out: {', '.join(self.skipped)}, with fewer than {MIN_CONFIGURATIONS}"
                " configurations, or none that learned."
            )
        if self.seeds == 1:
            found.append(
                "The record has one seed: choices are judged on the seed that chose them, so regret"
                " is too low. Record with search_seeds=2 or more."
            )
        if isinstance(self.study.sampler, Adaptive):
            found.append(
                "The recorded configurations were proposed by an adaptive sampler: later ones are"
                " better, and a search in order gains from that."
            )
        return found


@without_own_code()
def compare_searches(
    source: Place,
    methods: Sequence[str] = (),
    *,
    rules: Mapping[str, StoppingRule],
    cells: Sequence[str] = (),
    configurations: int | None = None,
    resamples: int = RESAMPLES,
    salvage: bool = False,
) -> SearchComparison:
    """Replay searches over the cells of a record.

    Args:
        source: A study directory, or a landscape's .parquet file.
        methods: Searches, see `parse_methods`; empty for `default_methods`.
        rules: Stopping rules by name.
        cells: Names of the cells; empty for all.
        configurations: Configurations of whole training; by default `MAX_CONFIGURATIONS`, or those
            of the smallest cell if that has fewer.
        resamples: How often the configurations of each cell are resampled.
        salvage: True to read a damaged ledger up to its first damage.

    Raises:
        StudyDirectoryError: if it is no record, or no cell has enough configurations.
        DeclarationError: naming everything that is wrong with the methods.
    """
    read, left_out = _read(source, cells, salvage)
    kept = [cell for cell in read if _is_replayable(cell)]
    if not kept:
        most = max((len(cell.configurations) for cell in read), default=0)
        raise StudyDirectoryError(
            f"`{source}` must hold a cell with at least {MIN_CONFIGURATIONS} configurations that a"
            f" sampler proposed and that trained to their end, got {most} at most"
            f" ({left_out} were stopped, failed or still run); record one without `stopping`"
        )
    recorded = min(len(cell.configurations) for cell in kept)
    size = min(recorded, configurations or MAX_CONFIGURATIONS)
    if configurations is not None and not 2 <= configurations <= recorded:
        rule = f"must be from 2 to {recorded}, the number that the smallest cell has recorded"
        problem = Problem("configurations", rule, str(configurations))
        raise DeclarationError([problem], "--configurations")
    named = parse_methods(methods or default_methods(size, recorded), rules, size)
    quiet_optuna()
    replay = SearchReplay(kept, size, resamples)
    # The process fits small matrices, for which threads only wait for one another.
    with threadpool_limits(1):
        draws = [replay.draws(one.method) for one in named]
    study = kept[0].study
    names = {point.cell: cell_words(point) for point in study_points(study)}
    kept_names = [cell.cell.name for cell in kept]
    return SearchComparison(
        study=study,
        names={name: names[name] for name in kept_names},
        configurations=size,
        seeds=len(kept[0].seeds),
        resamples=resamples,
        left_out=left_out,
        skipped=[cell.cell.name for cell in read if cell not in kept],
        table=_table(kept, named, draws),
    )


def _read(source: Place, cells: Sequence[str], salvage: bool) -> tuple[list[RecordedCell], int]:
    """Cells of a record, and the number of configurations that are left out."""
    if isinstance(source, Path) and source.suffix == LANDSCAPE_SUFFIX:
        if not source.is_file():
            raise StudyDirectoryError(f"`{source}` must be a landscape's file: there is none")
        return read_landscape(source, cells), 0
    return read_study(StudyDirectory(source), cells, salvage=salvage)


def _is_replayable(cell: RecordedCell) -> bool:
    is_large = len(cell.configurations) >= MIN_CONFIGURATIONS
    return is_large and all(math.isfinite(cell.worst_loss(seed)) for seed in cell.seeds)


def _table(
    cells: Sequence[RecordedCell],
    named: Sequence[NamedSearch],
    draws: Sequence[Sequence[CellDraws]],
) -> list[dict[str, Any]]:
    """Rows of `SearchComparison.table`: those of each cell, then those over all cells."""
    rows = []
    for place, cell in enumerate(cells):
        recorded = len(cell.configurations)
        own = [[by_cell[place]] for by_cell in draws]
        rows += _group_rows(cell.cell.name, recorded, named, own)
    total = sum(len(cell.configurations) for cell in cells)
    rows += _group_rows(None, total, named, draws)
    return rows


def _group_rows(
    cell: str | None,
    recorded: int,
    named: Sequence[NamedSearch],
    draws: Sequence[Sequence[CellDraws]],
) -> list[dict[str, Any]]:
    estimates = [regret_estimate(own) for own in draws]
    return [
        {
            "cell": cell,
            "method": one.method.name,
            "words": one.words,
            "recorded": recorded,
            "epochs_fraction": estimate.epochs_fraction,
            "regret": estimate.mean,
            "low": estimate.low,
            "high": estimate.high,
            "failed": estimate.failed,
            "front": is_on_front,
        }
        for one, estimate, is_on_front in zip(named, estimates, front(estimates), strict=True)
    ]


class RegretUnit(Protocol):
    """How regrets of an objective are written."""

    @property
    def phrase(self) -> str:
        """Name of the objective within a sentence: ``validation error``."""

    @property
    def factor(self) -> float:
        """Factor between a stored value and the one that is printed."""

    @property
    def difference_unit(self) -> str:
        """Unit of a difference; empty if it has none."""


def print_searches(found: SearchComparison, unit: RegretUnit) -> None:
    """Print the comparison for a person: a table for each cell, and one over all cells."""
    console = TextConsole()
    console.print(
        f"[bold]{escape(found.study.name)}[/]: searches of {found.configurations} configurations,"
        f" replayed {found.resamples} times for each seed ({found.seeds})",
        soft_wrap=True,
    )
    by_cell: dict[str | None, list[Mapping[str, Any]]] = {}
    for row in found.table:
        by_cell.setdefault(row["cell"], []).append(row)
    for cell, rows in by_cell.items():
        if cell is None and len(by_cell) == 2:
            continue
        name = found.names[cell] if cell else f"all {len(by_cell) - 1} networks"
        title = f"{name[:1].upper()}{name[1:]}: {rows[0]['recorded']} configurations recorded"
        console.print(f"\n{escape(title)}", style="bold", soft_wrap=True)
        console.print(_search_table(rows, unit))
    judged = "the same seed" if found.seeds == 1 else "the seeds that the search has not seen"
    console.print(
        f"\nregret: {unit.phrase} of what is chosen, on {judged}, beyond that of\n"
        f"  what training all {found.configurations} to their end chooses; positive is worse\n"
        "epochs: in percent of those of training all to their end\n"
        f"[95 %]: over {'' if found.seeds == 1 else 'seeds and '}resampled configurations\n"
        "failed: of what is chosen, runs that diverged or collapsed; regret is without them\n"
        "*: no other search has both less regret and fewer epochs",
        style="dim",
        markup=False,
    )
    for warning in found.warnings:
        console.print(f"\n{escape(warning)}", style="yellow")


def _search_table(rows: Sequence[Mapping[str, Any]], unit: RegretUnit) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    in_unit = f" ({unit.difference_unit})" if unit.difference_unit else ""
    table.add_column("method", overflow="fold")
    table.add_column("")
    for column in ("epochs (%)", f"regret{in_unit}", "95 %", "failed (%)"):
        table.add_column(column, justify="right", no_wrap=True)
    digits = ".2f" if unit.factor == 100 else ".3g"
    for row in rows:
        regret, low, high = (unit.factor * row[name] for name in ("regret", "low", "high"))
        table.add_row(
            escape(row["method"]),
            "*" if row["front"] else "",
            f"{100 * row['epochs_fraction']:.0f}",
            f"{regret:{digits}}",
            escape(f"[{low:{digits}}, {high:{digits}}]"),
            f"{100 * row['failed']:.0f}",
        )
    return table
