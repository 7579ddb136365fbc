"""The life of a mask during training: changed when the plan says, enforced after every step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from sparsetune.seeds import derived_seed
from sparsetune.sparsity.flops import ForwardFlops, step_cost
from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.sparsity.masks.choice import GradientSource, MaskChooser
from sparsetune.sparsity.masks.exact import (
    Masks,
    count_nonzero,
    fill_factors,
    intersection_over_union,
    pack_masks,
    unpack_masks,
)
from sparsetune.sparsity.methods.changes import MaskChange
from sparsetune.sparsity.methods.plan import mask_schedule
from sparsetune.sparsity.optimizer_state import reset_grown_moments, reset_moments
from sparsetune.sparsity.scores import Tensors
from sparsetune.sparsity.straight_through import ShadowWeights
from sparsetune.sparsity.structure import MaskRecorder
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import Phase
from sparsetune.spec.sparsity import METHOD_FIELDS


class Sparsifier:
    """Follows a trial's plan around every optimizer step.

    In order: ``before_forward``, the backward pass, ``after_backward``, the optimizer's step unless ``replaces_step``,
    ``after_step``; ``finish`` at the end. Evaluate within ``effective_weights``.

    Args:
        spec: A canonical trial.
        weights: The prunable parameters by name; changed in place.
        optimizer: Whose momentum and moments may be zeroed where weights come back.
        flops: Dense forward FLOPs of one example.
        probe: For scores that need gradients, and for recalibration.
    """

    def __init__(
        self,
        spec: TrialSpec,
        weights: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        flops: ForwardFlops,
        probe: GradientSource | None = None,
    ) -> None:
        self.phase: Phase = "dense"
        self.mask_iou = math.nan
        self.inference_flops = 1.0
        self.dense_steps = 0.0
        """What the optimizer's steps so far cost, in steps of the dense network."""
        self.extra_steps = 0.0
        """The same of passes that only choose a mask: grow gradients, saliency, Fisher."""
        self.step_scale = 1.0
        """What a step costs, as a multiple of one on examples of the task's shape: less where images are smaller."""
        self.replaces_step = False
        """Whether a mask update takes the place of the optimizer's step on this batch."""
        self.structure = MaskRecorder(weights)
        self._parameters = dict(weights)
        self._weights = {name: weight.detach() for name, weight in weights.items()}
        self._chooser = MaskChooser(spec, self._weights, self._probe_gradients)
        self._spec = self._chooser.spec
        self._layers = self._chooser.layers
        self._batch_size = spec.task.batch_size
        self._total = spec.total_steps()
        self._plan = mask_schedule(spec)
        self._optimizer = optimizer
        self._flops = flops
        self._probe = probe
        self._position = self._step = 0
        self._probed_by: int | None = None
        self._next: MaskChange | None = self._plan[0]
        self._masks: Masks = {}
        self._recorded: Masks = {}
        self._masked: list[torch.Tensor] = list(self._weights.values())
        self._factors: list[torch.Tensor] = []
        self._kept_factors: list[torch.Tensor] = []
        self._shadow: ShadowWeights | None = None
        self._gathered: list[torch.Tensor] = []
        # Under the other fates no trace is left of gradients outside the mask: slots are zeroed where weights return.
        self._masks_gradients = (
            self._spec.reset == "none" and "reset" in METHOD_FIELDS[self._spec.method]
        )

    def before_forward(self, step: int) -> None:
        """Make every change that is due once ``step`` steps are done, but for one that waits for a gradient."""
        self._step = step
        while self._next and step >= self._next.step and self._next.action != "regrow":
            self._apply_change(self._next)
        self.replaces_step = (
            self._regrows_now() and self._next is not None and self._next.replaces_step
        )
        if self._shadow:
            self._mask_shadow(self._shadow)

    def after_backward(self) -> None:
        """See to the gradients: gathered where a mask update needs them, masked or pulled where the method says."""
        if self._shadow:
            self._shadow.unmask(self._gradients())
        if self._gathers_gradients():
            if self._gathered:
                torch._foreach_add_(self._gathered, self._gradients())
            else:
                self._gathered = [gradient.clone() for gradient in self._gradients()]
        if self._masks_gradients and self._factors:
            torch._foreach_mul_(self._gradients(), self._factors)

    def after_step(self) -> None:
        """Set the weights outside the mask back to zero, which momentum moves; make the change that waited."""
        if not self._factors:
            self.structure.all_active = True
        self.apply_masks()
        self._add_cost()
        if self._next and self._regrows_now():
            self._apply_change(self._next)

    def apply_masks(self) -> None:
        """Set the weights outside the mask to zero, but for a method that keeps dense ones behind them."""
        if self._factors and not self._shadow:
            torch._foreach_mul_(self._masked, self._factors)

    def finish(self) -> None:
        """Make the changes due at the end of training."""
        self._step = self._total
        while self._next:
            self._apply_change(self._next)

    @contextmanager
    def effective_weights(self) -> Iterator[None]:
        """While open, weights outside the mask are zero under every method."""
        if self._shadow:
            self._mask_shadow(self._shadow)
        yield
        if self._shadow:
            self._shadow.unmask()

    def record_dynamic_mask(self) -> None:
        """Take down a mask that changes at every step; within ``effective_weights``, at evaluations."""
        if self._shadow:
            self._record()

    def groups(self, sparsity: float | None = None) -> list[LayerGroup]:
        """Which layers compete, and how many of their weights are pruned at ``sparsity``; by default the target."""
        return self._chooser.groups(self._spec.target if sparsity is None else sparsity)

    def masks(self) -> Masks:
        """The masks in force, all-True ones where the network is dense."""
        if self._factors:
            return self._masks
        return {
            name: torch.ones_like(weight, dtype=torch.bool)
            for name, weight in self._weights.items()
        }

    def at_target(self) -> bool:
        """Whether the masks in force prune exactly as many weights as the target asks for."""
        kept = {name: count_nonzero([mask]) for name, mask in self.masks().items()}
        sizes = {layer.name: layer.weights for layer in self._layers}
        return all(
            sum(sizes[n] - kept[n] for n in group.names) == group.pruned for group in self.groups()
        )

    def sparsity(self) -> float:
        """Fraction of the prunable weights outside the mask in force."""
        weights = sum(layer.weights for layer in self._layers)
        return (weights - count_nonzero(list(self.masks().values()))) / weights

    def zeros_in_mask(self) -> int:
        """Exact zeros among the weights inside the mask in force; within ``effective_weights``."""
        return count_nonzero(list(self.masks().values())) - count_nonzero(
            list(self._weights.values())
        )

    def _apply_change(self, change: MaskChange) -> None:
        self._position += 1
        self._next = self._plan[self._position] if self._position < len(self._plan) else None
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
                self._shadow = ShadowWeights(self._masked, self._spec.shadow_decay)
        lasts = change.action == "prune" and change.phase in ("fixed", "compressed")
        if lasts and self._spec.recalibrate and self._probe:
            self._probe.recalibrate(derived_seed(self._step, "recalibrate"), self._spec.recalibrate)

    def _prune(self, change: MaskChange, score: str | None = None) -> None:
        """Prune to the change's sparsity, in as many parts as the Fisher is estimated anew."""
        parts = (
            self._spec.fisher.recomputations if self._spec.score == "fisher" and not score else 1
        )
        start = self.sparsity() if parts > 1 else 0.0
        for part in range(1, parts + 1):
            reached = (
                change.sparsity
                if part == parts
                else start + (change.sparsity - start) * part / parts
            )
            before = self._current_masks()
            masks, compensate = self._chooser.prune(
                reached, before, derived_seed(self._step, part), score
            )
            if compensate:
                compensate(
                    {
                        name: before[name] & ~mask if before else ~mask
                        for name, mask in masks.items()
                    }
                )
            self._set_masks(masks)
            if part < parts:
                self._count()  # the next part's gradients cost less
        self._record()

    def _regrow(self, change: MaskChange) -> None:
        """Prune where the ramp says, then exchange kept weights for others."""
        before = self._current_masks()
        seed = derived_seed(self._step, "regrow")
        pruned = (
            before if self.replaces_step else self._chooser.prune(change.sparsity, before, seed)[0]
        )
        masks = self._chooser.exchange_weights(change.exchanged, pruned, self._gathered, seed)
        self._set_masks(masks)
        self._gathered = []
        if before:
            self._reset({name: mask & ~before[name] for name, mask in masks.items()})
        self._record()

    def _current_masks(self) -> Masks:
        return self._masks if self._factors else {}

    def _set_masks(self, masks: Masks) -> None:
        """Put masks in force: prune now, and after every step from now on."""
        self._masks = masks
        self._update_factors()
        torch._foreach_mul_(self._masked, self._factors)

    def _mask_shadow(self, shadow: ShadowWeights) -> None:
        self._masks = self._chooser.straight_through_masks()
        if not self._factors:
            self._count()
        self._update_factors()
        shadow.mask(self._factors)

    def _update_factors(self) -> None:
        """The masks in force as numbers to multiply with, in memory that is kept: fresh pages cost more."""
        if not self._kept_factors:
            self._kept_factors = [torch.empty_like(weight) for weight in self._masked]
        self._factors = self._kept_factors
        fill_factors(self._factors, [self._masks[name] for name in self._weights])

    def _record(self) -> None:
        """Take down the masks in force."""
        kept = self._count()
        self.mask_iou = (
            intersection_over_union(self._masks, self._recorded) if self._recorded else math.nan
        )
        self.structure.record(self._step, self.phase, self._masks, kept, self.mask_iou)
        self._recorded = self._masks

    def _count(self) -> dict[str, int]:
        kept = {name: count_nonzero([mask]) for name, mask in self._masks.items()}
        density = {layer.name: kept[layer.name] / layer.weights for layer in self._layers}
        self.inference_flops = self._flops.fraction(density)
        return kept

    def _release(self) -> None:
        """Every weight trains again; the last masks are remembered, to compare the next with."""
        returned = {name: ~mask for name, mask in self._current_masks().items()}
        self._factors = []
        self.inference_flops = 1.0
        self._reset(returned)

    def _reset(self, returned: Masks) -> None:
        """Zero momentum and moments where weights have come back, as declared."""
        if self._spec.reset == "all" and count_nonzero(returned.values()):
            reset_moments(self._optimizer)
        elif self._spec.reset == "grown":
            reset_grown_moments(
                self._optimizer,
                [(self._parameters[name], grown) for name, grown in returned.items()],
            )

    def _gradients(self) -> list[torch.Tensor]:
        return [
            p.grad if p.grad is not None else torch.zeros_like(p) for p in self._parameters.values()
        ]

    def _regrows_now(self) -> bool:
        return (
            self._next is not None
            and self._next.action == "regrow"
            and self._next.step == self._step
        )

    def _gathers_gradients(self) -> bool:
        """Whether the next mask update chooses what grows by this batch's gradient, among others."""
        if self._next is None or self._next.action != "regrow" or self._spec.method == "set":
            return False
        return self._next.step - self._spec.regrow.batches < self._step <= self._next.step

    def _add_cost(self) -> None:
        """Forward and input gradient at the mask's density, the weight gradient at what is computed of it."""
        sparse = self.inference_flops
        taken = step_cost(sparse, 1.0 if self._shadow else sparse)
        gathering = self._gathers_gradients()
        if not (self.replaces_step and gathering):
            self.dense_steps += self.step_scale * taken
        if gathering:
            self.extra_steps += self.step_scale * (
                step_cost(sparse, 1.0) - (0.0 if self.replaces_step else taken)
            )

    def _probe_gradients(
        self, seed: int, batches: int, batch_size: int | None, training: bool
    ) -> Iterator[Tensors]:
        """The probe's gradients, their cost counted."""
        if self._probe is None:
            raise ValueError(
                f"the score `{self._spec.score}` needs gradients: give the Sparsifier a `probe`"
            )
        sparse = self.inference_flops
        examples = batch_size or self._batch_size
        # The Fisher in pieces passes over the same gradients again: for want of memory, which must change no number.
        again = self._spec.score == "fisher" and seed == self._probed_by
        self._probed_by = seed
        for gradients in self._probe.gradients(seed, batches, batch_size, training):
            if not again:
                self.extra_steps += (
                    examples / self._batch_size * step_cost(sparse, 1.0 if training else sparse)
                )
            yield gradients

    def state(self) -> dict[str, Any]:
        """Everything that changes during training but the weights: tensors and plain values."""
        return {
            "position": self._position,
            "phase": self.phase,
            "mask_iou": self.mask_iou,
            "dense_steps": self.dense_steps,
            "extra_steps": self.extra_steps,
            "in_force": bool(self._factors),
            "masks": pack_masks(self._masks),
            "recorded": pack_masks(self._recorded) if self._shadow else {},
            "gathered": self._gathered,
            "structure": self.structure.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self._position = state["position"]
        self._next = self._plan[self._position] if self._position < len(self._plan) else None
        self.phase = state["phase"]
        self.mask_iou = state["mask_iou"]
        self.dense_steps = state["dense_steps"]
        self.extra_steps = state["extra_steps"]
        self._gathered = [
            g.to(w.device) for g, w in zip(state["gathered"], self._masked, strict=False)
        ]
        self.structure.load(state["structure"])
        if state["masks"]:
            self._masks = self._recorded = unpack_masks(state["masks"], self._weights)
        if any(change.action == "shadow" for change in self._plan[: self._position]):
            self._shadow = ShadowWeights(self._masked, self._spec.shadow_decay)
            self._recorded = (
                unpack_masks(state["recorded"], self._weights) if state["recorded"] else {}
            )
        elif state["in_force"]:
            self._set_masks(self._masks)
            self._count()
