"""Declaration of one trial: task, optimizer, schedule, sparsity and arithmetic."""

from sparsetune.spec.applicability import DECIDING_FIELDS, canonical_values, field_applies
from sparsetune.spec.compute import ComputeSpec
from sparsetune.spec.declaration import SCHEMA_VERSION
from sparsetune.spec.evaluation import EvaluateSpec
from sparsetune.spec.optimizer import OptimSpec
from sparsetune.spec.schedule import RewindSpec, ScheduleSpec
from sparsetune.spec.trial import DistillSpec, TrialSpec
from sparsetune.spec.values import flatten_values, set_field

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
