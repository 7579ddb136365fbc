"""The verdict in sentences: what was found, how sure it is, and what to run next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.checks.seeds import MIN_REPORT_SEEDS
from analysis.estimates.means import cell_values
from analysis.lengths.extension import extension_gain
from analysis.lengths.saturation import epochs_needed
from analysis.lengths.summary import MORE_OR_LESS
from analysis.lengths.verdicts import undertraining
from analysis.load import StudyResults
from analysis.quantities import measure_name
from analysis.recipes.retuning import retuning_gain
from analysis.tables.results import Results
from analysis.tables.selection import report_rows
from analysis.wording import format_interval, format_sparsity, list_names
from sparsetune.errors import SparsetuneError

MAX_ARMS_IN_SENTENCES = 3
"""Arms at one sparsity that the headlines still give a sentence each; more are ranked in one."""
MAX_ADVISED_SEEDS = 20
"""More seeds than this are not advised: what they would settle is small."""


def headline_sentences(
    results: Results, numbers: pd.DataFrame, y: str, where: Mapping[str, Any]
) -> Iterator[str]:
    """The dense network, the sparsest one of each arm, and what longer training gains.

    Args:
        results: The study.
        numbers: Of `analysis.summary.summary`.
        y: Its measure.
        where: Sweep axes and their values.
    """
    dense = numbers[numbers["sparsity"] == 0]
    sparse = numbers[numbers["sparsity"] > 0]
    for row in dense.to_dict("records"):
        yield f"Dense: {measure_name(y).lower()} {_reached_text(row)}."
    ranking = _ranking(sparse, y)
    yield from ranking
    for arm, rows in sparse.groupby("arm", sort=False) if not ranking else ():
        row = rows.sort_values(["sparsity", "epochs"]).to_dict("records")[-1]
        twin = format_interval(row["difference"], row["difference_low"], row["difference_high"])
        distance = f"; {twin} points from its dense twin" if twin else ""
        yield f"{arm} at {format_sparsity(row['sparsity'])} % sparsity: {measure_name(y).lower()} {_reached_text(row)}{distance}."
    yield from _extension_sentences(sparse)
    if _is_dense_unsaturated(results, y, where):
        yield "No gain from longer training is claimed: dense is within 0.2 points of its best only at the longest one."


def length_sentences(results: Results, where: Mapping[str, Any]) -> Iterator[str]:
    """Whether the sparse networks are under-trained, and how many epochs each sparsity needs; judged by validation."""
    try:
        cells = undertraining(results, where=where).frame()
        needed = epochs_needed(results, where=where).frame()
    except SparsetuneError:
        return  # no validation was measured
    for arm, rows in cells[cells["gain_low"].notna()].groupby("arm", sort=False):
        lines = rows.groupby("sparsity")
        each = ", ".join(
            f"{_sparsity_text(at)}{_undertrained_lengths(line)}"
            for at, line in lines
            if line["verdict"].eq("under-trained").any()
        )
        many = f" ({len(rows)} cells judged, {0.025 * len(rows):.1f} of them would be called so by chance)"
        judged = many if len(rows) > 1 else ""
        yield (
            f"{arm} is under-trained {each}{judged}."
            if each
            else f"{arm}: no cell is shown to be under-trained."
        )
    for arm, rows in needed[needed["needed"].astype("string").fillna("") != ""].groupby(
        "arm", sort=False
    ):
        each = ", ".join(
            f"{_sparsity_text(row['sparsity'])}{row['needed']}" for row in rows.to_dict("records")
        )
        yield f"Epochs that {arm} needs: {each}."


def _undertrained_lengths(line: pd.DataFrame) -> str:
    """The under-trained lengths of a line: ``up to 16 epochs`` where all shorter ones are, else each."""
    line = line.sort_values("epochs")
    lengths = line.loc[line["verdict"] == "under-trained", "epochs"].tolist()
    if lengths == line["epochs"].tolist()[: len(lengths)]:
        return (
            f"up to {lengths[-1]:g} epochs" if len(lengths) > 1 else f"after {lengths[0]:g} epochs"
        )
    return f"after {' and '.join(f'{length:g}' for length in lengths)} epochs"


def _sparsity_text(target: Any) -> str:
    return f"at {format_sparsity(target)} % " if target > 0 else ""


def tuning_sentences(results: Results, y: str, where: Mapping[str, Any]) -> Iterator[str]:
    """What tuning at the sparsest cell of each arm gained over the dense recipe."""
    cells = cell_values(results, y, where)[0]
    gains = retuning_gain(results, y).set_index("cell")
    table = results.cells().set_index("cell").reindex(columns=["control_id", "winner_id"])
    itself = set(table.index[table["control_id"].eq(table["winner_id"]).fillna(False)])
    sparse = cells[cells["sparsity"] > 0]
    for arm, rows in sparse[sparse["arm"].isin(gains["arm"])].groupby("arm", sort=False):
        sparsest = rows.index[rows["sparsity"] == rows["sparsity"].max()]
        said = [
            _tuning_gain_text(gains.loc[cell], cell) for cell in sparsest if cell in gains.index
        ]
        said += [
            f"{cell} is best with the dense recipe itself" for cell in sparsest if cell in itself
        ]
        if said:
            lucky = (
                "" if results.fresh_seeds else " (on the runs that chose it, so too good by luck)"
            )
            yield f"{arm}, tuned in the cell{lucky}: {'; '.join(said)}."


def _tuning_gain_text(row: Mapping[Any, Any], cell: Any) -> str:
    """What one cell's winner gained over its control."""
    if pd.isna(row["gain"]):
        lost = row["control_diverged"]
        return f"in {cell} the dense recipe diverged on {lost} seed{'' if lost == 1 else 's'}, the winner did not"
    if not (row["low"] > 0 or row["high"] < 0):
        said = "not separated from the dense recipe:"
    else:
        said = (
            "better than the dense recipe by" if row["gain"] > 0 else "worse than the dense recipe:"
        )
    return f"{said} {format_interval(row['gain'], row['low'], row['high'])} points in {cell}, n = {row['n']}"


def _is_dense_unsaturated(results: Results, y: str, where: Mapping[str, Any]) -> bool:
    """Whether dense was trained for several lengths and only the longest suffices, so that nothing is claimed."""
    gains, (cells, values, _) = (
        extension_gain(results, y, where=where),
        cell_values(results, y, where),
    )
    dense = cells[(cells["sparsity"] == 0) & values.notna().any(axis=1)]["epochs"]
    if gains.empty or gains["claimed"].any() or dense.nunique() < 2:
        return False
    return bool(
        gains["to_epochs"].max() == dense.max()
    )  # what is not claimed ends where dense first suffices


def _extension_sentences(sparse: pd.DataFrame) -> Iterator[str]:
    """What longer training gains, a sentence for each arm, verdict and step."""
    known = sparse[sparse["verdict"] != ""].drop_duplicates(["arm", "sparsity"])
    known = known.assign(said=[_comparison_text(row) for row in known.to_dict("records")])
    for (arm, said, start, end), rows in known.groupby(
        ["arm", "said", "from_epochs", "to_epochs"], sort=False
    ):
        step = f"from {start:g} to {end:g} epochs"
        gains = ", ".join(
            f"{format_interval(row['gain'], row['gain_low'], row['gain_high'])} points at {format_sparsity(row['sparsity'])} %"
            + (
                f" (itself {100 * row['sparse_gain']:+.2f})"
                if row["verdict"] in MORE_OR_LESS
                else ""
            )
            for row in rows.to_dict("records")
        )
        claimed = rows["verdict"].isin(MORE_OR_LESS).all()
        found = f"{said} than dense {step}" if claimed else f"{step}: gain over dense {said}"
        yield f"{arm} {found}: {gains}."


def _comparison_text(row: Mapping[Any, Any]) -> str:
    """The verdict; where the sparse network itself became worse, longer training loses rather than gains."""
    if row["verdict"] not in MORE_OR_LESS or row["sparse_gain"] > 0:
        return str(row["verdict"])
    return "loses less" if row["gain"] > 0 else "loses more"


def _ranking(sparse: pd.DataFrame, y: str) -> list[str]:
    """The arms from the best down at the highest sparsity that many have; nothing where no sparsity has many.

    After the longest training that all of them had; where there is none, each after its own, which is named.
    """
    arms = sparse.groupby("sparsity")["arm"].nunique()
    shared = arms.index[arms > MAX_ARMS_IN_SENTENCES]
    if shared.empty:
        return []
    rows = sparse[sparse["sparsity"] == shared.max()]
    lengths = rows.groupby("epochs")["arm"].nunique()
    common = lengths.index[lengths == rows["arm"].nunique()]
    rows = rows[rows["epochs"] == common.max()] if len(common) else rows
    ranked = rows.sort_values("epochs", ascending=False, kind="stable").drop_duplicates("arm")
    ranked = ranked.sort_values("mean", ascending=False, kind="stable")
    known = ranked["low"].notna()
    apart = ranked["epochs"].nunique() > 1
    values = ", ".join(
        f"{row['arm']} {100 * row['mean']:.2f}"
        + (f" after {row['epochs']:g} epochs" if apart else "")
        + (" (one seed)" if known.any() and row["n"] < 2 else "")
        for row in ranked.to_dict("records")
    )
    unsure = "Where intervals overlap" if known.any() else "Without intervals"
    after = (
        f" after {ranked['epochs'].iloc[0]:g} epochs"
        if sparse["epochs"].nunique() > 1 and not apart
        else ""
    )
    at = f"At {format_sparsity(shared.max())} % sparsity{after}"
    return [
        f"{at}, {measure_name(y).lower()} in percent: {values}. {unsure}, the order is not settled."
    ]


def _reached_text(row: Mapping[Any, Any]) -> str:
    length = "" if pd.isna(row["epochs"]) else f" after {row['epochs']:g} epochs"
    return f"{format_interval(row['mean'], row['low'], row['high'])} %{length}, n = {row['n']}"


def next_step_sentences(results: Results, numbers: pd.DataFrame, command: str) -> Iterator[str]:
    """What to run so that the verdict can be given, or becomes surer.

    Args:
        results: The study.
        numbers: Of `analysis.summary.summary`, those of all sections together.
        command: What resumes the study; empty where nothing does.
    """
    cells = results.cells()
    trials = results.trials()

    def with_it(options: str) -> str:
        return f": {command} {options}".rstrip() if command else ""

    unfinished = cells.loc[~cells["finished"].astype(bool), "cell"].astype(str).tolist()
    if unfinished:
        yield f"Finish {len(unfinished)} of {len(cells)} cells ({list_names(unfinished)}){with_it('')}"
    failed = int(trials["status"].eq("FAILED").sum())
    if failed:
        yield f"Run {failed} failed trials again, once their reason is mended{with_it('--retry-failed')}"
    seeds = numbers["n"].min() if len(numbers) else pd.NA
    unsure = (
        numbers[numbers["verdict"].str.startswith("not separated")] if len(numbers) else numbers
    )
    unsure = unsure.drop_duplicates(["arm", "sparsity"]) if len(unsure) else unsure
    vague = "longer training is not separated from dense for"
    if len(
        near := unsure[~(unsure["gain_more_seeds"] > MAX_ADVISED_SEEDS)] if len(unsure) else unsure
    ):
        few = math.ceil(near["gain_more_seeds"].fillna(max(1, MIN_REPORT_SEEDS - seeds)).max())
        again = with_it(f"--add-report-seeds {few}")
        yield f"Add about {few} {seeds_text(results, few)}, now n = {seeds}: {vague} {_line_names(near)}{again}"
    if len(far := unsure[unsure["gain_more_seeds"] > MAX_ADVISED_SEEDS] if len(unsure) else unsure):
        yield f"More than {MAX_ADVISED_SEEDS} seeds, another question may be worth more: {vague} {_line_names(far)}"
    gaining = _lines_still_gaining(results)
    for longest in dict.fromkeys(row["longest"] for row in gaining):
        lines = [_line_name(row) for row in gaining if row["longest"] == longest]
        yield f"Train longer than {longest:g} epochs, the longest, where validation is still best: {list_names(lines)}"
    if not len(unsure) and pd.notna(seeds) and seeds < MIN_REPORT_SEEDS:
        few = MIN_REPORT_SEEDS - int(seeds)
        again = with_it(f"--add-report-seeds {few}")
        yield f"Add {few} {seeds_text(results, few)}: n = {seeds} is less than three{again}"


def seeds_text(results: Results, count: int) -> str:
    """What is added: ``report seeds``, or of a table ``runs with other seeds``."""
    one = "run with another seed"
    many = "runs with other seeds"
    if isinstance(results, StudyResults):
        one = "report seed"
        many = "report seeds"
    return one if count == 1 else many


def _line_names(rows: pd.DataFrame) -> str:
    return list_names([_line_name(row) for row in rows.to_dict("records")])


def _line_name(row: Mapping[Any, Any]) -> str:
    return (
        f"{row['arm']} at {format_sparsity(row['sparsity'])} %"
        if row["sparsity"] > 0
        else str(row["arm"])
    )


def _lines_still_gaining(results: Results) -> list[dict[Any, Any]]:
    """Lines of which the longest training is the best with some certainty, where several axes do not hinder telling so.

    Not those of which a longer one was tried and has no mean, since it diverged say.
    """
    if results.design.other_axes():
        return []
    try:
        needed = epochs_needed(results).frame()
    except SparsetuneError:
        return []
    longest = report_rows(results).groupby(["arm", "sparsity.target"])["epochs"].max()
    rows = needed[needed["at_least"].eq(True) & needed["low"].notna()].to_dict("records")
    return [row for row in rows if longest.get((row["arm"], row["sparsity"])) == row["longest"]]
