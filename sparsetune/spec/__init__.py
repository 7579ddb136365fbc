"""What a trial is: task, optimizer, schedule, sparsity and arithmetic, declared."""

from sparsetune.spec.trial import (
    DECIDING_FIELDS,
    SCHEMA_VERSION,
    ComputeSpec,
    DistillSpec,
    EvaluateSpec,
    OptimSpec,
    RewindSpec,
    ScheduleSpec,
    TrialSpec,
    canonical_values,
    field_applies,
    flatten_values,
    set_field,
)

__all__ = [
    "DECIDING_FIELDS",
    "SCHEMA_VERSION",
    "ComputeSpec",
    "DistillSpec",
    "EvaluateSpec",
    "OptimSpec",
    "RewindSpec",
    "ScheduleSpec",
    "TrialSpec",
    "canonical_values",
    "field_applies",
    "flatten_values",
    "set_field",
]
