"""Importances of search axes in a band of sparsity: PED-ANOVA, and Optuna's fANOVA."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sparsetune.study.space import Axis, Choice, IntRange, LogUniform

from ...estimates.surface import Floats
from .ped_anova import grid_places, pearson_divergences

Evaluator = Literal["ped_anova", "fanova"]
BETTER_SHARE = 0.5
"""Best part of the configurations that PED-ANOVA compares with all of them.

At 32 points its test saw a planted effect of the learning rate in 37 of 40 draws, at the best
quarter in 20; Optuna's default, the best tenth, would be three configurations.
"""


@dataclass(frozen=True)
class Band:
    """Pooled configurations of one band of sparsity.

    Args:
        axes: Axes that were searched in all of its cells, within the same ranges.
        tried: One row per configuration: ``cell diverged score``, lower is better, and the axes.
        evaluator: Name of the importances.
        seed: Seed of fANOVA's trees.
    """

    axes: Mapping[str, Axis]
    tried: pd.DataFrame
    evaluator: Evaluator
    seed: int

    @classmethod
    def of(
        cls,
        tried: pd.DataFrame,
        ranges: Mapping[tuple[str, str], Axis],
        evaluator: Evaluator,
        seed: int = 0,
    ) -> Band:
        """The band of the configurations ``tried``, with ``ranges`` by cell and axis."""
        cells = list(dict.fromkeys(tried["cell"]))
        paths = dict.fromkeys(path for cell, path in ranges if cell in cells and path in tried)
        axes: dict[str, Axis] = {}
        for path in paths:
            spans = [ranges.get((cell, path)) for cell in cells]
            first = spans[0]
            # The same value would be another part of the range in cells whose ranges differ.
            is_shared = all(span == first for span in spans)
            if first and is_shared and tried[path].notna().all():
                axes[path] = first
        return cls(axes, tried, evaluator, seed)

    @cached_property
    def study(self) -> Any:
        """The configurations as an Optuna study, whose trials are numbered like the rows."""
        import optuna
        from optuna.trial import create_trial

        spans = {path: _distribution(axis, self.tried[path]) for path, axis in self.axes.items()}
        with _silence_optuna():
            study = optuna.create_study()
            for point in self.tried[["score", *spans]].to_dict("records"):
                params = {path: _clip_to_range(span, point[path]) for path, span in spans.items()}
                trial = create_trial(
                    params=params, distributions=spans, value=float(point["score"])
                )
                study.add_trial(trial)
        return study

    def importances(self, scores: ArrayLike | None = None) -> Floats:
        """Importance of each axis as Optuna computes it, not normalised, shape [orders, n_axes].

        Args:
            scores: Replace those of the configurations, shape [orders, n]; NaN leaves a
                configuration out of that order.
        """
        given = self.tried["score"] if scores is None else scores
        values = np.atleast_2d(np.asarray(given, dtype=np.float64))
        return EVALUATORS[self.evaluator](self, values)

    def chance_importances(self, scores: ArrayLike) -> Floats:
        """Importances by PED-ANOVA, which takes many orders at once, shape [orders, n_axes].

        Args:
            scores: As in `importances`.
        """
        return _ped_anova(self, np.atleast_2d(np.asarray(scores, dtype=np.float64)))


def _ped_anova(band: Band, scores: Floats) -> Floats:
    """Importances by PED-ANOVA, shape [orders, n_axes]."""
    columns = []
    for path, axis in band.axes.items():
        places, size = grid_places(axis, band.tried[path])
        is_choice = isinstance(axis, Choice)
        columns.append(pearson_divergences(places, size, is_choice, scores, BETTER_SHARE))
    return np.stack(columns, axis=1)


def _fanova(band: Band, scores: Floats) -> Floats:
    """Importances by Optuna's fANOVA, shape [orders, n_axes]."""
    from optuna.importance import FanovaImportanceEvaluator

    rows = []
    with _silence_optuna():
        for values in scores:
            evaluator = FanovaImportanceEvaluator(seed=band.seed)
            found = evaluator.evaluate(
                band.study,
                list(band.axes),
                target=lambda trial, values=values: float(values[trial.number]),
            )
            rows.append([float(found[path]) for path in band.axes])
    return np.array(rows)


EVALUATORS: dict[str, Callable[[Band, Floats], Floats]] = {
    "ped_anova": _ped_anova,
    "fanova": _fanova,
}
"""Functions that compute the importances of a band for each row of scores."""


@contextmanager
def _silence_optuna() -> Iterator[None]:
    """Suppress Optuna's output and warnings, such as that lower is better; restore them after."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _distribution(axis: Axis, values: pd.Series[Any]) -> Any:
    """Optuna's distribution for a search axis; a choice has the options that were tried."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(axis, Choice):
        return CategoricalDistribution(sorted(set(values.tolist()), key=str))
    if isinstance(axis, IntRange):
        return IntDistribution(axis.low, axis.high)
    return FloatDistribution(axis.low, axis.high, log=isinstance(axis, LogUniform))


def _clip_to_range(distribution: Any, value: Any) -> Any:
    """The value that Optuna accepts: one beyond the range, as of a base recipe, is at its end."""
    if not hasattr(distribution, "low"):
        return value
    return min(max(value, distribution.low), distribution.high)
