"""Headline sentences at the top of the report: what was found, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from sparsetune.errors import SparsetuneError

from ..estimates.means import DENSE_RECIPE, cell_values
from ..lengths.extension import extension_gain_if_judged, tolerance_text
from ..lengths.needed import NOT_SETTLED, epochs_needed
from ..lengths.verdicts import UNDER_TRAINED, undertraining
from ..measure import Measure
from ..recipes.tuning_gain.retuning import retuning_gain
from ..tables.results import Results
from ..tables.selection import cell_phrases
from ..wording import arm_title, format_sparsity, start_sentence

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
    if _is_dense_best_at_the_longest(results, y, where):
        tolerance = tolerance_text(results, y, where)
        yield (
            f"The dense network is within {tolerance} of its best only at the longest training, so"
            " gains of longer training have nothing to start from: train longer."
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
        line = start_sentence(arm_title(str(arm)))
        yield f"{line} at {sparsity} % sparsity: {measure.phrase} {reached}{from_dense}."


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
    """Sentences on what longer training gains: one for each arm and pair of lengths.

    Differences are given with their sign: whether a network itself gains or loses is not said, as
    its own change has no interval.
    """
    # There is a row per length, each repeating the gain of its arm and sparsity.
    judged = sparse[sparse["verdict"] != ""].drop_duplicates(["arm", "sparsity"])
    for (arm, start, end), rows in judged.groupby(["arm", "from_epochs", "to_epochs"], sort=False):
        gains = ", ".join(_gain_text(row, measure) for row in rows.to_dict("records"))
        yield (
            f"From {start:g} to {end:g} epochs, the change of {arm_title(str(arm))} minus that of"
            f" the dense network is {gains}."
        )


def _gain_text(row: Mapping[Any, Any], measure: Measure) -> str:
    """A gain over dense with its interval and number of seeds, and its sparsity."""
    low = row["gain_low"]
    high = row["gain_high"]
    gain = measure.difference_phrase(row["gain"], low, high, row["gain_n"])
    is_settled = low > 0 or high < 0
    return f"{gain} at {format_sparsity(row['sparsity'])} %{'' if is_settled else ' (not settled)'}"


def _is_dense_best_at_the_longest(results: Results, y: str, where: Mapping[str, Any]) -> bool:
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
        if rows["verdict"].eq(UNDER_TRAINED).any():
            yield _undertraining_sentence(str(arm), rows)
    for arm, rows in needed.groupby("arm", sort=False):
        yield from _needed_sentences(str(arm), rows)


def _needed_sentences(arm: str, rows: pd.DataFrame) -> Iterator[str]:
    """Sentences on the epochs that one arm needs: what is shown together, what is not by itself."""
    is_shown = rows["verdict"] != NOT_SETTLED
    shown = [
        f"{row['needed']} epochs{_at_sparsity(row['sparsity'])}"
        for row in rows[is_shown].to_dict("records")
    ]
    if shown:
        yield f"{start_sentence(arm_title(arm))} needs {', '.join(shown)}."
    for row in rows[~is_shown].to_dict("records"):
        reason = "there is no interval"
        if pd.notna(row["low"]):
            reason = f"{row['low']:g} epochs may do, {row['longest']:g} may not"
        line = f"{arm_title(arm)} must train{_at_sparsity(row['sparsity'])}"
        yield f"How long {line} is not settled: {reason}."


def _undertraining_sentence(arm: str, rows: pd.DataFrame) -> str:
    """Sentence on one arm, of a row per cell judged, of which some are under-trained."""
    lengths = []
    for sparsity, line in rows.groupby("sparsity"):
        if line["verdict"].eq(UNDER_TRAINED).any():
            at = _at_sparsity(sparsity)
            lengths.append(f"{at.lstrip()} {undertrained_lengths(line)}".lstrip())
    judged = ""
    if len(rows) > 1:
        by_chance = CHANCE_OF_UNDERTRAINED * len(rows)
        judged = (
            f" ({len(rows)} cells judged, {by_chance:.1f} of them would be called so by chance)"
        )
    name = start_sentence(arm_title(arm))
    return f"{name} is under-trained {', '.join(lengths)}{judged}."


def undertrained_lengths(line: pd.DataFrame) -> str:
    """The under-trained lengths of cells that differ in their length only.

    Args:
        line: ``epochs verdict``, one row per cell; at least one is under-trained.

    Returns:
        ``up to 16 epochs`` if all shorter cells are under-trained too, else each length.
    """
    line = line.sort_values("epochs")
    every_length = line["epochs"].tolist()
    lengths = line.loc[line["verdict"] == UNDER_TRAINED, "epochs"].tolist()
    are_shortest = lengths == every_length[: len(lengths)]
    if are_shortest and len(lengths) > 1:
        return f"up to {lengths[-1]:g} epochs"
    names = [f"{length:g}" for length in lengths]
    return f"after {' and '.join(names)} epochs"


def _at_sparsity(sparsity: Any) -> str:
    """``at 90 %`` with a space before it; empty for dense."""
    return f" at {format_sparsity(sparsity)} %" if sparsity > 0 else ""


def tuning_sentences(results: Results, y: str, where: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on what tuning gained over the dense recipe, at the sparsest cells of each arm."""
    cells, _, _ = cell_values(results, y, where)
    gains = retuning_gain(results, y).set_index("cell")
    measure = results.measure(y)
    with_dense_recipe = _cells_with_dense_recipe(results)
    phrases = cell_phrases(results)
    tuned = cells[(cells["sparsity"] > 0) & cells["arm"].isin(gains["arm"])]
    for _, rows in tuned.groupby("arm", sort=False):
        for cell in rows.index[rows["sparsity"] == rows["sparsity"].max()]:
            if cell in gains.index:
                yield _tuning_sentence(gains.loc[cell], phrases[cell], measure, results.fresh_seeds)
            elif cell in with_dense_recipe:
                yield f"For {phrases[cell]}, the search chose the dense recipe itself."


def _cells_with_dense_recipe(results: Results) -> set[Any]:
    """Cells whose search chose the dense recipe."""
    cells = results.cells().set_index("cell").reindex(columns=["control_id", "winner_id"])
    is_control = cells["control_id"].eq(cells["winner_id"]).fillna(False)
    return set(cells.index[is_control])


def _tuning_sentence(
    row: Mapping[Any, Any], cell: str, measure: Measure, is_on_fresh_seeds: bool
) -> str:
    """What one cell's winner gained over the dense recipe.

    Args:
        row: The row of `retuning_gain`.
        cell: Name of the cell within a sentence.
        measure: The measure.
        is_on_fresh_seeds: False if the winner was chosen on the very runs that are compared.
    """
    if pd.isna(row["gain"]):
        count = row["control_diverged"]
        seeds = "seed" if count == 1 else "seeds"
        return f"For {cell}, the dense recipe diverged on {count} {seeds}, the winner did not."
    gain = measure.difference_phrase(row["gain"], row["low"], row["high"], row["n"])
    # Winners that were chosen on the very runs that are compared look better than they are.
    luck = "" if is_on_fresh_seeds else ", on the runs that chose it, so too good by luck"
    is_settled = row["low"] > 0 or row["high"] < 0
    end = "" if is_settled else ": not settled"
    comma = "," if "," in cell else ""
    change = f"Re-tuning {cell}{comma} changed {measure.phrase} by {gain}"
    return f"{change} over {DENSE_RECIPE}{luck}{end}."
