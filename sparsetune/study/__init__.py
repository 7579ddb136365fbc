"""Declaration of a study: arms, axes, cells, samplers and budgets."""

from sparsetune.study.fields import Arm, Maximize, Minimize, Quick
from sparsetune.study.study import (
    Study,
    as_declared,
    declaration_differences,
    readable_part,
    require_valid,
    study_subject,
    without_consequences,
    without_known_lengths,
)

__all__ = [
    "Arm",
    "Maximize",
    "Minimize",
    "Quick",
    "Study",
    "as_declared",
    "declaration_differences",
    "readable_part",
    "require_valid",
    "study_subject",
    "without_consequences",
    "without_known_lengths",
]
