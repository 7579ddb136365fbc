"""Checks of what a figure compares: one quantity, on the same data, against the same baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sparsetune.storage.trial_files import if_whole
from sparsetune.study.questions.words import arm_words

from ..catalogue import write
from ..catalogue.template import Sentence
from ..estimates.equal_flops import flops_warnings
from ..load import StudyResults
from ..measure import Measure
from ..wording import format_seeds
from .evidence import Evidence, has_value, require_columns
from .finding import (
    Finding,
    MissingEvidenceError,
    Severity,
    format_count,
    list_names,
)

BASELINE_SIGNIFICANCE_LEVEL = 0.01
"""p below which dense baselines differ, after it is multiplied by the number of tested groups."""
NEXT_LOWER_SEVERITY: dict[Severity, Severity] = {
    "error": "warning",
    "warning": "note",
    "note": "note",
}
"""Severity one step lower, for lines that differ but mix no kinds: a reader can tell them apart."""
SPLIT_FIELDS = (
    "task.kind",
    "task.dataset",
    "task.folder",
    "task.examples",
    "task.validation",
    "task.split_seed",
    "task.train_examples",
    "evaluate.train_examples",
)
MACHINE_FIELDS = ("device", "processor", "threads")
COMPARED_PACKAGES = ("sparsetune", "torch", "torchvision", "transformers", "numpy")
OWN_FUNCTION_PATTERN = r"[^\W\d][\w.]*:[^\W\d][\w.]*"
"""Form of an import path of a user's own function, ``package.module:name``."""
MAX_LISTED_KINDS = 4
"""Kinds that a message names; for more it gives their number."""


def mixed_kinds(
    evidence: Evidence, kinds: pd.Series[Any], severity: Severity, *, dense: bool = True
) -> Iterator[Finding]:
    """Find lines that mix kinds of trial; if none does, figures whose lines differ in kind.

    Args:
        evidence: The tables.
        kinds: Kind of each row of `Evidence.report` in words; a missing one is left out.
        severity: Severity of a mixed line; a mixed figure has the next lower one.
        dense: True if the dense cells that start a line count.
    """
    rows = evidence.report.assign(kind=kinds)
    if not dense:
        rows = rows[rows["sparsity.target"] > 0]
    lines = evidence.rows_by_line(rows.dropna(subset="kind"), "kind")
    mixed_lines = _mixed_groups(lines, ["figure", "arm"])
    for arm, own in mixed_lines.groupby("arm", sort=False):
        yield Finding(str(arm), _minority_cells(own), _breakdown(own, "cell", evidence), severity)
    # A mixed line is the more serious fault, and its figure is mixed with it.
    if len(mixed_lines):
        return
    mixed_figures = _mixed_groups(lines, ["figure"])
    if len(mixed_figures):
        cells = _minority_cells(mixed_figures)
        found = _breakdown(mixed_figures, "arm", evidence)
        yield Finding("", cells, found, NEXT_LOWER_SEVERITY[severity])


def _mixed_groups(lines: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Rows of the groups with more than one kind."""
    if lines.empty:
        return lines
    kinds = lines.groupby(list(keys))["kind"].transform("nunique")
    return lines[kinds > 1]


def _minority_cells(rows: pd.DataFrame) -> list[str]:
    """Cells of all kinds but the most frequent one."""
    # Where most cells agree, the others are those to look at.
    majority = rows.groupby("kind")["cell"].nunique().idxmax()
    return list(dict.fromkeys(rows.loc[rows["kind"] != majority, "cell"]))


def _breakdown(rows: pd.DataFrame, by: str, evidence: Evidence) -> list[Sentence]:
    """Kinds and where they are, a sentence for each kind.

    Args:
        rows: ``kind`` and the column ``by``.
        by: Column that names the places; cells are named as within a sentence.
        evidence: Names the cells.
    """
    found = []
    for kind, part in rows.groupby("kind", sort=False):
        is_cells = by == "cell"
        places = evidence.name_cells(part[by]) if is_cells else list_names(map(arm_words, part[by]))
        found.append(write("found_kind", kind=kind, places=places))
    rest = len(found) - MAX_LISTED_KINDS
    named = found[:MAX_LISTED_KINDS]
    return [*named, write("found_more_kinds", rest=rest)] if rest > 0 else named


def describe_rows(rows: pd.DataFrame, columns: Sequence[str]) -> pd.Series[Any]:
    """Words for each row, ``validation 0.1, split seed 0``, from the columns in which rows differ.

    Args:
        rows: Any rows.
        columns: Columns that may differ; those that ``rows`` lacks are left out.

    Returns:
        One text per row; ``the same`` where rows differ in no column.
    """
    words: list[pd.Series[Any]] = []
    for name in columns:
        if name in rows and rows[name].nunique(dropna=False) > 1:
            label = name.rpartition(".")[2].replace("_", " ")
            words.append(label + " " + rows[name].map(_value_text))
    if not words:
        return pd.Series("the same", rows.index)
    return pd.concat(words, axis=1).agg(", ".join, axis=1)


def _value_text(value: Any) -> str:
    if pd.isna(value):
        return "none"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def mixed_label_smoothing(evidence: Evidence) -> Iterator[Finding]:
    """Find entropies of networks trained with different label smoothing, or with and without."""
    entropies = "train_entropy|val_entropy|test_entropy"
    rows = require_columns(evidence.report, "task.label_smoothing", entropies)
    rows = rows.fillna({"task.label_smoothing": 0})
    kinds = describe_rows(rows, ["task.label_smoothing"])
    yield from mixed_kinds(evidence, kinds, "warning")


def mixed_distillation(evidence: Evidence) -> Iterator[Finding]:
    """Find entropies and losses of networks that learned from labels and from a teacher."""
    measured = "train_entropy|val_entropy|test_entropy|train_loss|val_loss|test_loss"
    rows = require_columns(evidence.report, "distill.hardness", measured)
    rows = rows.assign(**{"distill.hardness": rows["distill.hardness"].fillna(0)})
    kinds = describe_rows(rows, ["distill.hardness", "distill.temperature"])
    yield from mixed_kinds(evidence, kinds, "warning")


def mixed_denominators(evidence: Evidence) -> Iterator[Finding]:
    """Find sparsities that are fractions of different numbers of prunable weights.

    Dense networks do not count: their sparsity is 0 of any number.
    """
    rows = require_columns(evidence.report, "prunable_weights")
    kinds = rows["prunable_weights"].map("{:,.0f} prunable weights".format, na_action="ignore")
    yield from mixed_kinds(evidence, kinds, "error", dense=False)


def mixed_splits(evidence: Evidence) -> Iterator[Finding]:
    """Find networks that were trained or measured on different examples."""
    fields = "task.validation|task.split_seed|task.train_examples|task.dataset"
    rows = require_columns(evidence.report, fields)
    findings = list(mixed_kinds(evidence, describe_rows(rows, SPLIT_FIELDS), "error"))
    if not findings:
        # The declarations agree; a file may still have changed between two launches.
        findings = list(mixed_kinds(evidence, _digest_texts(rows["data"]), "warning"))
    yield from findings


def _digest_texts(data: pd.Series[Any]) -> pd.Series[Any]:
    """Digests in which the data of trials differ, in words: ``the digest sst2=f6787db7e448``.

    Args:
        data: Digests of each trial's data, separated by spaces.
    """
    words = [set(str(digests).split()) for digests in data]
    shared = set.intersection(*words) if words else set()

    def describe(digests: str) -> str:
        own = [digest for digest in digests.split() if digest not in shared]
        return f"the digest {' '.join(own)}"

    return data.map(describe, "ignore")


class _BaselineTest(NamedTuple):
    """F test of the dense recipes at one length of one figure, and the trials behind it."""

    p: float
    trials: pd.DataFrame


def unequal_baselines(evidence: Evidence) -> Iterator[Finding]:
    """Find dense networks of different recipes and accuracies that gaps are measured to.

    An F test compares the recipes at each length; its p is multiplied by the number of lengths that
    have several recipes (Bonferroni).
    """
    design = evidence.results.design
    if design.objective is None and design.search:
        return  # every configuration is shown, each beside the dense run of its own recipe
    y = evidence.y
    if y is None:
        raise MissingEvidenceError(["test_accuracy or test_score or val_accuracy or val_score"])
    baselines = _baseline_trials(evidence, y)
    if len(evidence.report) and baselines.empty:
        raise MissingEvidenceError(["sparsity.target of 0 or twin_id"])
    tests: list[_BaselineTest] = []
    for _, own in baselines.groupby(["figure", "epochs"], sort=False):
        values = [recipe["value"].to_numpy() for _, recipe in own.groupby("config_id")]
        if len(values) > 1:
            tests.append(_BaselineTest(f_test_p_value(values), own))
    if not tests:
        return
    least = min(tests, key=lambda test: test.p)
    p = least.p * len(tests)
    if p < BASELINE_SIGNIFICANCE_LEVEL:
        own = least.trials
        means = own.groupby("config_id")["value"].mean()
        best = (Measure.by_name(y).direction * means).idxmax()
        cells = list(own.loc[own["config_id"] != best, "cell"])
        yield Finding("", cells, _baseline_sentences(own, y, p, evidence))


def _baseline_sentences(own: pd.DataFrame, y: str, p: float, evidence: Evidence) -> list[Sentence]:
    """Sentences on the lowest and the highest mean of dense recipes at one length."""
    by_recipe = own.groupby("config_id")
    recipes = by_recipe.agg(cell=("cell", "first"), mean=("value", "mean"), n=("value", "size"))
    rows = recipes.sort_values("mean").to_dict("records")
    measure = evidence.results.measure(y)
    differ = write(
        "found_baselines",
        epochs=f"{own['epochs'].iloc[0]:g}",
        recipes=format_count(len(recipes), "dense recipe"),
        measure=measure.phrase,
        p=f"{p:.2g}",
    )
    low, high = (_recipe_text(row, measure, evidence) for row in (rows[0], rows[-1]))
    return [differ, write("found_baselines_range", low=low, high=high)]


def _recipe_text(recipe: Mapping[Any, Any], measure: Measure, evidence: Evidence) -> str:
    value = f"{measure.value_text(recipe['mean'])} {measure.unit}".rstrip()
    return f"{value} for {evidence.name_cells([recipe['cell']])} ({format_seeds(recipe['n'])})"


def _baseline_trials(evidence: Evidence, y: str) -> pd.DataFrame:
    """Dense trials that figures compare with, one row each.

    A dense trial of a line is its own baseline, a sparse one's baseline is its twin.

    Returns:
        At least ``figure epochs cell config_id value``.
    """
    trials = require_columns(evidence.results.trials(), y).set_index("trial_id")
    trials = trials[has_value(trials["status"], "COMPLETE")]
    lines = evidence.rows_by_line(evidence.report, "epochs", "trial_id", "twin_id")
    # A gap is measured to the twin, which may belong to another cell.
    lines["dense_id"] = lines["trial_id"].where(lines["sparsity"] == 0, lines["twin_id"])
    lines = lines.dropna(subset="dense_id")
    lines = lines.assign(
        value=lines["dense_id"].map(trials[y]),
        config_id=lines["dense_id"].map(trials["config_id"]),
    )
    lines = lines.dropna(subset=["value", "config_id"])
    return lines.drop_duplicates(["figure", "epochs", "dense_id"])


def f_test_p_value(groups: Sequence[np.ndarray]) -> float:
    """Significance of a one-way analysis of variance: p if all groups had one mean.

    Args:
        groups: At least two samples, each of shape [n].

    Returns:
        p in [0, 1]; 1 where no group has two values or all means are equal, 0 where means differ
        and no group has a spread.
    """
    from scipy.special import fdtrc

    means = np.array([group.mean() for group in groups])
    sizes = np.array([len(group) for group in groups])
    within = sum(((group - group.mean()) ** 2).sum() for group in groups)
    df_between = len(groups) - 1
    df_within = int(sizes.sum()) - len(groups)
    between = float(sizes @ (means - np.concatenate(groups).mean()) ** 2)
    if df_within < 1 or between == 0:
        return 1.0
    if not within:
        return 0.0
    return float(fdtrc(df_between, df_within, between / df_between / (within / df_within)))


def mixed_machines(evidence: Evidence) -> Iterator[Finding]:
    """Find trials of a comparison that ran on different hardware or threads, or other versions."""
    if not isinstance(evidence.results, StudyResults):
        raise MissingEvidenceError(["the ledger of a study directory"])
    rows = evidence.report
    is_known = rows["device"].notna()
    if is_known.any():  # `cuda:0` and `cuda:1` are one kind of device
        rows = rows.assign(device=rows["device"].str.partition(":")[0])
    kinds = describe_rows(rows[is_known], MACHINE_FIELDS).reindex(rows.index)
    yield from mixed_kinds(evidence, kinds, "warning")
    # Versions are a fact of launches; the ledger does not repeat them for every trial.
    launches = [_versions(facts) for facts in if_whole(evidence.results.directory.launches) or []]
    changes = list(_version_changes(launches))
    if changes:
        yield Finding("", [], changes, "note")


def _version_changes(launches: Sequence[Mapping[str, Any]]) -> Iterator[Sentence]:
    """Sentences on versions in which launches differ."""
    names = dict.fromkeys(name for launch in launches for name in launch)
    for name in names:
        versions = dict.fromkeys(str(launch.get(name)) for launch in launches)
        if len({launch.get(name) for launch in launches}) > 1:
            yield write(
                "found_versions",
                launches=len(launches),
                package=name,
                versions=" then ".join(versions),
            )


def _versions(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Versions of one launch, by name."""
    packages = facts.get("packages") or {}
    versions = {name: packages[name] for name in COMPARED_PACKAGES if packages.get(name)}
    for name in ("python", "code"):
        if facts.get(name):
            versions[name] = facts[name]
    return versions


def unequal_flops(evidence: Evidence) -> Iterator[Finding]:
    """Find cells whose training FLOPs differ from their twin's, where a study equals them."""
    if evidence.results.design.equal != "train_flops":
        return
    require_columns(evidence.cells, "flops_ratio")
    cells = evidence.cells[evidence.cells["cell"].isin(flops_warnings(evidence.results))]
    for arm, own in cells.groupby("arm", sort=False):
        ends = [f"{own['flops_ratio'].min():.2f}", f"{own['flops_ratio'].max():.2f}"]
        times = " to ".join(dict.fromkeys(ends))
        networks = format_count(len(own), "network")
        found = write("found_flops", networks=networks, times=times)
        yield Finding(str(arm), list(own["cell"]), [found])


def mixed_own_code(evidence: Evidence) -> Iterator[Finding]:
    """Find means over trials that ran different code of the user's own, and cells that do."""
    rows = evidence.runs
    if "own_code" not in rows or rows["own_code"].isna().all():
        if _runs_own_code(rows):
            raise MissingEvidenceError(["own_code"])
        return
    versions = _code_versions(rows)
    # One configuration runs the same functions at every seed: only the code itself may differ.
    mean = [versions[name] for name in ("cell", "role", "config_id", "module")]
    mixed = versions[versions.groupby(mean)["digest"].transform("nunique") > 1]
    for arm, own in mixed.groupby("arm", sort=False):
        yield Finding(str(arm), list(own["cell"]), _code_sentences(own))
    others = versions[~versions["module"].isin(mixed["module"])]
    apart = others[others.groupby("module")["digest"].transform("nunique") > 1]
    if len(apart):
        majority = apart.groupby("digest")["trial_id"].nunique().idxmax()
        cells = apart.loc[apart["digest"] != majority, "cell"]
        yield Finding("", list(cells), _code_sentences(apart), "warning")


def _runs_own_code(rows: pd.DataFrame) -> bool:
    """True if a field of a trial's declaration is an import path."""
    fields = [name for name in rows if "." in str(name)]
    return any(rows[name].astype(str).str.fullmatch(OWN_FUNCTION_PATTERN).any() for name in fields)


def _code_versions(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each use of a trial and module of its own code: its columns, module, digest.

    A trial that went on under other code has several rows for a module.
    """
    parts = rows.assign(part=rows["own_code"].str.split()).explode("part", ignore_index=True)
    named = parts["part"].str.extract(r"^(?P<module>[^=]+)=(?P<digest>[^=]+)$")
    return parts[["arm", "cell", "role", "config_id", "trial_id"]].join(named).dropna()


def _code_sentences(versions: pd.DataFrame) -> list[Sentence]:
    """A sentence on the versions of each module: ``0a1b in 2 runs and 3c4d in 1 run``."""
    found = []
    for module, own in versions.groupby("module", sort=True):
        counts = own.groupby("digest", sort=False)["trial_id"].nunique()
        parts = [f"{digest} in {format_count(count, 'run')}" for digest, count in counts.items()]
        if len(parts) > 1:
            found.append(write("found_own_code", module=module, versions=" and ".join(parts)))
    return found
