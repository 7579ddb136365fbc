"""What decides an answer: contrasts, their family, its looks, intervals and seeds needed."""

from sparsetune.answers.asked import Asked, Contrast, Sides
from sparsetune.answers.bound import Bound, Reason, Verdict
from sparsetune.answers.collapses import collapse_rate
from sparsetune.answers.family import look_level, stage_level
from sparsetune.answers.jackknife import jackknife_values
from sparsetune.answers.judge import judge, judge_looks
from sparsetune.answers.power import power, smallest_margin
from sparsetune.answers.sample import Sample

__all__ = [
    "Asked",
    "Bound",
    "Contrast",
    "Reason",
    "Sample",
    "Sides",
    "Verdict",
    "collapse_rate",
    "jackknife_values",
    "judge",
    "judge_looks",
    "look_level",
    "power",
    "smallest_margin",
    "stage_level",
]
