"""What tools leave behind, written by the tool itself where it is installed for tests."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import optuna
import pandas as pd


def tree_bytes(folder: Path) -> dict[str, bytes]:
    """Content of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def ray_experiment(folder: Path) -> Path:
    """Two trials as Ray 2.60 writes them, one of which failed before its first result."""
    experiment = folder / "exp"
    states = []
    pickled = {"_type": "CLOUDPICKLE_FALLBACK", "value": "80049529"}
    for trial, status, lr, epochs in (("a_0", "TERMINATED", 0.1, 2), ("a_1", "ERROR", 0.9, 0)):
        place = experiment / f"train_{trial}_lr={lr}"
        place.mkdir(parents=True)
        config = {"optim": {"lr": lr}, "seed": 0, "sparsity": 0.9}
        (place / "params.json").write_text(json.dumps({**config, "fn": "<function at 0x7f>"}))
        (place / "params.pkl").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
        rows = [
            {
                "val": {"acc": 0.5 + epoch / 10},
                "val_loss": float("nan") if epoch == 1 else 1.5,
                "training_iteration": epoch,
                "trial_id": trial,
                "time_total_s": 2.5 * epoch,
                "config": {**config, "fn": "<function at 0x7a>"},
            }
            for epoch in range(1, epochs + 1)
        ]
        (place / "result.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
        state = {
            "trial_id": trial,
            "status": status,
            "config": {**config, "fn": pickled},
            "storage": pickled,
        }
        states.append([json.dumps(state), json.dumps({"last_result": {}})])
    text = json.dumps({"trial_data": states, "runner_data": {}, "stats": {}})
    (experiment / "experiment_state-2026-12-01_12-00-00.json").write_text(text)
    return experiment


def optuna_study(storage: Any, name: str = "study", trials: int = 4) -> None:
    """A study whose trial at the highest rate is pruned and whose next one fails."""

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 0.01, 1.0, log=True)
        trial.set_user_attr("seed", 0)
        trial.set_user_attr("test_acc", 90 - 10 * lr)
        if trial.number == 2:
            raise optuna.TrialPruned
        if trial.number == 3:
            raise ValueError("no data")
        return lr

    study = optuna.create_study(
        study_name=name, storage=storage, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(objective, n_trials=trials, catch=ValueError)


def mlflow_runs(address: str) -> list[str]:
    """Two runs of three steps and one deleted, by MLflow's own client; their ids."""
    from mlflow import MlflowClient

    client = MlflowClient(address)
    experiment = client.create_experiment("pruning")
    ids = []
    for seed in (0, 1, 2):
        run = client.create_run(experiment, run_name=f"gmp-{seed}").info.run_id
        client.log_param(run, "optim/lr", 0.1)
        client.log_param(run, "seed", seed)
        for step in (10, 20, 30):
            client.log_metric(run, "val_acc", 0.5 + step / 100, step=step)
        client.log_metric(run, "val_loss", float("nan"), step=20)
        client.log_metric(run, "peak", float("inf"), step=30)
        client.set_terminated(run, "FINISHED" if seed else "KILLED")
        ids.append(run)
    client.delete_run(ids[2])
    return ids


def syne_tune_results(folder: Path, rows: int = 2) -> Path:
    """An experiment in the layout of Syne Tune 0.16: its columns in its order."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "epoch,val_acc,st_worker_timestamp,st_worker_time,st_worker_iter,st_decision,st_status,"
        "trial_id,config_lr,config_sparsity,st_tuner_time"
    ]
    for trial in (0, 1):
        for epoch in range(1, rows + 1):
            decision = "STOP" if trial and epoch == rows else "CONTINUE"
            status = "InProgress" if trial else "Completed"
            lines.append(
                f"{epoch},{0.8 + trial / 100 + epoch / 1000},17961.5,{epoch}.5,{epoch - 1},"
                f"{decision},{status},{trial},0.1,0.9,{epoch + 5}.0"
            )
    with zipfile.ZipFile(folder / "results.csv.zip", "w") as archive:
        archive.writestr("results.csv", "\n".join(lines) + "\n")
    (folder / "tuner.dill").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    return folder


SPARSEML_LOG = """Logging all SparseML modifier-level logs to sparse_logs/29-06-2023_16.32.42.log
python ParamPruning/conv1.weight step 100: 0.75
python Modifier ID [100 - 1687000000.25]: {'sparsity': 0.8, 'density': 0.2}
python Validation [200 - 1687000009.5]: {'top1acc': 0.91, 'val_loss': nan}
python LearningRate step 200: __import__('os').system('exit 1')
"""
"""Lines of SparseML 1.9's `PythonLogger` at its two levels, and one that no logger writes."""


def trainer_state(path: Path, steps: int, epochs: int = 3) -> Path:
    """A state in the layout of transformers' `TrainerState`, up to a step."""
    log: list[dict[str, Any]] = []
    for epoch in range(1, steps + 1):
        log.append({"epoch": float(epoch), "step": 10 * epoch, "loss": 1 / epoch})
        log.append({"epoch": float(epoch), "step": 10 * epoch, "eval_loss": 1.1 / epoch})
    if steps == epochs:
        log.append({"epoch": float(epochs), "step": 10 * epochs, "train_loss": 0.6})
    state = {
        "best_metric": 0.3,
        "global_step": 10 * steps,
        "max_steps": 10 * epochs,
        "num_train_epochs": epochs,
        "log_history": log,
    }
    path.mkdir(parents=True, exist_ok=True)
    (path / "trainer_state.json").write_text(json.dumps(state))
    return path


def wandb_log(path: Path, records: list[Any]) -> Path:
    """A ``.wandb`` file of these messages, written by the client's own store."""
    import pytest

    datastore = pytest.importorskip("wandb.sdk.internal.datastore")
    path.parent.mkdir(parents=True, exist_ok=True)
    store = datastore.DataStore()
    store.open_for_write(str(path))
    for record in records:
        store.write(record)
    store.close()
    return path


def wandb_records(run_id: str, rows: int, exit_code: int | None = 0) -> list[Any]:
    """Messages of a run with some rows of history; None for one that has not ended."""
    from wandb.proto.wandb_internal_pb2 import Record

    run = Record()
    run.run.run_id = run_id
    run.run.display_name = f"gmp-{run_id}"
    for name, value in (("optim", {"lr": 0.1}), ("sparsity", 0.9), ("_wandb", {"m": []})):
        item = run.run.config.update.add()
        item.key = name
        item.value_json = json.dumps(value)
    records = [run]
    for step in range(rows):
        row = Record()
        for name, value in {"_step": step, "_runtime": 1.5 * step, "epoch": step + 1}.items():
            item = row.history.item.add()
            item.nested_key.append(name)
            item.value_json = json.dumps(value)
        item = row.history.item.add()
        item.nested_key.extend(["val", "acc"])
        item.value_json = str(0.5 + step / 1000)
        records.append(row)
    summary = Record()
    for name, value in (("epoch", rows), ("test_acc", 0.8), ("_step", rows - 1)):
        item = summary.summary.update.add()
        item.nested_key.append(name)
        item.value_json = json.dumps(value)
    records.append(summary)
    if exit_code is not None:
        end = Record()
        end.exit.exit_code = exit_code
        records.append(end)
    return records


def workbook(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    """A workbook by openpyxl."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def truncated_zip(path: Path) -> Path:
    """A zip archive that says it holds 3 GiB."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("runs.csv", "sparsity,val_loss\n0.9,1\n")
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, place + 24, 3 * 2**30)
    path.write_bytes(bytes(data))
    return path


RUNS = pd.DataFrame(
    {"sparsity": [0.0, 0.9, 0.95], "test_accuracy": [0.92, 0.9, 0.88], "seed": [0, 0, 0]}
)
"""Three runs under our names."""
