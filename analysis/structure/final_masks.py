"""Final masks of the winners' report trials, as packed bits: one bit per weight."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsetune.storage.trial_files import MASKS_FILE, MODEL_FILE, AttemptFiles, if_whole

from ..tables.results import Results
from ..tables.selection import report_rows
from .trial_folders import certificate_layers, trial_folders

Bits = NDArray[np.uint8]
UNTRAINED_ENCODERS = ("bert_tiny", "bert_base")
"""Encoders that start from the trial's seed. Others are pre-trained: one start for all seeds."""


@dataclass(frozen=True)
class FinalMask:
    """Final mask of one report trial.

    Args:
        recipe: Name of the recipe: arm and length.
        sparsity: Target sparsity, in [0, 1).
        seed: Seed of the trial.
        start: Name of the initial weights.
        bits: Packed bits of each layer; a set bit is a weight inside the mask.
        sizes: Number of weights of each layer.
    """

    recipe: str
    sparsity: float
    seed: int
    start: str
    bits: Mapping[str, Bits]
    sizes: Mapping[str, int]

    @property
    def kept(self) -> NDArray[np.float64]:
        """Number of weights inside the mask, shape [n_layers]."""
        return np.array([np.bitwise_count(bits).sum() for bits in self.bits.values()], np.float64)


def final_masks(
    results: Results, where: Mapping[str, Any] | None = None
) -> Iterator[tuple[list[FinalMask], int]]:
    """Masks of one sparsity after the other, and how many of its trials left none.

    They come in turn since all need not fit into memory. Masks are read from ``masks.safetensors``
    of a trial, or from a kept model, whose zeros count as pruned; a study of an older version has
    neither.

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
        StorageError: if the folders cannot be read.
    """
    folders = list(trial_folders(results, where))
    starts = _start_names(results)
    recipes = _recipe_names([trial for trial, _ in folders])
    sparsities = {trial["sparsity"] for trial, _ in folders}
    for sparsity in sorted(sparsities):
        masks = []
        missing = 0
        for trial, files in folders:
            if trial["sparsity"] != sparsity:
                continue
            bits, sizes = read_final_mask(files)
            if not bits:
                missing += 1
                continue
            recipe = recipes[trial["cell"]]
            start = starts[trial["trial_id"]]
            masks.append(FinalMask(recipe, sparsity, int(trial["seed"]), start, bits, sizes))
        yield masks, missing


def _recipe_names(trials: list[dict[str, Any]]) -> dict[str, str]:
    """Name of each cell's recipe: the arm, with the length if the arm has several.

    If that does not tell cells apart, the name is the cell's own.
    """
    columns = ["cell", "arm", "sparsity", "epochs"]
    cells = pd.DataFrame(trials, columns=columns).drop_duplicates("cell")
    names = cells["arm"].astype("string")
    has_several_lengths = cells.groupby("arm")["epochs"].transform("nunique") > 1
    lengths = cells["epochs"].map("{:g} ep".format).astype("string")
    names = names.where(~has_several_lengths, names + " " + lengths)
    named = pd.DataFrame({"name": names, "sparsity": cells["sparsity"]})
    # Cells may differ in a sweep axis that is neither sparsity nor length.
    is_ambiguous = named.duplicated(keep=False)
    names = names.where(~is_ambiguous, cells["cell"].astype("string"))
    return dict(zip(cells["cell"], names, strict=True))


def _start_names(results: Results) -> dict[str, str]:
    """Name of each report trial's initial weights: those of its seed, or of a pre-training."""
    rows = report_rows(results)
    pretrained = pd.Series("", rows.index)
    for path in ("task.weights", "sparsity.checkpoint"):
        if path in rows:
            pretrained += rows[path].astype("string").fillna("")
    if {"task.model", "task.kind"} <= set(rows):
        is_text = rows["task.kind"].eq("text")
        is_pretrained = is_text & ~rows["task.model"].isin(UNTRAINED_ENCODERS)
        pretrained += rows["task.model"].astype("string").where(is_pretrained, "").fillna("")
    start = pretrained.where(pretrained != "", "seed " + rows["seed"].astype("string"))
    return dict(zip(rows["trial_id"], start, strict=True))


def read_final_mask(files: AttemptFiles) -> tuple[dict[str, Bits], dict[str, int]]:
    """Packed bits and number of weights by layer, from an attempt's files; empty without a mask.

    A file that does not hold what the certificate counted is no mask.
    """
    layers = certificate_layers(files)
    if not layers:
        return {}, {}
    sizes = {layer["name"]: int(layer["weights"]) for layer in layers}
    tensors = _tensors(files, MASKS_FILE)
    if sizes.keys() <= tensors.keys():
        bits = {name: tensors[name] for name in sizes}
        kept = {layer["name"]: layer["kept"] for layer in layers}
        if _has_counts(bits, sizes, kept):
            return bits, sizes
    # A model is larger than its masks, so it is read only without them.
    tensors = _tensors(files, MODEL_FILE)
    if sizes.keys() <= tensors.keys():
        bits = {name: np.packbits(tensors[name] != 0) for name in sizes}
        # A model does not tell kept weights that are zero from pruned ones.
        nonzero = {layer["name"]: layer["weights"] - layer["zeros"] for layer in layers}
        if _has_counts(bits, sizes, nonzero):
            return bits, sizes
    return {}, {}


def _has_counts(
    bits: Mapping[str, Bits], sizes: Mapping[str, int], counts: Mapping[str, int]
) -> bool:
    """True if every layer has the bytes for its size and as many set bits as were counted."""
    # Sizes first: a tensor of another size may be of a type whose bits cannot be counted.
    n_bytes = {name: -(-size // 8) for name, size in sizes.items()}  # rounded up
    if any(bits[name].size != n_bytes[name] for name in sizes):
        return False
    return all(np.bitwise_count(bits[name]).sum() == counts[name] for name in sizes)


def _tensors(files: AttemptFiles, name: str) -> dict[str, NDArray[Any]]:
    """Tensors of a file by name; empty if it is missing, damaged or of a type that numpy lacks."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = if_whole(lambda: files.read(name))
    if data is None:
        return {}
    try:
        # A damaged file must not end a report: the trial then counts as one without a mask.
        return load(data)
    except (SafetensorError, KeyError, TypeError, ValueError):
        return {}
