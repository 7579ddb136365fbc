"""Searches replayed over recorded landscapes: how good is what they choose, for how many epochs.

Regrets, epochs and intervals are those of `sparsetune replay`: see `search.replay.regret`. Half of
the cells served to choose the rules; the other half is held out. Samplers are compared on
landscapes that forests predict, too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from sparsetune.cluster.tune_schedulers import stopping_rules
from sparsetune.search.replay.clock import build_halving
from sparsetune.search.replay.landscape import read_landscape
from sparsetune.search.replay.methods import parse_methods
from sparsetune.search.replay.regret import SearchReplay, regret_estimate
from sparsetune.search.replay.searches import RecordedCell, SearchMethod
from sparsetune.search.sampling.points import quiet_optuna
from sparsetune.spec.defaults import DEFAULTS_BY_VERSION
from sparsetune.study import Study
from sparsetune.study.space import Uniform
from tests.benchmarks.forest_landscapes import forest_cell
from tests.benchmarks.rows import Row

FOLDER = Path(__file__).parents[2] / "studies" / "records" / "landscapes"
CHOSEN_ON = {
    "digits": ("gmp/target=0.95", "gmp/target=0.98", "acdc/target=0.95", "rigl/target=0.95"),
    "digits_98": ("dense",),
    "cifar10_jpeg": ("dense",),
}
"""Cells of each landscape that rules were chosen on; all others are held out."""
RECORDED_AGAIN = {"digits": ("dense", "acdc/target=0.98", "rigl/target=0.98")}
"""Cells of each landscape that another one has with more seeds, and that are left out therefore."""
WHOLE = 32
"""Configurations of the search that others are compared with."""
COMPARED = (
    "sobol",
    "sobol:16",
    "sobol:8",
    "epoch:1/4",
    "epoch:1/2",
    "asha:2",
    "asha:3",
    "asha:4",
    "hyperband:3",
    "median",
    "halving",
    "early",
    "gp:16",
    "gp:32+early",
)
"""Searches beside the default, as `sparsetune replay` names them."""
SAMPLED = ("sobol", "sobol:16", "sobol:8", "gp:16", "gp:32")
"""Searches that train all to their end, which are compared on predicted landscapes too."""
MIN_FOREST_CONFIGURATIONS = 128
"""Recorded configurations of a cell that a forest is fitted to, at least."""
FOREST_POINTS = 256
FOREST_SEEDS = 4
"""Points of a predicted landscape, and runs at each."""


def default_method() -> SearchMethod:
    """What a study gets that does not say how to search."""
    declared = Study(name="default", search={"optim.lr": Uniform(0, 1)})
    study = declared.under_defaults(DEFAULTS_BY_VERSION.current)
    assert study.stopping is not None
    scheduler = partial(build_halving, rule=study.stopping)
    return SearchMethod("default", study.sampler, study.configurations_per_cell, scheduler)


def methods() -> list[SearchMethod]:
    """All searches that are compared, named in words."""
    named = parse_methods(COMPARED, stopping_rules(), WHOLE)
    return [*(one.method._replace(name=one.words) for one in named), default_method()]


def landscape_rows(replicates: int) -> list[Row]:
    """A row for every search, over the cells that it was chosen on and over those held out."""
    quiet_optuna()
    rows = []
    halves: dict[str, list[RecordedCell]] = {"chosen on": [], "held out": []}
    forests = []
    for path in sorted(FOLDER.glob("*.parquet")):
        for cell in read_landscape(path):
            if cell.cell.name in RECORDED_AGAIN.get(path.stem, ()):
                continue
            is_held_out = cell.cell.name not in CHOSEN_ON.get(path.stem, ())
            halves["held out" if is_held_out else "chosen on"].append(cell)
            if len(cell.configurations) >= MIN_FOREST_CONFIGURATIONS:
                forests.append(forest_cell(cell, FOREST_POINTS, FOREST_SEEDS))
    every = methods()
    for half, cells in halves.items():
        rows += list(_table_rows(f"landscapes, {half}", cells, every, replicates))
    # A forest knows ends of runs alone, which no rule can stop.
    whole = parse_methods(SAMPLED, stopping_rules(), WHOLE)
    named = [one.method._replace(name=one.words) for one in whole]
    fewer = max(1, replicates // 2)
    rows += list(_table_rows("landscapes, predicted by forests", forests, named, fewer))
    return rows


def _table_rows(
    title: str, cells: Sequence[RecordedCell], methods: Sequence[SearchMethod], replicates: int
) -> Iterator[Row]:
    if not cells:
        return
    replay = SearchReplay(cells, WHOLE, replicates)
    searches = replicates * sum(len(cell.seeds) for cell in cells)
    deviation = fmean(cell.seed_deviation for cell in cells)
    for method in methods:
        start = time.perf_counter()
        estimate = regret_estimate(replay.draws(method))
        seconds = time.perf_counter() - start
        notes = {
            "epochs_fraction": estimate.epochs_fraction,
            "regret_points": 100 * estimate.mean,
            "regret_low": 100 * estimate.low,
            "regret_high": 100 * estimate.high,
            "optimism_points": 100 * estimate.optimism,
            "failed_fraction": estimate.failed,
            "seed_sd_points": 100 * deviation,
        }
        yield Row(title, method.name, [seconds / searches], notes=notes)
