"""Reads a study directory and explains it: tables, curves with intervals, extension gains, a report.

Needs neither torch nor Ray. Matplotlib and Jinja load when something is drawn or written.
"""

from analysis.curves import Curve, length_curve, sparsity_curve
from analysis.load import Results, load
from analysis.report import report
from analysis.undertraining import extension_gain

# Imported at once, not on first use: `load` and `report` are modules too, which would hide the functions.
__all__ = ["Curve", "Results", "extension_gain", "length_curve", "load", "report", "sparsity_curve"]
