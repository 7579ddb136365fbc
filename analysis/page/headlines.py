"""The verdict in sentences: what was found, how sure it is, and what to run next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.checks.seeds import FEWEST
from analysis.lengths.saturation import epochs_needed
from analysis.lengths.verdicts import undertraining
from analysis.load import StudyResults
from analysis.means import cell_values
from analysis.page.wording import interval, several, sparsity
from analysis.quantities import measure
from analysis.results import Results
from analysis.retuning import retuning_gain
from analysis.summary import MORE_OR_LESS
from sparsetune.errors import SparsetuneError

MANY = 3
"""Arms at one sparsity that the headlines still give a sentence each; more are ranked in one."""
WORTH = 20
"""More seeds than this are not advised: what they would settle is small."""


def headlines(numbers: pd.DataFrame, gains: pd.DataFrame, y: str) -> Iterator[str]:
    """The dense network, the sparsest one of each arm, and what longer training gains.

    Args:
        numbers: Of `analysis.summary.summary`.
        gains: Of `analysis.lengths.extension.extension_gain`.
        y: The measure of both.
    """
    dense, sparse = numbers[numbers["sparsity"] == 0], numbers[numbers["sparsity"] > 0]
    for row in dense.to_dict("records"):
        yield f"Dense: {measure(y).lower()} {_reached(row)}."
    ranking = _ranking(sparse, y)
    yield from ranking
    for arm, rows in sparse.groupby("arm", sort=False) if not ranking else ():
        row = rows.sort_values(["sparsity", "epochs"]).to_dict("records")[-1]
        twin = interval(row["difference"], row["difference_low"], row["difference_high"])
        distance = f"; {twin} points from its dense twin" if twin else ""
        yield f"{arm} at {sparsity(row['sparsity'])} % sparsity: {measure(y).lower()} {_reached(row)}{distance}."
    yield from _longer(sparse)
    if len(gains) and not gains["claimed"].any():
        yield "No gain from longer training is claimed: dense is within 0.2 points of its best only at the longest one."


def lengths_needed(results: Results, where: Mapping[str, Any]) -> Iterator[str]:
    """Whether the sparse networks are under-trained, and how many epochs each sparsity needs; judged by validation."""
    try:
        cells, needed = undertraining(results, where=where).frame(), epochs_needed(results, where=where).frame()
    except SparsetuneError:
        return  # no validation was measured
    for arm, rows in cells[cells["gain_low"].notna()].groupby("arm", sort=False):
        under = rows[rows["verdict"] == "under-trained"].groupby("sparsity")["epochs"].max()
        each = ", ".join(f"{_at(at)}up to {epochs:g} epochs" for at, epochs in under.items())
        yield f"{arm} is under-trained {each}." if each else f"{arm}: no cell is shown to be under-trained."
    for arm, rows in needed[needed["needed"].astype("string").fillna("") != ""].groupby("arm", sort=False):
        each = ", ".join(f"{_at(row['sparsity'])}{row['needed']}" for row in rows.to_dict("records"))
        yield f"Epochs that {arm} needs: {each}."


def _at(target: Any) -> str:
    return f"at {sparsity(target)} % " if target > 0 else ""


def recipes(results: Results, y: str, where: Mapping[str, Any]) -> Iterator[str]:
    """What tuning at the sparsest cell of each arm gained over the dense recipe."""
    gains = retuning_gain(results, y)
    cells = cell_values(results, y, where)[0]
    gains = gains[gains["cell"].isin(cells[cells["sparsity"] > 0].index)]
    gains = gains.assign(sparsity=gains["cell"].map(cells["sparsity"]))
    for arm, rows in gains.groupby("arm", sort=False):
        best = rows[rows["sparsity"] == rows["sparsity"].max()]
        each = "; ".join(
            f"{interval(row['gain'], row['low'], row['high'])} points in {row['cell']}, n = {row['n']}"
            + ("" if row["low"] > 0 or row["high"] < 0 else " (not separated from 0)")
            for row in best.to_dict("records")
        )
        yield f"{arm}: tuning in the cell gains over the dense recipe {each}."


def _longer(sparse: pd.DataFrame) -> Iterator[str]:
    """What longer training gains, a sentence for each arm and verdict."""
    known = sparse[sparse["verdict"] != ""].drop_duplicates(["arm", "sparsity"])
    for _, rows in known.groupby(["arm", "verdict"], sort=False):
        arm, verdict = rows["arm"].iloc[0], rows["verdict"].iloc[0]
        step = f"from {rows['from_epochs'].iloc[0]:g} to {rows['to_epochs'].iloc[0]:g} epochs"
        gains = ", ".join(
            f"{interval(row['gain'], row['gain_low'], row['gain_high'])} points at {sparsity(row['sparsity'])} %"
            for row in rows.to_dict("records")
        )
        said = (
            f"{arm} {verdict} than dense {step}"
            if verdict in MORE_OR_LESS
            else f"{arm} {step}: gain over dense {verdict}"
        )
        yield f"{said}: {gains}."


def _ranking(sparse: pd.DataFrame, y: str) -> list[str]:
    """The arms from the best down at the highest sparsity that many have; nothing where no sparsity has many."""
    arms = sparse.groupby("sparsity")["arm"].nunique()
    shared = arms.index[arms > MANY]
    if shared.empty:
        return []
    ranked = sparse[sparse["sparsity"] == shared.max()].sort_values("epochs", ascending=False, kind="stable")
    ranked = ranked.drop_duplicates("arm").sort_values("mean", ascending=False, kind="stable")
    values = ", ".join(f"{row['arm']} {100 * row['mean']:.2f}" for row in ranked.to_dict("records"))
    unsure = "Where intervals overlap" if ranked["low"].notna().any() else "With one seed each"
    at = f"At {sparsity(shared.max())} % sparsity"
    return [f"{at}, {measure(y).lower()} in percent: {values}. {unsure}, the order is not settled."]


def _reached(row: Mapping[Any, Any]) -> str:
    length = "" if pd.isna(row["epochs"]) else f" after {row['epochs']:g} epochs"
    return f"{interval(row['mean'], row['low'], row['high'])} %{length}, n = {row['n']}"


def what_next(results: Results, numbers: pd.DataFrame, command: str) -> Iterator[str]:
    """What to run so that the verdict can be given, or becomes surer.

    Args:
        results: The study.
        numbers: Of `analysis.summary.summary`, those of all sections together.
        command: What resumes the study; empty where nothing does.
    """
    cells, trials = results.cells(), results.trials()

    def with_it(options: str) -> str:
        return f": {command} {options}".rstrip() if command else ""

    unfinished = cells.loc[~cells["finished"].astype(bool), "cell"].astype(str).tolist()
    if unfinished:
        yield f"Finish {len(unfinished)} of {len(cells)} cells ({several(unfinished)}){with_it('')}"
    failed = int(trials["status"].eq("FAILED").sum())
    if failed:
        yield f"Run {failed} failed trials again, once their reason is mended{with_it('--retry-failed')}"
    seeds = numbers["n"].min() if len(numbers) else pd.NA
    unsure = numbers[numbers["verdict"].str.startswith("not separated")] if len(numbers) else numbers
    unsure = unsure.drop_duplicates(["arm", "sparsity"]) if len(unsure) else unsure
    vague = "longer training is not separated from dense for"
    if len(near := unsure[~(unsure["gain_more_seeds"] > WORTH)] if len(unsure) else unsure):
        few = math.ceil(near["gain_more_seeds"].fillna(max(1, FEWEST - seeds)).max())
        again = with_it(f"--add-report-seeds {few}")
        yield f"Add about {few} {seeds_in_words(results, few)}, now n = {seeds}: {vague} {_lines(near)}{again}"
    if len(far := unsure[unsure["gain_more_seeds"] > WORTH] if len(unsure) else unsure):
        yield f"More than {WORTH} seeds, another question may be worth more: {vague} {_lines(far)}"
    gaining = [row for row in _still_gaining(results) if row["sparsity"] > 0]
    for longest in dict.fromkeys(row["longest"] for row in gaining):
        lines = [f"{row['arm']} at {sparsity(row['sparsity'])} %" for row in gaining if row["longest"] == longest]
        yield f"Train longer than {longest:g} epochs, the longest, where validation is still best: {several(lines)}"
    if not len(unsure) and pd.notna(seeds) and seeds < FEWEST:
        few = FEWEST - int(seeds)
        again = with_it(f"--add-report-seeds {few}")
        yield f"Add {few} {seeds_in_words(results, few)}: n = {seeds} is less than three{again}"


def seeds_in_words(results: Results, count: int) -> str:
    """What is added: ``report seeds``, or of a table ``runs with other seeds``."""
    one, many = ("run with another seed", "runs with other seeds")
    if isinstance(results, StudyResults):
        one, many = ("report seed", "report seeds")
    return one if count == 1 else many


def _lines(rows: pd.DataFrame) -> str:
    return several([f"{row['arm']} at {sparsity(row['sparsity'])} %" for row in rows.to_dict("records")])


def _still_gaining(results: Results) -> list[dict[Any, Any]]:
    """Lines of which the longest training is the best, where several axes do not hinder telling so."""
    if results.design.others():
        return []
    try:
        needed = epochs_needed(results).frame()
    except SparsetuneError:
        return []
    return needed[needed["at_least"].eq(True)].to_dict("records")
