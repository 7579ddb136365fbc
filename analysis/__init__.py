"""Reads a study directory, or anybody's table of runs, and explains it: curves, verdicts, findings, a report.

Needs neither torch nor Ray. Matplotlib, SciPy, Optuna and Jinja load when something is drawn, computed or written.
"""

from analysis.checks import CHECKS, checks
from analysis.curves.curve import Curve, cost_curve, length_curve, sparsity_curve
from analysis.diff import diff
from analysis.frontiers.budgets import best_at
from analysis.frontiers.iso_flops import iso_flops
from analysis.frontiers.pareto import pareto_front
from analysis.lengths.extension import extension_gain
from analysis.lengths.saturation import Saturation, epochs_needed
from analysis.lengths.verdicts import Undertraining, undertraining
from analysis.load import StudyResults, load
from analysis.ramps.atlas import ramp_atlas
from analysis.recipes.edges import edges
from analysis.recipes.importance import importance
from analysis.recipes.optima import Optima, optima
from analysis.recipes.optimism import optimism
from analysis.recipes.retuning import retuning_gain
from analysis.references import overlay, references
from analysis.references.figures import paper_figure
from analysis.report import report
from analysis.structure.density import density_profile
from analysis.structure.mask_overlap import mask_overlap
from analysis.tables.foreign import TableResults, load_table
from analysis.tables.results import Results

# Imported at once, not on first use: `load`, `report` and others are modules too, which would hide the functions.
__all__ = [
    "CHECKS",
    "Curve",
    "Optima",
    "Results",
    "Saturation",
    "StudyResults",
    "TableResults",
    "Undertraining",
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
