"""Declaration of a study: arms, axes, cells, samplers and budgets."""

from sparsetune.study.fields import Arm, Maximize, Minimize, Quick
from sparsetune.study.study import Study, declaration_differences, readable_part, require_valid

__all__ = [
    "Arm",
    "Maximize",
    "Minimize",
    "Quick",
    "Study",
    "declaration_differences",
    "readable_part",
    "require_valid",
]
