"""Reads a study directory and explains it: tables, curves with intervals, extension gains, a report.

Needs neither torch nor Ray. Matplotlib and Jinja load when something is drawn or written.
"""

from analysis.curves import Curve, length_curve, sparsity_curve
from analysis.hyperparameters import Optima, optima
from analysis.load import StudyResults, load
from analysis.report import report
from analysis.results import Results
from analysis.retuning import retuning_gain
from analysis.undertraining import extension_gain

# Imported at once, not on first use: `load` and `report` are modules too, which would hide the functions.
__all__ = [
    "Curve",
    "Optima",
    "Results",
    "StudyResults",
    "extension_gain",
    "length_curve",
    "load",
    "optima",
    "report",
    "retuning_gain",
    "sparsity_curve",
]
