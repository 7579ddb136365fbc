"""Seconds of the driver for a suggestion of the Gaussian process, against Optuna's process alone.

One search of 15 cells is told 1,000 configurations in all, another 1,000 in each cell.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import optuna

from sparsetune import GP, Arm, LogUniform, Study, Uniform
from sparsetune.search.sampling.gaussian_process import gp_sampler
from sparsetune.search.sampling.optuna_form import to_optuna_trial
from sparsetune.search.sampling.points import quiet_optuna, sample_sequence_point
from sparsetune.search.sampling.suggestions import suggest_values
from sparsetune.study.cells import Cell
from tests.benchmarks.rows import Row

CELLS = 15
TOLD = 1_000
MAX_SECONDS = 0.5
"""What a suggestion may take where all cells together were told `TOLD`."""


def suggestion_rows(rounds: int) -> list[Row]:
    """Seconds per suggestion: ours and Optuna's, each told the same."""
    quiet_optuna()
    study = _study()
    rows = []
    for told_per_cell, title, limit in (
        (-(-TOLD // CELLS), f"a suggestion, {TOLD:,} told over {CELLS} cells", MAX_SECONDS),
        (TOLD, f"a suggestion, {TOLD:,} told in its cell", None),
    ):
        ours: list[float] = []
        bare: list[float] = []
        for cell in study.cells()[1 : 1 + rounds]:
            told = _told(study, cell, told_per_cell)
            ours.append(_seconds(partial(suggest_values, study, cell, told_per_cell, told)))
            bare.append(_seconds(partial(_bare_suggestion, told)))
        rows.append(Row(title, "Optuna's process alone", bare))
        rows.append(Row(title, "GP()", ours, "Optuna's process alone", at_most=limit))
    return rows


def _study() -> Study:
    return Study(
        name="suggestions",
        arms={name: Arm({"sparsity.method": name}) for name in ("gmp", "rigl", "static")},
        sweep={"sparsity.target": [0.5, 0.8, 0.9, 0.95, 0.98]},
        search={
            "optim.lr": LogUniform(0.01, 1.0),
            "optim.weight_decay": LogUniform(1e-6, 1e-2),
            "schedule.warmup": Uniform(0.0, 0.3),
        },
        sampler=GP(),
        configurations_per_cell=TOLD + 1,
    )


def _told(study: Study, cell: Cell, count: int) -> optuna.Study:
    """A cell's finished configurations, with a bowl and noise for objectives."""
    random = np.random.default_rng(0)
    told = optuna.create_study()
    for index in range(count):
        point = sample_sequence_point(study, cell, index)
        away = np.log10(point["optim.lr"]) + 1
        trial = to_optuna_trial(cell, point, float(0.1 + away**2 + random.normal(0, 0.01)))
        assert trial is not None  # every point lies within the ranges
        told.add_trial(trial)
    return told


def _bare_suggestion(told: optuna.Study) -> None:
    study = optuna.create_study(sampler=gp_sampler(0))
    study.add_trials(told.get_trials(deepcopy=False))
    _ = study.ask().relative_params  # the sampler suggests when it is read


def _seconds(suggest: Callable[[], object]) -> float:
    start = time.perf_counter()
    suggest()
    return time.perf_counter() - start
