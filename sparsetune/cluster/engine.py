"""Ray Tune as the engine: asks for trials, runs them in workers, passes on what they send."""

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
from sparsetune.cluster.trial_source import TrialSource
from sparsetune.cluster.worker import run_trial
from sparsetune.errors import first_line
from sparsetune.machine import changed_environment

TUNE_VARIABLES = {
    # The ledger has every result; Tune would write each to three files more.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Nor is Tune ever asked to resume: seconds between its snapshots of all trials.
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",
}
"""Environment under which Tune keeps no record of its own, which costs the driver milliseconds a
trial."""


def run_tune(source: TrialSource, share: TrialResources, stopping: StopRequest) -> bool:
    """Let Tune run trials until the source has none left. Ray's own files go to a temporary folder.

    Args:
        source: The driver.
        share: What one trial takes of the cluster.
        stopping: The launch's request to stop.

    Returns:
        True if no trial is left or the launch ends; False if Ray killed a worker because its node
        ran out of memory. That ends Tune: the trials that ran count as failed once, and Ray must be
        started again.
    """
    folder = tempfile.mkdtemp(prefix="sparsetune-")
    try:
        with changed_environment(TUNE_VARIABLES):
            _tuner(source, share, stopping, folder).fit()
        return True
    except RuntimeError as error:
        if not isinstance(error.__cause__, OutOfMemoryError):
            raise
        source.on_memory_kill(first_line(error.__cause__))
        return False
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tuner(
    source: TrialSource, share: TrialResources, stopping: StopRequest, folder: str
) -> tune.Tuner:
    """Ray's tuner that runs the source's trials, with its own files in a folder."""
    return tune.Tuner(
        tune.with_resources(run_trial, share._asdict()),
        tune_config=tune.TuneConfig(
            search_alg=_SourceSearcher(source),
            # No callbacks: for any, Tune imports those of every tracker that is installed, which
            # takes a second and more.
            scheduler=_SourceScheduler(source),
            num_samples=-1,  # until the searcher has no more
            # Without a limit Tune starts one worker after the other.
            max_concurrent_trials=source.slots,
            # Starting a worker and importing torch takes seconds.
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="study",
            storage_path=folder,
            verbose=0,
            # Silent too, but Tune's own in notebooks clears what the cell has shown.
            progress_reporter=tune.CLIReporter(),
            stop=_SourceStopper(source, stopping),
            # A retry is a new Tune trial, so that the ledger has an attempt for it.
            failure_config=tune.FailureConfig(max_failures=0),
        ),
    )


class _NotPickled:
    """Keeps the driver and its open ledger out of Ray's pickle of searchers and schedulers."""

    source: TrialSource

    def __getstate__(self) -> dict[str, Any]:
        kept_out = ("source", "stopping")
        return {name: value for name, value in self.__dict__.items() if name not in kept_out}


class _SourceSearcher(_NotPickled, Searcher):  # type: ignore[misc]  # Ray is untyped
    """Hands out the driver's trials as Tune asks for them."""

    def __init__(self, source: TrialSource) -> None:
        super().__init__()
        self.source = source

    def suggest(self, trial_id: str) -> Any:
        # Tune asks again after None, which means: nothing can start before another trial ends.
        assignment = self.source.next_assignment()
        if assignment == "done":
            return Searcher.FINISHED
        return assignment.to_config() if assignment else None

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        pass

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass


class _SourceScheduler(_NotPickled, FIFOScheduler):  # type: ignore[misc]
    """Passes on what workers send and which have left their trial or died, and stops trials that
    the driver ended; their workers stay.
    """

    def __init__(self, source: TrialSource) -> None:
        super().__init__()
        self.source = source

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        self.source.receive(result["records"])
        pruned = self.source.is_pruned(trial.config["trial_id"])
        return str(TrialScheduler.STOP if pruned else TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        self.source.on_worker_left(trial.config["trial_id"])

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        self.source.on_worker_left(trial.config["trial_id"])

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        # A trial's own error arrives as a message: Tune sees only that a worker died.
        reason = str(trial.get_error() or "the worker died").strip().splitlines()[-1]
        config = trial.config
        self.source.on_attempt_failed(config["trial_id"], config["attempt"], "lost", reason)


class _SourceStopper(_NotPickled, tune.Stopper):  # type: ignore[misc]
    """Ends Tune when the launch ends, or when trials that were asked to save take too long."""

    def __init__(self, source: TrialSource, stopping: StopRequest) -> None:
        self.source = source
        self.stopping = stopping

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        self.stopping.keep_signals()
        self.source.check_folder()
        return self.source.stopped is not None or self.stopping.is_grace_over
