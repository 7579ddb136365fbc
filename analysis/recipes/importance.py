"""Which search axes matter, at which sparsity: Optuna's importances, with a spread and what chance alone would give."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from analysis.estimates.surface import Floats, normal_scores
from analysis.exhibit import Exhibit
from analysis.quantities import line_name
from analysis.recipes import responses
from analysis.recipes.evaluators import EVALUATORS, Band, Evaluator
from analysis.recipes.responses import MIN_CONFIGURATIONS
from analysis.tables.results import Results
from sparsetune.errors import SparsetuneError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

By = Literal["sparsity", "band"]
SHUFFLE_COUNT = 39
"""Orders of the values in which nothing matters; the strongest of all bands and axes in each is what chance gives. With
39 of them, to exceed all but one has a probability of 5 %."""
HALF_SAMPLES = 20
"""Random halves of the configurations: what is measured on half of them varies about as much as the whole."""
IMPORTANCE_COLUMNS = [
    "arm",
    "band",
    "sparsity",
    "axis",
    "cells",
    "n",
    "diverged",
    "share",
    "low",
    "high",
    "p",
    "verdict",
]


@dataclass(frozen=True)
class Importance:
    """How much of a measure each search axis decides, in each band of sparsity.

    Args:
        y: The measured column.
        evaluator: Of Optuna.
        rows: What `frame` returns.
        level: Coverage of the spread, and of the correction for chance.
    """

    y: str
    evaluator: Evaluator
    rows: pd.DataFrame
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per arm, band and axis.

        Columns: ``arm band``, ``sparsity`` (the highest in the band), ``axis``; ``cells`` and ``n`` configurations
        behind it, ``diverged`` of them, which count as the worst; ``share`` of the importance of all axes, in [0, 1],
        with ``low high``, its spread over random halves of the configurations; ``p``, the share of shuffled orders in
        which some axis of some band is as important, corrected for all rows by that; ``verdict``: ``matters``, ``no
        evidence that it matters`` or ``too few configurations``.
        """
        return self.rows.copy()

    def plot(self) -> Figure:
        """Draw a panel per band: the share of every axis with its spread, hollow where chance may explain it."""
        from analysis.recipes import importance_figure

        return importance_figure.draw_importance(self)

    def note(self) -> str:
        """What the marks and bars mean, for a caption."""
        known = self.rows.dropna(subset="share")
        if known.empty:
            return f"Too few configurations: importance needs {MIN_CONFIGURATIONS} in a band."
        n = (
            f"{known['n'].min()}"
            if known["n"].nunique() == 1
            else f"{known['n'].min()} to {known['n'].max()}"
        )
        method = (
            "PED-ANOVA, of being in the better half" if self.evaluator == "ped_anova" else "fANOVA"
        )
        return (
            f"Share of each axis in what decides the order by {self.y} ({method}; Optuna), from n = {n} configurations"
            f" of one search seed or more, ranked within their cells; diverged ones count as the worst. Bars:"
            f" {100 * self.level:g} % of random halves of the configurations. Filled: as important as no axis of any"
            f" band in {100 * self.level:g} % of shuffled orders. Hollow: no evidence that the axis matters; shares add"
            " up to 100 % even where nothing does."
        )


def importance(
    results: Results,
    y: str | None = None,
    *,
    by: By | None = None,
    evaluator: Evaluator = "ped_anova",
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Importance:
    """Importance of each search axis in each band of sparsity, from the cells whose search has finished.

    Args:
        results: A study that searches something.
        y: A measured column; by default the objective.
        by: ``sparsity`` for each arm and sparsity; ``band`` for dense, below 90, 90 to 95 and above 95 %; by
            default the latter where a sparsity has fewer than ten configurations. Values are ranked within each cell
            before cells are pooled.
        evaluator: ``ped_anova`` (Watanabe et al. 2023, arXiv 2304.10255) or ``fanova`` (Hutter et al. 2014), which
            takes forty times as long.
        where: Sweep axes and their values: only those cells.
        level: Coverage of the spread, and of the correction for chance.
        seed: Of halves, shuffles and fANOVA's trees.

    Raises:
        SparsetuneError: if a name is unknown, or nothing was searched with its ranges known.
    """
    for name, given, known in (
        ("by", by, (None, "sparsity", "band")),
        ("evaluator", evaluator, EVALUATORS),
    ):
        if given not in known:
            raise SparsetuneError(
                f"`{name}` must be one of {', '.join(map(str, known))}, got `{given}`"
            )
    column = responses.resolve_measure(results, y)
    cells = responses.finished_searches(results, where)
    tried = _rank_configurations(
        results, responses.search_responses(results, column), cells, column
    )
    groups = tried.groupby(["arm", "sparsity"])["config_id"].size()
    banded = by == "band" or (by is None and len(groups) > 0 and groups.min() < MIN_CONFIGURATIONS)
    names = [_band_of_sparsity(s) if banded else _sparsity_text(s) for s in tried["sparsity"]]
    parts = {
        (str(arm), str(band)): Band.of(part, results.design.ranges, evaluator, seed)
        for (arm, band), part in tried.assign(band=names).groupby(["arm", "band"], sort=False)
    }
    rows = _rows({key: part for key, part in parts.items() if part.axes}, level, seed)
    return Importance(column, evaluator, rows, level)


def _rank_configurations(
    results: Results, tried: pd.DataFrame, cells: pd.DataFrame, y: str
) -> pd.DataFrame:
    """The configurations of finished searches with ``sparsity`` and ``score``, normal scores of ranks in their cell."""
    tried = tried[tried["cell"].isin(cells.index) & (tried["value"].notna() | tried["diverged"])]
    tried = tried.drop_duplicates(["cell", "config_id"])
    sign = 1.0 if responses.is_lower_better(results, y) else -1.0
    scores = (sign * tried["value"]).groupby(tried["cell"]).transform(normal_scores)
    sparsity = tried["cell"].map(cells["sparsity.target"]).astype("float64")
    return tried.assign(score=scores, sparsity=sparsity).sort_values("sparsity", kind="stable")


def _rows(parts: Mapping[tuple[str, str], Band], level: float, seed: int) -> pd.DataFrame:
    enough = {
        key: part
        for key, part in parts.items()
        if len(part.tried) >= MIN_CONFIGURATIONS and part.tried["score"].any()
    }
    found = {key: part.importances()[0] for key, part in enough.items()}
    chance = {
        key: _shuffled_importances(part, [seed, zlib.crc32(repr(key).encode())])
        for key, part in enough.items()
    }
    standard = {key: (c.mean(), c.std() or 1.0) for key, c in chance.items()}
    by_shuffle = [
        (c.max(axis=1) - standard[key][0]) / standard[key][1] for key, c in chance.items()
    ]
    strongest = np.max(by_shuffle, axis=0) if by_shuffle else np.empty(0)
    rows = []
    for key, part in parts.items():
        shares = low = high = p = np.full(len(part.axes), np.nan)
        if key in enough:
            shares, (low, high) = (
                _shares(found[key]),
                _share_quantiles(part, level, [seed, len(part.tried)]),
            )
            mean, sd = standard[key]
            p = (1 + (strongest[:, None] >= (found[key] - mean) / sd).sum(axis=0)) / (
                1 + SHUFFLE_COUNT
            )
            low = np.minimum(low, shares)
            high = np.maximum(high, shares)
        common = {"arm": key[0], "band": key[1], "sparsity": part.tried["sparsity"].max()}
        common |= {"cells": part.tried["cell"].nunique(), "n": len(part.tried)}
        common |= {"diverged": int(part.tried["diverged"].sum())}
        for k, path in enumerate(part.axes):
            row = common | {
                "axis": path,
                "share": shares[k],
                "low": low[k],
                "high": high[k],
                "p": p[k],
            }
            rows.append(row | {"verdict": _verdict(p[k], level)})
    return pd.DataFrame(rows, columns=IMPORTANCE_COLUMNS)


def _verdict(p: float, level: float) -> str:
    if np.isnan(p):
        return "too few configurations"
    return "matters" if p <= 1 - level + 1e-9 else "no evidence that it matters"


def _shuffled_importances(part: Band, seed: Sequence[int]) -> Floats:
    """Importances where the values stand in random order, shape [SHUFFLES, n_axes]."""
    random = np.random.default_rng(seed)
    scores = part.tried["score"].to_numpy(dtype=np.float64)
    return part.importances([random.permutation(scores) for _ in range(SHUFFLE_COUNT)])


def _share_quantiles(part: Band, level: float, seed: Sequence[int]) -> Floats:
    """Quantiles of the shares over random halves of the configurations, shape [2, n_axes]."""
    random = np.random.default_rng(seed)
    scores = part.tried["score"].to_numpy(dtype=np.float64)
    ranks = np.argsort(random.random((HALF_SAMPLES, len(scores))), axis=1)
    halves = np.where(ranks < len(scores) // 2, scores, np.nan)
    shares = np.stack([_shares(found) for found in part.importances(halves)])
    return np.asarray(np.quantile(shares, [(1 - level) / 2, (1 + level) / 2], axis=0))


def _shares(importances: Floats) -> Floats:
    """Each axis's part of the sum, equal parts where all are 0."""
    total = importances.sum()
    return importances / total if total > 0 else np.full(len(importances), 1 / len(importances))


def _band_of_sparsity(sparsity: float) -> str:
    if sparsity == 0:
        return "dense"
    return "below 90 %" if sparsity < 0.9 else "90 to 95 %" if sparsity <= 0.95 else "above 95 %"


def _sparsity_text(sparsity: float) -> str:
    return line_name("sparsity.target", sparsity)


def exhibits(results: Results, y: str, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """Importance for the objective; nothing where nothing was selected, or no band has enough configurations.

    Args:
        results: The study.
        y: The headline measure; not used, since search trials never read the test set.
        where: Sweep axes and their values.
    """
    if results.design.objective is None or not results.design.ranges:
        return
    found = importance(results, where=where)
    if found.rows["share"].isna().all():
        return
    columns = {"arm": "Arm", "band": "Sparsity", "axis": "Axis", "n": "n"}
    columns |= {"share low high": "Importance (%)\n[95 % interval]", "p": "p", "verdict": "Verdict"}
    yield Exhibit(
        "importance",
        "Which hyperparameters matter",
        found.frame(),
        found.note(),
        found.plot,
        columns,
    )
