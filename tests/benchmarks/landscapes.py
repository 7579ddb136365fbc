"""Searches replayed over recorded landscapes: how good is what they choose, for how many epochs.

Regrets, epochs and intervals are those of `sparsetune replay`: see `search.replay.regret`. Half of
the cells served to choose the rules; the other half is held out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from sparsetune.cluster.tune_schedulers import build_asha, build_median_stopping
from sparsetune.search.replay.clock import build_halving
from sparsetune.search.replay.landscape import read_landscape
from sparsetune.search.replay.regret import SearchReplay, regret_estimate
from sparsetune.search.replay.searches import RecordedCell, SearchMethod
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
    ),
    "cifar10_jpeg": ("dense",),
}
"""Cells of each landscape that rules were chosen on; all others are held out."""
WHOLE = 32
"""Configurations of the search that others are compared with."""
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
        SearchMethod("32 whole", sobol, WHOLE),
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
    replay = SearchReplay(cells, WHOLE, replicates)
    searches = replicates * sum(len(cell.seeds) for cell in cells)
    deviation = fmean(cell.seed_deviation for cell in cells)
    for method in methods():
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
