"""The declaration of one trial: frozen, validated, to and from JSON, named by a digest.

Every new field needs a default that changes nothing: the digest leaves defaults out, so that old
results keep their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from sparsetune.durations import Clock, steps_per_epoch, total_steps
from sparsetune.sparsity.methods.registry import known_method
from sparsetune.spec.applicability import Applicability, canonical_values, named_values
from sparsetune.spec.compute import ComputeSpec
from sparsetune.spec.declaration import (
    DIGEST_VERSION,
    MAX_SEED,
    UNNAMED_FIELDS,
    Declaration,
    all_positive,
    as_written,
    digest_of,
    remembered,
    to_plain,
)
from sparsetune.spec.evaluation import EvaluateSpec
from sparsetune.spec.optimizer import OptimSpec
from sparsetune.spec.schedule import ScheduleSpec
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.spec.task import DatasetTask, DigitsTask, TaskSpec
from sparsetune.spec.values import flatten_values, set_field


class TrialSpec(Declaration):
    """Everything that decides a trial's numbers.

    Equal specs give equal histories on one kind of CPU.
    """

    task: TaskSpec = DigitsTask()
    """Data, model and batches; its ``kind`` chooses the class."""
    optim: OptimSpec = OptimSpec()
    """Optimizer, its learning rate and weight decay."""
    schedule: ScheduleSpec = ScheduleSpec()
    """Length of training, and the learning rate over it."""
    sparsity: SparsitySpec = SparsitySpec()
    """Method, target, and everything that decides the mask."""
    evaluate: EvaluateSpec = EvaluateSpec()
    """Times of evaluation."""
    compute: ComputeSpec = ComputeSpec()
    """Precision, memory layout and compilation."""
    distill: DistillSpec = Field(default_factory=lambda: DistillSpec())
    """Knowledge distillation; by default none."""
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """Seed of initialisation, data order and everything random in the trial."""

    @model_validator(mode="after")
    def _parts_are_equal(self) -> TrialSpec:
        # A faulty part may be anything: its own problems say so, and this rule does not apply.
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
        # A target of 0 becomes the method `dense`, which any task may have.
        has_start = getattr(self.task, "has_sparse_start", True)
        starts_sparse = "checkpoint" in known_method(given.method).fields
        if starts_sparse and given.target and not has_start:
            raise ValueError(
                f"the method `{given.method}` goes on from a sparse encoder: `task.kind` must be"
                " 'text'"
            )
        return self

    @model_validator(mode="after")
    def _resets_what_there_is(self) -> TrialSpec:
        # A method's own reset stands: without momentum it is one of nothing, as it always was.
        asked = getattr(self.sparsity, "reset", None)
        method = known_method(getattr(self.sparsity, "method", "dense"))
        sparse = bool(getattr(self.sparsity, "target", 0)) and method.resets
        is_sgd = getattr(self.optim, "name", None) == "sgd"
        if asked in ("grown", "all") and sparse and is_sgd and self.optim.momentum == 0:
            raise ValueError(
                f"a `sparsity.reset` of `{asked}` needs momentum to reset, got an `optim.momentum`"
                " of 0: set the reset to `none`"
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
        if not isinstance(teacher, TrialSpec):
            return self
        if not isinstance(self.task, DatasetTask) or not isinstance(teacher.task, DatasetTask):
            return self
        different = self.task.split_differences(teacher.task)
        if different:
            raise ValueError(
                "`distill.teacher` must have the trial's data and training split, or its logits are"
                f" not of the examples that it teaches, got another {', '.join(different)}"
            )
        if getattr(teacher.distill, "teacher", None) is not None:
            raise ValueError(
                "a `distill.teacher` must learn from labels alone, got one with a teacher of its"
                " own"
            )
        if self.task.changes_examples():
            raise ValueError(
                "a `distill.teacher` says what it thinks of each example once: no random crops,"
                " flips, cutout"
            )
        return self

    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch."""
        return steps_per_epoch(self.task.train_size(), self.task.batch_size)

    def total_steps(self) -> int:
        """Optimizer steps of the whole training."""
        multiplier = self.schedule.epoch_multiplier * self.schedule.stretch
        return total_steps(self.schedule.epochs, multiplier, self.steps_per_epoch())

    def twin_steps(self) -> int:
        """Optimizer steps of the dense twin, which has no stretch."""
        multiplier = self.schedule.epoch_multiplier
        return total_steps(self.schedule.epochs, multiplier, self.steps_per_epoch())

    def clock(self) -> Clock:
        """The trial's time, which turns the lengths of its schedule into steps."""
        return Clock(self.total_steps(), self.steps_per_epoch(), self.task.batch_size)

    def peak_lr(self) -> float:
        """Peak learning rate at the task's batch size."""
        given_for = self.optim.lr_batch
        if given_for is None:
            return self.optim.lr
        return self.optim.lr * self.task.batch_size / given_for

    def canonical(self) -> TrialSpec:
        """A trial with the same training, and with fields that do not apply at their defaults.

        A target of 0 becomes the method ``dense``.
        """
        return TrialSpec.model_validate(canonical_values(self.given()))

    def with_values(self, values: Mapping[str, Any]) -> TrialSpec:
        """A canonical copy with dotted fields set; not checked."""
        return _build_trial(canonical_values(self._given_with(values)))

    def edited(self, values: Mapping[str, Any]) -> TrialSpec:
        """A copy with dotted fields set that keeps the fields that do not apply yet; not checked.

        Fields that were set to their defaults still count as set.
        """
        # As written, not as given: a value set to its default stays set under later defaults.
        given = {"task": as_written(self.task), **self.written()}
        for path in values:
            part = path.partition(".")[0]
            # Of a task of another kind, defaults that were written out for this one are none.
            if path.endswith(".kind") and part in given:
                given[part] = to_plain(getattr(self, part))
        return _build_trial(_with_fields(given, values))

    def _given_with(self, values: Mapping[str, Any]) -> dict[str, Any]:
        # A field inside the task needs its kind, which `given` leaves out with a default task.
        return _with_fields({"task": to_plain(self.task), **self.given()}, values)

    def with_task(self, task: TaskSpec) -> TrialSpec:
        """The same trial with another task; not checked."""
        return self if task is self.task else self.model_copy(update={"task": task})

    def task_of_seed(self) -> TaskSpec:
        """The task with the split that this trial has, where its seed draws that; not checked."""
        if self.task.split_seed != "vary":
            return self.task
        # numpy takes no larger ones.
        return self.task.model_copy(update={"split_seed": self.seed % 2**32})

    def with_seed(self, seed: int) -> TrialSpec:
        """The canonical trial of this configuration with a seed; one object for each seed."""
        known = self._by_seed()
        if seed not in known:
            known[seed] = self.with_values({"seed": seed})
        return known[seed]

    @remembered
    def _by_seed(self) -> dict[int, TrialSpec]:
        return {}

    def dense(self) -> TrialSpec:
        """The dense twin: the same recipe, seed and epochs, nothing pruned, and so no stretch."""
        return self.with_values({"sparsity.target": 0})

    @remembered
    def trial_id(self) -> str:
        """The digest of the whole canonical declaration, seed included."""
        named = named_values(self.canonical().given())
        return digest_of({"schema": DIGEST_VERSION, **named})

    @remembered
    def config_id(self) -> str:
        """The digest of the canonical declaration without its seed."""
        # Seed 0 is the default, which a digest leaves out.
        return self.with_seed(0).trial_id()

    def columns(self) -> dict[str, Any]:
        """Every applicable field by its dotted name, defaults included.

        These are the configuration's columns in tables. The dictionary is the caller's own.
        """
        return dict(self._columns())

    @remembered
    def _columns(self) -> dict[str, Any]:
        trial = self.canonical()
        values = trial.model_dump(mode="json")
        values["task"] = trial.task.column_values()
        sparsity = trial.sparsity.resolved()
        values["sparsity"] = sparsity.model_dump(mode="json", exclude={*UNNAMED_FIELDS})
        if trial.distill.teacher is not None:
            # One column with an id, in place of one for each field of the teacher.
            values["distill"]["teacher"] = trial.distill.teacher.trial_id()
        flat = flatten_values(values)
        if not trial.optim.arguments:
            del flat["optim.arguments"]  # else it has a column for each
        applicability = Applicability(values)
        kept = {path: value for path, value in flat.items() if applicability.applies(path)}
        # A dense trial has these two as well, so that a table tells it from a sparse one.
        for path in ("sparsity.method", "sparsity.target"):
            kept[path] = flat[path]
        return kept


class DistillSpec(Declaration):
    """Knowledge distillation from a teacher, a trial of its own that is trained once (Hinton et al.
    2015, arXiv 1503.02531).

    The loss is ``(1 - h) task + h T^2 KL(softmax(teacher / T) || softmax(student / T))``, a mean
    over examples.
    """

    hardness: float = Field(default=0, ge=0, le=1)
    """h: the weight of the teacher. 0: no distillation; 1: labels are not used."""
    temperature: float = Field(default=1, gt=0)
    """T: the divisor of logits."""
    teacher: TrialSpec | None = None
    """The whole declaration of the teacher, seed included. It inherits nothing, and shares task and
    training split."""


TrialSpec.model_rebuild()


def _build_trial(given: dict[str, Any]) -> TrialSpec:
    """A trial of plain values: valid where they are, else holding them as they came."""
    spec: TrialSpec = TrialSpec(**given)
    return spec


def _with_fields(given: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested plain values with dotted fields set, in place."""
    for path, value in values.items():
        set_field(given, path, to_plain(value))
    return given
