"""Registry of the checks, in order of their codes."""

from __future__ import annotations

from . import cells, comparability, directory, learning, seeds, selection, steps
from .check import Check
from .suspicions.registry import SUSPICIONS

_ALL = (
    Check(
        code="SPT001",
        title="Off target",
        severity="error",
        function=cells.off_target_trials,
        rule="a run must end with the sparsity that was asked for",
        remedy=(
            "Leave these trials out; read their `error` and `certificate.json`, fix the"
            " cause, and run them again."
        ),
        of_table="Leave these runs out, fix the cause, and run them again.",
    ),
    Check(
        code="SPT002",
        title="Best at the edge of its range",
        severity="warning",
        function=selection.winners_at_range_edge,
        rule=(
            "the best value should lie inside the range that was searched, or a better one may"
            " lie outside"
        ),
        remedy=(
            "Widen the range at that end and search on; until then say that the recipe is"
            " the best of this range."
        ),
    ),
    Check(
        code="SPT003",
        title="Too few seeds",
        severity="warning",
        function=seeds.too_few_seeds,
        rule=(
            f"a claim needs at least {seeds.MIN_REPORT_SEEDS} report seeds and an interval"
            " narrower than the effect"
        ),
        remedy=(
            "Add report seeds (`sparsetune resume DIRECTORY` with `--add-report-seeds`), as many"
            " as the report's next steps say, or say that the difference is not settled there."
        ),
        of_table="Add runs with other seeds, or say that the difference is not settled there.",
    ),
    Check(
        code="SPT004",
        title="Unfinished cells",
        severity="warning",
        function=cells.unfinished_cells,
        rule="every network should have finished its search and its report runs",
        remedy=(
            "Let the study run on (`sparsetune resume DIRECTORY`); until then call its"
            " curves provisional."
        ),
        of_table="Add the runs that have not finished; until then call the curves provisional.",
    ),
    Check(
        code="SPT005",
        title="Failed trials",
        severity="warning",
        function=cells.failed_trials,
        rule="no run should be lost to its infrastructure",
        remedy=(
            "Read the reasons in `sparsetune status DIRECTORY`, fix them, and retry the"
            " failed trials."
        ),
        of_table="Find out why these runs failed, fix it, and run them again.",
    ),
    Check(
        code="SPT006",
        title="Diverged cells",
        severity="warning",
        function=cells.diverged_cells,
        rule=(
            "training should converge, on every report seed and in most of the range that"
            " was searched"
        ),
        remedy=(
            "Report the divergence beside the curve, never the mean of the survivors;"
            " narrow the range at the side that diverges."
        ),
    ),
    Check(
        code="SPT007",
        title="Stopped before the ramp ended",
        severity="warning",
        function=cells.early_stopped_trials,
        rule=(
            "runs may be stopped only when their masks have the target sparsity, or late"
            " ramps win by being dense"
        ),
        remedy=(
            "Let the stopping rule wait for the end of the ramp and a settle window, and"
            " search again."
        ),
    ),
    Check(
        code="SPT008",
        title="Label smoothing mixed",
        severity="warning",
        function=comparability.mixed_label_smoothing,
        rule=(
            "entropies may be compared only between networks trained with the same label smoothing"
        ),
        remedy=(
            "Draw one value of `task.label_smoothing` at a time (`where`), or compare"
            " accuracies only."
        ),
    ),
    Check(
        code="SPT009",
        title="Distillation mixed",
        severity="warning",
        function=comparability.mixed_distillation,
        rule=(
            "entropies and losses may be compared only between networks that learned alike,"
            " from labels or a teacher"
        ),
        remedy=(
            "Draw one value of `distill.hardness` at a time (`where`), or compare accuracies only."
        ),
    ),
    Check(
        code="SPT010",
        title="Different denominators",
        severity="error",
        function=comparability.mixed_denominators,
        rule="sparsities in one figure must be fractions of the same number of prunable weights",
        remedy=(
            "Draw the networks apart (`where`), or count `sparsity` over the same weights"
            " in all of them."
        ),
    ),
    Check(
        code="SPT011",
        title="Different data",
        severity="error",
        function=comparability.mixed_splits,
        rule=(
            "networks in one figure must be trained, chosen and tested on the same splits"
            " of the same data"
        ),
        remedy=(
            "Draw the splits apart (`where`), or run them again with one `task.validation`"
            " and `task.split_seed`."
        ),
    ),
    Check(
        code="SPT012",
        title="Different dense baselines",
        severity="warning",
        function=comparability.unequal_baselines,
        rule="gaps in one figure should be measured to equally good dense networks",
        remedy="Show the values themselves, or measure every gap to the same, best dense network.",
    ),
    Check(
        code="SPT013",
        title="Missing not at random",
        severity="error",
        function=seeds.results_missing_not_at_random,
        rule=(
            "results must not be missing more often the sparser the network is, or the"
            " curve shows the survivors"
        ),
        remedy=(
            "Say how many are missing at each sparsity, beside the curve; lower the"
            " learning rate's range or fix what fails there."
        ),
    ),
    Check(
        code="SPT014",
        title="Selected on the test set",
        severity="error",
        function=selection.selected_on_test,
        rule="winners must be chosen on validation, never on the test set",
        remedy='Choose by a validation column; if there is none, show all runs (`select="all"`).',
    ),
    Check(
        code="SPT015",
        title="Maximum over epochs",
        severity="error",
        function=selection.best_epoch_rows,
        rule="a run must be judged by its last evaluation",
        remedy="Use the last row of each trial, at the target sparsity, instead of its best.",
    ),
    Check(
        code="SPT016",
        title="Runs that are not independent",
        severity="error",
        function=seeds.dependent_seeds,
        rule="the seeds of a configuration must be independent runs, or its interval is too narrow",
        remedy=(
            "Count such runs once; let the seed decide initialisation, data order and"
            " masks, and run the others again."
        ),
    ),
    Check(
        code="SPT017",
        title="Layers with no weight left",
        severity="warning",
        function=cells.empty_layers,
        rule="every layer should keep some of its weights, or nothing passes through it",
        remedy=(
            "Use a layer-wise allocation (`erk`, `uniform`), spare that layer, or ask for"
            " less sparsity."
        ),
    ),
    Check(
        code="SPT018",
        title="Plotted metric is not the objective",
        severity="note",
        function=selection.unselected_measure,
        rule="a curve shows the best recipes only in the measure that they were chosen by",
        remedy="Draw the objective too, or say beside the curve by what its winners were chosen.",
    ),
    Check(
        code="SPT019",
        title="Duplicated or missing steps",
        severity="warning",
        function=steps.broken_histories,
        rule="a run should have each of its evaluations once, up to its end",
        remedy=(
            "Find out whether two runs share an id or a log was cut; drop these trials from"
            " curves over training."
        ),
    ),
    Check(
        code="SPT020",
        title="Mixed hardware or versions",
        severity="warning",
        function=comparability.mixed_machines,
        rule=(
            "runs that are compared should run on the same hardware, threads and package versions"
        ),
        remedy=(
            "Compare no seconds between them; where last digits matter, run one of the kinds again."
        ),
    ),
    Check(
        code="SPT021",
        title="Winner and report from the same runs",
        severity="warning",
        function=selection.search_runs_reported,
        rule="a winner should be shown on fresh seeds, not on the runs that made it the winner",
        remedy=(
            "Run each winner on seeds that had no part in choosing it, or say that its"
            " values are too good by luck."
        ),
    ),
    Check(
        code="SPT022",
        title="Unequal FLOPs",
        severity="warning",
        function=comparability.unequal_flops,
        rule=(
            "sparse networks must have the training FLOPs of their dense twins, since the"
            " study asks for equal FLOPs"
        ),
        remedy=(
            "Read the accuracy together with the ratio, or use an allocation whose"
            " densities are known beforehand."
        ),
    ),
    Check(
        code="SPT023",
        title="Different code in one mean",
        severity="error",
        function=comparability.mixed_own_code,
        rule="the runs of one mean must have run the same code of your own",
        remedy=(
            "Undo the change, or run the new code under another `--name`; leave the trials of one"
            " of the two out."
        ),
        of_table="Leave the runs of one of the two out.",
    ),
    Check(
        code="SPT024",
        title="Damaged or unclosed records",
        severity="warning",
        function=directory.damaged_files,
        rule=(
            "a study's ledger should end with its closing record, and the files of its runs be"
            " those that they recorded"
        ),
        remedy=(
            "Copy the study's directory again, or let the study run on (`sparsetune resume"
            " DIRECTORY`): it closes the ledger."
        ),
    ),
    Check(
        code="SPT025",
        title="Learned nothing",
        severity="error",
        function=learning.cells_that_learned_nothing,
        rule="networks that are compared should have learned something",
        remedy=(
            "Compare no recipes there; train longer, prune less or more slowly, or give more data."
        ),
    ),
    *SUSPICIONS,
    Check(
        code="SPT035",
        title="Configurations in one mean",
        severity="warning",
        function=cells.pooled_configurations,
        rule="a mean with an interval needs repetitions of one configuration",
        remedy=(
            'Choose by a validation column (`select="best"`), or cross what differs (`sweep`); what'
            " is drawn there is a spread of configurations, no interval."
        ),
    ),
)

CHECKS: dict[str, Check] = {
    check.code: check for check in sorted(_ALL, key=lambda check: check.code)
}
"""Every check by its code."""
