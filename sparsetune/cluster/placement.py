"""What a trial takes of a cluster, how many trials fit at once, and the device that one runs on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sparsetune.errors import DeclarationError, Problem

Node = Mapping[str, float]
"""What a node has, as Ray names it: ``CPU`` and ``GPU``; a kind that it lacks may be missing."""
SHARE_TOLERANCE = 1e-9


class TrialResources(NamedTuple):
    """What one trial takes: processors, and GPUs (a fraction of one, or whole ones)."""

    cpu: float
    gpu: float

    def trials_on(self, node: Node) -> int:
        """Trials that the node holds at once; a fraction of a GPU never spans two."""
        gpus = node.get("GPU", 0)
        by_gpu = (
            int(gpus) * _count_shares(1, self.gpu)
            if self.gpu <= 1
            else _count_shares(gpus, self.gpu)
        )
        counts = [_count_shares(node.get("CPU", 0), self.cpu)] * (self.cpu > 0) + [by_gpu] * (
            self.gpu > 0
        )
        return min(counts, default=1)


def resources_per_trial(cpus: float, gpus: float | None, there: float) -> TrialResources:
    """What a trial takes: as asked, by default a whole GPU where ``there`` are any, else none."""
    return TrialResources(cpus, float(there > 0) if gpus is None else gpus)


def _count_shares(whole: float, share: float) -> int:
    return int(whole / share + SHARE_TOLERANCE) if share > 0 else 0


def check_gpu_share(gpus: float | None) -> None:
    """Refuse a share that no Ray gives; None is the default.

    Raises:
        DeclarationError: for more than one GPU and not whole ones.
    """
    if gpus is not None and gpus > 1 and gpus % 1:
        rule = f"above 1 it must be a whole number of GPUs; give {int(gpus)}, {int(gpus) + 1}, or 1 and less"
        raise DeclarationError([Problem("gpus_per_trial", rule, f"{gpus:g}")], "what a trial takes")


def trials_at_once(share: TrialResources, nodes: Sequence[Node]) -> int:
    """Trials that run at once on all nodes.

    Raises:
        DeclarationError: if no node can hold even one, so that trials would wait for ever.
    """
    if slots := sum(share.trials_on(node) for node in nodes):
        return slots
    wanted = (("cpus_per_trial", "CPU", share.cpu), ("gpus_per_trial", "GPU", share.gpu))
    most = {kind: max((node.get(kind, 0) for node in nodes), default=0) for _, kind, _ in wanted}
    problems = [
        Problem(
            name, f"no node has more than {most[kind]:g} {kind}s; give at most that", f"{amount:g}"
        )
        for name, kind, amount in wanted
        if amount > most[kind] + SHARE_TOLERANCE
    ]
    both = Problem(
        "", f"no node has {share.cpu:g} CPUs and {share.gpu:g} GPUs together; ask for less"
    )
    raise DeclarationError(problems or [both], "what a trial takes")


def claim_device(asked: str) -> tuple[str, dict[str, str]]:
    """The device of a worker's trials, with a ``note`` for the ledger where it is not the one asked for.

    Ray shows every GPU to a worker that asked for none: a worker of CPU trials hides them from torch.
    """
    if asked == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return asked, {}
    import torch

    if torch.cuda.is_available():
        return asked, {}
    note = "trials hold a share of a GPU, but torch sees none in their workers: they run on the CPU (see `doctor`)"
    return "cpu", {"note": note}
