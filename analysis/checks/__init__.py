"""Checks of results: rules under which curves may be read as they look, each with a stable code.

What each code means, why it matters and how it is detected stands in ``docs/checks.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.checks import cells, comparability, seeds, selection, steps
from analysis.checks.evidence import Evidence
from analysis.checks.finding import (
    SEVERITIES,
    Check,
    Finding,
    MissingEvidenceError,
    Severity,
    list_names,
)
from analysis.estimates.means import MEASURE_COLUMNS
from analysis.load import StudyResults
from analysis.tables.results import Results
from sparsetune.errors import SparsetuneError

__all__ = ["CHECKS", "FINDING_COLUMNS", "SEVERITIES", "Check", "Finding", "Severity", "checks"]

FINDING_COLUMNS = ("code", "severity", "arm", "cell", "message", "remedy")
"""Of a table of findings."""

CHECKS: dict[str, Check] = {
    check.code: check
    for check in (
        Check(
            "SPT001",
            "Off target",
            "error",
            cells.off_target_trials,
            "a trial must end with the sparsity that was asked for",
            "Leave these trials out; read their `error` and `certificate.json`, mend the cause, and run them again.",
            "Leave these runs out, mend the cause, and run them again.",
        ),
        Check(
            "SPT002",
            "Best at the edge of its range",
            "warning",
            selection.winners_at_range_edge,
            "a winner should lie inside the range that was searched, or a better one may lie outside",
            "Widen the range at that end and search on; until then say that the recipe is the best of this range.",
        ),
        Check(
            "SPT003",
            "Too few seeds",
            "warning",
            seeds.too_few_seeds,
            f"a claim needs at least {seeds.MIN_REPORT_SEEDS} report seeds and an interval narrower than the effect",
            "Add report seeds (`sparsetune resume DIRECTORY --add-report-seeds 2`), or claim no difference there.",
            "Add runs with other seeds, or claim no difference there.",
        ),
        Check(
            "SPT004",
            "Unfinished cells",
            "warning",
            cells.unfinished_cells,
            "every cell should have finished its search and its report trials",
            "Let the study run on (`sparsetune resume DIRECTORY`); until then call its curves provisional.",
            "Add the runs that have not finished; until then call the curves provisional.",
        ),
        Check(
            "SPT005",
            "Failed trials",
            "warning",
            cells.failed_trials,
            "no trial should be lost to its infrastructure",
            "Read the reasons in `sparsetune status DIRECTORY`, mend them, and retry the failed trials.",
            "Find out why these runs failed, mend it, and run them again.",
        ),
        Check(
            "SPT006",
            "Diverged cells",
            "warning",
            cells.diverged_cells,
            "training should converge, on every report seed and in most of the range that was searched",
            "Report the divergence beside the curve, never the mean of the survivors; narrow the range at the side that"
            " diverges.",
        ),
        Check(
            "SPT007",
            "Stopped before the ramp ended",
            "warning",
            cells.early_stopped_trials,
            "trials may be stopped only when their masks have the target sparsity, or late ramps win by being dense",
            "Let the stopping rule wait for the end of the ramp and a settle window, and search again.",
        ),
        Check(
            "SPT008",
            "Label smoothing mixed",
            "warning",
            comparability.mixed_label_smoothing,
            "entropies may be compared only between networks trained with the same label smoothing",
            "Draw one value of `task.label_smoothing` at a time (`where`), or compare accuracies only.",
        ),
        Check(
            "SPT009",
            "Distillation mixed",
            "warning",
            comparability.mixed_distillation,
            "entropies and losses may be compared only between networks that learned alike, from labels or a teacher",
            "Draw one value of `distill.hardness` at a time (`where`), or compare accuracies only.",
        ),
        Check(
            "SPT010",
            "Different denominators",
            "error",
            comparability.mixed_denominators,
            "sparsities in one figure must be fractions of the same number of prunable weights",
            "Draw the networks apart (`where`), or count `sparsity` over the same weights in all of them.",
        ),
        Check(
            "SPT011",
            "Different data",
            "error",
            comparability.mixed_splits,
            "networks in one figure must be trained, chosen and tested on the same splits of the same data",
            "Draw the splits apart (`where`), or run them again with one `task.validation` and `task.split_seed`.",
        ),
        Check(
            "SPT012",
            "Different dense baselines",
            "warning",
            comparability.unequal_baselines,
            "gaps in one figure should be measured to equally good dense networks",
            "Show the values themselves, or measure every gap to the same, best dense network.",
        ),
        Check(
            "SPT013",
            "Missing not at random",
            "error",
            seeds.results_missing_not_at_random,
            "results must not be missing more often the sparser the network is, or the curve shows the survivors",
            "Say how many are missing at each sparsity, beside the curve; lower the learning rate's range or mend what"
            " fails there.",
        ),
        Check(
            "SPT014",
            "Selected on the test set",
            "error",
            selection.selected_on_test,
            "winners must be chosen on validation, never on the test set",
            'Choose by a validation column; if there is none, show all runs (`select="all"`).',
        ),
        Check(
            "SPT015",
            "Maximum over epochs",
            "error",
            selection.best_epoch_rows,
            "a trial must be judged by its last evaluation",
            "Use the last row of each trial, at the target sparsity, instead of its best.",
        ),
        Check(
            "SPT016",
            "Runs that are not independent",
            "error",
            seeds.dependent_seeds,
            "the seeds of a configuration must be independent runs, or its interval is too narrow",
            "Count such runs once; let the seed decide initialisation, data order and masks, and run the others again.",
        ),
        Check(
            "SPT017",
            "Layers with no weight left",
            "warning",
            cells.empty_layers,
            "every layer should keep some of its weights, or nothing passes through it",
            "Use a layer-wise allocation (`erk`, `uniform`), spare that layer, or ask for less sparsity.",
        ),
        Check(
            "SPT018",
            "Plotted metric is not the objective",
            "note",
            selection.unselected_measure,
            "a curve shows the best recipes only in the measure that they were chosen by",
            "Draw the objective too, or say beside the curve by what its winners were chosen.",
        ),
        Check(
            "SPT019",
            "Duplicated or missing steps",
            "warning",
            steps.broken_histories,
            "a trial should have each of its evaluations once, up to its end",
            "Find out whether two runs share an id or a log was cut; drop these trials from curves over training.",
        ),
        Check(
            "SPT020",
            "Mixed hardware or versions",
            "warning",
            comparability.mixed_machines,
            "trials that are compared should run on the same hardware, threads and package versions",
            "Compare no seconds between them; where last digits matter, run one of the kinds again.",
        ),
        Check(
            "SPT021",
            "Winner and report from the same runs",
            "warning",
            selection.search_runs_reported,
            "a winner should be shown on fresh seeds, not on the runs that made it the winner",
            "Run each winner on seeds that had no part in choosing it, or say that its values are too good by luck.",
        ),
        Check(
            "SPT022",
            "Unequal FLOPs",
            "warning",
            comparability.unequal_flops,
            "sparse networks must have the training FLOPs of their dense twins, since the study asks for equal FLOPs",
            "Read the accuracy together with the ratio, or use an allocation whose densities are known beforehand.",
        ),
    )
}


def checks(
    results: Results, where: Mapping[str, Any] | None = None, *, y: str | None = None
) -> pd.DataFrame:
    """What a reader of these results must know before believing a curve: at most one finding a code and severity.

    Args:
        results: Of a study, finished or not, or of a table.
        where: Dotted fields and their values, as in `sparsity_curve`: only these cells are looked at.
        y: The measure that is shown; by default accuracy on the test set where it was measured, or the nearest to it.

    Returns:
        One row per finding, the gravest first: ``code severity`` (error, warning or note) ``arm`` (all that it was
        found in) ``cell`` (the first few names; both empty where all are meant) ``message remedy``.
        ``attrs["not_run"]`` holds, by code, what the results lack for a check to be made: no finding of such a one
        means nothing.

    Raises:
        SparsetuneError: if a field in ``where`` or ``y`` is unknown.
    """
    if y is not None and y not in MEASURE_COLUMNS:
        raise SparsetuneError(f"`y` must be one of {', '.join(MEASURE_COLUMNS)}, got `{y}`")
    evidence = Evidence(results, dict(where or {}), y)
    evidence.cells  # noqa: B018  # an unknown field in `where` is the caller's mistake, no missing column
    rows: list[dict[str, str]] = []
    lacking: dict[str, list[str]] = {}
    for check in CHECKS.values():
        found: list[Finding] = []
        try:
            for finding in check.function(evidence):
                found.append(finding)  # noqa: PERF402  # what it found before it lacked a column stays
        except SparsetuneError as error:
            lacking[check.code] = (
                error.columns if isinstance(error, MissingEvidenceError) else [str(error)]
            )
        rows += _rows(check, found, isinstance(results, StudyResults))
    frame = pd.DataFrame(rows, columns=[*FINDING_COLUMNS], dtype="str")
    rank = frame["severity"].map({severity: place for place, severity in enumerate(SEVERITIES)})
    frame = frame.assign(rank=rank).sort_values(
        ["rank", "code", "arm"], kind="stable", ignore_index=True
    )
    frame = frame[[*FINDING_COLUMNS]]
    frame.attrs["not_run"] = lacking
    return frame


def _rows(check: Check, found: Sequence[Finding], study: bool) -> Iterator[dict[str, str]]:
    """A row for each severity of what a check found, all arms together."""
    rule = check.rule[0].upper() + check.rule[1:]
    remedy = check.remedy if study else check.of_table or check.remedy
    for severity in SEVERITIES:
        mine = [finding for finding in found if (finding.severity or check.severity) == severity]
        if mine:
            arms = ", ".join(dict.fromkeys(finding.arm for finding in mine if finding.arm))
            cells = list_names(cell for finding in mine for cell in finding.cells)
            told = {"code": check.code, "severity": severity, "arm": arms, "cell": cells}
            yield told | {"message": f"{rule}: {_merge_findings(mine)}.", "remedy": remedy}


def _merge_findings(found: Sequence[Finding]) -> str:
    """What came in every arm, each thing once."""
    arms: dict[str, list[str]] = {}
    for finding in found:
        arms.setdefault(finding.got, []).append(finding.arm)
    if len(arms) == 1:
        return next(iter(arms))
    return "; ".join(
        f"in {' and '.join(names)}, {got}" if all(names) else got for got, names in arms.items()
    )
