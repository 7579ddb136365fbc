"""The sparsifier: changes a trial's mask when its schedule says, and enforces it at every step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from sparsetune.seeds import derived_seed
from sparsetune.sparsity.flops import ForwardFlops, step_cost
from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.masked_weights import MaskedWeights
from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.sparsity.masks.choice import GradientSource, MaskChooser
from sparsetune.sparsity.masks.exact import (
    Masks,
    count_nonzero,
    intersection_over_union,
    pack_masks,
    unpack_masks,
)
from sparsetune.sparsity.methods.method import EffectiveWeights, Method, StepState
from sparsetune.sparsity.methods.registry import method_of
from sparsetune.sparsity.optimizer_state import reset_grown_moments, reset_moments
from sparsetune.sparsity.plans.changes import MaskChange
from sparsetune.sparsity.plans.rules import changes_by_step
from sparsetune.sparsity.scores import Tensors
from sparsetune.sparsity.structure import MaskRecorder
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import Phase


class Sparsifier:
    """Follows a trial's mask schedule around every optimizer step.

    The training loop calls, in order: ``before_forward``, the backward pass, ``after_backward``,
    the optimizer's step unless ``replaces_step``, ``after_step``; and ``finish`` at the end. It
    evaluates within ``effective_weights``.

    Args:
        spec: A canonical trial.
        weights: Prunable parameters by name, changed in place.
        optimizer: Optimizer whose momentum and moments may be zeroed where weights come back.
        flops: Dense forward FLOPs of one example.
        probe: Source of gradients for scores that need them, and of recalibration.
        layers: Layers of the weights, in order; by default with what their shapes say.
        method: Method that the declaration names; by default it is looked up.
    """

    def __init__(
        self,
        spec: TrialSpec,
        weights: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        flops: ForwardFlops,
        probe: GradientSource | None = None,
        layers: Sequence[Layer] | None = None,
        method: Method | None = None,
    ) -> None:
        self.phase: Phase = "dense"
        self.mask_iou = math.nan
        """Intersection over union of the last mask with the one before, in [0, 1]; NaN before."""
        self.inference_flops = 1.0
        """Forward FLOPs as a fraction of the dense network's."""
        self.dense_steps = 0.0
        """Cost of the optimizer's steps so far, in steps of the dense network."""
        self.extra_steps = 0.0
        """Cost of passes that only choose a mask (grow gradients, saliency, Fisher), likewise."""
        self.step_scale = 1.0
        """Cost of a step relative to examples of the task's shape: below 1 for smaller images."""
        self.replaces_step = False
        """True if a mask update takes the place of the optimizer's step on this batch."""
        self.structure = MaskRecorder(weights)
        self._parameters = dict(weights)
        self._weights = {name: weight.detach() for name, weight in weights.items()}
        self._masked = MaskedWeights(self._weights)
        self._chooser = MaskChooser(spec, self._weights, self._probe_gradients, layers)
        self._spec = self._chooser.spec
        self._method = method or method_of(self._spec.method)
        if self._method.reparametrize:
            tensors = list(self._weights.values())
            self._masked.reparametrized = self._method.reparametrize(tensors, self._spec)
        self._layers = self._chooser.layers
        self._batch_size = spec.task.batch_size
        self._total = spec.total_steps()
        self._optimizer = optimizer
        self._flops = flops
        self._probe = probe
        self._probed_seed: int | None = None
        self._step = 0
        self._schedule = changes_by_step(spec, self._method.plan)
        self._position = 0
        self._recorded: Masks = {}
        self._gathered: list[torch.Tensor] = []
        self._shadow_sparsity = 0.0
        self._counts_move = False
        self._trained_flops = 1.0
        self._masks_gradients = _masks_gradients(spec, self._method)

    def before_forward(self, step: int) -> None:
        """Make every change that is due, except one that waits for a gradient.

        Args:
            step: Optimizer steps done.
        """
        self._step = step
        change = self._next_change()
        while change and step >= change.step and change.action != "regrow":
            self._apply_change(change)
            change = self._next_change()
        due = self._due_regrow()
        self.replaces_step = due is not None and due.replaces_step
        if self._masked.shadow and self._method.backward:
            self._limit_training(self._method.backward(self._spec))
        self._swap_in()

    def after_backward(self) -> None:
        """Gather, mask or pull the gradients, as the method and the optimizer need.

        What is left in them is what the optimizer applies. Growth reads them from before.
        """
        if self.keeps_dense_weights:
            self._masked.swap_out(self._gradients())
        if self._gathers_gradients():
            if self._gathered:
                torch._foreach_add_(self._gathered, self._gradients())
            else:
                self._gathered = [gradient.clone() for gradient in self._gradients()]
        if self._method.after_backward:
            self._method.after_backward(self._step_state())
        if self._masked.trained:
            self._masked.mask_untrained(self._gradients())
        # Dense weights behind the mask train too.
        if self._masks_gradients and self._masked.in_force and not self._masked.shadow:
            self._masked.mask_gradients(self._gradients())

    def after_step(self) -> None:
        """Zero the weights outside the mask, and make the change that waited for a gradient."""
        if not self._masked.in_force:
            self.structure.all_active = True
        if self._method.after_step:
            self._method.after_step(self._step_state())
        self.apply_masks()
        if self._masked.trained:
            self._masked.restore_untrained()
        self._add_cost()
        due = self._due_regrow()
        if due:
            self._apply_change(due)

    def apply_masks(self) -> None:
        """Zero the weights outside the mask, unless the method keeps dense ones behind it.

        Masking gradients alone would not do: momentum moves weights that have none.
        """
        self._masked.apply()

    def finish(self) -> None:
        """Make the changes that are due at the end of training."""
        self._step = self._total
        change = self._next_change()
        while change:
            self._apply_change(change)
            change = self._next_change()

    @contextmanager
    def effective_weights(self) -> Iterator[None]:
        """Context in which weights outside the mask are zero under every method."""
        self._swap_in()
        yield
        self._masked.swap_out()

    @contextmanager
    def optimizer_weights(self) -> Iterator[None]:
        """Context, after `before_forward`, in which the weights are those that the optimizer moves.

        They differ from those that the forward pass sees where dense weights lie behind the mask,
        or the weights are powers of them.
        """
        self._masked.swap_out()
        yield
        self._swap_in()

    @property
    def keeps_dense_weights(self) -> bool:
        """True if the optimizer moves other weights than those that the forward pass sees."""
        return bool(self._masked.shadow or self._masked.reparametrized)

    def record_dynamic_mask(self) -> None:
        """Record a mask that changes at every step; call it within `effective_weights`."""
        if self._masked.shadow:
            self._record()

    def groups(
        self, sparsity: float | None = None, allocation: str | None = None
    ) -> list[LayerGroup]:
        """Layers that compete, and how many of their weights are pruned.

        Args:
            sparsity: Sparsity in [0, 1); by default the target.
            allocation: Name of the allocation; by default the declared one.
        """
        asked = self._spec.target if sparsity is None else sparsity
        return self._chooser.groups(asked, allocation)

    def masks(self) -> Masks:
        """Masks in force; all True where the network is dense."""
        return self._masked.effective_masks()

    def at_target(self) -> bool:
        """True if the masks in force prune exactly as many weights as the target asks for."""
        masks = self.masks()
        for group in self.groups():
            in_group = [masks[name] for name in group.names]
            weights = sum(mask.numel() for mask in in_group)
            if weights - count_nonzero(in_group) != group.pruned:
                return False
        return True

    def sparsity(self) -> float:
        """Fraction of the prunable weights outside the mask in force, in [0, 1)."""
        weights = sum(layer.weights for layer in self._layers)
        # A dense trial may have no layer that a sparse one prunes.
        return (weights - count_nonzero(self.masks().values())) / weights if weights else 0.0

    def zeros_in_mask(self) -> int:
        """Number of weights inside the mask that are exactly zero, within `effective_weights`."""
        # Not by their difference to all zeros: outside the mask, what diverged is NaN.
        zeros = [mask & self._weights[name].eq(0) for name, mask in self.masks().items()]
        return count_nonzero(zeros)

    def _next_change(self) -> MaskChange | None:
        """The schedule's next change; None after the last."""
        return self._schedule[self._position] if self._position < len(self._schedule) else None

    def _next_regrow(self) -> MaskChange | None:
        """The next change if it exchanges weights, else None."""
        change = self._next_change()
        return change if change and change.action == "regrow" else None

    def _due_regrow(self) -> MaskChange | None:
        """The change that exchanges weights after this batch's gradient, or None."""
        change = self._next_regrow()
        return change if change and change.step == self._step else None

    def _apply_change(self, change: MaskChange) -> None:
        self._position += 1
        self.phase = change.phase
        match change.action:
            case "draw":
                self._prune(change, score="random")
            case "prune":
                self._prune(change)
            case "release":
                self._release()
            case "regrow":
                self._regrow(change)
            case "shadow":
                self._start_shadow(change)
        lasts = change.action == "prune" and change.phase in ("fixed", "compressed")
        if lasts and self._spec.recalibrate and self._probe:
            seed = derived_seed(self._step, "recalibrate")
            with self.effective_weights():
                self._probe.recalibrate(seed, self._spec.recalibrate)

    def _start_shadow(self, change: MaskChange) -> None:
        """From now on, keep the optimizer's weights behind those that the forward pass sees."""
        if self._method.forward is None:
            raise ValueError(
                f"the action `shadow` needs a `forward` of its method, got `{self._spec.method}`"
            )
        tensors = list(self._weights.values())
        self._masked.start_shadow(self._method.forward(tensors, self._spec))
        self._shadow_sparsity = change.sparsity
        # Layers under one threshold may keep other counts at every step. Otherwise the cost of a
        # step is known from the first mask, and a device is not waited for.
        shares_threshold = any(len(group.names) > 1 for group in self.groups())
        self._counts_move = shares_threshold and self._spec.pattern == "unstructured"

    def _prune(self, change: MaskChange, score: str | None = None) -> None:
        """Prune to the change's sparsity, in as many parts as the Fisher is estimated again."""
        parts = 1
        if self._spec.score == "fisher" and not score:
            parts = self._spec.fisher.recomputations
        start = self.sparsity() if parts > 1 else 0.0
        for part in range(1, parts + 1):
            reached = start + (change.sparsity - start) * part / parts
            if part == parts:
                # Exactly the change's sparsity, which the sum may miss by a rounding error.
                reached = change.sparsity
            seed = derived_seed(self._step, part)
            self._prune_part(reached, seed, score, change.allocation)
            if part < parts:
                # The gradients of the next part pass through fewer weights and cost less.
                self._count_kept()
        self._record()

    def _prune_part(
        self, sparsity: float, seed: int, score: str | None, allocation: str | None
    ) -> None:
        before = self._current_masks()
        masks, compensate = self._chooser.prune(sparsity, before, seed, score, allocation)
        if compensate:
            newly_pruned = {}
            for name, mask in masks.items():
                newly_pruned[name] = before[name] & ~mask if before else ~mask
            compensate(newly_pruned)
        self._masked.set_masks(masks)

    def _regrow(self, change: MaskChange) -> None:
        """Prune where the ramp says, then exchange kept weights for others."""
        before = self._current_masks()
        seed = derived_seed(self._step, "regrow")
        pruned = before
        if not self.replaces_step:
            pruned, _ = self._chooser.prune(change.sparsity, before, seed)
        masks = self._chooser.exchange_weights(change.exchanged, pruned, self._gathered, seed)
        self._masked.set_masks(masks)
        self._gathered = []
        if before:
            self._reset({name: mask & ~before[name] for name, mask in masks.items()})
        self._record()

    def _release(self) -> None:
        """Let every weight train again; the last masks are kept, to compare the next with."""
        returned = {name: ~mask for name, mask in self._current_masks().items()}
        self._masked.release()
        self.inference_flops = 1.0
        self._reset(returned)

    def _reset(self, returned: Masks) -> None:
        """Zero momentum and moments where weights have come back (True), as declared."""
        if self._spec.reset == "all" and count_nonzero(returned.values()):
            reset_moments(self._optimizer)
        elif self._spec.reset == "grown":
            grown = [(self._parameters[name], mask) for name, mask in returned.items()]
            reset_grown_moments(self._optimizer, grown)

    def _current_masks(self) -> Masks:
        """Masks in force; empty where the network is dense."""
        return self._masked.masks if self._masked.in_force else {}

    def _swap_in(self) -> None:
        """Put what the forward pass sees in the place of the optimizer's weights, if it differs."""
        if self._masked.shadow:
            self._mask_shadow(self._masked.shadow)
        elif self._masked.reparametrized:
            self._masked.swap_in_reparametrized(self._masked.reparametrized)

    def _mask_shadow(self, shadow: EffectiveWeights) -> None:
        first = not self._masked.in_force
        masks = self._chooser.straight_through_masks(self._shadow_sparsity)
        self._masked.swap_in(shadow, masks)
        if first or self._counts_move:
            self._count_kept()

    def _limit_training(self, sparsity: float) -> None:
        """Let the largest weights alone train on this step, up to a sparsity of the others."""
        first = not self._masked.trained
        trained = self._chooser.straight_through_masks(sparsity)
        self._masked.train_only(trained)
        if first or self._counts_move:
            self._trained_flops = self._flops.fraction(self._densities(_counts(trained)))

    def _record(self) -> None:
        """Record the masks in force and compare them with the ones before."""
        kept = self._count_kept()
        masks = self._masked.masks
        self.mask_iou = math.nan
        if self._recorded:
            self.mask_iou = intersection_over_union(masks, self._recorded)
        self.structure.record(self._step, self.phase, masks, kept, self.mask_iou)
        self._recorded = masks

    def _count_kept(self) -> dict[str, int]:
        """Number of weights kept in each layer; updates the cost of inference by it."""
        kept = self._masked.count_kept()
        self.inference_flops = self._flops.fraction(self._densities(kept))
        return kept

    def _densities(self, kept: Mapping[str, int]) -> dict[str, float]:
        """Fraction of each layer's weights that a mask with these counts keeps."""
        return {layer.name: kept[layer.name] / layer.weights for layer in self._layers}

    def _gradients(self) -> list[torch.Tensor]:
        """Gradient of each prunable weight; zeros where the batch gave none."""
        return [
            p.grad if p.grad is not None else torch.zeros_like(p) for p in self._parameters.values()
        ]

    def _step_state(self) -> StepState:
        """This step, for functions of the method's own."""
        gradients = dict(zip(self._weights, self._gradients(), strict=True))
        masks = self._current_masks()
        trained = self._masked.trained
        return StepState(self._step, self._spec, self._weights, gradients, masks, trained)

    def _gathers_gradients(self) -> bool:
        """True if the next mask update reads this batch's gradient to choose what grows."""
        change = self._next_regrow()
        if change is None or self._method.grows_by != "gradient":
            return False
        return change.step - self._spec.regrow.batches < self._step <= change.step

    def _add_cost(self) -> None:
        """Add the cost of this batch.

        The forward pass and the inputs' gradient cost the mask's density. The weights' gradient
        costs the density at which it is computed: all of it where a mask update reads it; where
        dense weights train behind the mask, that of those that train.
        """
        sparse = self.inference_flops
        gathers = self._gathers_gradients()
        step = step_cost(sparse, self._trained_flops if self._masked.shadow else sparse)
        if gathers:
            beyond_step = 0.0 if self.replaces_step else step
            self.extra_steps += self.step_scale * (step_cost(sparse, 1.0) - beyond_step)
        if not (self.replaces_step and gathers):
            self.dense_steps += self.step_scale * step

    def _probe_gradients(
        self, seed: int, batches: int, batch_size: int | None, training: bool
    ) -> Iterator[Tensors]:
        """Gradients of the probe, with their cost added."""
        if self._probe is None:
            raise ValueError(
                f"the score `{self._spec.score}` needs gradients: give the Sparsifier a `probe`"
            )
        sparse = self.inference_flops
        examples = batch_size or self._batch_size
        cost = examples / self._batch_size * step_cost(sparse, 1.0 if training else sparse)
        # A Fisher in pieces passes over the same gradients again. That is for want of memory, which
        # may change no number: only the first pass counts.
        again = self._spec.score == "fisher" and seed == self._probed_seed
        self._probed_seed = seed
        for gradients in self._probe.gradients(seed, batches, batch_size, training):
            if not again:
                self.extra_steps += cost
            yield gradients

    def state(self) -> dict[str, Any]:
        """Tensors and plain values of everything but the weights that changes during training."""
        return {
            "position": self._position,
            "phase": self.phase,
            "mask_iou": self.mask_iou,
            "dense_steps": self.dense_steps,
            "extra_steps": self.extra_steps,
            "in_force": self._masked.in_force,
            "masks": pack_masks(self._masked.masks),
            # Elsewhere the last mask recorded is the last mask; under SR-STE it is older.
            "recorded": pack_masks(self._recorded) if self._masked.shadow else {},
            "gathered": self._gathered,
            "structure": self.structure.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`, with the weights of the same time already in place."""
        self._position = state["position"]
        self.phase = state["phase"]
        self.mask_iou = state["mask_iou"]
        self.dense_steps = state["dense_steps"]
        self.extra_steps = state["extra_steps"]
        self.structure.load(state["structure"])
        self._gathered = [
            gradient.to(weight.device)
            for gradient, weight in zip(state["gathered"], self._weights.values(), strict=False)
        ]
        if state["masks"]:
            self._masked.masks = unpack_masks(state["masks"], self._weights)
            self._recorded = self._masked.masks
        shadows = [one for one in self._schedule[: self._position] if one.action == "shadow"]
        if shadows:
            self._start_shadow(shadows[-1])
            self._recorded = {}
            if state["recorded"]:
                self._recorded = unpack_masks(state["recorded"], self._weights)
        elif state["in_force"]:
            self._masked.set_masks(self._masked.masks)
            self._count_kept()


def _counts(masks: Masks) -> dict[str, int]:
    """Number of weights inside each mask."""
    return {name: count_nonzero([mask]) for name, mask in masks.items()}


def _masks_gradients(spec: TrialSpec, method: Method) -> bool:
    """True if gradients outside the mask must not reach the optimizer.

    SGD and AdamW move each weight by its own gradients alone, and those of a weight outside the
    mask leave no trace: either it never comes back, or its slots are zeroed where it does. Other
    optimizers may mix the gradients of a tensor, and so does the norm that a clip reads.
    """
    keeps_slots = spec.sparsity.resolved().reset == "none"
    if keeps_slots and method.resets:
        return True
    return spec.optim.clip_norm is not None or spec.optim.name not in ("sgd", "adamw")
