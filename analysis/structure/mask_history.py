"""Masks of the winners over training, and the share of weights that were ever active."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsetune.storage.trial_files import if_whole

from ..catalogue import paragraph, write
from ..catalogue.template import Sentence
from ..drawers import draw
from ..estimates.intervals import estimate_means
from ..measure import UNIT_RANGE
from ..notebook import Shown
from ..tables.results import Results
from .trial_folders import (
    TRIAL_COLUMNS,
    format_span,
    sparse_report_trials,
    trial_folders,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MASK_COLUMNS = [
    *TRIAL_COLUMNS,
    "step",
    "progress",
    "phase",
    "mask_sparsity",
    "iou_previous",
    "iou_most",
    "iou_final",
    "of_final",
]
CELL_COLUMNS = ["cell", "arm", "sparsity", "epochs"]
ACTIVE_STATISTICS = ["n", "mean", "sd", "df", "low", "high"]
TARGET_TOLERANCE = 5e-4
"""A mask is at its target if its sparsity is that near."""
WHOLE_MARGIN = 1e-9
"""A share of a mask above 1 minus this is all of it; it is computed from rounded overlaps."""


@dataclass(frozen=True)
class MaskHistory(Shown):
    """Masks of the winners over training: numbers (`frame`), figure (`plot`), caption (`note`).

    Args:
        masks: Rows that `frame` returns.
    """

    masks: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """One row per report trial and mask.

        Columns: `TRIAL_COLUMNS`; ``step progress phase mask_sparsity``; ``iou_previous``, the
        overlap with the mask before, of which ``iou_most`` is the most that two sparsities allow
        (one within the other), NaN for a first mask; ``iou_final``, the overlap with the last mask,
        and ``of_final``, the share of the last mask's weights that are in this one: NaN if the mask
        was not kept. Overlaps are intersections over unions, in [0, 1].
        """
        return self.masks.copy()

    def changed_rows(self) -> pd.DataFrame:
        """The rows of trials whose mask changed."""
        return self.masks[self.masks.groupby("trial_id")["iou_previous"].transform("count") > 0]

    def is_nested(self) -> bool:
        """True if every mask held the final one: nothing that was pruned came back to stay."""
        return bool((self.changed_rows()["of_final"].dropna() > 1 - WHOLE_MARGIN).all())

    def at_target(self) -> pd.DataFrame:
        """One row per cell: ``masks`` (the most of a trial) and ``iou_at_target``.

        The latter is the mean overlap of two masks in a row that are both at the target.
        """
        distance = (self.masks["mask_sparsity"] - self.masks["sparsity"]).abs()
        target = self.masks[distance < TARGET_TOLERANCE]
        # An overlap is with the mask before, which must be at its target too.
        has_predecessor = target.groupby("trial_id")["mask_sparsity"].shift().notna()
        by_trial = target[has_predecessor].groupby(["cell", "trial_id"])["iou_previous"].mean()
        counts = self.masks.groupby(["cell", "trial_id"]).size()
        columns = {
            "masks": counts.groupby("cell").max(),
            "iou_at_target": by_trial.groupby("cell").mean(),
        }
        return pd.DataFrame(columns).reset_index()

    def plot(self) -> Figure:
        """Draw overlaps over training, a thin line per trial: a panel per arm and length.

        Raises:
            SparsetuneError: if there is nothing to draw.
        """
        return draw(self)

    def note(self) -> str:
        """Meaning of the marks, for a caption."""
        return paragraph(self._sentences())

    def _sentences(self) -> Iterator[Sentence]:
        if self.masks.empty:
            yield write("masks_none")
            return
        trials = self.masks.groupby("cell")["trial_id"].nunique()
        yield write("masks_lines", n=format_span(trials))
        yield write("masks_overlap")
        yield write("masks_ramp")
        yield write("masks_nested" if self.is_nested() else "masks_final")
        if self.masks["epochs"].nunique() > 2:
            yield write("structure_lengths")


def mask_history(results: Results, where: Mapping[str, Any] | None = None) -> MaskHistory:
    """Every mask of the sparse winners' report trials; empty if no folder has a record of them.

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
        StorageError: if the folders cannot be read.
    """
    rows: list[dict[str, Any]] = []
    steps = results.trials().set_index("trial_id")["step"]
    for trial, files in trial_folders(results, where):
        masks = if_whole(files.structure) or []
        own_steps = int(steps[trial["trial_id"]])
        rows += [trial | row for row in _mask_rows(masks, own_steps)]
    return MaskHistory(pd.DataFrame(rows, columns=MASK_COLUMNS))


def _mask_rows(masks: Sequence[Mapping[str, Any]], steps: int) -> Iterator[dict[str, Any]]:
    """Rows of one trial, without its own columns.

    Args:
        masks: Records of its masks: ``step phase sparsity iou_previous iou_final``.
        steps: Steps of its training.
    """
    final = 1 - masks[-1]["sparsity"] if masks else np.nan
    before = np.nan
    for mask in masks:
        density = 1 - mask["sparsity"]
        previous = _nan_if_none(mask["iou_previous"])
        last = _nan_if_none(mask["iou_final"])
        # |A and B| = (|A| + |B|) IoU / (1 + IoU)
        in_both = (density + final) * last / (1 + last)
        largest = np.nan if np.isnan(before) else min(density, before) / max(density, before)
        yield {
            "step": mask["step"],
            "progress": mask["step"] / steps,
            "phase": mask["phase"],
            "mask_sparsity": mask["sparsity"],
            "iou_previous": previous,
            "iou_most": largest,
            "iou_final": last,
            "of_final": in_both / final,
        }
        before = density


def _nan_if_none(value: float | None) -> float:
    """The value, or NaN for None, which JSON has in its place."""
    return np.nan if value is None else value


def ever_active(
    results: Results, where: Mapping[str, Any] | None = None, level: float = 0.95
) -> pd.DataFrame:
    """One row per sparse cell: ``n mean sd df low high`` of the share of weights ever active.

    It sums up exploration: 1 if all weights were trained at some time (a ramp from dense, a
    decompression), the density if the mask never moved.

    Args:
        results: The study; without its column ``ever_active`` there is no row.
        where: Dotted fields and their values.
        level: Coverage of the intervals, in (0, 1).

    Returns:
        ``cell arm sparsity epochs n mean sd df low high``.

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
    """
    rows = sparse_report_trials(results, where)
    if "ever_active" not in rows or rows["ever_active"].isna().all():
        return pd.DataFrame(columns=[*CELL_COLUMNS, *ACTIVE_STATISTICS])
    # Trials are numbered, since in a foreign table seeds may not be known.
    rows = rows.assign(number=rows.groupby("cell").cumcount())
    values = rows.pivot(index="cell", columns="number", values="ever_active")
    values = values.loc[list(dict.fromkeys(rows["cell"]))]
    points = estimate_means(
        values.to_numpy(np.float64), list(values.index), level, bounds=UNIT_RANGE
    )
    cells = rows.drop_duplicates("cell")[CELL_COLUMNS].reset_index(drop=True)
    return pd.concat([cells, points[ACTIVE_STATISTICS]], axis=1)
