"""Forecast of a study with its trials timed on this machine."""

from __future__ import annotations

from pathlib import Path

import torch

from sparsetune.cluster.placement import resources_per_trial
from sparsetune.costs.forecast import Forecast, forecast_study, measure_costs
from sparsetune.costs.remaining import RemainingWork
from sparsetune.machine import usable_cpus


def forecast_on_this_machine(
    work: RemainingWork,
    cpus_per_trial: float = 1,
    gpus_per_trial: float | None = None,
    data_root: Path | None = None,
) -> tuple[Forecast, int]:
    """Time every kind of trial that is left here, and forecast the whole.

    Args:
        work: What is left to run, as `Planner.remaining_work` returns it.
        cpus_per_trial: CPUs of a trial; also its torch threads.
        gpus_per_trial: Share of a GPU in [0, 1]; None for a whole one where there are any.
        data_root: The folder that data sets lie in; see `sparsetune.tasks.prepare_data`.

    Returns:
        The forecast, and the number of trials that this machine runs at once, at least 1.
    """
    node = {"CPU": float(usable_cpus()), "GPU": float(torch.cuda.device_count())}
    share = resources_per_trial(cpus_per_trial, gpus_per_trial, node["GPU"])
    # A share may be asked for a cluster whose GPUs this machine lacks.
    on_gpu = share.gpu > 0 and node["GPU"] > 0
    threads = max(1, int(cpus_per_trial))
    costs = measure_costs(
        work, device="cuda" if on_gpu else "cpu", threads=threads, data_root=data_root
    )
    machine = "GPU" if on_gpu else "CPU"
    conditions = f"steps timed alone on this machine's {machine}; trials at once share it"
    return forecast_study(work, costs, conditions), max(1, share.trials_on(node))
