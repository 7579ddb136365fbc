"""Checks of what a figure puts side by side: the same quantity, of the same data, against the same baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.checks.evidence import Evidence, has_value, require_columns
from analysis.checks.finding import (
    Finding,
    MissingEvidenceError,
    Severity,
    format_count,
    list_names,
)
from analysis.estimates.equal_flops import flops_warnings
from analysis.estimates.means import direction_of
from analysis.load import StudyResults

BASELINE_SIGNIFICANCE_LEVEL = 0.01
"""p below which dense baselines differ, before it is divided by how many groups of them are compared."""
NEXT_LOWER_SEVERITY: dict[Severity, Severity] = {
    "error": "warning",
    "warning": "note",
    "note": "note",
}
"""Lines that are each of one kind but differ from one another are easier to tell apart than points of one line."""
SPLIT_FIELDS: tuple[str, ...] = (
    "task.kind",
    "task.dataset",
    "task.folder",
    "task.examples",
    "task.validation",
    "task.split_seed",
)
SPLIT_FIELDS += ("task.train_examples", "evaluate.train_examples")
COMPARED_PACKAGES = ("sparsetune", "torch", "torchvision", "transformers", "numpy")


def mixed_kinds(
    evidence: Evidence, kinds: pd.Series[Any], severity: Severity, *, dense: bool = True
) -> Iterator[Finding]:
    """Where report trials of different kinds share a line; or, if none do, a figure.

    Args:
        evidence: The tables.
        kinds: What each row of `Evidence.report` is, in words.
        severity: Of a mixed line.
        dense: Whether the dense cells that start a line count.
    """
    rows = evidence.report.assign(kind=kinds)
    rows = rows if dense else rows[rows["sparsity.target"] > 0]
    lines = evidence.figures(rows.dropna(subset="kind"), "kind")
    found = _mixed_groups(lines, ["figure", "arm"])
    if found.empty:
        whole = _mixed_groups(lines, ["figure"])
        if len(whole):
            yield Finding(
                "", _minority_cells(whole), _breakdown(whole, "arm"), NEXT_LOWER_SEVERITY[severity]
            )
    for arm, own in found.groupby("arm", sort=False):
        yield Finding(str(arm), _minority_cells(own), _breakdown(own, "cell"), severity)


def _mixed_groups(lines: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The rows of groups of more than one kind."""
    return (
        lines[lines.groupby(list(keys))["kind"].transform("nunique") > 1] if len(lines) else lines
    )


def _minority_cells(rows: pd.DataFrame) -> list[str]:
    """Cells of the rarer kinds."""
    most = rows.groupby("kind")["cell"].nunique().idxmax()
    return list(dict.fromkeys(rows.loc[rows["kind"] != most, "cell"]))


def _breakdown(rows: pd.DataFrame, by: str) -> str:
    """``0.1 in a, b and 2 more; 0 in c``."""
    parts = [f"{kind} in {list_names(part[by])}" for kind, part in rows.groupby("kind", sort=False)]
    return "; ".join(parts[:4]) + (f"; and {len(parts) - 4} more kinds" if len(parts) > 4 else "")


def describe_rows(rows: pd.DataFrame, columns: Sequence[str]) -> pd.Series[Any]:
    """Each row in words, ``validation 0.1, split seed 0``: the columns in which rows differ."""
    differ = [name for name in columns if name in rows and rows[name].nunique(dropna=False) > 1]
    words = [
        rows[name].map(lambda value, name=name: f"{_field_words(name)} {_text(value)}")
        for name in differ
    ]
    if not words:
        return pd.Series("the same", rows.index)
    return pd.concat(words, axis=1).agg(", ".join, axis=1)


def _field_words(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ")


def _text(value: Any) -> str:
    if pd.isna(value):
        return "none"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def mixed_label_smoothing(evidence: Evidence) -> Iterator[Finding]:
    """Entropies of networks trained with and without label smoothing, or with different ones."""
    rows = require_columns(
        evidence.report, "task.label_smoothing", "train_entropy|val_entropy|test_entropy"
    )
    yield from mixed_kinds(
        evidence,
        describe_rows(rows.fillna({"task.label_smoothing": 0}), ["task.label_smoothing"]),
        "warning",
    )


def mixed_distillation(evidence: Evidence) -> Iterator[Finding]:
    """Entropies and losses of networks that learned from labels, and from a teacher."""
    measured = "train_entropy|val_entropy|test_entropy|train_loss|val_loss|test_loss"
    rows = require_columns(evidence.report, "distill.hardness", measured)
    rows = rows.assign(**{"distill.hardness": rows["distill.hardness"].fillna(0)})
    yield from mixed_kinds(
        evidence, describe_rows(rows, ["distill.hardness", "distill.temperature"]), "warning"
    )


def mixed_denominators(evidence: Evidence) -> Iterator[Finding]:
    """Sparsities that are fractions of different numbers of weights; a dense network's is 0 of any."""
    rows = require_columns(evidence.report, "prunable_weights")
    kinds = rows["prunable_weights"].map(
        lambda count: f"{count:,.0f} prunable weights", na_action="ignore"
    )
    yield from mixed_kinds(evidence, kinds, "error", dense=False)


def mixed_splits(evidence: Evidence) -> Iterator[Finding]:
    """Networks trained or measured on different examples."""
    rows = require_columns(
        evidence.report, "task.validation|task.split_seed|task.train_examples|task.dataset"
    )
    found = list(mixed_kinds(evidence, describe_rows(rows, SPLIT_FIELDS), "error"))
    yield from found or mixed_kinds(evidence, _digests(rows["data"]), "warning")


def _digests(data: pd.Series[Any]) -> pd.Series[Any]:
    """What tells the data of some trials from those of others: ``the digest sst2=f6787db7e448``."""
    shared = (
        set.intersection(*(set(str(digest).split()) for digest in data)) if len(data) else set()
    )
    return data.map(
        lambda digest: f"the digest {' '.join(w for w in digest.split() if w not in shared)}",
        "ignore",
    )


def unequal_baselines(evidence: Evidence) -> Iterator[Finding]:
    """Dense networks that gaps are measured to, of different recipes and accuracies: an F test at each length."""
    rows = evidence.report
    y = evidence.y
    if y is None:
        raise MissingEvidenceError(["test_accuracy or test_score or val_accuracy or val_score"])
    found = _dense(evidence, y)
    if len(rows) and found.empty:
        raise MissingEvidenceError(["sparsity.target of 0 or twin_id"])
    groups = [
        own
        for _, own in found.groupby(["figure", "epochs"], sort=False)
        if own["config_id"].nunique() > 1
    ]
    tested = [
        (_f_test([part["value"].to_numpy() for _, part in own.groupby("config_id")]), own)
        for own in groups
    ]
    p, own = min(tested, key=lambda pair: pair[0], default=(1.0, found))
    if groups and p * len(groups) < BASELINE_SIGNIFICANCE_LEVEL:
        means = own.groupby("config_id")["value"].mean()
        best = (direction_of(y) * means).idxmax()
        yield Finding(
            "",
            list(own.loc[own["config_id"] != best, "cell"]),
            _baseline_range_text(own, y, p * len(groups)),
        )


def _baseline_range_text(own: pd.DataFrame, y: str, p: float) -> str:
    """What dense baselines of one length reach, from the lowest to the highest."""
    recipes = own.groupby("config_id").agg(
        cell=("cell", "first"), mean=("value", "mean"), n=("value", "size")
    )
    rows = recipes.sort_values("mean").to_dict("records")
    low, high = (
        f"{end['mean']:.4g} (for {end['cell']}, n = {end['n']})" for end in (rows[0], rows[-1])
    )
    reach = f"{format_count(len(recipes), 'dense recipe')} reach a `{y}` from {low} to {high}"
    return f"at {own['epochs'].iloc[0]:g} epochs {reach}, F test p = {p:.2g}"


def _dense(evidence: Evidence, y: str) -> pd.DataFrame:
    """One row per dense trial that a figure compares with: ``figure epochs cell config_id value``."""
    trials = require_columns(evidence.results.trials(), y).set_index("trial_id")
    trials = trials[has_value(trials["status"], "COMPLETE")]
    lines = evidence.figures(evidence.report, "epochs", "trial_id", "twin_id")
    lines["dense_id"] = lines["trial_id"].where(lines["sparsity"] == 0, lines["twin_id"])
    lines = lines.dropna(subset="dense_id")
    lines = lines.assign(
        value=lines["dense_id"].map(trials[y]), config_id=lines["dense_id"].map(trials["config_id"])
    )
    return lines.dropna(subset=["value", "config_id"]).drop_duplicates(
        ["figure", "epochs", "dense_id"]
    )


def _f_test(groups: Sequence[np.ndarray]) -> float:
    """One-way analysis of variance: p of all groups having one mean; 1 where no group has two values."""
    from scipy.special import fdtrc

    means = np.array([group.mean() for group in groups])
    sizes = np.array([len(group) for group in groups])
    within = sum(((g - g.mean()) ** 2).sum() for g in groups)
    df = int(sizes.sum()) - len(groups)
    between = float(sizes @ (means - np.concatenate(groups).mean()) ** 2)
    if df < 1 or between == 0:
        return 1.0
    return (
        float(fdtrc(len(groups) - 1, df, between / (len(groups) - 1) / (within / df)))
        if within
        else 0.0
    )


def mixed_machines(evidence: Evidence) -> Iterator[Finding]:
    """Trials of a comparison that ran on different hardware or threads, or by different versions."""
    if not isinstance(evidence.results, StudyResults):
        raise MissingEvidenceError(["the ledger of a study directory"])
    rows = evidence.report
    rows = rows.assign(
        device=rows["device"].str.partition(":")[0]
        if rows["device"].notna().any()
        else rows["device"]
    )
    known = rows["device"].notna()
    yield from mixed_kinds(
        evidence,
        describe_rows(rows[known], ["device", "processor", "threads"]).reindex(rows.index),
        "warning",
    )
    launches = [_versions(facts) for facts in evidence.results.directory.launches()]
    differ = [
        name
        for name in dict.fromkeys(n for facts in launches for n in facts)
        if len({f.get(name) for f in launches}) > 1
    ]
    if differ:
        changes = "; ".join(
            f"{name} {' then '.join(dict.fromkeys(str(f.get(name)) for f in launches))}"
            for name in differ
        )
        yield Finding(
            "", [], f"{format_count(len(launches), 'launch')[:-1]}es ran {changes}", "note"
        )


def _versions(facts: Any) -> dict[str, Any]:
    packages = facts.get("packages") or {}
    return {name: packages[name] for name in COMPARED_PACKAGES if packages.get(name)} | {
        name: facts[name] for name in ("python", "code") if facts.get(name)
    }


def unequal_flops(evidence: Evidence) -> Iterator[Finding]:
    """Cells whose training FLOPs are not their dense twin's, where a study asks for that."""
    if evidence.results.design.equal != "train_flops":
        return
    require_columns(evidence.cells, "flops_ratio")
    cells = evidence.cells[evidence.cells["cell"].isin(flops_warnings(evidence.results))]
    for arm, own in cells.groupby("arm", sort=False):
        ends = own["flops_ratio"].min(), own["flops_ratio"].max()
        got = f"{format_count(len(own), 'cell')} spent {ends[0]:.2f} to {ends[1]:.2f} times their twin's"
        yield Finding(str(arm), list(own["cell"]), got)
