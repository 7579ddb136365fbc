"""The final masks of the winners' report trials, as packed bits: a bit a weight."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.structure.trial_folders import read_json, trial_folders
from analysis.tables.results import Results
from analysis.tables.selection import report_rows
from sparsetune.paths import Place, read_content

Bits = NDArray[np.uint8]
UNTRAINED_ENCODERS = ("bert_tiny", "bert_base")
"""Encoders that start from the trial's seed; every other text encoder is pre-trained: one start for all seeds."""


@dataclass(frozen=True)
class FinalMask:
    """The final mask of one report trial: packed bits and sizes by layer, where it started, and which recipe it is."""

    recipe: str
    sparsity: float
    seed: int
    start: str
    bits: Mapping[str, Bits]
    sizes: Mapping[str, int]

    @property
    def kept(self) -> NDArray[np.float64]:
        """Weights inside the mask, by layer."""
        return np.array([np.bitwise_count(bits).sum() for bits in self.bits.values()], np.float64)


def final_masks(
    results: Results, where: Mapping[str, Any] | None = None
) -> Iterator[tuple[list[FinalMask], int]]:
    """Those of each sparsity in turn, since all need not fit into memory; and how many trials left none.

    Masks are read from ``masks.safetensors`` of a trial, or from a kept model, whose zeros count as pruned; a study of
    an older version has neither.

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
        StorageError: if the folders cannot be read.
    """
    found = list(trial_folders(results, where))
    starts = _start_names(results)
    recipes = _recipes([trial for trial, _ in found])
    for sparsity in sorted({trial["sparsity"] for trial, _ in found}):
        masks = []
        missing = 0
        for trial, folder in (one for one in found if one[0]["sparsity"] == sparsity):
            bits, sizes = read_final_mask(folder)
            missing += not bits
            if bits:
                start = starts[trial["trial_id"]]
                masks.append(
                    FinalMask(
                        recipes[trial["cell"]], sparsity, int(trial["seed"]), start, bits, sizes
                    )
                )
        yield masks, missing


def _recipes(trials: list[dict[str, Any]]) -> dict[str, str]:
    """A name for the recipe of each cell: the arm, with the length where it has several; else the cell's own."""
    cells = pd.DataFrame(trials, columns=["cell", "arm", "sparsity", "epochs"]).drop_duplicates(
        "cell"
    )
    names = cells["arm"].astype("string")
    several = cells.groupby("arm")["epochs"].transform("nunique") > 1
    names = names.where(
        ~several, names + " " + cells["epochs"].map("{:g} ep".format).astype("string")
    )
    alike = pd.DataFrame({"name": names, "sparsity": cells["sparsity"]}).duplicated(keep=False)
    return dict(
        zip(cells["cell"], names.where(~alike, cells["cell"].astype("string")), strict=True)
    )


def _start_names(results: Results) -> dict[str, str]:
    """What each report trial's initial weights are a function of."""
    rows = report_rows(results)
    pretrained = pd.Series("", rows.index)
    for path in ("task.weights", "sparsity.checkpoint"):
        pretrained += rows[path].astype("string").fillna("") if path in rows else ""
    if "task.model" in rows:
        text = rows["task.kind"].eq("text") & ~rows["task.model"].isin(UNTRAINED_ENCODERS)
        pretrained += rows["task.model"].astype("string").where(text, "").fillna("")
    start = pretrained.where(pretrained != "", "seed " + rows["seed"].astype("string"))
    return dict(zip(rows["trial_id"], start, strict=True))


def read_final_mask(folder: Place) -> tuple[dict[str, Bits], dict[str, int]]:
    """The final mask in an attempt's folder: packed bits and number of weights by layer, empty where there is none.

    A file that does not hold what the certificate counted is no mask.
    """
    layers = (read_json(folder / "certificate.json") or {}).get("layers", [])
    sizes = {layer["name"]: int(layer["weights"]) for layer in layers}
    for file, pruned in (("masks.safetensors", "kept"), ("model.safetensors", "zeros")):
        tensors = _tensors(folder / file)
        if layers and all(name in tensors for name in sizes):
            whole = file.startswith("model")
            bits = {
                name: np.packbits(tensors[name] != 0) if whole else tensors[name] for name in sizes
            }
            asked = {
                y["name"]: y["weights"] - y["zeros"] if pruned == "zeros" else y["kept"]
                for y in layers
            }
            if all(bits[name].size == -(-sizes[name] // 8) for name in sizes) and all(
                np.bitwise_count(bits[name]).sum() == asked[name] for name in sizes
            ):
                return bits, sizes
    return {}, {}


def _tensors(path: Place) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = read_content(path)
    try:
        return load(data) if data is not None else {}
    except (
        SafetensorError,
        KeyError,
        TypeError,
        ValueError,
    ):  # damaged, or of a type that numpy lacks
        return {}
