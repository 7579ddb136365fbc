"""Ray's own population-based training over a sparse training: ended, restored, read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray
from ray import tune
from ray.tune.schedulers import PopulationBasedTraining

from analysis import load_table, sparsity_curve
from sparsetune import OptimSpec, ScheduleSpec, SparsitySpec, TrialSpec
from sparsetune.integrations import ray_trainable, tune_rows
from sparsetune.integrations.lineage import Lineage, under_recipe
from sparsetune.train import train
from sparsetune.train.checkpoint import latest_checkpoint
from tests.interruption import Interrupted, Stops

pytestmark = [
    pytest.mark.slow,  # two minutes, most of them Ray's starts
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("ray_session"),
    # Ray leaves its logs open where the driver ends in an error.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

BASE = TrialSpec(
    schedule=ScheduleSpec(epochs=5),
    optim=OptimSpec(weight_decay=0.001),
    sparsity=SparsitySpec(method="gmp", target=0.9),
)
LEARNING_RATES = [0.003, 0.01, 0.1, 0.3]


def lowered(config: dict[str, Any]) -> dict[str, Any]:
    """A recipe that surely differs from the donor's."""
    return {**config, "optim.lr": config["optim.lr"] * 0.8}


class PowerCut(tune.Callback):
    """Ends the driver after a number of results."""

    def __init__(self, results: int) -> None:
        self.left = results

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise RuntimeError("power cut")


def replay(lineage: Lineage, folder: Path) -> list[dict[str, Any]]:
    """History of a training with these recipes, without Ray."""
    rows: list[dict[str, Any]] = []
    taken_over = None
    for number, part in enumerate(lineage.segments):
        last = number == len(lineage.segments) - 1
        until = set() if last else {lineage.segments[number + 1].first_step}
        stops = Stops(folder / str(number), until)
        try:
            train(part.spec, report=rows.append, resume_from=taken_over, checkpoints=stops)
        except Interrupted:
            checkpoint = latest_checkpoint([stops.folder])
            assert checkpoint is not None
            after = lineage.segments[number + 1].spec
            taken_over = under_recipe(checkpoint, part.spec, after, None)
    return rows


def population_tuner(
    trainable: Any, folder: Path, callbacks: list[tune.Callback], synch: bool
) -> tune.Tuner:
    """Two members that train in turn; every second evaluation, the worse one takes the better over.

    Args:
        trainable: The training.
        folder: Where the experiment lies.
        callbacks: Callbacks of Tune.
        synch: Members wait for each other. Ray 2.60 may then wait for ever once it is restored.
    """
    scheduler = PopulationBasedTraining(
        time_attr="training_iteration",
        perturbation_interval=2,
        hyperparam_mutations={"optim.lr": LEARNING_RATES, "optim.weight_decay": [0.0, 0.001]},
        custom_explore_fn=lowered,
        synch=synch,
        quantile_fraction=0.5,
    )
    every_cpu = {"cpu": ray.cluster_resources()["CPU"]}
    return tune.Tuner(
        tune.with_resources(trainable, every_cpu),
        param_space={"optim.lr": tune.grid_search([0.003, 0.3])},
        tune_config=tune.TuneConfig(
            metric="val_error",
            mode="min",
            scheduler=scheduler,
            reuse_actors=True,  # starting a worker takes seconds
        ),
        run_config=tune.RunConfig(
            name="population", storage_path=str(folder), verbose=0, callbacks=callbacks
        ),
    )


def test_population_based_training_is_restored_and_read(tmp_path: Path) -> None:
    trainable = ray_trainable(BASE, read_test=True)
    tuner = population_tuner(trainable, tmp_path, [PowerCut(7)], synch=False)
    with pytest.raises(tune.TuneError, match="power cut"):
        tuner.fit()
    restored = tune.Tuner.restore(
        str(tmp_path / "population"),
        tune.with_resources(trainable, {"cpu": ray.cluster_resources()["CPU"]}),
        resume_errored=True,
    )
    # What is restored would lose its power again.
    restored._local_tuner._run_config.callbacks = []
    grid = restored.fit()

    assert grid.num_errors == 0
    rows = pd.DataFrame(tune_rows(grid))
    lineages = {
        result.metrics["trial_id"]: Lineage.from_json(result.metrics["lineage"]) for result in grid
    }
    assert len(lineages) == 2
    assert any(len(lineage.segments) > 1 for lineage in lineages.values())
    assert set(rows["trial_id"]) == set(lineages)
    for trial_id, lineage in lineages.items():
        history = rows[rows["trial_id"] == trial_id]
        expected = pd.DataFrame(replay(lineage, tmp_path / trial_id))
        assert history["step"].tolist() == [step * 20 for step in range(1, 6)]
        for column in ("val_error", "val_loss", "train_loss", "batch_loss", "sparsity", "lr"):
            assert history[column].tolist() == expected[column].tolist()
        assert set(history["recipe_changes"]) == {lineage.changes()}

    results = load_table(rows, name="population")
    trials = results.trials()
    changed = [len(lineages[trial_id].segments) > 1 for trial_id in trials["trial_id"]]
    assert trials["seed"].isna().tolist() == changed
    assert trials["status"].tolist() == ["COMPLETE"] * 2
    assert trials["certified"].tolist() == [True] * 2
    assert trials["test_accuracy"].between(0.5, 1).all()
    assert len(results.history()) == 5 * 2
    best = grid.get_best_result()
    curve = sparsity_curve(results, "val_error").frame()
    assert curve["mean"].tolist() == [best.metrics["val_error"]]


def test_a_member_that_takes_over_a_finished_training_is_that_training(tmp_path: Path) -> None:
    trainable = ray_trainable(BASE.with_values({"schedule.epochs": 2}))
    grid = population_tuner(trainable, tmp_path, [], synch=True).fit()
    lineages = [Lineage.from_json(result.metrics["lineage"]) for result in grid]
    assert [len(lineage.segments) for lineage in lineages] == [1, 1]
    assert lineages[0].digest() == lineages[1].digest()
    rows = tune_rows(grid)
    assert [row["step"] for row in rows] == [20, 40]
    assert {row["optim.lr"] for row in rows} == {lineages[0].spec.optim.lr}


def test_a_configuration_that_cannot_be_ends_its_trial_with_the_reason(tmp_path: Path) -> None:
    tuner = tune.Tuner(
        ray_trainable(BASE.with_values({"schedule.epochs": 1})),
        param_space={"optim.lrr": tune.grid_search([0.1])},
        run_config=tune.RunConfig(name="faulty", storage_path=str(tmp_path), verbose=0),
    )
    grid = tuner.fit()
    assert "`optim.lrr`: unknown field; valid are `name`, `lr`" in str(grid.errors[0])
    assert tune_rows(grid) == []
