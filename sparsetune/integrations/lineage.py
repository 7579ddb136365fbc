"""The recipes that one training had, one after another.

Population-based training lets a trial continue another one's network under a changed recipe. Such a
network was trained by no declared trial, and may not take the name of one: it is named by its whole
lineage, so that a study never resumes from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sparsetune.errors import CheckpointError, DeclarationError, Problem
from sparsetune.spec import TrialSpec
from sparsetune.spec.declaration import digest_of

if TYPE_CHECKING:
    from sparsetune.train.checkpoint import Checkpoint

LINEAGE_FILE = "lineage.json"
"""File beside a checkpoint with the recipes that led to it."""
LINEAGE_METRIC = "lineage"
"""Column of Tune's results with the recipes so far, as JSON."""
CHANGEABLE_FIELDS = frozenset(
    {
        "distill.hardness",
        "distill.temperature",
        "optim.beta1",
        "optim.beta2",
        "optim.clip_norm",
        "optim.lr",
        "optim.lr_batch",
        "optim.momentum",
        "optim.nesterov",
        "optim.weight_decay",
        "schedule.anchors",
        "schedule.factor",
        "schedule.floor",
        "schedule.lr",
        "schedule.lr_per",
        "schedule.rewind",
        "schedule.rewind.every",
        "schedule.rewind.start",
        "schedule.warmup",
    }
)
"""Fields that a training may change on its way: they act at each step and leave no state behind.
With another task, method or length, masks, moments and steps that are done would not fit."""


@dataclass(frozen=True)
class Segment:
    """A part of training under one recipe.

    Args:
        first_step: Optimizer steps done before it.
        spec: The recipe, as a canonical trial.
    """

    first_step: int
    spec: TrialSpec


@dataclass(frozen=True)
class Lineage:
    """The recipes of one training, in order; the first starts at step 0."""

    segments: tuple[Segment, ...]

    @classmethod
    def of(cls, spec: TrialSpec) -> Self:
        """The lineage of a training that starts now."""
        return cls((Segment(0, spec.canonical()),))

    @property
    def spec(self) -> TrialSpec:
        """The recipe in force."""
        return self.segments[-1].spec

    def digest(self) -> str:
        """Name of the training: the trial's id, while it has had no recipe but that trial's."""
        if len(self.segments) == 1:
            return self.spec.trial_id()
        return digest_of([[part.first_step, part.spec.trial_id()] for part in self.segments])

    def continued(self, spec: TrialSpec, step: int) -> Self:
        """The lineage of a training that goes on under a recipe.

        Args:
            spec: The recipe from now on.
            step: Optimizer steps done.

        Raises:
            DeclarationError: naming the fields that may not change on the way.
        """
        spec = spec.canonical()
        if spec.trial_id() == self.spec.trial_id():
            return self
        if problems := list(_change_problems(self.spec, spec)):
            raise DeclarationError(problems, "a recipe that changes during training")
        # A recipe that was replaced before its first step has trained nothing.
        trained = [part for part in self.segments if part.first_step < step]
        return replace(self, segments=(*trained, Segment(step, spec)))

    def changes(self) -> str:
        """Changes of the recipe in words, as in ``step 40: optim.lr 0.1 -> 0.08``; may be empty."""
        lines = []
        for before, after in zip(self.segments, self.segments[1:], strict=False):
            changed = changed_fields(before.spec, after.spec)
            values = [f"{path} {old} -> {new}" for path, (old, new) in changed.items()]
            lines.append(f"step {after.first_step}: {', '.join(values)}")
        return "; ".join(lines)

    def to_json(self) -> str:
        """The lineage as JSON text."""
        parts = [{"first_step": one.first_step, "spec": one.spec.given()} for one in self.segments]
        return json.dumps(parts)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The lineage that `to_json` wrote."""
        parts = json.loads(text)
        specs = [TrialSpec.model_validate(part["spec"]) for part in parts]
        steps = [part["first_step"] for part in parts]
        return cls(tuple(Segment(step, spec) for step, spec in zip(steps, specs, strict=True)))


def changed_fields(before: TrialSpec, after: TrialSpec) -> dict[str, tuple[object, object]]:
    """Values before and after of every field that differs; None where a field does not apply."""
    old, new = before.columns(), after.columns()
    return {
        path: (old.get(path), new.get(path))
        for path in sorted({*old, *new})
        if old.get(path) != new.get(path)
    }


def _change_problems(before: TrialSpec, after: TrialSpec) -> Iterator[Problem]:
    allowed = ", ".join(sorted(CHANGEABLE_FIELDS))
    for path, (old, new) in changed_fields(before, after).items():
        if path not in CHANGEABLE_FIELDS:
            rule = f"must keep its value {old!r} during training; those that may change: {allowed}"
            yield Problem(path, rule, repr(new))


def read_lineage(folder: Path) -> tuple[Lineage, Checkpoint]:
    """A checkpoint, and the recipes that led to it.

    Args:
        folder: Folder that holds one checkpoint and its `LINEAGE_FILE`.

    Raises:
        CheckpointError: if it holds none, or they do not belong together.
    """
    from sparsetune.train.checkpoint import latest_checkpoint

    checkpoint = latest_checkpoint([folder])
    file = folder / LINEAGE_FILE
    if checkpoint is None or not file.is_file():
        rule = f"`{folder}` must hold a whole checkpoint of `ray_trainable`"
        raise CheckpointError(f"{rule}; restart the trial")
    lineage = Lineage.from_json(file.read_text())
    if checkpoint.trial_id != lineage.digest():
        rule = f"`{checkpoint.path}` must be of the training {lineage.digest()}"
        raise CheckpointError(f"{rule}, got {checkpoint.trial_id}; restart the trial")
    return lineage, checkpoint


def under_recipe(
    checkpoint: Checkpoint, before: TrialSpec, after: TrialSpec, data_root: Path | None
) -> Checkpoint:
    """The checkpoint as `sparsetune.train.train` of the recipe from now on resumes from it.

    Args:
        checkpoint: State of the training.
        before: Recipe that it had until now.
        after: Recipe from now on, which may differ in `CHANGEABLE_FIELDS`.
        data_root: Folder that data sets and models lie in.
    """
    state = checkpoint.state
    if after.optim != before.optim:
        options = _changed_options(before, after, data_root)
        groups = state["optimizer"]["param_groups"]
        # The saved groups hold the options of before, and would bring them back.
        updated = [{**group, **new} for group, new in zip(groups, options, strict=True)]
        state = {**state, "optimizer": {**state["optimizer"], "param_groups": updated}}
    return replace(checkpoint, trial_id=after.trial_id(), state=state)


def _changed_options(
    before: TrialSpec, after: TrialSpec, data_root: Path | None
) -> list[dict[str, Any]]:
    """Options of each parameter group that another recipe of the same optimizer changes."""
    from sparsetune.tasks.kinds import network_of
    from sparsetune.train.optim import build_optimizer

    # Shapes alone decide about groups; on the CPU, since fused optimizers refuse the meta device.
    model = network_of(after.task, data_root).meta().to_empty(device="cpu")
    old_groups = build_optimizer(before.optim, model).state_dict()["param_groups"]
    new_groups = build_optimizer(after.optim, model).state_dict()["param_groups"]
    return [_differing(old, new) for old, new in zip(old_groups, new_groups, strict=True)]


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in new.items() if value != old[name]}
