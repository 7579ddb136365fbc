"""What is pruned of each network: the sparsity of all parameters, and what is left dense."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..tables.results import Results
from .trial_folders import read_certificate, trial_folders

ACCOUNT_COLUMNS = [
    "arm",
    "sparsity",
    "of_prunable",
    "of_parameters",
    "prunable_weights",
    "parameters",
    "left_dense",
]
COUNTS = ("sparsity", "sparsity_of_parameters", "weights", "parameters")
MAX_NAMED = 2
"""Parameters of one reason that are named; of more, the number follows."""
NOT_RECORDED = "not recorded"


def parameter_account(results: Results, where: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """One row per arm, target and network: `ACCOUNT_COLUMNS`; empty without certificates.

    ``of_prunable`` and ``of_parameters`` are sparsities of the prunable weights and of all
    parameters, means over report seeds. ``left_dense`` says what is not pruned, and why.

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
        StorageError: if the folders cannot be read.
    """
    rows = []
    for trial, files in trial_folders(results, where):
        certificate = read_certificate(files)
        if not all(isinstance(certificate.get(name), int | float) for name in COUNTS):
            continue  # of an older version, or edited
        rows.append(
            {
                "arm": trial["arm"],
                "sparsity": trial["sparsity"],
                "of_prunable": certificate["sparsity"],
                "of_parameters": certificate["sparsity_of_parameters"],
                "prunable_weights": certificate["weights"],
                "parameters": certificate["parameters"],
                "left_dense": dense_text(certificate.get("account")),
            }
        )
    frame = pd.DataFrame(rows, columns=ACCOUNT_COLUMNS)
    keys = [name for name in ACCOUNT_COLUMNS if not name.startswith("of_")]
    means = frame.groupby(keys, sort=False, as_index=False)[["of_prunable", "of_parameters"]].mean()
    return means[ACCOUNT_COLUMNS].sort_values(["arm", "sparsity"], ignore_index=True)


def dense_text(account: Sequence[Mapping[str, Any]] | None) -> str:
    """What an account leaves dense, by reason, with numbers of weights.

    Args:
        account: Rows with ``name shape status reason``; None for a certificate of before.
    """
    if account is None:
        return NOT_RECORDED
    named: dict[str, list[str]] = {}
    weights: dict[str, int] = {}
    for row in account:
        if row["status"] != "pruned":
            reason = str(row["reason"])
            named.setdefault(reason, []).append(str(row["name"]))
            weights[reason] = weights.get(reason, 0) + math.prod(row["shape"])
    parts = [f"{reason}: {_names(names)} ({weights[reason]:,})" for reason, names in named.items()]
    return "; ".join([*parts, "biases, norms"] if parts else ["biases, norms alone"])


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MAX_NAMED])
    more = len(names) - MAX_NAMED
    return f"{shown} and {more} more" if more > 0 else shown
