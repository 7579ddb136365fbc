"""Make what the golden tests pin. Run it by hand, and only for a new version of the files.

``python tests/golden/make.py`` writes `digests.json` and `schema-<version>/`, a finished study of
two cells. Folders of earlier versions stay: they must be refused by their version, or still load.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sparsetune.spec import SCHEMA_VERSION, EvaluateSpec, OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import PUBLISHED_ACDC, RampSpec, SparsitySpec
from sparsetune.spec.task import DigitsTask, ImageTask
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import Ledger
from sparsetune.storage.records import decode_record
from sparsetune.study import Arm, Maximize, Study
from sparsetune.study.samplers import TPE
from sparsetune.study.space import IntRange, LogUniform, Uniform

HERE = Path(__file__).parent
GMP = SparsitySpec(method="gmp", target=0.9)

TRIALS = {
    "defaults": TrialSpec(),
    "defaults, seed 1": TrialSpec(seed=1),
    "image": TrialSpec(task=ImageTask(train_examples=20_000)),
    "digits, own model": TrialSpec(
        task=DigitsTask(model="my.package:build", batch_size=32, validation=0.2)
    ),
    "adamw": TrialSpec(optim=OptimSpec(name="adamw", lr=1e-3, beta2=0.95, weight_decay=0.05)),
    "longer": TrialSpec(
        schedule=ScheduleSpec(epochs=2.5, epoch_multiplier=4, lr="cosine", warmup=0)
    ),
    "gmp": TrialSpec(sparsity=GMP),
    "gmp, own ramp": TrialSpec(
        sparsity=SparsitySpec(
            method="gmp", target=0.98, ramp=RampSpec(shape="linear", start=0.2, length=0.5)
        )
    ),
    "gmp, target 0": TrialSpec(sparsity=SparsitySpec(method="gmp", target=0)),
    "one shot, uniform": TrialSpec(
        sparsity=SparsitySpec(method="one_shot", target=0.5, allocation="uniform", prune_at=0.25)
    ),
    "acdc": TrialSpec(sparsity=SparsitySpec(method="acdc", target=0.95)),
    "acdc, published plan": TrialSpec(
        schedule=ScheduleSpec(epochs=100),
        sparsity=SparsitySpec(method="acdc", target=0.9, acdc=PUBLISHED_ACDC),
    ),
    "evaluated often": TrialSpec(evaluate=EvaluateSpec(every="50 steps")),
}
STUDIES = {
    "dense": Study(name="dense"),
    "extension": Study(
        name="extension",
        question="Does a sparse network want more epochs?",
        arms={"gmp": Arm({"sparsity.method": "gmp"}), "acdc": Arm({"sparsity.method": "acdc"})},
        sweep={"sparsity.target": [0, 0.9, 0.99], "schedule.epoch_multiplier": [1, 2, 4]},
    ),
    "search": Study(
        name="search",
        base=TrialSpec(sparsity=GMP),
        search={"optim.lr": LogUniform(0.01, 1.0), "sparsity.ramp.start": Uniform(0, 0.3)},
        sampler=TPE(n_startup=3),
        configurations_per_cell=12,
        report_seeds=5,
    ),
    "own axes": Study(
        name="own-axes",
        arms={
            "gmp": Arm({"sparsity.method": "gmp"}, search={"task.batch_size": IntRange(16, 128)})
        },
        sweep={"sparsity.target": [0.5]},
        objective=Maximize("val_accuracy"),
        seed=7,
    ),
}
OLD = Study(
    name="old",
    base=TrialSpec(schedule=ScheduleSpec(epochs=1)),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.9]},
    search={"optim.lr": LogUniform(0.01, 1.0)},
    configurations_per_cell=2,
    report_seeds=1,
)


def digests() -> dict[str, dict[str, str]]:
    """The digest of every trial and study above, by name."""
    return {
        "trials": {name: spec.trial_id() for name, spec in TRIALS.items()},
        "studies": {name: study.digest() for name, study in STUDIES.items()},
    }


def launches() -> Iterator[list[dict[str, Any]]]:
    """Records of two launches.

    The first is killed during its fourth trial; one trial diverges, one fails once.
    """
    dense, gmp = (cell.spec for cell in OLD.cells())
    first = [
        *trial(dense, "dense", "search", 0, 0.30),
        *trial(dense.with_values({"optim.lr": 0.5}), "dense", "search", 1, 0.10),
        *trial(gmp, "gmp/target=0.9", "search", 0, 0.40),
    ]
    other = gmp.with_values({"optim.lr": 0.9})
    id_ = other.trial_id()
    first += [
        *trial(other, "gmp/target=0.9", "search", 1, 0.0)[:2],
        report(id_, 1, 10, 0.5),
        report(id_, 1, 20, 0.45),
    ]
    yield first
    again = [start(id_, 2, 10), report(id_, 2, 20, 0.2), end(id_, 2, "COMPLETE")]
    winner = dense.with_values({"optim.lr": 0.5, "seed": 1000})
    best = other.with_values({"seed": 1000})
    again += trial(winner, "dense", "report", 1, 0.12) + trial(
        best, "gmp/target=0.9", "report", 1, 0.22
    )
    diverged = gmp.with_values({"optim.lr": 0.5, "seed": 1000})
    again += trial(diverged, "gmp/target=0.9", "control", 1, None)
    id_ = best.dense().trial_id()
    again += trial(best.dense(), "gmp/target=0.9", "twin", 1, 0.15)[:2]
    again += [
        end(id_, 1, "FAILED", "worker lost"),
        start(id_, 2, 0),
        report(id_, 2, 20, 0.15),
        end(id_, 2, "COMPLETE"),
    ]
    yield again


def trial(
    spec: TrialSpec, cell: str, role: str, index: int, error: float | None
) -> list[dict[str, Any]]:
    """A whole trial of 20 steps that ends with this validation error.

    None: it diverges after its first report.
    """
    id_ = spec.trial_id()
    source = "base" if index == 0 else f"sobol:{index - 1}"
    proposed = {
        "type": "proposed", "trial_id": id_, "config_id": spec.config_id(), "cell": cell,
        "arm": cell.partition("/")[0], "role": role, "index": index, "source": source,
        "seed": spec.seed,
        "spec": spec.given(), "twin_id": spec.dense().trial_id() if spec.sparsity.target else None,
    }  # fmt: skip
    if error is None:
        return [
            proposed,
            start(id_, 1, 0),
            report(id_, 1, 10, 0.9),
            end(id_, 1, "DIVERGED", "loss is nan at step 13"),
        ]
    return [
        proposed,
        start(id_, 1, 0),
        report(id_, 1, 10, 0.5),
        report(id_, 1, 20, error),
        end(id_, 1, "COMPLETE"),
    ]


def start(trial_id: str, attempt: int, step: int) -> dict[str, Any]:
    """An attempt that goes on from ``step``."""
    place = {"host": "host", "device": "cpu", "threads": 1}
    return {
        "type": "started",
        "trial_id": trial_id,
        "attempt": attempt,
        "resumed_from_step": step,
        **place,
    }


def report(trial_id: str, attempt: int, step: int, error: float) -> dict[str, Any]:
    """An evaluation."""
    measured = {
        "epoch": step / 20,
        "progress": step / 20,
        "val_error": error,
        "val_score": 1 - error,
        "sparsity": 0.0,
    }
    return {"type": "report", "trial_id": trial_id, "attempt": attempt, "step": step, **measured}


def end(trial_id: str, attempt: int, status: str, error: str | None = None) -> dict[str, Any]:
    """The end of an attempt."""
    result = {"certified": True, "test_score": 0.8} if status == "COMPLETE" else {"certified": None}
    return {
        "type": "ended",
        "trial_id": trial_id,
        "attempt": attempt,
        "status": status,
        "error": error,
        **result,
    }


if __name__ == "__main__":
    (HERE / "digests.json").write_text(json.dumps(digests(), indent=2) + "\n")
    folder = HERE / f"schema-{SCHEMA_VERSION}"
    shutil.rmtree(folder, ignore_errors=True)
    directory = StudyDirectory(folder)
    directory.create(OLD)
    for time, records in enumerate(launches()):
        ledger = Ledger(directory.ledger)
        moment = {"time": 1_700_000_000.0 + 100 * time}
        ledger.append(*(decode_record({**moment, **record}) for record in records))
        ledger.close()
        directory.record_launch(
            {"time": 1_700_000_000.0 + 100 * time, "command": "sparsetune run old.py"}
        )
