"""The contract of methods: a plan in order that ends on its target, exact counts, exact resume.

Every method that is built in keeps it. A user's own is tried before a study starts, its plan with
the study's own lengths; `check_method` trains with it too, for the user's own tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any, get_args

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from sparsetune.errors import DeclarationError, Problem, first_line
from sparsetune.imports import is_import_path
from sparsetune.sparsity.contracts import require
from sparsetune.sparsity.flops import ForwardFlops
from sparsetune.sparsity.masks.exact import Masks, count_nonzero
from sparsetune.sparsity.methods.method import BASE_DEFAULTS, SHARED_FIELDS, Method
from sparsetune.sparsity.methods.registry import METHODS, method_of
from sparsetune.sparsity.plans.changes import Action, MaskChange
from sparsetune.sparsity.plans.rules import changes_by_step
from sparsetune.sparsity.scores import Tensors
from sparsetune.sparsity.sparsifier import Sparsifier
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.columns import Phase
from sparsetune.spec.sparsity import FisherSpec, RampSpec, RegrowSpec, SparsitySpec
from sparsetune.spec.task import DigitsTask
from sparsetune.study.rules.combinations import broken_rules

OPTIMIZERS_TRIED = ("sgd", "adamw")
UNCHECKED_NAME = "checked:method"
"""Declared name of a method that is given as an object."""
EXAMPLES = 64
BATCH = 16
SIZES = (16, 12, 8, 4)
"""Inputs and outputs of the layers that a check trains."""


def check_method(
    method: Method, *, specs: Sequence[SparsitySpec] | None = None, steps: int = 60
) -> None:
    """Check that a method keeps what every method promises.

    Its plan is in order, within training, and ends on the target. A small network is trained with
    it under SGD with momentum and AdamW: after every step each layer, or group of layers, has
    exactly the planned count of weights outside the mask, and these are zero. Training that is
    stopped in any phase and goes on from a saved state ends in the same weights, bit for bit.

    Args:
        method: The method.
        specs: Declarations to try; by default targets of 0.5 and 0.9, or 2:4 for a method that
            makes N:M masks alone. Their ``method`` is ignored.
        steps: Length of the training, long enough for the plan.

    Raises:
        AssertionError: with a sentence that says what does not hold, and where.
    """
    faults = list(_object_faults(method))
    require(not faults, "; ".join(faults))
    for declared in _declarations_tried(method) if specs is None else specs:
        for total in (steps, 10 * steps):
            check_plan(method, _trial(method, declared, total, "sgd"))
        for optimizer in OPTIMIZERS_TRIED:
            _check_training(method, _trial(method, declared, steps, optimizer))


def _declarations_tried(method: Method) -> list[SparsitySpec]:
    """Declarations with frequent changes of the mask, two targets where a method has any."""
    given: dict[str, Any] = {
        "ramp": RampSpec(updates=10),
        "regrow": RegrowSpec(every="2 steps"),
        "fisher": FisherSpec(block=4, gradients=4),
    }
    if not method.prunes:
        return [SparsitySpec()]
    if method.patterns == "n_m":
        targets = [{"target": 0.5, "pattern": "2:4"}]
    else:
        targets = [{"target": 0.5}, {"target": 0.9}]
    return [SparsitySpec(method=UNCHECKED_NAME, **target, **given) for target in targets]


def _trial(method: Method, declared: SparsitySpec, steps: int, optimizer: str) -> TrialSpec:
    """A trial of one step an epoch, with the method's own choice for what is left open."""
    name = method.name if METHODS.get(method.name) is method else UNCHECKED_NAME
    chosen = method.choices(declared.score)
    values = {field: own for field, own in chosen.items() if getattr(declared, field) is None}
    values["method"] = name
    examples = DigitsTask().train_size()
    return TrialSpec(
        task=DigitsTask(batch_size=examples),
        schedule=ScheduleSpec(epochs=steps),
        sparsity=declared.model_copy(update=values),
    ).with_values({"optim.name": optimizer, "optim.lr": 0.02})


def check_plan(method: Method, spec: TrialSpec) -> None:
    """Check that a method's plan for one trial is in order and ends on the target.

    Raises:
        AssertionError: with a sentence that says what does not hold, and where.
    """
    changes = method.plan(spec)
    require(isinstance(changes, list), f"a plan must be a list of MaskChange, got {changes!r}")
    total = spec.total_steps()
    for change in changes:
        is_change = isinstance(change, MaskChange)
        require(is_change, f"a plan must be a list of MaskChange, got {change!r} in it")
        for rule in _broken_by(change, method, total):
            require(False, f"{rule}, got {change}")
    for before, after in pairwise(changes):
        are_ordered = before.step <= after.step
        require(are_ordered, f"changes must be in order of step, got {before}, then {after}")
    made = changes_by_step(spec, method.plan)
    sparsity = 0.0
    for change in made:
        is_kept = change.action != "keep" or change.sparsity == sparsity
        require(is_kept, f"`keep` leaves a sparsity of {sparsity:g} as it is, got {change}")
        sparsity = change.sparsity
    last = made[-1].sparsity
    target = spec.sparsity.target
    require(last == target, f"a plan must end on its target, {target:g}, got {made[-1]}")
    require(changes == method.plan(spec), "the same trial must have the same plan, got another one")


def _broken_by(change: MaskChange, method: Method, total: int) -> Iterator[str]:
    """Rules that one change breaks, in words."""
    if not isinstance(change.step, int) or not 0 <= change.step <= total:
        yield f"a change's step must be a whole number from 0 to {total}, the end of training"
    if change.phase not in get_args(Phase):
        yield f"a change's phase must be one of {', '.join(get_args(Phase))}"
    if change.action not in get_args(Action):
        yield f"a change's action must be one of {', '.join(get_args(Action))}"
    if not 0 <= change.sparsity < 1:
        yield "a change's sparsity must be in [0, 1)"
    if not 0 <= change.exchanged < 1:
        yield "a change must exchange a fraction in [0, 1)"
    if change.action == "release" and change.sparsity != 0:
        yield "`release` lets every weight train, so its sparsity must be 0"
    if change.action == "regrow" and method.grows_by is None:
        yield "`regrow` needs a method with `grows_by`, which says what grows"
    if change.action == "shadow" and method.forward is None:
        yield "`shadow` needs a method with `forward`, which builds what the forward pass sees"
    if change.allocation is not None and change.action != "draw":
        yield "only `draw` may have an allocation of its own"
    if change.replaces_step and change.action != "regrow":
        yield "only `regrow` may take the place of the optimizer's step"


def _object_faults(method: Method) -> Iterator[str]:
    """What is wrong with the object itself, in words."""
    known = [name for name in SparsitySpec.model_fields if name != "method"]
    unknown = [name for name in method.fields if name not in SparsitySpec.model_fields]
    if unknown:
        yield (
            f"`fields` must name fields of SparsitySpec ({', '.join(known)}), got"
            f" {', '.join(map(repr, unknown))}"
        )
    not_open = [name for name in method.defaults if name not in BASE_DEFAULTS]
    if not_open:
        yield (
            f"`defaults` may choose {', '.join(BASE_DEFAULTS)}, got"
            f" {', '.join(map(repr, not_open))}: declare other fields"
        )
    if method.backward and not method.forward:
        yield "`backward` needs a `forward`, which builds what the forward pass sees"
    if method.parameters is not None:
        yield "`parameters` of a method's own are not trained yet: leave them out"


class _Training:
    """A small network that trains under a method; `at` counts the steps done."""

    def __init__(self, method: Method, spec: TrialSpec) -> None:
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(EXAMPLES, SIZES[0], generator=generator)
        self.targets = torch.randint(SIZES[-1], (EXAMPLES,), generator=generator)
        self.weights = {}
        for inputs, outputs in pairwise(SIZES):
            drawn = torch.randn(outputs, inputs, generator=generator) / math.sqrt(inputs)
            self.weights[f"layer{outputs}"] = nn.Parameter(drawn)
        self.optimizer = _build_optimizer(spec, list(self.weights.values()))
        flops = ForwardFlops({name: weight.numel() for name, weight in self.weights.items()})
        self.sparsifier = Sparsifier(spec, self.weights, self.optimizer, flops, self, method=method)
        self.total = spec.total_steps()
        self.at = 0

    def gradients(
        self, seed: int, batches: int, batch_size: int | None, training: bool
    ) -> Iterator[Tensors]:
        """Gradients on batches drawn by ``seed``; see `GradientSource`."""
        generator = torch.Generator().manual_seed(seed % 2**63)
        for _ in range(batches):
            rows = torch.randint(EXAMPLES, (batch_size or BATCH,), generator=generator)
            found = torch.autograd.grad(self._loss(rows), list(self.weights.values()))
            yield dict(zip(self.weights, found, strict=True))

    def recalibrate(self, seed: int, examples: int) -> None:
        """Nothing: the network has no batch norm."""

    def step(self) -> None:
        """One step, as the training loop calls the sparsifier."""
        self.sparsifier.before_forward(self.at)
        rows = torch.arange(self.at * BATCH, (self.at + 1) * BATCH) % EXAMPLES
        self.optimizer.zero_grad()
        torch.autograd.backward(self._loss(rows))
        self.sparsifier.after_backward()
        if not self.sparsifier.replaces_step:
            self.optimizer.step()
        self.sparsifier.after_step()
        self.at += 1
        if self.at == self.total:
            self.sparsifier.finish()

    def effective(self) -> Tensors:
        """Weights that an evaluation sees."""
        with self.sparsifier.effective_weights():
            return {name: weight.detach().clone() for name, weight in self.weights.items()}

    def state(self) -> dict[str, Any]:
        """All that a checkpoint would hold."""
        return deepcopy(
            {
                "at": self.at,
                "weights": {name: weight.detach() for name, weight in self.weights.items()},
                "optimizer": self.optimizer.state_dict(),
                "sparsifier": self.sparsifier.state(),
            }
        )

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        state = deepcopy(state)
        self.at = state["at"]
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(state["weights"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.sparsifier.load(state["sparsifier"])

    def _loss(self, rows: torch.Tensor) -> torch.Tensor:
        hidden = self.inputs[rows]
        for place, weight in enumerate(self.weights.values()):
            hidden = hidden @ weight.T
            if place < len(self.weights) - 1:
                hidden = hidden.relu()
        return cross_entropy(hidden, self.targets[rows])


def _build_optimizer(spec: TrialSpec, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    if spec.optim.name == "sgd":
        return torch.optim.SGD(weights, lr=spec.optim.lr, momentum=0.9)
    return torch.optim.AdamW(weights, lr=spec.optim.lr)


def _check_training(method: Method, spec: TrialSpec) -> None:
    """Check counts at every step, and that training resumes exactly in every phase."""
    changes = changes_by_step(spec, method.plan)
    saved = []
    whole = _Training(method, spec)
    stops = _telling_steps(changes, whole.total)
    while whole.at < whole.total:
        whole.step()
        _check_counts(whole, _change_made(changes, whole), spec)
        if whole.at in stops:
            saved.append(whole.state())
    require(whole.sparsifier.at_target(), "the mask at the end must have the target's counts")
    for state in saved:
        resumed = _Training(method, spec)
        resumed.load(state)
        while resumed.at < resumed.total:
            resumed.step()
        where = f"after step {state['at']} of {whole.total} under {spec.optim.name}"
        ends = resumed.effective()
        for name, weight in whole.effective().items():
            same = torch.equal(weight, ends[name])
            same = same and torch.equal(whole.weights[name], resumed.weights[name])
            require(same, f"training stopped {where} must end in the same weights: not in {name}")
        same = _equal_masks(whole.sparsifier.masks(), resumed.sparsifier.masks())
        require(same, f"training stopped {where} must end in the same masks")


def _telling_steps(changes: Sequence[MaskChange], total: int) -> set[int]:
    """Steps around the first and a middle change of each phase and action."""
    by_kind: dict[tuple[str, str], list[int]] = {}
    for change in changes:
        by_kind.setdefault((change.phase, change.action), []).append(change.step)
    told = {step for steps in by_kind.values() for step in (steps[0], steps[len(steps) // 2])}
    return {step + near for step in told for near in (-1, 0, 1) if 0 < step + near <= total}


def _change_made(changes: Sequence[MaskChange], training: _Training) -> MaskChange:
    """The last change made so far; at the end of training, the last of all."""
    if training.at == training.total:
        return changes[-1]
    return [change for change in changes if change.step < training.at][-1]


def _check_counts(training: _Training, change: MaskChange, spec: TrialSpec) -> None:
    weights = training.effective()
    masks = training.sparsifier.masks()
    at = f"after step {training.at} under {spec.optim.name}, where the plan has {change}"
    for group in training.sparsifier.groups(change.sparsity, change.allocation):
        own = [masks[name] for name in group.names]
        pruned = sum(mask.numel() for mask in own) - count_nonzero(own)
        names = ", ".join(group.names)
        counts = f"{group.pruned} weights of {names} must be outside the mask, got {pruned}"
        require(pruned == group.pruned, f"{counts} {at}")
    for name, mask in masks.items():
        are_zero = bool((weights[name][~mask] == 0).all())
        require(are_zero, f"weights of {name} outside the mask must be zero, got others {at}")


def _equal_masks(some: Masks, others: Masks) -> bool:
    return all(torch.equal(mask, others[name]) for name, mask in some.items())


def own_method_problems(spec: TrialSpec) -> list[Problem]:
    """Problems of a user's own method, which is imported and whose plan is tried; empty without.

    Args:
        spec: A trial whose data have sizes.
    """
    declared = spec.sparsity
    if not is_import_path(declared.method):
        return []
    try:
        method = method_of(declared.method)
    except DeclarationError as error:
        return error.problems
    faults = [Problem("sparsity.method", rule) for rule in _object_faults(method)]
    if faults:
        return faults
    found = [*_open_choices(method, declared), *_unread_fields(method, declared)]
    found += broken_rules(method.rules, declared.resolved())
    return found + _problems_of_plan(lambda: check_plan(method, spec))


def _open_choices(method: Method, declared: SparsitySpec) -> Iterator[Problem]:
    """Fields that are left open, and for which the method has a choice of its own."""
    for name, own in method.choices(declared.score).items():
        is_other = name in method.fields and own != BASE_DEFAULTS[name]
        if is_other and getattr(declared, name) is None:
            rule = (
                f"the method {declared.method!r} is made for {own!r}: write out {own!r}, or another"
                " value, since a trial is named by what it declares, not by code of your own"
            )
            yield Problem(f"sparsity.{name}", rule, "nothing")


def _unread_fields(method: Method, declared: SparsitySpec) -> Iterator[Problem]:
    """Warnings of fields that are set, and that the method does not read."""
    for name, field in SparsitySpec.model_fields.items():
        is_shared = name in SHARED_FIELDS
        if not is_shared and name not in method.fields and getattr(declared, name) != field.default:
            rule = f"the method {declared.method!r} does not read it: trials with it train the same"
            yield Problem(f"sparsity.{name}", rule, "a value", "warning")


def _problems_of_plan(trial: Callable[[], None]) -> list[Problem]:
    try:
        trial()
    except AssertionError as error:
        return [Problem("sparsity.method", str(error))]
    except Exception as error:  # a user's function may raise anything
        cause = f"{type(error).__name__}: {first_line(error)}"
        return [Problem("sparsity.method", f"its plan must not raise ({cause})")]
    return []
