"""Runs of MLflow, in a local SQLite store or on the server of ``MLFLOW_TRACKING_URI``."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

from sparsetune.launch.followers.followed_trial import FollowedTrial
from sparsetune.launch.followers.tracker import finite_numbers
from sparsetune.spec.columns import Status
from sparsetune.storage.records import Ended, Report

RUN_TAG = "sparsetune.run"
"""Tag with the trial's `run_id`, by which its run is found again."""
STATUSES: dict[Status, str] = {"COMPLETE": "FINISHED", "PRUNED": "KILLED"}
"""MLflow's status by ours; any other end is FAILED, and what did not end stays RUNNING."""
MAX_BATCH = 100
"""Parameters that MLflow takes at once."""
MAX_VALUE = 500
"""Characters of a parameter's value that every store takes."""
PAGE = 1000
"""Runs that are asked for at once."""


class MlflowRuns:
    """An experiment with the study's name.

    Args:
        address: Of the tracking store: ``sqlite:///…`` or ``http://…``.
        study: Name of the study.
    """

    def __init__(self, address: str, study: str) -> None:
        self.location = address
        self._study = study

    def holds(self, trial: FollowedTrial) -> bool:
        """True if the trial's run has ended."""
        return trial.run_id in self._ended

    def open(self, trial: FollowedTrial) -> MlflowRun:
        """The trial's run: a new one, or the one with its tag."""
        query = f"tags.`{RUN_TAG}` = '{trial.run_id}'"
        found = self._client.search_runs([self._experiment], query)
        if found:
            run: str = found[0].info.run_id
            self._client.update_run(run, status="RUNNING")
        else:
            run = self._create(trial)
        # Those of a run whose creation was cut short are missing; writing them again is harmless.
        self._log_recipe(run, trial)
        return MlflowRun(self._client, run)

    def _create(self, trial: FollowedTrial) -> str:
        tags = {
            RUN_TAG: trial.run_id,
            "sparsetune.trial": trial.trial_id,
            "sparsetune.configuration": trial.config_id,
            "sparsetune.cell": trial.cell,
            "sparsetune.arm": trial.arm,
            "sparsetune.role": trial.role,
            "sparsetune.seed": str(trial.seed),
        }
        begun = None if trial.started is None else _milliseconds(trial.started)
        created = self._client.create_run(
            self._experiment, start_time=begun, tags=tags, run_name=trial.name
        )
        run: str = created.info.run_id
        return run

    def _log_recipe(self, run: str, trial: FollowedTrial) -> None:
        from mlflow.entities import Param

        params = [Param(name, str(value)[:MAX_VALUE]) for name, value in trial.recipe.items()]
        for first in range(0, len(params), MAX_BATCH):
            self._client.log_batch(run, params=params[first : first + MAX_BATCH])

    @cached_property
    def _client(self) -> Any:
        # It would say which migration of its tables it runs.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow import MlflowClient

        return MlflowClient(self.location)

    @cached_property
    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._study)
        experiment: str = (
            found.experiment_id if found else self._client.create_experiment(self._study)
        )
        return experiment

    @cached_property
    def _ended(self) -> set[str]:
        """The `run_id` of every trial whose run had ended when this was first asked."""
        query = "attributes.status != 'RUNNING'"
        ended: set[str] = set()
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment], query, max_results=PAGE, page_token=token
            )
            ended.update(run.data.tags.get(RUN_TAG, "") for run in page)
            token = page.token
            if not token:
                return ended


class MlflowRun:
    """One run, open for writing.

    Args:
        client: The client.
        run: MLflow's id of the run.
    """

    def __init__(self, client: Any, run: str) -> None:
        self._client = client
        self._run = run
        # Every row has it, whatever a task measures.
        self.steps = {metric.step for metric in client.get_metric_history(run, "epoch")}

    def add_row(self, row: Report) -> None:
        """Write the numbers of one evaluation, all or none, at its own time."""
        from mlflow.entities import Metric

        numbers = {"epoch": row.epoch, **finite_numbers(row.row)}
        time = _milliseconds(row.time)
        metrics = [Metric(name, value, time, row.step) for name, value in numbers.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def end(self, outcome: Ended | None, step: int) -> None:
        """Write final numbers and the status."""
        if outcome is None:
            return
        from mlflow.entities import Metric, RunTag

        time = _milliseconds(outcome.time)
        numbers = finite_numbers(outcome.columns)
        metrics = [Metric(name, value, time, step) for name, value in numbers.items()]
        facts = {
            "sparsetune.status": outcome.status,
            "sparsetune.error": outcome.error,
            "sparsetune.certified": outcome.certified,
        }
        tags = [RunTag(name, str(value)) for name, value in facts.items() if value is not None]
        self._client.log_batch(self._run, metrics=metrics, tags=tags)
        status = STATUSES.get(outcome.status, "FAILED")
        self._client.set_terminated(self._run, status, end_time=time)


def local_store(folder: Path) -> str:
    """Address of the SQLite store in a study's folder."""
    return f"sqlite:///{(folder / 'mlflow.db').resolve()}"


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
