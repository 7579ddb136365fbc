"""The block-diagonal empirical Fisher: what pruning a weight costs, and how the others make up for it.

``F = dampening I + (1/m) sum_i g_i g_i^T`` with m gradients, within blocks of consecutive weights of a layer
(WoodFisher, Singh & Alistarh 2020, arXiv 2004.14340; oBERT, Kurtic et al. 2022, arXiv 2203.07259, section 3.2). The
authors update the inverse gradient by gradient; F summed and inverted once, in double precision, is the same but for
rounding, and faster.
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
"""Added to the diagonal of the inverse where it divides, as in the authors' code."""
MIN_RELATIVE_DAMPENING = torch.finfo(torch.float64).eps
"""Dampening is at least so much of a block's trace, for every weight of the block: less is lost in rounding."""

Gradients = Mapping[str, torch.Tensor]


class BlockFisher:
    """The inverse Fisher of a network's layers, in as many pieces as memory asks for; they change no number.

    Where there is one piece, its inverse is kept from the scores to the compensation. Else both estimate every piece
    anew: the inverses would be spilled to memory that is short already.

    Args:
        weights: By layer; read for scores, changed in place by `compensate`.
        spec: Size of the blocks, number of gradients and dampening.
        gradients: Starts a pass over the ``spec.gradients`` gradients, each a mean over a small batch; every pass gives
            the same as long as the weights stay. Within a mask, gradients outside it must be zero.
        pieces: At most so many; as few as the free memory holds by default.

    Raises:
        LimitError: if not even one run of blocks after the other fits into the free memory.
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
        runs = plan_runs({name: weight.numel() for name, weight in weights.items()}, spec)
        self._device = next(iter(self._weights.values())).device
        self.pieces = split_runs(runs, pieces or pieces_within(runs, free_bytes(self._device)))

    def scores(self) -> dict[str, torch.Tensor]:
        """By layer, the loss that pruning each weight alone costs: ``w^2 / (2 [F^-1]_qq)``, of the weight's shape."""
        diagonals = self._diagonals
        return {
            name: weight.float().square() / (2 * diagonals[name] + DIAGONAL_EPSILON)
            for name, weight in self._weights.items()
        }

    def compensate(self, pruned: Masks) -> None:
        """Zero the pruned weights and change the others of their blocks in place, so that the loss rises least.

        ``dw = -sum_q w_q / [F^-1]_qq F^-1[:, q]`` over the pruned q: exact for one in a block; that several also
        depend on each other is left out.

        Args:
            pruned: By layer, True where a weight is newly pruned. Earlier ones stay zero if their gradients were.
        """
        changes = {
            name: (weight.float() / (self._diagonals[name] + DIAGONAL_EPSILON))
            .masked_fill_(~pruned[name], 0)
            .flatten()
            for name, weight in self._weights.items()
        }
        self._for_each_piece(lambda piece: piece.multiply(changes))
        for (
            name,
            weight,
        ) in (
            self._weights.items()
        ):  # only now: the gradients of every piece are those of these weights
            weight.sub_(changes[name].view(weight.shape)).masked_fill_(pruned[name], 0)

    @cached_property
    def _diagonals(self) -> dict[str, torch.Tensor]:
        """Of the inverse, float32 of the weights' shapes."""
        flat = {
            name: torch.empty(weight.numel(), device=self._device)
            for name, weight in self._weights.items()
        }
        self._for_each_piece(lambda piece: piece.write_diagonals(flat))
        return {name: diagonal.view(self._weights[name].shape) for name, diagonal in flat.items()}

    def _for_each_piece(self, use: Callable[[FisherPiece], None]) -> None:
        """Call ``use`` with every piece, inverted; of several, one is in memory at a time."""
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
    """The Fisher of some runs of blocks, summed gradient by gradient, then its inverse in the same memory.

    Args:
        runs: Of blocks.
        spec: Number of gradients and dampening.
        device: As the weights'.
    """

    def __init__(self, runs: Sequence[BlockRun], spec: FisherSpec, device: torch.device) -> None:
        self._spec = spec
        self._added = 0
        self._waiting = {
            run: torch.zeros(run.blocks, GRADIENTS_PER_UPDATE, run.block, device=device)
            for run in runs
        }
        shapes = {run: (run.blocks, run.block, run.block) for run in runs}
        self._blocks = {
            run: torch.zeros(shape, dtype=torch.float64, device=device)
            for run, shape in shapes.items()
        }

    def add(self, gradients: Gradients) -> None:
        """Take in one gradient of the layers."""
        place = self._added % GRADIENTS_PER_UPDATE
        for run, waiting in self._waiting.items():
            waiting[:, place] = _as_blocks(gradients[run.layer].detach().flatten(), run)
        self._added += 1
        if place == GRADIENTS_PER_UPDATE - 1:
            self._accumulate(GRADIENTS_PER_UPDATE)

    def _accumulate(self, count: int) -> None:
        for run, waiting in self._waiting.items():
            gradients = waiting[:, :count].double()
            self._blocks[run].baddbmm_(gradients.mT, gradients, alpha=1 / self._spec.gradients)

    def invert(self) -> None:
        """Dampen and invert, once all gradients are in."""
        self._accumulate(self._added % GRADIENTS_PER_UPDATE)
        self._waiting.clear()
        for blocks in self._blocks.values():
            diagonal = blocks.diagonal(dim1=1, dim2=2)
            least = MIN_RELATIVE_DAMPENING * blocks.shape[1] * diagonal.sum(1, keepdim=True)
            diagonal += least.clamp_(min=self._spec.dampening)
            factor, _ = torch.linalg.cholesky_ex(
                blocks
            )  # of gradients that are NaN, as are then all scores
            torch.cholesky_inverse(factor, out=blocks)

    def write_diagonals(self, flat: Mapping[str, torch.Tensor]) -> None:
        """Those of the inverse, to their places in the flattened layers."""
        for run, inverse in self._blocks.items():
            diagonal = inverse.diagonal(dim1=1, dim2=2).flatten()
            flat[run.layer][run.start : run.end] = diagonal[: run.end - run.start]

    def multiply(self, flat: Mapping[str, torch.Tensor]) -> None:
        """Values of the flattened layers with the inverse, in place."""
        for run, inverse in self._blocks.items():
            vectors = _as_blocks(flat[run.layer], run).double()
            # from the left, which is three times faster on a CPU; the matrices are symmetric
            product = torch.bmm(vectors.unsqueeze(1), inverse).flatten()
            flat[run.layer][run.start : run.end] = product[: run.end - run.start]


def _as_blocks(flat: torch.Tensor, run: BlockRun) -> torch.Tensor:
    """A run's part of a flattened layer as (blocks, block), the last block filled up with zeros."""
    part = flat[run.start : run.end]
    return pad(part, (0, -part.numel() % run.block)).view(-1, run.block)
