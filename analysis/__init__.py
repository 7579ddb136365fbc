"""Reads a study directory, or anybody's table of runs, and explains it: curves, verdicts, findings, a report.

Needs neither torch nor Ray. Matplotlib, SciPy, Optuna and Jinja load when something is drawn, computed or written.
"""

from analysis.budgets import best_at
from analysis.checks import CHECKS, checks
from analysis.curves import Curve, cost_curve, length_curve, sparsity_curve
from analysis.density import density_profile
from analysis.diff import diff
from analysis.edges import edges
from analysis.foreign import TableResults, load_table
from analysis.frontiers import pareto_front
from analysis.hyperparameters import Optima, optima
from analysis.importance import importance
from analysis.iso_flops import iso_flops
from analysis.load import StudyResults, load
from analysis.mask_overlap import mask_overlap
from analysis.optimism import optimism
from analysis.ramp_atlas import ramp_atlas
from analysis.reference_figure import paper_figure
from analysis.references import overlay, references
from analysis.report import report
from analysis.results import Results
from analysis.retuning import retuning_gain
from analysis.saturation import Saturation, epochs_needed
from analysis.undertraining import extension_gain
from analysis.verdicts import Undertraining, undertraining

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
