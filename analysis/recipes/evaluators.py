"""Importances of search axes in a band of sparsity: PED-ANOVA, and Optuna's fANOVA of a study in memory."""

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

from analysis.estimates.surface import Floats
from analysis.recipes.ped_anova import grid_places, pearson_divergences
from sparsetune.study.space import Axis, Choice, IntRange, LogUniform

Evaluator = Literal["ped_anova", "fanova"]
BETTER_SHARE = 0.5
"""PED-ANOVA asks what it takes to be in this best part. At 32 points its test saw a planted effect of the learning rate
in 37 of 40 draws, at the best quarter in 20; Optuna's default, the best tenth, would be three configurations."""


@dataclass(frozen=True)
class Band:
    """The pooled configurations of one band of sparsity.

    Args:
        axes: What was searched in all of its cells, within the same ranges.
        tried: One row per configuration: ``cell diverged score``, lower is better, and the axes.
        evaluator: Which importances.
        seed: Of fANOVA's trees.
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
        """The band of ``tried``, with ``ranges`` by cell and axis."""
        cells = list(dict.fromkeys(tried["cell"]))
        paths = dict.fromkeys(path for cell, path in ranges if cell in cells and path in tried)
        spans = {path: [ranges.get((cell, path)) for cell in cells] for path in paths}
        shared = {
            path: span[0] for path, span in spans.items() if all(axis == span[0] for axis in span)
        }
        return cls(
            {p: axis for p, axis in shared.items() if axis and tried[p].notna().all()},
            tried,
            evaluator,
            seed,
        )

    @cached_property
    def study(self) -> Any:
        """The configurations as Optuna's trials, numbered as they stand."""
        import optuna
        from optuna.trial import create_trial

        spans = {path: _distribution(axis, self.tried[path]) for path, axis in self.axes.items()}
        with _silence_optuna():
            study = optuna.create_study()
            for point in self.tried[["score", *spans]].to_dict("records"):
                params = {path: _clip_to_range(span, point[path]) for path, span in spans.items()}
                study.add_trial(
                    create_trial(params=params, distributions=spans, value=float(point["score"]))
                )
        return study

    def importances(self, scores: ArrayLike | None = None) -> Floats:
        """Importance of each axis as Optuna has it, not normalised, shape [orders, n_axes].

        Args:
            scores: Instead of those of the configurations, shape [orders, n]; NaN leaves one out of that order.
        """
        values = np.atleast_2d(
            np.asarray(self.tried["score"] if scores is None else scores, dtype=np.float64)
        )
        return EVALUATORS[self.evaluator](self, values)


def _ped_anova(band: Band, scores: Floats) -> Floats:
    found = []
    for path, axis in band.axes.items():
        places, size = grid_places(axis, band.tried[path])
        found.append(
            pearson_divergences(places, size, isinstance(axis, Choice), scores, BETTER_SHARE)
        )
    return np.stack(found, axis=1)


def _fanova(band: Band, scores: Floats) -> Floats:
    from optuna.importance import FanovaImportanceEvaluator

    rows = []
    with _silence_optuna():
        for values in scores:
            evaluator = FanovaImportanceEvaluator(seed=band.seed)
            found = evaluator.evaluate(
                band.study,
                list(band.axes),
                target=lambda trial, own=values: float(own[trial.number]),
            )
            rows.append([float(found[path]) for path in band.axes])
    return np.array(rows)


EVALUATORS: dict[str, Callable[[Band, Floats], Floats]] = {
    "ped_anova": _ped_anova,
    "fanova": _fanova,
}
"""Importances of a band for each row of scores."""


@contextmanager
def _silence_optuna() -> Iterator[None]:
    """Nothing that Optuna prints or warns of (that lower is better); its verbosity is as before afterwards."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _distribution(axis: Axis, seen: pd.Series[Any]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(axis, Choice):
        return CategoricalDistribution(sorted(set(seen.tolist()), key=str))
    if isinstance(axis, IntRange):
        return IntDistribution(axis.low, axis.high)
    return FloatDistribution(axis.low, axis.high, log=isinstance(axis, LogUniform))


def _clip_to_range(span: Any, value: Any) -> Any:
    """A value as Optuna takes it; one beyond its range, as a base recipe's may be, at its end."""
    return min(max(value, span.low), span.high) if hasattr(span, "low") else value
