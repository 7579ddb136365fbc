"""Run or resume a study as Ray Tune trials. The study directory is the truth, Ray is the engine."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # else Ray builds a second environment for its workers
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # the ledger replaces Ray's own files
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "86400")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

import ray
from ray import tune
from ray.tune.search import Searcher

from sparsetune import ledger, provenance
from sparsetune.errors import StorageError
from sparsetune.preflight import check
from sparsetune.store import StudyDirectory
from sparsetune.study import Study
from sparsetune.tune.driver import Driver, python_path
from sparsetune.tune.extension import Extension
from sparsetune.tune.journal import Journal
from sparsetune.tune.planner import Planner
from sparsetune.tune.progress import Progress
from sparsetune.tune.sampling import quiet_optuna
from sparsetune.tune.trainable import run_trial


@dataclass(frozen=True)
class Options:
    """How to run, which changes no number.

    Args:
        storage: Parent of the study's directory.
        address: An existing Ray cluster; a local one is started by default.
        gpus_per_trial: Share of a GPU; a whole one by default where there are GPUs, else none.
        cpus_per_trial: Processor share; also the trial's torch threads on a CPU.
        data_root: Where data sets lie; see `sparsetune.tasks`.
        checkpoint_seconds: Time between checkpoints of a running trial.
        keep_models: Whether every finished trial leaves its effective weights as ``model.safetensors``.
        study_file: The file that declares the study, for provenance and imports.
        quiet: Print nothing.
    """

    storage: Path = Path("runs")
    address: str | None = None
    gpus_per_trial: float | None = None
    cpus_per_trial: float = 1
    data_root: Path | None = None
    checkpoint_seconds: float = 30
    keep_models: bool = False
    study_file: Path | None = None
    quiet: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a launch left behind.

    Args:
        directory: The study's directory.
        counts: Trials by status.
        unsettled: Cells in which every configuration diverged or failed.
        interrupted: Whether it was stopped before its end.
    """

    directory: Path
    counts: Counter[str] = field(default_factory=Counter)
    unsettled: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def exit_status(self) -> int:
        """0 when every trial ended as it should; 130 when interrupted, 1 for failed or invalid trials or lost cells."""
        if self.interrupted:
            return 130
        return int(bool(self.counts["FAILED"] or self.counts["INVALID"] or self.unsettled))


def launch(
    study: Study,
    options: Options = Options(),  # frozen
    *,
    directory: Path | None = None,
    extend: Extension | None = None,
) -> Outcome:
    """Run a study, or go on where an earlier launch of the same declaration ended.

    Args:
        study: The declaration.
        options: How to run it.
        directory: Where the study lies; by default in the folder of its name under ``options.storage``.
        extend: What to add to what the directory already asks for.

    Raises:
        DeclarationError: naming every problem of the study or of ``extend``, before anything starts or is written.
        StudyDirectoryError: if the directory holds another declaration or another driver runs it.
        StorageError: if the disk is full or read-only; what was durable stays, and a later launch resumes.
    """
    data_root = options.data_root or os.environ.get("SPARSETUNE_DATA")
    data_root = Path(data_root).expanduser().resolve() if data_root else None
    study = check(study, data_root=data_root)
    home = StudyDirectory(directory or options.storage / study.name)
    home.create(study)
    if extend:
        extend.record(study, ledger.read(home.ledger), data_root)  # refuse before the lock's file changes
    with home.locked():
        records = ledger.read(home.ledger)
        added = extend.record(study, records, data_root) if extend else None
        home.record_launch(provenance.facts(options.study_file))
        with closing(ledger.Ledger(home.ledger)) as segment:
            if added:
                records.append(added)
                segment.append(added)
            return _drive(study.extended(records), home, segment, ledger.fold(records), options, data_root)


def _drive(
    study: Study,
    directory: StudyDirectory,
    segment: ledger.Ledger,
    trials: dict[str, ledger.TrialState],
    options: Options,
    data_root: Path | None,
) -> Outcome:
    quiet_optuna()
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the ledger has every reason, and the display says it
    planner = Planner(study, trials, Journal(directory.journal, study, study.cells()))
    progress = Progress(planner, directory.path, quiet=options.quiet)
    interrupted = False
    with progress:
        try:
            with _ray(options) as resources:
                gpus = options.gpus_per_trial if options.gpus_per_trial is not None else float(resources["GPU"] > 0)
                share = {"cpu": options.cpus_per_trial, "gpu": gpus}
                slots = _slots(resources, share)
                worker = {
                    "data_root": str(data_root) if data_root else None,
                    "device": "cuda" if gpus else "cpu",
                    "threads": max(1, int(options.cpus_per_trial)),
                    "checkpoint_seconds": options.checkpoint_seconds,
                    "keep_models": options.keep_models,
                    "python_path": python_path(options.study_file),
                }
                driver = Driver(directory, segment, trials, planner, worker, slots, progress.announce)
                with _interruptible(driver):
                    _fit(driver, share)
                interrupted = not (driver.complete or driver.stopped)  # Tune ends by itself on SIGUSR1
        except KeyboardInterrupt:
            interrupted = True
        else:
            if driver.stopped:
                raise StorageError(f"{driver.stopped}\nNothing that was reported is lost; free space and run again")
    unsettled = tuple(name for name, plan in planner.plans.items() if plan.searched and plan.winner is None)
    return Outcome(directory.path, Counter(t.status for t in trials.values()), unsettled, interrupted)


def _fit(driver: Driver, share: dict[str, float]) -> None:
    """Let Tune run trials until the driver has none left. Ray's own files go to a folder that is deleted."""
    folder = tempfile.mkdtemp(prefix="sparsetune-")
    try:
        tune.Tuner(
            tune.with_resources(run_trial, share),
            tune_config=tune.TuneConfig(search_alg=_Assignments(driver), num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(
                name="study",
                storage_path=folder,
                verbose=0,
                callbacks=[_ToLedger(driver)],
                stop=_WhenStopped(driver),
                failure_config=tune.FailureConfig(max_failures=0),
            ),
        ).fit()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Unpickled:
    """Ray pickles searchers and callbacks with its experiment; the driver's open ledger stays out of that."""

    driver: Driver

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "driver"}


class _Assignments(_Unpickled, Searcher):  # type: ignore[misc]  # Ray is untyped
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


class _ToLedger(_Unpickled, tune.Callback):  # type: ignore[misc]
    """Passes what workers send, and their deaths, to the driver."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        self.driver.receive(result["records"])

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        reason = str(trial.get_error() or "the worker died").strip().splitlines()[-1]
        self.driver.lost(trial.config["trial_id"], trial.config["attempt"], reason)


class _WhenStopped(_Unpickled, tune.Stopper):  # type: ignore[misc]
    """Ends everything when the driver was stopped, by its disk or by a signal that something swallowed."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.driver.stopped is not None or self.driver.interrupted


@contextmanager
def _ray(options: Options) -> Iterator[dict[str, float]]:
    """The cluster's resources; a local Ray is started and stopped unless one is connected already."""
    connected = ray.is_initialized()
    folder = None
    if not connected and options.address:
        ray.init(address=options.address, log_to_driver=False, logging_level="ERROR")
    elif not connected:
        folder = tempfile.mkdtemp(prefix="ray-")
        ray.init(
            address="local",
            num_cpus=len(os.sched_getaffinity(0)),
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=folder,
        )
    try:
        yield {"GPU": 0.0, "CPU": 1.0, **ray.cluster_resources()}
    finally:
        if not connected:
            ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _slots(resources: dict[str, float], share: dict[str, float]) -> int:
    """Trials that fit at once."""
    fits = [resources[name] / share[key] for name, key in (("CPU", "cpu"), ("GPU", "gpu")) if share[key] > 0]
    return max(1, int(min(fits, default=1) + 1e-9))


@contextmanager
def _interruptible(driver: Driver) -> Iterator[None]:
    """Let SIGTERM, and SLURM's SIGUSR1, stop the launch as Ctrl-C does. Enter after Ray, which takes SIGTERM."""

    def interrupt(number: int, frame: Any) -> None:
        driver.interrupted = True
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    try:
        before = {number: signal.signal(number, interrupt) for number in numbers}
    except ValueError:  # not the main thread: signals are the caller's
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
