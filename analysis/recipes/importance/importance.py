"""Importance of each search axis in each band of sparsity, with a test of chance."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from sparsetune.errors import SparsetuneError

from ...catalogue import paragraph, write
from ...catalogue.template import Sentence
from ...drawers import draw
from ...estimates.captions import format_span
from ...estimates.surface import Floats, normal_scores
from ...measure import Measure
from ...notebook import Shown
from ...quantities import line_name
from ...tables.results import Results
from .. import responses
from ..responses import MIN_CONFIGURATIONS
from .evaluators import EVALUATORS, Band, Evaluator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

By = Literal["sparsity", "band"]
BandKey = tuple[str, str]
"""Arm and band of sparsity."""
SHUFFLE_COUNT = 999
"""Random orders of the values, in which nothing matters.

The strongest importance of all bands and axes in each order is what chance gives. With 39 orders, p
of one axis went from 0.025 to 0.25 with the seed of the orders; with 999 a p of 0.05 has a standard
error of 0.007.
"""
MATTERS = "matters more than chance explains"
NO_EVIDENCE = "no evidence that it matters"
ROUNDING_MARGIN = 1e-9
"""Differences of p values below this are rounding."""
IMPORTANCE_COLUMNS = [
    "arm",
    "band",
    "sparsity",
    "axis",
    "cells",
    "n",
    "diverged",
    "share",
    "p",
    "verdict",
]


@dataclass(frozen=True)
class Importance(Shown):
    """Importance of each search axis for a measure, in each band of sparsity.

    Args:
        y: The measure.
        evaluator: Name of Optuna's evaluator.
        rows: Rows that `frame` returns.
        level: Probability that no axis is said to matter where none does, in (0, 1).
    """

    y: Measure
    evaluator: Evaluator
    rows: pd.DataFrame
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per arm, band and axis.

        Columns: ``arm band``, ``sparsity`` (the highest in the band), ``axis``; ``cells`` and ``n``
        configurations behind it, ``diverged`` of them, which count as the worst; ``share`` of the
        importance of all axes, in [0, 1], a description of these configurations that has no
        interval; ``p``, the share of shuffled orders in which some axis of some band is as
        important (by PED-ANOVA), which corrects for all rows; ``verdict``: ``matters more than
        chance explains``, ``no evidence that it matters`` or ``too few configurations``, with which
        shares and p are NaN.
        """
        return self.rows.copy()

    def plot(self) -> Figure:
        """Draw a panel per band: the share of every axis, hollow if chance may explain it.

        Raises:
            SparsetuneError: if no band has enough configurations.
        """
        return draw(self)

    def note(self) -> str:
        """Meaning of the marks and bars, for a caption."""
        return paragraph(self._sentences())

    def _sentences(self) -> Iterator[Sentence]:
        known = self.rows.dropna(subset="share")
        if known.empty:
            yield write("importance_none", least=MIN_CONFIGURATIONS)
            return
        is_ped_anova = self.evaluator == "ped_anova"
        method = "importance_ped" if is_ped_anova else "importance_fanova"
        yield write(method, measure=self.y.phrase)
        yield write("importance_from", n=format_span(known["n"]))
        yield write("importance_filled")
        share = f"{100 * (1 - self.level):.3g}"
        yield write("importance_false", share=share, shuffles=SHUFFLE_COUNT)
        yield write("importance_shares")


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
    """Importance of each search axis in each band of sparsity, from cells with a finished search.

    Values are ranked within each cell before cells are pooled.

    Args:
        results: A study that searches something.
        y: A measured column; by default the objective.
        by: ``sparsity`` for each arm and sparsity; ``band`` for dense, below 90, 90 to 95 and above
            95 %; by default the latter if a sparsity has fewer than ten configurations.
        evaluator: ``ped_anova`` (Watanabe et al. 2023, arXiv 2304.10255) or ``fanova`` (Hutter et
            al. 2014), which takes forty times as long.
        where: Sweep axes and their values: only those cells.
        level: Probability that no axis is said to matter where none does, in (0, 1).
        seed: Seed of the shuffles and of fANOVA's trees.

    Raises:
        SparsetuneError: if a name is unknown, or nothing was searched with its ranges known.
    """
    _require_choice("by", by, [None, "sparsity", "band"])
    _require_choice("evaluator", evaluator, list(EVALUATORS))
    column = responses.resolve_measure(results, y)
    cells = responses.finished_searches(results, where)
    found = responses.search_responses(results, column)
    tried = _rank_configurations(results, found, cells, column)
    groups = tried.groupby(["arm", "sparsity"])["config_id"].size()
    # Bands pool several sparsities, where one alone has too few configurations.
    has_few = len(groups) > 0 and groups.min() < MIN_CONFIGURATIONS
    is_banded = by == "band" or (by is None and has_few)
    name_of = _band_of_sparsity if is_banded else _sparsity_text
    tried = tried.assign(band=[name_of(sparsity) for sparsity in tried["sparsity"]])
    bands: dict[BandKey, Band] = {}
    for (arm, band), part in tried.groupby(["arm", "band"], sort=False):
        pooled = Band.of(part, results.design.ranges, evaluator, seed)
        if pooled.axes:
            bands[str(arm), str(band)] = pooled
    measure = results.measure(column)
    return Importance(measure, evaluator, _importance_rows(bands, level, seed), level)


def _require_choice(name: str, given: object, known: Sequence[object]) -> None:
    """Raise if an argument is none of the known values.

    Raises:
        SparsetuneError: naming them.
    """
    if given not in known:
        raise SparsetuneError(
            f"`{name}` must be one of {', '.join(map(str, known))}, got `{given}`"
        )


def _rank_configurations(
    results: Results, tried: pd.DataFrame, cells: pd.DataFrame, y: str
) -> pd.DataFrame:
    """Configurations of finished searches with ``sparsity`` and ``score``, lower is better.

    Scores are normal scores of ranks in the configuration's cell.
    """
    is_ended = tried["value"].notna() | tried["diverged"]
    tried = tried[tried["cell"].isin(cells.index) & is_ended]
    tried = tried.drop_duplicates(["cell", "config_id"])
    sign = 1.0 if responses.is_lower_better(results, y) else -1.0
    scores = (sign * tried["value"]).groupby(tried["cell"]).transform(normal_scores)
    # Sorted by sparsity, since bands are shown in the order in which they come.
    sparsity = tried["cell"].map(cells["sparsity.target"]).astype("float64")
    return tried.assign(score=scores, sparsity=sparsity).sort_values("sparsity", kind="stable")


@dataclass(frozen=True)
class _BandShares:
    """Shares of importance in one band, each of shape [n_axes]; NaN with too few configurations."""

    shares: Floats
    p: Floats


def _importance_rows(bands: Mapping[BandKey, Band], level: float, seed: int) -> pd.DataFrame:
    """Rows of `Importance.frame`."""
    estimates = _band_shares(bands, seed)
    rows = []
    for (arm, name), band in bands.items():
        unknown = np.full(len(band.axes), np.nan)
        found = estimates.get((arm, name), _BandShares(unknown, unknown))
        for k, path in enumerate(band.axes):
            row = {
                "arm": arm,
                "band": name,
                "sparsity": band.tried["sparsity"].max(),
                "axis": path,
                "cells": band.tried["cell"].nunique(),
                "n": len(band.tried),
                "diverged": int(band.tried["diverged"].sum()),
                "share": found.shares[k],
                "p": found.p[k],
                "verdict": _verdict(found.p[k], level),
            }
            rows.append(row)
    return pd.DataFrame(rows, columns=IMPORTANCE_COLUMNS)


def _band_shares(bands: Mapping[BandKey, Band], seed: int) -> dict[BandKey, _BandShares]:
    """Shares of the bands with enough configurations, whose scores differ."""
    judged = {
        key: band
        for key, band in bands.items()
        if len(band.tried) >= MIN_CONFIGURATIONS and band.tried["score"].any()
    }
    if not judged:
        return {}
    standardised: dict[BandKey, Floats] = {}
    for key, band in judged.items():
        # Each band has a seed of its own: its orders do not depend on the other bands.
        orders = _shuffled_scores(band.tried, [seed, zlib.crc32(repr(key).encode())])
        found = band.chance_importances(orders)
        # Standardised in its band, so that the strongest one is comparable across bands. The order
        # that was seen counts like any other, or p would not be exact.
        standardised[key] = (found - found.mean()) / (found.std() or 1.0)
    strongest = np.max([found.max(axis=1) for found in standardised.values()], axis=0)
    estimates = {}
    for key, band in judged.items():
        seen = standardised[key][0]
        # Against the strongest of all bands and axes, which corrects for their number.
        p = (strongest[:, None] >= seen - ROUNDING_MARGIN).mean(axis=0)
        estimates[key] = _BandShares(_shares(band.importances()[0]), np.asarray(p))
    return estimates


def _verdict(p: float, level: float) -> str:
    """Verdict in words; NaN means too few configurations."""
    if np.isnan(p):
        return "too few configurations"
    return MATTERS if p <= 1 - level + ROUNDING_MARGIN else NO_EVIDENCE


def _shuffled_scores(tried: pd.DataFrame, seed: Sequence[int]) -> Floats:
    """The scores as they are, then in `SHUFFLE_COUNT` random orders, shape [1 + orders, n].

    Cells that tried the same configurations are shuffled alike: what one of them says of an axis,
    the others repeat, so that they count as one and not as several.
    """
    random = np.random.default_rng(seed)
    rows_of_source: dict[str, dict[str, int]] = {}
    for row, (source, cell) in enumerate(zip(tried["source"], tried["cell"], strict=True)):
        rows_of_source.setdefault(str(source), {})[str(cell)] = row
    # Rows of the configurations that the same cells tried, shape [n_sources, n_cells] once stacked.
    blocks: dict[tuple[str, ...], list[list[int]]] = {}
    for rows in rows_of_source.values():
        cells = tuple(sorted(rows))
        blocks.setdefault(cells, []).append([rows[cell] for cell in cells])
    scores = tried["score"].to_numpy(dtype=np.float64)
    orders = np.tile(scores, (1 + SHUFFLE_COUNT, 1))
    for block in map(np.array, blocks.values()):
        for order in orders[1:]:
            order[block] = scores[random.permutation(block)]
    return orders


def _shares(importances: Floats) -> Floats:
    """Each axis's part of the sum, equal parts if all are 0; shape [n_axes]."""
    total = importances.sum()
    return importances / total if total > 0 else np.full(len(importances), 1 / len(importances))


def _band_of_sparsity(sparsity: float) -> str:
    """Name of the band of a sparsity."""
    if sparsity == 0:
        return "dense"
    if sparsity < 0.9:
        return "below 90 %"
    return "90 to 95 %" if sparsity <= 0.95 else "above 95 %"


def _sparsity_text(sparsity: float) -> str:
    """A sparsity in words: ``dense``, ``98 %``."""
    return line_name("sparsity.target", sparsity)
