"""Weights & Biases and MLflow, each read back through its own API and compared with the ledger."""

from __future__ import annotations

import importlib.util
import json
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from sparsetune.errors import FollowerError, StudyDirectoryError
from sparsetune.launch.followers import trackers
from sparsetune.launch.followers.followed_trial import followed_trial
from sparsetune.launch.followers.sending import track_directory
from sparsetune.launch.followers.trackers import build_tracker, require_clients
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import read_records
from sparsetune.storage.trial_state import fold_records
from sparsetune.study import Arm, Study
from sparsetune.study.space import LogUniform
from tests.launch.followers.followed import (
    RUN_NAME,
    SPEC,
    TRIAL,
    Diary,
    Launch,
    ended,
    followed,
    row,
    started,
)
from tests.search.test_planner import Simulation

FIRST = [started(), row(20, 0.5, 110.0), row(40, 1 / 3, 120.0), row(60, 0.3, 130.0)]
"""What a launch recorded until it was killed; its checkpoint was of step 40."""
SECOND = [
    started(40, attempt=2, time=200.0),
    row(60, 0.3, 230.0),
    row(80, None, 240.0, val_error=0.1),
    ended(attempt=2, time=250.0, test_loss=0.75, parameters=17_226),
]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server and no key of whoever runs the tests."""
    for name in ("MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)


def wandb_records(folder: Path) -> list[Any]:
    """Every record of an offline run; the client's service writes the last ones a moment later."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        records = read_wandb(folder)
        if records and records[-1].HasField("exit"):
            return records
        time.sleep(0.01)
    raise TimeoutError(f"{folder} was not ended")


def read_wandb(folder: Path) -> list[Any]:
    """Records of an offline run, as the client's own reader gives them."""
    datastore = pytest.importorskip("wandb.sdk.internal.datastore")
    from wandb.proto import wandb_internal_pb2

    (file,) = folder.glob("*.wandb")
    reader = datastore.DataStore()
    reader.open_for_scan(str(file))
    found = []
    while (data := reader.scan_data()) is not None:
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        found.append(record)
    return found


def items(part: Any) -> dict[str, Any]:
    """Keys and values of a part of a record."""
    return {one.key or ".".join(one.nested_key): json.loads(one.value_json) for one in part}


def wandb_rows(folder: Path) -> list[dict[str, Any]]:
    rows = [items(one.history.item) for one in wandb_records(folder) if one.HasField("history")]
    return [{k: v for k, v in row.items() if k not in ("_runtime", "_wandb")} for row in rows]


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_wandb_offline_equals_the_ledger_after_a_kill_and_a_resume(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    assert followed(build_tracker("wandb", tmp_path, "s"), *FIRST) == []
    assert followed(build_tracker("wandb", tmp_path, "s"), *SECOND, before=FIRST) == []
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    assert wandb_rows(folder) == [
        {"_step": 20, "_timestamp": 110.0, "epoch": 1.0, "train_loss": 0.5, "lr": 0.5},
        {"_step": 40, "_timestamp": 120.0, "epoch": 2.0, "train_loss": 1 / 3, "lr": 0.5},
        {"_step": 60, "_timestamp": 230.0, "epoch": 3.0, "train_loss": 0.3, "lr": 0.5},
        {"_step": 80, "_timestamp": 240.0, "epoch": 4.0, "val_error": 0.1, "lr": 0.5},
    ]
    records = wandb_records(folder)
    (run,) = [one.run for one in records if one.HasField("run")]
    assert (run.project, run.run_group, run.job_type) == ("s", "dense", "search")
    assert (run.display_name, list(run.tags)) == (RUN_NAME, [TRIAL])
    config = items(run.config.update)
    assert (config["optim.lr"], config["trial_id"]) == (0.25, TRIAL)
    assert set(SPEC.columns()) <= set(config)
    summary: dict[str, Any] = {}
    for one in records:
        summary |= items(one.summary.update)
    assert (summary["test_loss"], summary["parameters"], summary["status"]) == (
        0.75,
        17_226,
        "COMPLETE",
    )
    (end,) = [one.exit for one in records if one.HasField("exit")]
    assert end.exit_code == 0
    (file,) = folder.glob("*.wandb")
    written = file.stat().st_mtime_ns
    assert followed(build_tracker("wandb", tmp_path, "s"), before=[*FIRST, *SECOND]) == []
    files = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert [path.stat().st_mtime_ns for path in files] == [written]


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An MLflow store without runs: its tables take seconds to make."""
    mlflow = pytest.importorskip("mlflow")
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{file}").search_experiments()
    return file.read_bytes()


@pytest.fixture
def mlflow_folder(tmp_path: Path, empty_mlflow: bytes) -> Path:
    (tmp_path / "mlflow.db").write_bytes(empty_mlflow)
    return tmp_path


def mlflow_run(folder: Path, study: str = "s", trial: str = TRIAL) -> tuple[Any, dict[str, Any]]:
    """The one run of a trial, and by metric (step, value, milliseconds) in order."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(study).experiment_id
    (run,) = client.search_runs([experiment], f"tags.`sparsetune.trial` = '{trial}'")
    histories = {}
    for name in run.data.metrics:
        history = client.get_metric_history(run.info.run_id, name)
        histories[name] = sorted((one.step, one.value, one.timestamp) for one in history)
    return run, histories


# Its import and its tables take seconds.
@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")
def test_mlflow_equals_the_ledger_after_a_kill_and_a_resume(mlflow_folder: Path) -> None:
    """Row 60 was trained twice, to the same numbers: the first one stays."""
    for lines, before in ((FIRST, []), (SECOND, FIRST), ([], [*FIRST, *SECOND])):
        tracker = build_tracker("mlflow", mlflow_folder, "s")
        assert followed(tracker, *lines, before=before) == []
    run, histories = mlflow_run(mlflow_folder)
    assert run.info.run_name == RUN_NAME
    assert (run.info.status, run.info.start_time, run.info.end_time) == (
        "FINISHED",
        100_000,
        250_000,
    )
    assert histories == {
        "epoch": [
            (20, 1.0, 110_000),
            (40, 2.0, 120_000),
            (60, 3.0, 130_000),
            (80, 4.0, 240_000),
        ],
        "lr": [(20, 0.5, 110_000), (40, 0.5, 120_000), (60, 0.5, 130_000), (80, 0.5, 240_000)],
        "train_loss": [(20, 0.5, 110_000), (40, 1 / 3, 120_000), (60, 0.3, 130_000)],
        "val_error": [(80, 0.1, 240_000)],
        "test_loss": [(80, 0.75, 250_000)],
        "parameters": [(80, 17_226.0, 250_000)],
    }
    assert run.data.params == {name: str(value) for name, value in SPEC.columns().items()}
    tags = {name: value for name, value in run.data.tags.items() if name.startswith("sparsetune")}
    assert tags.pop("sparsetune.run").startswith(TRIAL)
    assert tags == {
        "sparsetune.trial": TRIAL,
        "sparsetune.configuration": SPEC.config_id(),
        "sparsetune.cell": "dense",
        "sparsetune.arm": "dense",
        "sparsetune.role": "search",
        "sparsetune.seed": "0",
        "sparsetune.status": "COMPLETE",
        "sparsetune.certified": "True",
    }


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")
def test_a_directory_is_sent_to_mlflow_once(half_done: StudyDirectory, empty_mlflow: bytes) -> None:
    """Two trials ended with rows, one failed without, and one was interrupted."""
    (half_done.path / "mlflow.db").write_bytes(empty_mlflow)
    (first,) = track_directory(half_done.path, ["mlflow"])
    (second,) = track_directory(half_done.path, ["mlflow"])
    assert (first.sent, first.held, second.sent, second.held) == (4, 0, 1, 3)
    for trial_id, state in fold_records(read_records(half_done.ledger)).items():
        run, histories = mlflow_run(half_done.path, "half", trial_id)
        errors = [(step, value) for step, value, _ in histories.get("val_error", [])]
        assert errors == [(s, r.number("val_error")) for s, r in sorted(state.reports.items())]
        status = {"COMPLETE": "FINISHED", "RUNNING": "RUNNING"}.get(state.status, "FAILED")
        assert run.info.status == status


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")
def test_a_server_that_is_down_costs_the_driver_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    down, calm = Launch(build_tracker("mlflow", tmp_path, "s")), Launch(Diary())
    rows = [row(step, 1 / step, 100.0 + step) for step in range(1, 201)]
    for launch in (calm, down):
        launch.announce(started(), *rows, ended())
    calm.close()
    lines = down.close(seconds=30)
    assert [line.partition(" (")[0] for line in lines] == [
        "theirs failed",
        "theirs did not take everything",
    ]
    assert lines[1].endswith("send the rest with: sparsetune track runs/s --with theirs")
    assert down.ledger == calm.ledger
    assert median(down.seconds) < 1e-3


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """A file lies where TensorBoard's folder should be made."""
    (tmp_path / "tensorboard").write_text("in the way")
    failed, unsent = followed(build_tracker("tensorboard", tmp_path, "s"), *FIRST)
    assert failed.startswith("theirs failed (")
    assert unsent.endswith("send the rest with: sparsetune track runs/s --with theirs")


def test_a_directory_is_sent_to_tensorboard_once(half_done: StudyDirectory) -> None:
    (first,) = track_directory(half_done.path, ["tensorboard", "tensorboard"])
    assert (first.sent, first.held) == (4, 0)
    assert {path.name for path in (half_done.path / "tensorboard").iterdir()} == {
        "dense 4 epochs seed 1000",
        "dense 4 epochs seed 1001",
        "gmp 90% 4 epochs seed 1000",
        "gmp 90% 8 epochs seed 1000",
    }
    (second,) = track_directory(half_done.path, ["tensorboard"])
    assert (second.sent, second.held) == (1, 3)  # the interrupted one may have gone on


def test_a_study_that_runs_is_not_sent(half_done: StudyDirectory) -> None:
    with half_done.locked(), pytest.raises(StudyDirectoryError, match="wait for its end"):
        track_directory(half_done.path, ["tensorboard"])


def test_an_unknown_tracker_and_a_missing_client_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(FollowerError, match="one of tensorboard, wandb, mlflow, got `aim`"):
        require_clients(["aim"])
    require_clients(["tensorboard"])
    found = importlib.util.find_spec
    # A folder of that name where Python is started is no client.
    folder = ModuleSpec("wandb", None)
    monkeypatch.setattr(
        trackers, "find_spec", lambda name: folder if name == "wandb" else found(name)
    )
    with pytest.raises(FollowerError, match=r"pip install 'sparsetune\[wandb\]'"):
        require_clients(["tensorboard", "wandb"])


NAMED = Study(
    name="named",
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={
        "sparsity.target": [0, 0.98],
        "schedule.epoch_multiplier": [1, 2],
        "optim.momentum": [0.5, 0.9],
    },
    search={"optim.lr": LogUniform(0.01, 1)},
    configurations_per_cell=3,
    report_seeds=2,
)


def test_no_two_trials_have_the_same_name() -> None:
    """Of a study with searches, controls, twins and a sweep of another field."""
    done = Simulation(NAMED).run()
    trials = done.trials.values()
    names = {followed_trial(done.planner, state, ()).name for state in trials}
    assert len(names) == len(trials) > 50
    assert "gmp 98% 8 epochs momentum=0.5 config 0 search seed 0" in names
