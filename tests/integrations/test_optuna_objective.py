"""An Optuna study over a sparse training: pruned, interrupted, restored, read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from analysis import load_table, sparsity_curve
from sparsetune import Choice, LogUniform, Maximize, ScheduleSpec, SparsitySpec, TrialSpec
from sparsetune.errors import DeclarationError
from sparsetune.integrations import optuna_objective, optuna_rows
from sparsetune.spec.task import DigitsTask
from sparsetune.train import train

optuna.logging.set_verbosity(optuna.logging.ERROR)

BASE = TrialSpec(
    task=DigitsTask(batch_size=128),
    schedule=ScheduleSpec(epochs=4),
    sparsity=SparsitySpec(method="gmp", target=0.5),
)
SPACE = {
    "optim.lr": LogUniform(0.01, 1),
    "sparsity.method": Choice(["gmp", "acdc"]),
    "sparsity.ramp.length": Choice([0.3, 0.5]),
}


class Halfway(optuna.pruners.MedianPruner):
    """Prunes by the median, and loses power in trial 7 at its third report."""

    asked = 0

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        self.asked += trial.number == 7
        if self.asked == 2:
            raise KeyboardInterrupt
        return super().prune(study, trial)


def open_study(folder: Path, seed: int) -> optuna.Study:
    return optuna.create_study(
        study_name="digits",
        storage=JournalStorage(JournalFileBackend(str(folder / "journal"))),
        sampler=optuna.samplers.RandomSampler(seed=seed),
        pruner=Halfway(n_startup_trials=5),
        load_if_exists=True,
    )


def test_twenty_trials_are_restored_and_read(tmp_path: Path) -> None:
    objective = optuna_objective(
        BASE, SPACE, read_test=True, checkpoints=tmp_path / "checkpoints", checkpoint_seconds=0
    )
    with pytest.raises(KeyboardInterrupt):
        open_study(tmp_path, 3).optimize(objective, n_trials=20)
    checkpoint = marked_checkpoint(tmp_path / "checkpoints")

    study = open_study(tmp_path, 4)
    lost = study.trials[-1]
    assert (lost.number, lost.state.name) == (7, "FAIL")
    study.enqueue_trial(lost.params)
    study.optimize(objective, n_trials=12)
    assert not checkpoint.exists()

    # The restored trial has its earlier reports, from the checkpoint, and ends as one left alone.
    restored = study.trials[8]
    assert restored.params == lost.params
    assert 0.123 in restored.intermediate_values.values()
    spec = TrialSpec.model_validate(restored.user_attrs["recipe"])
    alone: list[dict[str, Any]] = []
    final = train(spec, report=alone.append, read_test=True)
    expected = {**alone[-1], **final.test, "status": "COMPLETE", "certified": True}
    result = restored.user_attrs["result"]
    same = [name for name in expected if name not in ("seconds", "mask_iou")]
    assert {name: result[name] for name in same} == {name: expected[name] for name in same}
    assert restored.value == alone[-1]["val_error"]

    states = [trial.state.name for trial in study.trials]
    assert len(states) == 20
    assert states.count("FAIL") == 1
    assert states.count("PRUNED") > 0
    results = load_table(pd.DataFrame(optuna_rows(study)), name="optuna")
    trials = results.trials()
    assert trials["status"].value_counts().to_dict() == {
        "COMPLETE": states.count("COMPLETE"),
        "PRUNED": states.count("PRUNED"),
    }
    assert "7" not in set(trials["trial_id"])  # the restored trial has its recipe
    best = trials.set_index("trial_id").loc[str(study.best_trial.number)]
    assert best["val_error"] == study.best_value
    assert best["optim.lr"] == study.best_params["optim.lr"]
    assert set(sparsity_curve(results).frame()["arm"]) == {"gmp", "acdc"}


def marked_checkpoint(folder: Path) -> Path:
    """Newest checkpoint in a folder; its last row at target gets a value that no training gives."""
    path = max(folder.rglob("*.pt"), key=lambda found: int(found.stem.rpartition("-")[2]))
    stored = torch.load(path, weights_only=True)
    at_target = [row for row in stored["reports"] if row["at_target"]]
    at_target[-1]["val_error"] = 0.123
    torch.save(stored, path)
    return path


def test_an_axis_is_suggested_only_where_it_applies() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    objective = optuna_objective(BASE, SPACE)
    for method in ("gmp", "acdc"):
        study.enqueue_trial({"sparsity.method": method, "optim.lr": 0.1})
    study.optimize(objective, n_trials=2)
    assert [sorted(trial.params) for trial in study.trials] == [
        ["optim.lr", "sparsity.method", "sparsity.ramp.length"],
        ["optim.lr", "sparsity.method"],
    ]


def test_pruners_see_only_what_is_at_target() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial({"optim.lr": 0.1})
    study.optimize(optuna_objective(BASE, {"optim.lr": LogUniform(0.01, 1)}), n_trials=1)
    rows: list[dict[str, Any]] = []
    train(BASE, report=rows.append)
    expected = {row["step"]: row["val_error"] for row in rows if row["at_target"]}
    assert 0 < len(expected) < len(rows)
    assert study.trials[0].intermediate_values == expected


def test_a_training_that_diverges_counts_as_pruned() -> None:
    study = optuna.create_study()
    objective = optuna_objective(BASE, {"optim.lr": LogUniform(1e6, 1e7)})
    study.optimize(objective, n_trials=1)
    (row,) = optuna_rows(study)
    assert (study.trials[0].state.name, row["status"]) == ("PRUNED", "DIVERGED")
    assert load_table(pd.DataFrame([row])).trials()["status"].tolist() == ["DIVERGED"]


def test_a_space_or_a_direction_that_cannot_be_is_refused() -> None:
    with pytest.raises(DeclarationError) as caught:
        optuna_objective(BASE, {"optim.rate": LogUniform(0.1, 1), "optim.momentum": Choice([2])})
    assert {problem.path for problem in caught.value.problems} >= {"search.optim.rate"}
    objective = optuna_objective(BASE, {"optim.lr": LogUniform(0.1, 1)}, Maximize("val_accuracy"))
    with pytest.raises(DeclarationError, match="must be 'maximize' for the objective 'val_acc"):
        optuna.create_study().optimize(objective, n_trials=1)
