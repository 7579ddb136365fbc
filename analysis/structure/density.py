"""Density of the winners' networks, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..catalogue import paragraph, write
from ..catalogue.template import Sentence
from ..drawers import draw
from ..estimates.captions import count_words
from ..estimates.intervals import estimate_means
from ..measure import UNIT_RANGE
from ..notebook import Shown
from ..tables.results import Results
from .trial_folders import TRIAL_COLUMNS, certificate_layers, trial_folders

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAYER_COLUMNS = [*TRIAL_COLUMNS, "position", "layer", "weights", "kept", "density"]
LAYER_KEYS = ["cell", "arm", "sparsity", "epochs", "position", "layer", "weights"]
DENSITY_STATISTICS = ["n", "mean", "sd", "df", "low", "high"]


@dataclass(frozen=True)
class DensityProfile(Shown):
    """Density of the winners' networks by layer: numbers (`frame`), figure, caption (`note`).

    Args:
        layers: Rows of `layer_densities`.
        level: Coverage of the intervals, in (0, 1).
    """

    layers: pd.DataFrame
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per cell and layer.

        Columns: ``cell arm sparsity epochs position layer weights``; ``kept``, the fewest weights
        that a seed keeps (0: a dead layer); ``n mean sd df low high`` of the density over report
        seeds, with a t interval from the layer's own spread in its cell.
        """
        if self.layers.empty:
            return pd.DataFrame(columns=[*LAYER_KEYS, "kept", *DENSITY_STATISTICS])
        keys = ["cell", "position"]
        values = self.layers.pivot(index=keys, columns="seed", values="density")
        firsts = self.layers.drop_duplicates(keys).set_index(keys).loc[values.index]
        fewest = self.layers.groupby(keys)["kept"].min()
        described = firsts.assign(kept=fewest).reset_index()[[*LAYER_KEYS, "kept"]]
        points = estimate_means(
            values.to_numpy(), list(values.index), self.level, bounds=UNIT_RANGE
        )
        frame = pd.concat([described, points[DENSITY_STATISTICS]], axis=1)
        # In the order of the study, not of the cells' names.
        cells = list(dict.fromkeys(self.layers["cell"]))
        frame = frame.assign(_rank=frame["cell"].map(cells.index))
        ordered = frame.sort_values(["_rank", "position"], ignore_index=True)
        return ordered.drop(columns="_rank")

    def dead(self) -> list[str]:
        """Layers without a weight left in some report trial, in words."""
        empty = self.layers[self.layers["kept"] == 0]
        groups = empty.groupby(["arm", "sparsity", "layer"], sort=False)
        trials = groups["trial_id"].nunique().reset_index()
        texts = []
        for row in trials.to_dict("records"):
            where = f"{row['arm']} at {100 * row['sparsity']:g} %"
            texts.append(f"{where}: `{row['layer']}` in {row['trial_id']} trials")
        return texts

    def plot(self) -> Figure:
        """Draw density over layers in order: a panel per arm and length, a line per sparsity.

        Raises:
            SparsetuneError: if there is nothing to draw.
        """
        return draw(self)

    def note(self) -> str:
        """Meaning of the marks, for a caption."""
        return paragraph(self._sentences())

    def _sentences(self) -> Iterator[Sentence]:
        if self.layers.empty:
            yield write("density_none")
            return
        yield write("density_marks", n=count_words(self.frame()["n"], "seeds"))
        yield write("density_bars", level=f"{100 * self.level:g}")
        yield write("density_dotted")
        if self.layers["epochs"].nunique() > 2:
            yield write("structure_lengths")
        for where in self.dead():
            yield write("density_dead", where=where)


def density_profile(
    results: Results, where: Mapping[str, Any] | None = None, level: float = 0.95
) -> DensityProfile:
    """Density by layer of every sparse cell's winner, over report seeds.

    It is empty if no folder holds a certificate.

    Args:
        results: The study.
        where: Dotted fields and their values.
        level: Coverage of the intervals, in (0, 1).

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
        StorageError: if the folders cannot be read.
    """
    return DensityProfile(layer_densities(results, where), level)


def layer_densities(results: Results, where: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """One row per report trial of a sparse winner and layer: `LAYER_COLUMNS`.

    ``position`` counts from 0 at the input.
    """
    rows = []
    for trial, files in trial_folders(results, where):
        for position, layer in enumerate(certificate_layers(files)):
            rows.append(
                {
                    **trial,
                    "position": position,
                    "layer": layer["name"],
                    "weights": layer["weights"],
                    "kept": layer["kept"],
                    "density": layer["kept"] / layer["weights"],
                }
            )
    return pd.DataFrame(rows, columns=LAYER_COLUMNS)
