"""Exhibits of structure: density by layer, masks over training, overlap of final masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from ..catalogue import paragraph, write
from ..exhibit import SPARSITY_COLUMN, CellFormat, Exhibit, TableColumn
from ..tables.results import Results
from .account import parameter_account
from .density import density_profile
from .mask_history import MaskHistory, ever_active, mask_history
from .mask_overlap import MaskOverlap, mask_overlap

ACTIVE_TABLE_COLUMNS = (
    TableColumn("Arm", "arm"),
    SPARSITY_COLUMN,
    TableColumn("Epochs", "epochs"),
    TableColumn("n", "n"),
    TableColumn("Ever active (%)\n[95 % interval]", "mean", "low", "high", CellFormat.PERCENT),
    TableColumn("Masks", "masks"),
    TableColumn(
        "IoU of masks in a\nrow, at target (%)", "iou_at_target", format=CellFormat.PERCENT
    ),
)
ACCOUNT_TABLE_COLUMNS = (
    TableColumn("Arm", "arm"),
    SPARSITY_COLUMN,
    TableColumn("Sparsity of\nprunable (%)", "of_prunable", format=CellFormat.PERCENT),
    TableColumn("Sparsity of all\nparameters (%)", "of_parameters", format=CellFormat.PERCENT),
    TableColumn("Prunable", "prunable_weights"),
    TableColumn("Parameters", "parameters"),
    TableColumn("Left dense (weights)", "left_dense"),
)
OVERLAP_TABLE_COLUMNS = (
    SPARSITY_COLUMN,
    TableColumn("Recipe", "recipe"),
    TableColumn("With", "other"),
    TableColumn("Pairs of", "pair"),
    TableColumn("Seeds", "n"),
    TableColumn("Pairs", "pairs"),
    TableColumn("IoU (%)\n[95 % interval]", "iou", "low", "high", CellFormat.PERCENT),
    TableColumn("By chance (%)", "chance", format=CellFormat.PERCENT),
    TableColumn("Verdict", "verdict"),
)


def structure_exhibits(
    results: Results, where: Mapping[str, Any] | None = None
) -> Iterator[Exhibit]:
    """Exhibits of the winners' structure; none if no trial is sparse, or nothing is known of it.

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
        StorageError: if the folders cannot be read.
    """
    profile = density_profile(results, where)
    history = mask_history(results, where)
    overlap = mask_overlap(results, where)
    active = ever_active(results, where)
    account = parameter_account(results, where)
    if len(account):
        names = ("account", "account_targets", "account_left")
        caption = paragraph(write(name) for name in names)
        title = "What is pruned"
        yield Exhibit("what-is-pruned", title, account, caption, None, ACCOUNT_TABLE_COLUMNS)
    if profile.layers["layer"].nunique() > 1:
        title = "Density by layer"
        yield Exhibit("density-profile", title, profile.frame(), profile.note(), profile.plot)
    if len(history.changed_rows()):
        title = "Masks over training"
        yield Exhibit("mask-history", title, history.frame(), history.note(), history.plot)
    if len(active):
        yield _ever_active_exhibit(active, history, overlap)
    if len(overlap.points):
        yield Exhibit(
            "mask-overlap",
            "Overlap of final masks",
            overlap.whole(),
            overlap.note(),
            overlap.plot,
            OVERLAP_TABLE_COLUMNS,
        )
    layers = overlap.by_layer()
    if layers["layer"].nunique() > 1:
        names = ("overlap_layers", "overlap_layers_bars", "overlap_layers_dotted")
        caption = paragraph(write(name) for name in names)
        title = "Overlap of two seeds by layer"
        yield Exhibit("mask-overlap-layers", title, layers, caption, overlap.plot_layers)


def _ever_active_exhibit(
    active: pd.DataFrame, history: MaskHistory, overlap: MaskOverlap
) -> Exhibit:
    """The table of weights that were ever active."""
    table = active.merge(history.at_target(), on="cell", how="left")
    names = ["active", "active_intervals", "active_masks"]
    # A reader who looks for the overlap learns why there is none.
    if overlap.points.empty and overlap.missing:
        names.append("active_no_masks")
    caption = paragraph(write(name) for name in names)
    title = "How much the masks moved"
    return Exhibit("ever-active", title, table, caption, None, ACTIVE_TABLE_COLUMNS)
