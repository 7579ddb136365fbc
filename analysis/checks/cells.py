"""Checks of single cells and trials: whether each is at its target, finished, and in one piece."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pandas as pd

from analysis.checks.evidence import Evidence, holds, require
from analysis.checks.finding import Finding, Missing, Severity, counted, listed
from analysis.load import StudyResults
from sparsetune.paths import content

TOLERANCE = 0.05
"""Where nothing certifies it: how far the share of kept weights may be from what was asked for, as a part of that."""
MANY_DIVERGE = 0.25
"""From this share of a cell's configurations on, its searched ranges reach too far."""


def off_target(evidence: Evidence) -> Iterator[Finding]:
    """Trials that ended without the sparsity that was asked for: by certificate, or else by what was measured."""
    rows = require(evidence.own, "status", "certified|at_target|sparsity")
    asked = 1 - rows["sparsity.target"]
    known = rows["certified"].notna() | rows["at_target"].notna()
    measured = (1 - rows["sparsity"] - asked).abs() > TOLERANCE * asked
    off = holds(rows["certified"], False) | holds(rows["at_target"], False) | (~known & measured)
    off = (off & holds(rows["status"], "COMPLETE")) | holds(rows["status"], "INVALID")
    for arm, found in rows[off].groupby("arm", sort=False):
        least = found.sort_values("sparsity").iloc[0]
        got = (
            f"{counted(len(found), 'trial')} of {counted(found['cell'].nunique(), 'cell')} did not"
        )
        if pd.notna(least["sparsity"]):
            got += f" (the worst ended at {100 * least['sparsity']:.4g} % of {100 * least['sparsity.target']:.4g} %)"
        yield Finding(str(arm), list(found["cell"]), got)


def unfinished(evidence: Evidence) -> Iterator[Finding]:
    """Cells whose search or report trials have not all ended: their winners may still change."""
    cells = require(evidence.cells, "finished")
    for arm, own in cells.groupby("arm", sort=False):
        waiting = own[holds(own["finished"], False)]
        if len(waiting):
            done = " and ".join(
                f"{waiting[kind].sum():.0f} of {waiting[f'{kind}_asked'].sum():.0f} {words}"
                for kind, words in (
                    ("configurations", "configurations"),
                    ("report_trials", "report trials"),
                )
            )
            got = f"{len(waiting)} of {counted(len(own), 'cell')} did not, with {done} done in them"
            yield Finding(str(arm), list(waiting["cell"]), got)


def failed(evidence: Evidence) -> Iterator[Finding]:
    """Trials that the infrastructure ended, dense twins too."""
    rows = require(evidence.runs, "status").drop_duplicates(["cell", "trial_id"])
    total = rows["arm"].value_counts()
    for arm, lost in rows[holds(rows["status"], "FAILED")].groupby("arm", sort=False):
        got = f"{len(lost)} of {counted(int(total[str(arm)]), 'trial')} failed"
        if reasons := [
            str(reason).split("\n")[0][:100]
            for reason in (lost["error"].dropna() if "error" in lost else ())
        ]:
            got += f", the first with: {reasons[0]}"
        yield Finding(str(arm), list(lost["cell"]), got)


def diverged(evidence: Evidence) -> Iterator[Finding]:
    """Cells that lost a report seed, all of their configurations, or a large share of them."""
    search = require(evidence.own, "status").query("role == 'search'")
    gone = holds(search["status"], "DIVERGED").groupby([search["cell"], search["config_id"]]).any()
    share = gone.groupby(level="cell").mean()
    report = require(evidence.report, "status")
    report = report[holds(report["status"], "DIVERGED")]
    for arm, cells in evidence.cells.groupby("arm", sort=False):
        seeds = report[report["cell"].isin(cells["cell"])]
        mine = share.reindex(cells["cell"]).dropna()
        parts: list[tuple[Severity, str, list[str]]] = [
            ("error", "no configuration of {} converged", list(mine.index[mine == 1])),
            (
                "warning",
                f"{counted(len(seeds), 'report trial')} diverged in {{}}",
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
            got = "; ".join(words.format(listed(names)) for _, words, names in parts)
            yield Finding(str(arm), [name for part in parts for name in part[2]], got, parts[0][0])


def stopped_early(evidence: Evidence) -> Iterator[Finding]:
    """Trials that were stopped before their mask had the sparsity that they were compared at."""
    rows = require(evidence.own, "status")
    rows = require(
        rows[holds(rows["status"], "PRUNED") & (rows["sparsity.target"] > 0)], "at_target|progress"
    )
    rows = rows.reindex(
        columns=list(dict.fromkeys([*rows, "sparsity.ramp.start", "sparsity.ramp.length"]))
    )
    start, length = (
        pd.to_numeric(rows[f"sparsity.ramp.{part}"], errors="coerce")
        for part in ("start", "length")
    )
    before = rows["progress"].astype("float64") < (start + length).astype("float64") - 1e-9
    early = rows[holds(rows["at_target"], False) | (rows["at_target"].isna() & before)]
    for arm, found in early.groupby("arm", sort=False):
        stopped = int((rows["arm"] == arm).sum())
        got = f"{len(found)} of {counted(stopped, 'stopped trial')} ended before"
        if found["progress"].notna().any():
            got += f", the first at {100 * found['progress'].min():.0f} % of their training"
        yield Finding(str(arm), list(found["cell"]), got)


def empty_layers(evidence: Evidence) -> Iterator[Finding]:
    """Report trials in whose network a layer keeps no weight, by their certificates."""
    if not isinstance(evidence.results, StudyResults):
        raise Missing(["the certificates of a study directory"])
    rows = evidence.report[evidence.report["sparsity.target"] > 0]
    found = []
    read = 0
    for row in rows.dropna(subset="attempt").drop_duplicates("trial_id").to_dict("records"):
        folder = evidence.results.directory.attempt(str(row["trial_id"]), int(row["attempt"]))
        if text := content(folder / "certificate.json"):
            read += 1
            layers = [
                str(layer["name"]) for layer in json.loads(text)["layers"] if layer["kept"] == 0
            ]
            found += [(row["arm"], row["cell"], layer) for layer in layers]
    if len(rows) and not read:
        raise Missing(["the certificates of a study directory"])
    for arm, own in pd.DataFrame(found, columns=["arm", "cell", "layer"]).groupby(
        "arm", sort=False
    ):
        got = f"{counted(own['layer'].nunique(), 'layer')} kept none ({listed(own['layer'])})"
        yield Finding(
            str(arm), list(own["cell"]), f"in {counted(own['cell'].nunique(), 'cell')} {got}"
        )
