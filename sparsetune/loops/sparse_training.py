"""A user's training made sparse: the mask changes around each step of the user's optimizer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from sparsetune.errors import CheckpointError, DeclarationError, Problem, SparsetuneError
from sparsetune.loops.extra_batches import ExtraLosses, LossGradients
from sparsetune.loops.planned import (
    LoopLength,
    canonical_sparsity,
    plan_problems,
    planned_trial,
)
from sparsetune.sparsity.account.account import Account, account_for, gradient_problems
from sparsetune.sparsity.account.exactness import computed_names, exactness_problems
from sparsetune.sparsity.account.trace import Example, ForwardTrace, trace_forward
from sparsetune.sparsity.certificate import certify
from sparsetune.sparsity.combinations import layer_problems
from sparsetune.sparsity.flops import prunable_flops
from sparsetune.sparsity.masks.exact import Masks
from sparsetune.sparsity.methods.registry import method_of
from sparsetune.sparsity.plans.schedule import mask_schedule
from sparsetune.sparsity.sparsifier import Sparsifier
from sparsetune.sparsity.transfer import transfer_problems
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import Phase
from sparsetune.spec.declaration import MAX_SEED, digest_of
from sparsetune.spec.sparsity import Reset, SparsitySpec
from sparsetune.train.optim import reset_problem

STATE_VERSION = 1
"""Version of what `SparseTraining.state_dict` returns."""
_NO_TRACE = ForwardTrace({}, frozenset(), frozenset(), {}, None)
_WRAPPERS = {"OptimizedModule": "_orig_mod", "DistributedDataParallel": "module"}
"""Attribute with the network itself, by the class that wraps it."""


def sparsify(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    sparsity: SparsitySpec,
    *,
    total_steps: int,
    steps_per_epoch: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    losses: ExtraLosses | None = None,
    example: Example | None = None,
    state: Mapping[str, Any] | None = None,
) -> SparseTraining:
    """Prune a model in a training loop of your own; in the loop, ``step()`` makes each step.

    Masks are those of `sparsetune.train.train` with the same declaration and seed. What is due
    before the first step is done at once.

    Args:
        model: Network on its device, also compiled or in `DistributedDataParallel`.
        optimizer: Its optimizer, which holds every weight that is pruned.
        sparsity: Method, target, ramp, allocation, pattern.
        total_steps: Optimizer steps of the whole training.
        steps_per_epoch: Optimizer steps of an epoch; needed where a length is in epochs.
        batch_size: Examples of an optimizer step; needed where a length is in samples.
        seed: Seed of random masks and of extra batches.
        losses: Function that yields losses of extra batches, for the scores ``saliency`` and
            ``fisher`` and your own: see `ExtraLosses`.
        example: Inputs of one example. With it, layers that a forward pass does not use stay dense,
            and zeros in a parameter are proved to be zeros of a weight that is computed from it.
        state: ``state_dict()`` of a training that continues here, with the model and the optimizer
            of that time already loaded; None to start.

    Raises:
        DeclarationError: if the declaration cannot run in this loop; it says what to do.
        CheckpointError: if ``state`` is of another training, or of other weights.
    """
    length = LoopLength(total_steps, steps_per_epoch, batch_size)
    faults = list(length.problems())
    if not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        rule = f"must be a whole number from 0 to {MAX_SEED:,}"
        faults.append(Problem("seed", rule, repr(seed)))
    _require_none(faults)
    trial = planned_trial(canonical_sparsity(sparsity), length, seed)
    _require_none(plan_problems(trial, length, has_losses=losses is not None))
    network = _network_of(model)
    trace = _NO_TRACE if example is None else trace_forward(network, example)
    account = account_for(network, trial.sparsity, trace)
    weights = account.prunable(network)
    _require_none(
        [
            *account.problems,
            *gradient_problems(account, trial.sparsity),
            *_computed_problems(network, account, trace, example, trial.sparsity),
            *(layer_problems(account.layers, trial.sparsity) if account.layers else ()),
            *(transfer_problems(weights, trial.sparsity) if state is None else ()),
            *_optimizer_problems(weights, optimizer, trial.sparsity, sparsity.reset),
            *_process_problems(trial.sparsity, has_losses=losses is not None),
        ]
    )
    probe = LossGradients(losses, network, weights, seed)
    flops = prunable_flops(trace, weights)

    def new_sparsifier() -> Sparsifier:
        return Sparsifier(trial, weights, optimizer, flops, probe, account.layers)

    return SparseTraining(trial, optimizer, account, weights, new_sparsifier, state)


class SparseTraining:
    """A training whose weights `sparsify` prunes; between two steps they are as they are evaluated.

    A loop calls ``step()``. A framework that calls the optimizer itself has
    ``before_optimizer_step()`` and ``after_optimizer_step()`` around it instead. Evaluations, and
    files of the model that are saved between two steps, need nothing: weights outside the mask are
    zero, and of a method that keeps dense weights behind the mask, these lie in ``state_dict()``.
    """

    def __init__(
        self,
        trial: TrialSpec,
        optimizer: torch.optim.Optimizer,
        account: Account,
        weights: Mapping[str, nn.Parameter],
        new_sparsifier: Callable[[], Sparsifier],
        state: Mapping[str, Any] | None,
    ) -> None:
        self.steps = 0
        """Optimizer steps done."""
        self.total_steps = trial.total_steps()
        """Optimizer steps of the whole training."""
        self._trial = trial
        self._optimizer = optimizer
        self._account = account
        self._weights = dict(weights)
        self._new_sparsifier = new_sparsifier
        self._withheld: list[tuple[nn.Parameter, torch.Tensor | None]] = []
        self._is_stepping = False
        self._is_reset_checked = False
        if state is None:
            self._sparsifier = new_sparsifier()
            self._begin_step()
        else:
            self._continue_from(state)

    def step(self, optimizer_step: Callable[[], object] | None = None) -> bool:
        """Make the optimizer's step on the gradients that are there, and change the mask.

        Args:
            optimizer_step: Function that makes the step, such as one that clips gradients first, or
                steps through a `GradScaler`; by default ``optimizer.step``.

        Returns:
            False where an update of the mask takes the step's place, as RigL's does on its batch:
            the optimizer was not called.

        Raises:
            SparsetuneError: after the last step.
        """
        self._finish_backward()
        made = not self._sparsifier.replaces_step
        if made:
            (optimizer_step or self._optimizer.step)()
        self.after_optimizer_step()
        return made

    def before_optimizer_step(self) -> bool:
        """Mask and gather the gradients, in a framework that then calls the optimizer itself.

        Returns:
            False where an update of the mask takes the step's place. The gradients are then
            withheld until ``after_optimizer_step``, so that the optimizer changes nothing.

        Raises:
            SparsetuneError: after the last step.
        """
        self._finish_backward()
        if not self._sparsifier.replaces_step:
            return True
        for group in self._optimizer.param_groups:
            for parameter in group["params"]:
                self._withheld.append((parameter, parameter.grad))
                parameter.grad = None
        return False

    def after_optimizer_step(self) -> None:
        """Zero what moved outside the mask, and make the changes before the next forward pass.

        Raises:
            SparsetuneError: unless ``before_optimizer_step`` came before.
        """
        if not self._is_stepping:
            raise SparsetuneError(
                "`after_optimizer_step` must follow `before_optimizer_step`: call it there, before"
                " the optimizer steps"
            )
        for parameter, gradient in self._withheld:
            parameter.grad = gradient
        self._withheld = []
        self._is_stepping = False
        self._check_reset()
        self._sparsifier.after_step()
        self.steps += 1
        self._begin_step()

    @property
    def phase(self) -> Phase:
        """Phase of the mask schedule that the next step is in."""
        return self._sparsifier.phase

    @property
    def sparsity(self) -> float:
        """Fraction of the prunable weights outside the mask in force, in [0, 1)."""
        return self._sparsifier.sparsity()

    @property
    def at_target(self) -> bool:
        """True if the mask prunes exactly as many weights as the target asks for."""
        return self._sparsifier.at_target()

    def masks(self) -> Masks:
        """Masks in force by parameter name, True where a weight is kept; all True while dense."""
        return self._sparsifier.masks()

    def certificate(self) -> dict[str, Any]:
        """What was asked for and what the model's weights are now, by layer and in all.

        See `sparsetune.sparsity.certificate.certify`. After the last step ``faults`` is empty;
        before, it may say that the target is not reached yet.
        """
        sparsity = self._trial.sparsity
        return certify(
            self._weights,
            self._sparsifier.masks(),
            self._sparsifier.groups(),
            sparsity.pattern,
            self._account.parameters,
            self._account.facts() if sparsity.target else (),
        )

    def state_dict(self) -> dict[str, Any]:
        """State between two steps, to be saved with those of the model and the optimizer.

        It holds tensors and plain values, which ``torch.load(…, weights_only=True)`` reads.
        """
        self._require_between_steps("state_dict")
        moved: dict[str, torch.Tensor] = {}
        if self._sparsifier.keeps_dense_weights:
            with self._sparsifier.optimizer_weights():
                moved = {name: weight.detach().clone() for name, weight in self._weights.items()}
        return {
            "version": STATE_VERSION,
            "training": self._identity(),
            "steps": self.steps,
            # A copy: the sparsifier goes on to change its own.
            "sparsifier": copy.deepcopy(self._sparsifier.state()),
            "optimizer_weights": moved,
            "checksums": self._checksums(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a ``state_dict()``, bit for bit; load the model and the optimizer first.

        Raises:
            CheckpointError: if the state is of another training, or of other weights.
        """
        self._require_between_steps("load_state_dict")
        self._continue_from(state)

    def _continue_from(self, state: Mapping[str, Any]) -> None:
        """Continue from a state whose model and optimizer were loaded."""
        if state.get("version") != STATE_VERSION:
            rule = f"the state must be of version {STATE_VERSION} of `SparseTraining.state_dict`"
            raise CheckpointError(f"{rule}, got {state.get('version')!r}")
        self._require_identity(state["training"])
        saved = state["checksums"]
        other = [name for name, checksum in self._checksums().items() if saved[name] != checksum]
        if other:
            raise CheckpointError(
                "the model must have the weights that it had when the state was saved, got others"
                f" in `{other[0]}`: load its own `state_dict` after `sparsify` and before this one"
            )
        # Not before: a sparsifier may begin by changing the weights.
        sparsifier = self._new_sparsifier()
        with torch.no_grad():
            for name, weight in state["optimizer_weights"].items():
                self._weights[name].copy_(weight)
        sparsifier.load(copy.deepcopy(state["sparsifier"]))
        self._sparsifier = sparsifier
        self.steps = state["steps"]
        self._begin_step()

    def _begin_step(self) -> None:
        """Make the changes that are due before the next forward pass, or at the end."""
        if self.steps == self.total_steps:
            self._sparsifier.finish()
        # After the last step too: dense weights stay behind the mask.
        self._sparsifier.before_forward(self.steps)

    def _finish_backward(self) -> None:
        """Gather, mask or pull the gradients."""
        self._require_between_steps("step")
        if self.steps == self.total_steps:
            raise SparsetuneError(
                f"the training must have {self.total_steps:,} optimizer steps, as said to"
                " `sparsify`, got one more: set `total_steps` to how many the loop makes"
            )
        self._is_stepping = True
        self._sparsifier.after_backward()

    def _require_between_steps(self, name: str) -> None:
        if self._is_stepping:
            raise SparsetuneError(
                f"`{name}` must come between two steps: `after_optimizer_step` is missing"
            )

    def _identity(self) -> dict[str, Any]:
        """Everything that decides the masks, as plain values."""
        changes = mask_schedule(self._trial)
        return {
            "sparsity": self._trial.sparsity.given(),
            "total_steps": self.total_steps,
            # Lengths in epochs and samples show in it.
            "mask_schedule": digest_of({"changes": [asdict(change) for change in changes]}),
            "seed": self._trial.seed,
            "layers": {name: list(weight.shape) for name, weight in self._weights.items()},
        }

    def _require_identity(self, saved: Mapping[str, Any]) -> None:
        for name, value in self._identity().items():
            if saved.get(name) != value:
                raise CheckpointError(
                    f"the state must be of a training with the same `{name}`, {value!r}, got"
                    f" {saved.get(name)!r}: call `sparsify` as it was called then"
                )

    def _checksums(self) -> dict[str, int]:
        """Sum of the bytes of each prunable weight, the same on every device."""
        sums = {}
        for name, weight in self._weights.items():
            raw = weight.detach().contiguous().flatten().view(torch.uint8)
            sums[name] = int(raw.sum(dtype=torch.int64))
        return sums

    def _check_reset(self) -> None:
        """Refuse an optimizer whose state cannot be reset, when its first step shows it."""
        if self._is_reset_checked:
            return
        sparsity = self._trial.sparsity
        reset = sparsity.resolved().reset if method_of(sparsity.method).resets else "none"
        for weight in self._weights.values():
            slots = self._optimizer.state.get(weight, {})
            if any(isinstance(slot, torch.Tensor) and slot.dim() for slot in slots.values()):
                self._is_reset_checked = True
                name = type(self._optimizer).__name__
                problem = reset_problem(name, reset or "none", slots, weight.shape)
                _require_none([] if problem is None else [problem.at("optimizer")])
                return


def _require_none(problems: Iterable[Problem]) -> None:
    """Refuse a call that has problems, all of them at once.

    Raises:
        DeclarationError: if there are any.
    """
    found = [each for each in problems if each.severity == "refusal"]
    if found:
        raise DeclarationError(found, "the call of `sparsify`")


def _network_of(model: nn.Module) -> nn.Module:
    """The network itself, whose parameters have the names that a user knows.

    Raises:
        DeclarationError: if its parameters are split over processes.
    """
    while type(model).__name__ in _WRAPPERS:
        model = getattr(model, _WRAPPERS[type(model).__name__])
    modules = [type(module).__name__ for module in model.modules()]
    is_split = "FullyShardedDataParallel" in modules
    is_split |= any(hasattr(parameter, "device_mesh") for parameter in model.parameters())
    if is_split:
        rule = (
            "each process must hold whole weights, since a mask is chosen from all of them: take"
            " `DistributedDataParallel`"
        )
        _require_none([Problem("model", rule, "parameters that are split over processes")])
    return model


def _computed_problems(
    model: nn.Module,
    account: Account,
    trace: ForwardTrace,
    example: Example | None,
    sparsity: SparsitySpec,
) -> list[Problem]:
    """Problems of weights that are computed from what is pruned."""
    names = computed_names(account, trace) if sparsity.prunes else []
    if not names:
        return []
    if example is not None:
        return exactness_problems(model, example, account, names)
    rule = (
        f"the weight of `{names[0]}` is computed, and only a forward pass shows whether its zeros"
        " stay zeros: give the inputs of one example"
    )
    return [Problem("example", rule, "none")]


def _optimizer_problems(
    weights: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    sparsity: SparsitySpec,
    asked_reset: Reset | None,
) -> list[Problem]:
    """Problems of an optimizer that cannot train what is pruned.

    Args:
        weights: What is pruned, by name.
        optimizer: The optimizer.
        sparsity: The canonical declaration.
        asked_reset: The reset as it was declared; a method's own reset stands, as one of nothing.
    """
    problems = []
    held = {id(one) for group in optimizer.param_groups for one in group["params"]}
    missing = [name for name, weight in weights.items() if id(weight) not in held]
    if missing and sparsity.prunes:
        name = missing[0]
        rule = (
            f"must hold every weight that is pruned, and `{name}` is not among its parameters: add"
            f' it, or take it away with `layers=("-{name}",)`; move a model to its device first'
        )
        problems.append(Problem("optimizer", rule))
    if isinstance(optimizer, torch.optim.LBFGS):
        rule = "must make one step a batch, and LBFGS passes it forward several times: take another"
        problems.append(Problem("optimizer", rule))
    is_plain = isinstance(optimizer, torch.optim.SGD) and not any(
        group["momentum"] for group in optimizer.param_groups
    )
    resets = asked_reset in ("grown", "all") and method_of(sparsity.method).resets
    if is_plain and resets:
        rule = "SGD without momentum has nothing to reset: set it to `none`"
        problems.append(Problem("sparsity.reset", rule, repr(asked_reset)))
    return problems


def _process_problems(sparsity: SparsitySpec, *, has_losses: bool) -> list[Problem]:
    """Problem of extra batches that each process would draw for itself."""
    distributed = torch.distributed
    if not (has_losses and sparsity.prunes and distributed.is_available()):
        return []
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return []
    rule = (
        "gradients of extra batches are not averaged over processes, whose masks would differ: take"
        " a score without gradients, such as `magnitude`"
    )
    return [Problem("losses", rule, f"{distributed.get_world_size()} processes")]
