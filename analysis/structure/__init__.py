"""What the networks of a study are made of, for its report: density by layer, masks over training, overlaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.exhibit import Exhibit
from analysis.structure.density import density_profile
from analysis.structure.mask_history import MaskHistory, ever_active, mask_history
from analysis.structure.mask_overlap import MaskOverlap, mask_overlap
from analysis.tables.results import Results

ACTIVE_HEADINGS = {"arm": "Arm", "sparsity": "Sparsity", "epochs": "Epochs", "n": "n"}
ACTIVE_HEADINGS |= {"mean low high": "Ever active (%)\n[95 % interval]", "masks": "Masks"}
ACTIVE_HEADINGS |= {"iou_at_target": "IoU of masks in a\nrow, at target (%)"}
OVERLAP_HEADINGS = {
    "sparsity": "Sparsity",
    "recipe": "Recipe",
    "other": "With",
    "pair": "Pairs of",
    "n": "Seeds",
}
OVERLAP_HEADINGS |= {
    "pairs": "Pairs",
    "iou low high": "IoU (%)\n[95 % interval]",
    "chance": "By chance (%)",
    "verdict": "Verdict",
}


def exhibits(results: Results, y: str, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """What there is to say of the winners' structure; nothing where no trial is sparse, or nothing is known of it."""
    profile = density_profile(results, where)
    history = mask_history(results, where)
    overlap = mask_overlap(results, where)
    active = ever_active(results, where)
    if profile.layers["layer"].nunique() > 1:
        yield Exhibit(
            "density-profile", "Density by layer", profile.frame(), profile.note(), profile.plot
        )
    if len(history.changed_rows()):
        yield Exhibit(
            "mask-history", "Masks over training", history.frame(), history.note(), history.plot
        )
    if len(active):
        yield _ever_active_table(active, history, overlap)
    if len(overlap.points):
        yield Exhibit(
            "mask-overlap",
            "Overlap of final masks",
            overlap.whole(),
            overlap.note(),
            overlap.plot,
            OVERLAP_HEADINGS,
        )
    layers = overlap.by_layer()
    if layers["layer"].nunique() > 1:
        caption = "Intersection over union of the final masks of two seeds of a recipe, layer by layer; bars: 95 % t"
        caption += (
            " intervals by the jackknife over seeds, dotted: random masks of the same density."
        )
        yield Exhibit(
            "mask-overlap-layers",
            "Overlap of two seeds by layer",
            layers,
            caption,
            overlap.plot_layers,
        )


def _ever_active_table(active: pd.DataFrame, history: MaskHistory, overlap: MaskOverlap) -> Exhibit:
    """The table of what was ever active."""
    table = active.merge(history.at_target(), on="cell", how="left")
    caption = "Share of the prunable weights that were ever in a mask, over n report seeds with its 95 % t interval;"
    caption += (
        " masks that a trial had, and the mean overlap of two in a row that are both at the target."
    )
    if overlap.points.empty and overlap.missing:
        caption += (
            " No final mask was kept, so that no overlap between seeds or recipes can be given."
        )
    return Exhibit("ever-active", "How much the masks moved", table, caption, None, ACTIVE_HEADINGS)
