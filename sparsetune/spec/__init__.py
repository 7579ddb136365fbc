"""What a trial is: task, optimizer, schedule, sparsity and arithmetic, declared."""

from sparsetune.spec.trial import (
    DECIDING,
    SCHEMA_VERSION,
    ComputeSpec,
    DistillSpec,
    EvaluateSpec,
    OptimSpec,
    RewindSpec,
    ScheduleSpec,
    TrialSpec,
    applies,
    canonical,
    flatten,
    set_at,
)

__all__ = [
    "DECIDING",
    "SCHEMA_VERSION",
    "ComputeSpec",
    "DistillSpec",
    "EvaluateSpec",
    "OptimSpec",
    "RewindSpec",
    "ScheduleSpec",
    "TrialSpec",
    "applies",
    "canonical",
    "flatten",
    "set_at",
]
