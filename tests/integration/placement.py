"""Launches of small studies on one Ray with two logical GPUs and four CPUs, told to one folder.

    python -m tests.integration.placement FOLDER

A process of its own: the other tests' Ray has no GPUs. In every launch the trials wait for each
other in `meet` until as many run as the share allows, so that the count does not depend on the
machine's speed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from sparsetune import DigitsTask, ScheduleSpec, Study, TrialSpec
from sparsetune.errors import SparsetuneError
from sparsetune.tasks.models import mlp

CPUS = 4
GPUS = 2
MEET_SECONDS = 100
MEETING = "SPARSETUNE_TEST_MEETING"
"""Names the folder, in workers only: where the driver builds a model, nobody waits."""


class Launch(NamedTuple):
    """What a trial takes, and how many must run at once."""

    name: str
    gpus: float
    cpus: float
    at_once: int


ALLOWED = [
    Launch("quarters", 0.25, 0.5, 8),
    Launch("halves", 0.5, 1, 4),
    Launch("wholes", 1, 1, 2),
    Launch("none", 0, 2, 2),
]
REFUSED = [
    Launch("fractions", 1.5, 1, 0),
    Launch("pairs", 2, 1, 0),
    Launch("too-many-cpus", 0, 8, 0),
]


def meet(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """The `mlp`, after this worker told which GPUs it sees and as many others as allowed did
    too.
    """
    if folder := os.environ.get(MEETING):
        now = json.loads((Path(folder) / "now.json").read_text())
        seen = {
            "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "torch": torch.cuda.is_available(),
        }
        here = Path(folder) / now["name"]
        (here / str(os.getpid())).write_text(json.dumps(seen))
        deadline = time.monotonic() + MEET_SECONDS
        while len(list(here.iterdir())) < now["at_once"] and time.monotonic() < deadline:
            time.sleep(0.05)
    return mlp(input_shape, n_classes)


def study(launch: Launch) -> Study:
    """Two trials more than may run at once, of one epoch each."""
    task = DigitsTask(model="tests.integration.placement:meet")
    base = TrialSpec(task=task, schedule=ScheduleSpec(epochs=1))
    return Study(name=launch.name, base=base, report_seeds=launch.at_once + 2)


def main(folder: Path) -> None:
    """Launch all; write why each was refused, or null, to ``outcomes.json``."""
    from sparsetune.launch.launch import Options, launch

    outcomes: dict[str, str | None] = {}
    for one in (*ALLOWED, *REFUSED):
        (folder / one.name).mkdir()
        (folder / "now.json").write_text(json.dumps(one._asdict()))
        options = Options(
            folder / "runs", gpus_per_trial=one.gpus, cpus_per_trial=one.cpus, quiet=True
        )
        try:
            launch(study(one), options)
            outcomes[one.name] = None
        except SparsetuneError as error:
            outcomes[one.name] = str(error)
    (folder / "outcomes.json").write_text(json.dumps(outcomes))


def start(folder: Path) -> None:
    """The Ray of this process; its workers know where to meet."""
    import ray

    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), MEETING: str(folder)}
    ray.init(
        address="local",
        num_cpus=CPUS,
        num_gpus=GPUS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": environment},
    )


if __name__ == "__main__":
    start(Path(sys.argv[1]))
    main(Path(sys.argv[1]))
