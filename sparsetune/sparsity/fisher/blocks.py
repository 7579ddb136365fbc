"""The block-diagonal empirical Fisher: what pruning a weight costs, and how others compensate.

``F = dampening I + (1/m) sum_i g_i g_i^T`` with m gradients, within blocks of consecutive weights
of a layer (WoodFisher, Singh & Alistarh 2020, arXiv 2004.14340; oBERT, Kurtic et al. 2022,
arXiv 2203.07259, section 3.2).

The authors update the inverse with one gradient after the other. F summed first and inverted once,
in double precision, is the same but for rounding, and faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

import torch
from torch.nn.functional import pad

from sparsetune.sparsity.fisher.pieces import (
    GRADIENTS_PER_UPDATE,
    BlockRun,
    free_bytes,
    pieces_within,
    plan_runs,
    split_runs,
)
from sparsetune.sparsity.masks.exact import Masks
from sparsetune.spec.sparsity import FisherSpec

DIAGONAL_EPSILON = torch.finfo(torch.float32).eps
"""Number added to the inverse's diagonal where it divides, as in the authors' code."""
MIN_RELATIVE_DAMPENING = torch.finfo(torch.float64).eps
"""Least dampening, as a fraction of a block's trace per weight: less is lost in rounding."""

Gradients = Mapping[str, torch.Tensor]
"""A gradient of the weight's shape for each layer."""


class BlockFisher:
    """The inverse Fisher of a network's layers, in as many pieces as memory asks for.

    The number of pieces changes no result. A single piece keeps its inverse from the scores to the
    compensation. Of several pieces, each is estimated again for the compensation: keeping their
    inverses would take the memory that is short already.

    Args:
        weights: Weights by layer; read by `scores`, changed in place by `compensate`.
        spec: Size of the blocks, number of gradients and dampening.
        gradients: Function that starts a pass over ``spec.gradients`` gradients, each a mean over a
            small batch. Every pass gives the same ones while the weights stay. Within a mask,
            gradients outside it must be zero.
        pieces: Largest number of pieces; by default as few as fit into the free memory.

    Raises:
        LimitError: if not even one run of blocks at a time fits into the free memory.
    """

    def __init__(
        self,
        weights: Mapping[str, torch.Tensor],
        spec: FisherSpec,
        gradients: Callable[[], Iterable[Gradients]],
        pieces: int | None = None,
    ) -> None:
        self._weights = {name: weight.detach() for name, weight in weights.items()}
        self._spec = spec
        self._gradients = gradients
        self._device = next(iter(self._weights.values())).device
        runs = plan_runs({name: weight.numel() for name, weight in weights.items()}, spec)
        self.pieces = split_runs(runs, pieces or pieces_within(runs, free_bytes(self._device)))

    def scores(self) -> dict[str, torch.Tensor]:
        """Rise of the loss when a weight alone is pruned: ``w^2 / (2 [F^-1]_qq)``.

        By layer, of the weight's shape.
        """
        diagonals = self._diagonals
        return {
            name: weight.float().square() / (2 * diagonals[name] + DIAGONAL_EPSILON)
            for name, weight in self._weights.items()
        }

    def compensate(self, pruned: Masks) -> None:
        """Zero the pruned weights and change the others in place so that the loss rises least.

        ``dw = -sum_q w_q / [F^-1]_qq F^-1[:, q]`` over the pruned q. It is exact for one weight in
        a block; that several also depend on each other is left out.

        Args:
            pruned: By layer, True where a weight is newly pruned. Weights pruned earlier stay zero
                if their gradients were.
        """
        changes = {}
        for name, weight in self._weights.items():
            scaled = weight.float() / (self._diagonals[name] + DIAGONAL_EPSILON)
            changes[name] = scaled.masked_fill_(~pruned[name], 0).flatten()
        self._for_each_piece(lambda piece: piece.multiply(changes))
        # Only now do weights change: every piece needs the gradients of the weights before.
        for name, weight in self._weights.items():
            weight.sub_(changes[name].view(weight.shape))
            weight.masked_fill_(pruned[name], 0)

    @cached_property
    def _diagonals(self) -> dict[str, torch.Tensor]:
        """Diagonal of the inverse by layer, float32 of the weight's shape."""
        flat = {
            name: torch.empty(weight.numel(), device=self._device)
            for name, weight in self._weights.items()
        }
        self._for_each_piece(lambda piece: piece.write_diagonals(flat))
        return {name: diagonal.view(self._weights[name].shape) for name, diagonal in flat.items()}

    def _for_each_piece(self, use: Callable[[FisherPiece], None]) -> None:
        """Call ``use`` with every inverted piece; of several, one is in memory at a time."""
        if len(self.pieces) == 1:
            use(self._single_piece)
        else:
            for runs in self.pieces:
                use(self._estimate(runs))

    @cached_property
    def _single_piece(self) -> FisherPiece:
        return self._estimate(self.pieces[0])

    def _estimate(self, runs: Sequence[BlockRun]) -> FisherPiece:
        piece = FisherPiece(runs, self._spec, self._device)
        for gradients in self._gradients():
            piece.add(gradients)
        piece.invert()
        return piece


class FisherPiece:
    """The Fisher of some runs of blocks: a sum over gradients, then its inverse in the same memory.

    Args:
        runs: Runs of blocks.
        spec: Number of gradients and dampening.
        device: Device of the weights.
    """

    def __init__(self, runs: Sequence[BlockRun], spec: FisherSpec, device: torch.device) -> None:
        self._spec = spec
        self._added = 0
        self._waiting = {}
        self._blocks = {}
        for run in runs:
            waiting_shape = (run.blocks, GRADIENTS_PER_UPDATE, run.block)
            self._waiting[run] = torch.zeros(waiting_shape, device=device)
            # Double precision: the sum is nearly singular, since gradients are fewer than weights
            # or alike, and its inverse would be lost in rounding.
            blocks_shape = (run.blocks, run.block, run.block)
            self._blocks[run] = torch.zeros(blocks_shape, dtype=torch.float64, device=device)

    def add(self, gradients: Gradients) -> None:
        """Add one gradient of the layers."""
        index = self._added % GRADIENTS_PER_UPDATE
        for run, waiting in self._waiting.items():
            waiting[:, index] = _as_blocks(gradients[run.layer].detach().flatten(), run)
        self._added += 1
        if index == GRADIENTS_PER_UPDATE - 1:
            self._accumulate(GRADIENTS_PER_UPDATE)

    def _accumulate(self, count: int) -> None:
        """Add the outer products of the first ``count`` gradients that wait."""
        for run, waiting in self._waiting.items():
            gradients = waiting[:, :count].double()
            self._blocks[run].baddbmm_(gradients.mT, gradients, alpha=1 / self._spec.gradients)

    def invert(self) -> None:
        """Dampen and invert, once all gradients are added."""
        self._accumulate(self._added % GRADIENTS_PER_UPDATE)
        self._waiting.clear()
        for blocks in self._blocks.values():
            diagonal = blocks.diagonal(dim1=1, dim2=2)
            least = MIN_RELATIVE_DAMPENING * blocks.shape[1] * diagonal.sum(1, keepdim=True)
            diagonal += least.clamp_(min=self._spec.dampening)
            # `cholesky_ex` does not raise: gradients that are NaN give scores that are NaN.
            factor, _ = torch.linalg.cholesky_ex(blocks)
            torch.cholesky_inverse(factor, out=blocks)

    def write_diagonals(self, flat: Mapping[str, torch.Tensor]) -> None:
        """Write the inverse's diagonal into the piece's part of the flattened layers (n,)."""
        for run, inverse in self._blocks.items():
            diagonal = inverse.diagonal(dim1=1, dim2=2).flatten()
            flat[run.layer][run.start : run.end] = diagonal[: run.end - run.start]

    def multiply(self, flat: Mapping[str, torch.Tensor]) -> None:
        """Multiply the piece's part of the flattened layers (n,) by the inverse, in place."""
        for run, inverse in self._blocks.items():
            vectors = _as_blocks(flat[run.layer], run).double()
            # From the left, which is three times faster on a CPU; the matrices are symmetric.
            product = torch.bmm(vectors.unsqueeze(1), inverse).flatten()
            flat[run.layer][run.start : run.end] = product[: run.end - run.start]


def _as_blocks(flat: torch.Tensor, run: BlockRun) -> torch.Tensor:
    """A run's part of a flattened layer as (blocks, block), the last block padded with zeros."""
    part = flat[run.start : run.end]
    return pad(part, (0, -part.numel() % run.block)).view(-1, run.block)
