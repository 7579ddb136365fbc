"""Checks of single cells and trials: whether each is at its target, finished, and in one piece."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pandas as pd

from analysis.checks.evidence import Evidence, has_value, require_columns
from analysis.checks.finding import (
    Finding,
    MissingEvidenceError,
    Severity,
    format_count,
    list_names,
)
from analysis.load import StudyResults
from sparsetune.paths import read_content

KEPT_SHARE_TOLERANCE = 0.05
"""Where nothing certifies it: how far the share of kept weights may be from what was asked for, as a part of that."""
MANY_DIVERGE = 0.25
"""From this share of a cell's configurations on, its searched ranges reach too far."""


def off_target_trials(evidence: Evidence) -> Iterator[Finding]:
    """Trials that ended without the sparsity that was asked for: by certificate, or else by what was measured."""
    rows = require_columns(evidence.own_trials, "status", "certified|at_target|sparsity")
    asked = 1 - rows["sparsity.target"]
    known = rows["certified"].notna() | rows["at_target"].notna()
    measured = (1 - rows["sparsity"] - asked).abs() > KEPT_SHARE_TOLERANCE * asked
    off = (
        has_value(rows["certified"], False)
        | has_value(rows["at_target"], False)
        | (~known & measured)
    )
    off = (off & has_value(rows["status"], "COMPLETE")) | has_value(rows["status"], "INVALID")
    for arm, found in rows[off].groupby("arm", sort=False):
        least = found.sort_values("sparsity").iloc[0]
        got = f"{format_count(len(found), 'trial')} of {format_count(found['cell'].nunique(), 'cell')} did not"
        if pd.notna(least["sparsity"]):
            got += f" (the worst ended at {100 * least['sparsity']:.4g} % of {100 * least['sparsity.target']:.4g} %)"
        yield Finding(str(arm), list(found["cell"]), got)


def unfinished_cells(evidence: Evidence) -> Iterator[Finding]:
    """Cells whose search or report trials have not all ended: their winners may still change."""
    cells = require_columns(evidence.cells, "finished")
    for arm, own in cells.groupby("arm", sort=False):
        waiting = own[has_value(own["finished"], False)]
        if len(waiting):
            done = " and ".join(
                f"{waiting[kind].sum():.0f} of {waiting[f'{kind}_asked'].sum():.0f} {words}"
                for kind, words in (
                    ("configurations", "configurations"),
                    ("report_trials", "report trials"),
                )
            )
            got = f"{len(waiting)} of {format_count(len(own), 'cell')} did not, with {done} done in them"
            yield Finding(str(arm), list(waiting["cell"]), got)


def failed_trials(evidence: Evidence) -> Iterator[Finding]:
    """Trials that the infrastructure ended, dense twins too."""
    rows = require_columns(evidence.runs, "status").drop_duplicates(["cell", "trial_id"])
    total = rows["arm"].value_counts()
    for arm, lost in rows[has_value(rows["status"], "FAILED")].groupby("arm", sort=False):
        got = f"{len(lost)} of {format_count(int(total[str(arm)]), 'trial')} failed"
        if reasons := [
            str(reason).split("\n")[0][:100]
            for reason in (lost["error"].dropna() if "error" in lost else ())
        ]:
            got += f", the first with: {reasons[0]}"
        yield Finding(str(arm), list(lost["cell"]), got)


def diverged_cells(evidence: Evidence) -> Iterator[Finding]:
    """Cells that lost a report seed, all of their configurations, or a large share of them."""
    search = require_columns(evidence.own_trials, "status").query("role == 'search'")
    gone = (
        has_value(search["status"], "DIVERGED").groupby([search["cell"], search["config_id"]]).any()
    )
    share = gone.groupby(level="cell").mean()
    report = require_columns(evidence.report, "status")
    report = report[has_value(report["status"], "DIVERGED")]
    for arm, cells in evidence.cells.groupby("arm", sort=False):
        seeds = report[report["cell"].isin(cells["cell"])]
        mine = share.reindex(cells["cell"]).dropna()
        parts: list[tuple[Severity, str, list[str]]] = [
            ("error", "no configuration of {} converged", list(mine.index[mine == 1])),
            (
                "warning",
                f"{format_count(len(seeds), 'report trial')} diverged in {{}}",
                list(seeds["cell"]),
            ),
            (
                "note",
                f"at least {100 * MANY_DIVERGE:.0f} % of the configurations diverged in {{}}"
                f" ({100 * mine.max():.0f} % at most)",
                list(mine.index[(mine >= MANY_DIVERGE) & (mine < 1)]),
            ),
        ]
        parts = [part for part in parts if part[2]]
        if parts:
            got = "; ".join(words.format(list_names(names)) for _, words, names in parts)
            yield Finding(str(arm), [name for part in parts for name in part[2]], got, parts[0][0])


def early_stopped_trials(evidence: Evidence) -> Iterator[Finding]:
    """Trials that were stopped before their mask had the sparsity that they were compared at."""
    rows = require_columns(evidence.own_trials, "status")
    rows = require_columns(
        rows[has_value(rows["status"], "PRUNED") & (rows["sparsity.target"] > 0)],
        "at_target|progress",
    )
    rows = rows.reindex(
        columns=list(dict.fromkeys([*rows, "sparsity.ramp.start", "sparsity.ramp.length"]))
    )
    start, length = (
        pd.to_numeric(rows[f"sparsity.ramp.{part}"], errors="coerce")
        for part in ("start", "length")
    )
    before = rows["progress"].astype("float64") < (start + length).astype("float64") - 1e-9
    early = rows[has_value(rows["at_target"], False) | (rows["at_target"].isna() & before)]
    for arm, found in early.groupby("arm", sort=False):
        stopped = int((rows["arm"] == arm).sum())
        got = f"{len(found)} of {format_count(stopped, 'stopped trial')} ended before"
        if found["progress"].notna().any():
            got += f", the first at {100 * found['progress'].min():.0f} % of their training"
        yield Finding(str(arm), list(found["cell"]), got)


def empty_layers(evidence: Evidence) -> Iterator[Finding]:
    """Report trials in whose network a layer keeps no weight, by their certificates."""
    if not isinstance(evidence.results, StudyResults):
        raise MissingEvidenceError(["the certificates of a study directory"])
    rows = evidence.report[evidence.report["sparsity.target"] > 0]
    found = []
    read = 0
    for row in rows.dropna(subset="attempt").drop_duplicates("trial_id").to_dict("records"):
        folder = evidence.results.directory.attempt(str(row["trial_id"]), int(row["attempt"]))
        if text := read_content(folder / "certificate.json"):
            read += 1
            layers = [
                str(layer["name"]) for layer in json.loads(text)["layers"] if layer["kept"] == 0
            ]
            found += [(row["arm"], row["cell"], layer) for layer in layers]
    if len(rows) and not read:
        raise MissingEvidenceError(["the certificates of a study directory"])
    for arm, own in pd.DataFrame(found, columns=["arm", "cell", "layer"]).groupby(
        "arm", sort=False
    ):
        got = f"{format_count(own['layer'].nunique(), 'layer')} kept none ({list_names(own['layer'])})"
        yield Finding(
            str(arm), list(own["cell"]), f"in {format_count(own['cell'].nunique(), 'cell')} {got}"
        )
