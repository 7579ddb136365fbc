"""How the winners' masks moved over training, and the share of weights that were ever active."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.estimates.intervals import estimate_means
from analysis.structure.trial_folders import (
    TRIAL_COLUMNS,
    format_span,
    read_json,
    sparse_report_trials,
    trial_folders,
)
from analysis.tables.results import Results

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


@dataclass(frozen=True)
class MaskHistory:
    """How the winners' masks moved over training: numbers (`frame`), picture (`plot`), marks (`note`).

    Args:
        masks: What `frame` returns.
    """

    masks: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """One row per report trial and mask.

        Columns: the trial's; ``step progress phase mask_sparsity``; ``iou_previous`` with the mask before, of which
        ``iou_most`` is the most that two sparsities allow (one within the other); ``iou_final`` with the last mask and
        ``of_final``, the share of the last mask's weights that are in this one: NaN where the mask was not kept.
        """
        return self.masks.copy()

    def changed_rows(self) -> pd.DataFrame:
        """The rows of trials whose mask changed."""
        return self.masks[self.masks.groupby("trial_id")["iou_previous"].transform("count") > 0]

    def is_nested(self) -> bool:
        """Whether every mask held the final one: nothing that was pruned came back to stay."""
        return bool((self.changed_rows()["of_final"].dropna() > 1 - 1e-9).all())

    def at_target(self) -> pd.DataFrame:
        """By cell: ``masks`` (most of a trial) and ``iou_at_target``, the mean overlap of two in a row at target."""
        target = self.masks[(self.masks["mask_sparsity"] - self.masks["sparsity"]).abs() < 5e-4]
        both = target[target.groupby("trial_id")["mask_sparsity"].shift().notna()]
        by_trial = both.groupby(["cell", "trial_id"])["iou_previous"].mean()
        masks = self.masks.groupby(["cell", "trial_id"]).size()
        return pd.DataFrame(
            {"masks": masks.groupby("cell").max(), "iou_at_target": by_trial.groupby("cell").mean()}
        ).reset_index()

    def plot(self) -> Figure:
        """Draw overlaps over training, a thin line per trial: a panel per arm and length."""
        from analysis.structure import figures

        return figures.draw_masks(self)

    def note(self) -> str:
        """What the marks mean, for a caption."""
        if self.masks.empty:
            return "No report trial of a sparse winner left a record of its masks."
        trials = self.masks.groupby("cell")["trial_id"].nunique()
        text = f"A line per report trial (n = {format_span(trials)} a cell): intersection over union of each mask with the one"
        text += " before it. On a ramp the later mask is smaller, so that even nested masks overlap less than 1."
        if self.is_nested():
            text += " Every mask held the whole final one: no weight came back to stay."
        else:
            text += " Beside it: share of the final mask's weights that were active then, where the mask was kept."
        if self.masks["epochs"].nunique() > 2:
            text += " Only the shortest and the longest training are drawn."
        return text


def mask_history(results: Results, where: Mapping[str, Any] | None = None) -> MaskHistory:
    """Every mask of the sparse winners' report trials; empty where no folder holds a record of them.

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
        StorageError: if the folders cannot be read.
    """
    rows: list[dict[str, Any]] = []
    steps = results.trials().set_index("trial_id")["step"]
    for trial, folder in trial_folders(results, where):
        masks = read_json(folder / "structure.json") or []
        rows += [trial | row for row in _masks(masks, int(steps[trial["trial_id"]]))]
    return MaskHistory(pd.DataFrame(rows, columns=MASK_COLUMNS))


def _masks(masks: Sequence[Mapping[str, Any]], steps: int) -> Iterator[dict[str, Any]]:
    """The rows of one trial; |A and B| = (|A| + |B|) IoU / (1 + IoU)."""
    final = 1 - masks[-1]["sparsity"] if masks else np.nan
    before = np.nan
    for mask in masks:
        density = 1 - mask["sparsity"]
        previous, last = (
            np.nan if mask[key] is None else mask[key] for key in ("iou_previous", "iou_final")
        )
        yield {
            **{"step": mask["step"], "progress": mask["step"] / steps, "phase": mask["phase"]},
            **{"mask_sparsity": mask["sparsity"], "iou_previous": previous, "iou_final": last},
            "iou_most": min(density, before) / max(density, before) if before == before else np.nan,
            "of_final": (density + final) * last / (1 + last) / final,
        }
        before = density


def ever_active(
    results: Results, where: Mapping[str, Any] | None = None, level: float = 0.95
) -> pd.DataFrame:
    """One row per sparse cell: ``cell arm sparsity epochs``, ``n mean sd df low high`` of the share ever active.

    Exploration in one number: 1 where all weights were trained at some time (a ramp from dense, a decompression), the
    density where the mask never moved. Needs the column ``ever_active``, else it is empty.
    """
    rows = sparse_report_trials(results, where)
    if "ever_active" not in rows or rows["ever_active"].isna().all():
        return pd.DataFrame(
            columns=["cell", "arm", "sparsity", "epochs", "n", "mean", "sd", "df", "low", "high"]
        )
    rows = rows.assign(number=rows.groupby("cell").cumcount())  # of a table, seeds may not be known
    values = rows.pivot(index="cell", columns="number", values="ever_active").loc[
        list(dict.fromkeys(rows["cell"]))
    ]
    points = estimate_means(values.to_numpy(np.float64), list(values.index), level)[
        ["n", "mean", "sd", "df", "low", "high"]
    ]
    cells = rows.drop_duplicates("cell")[["cell", "arm", "sparsity", "epochs"]].reset_index(
        drop=True
    )
    return pd.concat([cells, points], axis=1)
