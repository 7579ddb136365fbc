"""A pruning method as one object: what it reads, plans, costs and certifies, and its source.

Every table that speaks of methods follows from these objects. The declaration is read with them:
what a method's file imports when it is loaded knows neither torch nor the declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from sparsetune.sparsity.plans.changes import Plan
from sparsetune.sparsity.plans.rules import ScheduleRule

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sparsetune.spec.sparsity import SparsitySpec

SHARED_FIELDS = (
    "method",
    "target",
    "score",
    "allocation",
    "pattern",
    "spared",
    "layers",
    "prunable_by",
    "method_choices",
    "fisher",
    "saliency_batches",
)
"""Fields of `SparsitySpec` that every method reads which chooses its mask."""
BASE_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {"score": "magnitude", "allocation": "global", "reset": "none"}
)
"""Choices that a declaration may leave to its method, with those of a method that makes none."""


class LaterChoice(NamedTuple):
    """A choice that a method makes otherwise since a version of the defaults.

    Studies that were declared under an earlier version keep the earlier choice.

    Args:
        version: The version, at least 2.
        field: Score, allocation or reset.
        value: The choice.
        score: The score under which it holds; None: any.
    """

    version: int
    field: str
    value: str
    score: str | None = None


class CombinationRule(NamedTuple):
    """A rule on fields of `SparsitySpec` that each alone is valid.

    Args:
        field: Name of the field at fault.
        text: The rule with its reason.
        breaks: True if a resolved declaration breaks the rule.
    """

    field: str
    text: str
    breaks: Callable[[SparsitySpec], bool]


class EffectiveWeights(Protocol):
    """Weights that the forward pass sees in place of those that the optimizer moves."""

    def mask(self, factors: list[Tensor]) -> None:
        """Keep the optimizer's weights, and put the effective ones in the parameters.

        Args:
            factors: Masks in force, 1 inside and 0 outside, of each parameter's shape; empty where
                the network is dense.
        """

    def unmask(self, gradients: list[Tensor] | None = None) -> None:
        """Put the optimizer's weights back.

        Args:
            gradients: Gradients by the effective weights, turned into those by the optimizer's, in
                place; None outside training.
        """


@dataclass(frozen=True)
class StepState:
    """A training step, as a method's own functions see it; tensors may be changed in place.

    What decides the next step lies in the tensors alone, so that a resumed trial is exact.

    Args:
        step: Optimizer steps done.
        spec: The resolved declaration.
        weights: Prunable weights by layer.
        gradients: Their gradients, of the same shapes; zeros where the batch gave none.
        masks: True inside the mask in force; empty where the network is dense.
        trained: True where a weight trains behind the mask; empty where all do.
    """

    step: int
    spec: SparsitySpec
    weights: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    trained: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """A pruning method. A variant of one is ``dataclasses.replace(RIGL, name=…, plan=…)``.

    Args:
        name: Name in ``sparsity.method``; one of your own has the name of its object.
        title: Published name, as a report writes it.
        plan: Function of a valid trial: its changes of the mask, in order of step. Before the first
            the network is dense; of several changes at one step, the last counts.
        source: Paper, and section or algorithm.
        code: Code of the authors that it follows, or of those whom it was compared with.
        departs: What departs from the source, in sentences.
        fields: Fields of `SparsitySpec` that it reads. Others take no part in a trial's name.
        defaults: Its own choices of score, allocation and reset, where a declaration leaves them
            open.
        later_defaults: Choices that differ since a later version of the defaults, the oldest first.
        patterns: ``n_m`` where it makes N:M masks alone, ``unstructured`` where it makes none.
        rules: Combinations of fields that cannot work.
        schedule_rules: Rules on the length of training.
        forward: Builds what the forward pass sees under the action ``shadow``, from parameters and
            declaration. None: the masked weights themselves.
        backward: Sparsity of a larger mask by magnitude, given the resolved declaration: under the
            action ``shadow`` the weights inside it train, and others stay. None: all of them train.
        reparametrize: Builds what the forward pass sees from the first step on, under any mask,
            from parameters and declaration; the parameters hold the initial weights then, and may
            be changed. None: the weights are the parameters.
        grows_by: What chooses the weights that an exchange grows: their ``gradient`` (of all
            weights, gathered after the backward pass) or chance; None where nothing is exchanged.
        after_backward: Called after the backward pass, with gradients that may be changed; those of
            an exchange are gathered before.
        after_step: Called after the optimizer's step; the mask is applied after it.
        parameters: Parameters of its own that train with the weights, such as thresholds of layers.
            No method has any yet.
        keeps_largest: True if its global masks by magnitude keep nothing but the largest weights,
            so that a forecast knows in which layers these lie.
        certified: What a certificate at the end of training says about its masks.
        flops: Cost of training on one example; `f_S` and `f_D` are the FLOPs of a sparse and of a
            dense forward pass.
        tested_against: What tests compare it with.
    """

    name: str
    title: str
    plan: Plan
    source: str
    code: str = ""
    departs: tuple[str, ...] = ()
    fields: tuple[str, ...] = SHARED_FIELDS
    defaults: Mapping[str, str] = field(default_factory=dict)
    later_defaults: tuple[LaterChoice, ...] = ()
    patterns: Literal["any", "n_m", "unstructured"] = "any"
    rules: tuple[CombinationRule, ...] = ()
    schedule_rules: tuple[ScheduleRule, ...] = ()
    forward: Callable[[Sequence[Tensor], SparsitySpec], EffectiveWeights] | None = None
    backward: Callable[[SparsitySpec], float] | None = None
    reparametrize: Callable[[Sequence[Tensor], SparsitySpec], EffectiveWeights] | None = None
    grows_by: Literal["gradient", "random"] | None = None
    after_backward: Callable[[StepState], None] | None = None
    after_step: Callable[[StepState], None] | None = None
    parameters: Callable[[SparsitySpec], Mapping[str, nn.Parameter]] | None = None
    keeps_largest: bool = False
    certified: str = "the target's count of weights outside the mask, each of them zero"
    flops: str = "3 f_S"
    tested_against: str = "counts, slots and resume of every method"

    @property
    def prunes(self) -> bool:
        """True if it leaves fewer weights than the dense network has."""
        return bool(self.fields)

    @property
    def resets(self) -> bool:
        """True if pruned weights come back under it, whose momentum and moments may be reset."""
        return "reset" in self.fields

    def choices(self, score: str | None = None, version: int = 1) -> dict[str, str]:
        """Its own score, allocation and reset, where a declaration leaves them open.

        Args:
            score: The declared score, on which others may depend; None where it is open too.
            version: Version of the defaults; see `sparsetune.spec.defaults`.
        """
        chosen = {**BASE_DEFAULTS, **self.defaults}
        for later in self.later_defaults:
            holds = later.score in (None, score or chosen["score"])
            if holds and version >= later.version:
                chosen[later.field] = later.value
        return chosen
