"""Hyperparameter studies of sparse training.

Names load on use: importing the package imports neither torch nor ray.
"""

from importlib import import_module
from typing import Any

_EXPORTS_BY_MODULE = {
    "sparsetune.launch.followers.followed_trial": ["FollowedTrial"],
    "sparsetune.launch.followers.follower": ["Follower"],
    "sparsetune.loops.extra_batches": ["ExtraLosses"],
    "sparsetune.loops.sparse_training": ["SparseTraining", "sparsify"],
    "sparsetune.study.budget": ["Budget"],
    "sparsetune.durations": ["Length"],
    "sparsetune.errors": ["DeclarationError", "Problem", "SparsetuneError"],
    "sparsetune.study.questions.defaults": ["default_questions"],
    "sparsetune.study.questions.kinds": [
        "ArmsDiffer",
        "BestValueMoves",
        "ExtensionGain",
        "Remaining",
        "RetuningGain",
        "UnderTrained",
    ],
    "sparsetune.study.samplers": ["GP", "TPE", "Grid", "OptunaSampler", "Random", "Sobol"],
    "sparsetune.study.space": ["Choice", "IntRange", "LogUniform", "Uniform"],
    "sparsetune.spec.sparsity": [
        "CIFAR100_ACDC",
        "GMP_STAR",
        "GRANET_CIFAR",
        "MOCANU_SET",
        "OBERT_10_RAMP",
        "OBERT_RAMP",
        "ONE_SHOT_RAMP",
        "PUBLISHED_ACDC",
        "PUBLISHED_GRANET",
        "PUBLISHED_GRANET_RAMP",
        "RIGL_SET",
        "UNIFORM_ACDC",
        "UNIFORM_GMP",
        "AcdcSpec",
        "FisherSpec",
        "RampSpec",
        "RegrowSpec",
        "SparsitySpec",
        "TopKastSpec",
    ],
    "sparsetune.sparsity.methods.method": ["CombinationRule", "Method", "StepState"],
    "sparsetune.sparsity.methods.registry": ["METHODS"],
    "sparsetune.sparsity.plans.changes": ["MaskChange"],
    "sparsetune.spec.schedule": ["GMP_STAR_REWINDS", "OBERT_REWINDS"],
    "sparsetune.spec": [
        "ComputeSpec",
        "DistillSpec",
        "EvaluateSpec",
        "OptimSpec",
        "RewindSpec",
        "ScheduleSpec",
        "TrialSpec",
    ],
    "sparsetune.study.stopping": ["Halving"],
    "sparsetune.study": ["Arm", "Maximize", "Minimize", "Quick", "Study"],
    "sparsetune.spec.task": [
        "CustomTask",
        "DigitsTask",
        "FolderTask",
        "GrowthSpec",
        "ImageTask",
        "MetricSpec",
        "TextTask",
    ],
}
_PACKAGES = ("analysis",)
"""Packages that are no public names of their own, and load on use too."""
_MODULE_OF = {name: module for module, names in _EXPORTS_BY_MODULE.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("sparsetune")
    if name not in _MODULE_OF:
        raise AttributeError(f"module `sparsetune` has no `{name}`; it has {', '.join(__all__)}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
