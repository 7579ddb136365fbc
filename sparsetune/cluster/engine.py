"""Ray Tune as the engine: it asks the driver for trials, runs them in workers, and passes on what they send."""

from __future__ import annotations

import shutil
import tempfile
from typing import Any

from ray import tune
from ray.exceptions import OutOfMemoryError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sparsetune.cluster.placement import TrialResources
from sparsetune.cluster.stop_request import StopRequest
from sparsetune.cluster.worker import run_trial
from sparsetune.errors import first_line
from sparsetune.launch.driver import Driver


def run_tune(driver: Driver, share: TrialResources, stopping: StopRequest) -> bool:
    """Let Tune run trials until the driver has none left. Ray's own files go to a folder that is deleted.

    Returns:
        Whether it came to that; False where Ray killed a worker because its node ran out of memory, which ends Tune:
        the trials that ran count as failed once, and Ray must be started anew.
    """
    folder = tempfile.mkdtemp(prefix="sparsetune-")
    try:
        tune.Tuner(
            tune.with_resources(run_trial, share._asdict()),
            tune_config=tune.TuneConfig(
                search_alg=_DriverSearcher(driver),
                scheduler=_DriverScheduler(driver),
                num_samples=-1,
                max_concurrent_trials=driver.slots,  # without it Tune starts one worker after the other
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="study",
                storage_path=folder,
                verbose=0,
                callbacks=[_DriverCallback(driver)],
                stop=_DriverStopper(driver, stopping),
                failure_config=tune.FailureConfig(max_failures=0),
            ),
        ).fit()
        return True
    except RuntimeError as error:
        if not isinstance(error.__cause__, OutOfMemoryError):
            raise
        driver.ran_out_of_memory(first_line(error.__cause__))
        return False
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _NotPickled:
    """Ray pickles searchers and callbacks with its experiment; the driver and its open ledger stay out of that."""

    driver: Driver

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in self.__dict__.items()
            if name not in ("driver", "stopping")
        }


class _DriverSearcher(_NotPickled, Searcher):  # type: ignore[misc]  # Ray is untyped
    """Hands out the driver's trials as Tune asks for them."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self.driver = driver

    def suggest(self, trial_id: str) -> Any:
        config = self.driver.next_config()
        return Searcher.FINISHED if config == "done" else config

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        pass

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass


class _DriverScheduler(_NotPickled, FIFOScheduler):  # type: ignore[misc]
    """Passes what workers send to the driver, and stops the trials that it ended: their workers live on."""

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self.driver = driver

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        self.driver.receive(result["records"])
        pruned = self.driver.trials[trial.config["trial_id"]].status == "PRUNED"
        return str(TrialScheduler.STOP if pruned else TrialScheduler.CONTINUE)


class _DriverCallback(_NotPickled, tune.Callback):  # type: ignore[misc]
    """Tells the driver which workers have left their trial, or died."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.driver.on_worker_left(trial.config["trial_id"])

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        reason = str(trial.get_error() or "the worker died").strip().splitlines()[-1]
        self.driver.failed(trial.config["trial_id"], trial.config["attempt"], "lost", reason)


class _DriverStopper(_NotPickled, tune.Stopper):  # type: ignore[misc]
    """Ends everything when the driver was stopped, or when trials that were asked to save take too long."""

    def __init__(self, driver: Driver, stopping: StopRequest) -> None:
        self.driver = driver
        self.stopping = stopping

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        self.stopping.keep_signals()
        return self.driver.stopped is not None or self.stopping.is_grace_over
