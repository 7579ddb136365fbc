"""The declaration of one trial: frozen, validated, to and from JSON, named by a digest.

Every new field needs a default that changes nothing: the digest leaves defaults out, so old results keep their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from sparsetune.durations import Clock, Length, LengthField, steps_per_epoch, total_steps
from sparsetune.spec.declaration import Declaration, all_positive, digest_of, to_plain
from sparsetune.spec.sparsity import (
    ALLOCATION_FIELDS,
    METHOD_DEFAULTS,
    METHOD_FIELDS,
    SCORE_FIELDS,
    SparsitySpec,
)
from sparsetune.spec.task import DigitsTask, TaskSpec

SCHEMA_VERSION = 1
"""Of every declaration, ledger and study directory; raised when old ones can no longer be read as they are."""


class OptimSpec(Declaration):
    """The optimizer. Weight decay spares biases and norms unless ``decay_bias_and_norm``."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(default=0.1, gt=0)
    """The peak."""
    lr_batch: int | None = Field(default=None, ge=1)
    """The batch size that ``lr`` is given for: it is scaled in proportion to the task's (Goyal et al. 2017)."""
    weight_decay: float = Field(default=1e-4, ge=0)
    decay_bias_and_norm: bool = False
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    ema: float = Field(default=0, ge=0, lt=1)
    """Decay a step of a moving average of the weights, masked, which is what is evaluated and saved; 0 for none."""


class RewindSpec(Declaration):
    """Learning-rate rewinds: the decay starts again at its peak, and ends in its floor before the next rewind."""

    start: LengthField = Length(2, "epochs")
    """Training done at the first rewind."""
    every: LengthField = Length(2, "epochs")
    """From one to the next; the last decay ends with training, however short it is."""


GMP_STAR_REWINDS = RewindSpec()
"""GMP*: the two-epoch schedule of dense fine-tuning again and again (Kurtic et al. 2024, app. A)."""
OBERT_REWINDS = RewindSpec(every="4 epochs")
"""oBERT's 30-epoch recipe: at each pruning step, epochs 2, 6, … 26 (Kurtic et al. 2022, arXiv 2203.07259)."""


class ScheduleSpec(Declaration):
    """How long to train, and the learning rate over training: a linear warm-up, then a decay."""

    epochs: float = Field(default=4, gt=0)
    epoch_multiplier: float = Field(default=1, gt=0)
    """Extends training: learning rate, ramp and every other fraction of training stretch with it."""
    stretch: float = Field(default=1, gt=0)
    """Sparse networks only: extends training as the multiplier does, which dense twins do not share. A study that
    equals training FLOPs sets it."""
    lr: Literal["linear", "cosine", "constant", "step"] = "linear"
    """How the learning rate falls after the warm-up: to zero, or for ``step`` by ``factor`` at each of ``anchors``."""
    warmup: LengthField = Length(0.05)
    """Training over which the learning rate rises to its peak: a fraction stretches, epochs do not."""
    anchors: tuple[LengthField, ...] = ()
    """``step`` only: training done at each fall."""
    factor: float = Field(default=0.1, gt=0, lt=1)
    """``step`` only: what the learning rate is multiplied by at each fall."""
    floor: float = Field(default=0, ge=0, lt=1)
    """``linear`` and ``cosine``: what they fall to, as a fraction of the peak."""
    rewind: RewindSpec | None = None
    """``linear`` and ``cosine``: when they start again; never by default."""
    lr_per: Literal["step", "epoch"] = "step"
    """Whether the learning rate moves at every step or stays the same through an epoch, as in AC/DC's code."""

    @model_validator(mode="after")
    def _is_consistent(self) -> ScheduleSpec:
        if (self.lr == "step") != bool(self.anchors):
            given = to_plain(self.anchors)
            raise ValueError(
                f"`anchors` belong to the decay `step`, and only there, got {given} for `{self.lr}`"
            )
        return self


class EvaluateSpec(Declaration):
    """When to evaluate besides the end of every epoch, and on how much."""

    every: LengthField | None = None
    train_examples: int = Field(default=10_000, ge=1)
    """Of the training split, on which the training loss is measured; all where it has fewer."""


class ComputeSpec(Declaration):
    """How the arithmetic is done; what is not the default changes the numbers in their last digits, or more."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Of forward passes, by autocast; weights, optimizer and measures stay in float32 and float64."""
    channels_last: bool = False
    """The memory layout of images and convolutions that GPUs with bfloat16 are fastest with."""
    compile: bool = False
    """Whether the network is compiled by `torch.compile`: not bit-exact from one process to another."""
    accumulate: int = Field(default=1, ge=1)
    """Equal parts that a batch passes through the network in, to save memory; batch norm sees each part alone."""


class TrialSpec(Declaration):
    """Everything that decides a trial's numbers. Equal specs give equal histories on one kind of CPU."""

    task: TaskSpec = DigitsTask()
    optim: OptimSpec = OptimSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    sparsity: SparsitySpec = SparsitySpec()
    evaluate: EvaluateSpec = EvaluateSpec()
    compute: ComputeSpec = ComputeSpec()
    distill: DistillSpec = Field(default_factory=lambda: DistillSpec())
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _parts_are_equal(self) -> TrialSpec:
        size: Any = getattr(self.task, "batch_size", None)
        parts: Any = getattr(self.compute, "accumulate", None)
        if all_positive(size, parts) and size % parts:
            raise ValueError(
                f"`compute.accumulate` must divide `task.batch_size`, got {parts} and {size}"
            )
        return self

    @model_validator(mode="after")
    def _transfers_texts(self) -> TrialSpec:
        given = self.sparsity if isinstance(self.sparsity, SparsitySpec) else SparsitySpec()
        if (
            given.method == "transfer"
            and given.target
            and getattr(self.task, "kind", "text") != "text"
        ):
            raise ValueError(
                "the method `transfer` goes on from a sparse encoder: `task.kind` must be 'text'"
            )
        return self

    @model_validator(mode="after")
    def _teaches_what_it_learned(self) -> TrialSpec:
        hardness = getattr(self.distill, "hardness", 0)
        teacher = getattr(self.distill, "teacher", None)
        if isinstance(hardness, float | int) and hardness > 0 and teacher is None:
            raise ValueError(
                f"a `distill.hardness` of {hardness:g} needs a `distill.teacher`, a whole TrialSpec"
            )
        if isinstance(teacher, TrialSpec) and (odd := _split_differences(self.task, teacher.task)):
            raise ValueError(
                "`distill.teacher` must have the trial's data and training split, or its logits are not of the examples"
                f" that it teaches, got another {', '.join(odd)}"
            )
        if isinstance(teacher, TrialSpec) and getattr(teacher.distill, "teacher", None) is not None:
            raise ValueError(
                "a `distill.teacher` must learn from labels alone, got one with a teacher of its own"
            )
        if isinstance(teacher, TrialSpec) and _uses_augmentation(self.task):
            raise ValueError(
                "a `distill.teacher` says what it thinks of each example once: no random crops, flips, cutout"
            )
        return self

    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch."""
        return steps_per_epoch(self.task.train_size(), self.task.batch_size)

    def total_steps(self) -> int:
        """Optimizer steps of the whole training."""
        given = self.schedule
        return total_steps(
            given.epochs, given.epoch_multiplier * given.stretch, self.steps_per_epoch()
        )

    def twin_steps(self) -> int:
        """Optimizer steps of its dense twin, which has no stretch."""
        return total_steps(
            self.schedule.epochs, self.schedule.epoch_multiplier, self.steps_per_epoch()
        )

    def clock(self) -> Clock:
        """What turns the lengths of its schedule into steps."""
        return Clock(self.total_steps(), self.steps_per_epoch(), self.task.batch_size)

    def peak_lr(self) -> float:
        """The peak learning rate at the task's batch size."""
        given_for = self.optim.lr_batch
        return (
            self.optim.lr if given_for is None else self.optim.lr * self.task.batch_size / given_for
        )

    def canonical(self) -> TrialSpec:
        """The same training with the fields that do not apply at their defaults; a target of 0 is `dense`."""
        return TrialSpec.model_validate(canonical_values(self.given()))

    def with_values(self, values: Mapping[str, Any]) -> TrialSpec:
        """A canonical copy with dotted fields set; not checked."""
        return _build_trial(canonical_values(self._given_with(values)))

    def edited(self, values: Mapping[str, Any]) -> TrialSpec:
        """A copy with dotted fields set that keeps the fields that do not apply yet; not checked."""
        return _build_trial(self._given_with(values))

    def _given_with(self, values: Mapping[str, Any]) -> dict[str, Any]:
        given = {"task": to_plain(self.task), **self.given()}
        for path, value in values.items():
            set_field(given, path, to_plain(value))
        return given

    def dense(self) -> TrialSpec:
        """The dense twin: the same recipe, seed and epochs, nothing pruned, and so no stretch."""
        return self.with_values({"sparsity.target": 0})

    def trial_id(self) -> str:
        """The digest of the whole canonical declaration, seed included."""
        return digest_of({"schema": SCHEMA_VERSION, **self.canonical().given()})

    def config_id(self) -> str:
        """The digest of the canonical declaration without its seed."""
        return self.with_values({"seed": 0}).trial_id()

    def columns(self) -> dict[str, Any]:
        """Every applicable field by its dotted name, defaults included: the configuration's columns in tables."""
        trial = self.canonical()
        values = trial.model_dump(mode="json") | {
            "sparsity": trial.sparsity.resolved().model_dump(mode="json")
        }
        if trial.distill.teacher is not None:
            values["distill"]["teacher"] = trial.distill.teacher.trial_id()
        kept = {
            path: value
            for path, value in flatten_values(values).items()
            if field_applies(values, path)
        }
        return kept | {
            path: flatten_values(values)[path] for path in ("sparsity.method", "sparsity.target")
        }


class DistillSpec(Declaration):
    """Knowledge distillation from a teacher, a trial of its own, trained once (Hinton et al. 2015, arXiv 1503.02531).

    The loss is ``(1 - h) task + h T^2 KL(softmax(teacher / T) || softmax(student / T))``, a mean over examples.
    """

    hardness: float = Field(default=0, ge=0, le=1)
    """h: the weight of the teacher. 0: no distillation; 1: labels are not used."""
    temperature: float = Field(default=1, gt=0)
    """T: what logits are divided by."""
    teacher: TrialSpec | None = None
    """The whole declaration of the teacher, seed included. It inherits nothing, and shares task and training split."""


TrialSpec.model_rebuild()


def _uses_augmentation(task: TaskSpec) -> bool:
    """Whether training examples change from one epoch to the next."""
    return getattr(task, "kind", None) == "folder" or any(
        getattr(task, n, 0) for n in ("crop", "flip", "cutout")
    )


def _split_differences(task: TaskSpec, other: TaskSpec) -> list[str]:
    """The fields of two tasks that make other examples, or the same in other forms, of them."""
    names = ("kind", "dataset", "folder", "examples", "train_examples", "validation", "split_seed")
    return [
        f"`task.{name}`"
        for name in names
        if getattr(task, name, None) != getattr(other, name, None)
    ]


def _prefixed_fields(part: str, of: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {choice: tuple(f"{part}.{name}" for name in names) for choice, names in of.items()}


_CYCLIC_FIELDS = ("floor", "rewind")
_FIELDS_OF = {
    "sparsity.method": {
        method: (*names, "schedule.stretch") if names else ()
        for method, names in _prefixed_fields("sparsity", METHOD_FIELDS).items()
    },
    "sparsity.score": _prefixed_fields("sparsity", SCORE_FIELDS),
    "sparsity.allocation": _prefixed_fields("sparsity", ALLOCATION_FIELDS),
    "schedule.lr": _prefixed_fields(
        "schedule",
        {
            "linear": _CYCLIC_FIELDS,
            "cosine": _CYCLIC_FIELDS,
            "constant": (),
            "step": ("anchors", "factor"),
        },
    ),
    "optim.name": _prefixed_fields(
        "optim", {"sgd": ("momentum", "nesterov"), "adamw": ("beta1", "beta2")}
    ),
}
"""Fields that mean something only under one choice of another field; all others always apply."""

DECIDING_FIELDS = tuple(_FIELDS_OF)
"""Fields whose value decides which others apply, the method first: scores and allocations belong to one."""


def field_applies(values: Mapping[str, Any], path: str) -> bool:
    """Whether the dotted field ``path`` changes anything in a trial of these (possibly partial, unchecked) values."""
    if (
        _is_within(path, ("distill",))
        and path != "distill.hardness"
        and not _uses_distillation(values)
    ):
        return False
    for choice, fields_of in _FIELDS_OF.items():
        chosen = _choice_value(values, choice)
        conditional = {field for fields in fields_of.values() for field in fields}
        if (
            chosen in fields_of
            and _is_within(path, conditional)
            and not _is_within(path, fields_of[chosen])
        ):
            return False
    return True


def _uses_distillation(values: Mapping[str, Any]) -> bool:
    given = values.get("distill", {})
    return not isinstance(given, Mapping) or given.get("hardness", 0) != 0


def _choice_value(values: Mapping[str, Any], choice: str) -> Any:
    """The value of the dotted field ``choice``: as given, or the method's own, or the default."""
    part, _, name = choice.partition(".")
    given = values.get(part, {})
    default = getattr(TrialSpec.model_fields[part].default, name)
    chosen = given.get(name, default) if isinstance(given, Mapping) else default
    return _method_default(values, choice) if chosen is None else chosen


def _method_default(values: Mapping[str, Any], path: str) -> Any:
    """What the method takes where the dotted field is open; None for other fields."""
    part, _, name = path.partition(".")
    method = _choice_value(values, "sparsity.method") if part == "sparsity" else None
    return METHOD_DEFAULTS.get(str(method), {}).get(name)


def _is_within(path: str, fields: Iterable[str]) -> bool:
    return any(path == field or path.startswith(field + ".") for field in fields)


def canonical_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested plain values without fields that do not apply or say what the method takes anyway. Not checked.

    A target of 0 becomes `dense`.
    """
    kept: dict[str, Any] = {}
    flat = flatten_values(values)
    if (
        flat.get("sparsity.target", 0) == 0
        and flat.get("sparsity.method", "dense") in METHOD_DEFAULTS
    ):
        flat.pop("sparsity.method", None)
        values = {**values, "sparsity": {}}
    for path, value in flat.items():
        if field_applies(values, path) and (
            value is None or value != _method_default(values, path)
        ):
            set_field(kept, path, value)
    if isinstance(teacher := kept.get("distill", {}).get("teacher"), Mapping):
        kept["distill"]["teacher"] = canonical_values(teacher)
    return kept


def flatten_values(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one with dotted names, in order."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= (
            flatten_values(value, f"{prefix}{name}.")
            if isinstance(value, Mapping) and value
            else {prefix + name: value}
        )
    return flat


def set_field(values: dict[str, Any], path: str, value: Any) -> None:
    """Set the dotted field ``path`` of nested dictionaries, in place."""
    *parts, name = path.split(".")
    for part in parts:
        if not isinstance(values.get(part), dict):
            values[part] = {}
        values = values[part]
    values[name] = value


def _build_trial(given: dict[str, Any]) -> TrialSpec:
    """A trial of plain values: valid where they are, else holding them as they came."""
    spec: TrialSpec = TrialSpec(**given)
    return spec
