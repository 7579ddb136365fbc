"""Outcomes on single test examples of a cell's winner, of its dense twins and of its control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsetune.errors import SparsetuneError

from ..tables.results import Results
from ..tables.selection import report_rows
from .means import Gap, control_uses


@dataclass(frozen=True)
class CellOutcomes:
    """Outcomes of one cell, paired by seed (rows) and by test example (columns).

    Args:
        cell: Name of the cell.
        seeds: Report seeds, ascending.
        winner: Outcomes of the winner, shape [n_seeds, n_examples]; a row is NaN where the trial is
            not COMPLETE.
        baselines: Outcomes of its ``twin`` and its ``control``, likewise; without an entry where
            it has none.
        problems: Why an entry of ``baselines`` is missing though the study has the trials.
    """

    cell: str
    seeds: tuple[int, ...]
    winner: NDArray[np.float64]
    baselines: Mapping[Gap, NDArray[np.float64]] = field(default_factory=dict)
    problems: Mapping[Gap, str] = field(default_factory=dict)


def cell_outcomes(results: Results, cell: str, y: str = "test_accuracy") -> CellOutcomes:
    """Read the outcomes of one cell.

    Files are read when they are asked for; a damaged one costs the winner or the baseline that it
    belongs to.

    Args:
        results: The study.
        cell: Name of the cell.
        y: ``test_accuracy``, ``test_loss`` or ``test_score``; see `Results.outcomes`.

    Raises:
        SparsetuneError: if the cell is unknown, no report trial is COMPLETE, one diverged, or the
            winner's outcomes are missing or damaged, with the reason.
    """
    rows = report_rows(results)
    rows = rows[rows["cell"] == cell].sort_values("seed")
    names = list(dict.fromkeys(results.cells()["cell"]))
    if cell not in names:
        raise SparsetuneError(f"a cell must be one of {', '.join(names)}, got `{cell}`")
    if rows["status"].eq("DIVERGED").any():
        raise SparsetuneError(f"a report seed of {cell} diverged: the others would flatter it")
    complete = set(results.trials().query("status == 'COMPLETE'")["trial_id"])
    seeds = tuple(int(seed) for seed in rows["seed"])
    own = dict(zip(seeds, rows["trial_id"], strict=True))
    winner = _by_seed(results, own, seeds, complete, y)
    if winner is None:
        raise SparsetuneError(f"no report trial of {cell} has finished")
    twins = rows.dropna(subset="twin_id")
    controls = control_uses(results)
    controls = controls[controls["cell"] == cell]
    trials: dict[Gap, dict[int, str]] = {
        "twin": _trial_by_seed(twins, "twin_id"),
        "control": _trial_by_seed(controls, "trial_id"),
    }
    baselines: dict[Gap, NDArray[np.float64]] = {}
    problems: dict[Gap, str] = {}
    for name, by_seed in trials.items():
        try:
            found = _by_seed(results, by_seed, seeds, complete, y)
            if found is not None and found.shape != winner.shape:
                raise SparsetuneError(f"the test set of the {name} of {cell} is another one")
        except SparsetuneError as error:
            problems[name] = str(error)
            continue
        if found is not None:
            baselines[name] = found
    return CellOutcomes(cell, seeds, winner, baselines, problems)


def _trial_by_seed(rows: pd.DataFrame, column: str) -> dict[int, str]:
    return {int(seed): str(name) for seed, name in zip(rows["seed"], rows[column], strict=True)}


def _by_seed(
    results: Results,
    trials: Mapping[int, str],
    seeds: tuple[int, ...],
    complete: set[str],
    y: str,
) -> NDArray[np.float64] | None:
    """Outcomes by seed, shape [n_seeds, n_examples]; None where no trial is COMPLETE."""
    known = [seed for seed in seeds if trials.get(seed) in complete]
    if not known:
        return None
    read = results.outcomes([trials[seed] for seed in known], y)
    found = np.full((len(seeds), read.shape[1]), np.nan)
    found[[seeds.index(seed) for seed in known]] = read
    return found
