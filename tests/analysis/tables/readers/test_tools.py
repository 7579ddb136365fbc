"""What each tool leaves behind is recognised, read as data, and left as it was."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage

from analysis import load_table
from analysis.tables.foreign import TableResults
from analysis.tables.readers import read_path
from sparsetune.errors import DataError
from tests.analysis.tables.readers.artefacts import (
    SPARSEML_LOG,
    mlflow_runs,
    optuna_study,
    ray_experiment,
    syne_tune_results,
    trainer_state,
    tree_bytes,
    wandb_log,
    wandb_records,
)

SPARSE = {"sparsity.target": "sparsity"}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(level)


def loaded(path: Path, *arguments: Any, **options: Any) -> TableResults:
    """The results of a path, which reading leaves as it was, with nothing beside it."""
    folder = path if path.is_dir() else path.parent
    before = tree_bytes(folder)
    results = load_table(path, *arguments, **options)
    assert tree_bytes(folder) == before
    return results


def test_a_ray_experiment_is_read_from_its_json(tmp_path: Path) -> None:
    columns = {
        "val_accuracy": "val/acc",
        "optim.lr": "config/optim/lr",
        "seed": "config/seed",
        "sparsity.target": "config/sparsity",
    }
    results = loaded(ray_experiment(tmp_path), columns)
    assert results.recognised == "a Ray Tune experiment of 2 trials"
    trials = results.trials().set_index("trial_id")
    # The trial that failed before its first result is there: no survivor stands alone.
    assert trials["status"].to_dict() == {"a_0": "COMPLETE", "a_1": "FAILED"}
    assert trials["optim.lr"].to_dict() == {"a_0": 0.1, "a_1": 0.9}
    assert (trials.loc["a_0", "val_accuracy"], trials.loc["a_0", "seconds"]) == (0.7, 5.0)
    history = results.history().query("trial_id == 'a_0'")
    assert history["step"].tolist() == [1, 2]
    assert history["val_loss"].isna().tolist() == [True, False]
    unread = "Values that Ray could only pickle are left unread: `config/fn`."
    assert unread in results.notes


def test_a_ray_trial_alone_and_its_progress_are_read(tmp_path: Path) -> None:
    experiment = ray_experiment(tmp_path)
    (trial,) = experiment.glob("train_a_0*")
    alone = read_path(trial / "result.json")
    assert alone.recognised == "a Ray Tune experiment of 1 trial"
    assert len(alone.frame) == 2
    for state in experiment.glob("experiment_state*"):
        state.unlink()
    assert len(read_path(experiment).frame) == 2, "without its state, the trials with results"
    frame = alone.frame.rename(columns={"val/acc": "val_accuracy"})
    (trial / "result.json").unlink()
    frame.drop(columns="config/sparsity").to_csv(trial / "progress.csv", index=False)
    assert read_path(trial).frame["config/sparsity"].tolist() == [0.9, 0.9]
    progress = read_path(trial / "progress.csv")
    assert progress.recognised == "a CSV file of results of Ray Tune"
    assert progress.columns["step"] == "training_iteration"


def test_a_restored_trial_of_ray_has_each_result_once(tmp_path: Path) -> None:
    experiment = ray_experiment(tmp_path)
    (result,) = experiment.glob("train_a_0*/result.json")
    first, second = result.read_text().splitlines()
    again = second.replace("0.7", "0.75")
    result.write_text("\n".join([first, second, again]) + "\n")
    reading = read_path(experiment)
    assert reading.frame["val/acc"].dropna().tolist() == [0.6, 0.75]
    assert "1 results were reported again after a restore: the last one counts." in reading.notes


def test_a_cut_and_a_damaged_result_of_ray(tmp_path: Path) -> None:
    experiment = ray_experiment(tmp_path)
    (result,) = experiment.glob("train_a_0*/result.json")
    text = result.read_text()
    result.write_text(text[:-20])
    reading = read_path(experiment)
    assert len(reading.frame) == 2, "one result, and the trial without any"
    assert any("result.json` ends within a record" in note for note in reading.notes)
    result.write_text("{" + text)
    with pytest.raises(DataError, match="a damage in line 1"):
        read_path(experiment)


STORAGES: dict[str, Callable[[Path], Any]] = {
    "SQLite": lambda path: f"sqlite:///{path}",
    "journal": lambda path: JournalStorage(JournalFileBackend(str(path))),
}


@pytest.mark.parametrize("kind", STORAGES)
def test_a_storage_of_optuna_is_only_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "trials.bin"
    optuna_study(STORAGES[kind](path), "prune")
    reading = read_path(path)
    assert reading.recognised == (
        f"an Optuna storage ({kind}) with `prune` (4 trials, value to minimize)"
    )
    columns = {
        "val_error": "value",
        "optim.lr": "params_lr",
        "test_accuracy": "user_attrs_test_acc",
    }
    os.chmod(path, 0o444)
    frame = reading.frame.assign(sparsity=0.9)
    assert frame["trial"].tolist() == ["0", "1", "2", "3"]
    given = {**reading.columns, **columns}
    results = load_table(frame, given, {"test_accuracy": "percent"})
    statuses = results.trials()["status"].tolist()
    assert statuses == ["COMPLETE", "COMPLETE", "PRUNED", "FAILED"]
    assert (results.trials()["seconds"] >= 0).all()
    before = tree_bytes(tmp_path)
    read_path(path)
    assert tree_bytes(tmp_path) == before


@pytest.mark.parametrize("kind", STORAGES)
def test_studies_of_one_storage_have_ids_of_their_own(kind: str, tmp_path: Path) -> None:
    storage = STORAGES[kind](tmp_path / "trials.bin")
    optuna_study(storage, "a", 2)
    optuna_study(storage, "b", 1)
    frame = read_path(tmp_path / "trials.bin").frame
    assert frame["trial"].tolist() == ["a/0", "a/1", "b/0"]
    assert frame["study_name"].tolist() == ["a", "a", "b"]


def test_reported_values_of_optuna_are_left_out_and_said(tmp_path: Path) -> None:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path / 'o.db'}")
    trial = study.ask()
    trial.report(0.5, 1)
    study.tell(trial, 0.4)
    assert read_path(tmp_path / "o.db").notes == (
        "Values that trials reported before their end are left out.",
    )


def test_a_database_with_a_write_ahead_log_is_read_with_it(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    optuna_study(f"sqlite:///{path}", trials=2)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("UPDATE trial_values SET value = 7.0")
        writer.commit()
        before = set(tree_bytes(tmp_path))
        assert "o.db-wal" in before
        assert read_path(path).frame["value"].tolist() == [7.0, 7.0]
        assert set(tree_bytes(tmp_path)) == before
    assert set(tree_bytes(tmp_path)) == {"o.db"}
    read_path(path)
    assert set(tree_bytes(tmp_path)) == {"o.db"}, "nothing is written beside it"


def test_an_old_schema_of_optuna_is_refused_and_not_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "o.db"
    optuna_study(f"sqlite:///{path}", trials=1)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("ALTER TABLE trial_values RENAME TO trial_value")
        writer.commit()
    before = path.read_bytes()
    with pytest.raises(DataError, match="`optuna storage upgrade` on a copy"):
        read_path(path)
    assert path.read_bytes() == before


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["SQLite", "folder of files"])
def test_a_store_of_mlflow_is_read(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    path = tmp_path / ("mlflow.db" if kind == "SQLite" else "mlruns")
    ids = mlflow_runs(f"sqlite:///{path}" if kind == "SQLite" else path.as_uri())
    reading = read_path(path)
    assert reading.recognised == f"an MLflow store ({kind}) of 2 runs"
    assert reading.notes == ("1 runs marked as deleted are left out.",)
    frame = reading.frame
    assert sorted(frame["run_id"].unique()) == sorted(ids[:2])
    own = frame[frame["run_id"] == ids[1]].sort_values("step")
    assert own["step"].tolist() == [10, 20, 30]
    assert own["metrics.val_acc"].tolist() == [0.6, 0.7, 0.8]
    assert own["metrics.val_loss"].isna().all() and own["metrics.peak"].tolist()[-1] == float("inf")
    assert set(own["params.optim/lr"]) == {"0.1"} and set(own["experiment_name"]) == {"pruning"}
    columns = {"val_accuracy": "metrics.val_acc", "optim.lr": "params.optim/lr"}
    results = load_table(frame.assign(sparsity=0.9), {**reading.columns, **columns})
    assert results.trials()["status"].tolist().count("FAILED") == 1, "KILLED"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_values_of_mlflow_at_one_step_are_counted(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    path = tmp_path / "mlruns"
    client = mlflow.MlflowClient(path.as_uri())
    run = client.create_run(client.create_experiment("e")).info.run_id
    for time, value in ((1, 0.5), (3, 0.7), (2, 0.6)):
        client.log_metric(run, "val_acc", value, timestamp=time)
    reading = read_path(path)
    assert reading.frame["metrics.val_acc"].tolist() == [0.7]
    assert reading.notes[0].startswith("1 of 1 runs logged a metric several times at one step")


def test_results_of_syne_tune_are_read(tmp_path: Path) -> None:
    folder = syne_tune_results(tmp_path / "prune-2026")
    columns = {
        "val_accuracy": "val_acc",
        "optim.lr": "config_lr",
        "sparsity.target": "config_sparsity",
    }
    results = loaded(folder, columns)
    assert results.recognised == "an experiment of Syne Tune"
    assert results.trials()["status"].tolist() == ["COMPLETE", "PRUNED"]
    assert results.trials()["seconds"].tolist() == [2.5, 2.5]
    assert results.history()["step"].tolist() == [0, 1, 0, 1]
    archive = loaded(folder / "results.csv.zip", columns)
    assert archive.trials()["val_accuracy"].tolist() == results.trials()["val_accuracy"].tolist()
    syne_tune_results(tmp_path / "prune-2027")
    both = read_path(tmp_path)
    assert both.recognised == "2 experiments of Syne Tune"
    assert sorted(both.frame["trial_id"].unique()) == [
        "prune-2026/0",
        "prune-2026/1",
        "prune-2027/0",
        "prune-2027/1",
    ]


def test_logs_of_sparseml_are_read_as_literals(tmp_path: Path) -> None:
    folder = tmp_path / "sparse_logs"
    folder.mkdir()
    (folder / "29-06-2023_16.32.42.log").write_text(SPARSEML_LOG)
    reading = read_path(folder)
    assert reading.recognised == "1 log of SparseML"
    assert reading.frame["step"].tolist() == [100, 200]
    first = reading.frame.iloc[0]
    assert first["ParamPruning/conv1.weight"] == 0.75
    assert (first["Modifier ID/sparsity"], first["Modifier ID/density"]) == (0.8, 0.2)
    assert reading.frame["Validation/top1acc"].tolist()[1] == 0.91
    assert reading.frame["Validation/val_loss"].isna().all()
    # The last line is no number: it is counted, and nothing in it has run.
    assert reading.notes == ("1 lines of the logger whose value is no number are left out.",)
    alone = read_path(folder / "29-06-2023_16.32.42.log")
    assert alone.frame.equals(reading.frame)


def test_trainer_states_of_many_runs_are_read(tmp_path: Path) -> None:
    trainer_state(tmp_path / "seed-0" / "checkpoint-10", 1)
    trainer_state(tmp_path / "seed-0" / "checkpoint-30", 3)
    trainer_state(tmp_path / "seed-1", 1)
    reading = read_path(tmp_path)
    assert reading.recognised == "2 runs of the trainer of transformers"
    frame = reading.frame.assign(sparsity=0.9)
    results = load_table(frame, {**reading.columns, **SPARSE, "val_loss": "eval_loss"})
    trials = results.trials().set_index("trial_id")
    # Of the checkpoints the last one counts; a run that ended early was stopped.
    assert trials["status"].to_dict() == {"seed-0": "COMPLETE", "seed-1": "PRUNED"}
    assert trials.loc["seed-0", ["step", "epoch", "batch_loss"]].tolist() == [30, 3.0, 1 / 3]
    assert "train_loss" not in frame and frame["mean_loss_of_training"].max() == 0.6
    alone = read_path(tmp_path / "seed-1" / "trainer_state.json")
    assert alone.frame["run"].tolist() == ["seed-1"]


def test_the_trainer_itself_writes_such_a_state(tmp_path: Path) -> None:
    import torch
    from transformers import Trainer, TrainingArguments

    class Line(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def forward(self, x: Any, labels: Any) -> dict[str, Any]:
            return {"loss": ((self.layer(x) - labels) ** 2).mean()}

    data = [{"x": torch.ones(1), "labels": torch.ones(1)} for _ in range(4)]
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "out"),
        num_train_epochs=2,
        per_device_train_batch_size=2,
        logging_strategy="epoch",
        save_strategy="epoch",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    Trainer(Line(), arguments, train_dataset=data).train()
    reading = read_path(tmp_path / "out")
    assert reading.frame["run"].unique().tolist() == ["out"]
    assert reading.frame["step"].tolist() == [2, 4]
    assert set(reading.columns.values()) <= set(reading.frame)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_event_files_of_tensorboard_are_read(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    for seed in (0, 1):
        with SummaryWriter(tmp_path / f"gmp-{seed}") as writer:
            for step in (1, 2):
                writer.add_scalar("val/acc", 0.5 + step / 4 + seed / 8, step)
            writer.add_hparams({"lr": 0.25, "kind": "gmp"}, {"final": 0.5}, run_name=".")
    reading = read_path(tmp_path)
    assert reading.recognised == "2 runs of TensorBoard"
    frame = reading.frame.dropna(subset="val/acc")
    assert frame["run"].tolist() == ["gmp-0"] * 2 + ["gmp-1"] * 2
    assert frame["val/acc"].tolist() == [0.75, 1.0, 0.875, 1.125]
    assert set(reading.frame["hparams/lr"]) == {0.25}
    assert set(reading.frame["hparams/kind"]) == {"gmp"}
    # The summary of hyperparameters has a file of its own.
    files = (tmp_path / "gmp-1").glob("*tfevents*")
    (file,) = (path for path in files if b"val/acc" in path.read_bytes())
    assert set(read_path(file).frame["run"]) == {"gmp-1"}
    file.write_bytes(file.read_bytes()[:150])
    cut = read_path(tmp_path).frame["val/acc"].count()
    assert 2 <= cut < 4, "what is whole of it is read"
    file.write_bytes(b"tfevents")
    with pytest.raises(DataError, match="must hold scalars of TensorBoard, got none"):
        read_path(file)


def test_run_folders_of_weights_and_biases_are_read(tmp_path: Path) -> None:
    for run_id, code in (("aa", 0), ("bb", 1), ("cc", None)):
        path = tmp_path / "wandb" / f"offline-run-20261201_000000-{run_id}" / f"run-{run_id}.wandb"
        wandb_log(path, wandb_records(run_id, 3, code))
    reading = read_path(tmp_path)
    assert reading.recognised == "3 runs of Weights & Biases, from its folders"
    columns = {
        "val_accuracy": "val.acc",
        "test_accuracy": "summary.test_acc",
        "optim.lr": "config.optim.lr",
        "sparsity.target": "config.sparsity",
    }
    results = loaded(tmp_path / "wandb", columns)
    trials = results.trials().set_index("trial_id")
    assert trials["status"].to_dict() == {"aa": "COMPLETE", "bb": "FAILED", "cc": "RUNNING"}
    aa = trials.loc["aa"]
    assert (aa["test_accuracy"], aa["optim.lr"], aa["seconds"]) == (0.8, 0.1, 3.0)
    assert results.history().query("trial_id == 'aa'")["step"].tolist() == [0, 1, 2]
    # The summary repeats the last values of the history, which are not read twice.
    assert "summary.epoch" not in reading.frame


def test_a_long_log_of_weights_and_biases_spans_blocks_and_may_be_cut(tmp_path: Path) -> None:
    path = wandb_log(tmp_path / "run-aa.wandb", wandb_records("aa", 900))
    assert path.stat().st_size > 2 * 32 * 1024
    assert read_path(path).frame["_step"].tolist() == list(range(900))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    reading = read_path(path)
    assert 300 < len(reading.frame) < 500
    assert reading.notes == ("`run-aa.wandb` ends within a record, which is left out.",)
    path.write_bytes(data[:5000] + b"\0\0" + data[5002:])
    with pytest.raises(DataError, match=r"`run-aa\.wandb` is damaged: the record at byte"):
        read_path(path)


def test_a_run_folder_without_its_log_is_read_from_its_files(tmp_path: Path) -> None:
    files = tmp_path / "run-20261201_000000-dd" / "files"
    files.mkdir(parents=True)
    (files / "wandb-summary.json").write_text(json.dumps({"test_acc": 0.8, "_step": 4}))
    (files / "config.yaml").write_text("wandb_version: 1\nlr:\n  desc: null\n  value: 0.1\n")
    (row,) = read_path(tmp_path).frame.to_dict("records")
    assert (row["run_id"], row["summary.test_acc"], row["config.lr"]) == ("dd", 0.8, 0.1)
    history = '{"_step": 0, "acc": 0.1}\n{"_step": 1, "acc": 0.2}\n'
    (files / "wandb-history.jsonl").write_text(history)
    assert read_path(tmp_path).frame["acc"].tolist() == [0.1, 0.2]
    (files / "config.yaml").write_text("!!python/object/apply:os.system ['exit 1']")
    with pytest.raises(DataError, match="cannot be read: could not determine a constructor"):
        read_path(tmp_path)


HEADERS = {
    "results of Syne Tune": "trial_id,st_status,st_decision,st_worker_iter",
    "results of Ray Tune": "trial_id,training_iteration,time_total_s",
    "trials of Optuna": "number,value,datetime_start,state",
    "runs of MLflow, from `search_runs`": "run_id,experiment_id,status,params.lr",
    "runs of MLflow, from its page": "Start Time,Duration,Run ID,Name,Status",
    "runs of Weights & Biases": "Name,State,lr",
}


@pytest.mark.parametrize("tool", HEADERS)
def test_tables_that_tools_export_are_recognised_by_their_columns(
    tool: str, tmp_path: Path
) -> None:
    path = tmp_path / "export.csv"
    header = HEADERS[tool]
    path.write_text(header + "\n" + ",".join("1" for _ in header.split(",")) + "\n")
    reading = read_path(path)
    assert reading.recognised == f"a CSV file of {tool}"
    assert "trial_id" in reading.columns and "status" in {*reading.columns, "status"}


def test_names_that_repeat_are_no_ids_of_runs(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    rows = "gmp,finished,0.9,0.8,0\ngmp,finished,0.9,0.7,1\n"
    path.write_text("Name,State,sparsity,test_accuracy,seed\n" + rows)
    assert len(load_table(path).trials()) == 2
    path.write_text("Name,State,sparsity,val_accuracy,_step\n" + rows)
    assert len(load_table(path).trials()) == 1, "told apart by their step"


def test_the_caller_decides_against_a_layout(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text("Name,State,kind,sparsity,test_accuracy\na,crashed,b,0.9,0.8\n")
    results = load_table(path)
    assert results.trials()[["trial_id", "status"]].to_numpy().tolist() == [["a", "FAILED"]]
    assert any(
        "By the tool's layout, `trial_id` is `Name`, `status` is `State`" in note
        for note in results.notes
    )
    chosen = load_table(path, {"trial_id": "kind", "arm": "Name"}).trials()
    assert chosen[["trial_id", "arm"]].to_numpy().tolist() == [["b", "a"]]


def test_a_pattern_joins_experiments_whose_ids_repeat(tmp_path: Path) -> None:
    first = ray_experiment(tmp_path / "one")
    shutil.copytree(first, tmp_path / "two" / "exp")
    reading = read_path(str(tmp_path / "*" / "exp"))
    assert sorted(reading.frame["trial_id"].unique()) == [
        "one/exp/a_0",
        "one/exp/a_1",
        "two/exp/a_0",
        "two/exp/a_1",
    ]
