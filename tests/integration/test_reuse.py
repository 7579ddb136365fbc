"""A reused worker is as good as a new one: also after a trial that was stopped or that raised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ray import tune

from sparsetune import DigitsTask, OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.cluster.assignment import Assignment
from sparsetune.cluster.worker import run_trial
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.storage.announcements import AttemptFailed
from sparsetune.storage.records import Record, Report, Started, decode_record
from sparsetune.storage.trial_state import fold_records
from tests.assignments import SETTINGS
from tests.integration.runs import assert_equal_to_training_alone
from tests.ledger_records import plain, record

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300), pytest.mark.usefixtures("ray_session")]

SPARSE = TrialSpec(
    schedule=ScheduleSpec(epochs=4), sparsity=SparsitySpec(method="gmp", target=0.9), seed=5
)
STOPPED = TrialSpec(schedule=ScheduleSpec(epochs=2000), seed=6)
RAISING = TrialSpec(
    task=DigitsTask(model="tests.integration.models:Fragile"),
    optim=OptimSpec(lr=30),
    schedule=ScheduleSpec(epochs=4),
)
ADAM = TrialSpec(schedule=ScheduleSpec(epochs=4), optim=OptimSpec(name="adamw", lr=0.003), seed=7)
ORDER = [
    SPARSE,
    ADAM,
    STOPPED,
    SPARSE.with_values({"seed": 8}),
    RAISING,
    SPARSE.with_values({"seed": 9}),
    ADAM.with_values({"seed": 1}),
]


class Collect(tune.Callback):
    """Keeps what the worker sends."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.failures: list[AttemptFailed] = []

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        for message in result["records"]:
            if isinstance(message, AttemptFailed):
                self.failures.append(message)
            else:
                self.records.append(decode_record(plain(message)))  # as the ledger keeps it


class StopOne(tune.Stopper):
    """Stops the long trial at its first reports."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        of = {message.trial_id for message in result["records"]}
        return of == {STOPPED.trial_id()} and any(
            isinstance(message, Report) for message in result["records"]
        )

    def stop_all(self) -> bool:
        return False


def config(spec: TrialSpec, folder: Path) -> dict[str, Any]:
    given = Assignment(
        trial_id=spec.trial_id(),
        attempt=1,
        spec=spec.given(),
        read_test=True,
        folder=str(folder / "trials" / spec.trial_id() / "attempt-1"),
        earlier=(),
        retry=None,
        rungs=(),
        teaches=False,
        teacher=None,
        shared=SETTINGS,
    )
    return given.to_config()


def test_numbers_do_not_depend_on_what_the_worker_did_before(tmp_path: Path) -> None:
    collect = Collect()
    configs = [config(spec, tmp_path) for spec in ORDER]
    tune.Tuner(
        tune.with_resources(lambda given: run_trial(configs[given["index"]]), {"cpu": 2}),
        param_space={"index": tune.grid_search(list(range(len(configs))))},
        tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=1),
        run_config=tune.RunConfig(
            storage_path=str(tmp_path / "ray"), verbose=0, callbacks=[collect], stop=StopOne()
        ),
    ).fit()

    started = [record for record in collect.records if isinstance(record, Started)]
    assert [record.trial_id for record in started] == [spec.trial_id() for spec in ORDER]
    assert len({record.pid for record in started}) == 1, "the trials were meant to share one worker"
    proposed = [
        record({"type": "proposed", "trial_id": c["trial_id"], "spec": c["spec"], "role": "report"})
        for c in configs
    ]
    states = fold_records([*proposed, *collect.records])
    (failed,) = collect.failures
    assert failed.trial_id == RAISING.trial_id() and failed.cause == "code"
    assert states[STOPPED.trial_id()].status == "RUNNING" and states[STOPPED.trial_id()].reports
    for spec in ORDER:
        if spec not in (RAISING, STOPPED):
            assert_equal_to_training_alone(states[spec.trial_id()])
