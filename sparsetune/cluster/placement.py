"""Resources of a trial, number of trials that fit on a cluster, and the device of one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sparsetune.errors import DeclarationError, Problem

Node = Mapping[str, float]
"""Resources of a node by Ray's names ``CPU`` and ``GPU``; one that it lacks may be missing."""
SHARE_TOLERANCE = 1e-9
"""Rounding of quotients: 0.3 / 0.1 is a little less than 3."""


class TrialResources(NamedTuple):
    """Resources of one trial.

    Args:
        cpu: CPUs, at least 0; may be a fraction.
        gpu: Share of one GPU, in [0, 1].
    """

    cpu: float
    gpu: float

    def trials_on(self, node: Node) -> int:
        """Number of trials that the node holds at once; a share of a GPU never spans two."""
        counts = []
        if self.cpu > 0:
            counts.append(_count_shares(node.get("CPU", 0), self.cpu))
        if self.gpu > 0:
            counts.append(int(node.get("GPU", 0)) * _count_shares(1, self.gpu))
        return min(counts, default=1)  # one on each node, if it asks for nothing


def resources_per_trial(cpus: float, gpus: float | None, available: float) -> TrialResources:
    """Resources of a trial.

    Args:
        cpus: CPUs that were asked for.
        gpus: Share of a GPU that was asked for; None for a whole one where there are any, else
            none.
        available: Number of GPUs.
    """
    return TrialResources(cpus, float(available > 0) if gpus is None else gpus)


def _count_shares(whole: float, share: float) -> int:
    return int(whole / share + SHARE_TOLERANCE) if share > 0 else 0


def check_gpu_share(gpus: float | None) -> None:
    """Refuse more than one GPU for a trial, which would leave the others idle.

    Args:
        gpus: The share that was asked for; None is the default.

    Raises:
        DeclarationError: for more than one GPU.
    """
    if gpus is not None and gpus > 1:
        rule = (
            "must be at most 1: a trial trains on one GPU, and more would stay idle; give 1 or less"
        )
        raise DeclarationError([Problem("gpus_per_trial", rule, f"{gpus:g}")], "what a trial takes")


def trials_at_once(share: TrialResources, nodes: Sequence[Node]) -> int:
    """Number of trials that run at once on all nodes, at least 1.

    Raises:
        DeclarationError: if no node can hold even one, so that trials would wait for ever.
    """
    slots = sum(share.trials_on(node) for node in nodes)
    if slots:
        return slots
    # Name what is scarce everywhere; else it is the combination that no node has.
    wanted = (("cpus_per_trial", "CPU", share.cpu), ("gpus_per_trial", "GPU", share.gpu))
    problems = []
    for name, kind, amount in wanted:
        most = max((node.get(kind, 0) for node in nodes), default=0)
        if amount > most + SHARE_TOLERANCE:
            rule = f"no node has more than {most:g} {kind}s; give at most that"
            problems.append(Problem(name, rule, f"{amount:g}"))
    both = f"no node has {share.cpu:g} CPUs and {share.gpu:g} GPUs together; ask for less"
    raise DeclarationError(problems or [Problem("", both)], "what a trial takes")


def claim_device(asked: str) -> tuple[str, str | None]:
    """The device of a worker's trials.

    Ray shows every GPU to a worker that asked for none: a worker of CPU trials hides them from
    torch.

    Args:
        asked: The device that trials should run on, ``cpu`` or ``cuda``.

    Returns:
        The device, and why it is not the one that was asked for; None where it is.
    """
    if asked == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return asked, None
    import torch

    # A driver and a torch that do not fit show no GPU, though Ray counts one.
    if torch.cuda.is_available():
        return asked, None
    rule = "trials hold a share of a GPU, but torch sees none in their workers"
    return "cpu", f"{rule}: they run on the CPU (see `doctor`)"
