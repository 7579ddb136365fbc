"""Searches replayed over recorded landscapes: how good is what they choose, for how many epochs.

A search sees one seed of a cell; what it chooses is judged on the other seeds. The loss of a search
is the difference to 32 Sobol configurations trained to their end, which see the same seed and begin
at the same point of the sequence; positive is worse. Half of the cells served to choose the rules;
the other half is held out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from scipy.stats import t

from sparsetune.cluster.tune_schedulers import build_asha, build_median_stopping
from sparsetune.search.replay.clock import build_halving
from sparsetune.search.replay.landscape import read_landscape
from sparsetune.search.replay.searches import (
    RecordedCell,
    RecordedConfiguration,
    SearchMethod,
    replay_search,
)
from sparsetune.search.sampling.points import quiet_optuna
from sparsetune.study import Study
from sparsetune.study.samplers import GP, Sobol
from sparsetune.study.space import Uniform
from sparsetune.study.stopping import Halving
from tests.benchmarks.rows import Row

FOLDER = Path(__file__).parents[2] / "studies" / "records" / "landscapes"
CHOSEN_ON = {
    "digits": (
        "dense",
        "gmp/target=0.95",
        "gmp/target=0.98",
        "acdc/target=0.95",
        "rigl/target=0.95",
    )
}
"""Cells of each landscape that rules were chosen on; all others are held out."""
REFERENCE = "32 whole"
"""The search that others are compared with."""
MIN_DEFAULT = 16
"""Configurations of the smallest study that is searched by the default."""


def default_method() -> SearchMethod:
    """What a study that declares neither sampler nor stopping gets."""
    study = Study(
        name="default", search={"optim.lr": Uniform(0, 1)}, configurations_per_cell=MIN_DEFAULT
    ).under_defaults(4)
    assert study.stopping is not None
    return SearchMethod(
        "default", study.sampler, MIN_DEFAULT, partial(build_halving, rule=study.stopping)
    )


def methods() -> list[SearchMethod]:
    """All searches that are compared."""
    sobol = Sobol()
    default = default_method()
    return [
        SearchMethod(REFERENCE, sobol, 32),
        SearchMethod("16 whole", sobol, 16),
        SearchMethod("8 whole", sobol, 8),
        SearchMethod("32 to a quarter", sobol, 32, fraction=0.25),
        SearchMethod("32 to a half", sobol, 32, fraction=0.5),
        *(
            SearchMethod(f"32, ASHA {eta}", sobol, 32, partial(build_asha, reduction=eta))
            for eta in (2, 3, 4)
        ),
        SearchMethod("32, Hyperband 3", sobol, 32, partial(build_asha, reduction=3, brackets=3)),
        SearchMethod("32, median stopping", sobol, 32, build_median_stopping),
        SearchMethod("32, halving at target", sobol, 32, partial(build_halving, rule=Halving())),
        SearchMethod("32, early halving", sobol, 32, default.scheduler),
        SearchMethod("GP 16 whole", GP(), 16),
        default,
    ]


def landscape_rows(replicates: int) -> list[Row]:
    """A row for every search, over the cells that it was chosen on and over those held out."""
    quiet_optuna()
    rows = []
    halves: dict[str, list[RecordedCell]] = {"chosen on": [], "held out": []}
    for path in sorted(FOLDER.glob("*.parquet")):
        for cell in read_landscape(path):
            is_held_out = cell.cell.name not in CHOSEN_ON.get(path.stem, ())
            halves["held out" if is_held_out else "chosen on"].append(cell)
    for half, cells in halves.items():
        if cells:
            rows += list(_half_rows(f"landscapes, {half}", cells, replicates))
    return rows


def _half_rows(title: str, cells: Sequence[RecordedCell], replicates: int) -> Iterator[Row]:
    references: dict[tuple[int, int, int], float] = {}
    for method in methods():
        start = time.perf_counter()
        losses: dict[tuple[int, int], list[float]] = {}
        fractions: list[float] = []
        for place, cell in enumerate(cells):
            longest = max(row.epoch for row in cell.configurations[0].seeds[cell.seeds[0]].rows)
            for seed in cell.seeds:
                worst = cell.worst_loss(seed)
                for replicate in range(replicates):
                    pool = _pool(cell, place, seed, replicate)
                    outcome = replay_search(cell, method, seed, pool)
                    loss = worst
                    if outcome.chosen:
                        loss = min(worst, cell.fresh_loss(outcome.chosen, seed))
                    reference = references.setdefault((place, seed, replicate), loss)
                    losses.setdefault((place, seed), []).append(100 * (loss - reference))
                    fractions.append(outcome.epochs / (32 * longest))
        seconds = time.perf_counter() - start
        notes = {"epochs_fraction": fmean(fractions), **regret_interval(losses)}
        yield Row(title, method.name, [seconds / len(fractions)], notes=notes)


def _pool(cell: RecordedCell, place: int, seed: int, replicate: int) -> list[RecordedConfiguration]:
    """The cell's configurations, from another point of their sequence on for each replicate."""
    first = int(np.random.default_rng([place, seed, replicate]).integers(len(cell.configurations)))
    return [*cell.configurations[first:], *cell.configurations[:first]]


def regret_interval(losses: Mapping[tuple[int, int], Sequence[float]]) -> dict[str, float]:
    """Mean over cells with the ends of its 95 % interval, in points.

    Searches that see one seed share their data: each seed of a cell counts as one value.

    Args:
        losses: Differences by cell and seed.
    """
    by_cell: dict[int, list[float]] = {}
    for (cell, _), values in losses.items():
        by_cell.setdefault(cell, []).append(fmean(values))
    mean = fmean(fmean(values) for values in by_cell.values())
    variances = [stdev(values) ** 2 / len(values) for values in by_cell.values()]
    error = sum(variances) ** 0.5 / len(by_cell)
    freedom = sum(len(values) - 1 for values in by_cell.values())
    half = float(t.ppf(0.975, freedom)) * error
    return {"regret_points": mean, "regret_low": mean - half, "regret_high": mean + half}
