"""The block-diagonal empirical Fisher: what pruning a weight costs, and how the others make up for it.

``F = dampening I + (1/m) sum_i g_i g_i^T`` with m gradients, within blocks of consecutive weights of a layer; its
inverse is kept up to date gradient by gradient (WoodFisher, Singh & Alistarh 2020, arXiv 2004.14340; oBERT, Kurtic et
al. 2022, arXiv 2203.07259, section 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch.nn.functional import pad

from sparsetune.sparsity.masks import Masks
from sparsetune.spec.sparsity import FisherSpec

EPSILON = torch.finfo(torch.float32).eps
"""Added to the diagonal of the inverse where it divides, as in the authors' code."""


class BlockFisher:
    """The inverse Fisher of a network's layers; memory is weights x block x 4 bytes.

    Args:
        weights: By layer; read for scores, changed in place by `compensate`.
        spec: Size of the blocks, number of gradients and dampening.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], spec: FisherSpec) -> None:
        self._weights = {name: weight.detach() for name, weight in weights.items()}
        self._spec = spec
        self._inverses = {name: self._dampened(weight) for name, weight in self._weights.items()}

    def _dampened(self, weight: torch.Tensor) -> torch.Tensor:
        """``I / dampening`` for every block of a layer, float32 (blocks, block, block)."""
        blocks, block = math.ceil(weight.numel() / self._spec.block), self._spec.block
        inverse = torch.zeros(blocks, block, block, device=weight.device)
        inverse.diagonal(dim1=1, dim2=2).fill_(1 / self._spec.dampening)
        return inverse

    def add(self, gradients: Mapping[str, torch.Tensor]) -> None:
        """Take in one of the ``spec.gradients`` gradients of the weights, each a mean over a small batch.

        Within a mask, gradients outside it must be zero.
        """
        for name, inverse in self._inverses.items():
            _update(inverse, self._blocks(gradients[name]), self._spec.gradients)

    def scores(self) -> dict[str, torch.Tensor]:
        """By layer, the loss that pruning each weight alone costs: ``w^2 / (2 [F^-1]_qq)``, of the weight's shape."""
        return {
            name: weight.float().square() / (2 * diagonal + EPSILON) for name, weight, diagonal in self._diagonals()
        }

    def compensate(self, pruned: Masks) -> None:
        """Zero the pruned weights and change the others of their blocks in place, so that the loss rises least.

        ``dw = -sum_q w_q / [F^-1]_qq F^-1[:, q]`` over the pruned q: exact for one in a block; that several also
        depend on each other is left out.

        Args:
            pruned: By layer, True where a weight is newly pruned. Earlier ones stay zero if their gradients were.
        """
        for name, weight, diagonal in self._diagonals():
            steps = self._blocks((weight.float() / (diagonal + EPSILON)).masked_fill_(~pruned[name], 0))
            change = _times(steps, self._inverses[name]).flatten()[: weight.numel()]
            weight.sub_(change.view(weight.shape)).masked_fill_(pruned[name], 0)

    def _diagonals(self) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
        """Name, weight and diagonal of the inverse of each layer, the latter of the weight's shape."""
        for name, weight in self._weights.items():
            diagonal = self._inverses[name].diagonal(dim1=1, dim2=2).flatten()[: weight.numel()]
            yield name, weight, diagonal.view(weight.shape)

    def _blocks(self, values: torch.Tensor) -> torch.Tensor:
        """A layer's values as float32 (blocks, block), the last block filled up with zeros."""
        flat = values.detach().float().flatten()
        return pad(flat, (0, -flat.numel() % self._spec.block)).view(-1, self._spec.block)


def _times(vectors: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Each vector (n, block) times its symmetric matrix; from the left, which is three times faster on a CPU."""
    return torch.bmm(vectors.unsqueeze(1), matrices).squeeze(1)


def _update(inverse: torch.Tensor, gradient: torch.Tensor, m: int) -> None:
    """``F^-1 -= u u^T / (m + g^T u)`` in place with ``u = F^-1 g`` (Woodbury), for every block."""
    u = _times(gradient, inverse)
    u /= (m + (gradient * u).sum(1, keepdim=True)).sqrt_()
    inverse.baddbmm_(u.unsqueeze(2), u.unsqueeze(1), alpha=-1)
