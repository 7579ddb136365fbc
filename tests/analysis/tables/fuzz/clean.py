"""Twenty kinds of sound tables, as people and tools write them, each with its means by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

Rng = np.random.Generator
TEST_EXAMPLES = 10_000
"""Test accuracies are shares of so many examples."""
SPARSITIES = (0.0, 0.8, 0.9, 0.95, 0.98)


@dataclass(frozen=True)
class Given:
    """A table with what its owner says of it.

    Args:
        frame: The rows.
        arguments: Arguments of `load_table` besides the frame.
        truth: Number of runs and mean result by arm and sparsity, of what is drawn.
        accuracy: The table's column with the result, where it is an accuracy.
        sparsity: The table's column with the sparsity, where it is a fraction.
        keys: Columns that name a run in the table.
        is_history: True if a run has several rows.
        findings: Codes of what checks rightly find in it.
    """

    frame: pd.DataFrame
    arguments: dict[str, Any] = field(default_factory=dict)
    truth: dict[tuple[str, float], tuple[int, float]] = field(default_factory=dict)
    accuracy: str | None = None
    sparsity: str | None = None
    keys: tuple[str, ...] = ("sparsity", "seed")
    is_history: bool = False
    findings: frozenset[str] = frozenset()

    def columns(self) -> dict[str, Any]:
        """The caller's ``columns``, a copy."""
        return dict(self.arguments.get("columns") or {})

    def with_frame(self, frame: pd.DataFrame, **arguments: Any) -> Given:
        """The table with other rows, and other arguments beside its own."""
        return replace(self, frame=frame, arguments={**self.arguments, **arguments})

    def unit(self, ours: str, unit: str) -> dict[str, Any]:
        """The argument ``units`` with one more unit."""
        return {"units": {**(self.arguments.get("units") or {}), ours: unit}}

    def ours(self, theirs: str | None) -> str:
        """Our name of one of the table's columns."""
        for ours, name in self.columns().items():
            if name == theirs:
                return str(ours)
        return str(theirs)


def sample_runs(
    rng: Rng,
    arms: Sequence[str] = ("gmp",),
    sparsities: Sequence[float] = SPARSITIES,
    seeds: Sequence[int] = (),
) -> pd.DataFrame:
    """Runs with validation and test results that fall with the sparsity; their seeds differ by 0.25
    points.

    Args:
        rng: Draws the numbers.
        arms: Names of the arms; the dense runs are shared.
        sparsities: Sparsities of the runs, 0 for the dense ones.
        seeds: Seeds of each; by default three to five.
    """
    seeds = seeds or range(int(rng.integers(3, 6)))
    top = rng.uniform(0.85, 0.94)
    drop = rng.uniform(0.03, 0.08)
    rows = []
    for place, arm in enumerate(arms):
        for sparsity, seed in itertools.product(sparsities, seeds):
            if place and sparsity == 0:
                continue  # the dense runs are shared
            level = top - drop * (1 + 0.4 * place) * sparsity**6 - 0.01 * sparsity
            noise = rng.normal(size=4) / 400
            accuracies = np.round((level + noise[:2]) * TEST_EXAMPLES) / TEST_EXAMPLES
            rows.append(
                {
                    "arm": arm if sparsity else "dense",
                    "sparsity": sparsity,
                    "seed": seed,
                    "val_accuracy": accuracies[0],
                    "test_accuracy": accuracies[1],
                    "val_loss": round(1.3 - level + noise[2], 5),
                    "test_loss": round(1.31 - level + noise[3], 5),
                }
            )
    return pd.DataFrame(rows)


def truth_of(
    runs: pd.DataFrame, result: str = "test_accuracy"
) -> dict[tuple[str, float], tuple[int, float]]:
    """Number of runs and mean of a result by arm and sparsity."""
    found: dict[tuple[str, float], tuple[int, float]] = {}
    for (arm, sparsity), own in runs.groupby(["arm", "sparsity"]):
        found[str(arm), float(sparsity)] = (len(own), float(own[result].mean()))
    return found


def our_names(rng: Rng) -> Given:
    """Columns under our names."""
    runs = sample_runs(rng)
    frame = runs.drop(columns="arm")
    return Given(frame, {"name": "gmp"}, truth_of(runs), "test_accuracy", "sparsity")


def two_arms(rng: Rng) -> Given:
    """Two methods, whose dense runs are shared."""
    runs = sample_runs(rng, arms=("gmp", "rigl"))
    keys = ("method", "sparsity", "seed")
    frame = runs.rename(columns={"arm": "method"})
    columns = {"arm": "method"}
    return Given(frame, {"columns": columns}, truth_of(runs), "test_accuracy", "sparsity", keys)


def test_only(rng: Rng) -> Given:
    """A spreadsheet of test accuracies, with hosts and remarks."""
    runs = sample_runs(rng)
    frame = runs[["sparsity", "seed", "test_accuracy"]].rename(columns={"test_accuracy": "acc"})
    frame = frame.assign(host=rng.choice(["a", "b"], len(runs)), remark="", batch=128)
    arguments = {
        "columns": {"test_accuracy": "acc"},
        "label": ["host"],
        "ignore": ["remark", "batch"],
        "name": "gmp",
    }
    return Given(frame, arguments, truth_of(runs), "acc", "sparsity")


def percents(rng: Rng) -> Given:
    """Sparsities and accuracies in percent, whose unit is stated."""
    runs = sample_runs(rng)
    frame = pd.DataFrame(
        {
            "sparsity": 100 * runs["sparsity"],
            "seed": runs["seed"],
            "top1": (100 * runs["test_accuracy"]).round(2),
        }
    )
    units = {"sparsity": "percent", "test_accuracy": "percent"}
    arguments = {"columns": {"test_accuracy": "top1"}, "units": units, "name": "gmp"}
    return Given(frame, arguments, truth_of(runs))


def densities(rng: Rng) -> Given:
    """Weights that are left, in percent."""
    runs = sample_runs(rng)
    left = (100 * (1 - runs["sparsity"])).round(6)
    frame = pd.DataFrame({"kept": left, "seed": runs["seed"], "acc": runs["test_accuracy"]})
    columns = {"sparsity": "kept", "test_accuracy": "acc"}
    arguments = {"columns": columns, "units": {"sparsity": "density_percent"}, "name": "gmp"}
    return Given(frame, arguments, truth_of(runs), "acc", keys=("kept", "seed"))


def compressions(rng: Rng) -> Given:
    """Compression ratios, as one-shot pruning is often tabled."""
    ratios = (1.0, 2.0, 4.0, 10.0, 20.0)
    runs = sample_runs(rng, sparsities=[1 - 1 / ratio for ratio in ratios])
    ratio = (1 / (1 - runs["sparsity"])).round(6)
    frame = pd.DataFrame({"compression": ratio, "seed": runs["seed"], "acc": runs["test_accuracy"]})
    columns = {"sparsity": "compression", "test_accuracy": "acc"}
    arguments = {"columns": columns, "units": {"sparsity": "compression_ratio"}, "name": "gmp"}
    return Given(frame, arguments, truth_of(runs), "acc", keys=("compression", "seed"))


def errors(rng: Rng) -> Given:
    """Test errors in percent."""
    runs = sample_runs(rng)
    error = (100 * (1 - runs["test_accuracy"])).round(2)
    frame = pd.DataFrame({"sparsity": runs["sparsity"], "seed": runs["seed"], "test_err": error})
    columns = {"test_accuracy": "test_err"}
    arguments = {"columns": columns, "units": {"test_accuracy": "error_percent"}, "name": "gmp"}
    return Given(frame, arguments, truth_of(runs), None, "sparsity")


def language_losses(rng: Rng) -> Given:
    """Validation losses of language models, without accuracies."""
    runs = sample_runs(rng)
    runs["val_loss"] = (3 + 2 * runs["val_loss"]).round(4)
    frame = runs[["sparsity", "seed", "val_loss"]]
    return Given(frame, {"name": "gmp"}, truth_of(runs, "val_loss"), None, "sparsity")


def searched_rates(rng: Rng) -> Given:
    """Four learning rates, three seeds each; the validation mean chooses."""
    best = sample_runs(rng)
    winner = int(rng.integers(1, 3))
    parts = []
    for place, rate in enumerate((0.01, 0.03, 0.1, 0.3)):
        runs = best.assign(lr=rate)
        for name in ("val_accuracy", "test_accuracy"):
            loss = 0.02 * abs(place - winner)
            noise = rng.normal(size=len(runs)) / 800 if loss else 0.0
            runs[name] = ((runs[name] - loss + noise) * TEST_EXAMPLES).round() / TEST_EXAMPLES
        parts.append(runs)
    frame = pd.concat(parts, ignore_index=True).drop(columns=["arm", "val_loss", "test_loss"])
    keys = ("sparsity", "seed", "lr")
    arguments = {"columns": {"optim.lr": "lr"}, "name": "gmp"}
    return Given(
        frame,
        arguments,
        truth_of(best),
        "test_accuracy",
        "sparsity",
        keys,
        findings=frozenset({"SPT021"}),  # the same runs choose a winner and show it
    )


def own_axis(rng: Rng) -> Given:
    """A hyperparameter that has no name of ours, chosen by validation."""
    given = searched_rates(rng)
    frame = given.frame.rename(columns={"lr": "lam"})
    arguments = {"search": ["lam"], "name": "gmp"}
    keys = ("sparsity", "seed", "lam")
    return replace(given, frame=frame, arguments=arguments, keys=keys)


def histories(rng: Rng) -> Given:
    """Four evaluations of every run, named by an id."""
    runs = sample_runs(rng)
    parts = []
    for epoch in (1, 2, 3, 4):
        left = 0.04 * (4 - epoch)
        part = runs.assign(epoch=epoch, trial_id=[f"run-{place}" for place in range(len(runs))])
        part["val_accuracy"] = (part["val_accuracy"] - left).round(4)
        part["val_loss"] = (part["val_loss"] + left).round(5)
        if epoch < 4:
            part["test_accuracy"] = np.nan
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True).drop(columns=["arm", "test_loss"])
    keys = ("trial_id", "sparsity", "seed", "epoch")
    arguments = {"name": "gmp"}
    return Given(
        frame, arguments, truth_of(runs), "test_accuracy", "sparsity", keys, is_history=True
    )


def written_means(rng: Rng) -> Given:
    """A table of a paper: means with their standard deviation over five runs."""
    runs = sample_runs(rng, seeds=range(5))
    by = runs.groupby("sparsity")["test_accuracy"]
    mean = (100 * by.mean()).round(2)
    sd = (100 * by.std()).clip(lower=0.02).round(2)
    texts = [f"{m:.2f} ± {s:.2f}" for m, s in zip(mean, sd, strict=True)]
    frame = pd.DataFrame({"sparsity": 100 * mean.index.to_numpy(), "accuracy": texts})
    arguments = {
        "columns": {"test_accuracy": "accuracy"},
        "units": {"test_accuracy": "percent", "sparsity": "percent"},
        "spread": "sd",
        "runs_per_mean": 5,
        "name": "gmp",
    }
    truth = {
        ("gmp" if sparsity else "dense", float(sparsity)): (5, float(value) / 100)
        for sparsity, value in mean.items()
    }
    return Given(frame, arguments, truth, keys=("sparsity",))


def column_means(rng: Rng) -> Given:
    """Means, standard errors and numbers of runs in columns."""
    runs = sample_runs(rng, seeds=range(4))
    by = runs.groupby("sparsity")["test_accuracy"]
    mean = by.mean().round(5)
    frame = pd.DataFrame(
        {
            "sparsity": mean.index.to_numpy(),
            "mean": mean.to_numpy(),
            "sem": (by.std() / 2).round(6).to_numpy(),
            "runs": 4,
        }
    )
    columns = {"test_accuracy": "mean", "test_accuracy_se": "sem", "n": "runs"}
    truth = {
        ("gmp" if sparsity else "dense", float(sparsity)): (4, float(value))
        for sparsity, value in mean.items()
    }
    arguments = {"columns": columns, "name": "gmp"}
    return Given(frame, arguments, truth, "mean", "sparsity", ("sparsity",))


def reached_sparsities(rng: Rng) -> Given:
    """Sparsities as they were reached, equal to a tolerance."""
    runs = sample_runs(rng)
    sparse = runs["sparsity"] > 0
    shift = rng.uniform(-0.0004, 0.0004, len(runs)).round(6)
    reached = (runs["sparsity"] + shift).where(sparse, 0.0)
    frame = pd.DataFrame({"sparsity": reached, "seed": runs["seed"], "acc": runs["test_accuracy"]})
    arguments = {"columns": {"test_accuracy": "acc"}, "tolerance": 0.002, "name": "gmp"}
    return Given(frame, arguments, truth_of(runs), "acc", "sparsity")


def ray_frame(rng: Rng) -> Given:
    """What `ResultGrid.get_dataframe` gives."""
    runs = sample_runs(rng)
    frame = pd.DataFrame(
        {
            "trial_id": [f"a{place:04d}" for place in range(len(runs))],
            "training_iteration": 10,
            "time_total_s": rng.uniform(40, 50, len(runs)).round(2),
            "val_acc": runs["val_accuracy"],
            "test_acc": runs["test_accuracy"],
            "config/sparsity": runs["sparsity"],
            "config/seed": runs["seed"],
            "logdir": [f"out/a{place:04d}" for place in range(len(runs))],
        }
    )
    columns = {
        "val_accuracy": "val_acc",
        "test_accuracy": "test_acc",
        "epoch": "training_iteration",
        "seconds": "time_total_s",
        "sparsity.target": "config/sparsity",
        "seed": "config/seed",
    }
    keys = ("trial_id", "config/sparsity", "config/seed")
    arguments = {"columns": columns, "name": "gmp"}
    return Given(frame, arguments, truth_of(runs), "test_acc", "config/sparsity", keys)


def optuna_frame(rng: Rng) -> Given:
    """What `Study.trials_dataframe` gives, of one configuration a cell."""
    runs = sample_runs(rng)
    frame = pd.DataFrame(
        {
            "number": range(len(runs)),
            "value": (1 - runs["val_accuracy"]).round(6),
            "params_sparsity": runs["sparsity"],
            "user_attrs_seed": runs["seed"],
            "user_attrs_test_acc": runs["test_accuracy"],
            "state": "COMPLETE",
        }
    )
    columns = {
        "trial_id": "number",
        "status": "state",
        "val_error": "value",
        "test_accuracy": "user_attrs_test_acc",
        "seed": "user_attrs_seed",
        "sparsity.target": "params_sparsity",
    }
    keys = ("number", "params_sparsity", "user_attrs_seed")
    arguments = {"columns": columns, "name": "gmp"}
    return Given(frame, arguments, truth_of(runs), "user_attrs_test_acc", "params_sparsity", keys)


def wandb_export(rng: Rng) -> Given:
    """A CSV export of runs of Weights & Biases."""
    runs = sample_runs(rng)
    frame = pd.DataFrame(
        {
            "Name": [f"{arm}-{place}" for place, arm in enumerate(runs["arm"])],
            "State": "finished",
            "sparsity": 100 * runs["sparsity"],
            "seed": runs["seed"],
            "val_acc": (100 * runs["val_accuracy"]).round(2),
            "test_acc": (100 * runs["test_accuracy"]).round(2),
            "Runtime": rng.integers(100, 200, len(runs)),
        }
    )
    columns = {
        "trial_id": "Name",
        "status": "State",
        "val_accuracy": "val_acc",
        "test_accuracy": "test_acc",
        "seconds": "Runtime",
    }
    units = dict.fromkeys(("sparsity", "val_accuracy", "test_accuracy"), "percent")
    arguments = {"columns": columns, "units": units, "name": "gmp"}
    return Given(frame, arguments, truth_of(runs), keys=("Name", "sparsity", "seed"))


def two_lengths(rng: Rng) -> Given:
    """Trainings of 100 and of 200 epochs."""
    short = sample_runs(rng)
    long = short.assign(
        test_accuracy=(short["test_accuracy"] + 0.01).round(4),
        val_accuracy=(short["val_accuracy"] + 0.01).round(4),
    )
    frame = pd.concat([short.assign(epochs=100), long.assign(epochs=200)], ignore_index=True)
    frame = frame[["sparsity", "seed", "epochs", "val_accuracy", "test_accuracy"]]
    truth = truth_of(long)
    keys = ("sparsity", "seed", "epochs")
    arguments = {"columns": {"schedule.epochs": "epochs"}, "name": "gmp"}
    return Given(frame, arguments, truth, "test_accuracy", "sparsity", keys)


def text_lengths(rng: Rng) -> Given:
    """Ramps whose length is written in steps, beside the length of training."""
    runs = sample_runs(rng)
    frame = runs[["sparsity", "seed", "val_accuracy", "test_accuracy"]].assign(
        ramp_length="20000 steps"
    )
    arguments = {
        "columns": {"sparsity.ramp.length": "ramp_length"},
        "totals": {"steps": 40_000},
        "name": "gmp",
    }
    return Given(frame, arguments, truth_of(runs), "test_accuracy", "sparsity")


def fresh_reports(rng: Rng) -> Given:
    """Searched runs, and the winners' on fresh seeds, marked by a role."""
    given = searched_rates(rng)
    search = given.frame.assign(role="search")
    best = {
        sparsity: own.groupby("lr")["val_accuracy"].mean().idxmax()
        for sparsity, own in search.groupby("sparsity")
    }
    winners = search[search["lr"] == search["sparsity"].map(best)]
    fresh = winners.assign(role="report", seed=winners["seed"] + 1000, arm="gmp")
    for name in ("val_accuracy", "test_accuracy"):
        noise = rng.normal(size=len(fresh)) / 400
        fresh[name] = ((fresh[name] + noise) * TEST_EXAMPLES).round() / TEST_EXAMPLES
    fresh["arm"] = fresh["arm"].where(fresh["sparsity"] > 0, "dense")
    frame = pd.concat([search, fresh.drop(columns="arm")], ignore_index=True)
    keys = ("sparsity", "seed", "lr", "role")
    truth = truth_of(fresh)
    return replace(given, frame=frame, truth=truth, keys=keys, findings=frozenset())


CLEAN: tuple[Callable[[Rng], Given], ...] = (
    our_names,
    two_arms,
    test_only,
    percents,
    densities,
    compressions,
    errors,
    language_losses,
    searched_rates,
    own_axis,
    histories,
    written_means,
    column_means,
    reached_sparsities,
    ray_frame,
    optuna_frame,
    wandb_export,
    two_lengths,
    text_lengths,
    fresh_reports,
)
"""Kinds of sound tables."""
