"""A budget stated in words, such as ``8 gpu hours``, for a study whose counts follow from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import torch

from sparsetune.errors import SparsetuneError
from sparsetune.launch.local_forecast import forecast_on_this_machine
from sparsetune.launch.preflight import check_study
from sparsetune.search.planner import build_planner
from sparsetune.search.sampling.points import quiet_optuna
from sparsetune.spec.defaults import DEFAULTS_BY_VERSION
from sparsetune.study import Study
from sparsetune.study.budget import Budget
from sparsetune.study.rules.budgets import expected_cost

SECONDS_PER_HOUR = 3600
UNITS = ("epochs", "train flops", "hours", "cpu hours", "gpu hours")
"""Units of a stated budget. Train FLOPs are counted in epochs of the dense network; hours are those
of all workers of this machine together, of one CPU, or of one GPU."""
DECIDED_FIELDS = ("budget", "configurations_per_cell", "report_seeds")
"""Fields that a stated budget decides, whatever the study declares."""


class StatedBudget(NamedTuple):
    """A budget as it was stated.

    Args:
        amount: Above 0.
        unit: One of `UNITS`.
    """

    amount: float
    unit: str


def parse_budget(text: str) -> StatedBudget:
    """A budget from words.

    Raises:
        SparsetuneError: naming the units.
    """
    match = re.fullmatch(r"\s*([0-9][0-9_,]*\.?[0-9]*(?:e[0-9]+)?)\s*([a-z][a-z _]*)", text.lower())
    unit = " ".join(match[2].replace("_", " ").split()) if match else ""
    unit = {"epoch": "epochs", "hour": "hours"}.get(unit, unit)
    unit = re.sub(r"^(cpu|gpu) hour$", r"\1 hours", unit)
    amount = float(re.sub("[_,]", "", match[1])) if match else 0.0
    if unit not in UNITS or not amount > 0:
        raise SparsetuneError(
            f"a budget must be a number above 0 with a unit, {', '.join(UNITS)}, as in"
            f" `8 gpu hours`, got `{text}`"
        )
    return StatedBudget(amount, unit)


def with_budget(
    study: Study, stated: StatedBudget, *, data_root: Path | None = None, **options: Any
) -> Study:
    """The study with its counts chosen by a budget, in the unit that its networks share.

    Args:
        study: The declaration; its own counts of configurations and report seeds are dropped.
        stated: The budget. Hours are turned into epochs by timing steps here.
        data_root: Folder that data sets lie in.
        options: Arguments of `forecast_on_this_machine`.

    Raises:
        DeclarationError: naming every problem of the declaration.
        SparsetuneError: if steps cannot be timed here.
    """
    open_study = study.with_changes(**dict.fromkeys(DECIDED_FIELDS))
    unit: str = stated.unit.replace(" ", "_")
    amount = stated.amount
    if stated.unit.endswith("hours"):
        unit = study.equal
        seconds = _seconds_per_cost(open_study, stated.unit, data_root=data_root, **options)
        amount *= SECONDS_PER_HOUR / seconds
        amount = float(int(amount)) or amount
    divided = open_study.with_changes(budget=Budget(**{unit: amount}))
    return divided.under_defaults(DEFAULTS_BY_VERSION.current)


def _seconds_per_cost(
    study: Study,
    unit: str,
    *,
    data_root: Path | None = None,
    cpus_per_trial: float = 1,
    gpus_per_trial: float | None = None,
) -> float:
    """Seconds of all workers, of a CPU or of a GPU that the study takes per unit of its cost."""
    gpus = torch.cuda.device_count()
    if unit == "gpu hours" and not gpus:
        raise SparsetuneError(
            "steps must be timed on a GPU to divide `gpu hours`, and this machine has none; state"
            " the budget in epochs or cpu hours, or run this where the GPU is"
        )
    quiet_optuna()
    checked = check_study(study, needs_data=False, data_root=data_root)
    work = build_planner(checked.study, {}).remaining_work()
    forecast, slots = forecast_on_this_machine(work, cpus_per_trial, gpus_per_trial, data_root)
    if forecast.seconds is None:
        raise SparsetuneError(
            f"steps must be timed to divide {unit}, and could not be: {forecast.missing}; state the"
            " budget in epochs"
        )
    # Both count every configuration as trained to its end.
    cost = expected_cost(checked.study.with_changes(stopping=None), checked.study.cells())
    worker_seconds = forecast.seconds / cost
    gpu_share = 1.0 if gpus_per_trial is None else gpus_per_trial
    shares = {"hours": 1 / slots, "cpu hours": cpus_per_trial, "gpu hours": gpu_share}
    return worker_seconds * shares[unit]
