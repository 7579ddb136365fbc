"""Checks of single cells and trials: at their target, finished, converged, every layer alive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from sparsetune.storage.trial_files import AttemptFiles, if_whole

from ..catalogue import write
from ..load import StudyResults
from .evidence import Evidence, has_value, require_columns
from .finding import (
    Count,
    Finding,
    FindingPart,
    MissingEvidenceError,
    format_count,
    join_parts,
    list_names,
)

KEPT_SHARE_TOLERANCE = 0.05
"""Allowed difference of the share of kept weights from the one asked for, as a fraction of it.

It applies only where no certificate says if a trial is at its target.
"""
MANY_DIVERGE = 0.25
"""Share of a cell's configurations from which on its searched ranges reach too far."""
ROUNDING_TOLERANCE = 1e-9
MAX_REASON_CHARACTERS = 100


def off_target_trials(evidence: Evidence) -> Iterator[Finding]:
    """Find trials that ended without the sparsity asked for, by certificate or by measurement."""
    rows = require_columns(evidence.own_trials, "status", "certified|at_target|sparsity")
    asked = 1 - rows["sparsity.target"]
    kept = 1 - rows["sparsity"]
    is_judged = rows["certified"].notna() | rows["at_target"].notna()
    is_judged_off = has_value(rows["certified"], False) | has_value(rows["at_target"], False)
    is_measured_off = (kept - asked).abs() > KEPT_SHARE_TOLERANCE * asked
    off = is_judged_off | (~is_judged & is_measured_off)
    # A run that ended early is off its target for a reason that other checks report.
    off = (off & has_value(rows["status"], "COMPLETE")) | has_value(rows["status"], "INVALID")
    is_ended = rows["status"].isin(["COMPLETE", "INVALID"])
    totals = rows[is_ended].groupby("arm").size()
    for arm, found in rows[off].groupby("arm", sort=False):
        worst = found.sort_values("sparsity").iloc[0]
        runs = format_count(totals[arm], "run")
        networks = format_count(found["cell"].nunique(), "network")
        off_target = Count(len(found))
        said = [write("found_off_target", off=off_target, runs=runs, networks=networks)]
        if pd.notna(worst["sparsity"]):
            reached = f"{100 * worst['sparsity']:.4g}"
            target = f"{100 * worst['sparsity.target']:.4g}"
            said.append(write("found_off_target_worst", reached=reached, target=target))
        yield Finding(str(arm), list(found["cell"]), said)


def unfinished_cells(evidence: Evidence) -> Iterator[Finding]:
    """Find cells whose search or report trials have not all ended: their winners may change."""
    cells = require_columns(evidence.cells, "finished")
    for arm, own in cells.groupby("arm", sort=False):
        waiting = own[has_value(own["finished"], False)]
        if waiting.empty:
            continue
        found = write(
            "found_unfinished",
            waiting=Count(len(waiting)),
            networks=format_count(len(own), "network"),
            configurations=Count(int(waiting["configurations"].sum())),
            configurations_asked=format_count(
                int(waiting["configurations_asked"].sum()), "configuration"
            ),
            reports=Count(int(waiting["report_trials"].sum())),
            reports_asked=format_count(int(waiting["report_trials_asked"].sum()), "report run"),
        )
        yield Finding(str(arm), list(waiting["cell"]), [found])


def failed_trials(evidence: Evidence) -> Iterator[Finding]:
    """Find trials that their infrastructure ended, dense twins too."""
    rows = require_columns(evidence.runs, "status").drop_duplicates(["cell", "trial_id"])
    totals = rows["arm"].value_counts()
    for arm, lost in rows[has_value(rows["status"], "FAILED")].groupby("arm", sort=False):
        runs = format_count(int(totals[str(arm)]), "run")
        found = [write("found_failed", failed=Count(len(lost)), runs=runs)]
        reasons = list(lost["error"].dropna()) if "error" in lost else []
        if reasons:
            first_line = str(reasons[0]).split("\n")[0]
            reason = first_line[:MAX_REASON_CHARACTERS].removesuffix(".")
            found.append(write("found_failed_reason", reason=reason))
        yield Finding(str(arm), list(lost["cell"]), found)


def diverged_cells(evidence: Evidence) -> Iterator[Finding]:
    """Find cells that lost a report seed, all of their configurations, or many of them."""
    search = require_columns(evidence.own_trials, "status").query("role == 'search'")
    is_diverged = has_value(search["status"], "DIVERGED")
    by_configuration = is_diverged.groupby([search["cell"], search["config_id"]]).any()
    share_by_cell = by_configuration.groupby(level="cell").mean()
    report = require_columns(evidence.report, "status")
    report = report[has_value(report["status"], "DIVERGED")]
    for arm, cells in evidence.cells.groupby("arm", sort=False):
        seeds = report[report["cell"].isin(cells["cell"])]
        share = share_by_cell.reindex(cells["cell"]).dropna()
        parts = _divergence_parts(share, list(seeds["cell"]), evidence)
        if parts:
            yield join_parts(str(arm), parts)


def _divergence_parts(
    share: pd.Series[Any], seed_cells: list[str], evidence: Evidence
) -> list[FindingPart]:
    """Faults of an arm's cells, the gravest first.

    Args:
        share: Share of each searched cell's configurations that diverged, by cell.
        seed_cells: Cell of each report trial that diverged.
        evidence: Names the cells.
    """
    parts: list[FindingPart] = []
    lost = list(share.index[share == 1])
    if lost:
        found = write("found_all_diverged", networks=evidence.name_cells(lost))
        parts.append(FindingPart("error", found, lost))
    if seed_cells:
        runs = format_count(len(seed_cells), "report run")
        found = write("found_diverged", runs=runs, networks=evidence.name_cells(seed_cells))
        parts.append(FindingPart("warning", found, seed_cells))
    # Cells without any survivor are named above.
    many = list(share.index[(share >= MANY_DIVERGE) & (share < 1)])
    if many:
        found = write(
            "found_many_diverged",
            share=f"{100 * MANY_DIVERGE:.0f}",
            networks=evidence.name_cells(many),
            most=f"{100 * share[many].max():.0f}",
        )
        parts.append(FindingPart("note", found, many))
    return parts


def early_stopped_trials(evidence: Evidence) -> Iterator[Finding]:
    """Find trials that were stopped before their mask had the sparsity they were compared at.

    An early rule of sparsetune compares networks that are not pruned yet with each other alone, so
    that what it stops misleads nobody.
    """
    results = evidence.results
    rule = results.study.stopping if isinstance(results, StudyResults) else None
    if rule is not None and rule.early:
        return
    rows = require_columns(evidence.own_trials, "status")
    rows = rows[has_value(rows["status"], "PRUNED") & (rows["sparsity.target"] > 0)]
    rows = require_columns(rows, "at_target|progress")
    ramp_fields = ["sparsity.ramp.start", "sparsity.ramp.length"]
    rows = rows.reindex(columns=list(dict.fromkeys([*rows, *ramp_fields])))
    start = pd.to_numeric(rows["sparsity.ramp.start"], errors="coerce")
    length = pd.to_numeric(rows["sparsity.ramp.length"], errors="coerce")
    ramp_end = (start + length).astype("float64")
    is_before_end = rows["progress"].astype("float64") < ramp_end - ROUNDING_TOLERANCE
    is_early = has_value(rows["at_target"], False) | (rows["at_target"].isna() & is_before_end)
    for arm, found in rows[is_early].groupby("arm", sort=False):
        stopped = int((rows["arm"] == arm).sum())
        runs = format_count(stopped, "stopped run")
        said = [write("found_stopped", early=Count(len(found)), runs=runs)]
        if found["progress"].notna().any():
            share = f"{100 * found['progress'].min():.0f}"
            said.append(write("found_stopped_first", share=share))
        yield Finding(str(arm), list(found["cell"]), said)


def empty_layers(evidence: Evidence) -> Iterator[Finding]:
    """Find report trials with a layer that keeps no weight, by their certificates."""
    if not isinstance(evidence.results, StudyResults):
        raise MissingEvidenceError(["the certificates of a study directory"])
    rows = evidence.report[evidence.report["sparsity.target"] > 0]
    found: list[tuple[str, str, str]] = []
    # No certificate at all means that nothing was judged, not that nothing is wrong.
    certificates = 0
    # A winner may report for several cells; its certificate is read once.
    for row in rows.dropna(subset="attempt").drop_duplicates("trial_id").to_dict("records"):
        trial_id = str(row["trial_id"])
        state = evidence.results.states[trial_id]
        empty = _empty_layers(AttemptFiles.of(evidence.results.directory, trial_id, state))
        if empty is not None:
            certificates += 1
            found += [(row["arm"], row["cell"], layer) for layer in empty]
    if len(rows) and not certificates:
        raise MissingEvidenceError(["the certificates of a study directory"])
    frame = pd.DataFrame(found, columns=["arm", "cell", "layer"])
    for arm, own in frame.groupby("arm", sort=False):
        said = write(
            "found_empty_layers",
            networks=format_count(own["cell"].nunique(), "network"),
            layers=str(format_count(own["layer"].nunique(), "layer")),
            names=list_names(own["layer"]),
        )
        yield Finding(str(arm), list(own["cell"]), [said])


def _empty_layers(files: AttemptFiles) -> list[str] | None:
    """Layers without a kept weight, by an attempt's certificate; None without one that is whole."""
    certificate = if_whole(files.certificate)
    if certificate is None:
        return None
    return [str(layer["name"]) for layer in certificate["layers"] if layer["kept"] == 0]


def pooled_configurations(evidence: Evidence) -> Iterator[Finding]:
    """Find cells whose mean is over several configurations, which are no repetitions."""
    trials = evidence.results.trials().set_index("trial_id")
    rows = evidence.report
    if rows.empty:
        return
    ids = rows["trial_id"].map(trials["config_id"])
    counts = ids.groupby([rows["arm"], rows["cell"]], sort=False).nunique()
    for arm, own in counts.groupby(level=0, sort=False):
        pooled = own[own > 1].droplevel(0)
        if len(pooled):
            found = write(
                "found_pooled",
                pooled=Count(len(pooled)),
                networks=format_count(len(own), "network"),
                most=pooled.max(),
            )
            yield Finding(str(arm), list(pooled.index), [found])
