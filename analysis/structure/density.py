"""Density of the winners' networks, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.estimates.intervals import estimate_means
from analysis.structure.trial_folders import TRIAL_COLUMNS, format_span, read_json, trial_folders
from analysis.tables.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAYER_COLUMNS = [*TRIAL_COLUMNS, "position", "layer", "weights", "kept", "density"]


@dataclass(frozen=True)
class DensityProfile:
    """How dense the winners' networks are, layer by layer: numbers (`frame`), picture (`plot`), marks (`note`).

    Args:
        layers: What `layer_densities` returns.
        level: Coverage of the intervals.
    """

    layers: pd.DataFrame
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per cell and layer: ``cell arm sparsity epochs position layer weights``, ``n mean sd low high``.

        ``mean`` is of the density over report seeds, ``kept`` the fewest weights that a seed keeps (0: a dead layer);
        the t interval is of the layer's own spread in its cell.
        """
        keys = ["cell", "arm", "sparsity", "epochs", "position", "layer", "weights"]
        if self.layers.empty:
            return pd.DataFrame(columns=[*keys, "kept", "n", "mean", "sd", "df", "low", "high"])
        values = self.layers.pivot(index=["cell", "position"], columns="seed", values="density")
        firsts = (
            self.layers.drop_duplicates(["cell", "position"])
            .set_index(["cell", "position"])
            .loc[values.index]
        )
        fewest = self.layers.groupby(["cell", "position"])["kept"].min()
        points = estimate_means(values.to_numpy(), list(values.index), self.level)[
            ["n", "mean", "sd", "df", "low", "high"]
        ]
        frame = pd.concat(
            [firsts.assign(kept=fewest).reset_index()[[*keys, "kept"]], points], axis=1
        )
        order = {cell: rank for rank, cell in enumerate(dict.fromkeys(self.layers["cell"]))}
        return frame.sort_values(
            ["cell", "position"],
            key=lambda c: c.map(order) if c.name == "cell" else c,
            ignore_index=True,
        )

    def dead(self) -> list[str]:
        """Layers with no weight left in some report trial, in words."""
        empty = self.layers[self.layers["kept"] == 0]
        trials = (
            empty.groupby(["arm", "sparsity", "layer"], sort=False)["trial_id"]
            .nunique()
            .reset_index()
        )
        return [
            f"{row['arm']} at {100 * row['sparsity']:g} %: `{row['layer']}` in {row['trial_id']} trials"
            for row in trials.to_dict("records")
        ]

    def plot(self) -> Figure:
        """Draw density over layers in order: a panel per arm and length, a line per sparsity."""
        from analysis.structure import figures

        return figures.draw_densities(self)

    def note(self) -> str:
        """What the marks mean, for a caption."""
        if self.layers.empty:
            return "No certificate of a sparse winner's report trial says how dense its layers are."
        seeds = self.frame()["n"]
        text = f"Density of each prunable layer, input first; means over n = {format_span(seeds)} report seeds of each cell's"
        text += f" winner, bars: {100 * self.level:g} % t intervals. Dotted: the density of the whole network."
        if self.layers["epochs"].nunique() > 2:
            text += " Only the shortest and the longest training are drawn."
        return text + (
            f" No weight is left (crosses): {'; '.join(self.dead())}." if self.dead() else ""
        )


def density_profile(
    results: Results, where: Mapping[str, Any] | None = None, level: float = 0.95
) -> DensityProfile:
    """Density by layer of every sparse cell's winner, over report seeds; empty where no folder holds a certificate.

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
        StorageError: if the folders cannot be read.
    """
    return DensityProfile(layer_densities(results, where), level)


def layer_densities(results: Results, where: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """One row per report trial of a sparse winner and layer: `LAYER_COLUMNS`; ``position`` counts from 0 at the input."""
    rows = []
    for trial, folder in trial_folders(results, where):
        for position, layer in enumerate(
            (read_json(folder / "certificate.json") or {}).get("layers", [])
        ):
            kept = {"kept": layer["kept"], "density": layer["kept"] / layer["weights"]}
            rows.append(
                trial
                | {"position": position, "layer": layer["name"], "weights": layer["weights"]}
                | kept
            )
    return pd.DataFrame(rows, columns=LAYER_COLUMNS)
