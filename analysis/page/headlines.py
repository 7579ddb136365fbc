"""Headline sentences at the top of the report: what was found, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from sparsetune.errors import SparsetuneError

from ..estimates.means import cell_values
from ..lengths.extension import extension_gain_if_judged, tolerance_text
from ..lengths.saturation import epochs_needed
from ..lengths.summary import MORE_OR_LESS
from ..lengths.verdicts import undertraining
from ..measure import Measure
from ..recipes.tuning_gain.retuning import retuning_gain
from ..tables.results import Results
from ..wording import format_sparsity

MAX_ARMS_IN_SENTENCES = 3
"""Arms at one sparsity that have a sentence each; more are ranked in a single one."""
CHANCE_OF_UNDERTRAINED = 0.025
"""Chance that a cell is called under-trained although longer training gains nothing."""


def headline_sentences(
    results: Results, numbers: pd.DataFrame, y: str, where: Mapping[str, Any]
) -> Iterator[str]:
    """Sentences on the dense network, the sparsest one of each arm, and gains from longer training.

    Args:
        results: The study.
        numbers: Rows of `analysis.lengths.summary.summary`.
        y: The measure of ``numbers``.
        where: Sweep axes and the value of each.
    """
    measure = results.measure(y)
    is_dense = numbers["sparsity"] == 0
    sparse = numbers[numbers["sparsity"] > 0]
    for row in numbers[is_dense].to_dict("records"):
        yield f"Dense: {measure.phrase} {_mean_text(row, measure)}."
    ranking = ranking_sentence(sparse, measure)
    if ranking:
        yield ranking
    else:
        yield from _sparsest_sentences(sparse, measure)
    yield from _extension_sentences(sparse, measure)
    if _is_dense_unsaturated(results, y, where):
        tolerance = tolerance_text(results, y, where)
        yield (
            f"No gain from longer training is claimed: dense is within {tolerance} of its best only"
            " at the longest one."
        )


def _sparsest_sentences(sparse: pd.DataFrame, measure: Measure) -> Iterator[str]:
    """A sentence for each arm, on its sparsest network."""
    for arm, rows in sparse.groupby("arm", sort=False):
        row = rows.sort_values(["sparsity", "epochs"]).to_dict("records")[-1]
        sparsity = format_sparsity(row["sparsity"])
        difference = measure.difference_text(
            row["difference"], row["difference_low"], row["difference_high"]
        )
        from_dense = f"; {difference} from its dense twin" if difference else ""
        reached = _mean_text(row, measure)
        yield f"{arm} at {sparsity} % sparsity: {measure.phrase} {reached}{from_dense}."


def _mean_text(row: Mapping[Any, Any], measure: Measure) -> str:
    """A row's mean with its interval, unit, length and n."""
    mean = measure.value_text(row["mean"], row["low"], row["high"])
    unit = f" {measure.unit}" if measure.unit else ""
    length = "" if pd.isna(row["epochs"]) else f" after {row['epochs']:g} epochs"
    return f"{mean}{unit}{length}, n = {row['n']}"


def ranking_sentence(sparse: pd.DataFrame, measure: Measure) -> str:
    """Sentence that ranks the arms, best first, at the highest sparsity that many of them have.

    They are compared after the longest training that all of them had. If there is none, each is
    taken after its own longest, which is named.

    Args:
        sparse: Rows of `analysis.lengths.summary.summary` with a sparsity above 0.
        measure: Their measure.

    Returns:
        The sentence; empty if no sparsity has more than `MAX_ARMS_IN_SENTENCES` arms.
    """
    arms_by_sparsity = sparse.groupby("sparsity")["arm"].nunique()
    crowded = arms_by_sparsity.index[arms_by_sparsity > MAX_ARMS_IN_SENTENCES]
    if crowded.empty:
        return ""
    sparsity = crowded.max()
    ranked = _ranked_arms(sparse[sparse["sparsity"] == sparsity])
    has_intervals = ranked["low"].notna().any()
    have_own_lengths = ranked["epochs"].nunique() > 1
    values = []
    for row in ranked.to_dict("records"):
        value = f"{row['arm']} {measure.value_text(row['mean'])}"
        if have_own_lengths:
            value += f" after {row['epochs']:g} epochs"
        if has_intervals and row["n"] < 2:
            value += " (one seed)"
        values.append(value)
    length = ""
    if sparse["epochs"].nunique() > 1 and not have_own_lengths:
        length = f" after {ranked['epochs'].iloc[0]:g} epochs"
    reason = "Where intervals overlap" if has_intervals else "Without intervals"
    unit = " in percent" if measure.is_fraction else ""
    return (
        f"At {format_sparsity(sparsity)} % sparsity{length}, {measure.phrase}{unit}:"
        f" {', '.join(values)}. {reason}, the order is not settled."
    )


def _ranked_arms(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per arm, best first, after the longest training of all arms, else its own longest."""
    arms_by_length = rows.groupby("epochs")["arm"].nunique()
    common = arms_by_length.index[arms_by_length == rows["arm"].nunique()]
    if len(common):
        rows = rows[rows["epochs"] == common.max()]
    # Stable sorts: arms that are equal stay in the order of the declaration.
    longest = rows.sort_values("epochs", ascending=False, kind="stable").drop_duplicates("arm")
    return longest.sort_values("mean", ascending=False, kind="stable")


def _extension_sentences(sparse: pd.DataFrame, measure: Measure) -> Iterator[str]:
    """Sentences on what longer training gains: one for each arm, verdict and pair of lengths."""
    # There is a row per length, each repeating the gain of its arm and sparsity.
    judged = sparse[sparse["verdict"] != ""].drop_duplicates(["arm", "sparsity"])
    verdicts = [_gain_verdict_text(row) for row in judged.to_dict("records")]
    judged = judged.assign(verdict_text=verdicts)
    keys = ["arm", "verdict_text", "from_epochs", "to_epochs"]
    for (arm, verdict, start, end), rows in judged.groupby(keys, sort=False):
        step = f"from {start:g} to {end:g} epochs"
        gains = ", ".join(_gain_text(row, measure) for row in rows.to_dict("records"))
        if rows["verdict"].isin(MORE_OR_LESS).all():
            yield f"{arm} {verdict} than dense {step}: {gains}."
        else:
            yield f"{arm} {step}: gain over dense {verdict}: {gains}."


def _gain_verdict_text(row: Mapping[Any, Any]) -> str:
    """The verdict of a gain, which is a loss if the sparse network itself became worse."""
    is_loss = row["verdict"] in MORE_OR_LESS and not row["sparse_gain"] > 0
    if not is_loss:
        return str(row["verdict"])
    return "loses less" if row["gain"] > 0 else "loses more"


def _gain_text(row: Mapping[Any, Any], measure: Measure) -> str:
    """A gain over dense with its interval, and the sparse network's own if the verdict compares."""
    gain = measure.difference_text(row["gain"], row["gain_low"], row["gain_high"])
    own = ""
    if row["verdict"] in MORE_OR_LESS:
        own = f" (itself {measure.change_text(row['sparse_gain'], sign='+')})"
    return f"{gain} at {format_sparsity(row['sparsity'])} %{own}"


def _is_dense_unsaturated(results: Results, y: str, where: Mapping[str, Any]) -> bool:
    """True if dense was trained for several lengths and only the longest suffices.

    No gain from longer training is claimed then.
    """
    gains = extension_gain_if_judged(results, y, where=where)
    cells, values, _ = cell_values(results, y, where)
    is_measured = values.notna().any(axis=1)
    dense_epochs = cells.loc[(cells["sparsity"] == 0) & is_measured, "epochs"]
    if gains.empty or gains["claimed"].any() or dense_epochs.nunique() < 2:
        return False
    # Gains that are not claimed end at the length that first suffices for dense.
    return bool(gains["to_epochs"].max() == dense_epochs.max())


def length_sentences(results: Results, where: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on under-training and on the epochs that each sparsity needs, by validation.

    There are none if no validation was measured.
    """
    try:
        cells = undertraining(results, where=where).frame()
        needed = epochs_needed(results, where=where).frame()
    except SparsetuneError:
        return
    judged = cells[cells["gain_low"].notna()]
    for arm, rows in judged.groupby("arm", sort=False):
        yield _undertraining_sentence(arm, rows)
    is_known = needed["needed"].astype("string").fillna("") != ""
    for arm, rows in needed[is_known].groupby("arm", sort=False):
        lengths = ", ".join(
            f"{_at_sparsity(row['sparsity'])}{row['needed']}" for row in rows.to_dict("records")
        )
        yield f"Epochs that {arm} needs: {lengths}."


def _undertraining_sentence(arm: Any, rows: pd.DataFrame) -> str:
    """Sentence on one arm, of a row per cell judged."""
    lengths = []
    for sparsity, line in rows.groupby("sparsity"):
        if line["verdict"].eq("under-trained").any():
            lengths.append(f"{_at_sparsity(sparsity)}{undertrained_lengths(line)}")
    if not lengths:
        return f"{arm}: no cell is shown to be under-trained."
    judged = ""
    if len(rows) > 1:
        by_chance = CHANCE_OF_UNDERTRAINED * len(rows)
        judged = (
            f" ({len(rows)} cells judged, {by_chance:.1f} of them would be called so by chance)"
        )
    return f"{arm} is under-trained {', '.join(lengths)}{judged}."


def undertrained_lengths(line: pd.DataFrame) -> str:
    """The under-trained lengths of cells that differ in their length only.

    Args:
        line: ``epochs verdict``, one row per cell; at least one is under-trained.

    Returns:
        ``up to 16 epochs`` if all shorter cells are under-trained too, else each length.
    """
    line = line.sort_values("epochs")
    every_length = line["epochs"].tolist()
    lengths = line.loc[line["verdict"] == "under-trained", "epochs"].tolist()
    are_shortest = lengths == every_length[: len(lengths)]
    if are_shortest and len(lengths) > 1:
        return f"up to {lengths[-1]:g} epochs"
    names = [f"{length:g}" for length in lengths]
    return f"after {' and '.join(names)} epochs"


def _at_sparsity(sparsity: Any) -> str:
    """``at 90 %`` with a space behind it; empty for dense."""
    return f"at {format_sparsity(sparsity)} % " if sparsity > 0 else ""


def tuning_sentences(results: Results, y: str, where: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on what tuning gained over the dense recipe, at the sparsest cells of each arm."""
    cells, _, _ = cell_values(results, y, where)
    gains = retuning_gain(results, y).set_index("cell")
    measure = results.measure(y)
    with_dense_recipe = _cells_with_dense_recipe(results)
    # Winners that were chosen on the very runs that are compared look better than they are.
    luck = "" if results.fresh_seeds else " (on the runs that chose it, so too good by luck)"
    tuned = cells[(cells["sparsity"] > 0) & cells["arm"].isin(gains["arm"])]
    for arm, rows in tuned.groupby("arm", sort=False):
        sparsest = rows.index[rows["sparsity"] == rows["sparsity"].max()]
        judged = [cell for cell in sparsest if cell in gains.index]
        found = [_tuning_text(gains.loc[cell], cell, measure) for cell in judged]
        unchanged = [cell for cell in sparsest if cell in with_dense_recipe]
        found += [f"{cell} is best with the dense recipe itself" for cell in unchanged]
        if found:
            yield f"{arm}, tuned in the cell{luck}: {'; '.join(found)}."


def _cells_with_dense_recipe(results: Results) -> set[Any]:
    """Cells whose search chose the dense recipe."""
    cells = results.cells().set_index("cell").reindex(columns=["control_id", "winner_id"])
    is_control = cells["control_id"].eq(cells["winner_id"]).fillna(False)
    return set(cells.index[is_control])


def _tuning_text(row: Mapping[Any, Any], cell: Any, measure: Measure) -> str:
    """What one cell's winner gained over the dense recipe, of a row of `retuning_gain`."""
    if pd.isna(row["gain"]):
        count = row["control_diverged"]
        seeds = "seed" if count == 1 else "seeds"
        return f"in {cell} the dense recipe diverged on {count} {seeds}, the winner did not"
    if row["low"] > 0 or row["high"] < 0:
        is_better = row["gain"] > 0
        verdict = "better than the dense recipe by" if is_better else "worse than the dense recipe:"
    else:
        verdict = "not separated from the dense recipe:"
    gain = measure.difference_text(row["gain"], row["low"], row["high"])
    return f"{verdict} {gain} in {cell}, n = {row['n']}"
