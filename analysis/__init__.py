"""Reads a study directory or a table of another tool: curves, verdicts, findings, a report.

It needs neither torch nor Ray. Matplotlib, SciPy, Optuna and Jinja are loaded only when something
is drawn, computed or written.
"""

from .answers.answers import Answers, answers
from .checks import CHECKS, checks
from .curves import figures as curve_figures
from .curves.curve import Curve, cost_curve, length_curve, sparsity_curve
from .diff import diff
from .frontiers import figures as frontier_figures
from .frontiers import search_figure
from .frontiers.budgets import best_at
from .frontiers.iso_flops import iso_flops
from .frontiers.pareto import pareto_front
from .lengths import figures as length_figures
from .lengths.extension import extension_gain
from .lengths.needed import EpochsNeeded, epochs_needed
from .lengths.verdicts import Undertraining, undertraining
from .load import StudyResults, load
from .measure import Measure
from .ramps import figures as ramp_figures
from .ramps.atlas import ramp_atlas
from .recipes.importance import figures as importance_figures
from .recipes.importance.importance import importance
from .recipes.optima import figures as optimum_figures
from .recipes.optima.edges import edges
from .recipes.optima.optima import Optima, optima
from .recipes.tuning_gain import figures as optimism_figures
from .recipes.tuning_gain.optimism import optimism
from .recipes.tuning_gain.retuning import retuning_gain
from .references import figures as reference_figures
from .references.figures import paper_figure
from .references.overlay import overlay
from .references.published import references
from .report import report
from .structure import figures as structure_figures
from .structure.density import density_profile
from .structure.mask_overlap import mask_overlap
from .tables.foreign import TableResults, load_table
from .tables.results import Results

FIGURE_MODULES = (
    curve_figures,
    frontier_figures,
    importance_figures,
    length_figures,
    optimism_figures,
    optimum_figures,
    ramp_figures,
    reference_figures,
    search_figure,
    structure_figures,
)
"""Modules that register how results are drawn; see `analysis.drawers`."""

# Public names are imported at once, not on first use: `load`, `report` and others are modules too,
# which would hide the functions.
__all__ = [
    "CHECKS",
    "Answers",
    "Curve",
    "EpochsNeeded",
    "Measure",
    "Optima",
    "Results",
    "StudyResults",
    "TableResults",
    "Undertraining",
    "answers",
    "best_at",
    "checks",
    "cost_curve",
    "density_profile",
    "diff",
    "edges",
    "epochs_needed",
    "extension_gain",
    "importance",
    "iso_flops",
    "length_curve",
    "load",
    "load_table",
    "mask_overlap",
    "optima",
    "optimism",
    "overlay",
    "paper_figure",
    "pareto_front",
    "ramp_atlas",
    "references",
    "report",
    "retuning_gain",
    "sparsity_curve",
    "undertraining",
]
