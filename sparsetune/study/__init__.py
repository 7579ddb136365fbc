"""What a study asks: arms, axes, cells, samplers and budgets, declared."""

from sparsetune.study.study import (
    Arm,
    Maximize,
    Minimize,
    Quick,
    Study,
    checked,
    differences,
    sound_part,
)

__all__ = ["Arm", "Maximize", "Minimize", "Quick", "Study", "checked", "differences", "sound_part"]
