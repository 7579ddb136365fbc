"""Run or resume a study as Ray Tune trials. The study directory is the truth, Ray is the engine."""

from __future__ import annotations

import logging
import os
import secrets
from collections import Counter
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import ray

from sparsetune.cluster.engine import run_tune
from sparsetune.cluster.nodes import require_equal_nodes
from sparsetune.cluster.placement import check_gpu_share, resources_per_trial, trials_at_once
from sparsetune.cluster.session import ray_session
from sparsetune.cluster.stop_request import GRACE_SECONDS, StopRequest, interrupting_on_signals
from sparsetune.costs.checkpoint_quota import CheckpointQuota
from sparsetune.costs.forecast import Forecast, forecast_on_this_machine
from sparsetune.costs.limits import Limits
from sparsetune.launch.driver import Driver, python_path
from sparsetune.launch.extension import Extension
from sparsetune.launch.followers.progress import ProgressDisplay
from sparsetune.launch.followers.tensorboard import EventFileWriter
from sparsetune.launch.preflight import require_runnable
from sparsetune.paths import Place, read_content, resolve_place
from sparsetune.search.journal import SearchJournal
from sparsetune.search.planner import Planner, build_planner
from sparsetune.search.sampling import quiet_optuna
from sparsetune.storage import StudyDirectory, ledger, provenance
from sparsetune.study import Study


@dataclass(frozen=True)
class Options:
    """How to run, which changes no number.

    Args:
        storage: Parent of the study's directory: a folder, or ``s3://bucket/prefix``.
        address: An existing Ray cluster; a local one is started by default.
        gpus_per_trial: Share of a GPU; a whole one by default where there are GPUs, else none.
        cpus_per_trial: Processor share; also the trial's torch threads on a CPU.
        data_root: Where data sets lie; see `sparsetune.tasks`.
        checkpoint_seconds: Time between checkpoints of a running trial.
        keep_models: Whether every finished trial leaves its effective weights as ``model.safetensors``.
        checkpoint_gib: What all checkpoints take at most, in GiB; by default a tenth of the disk that is free.
        max_hours: Refuse to start what is forecast to take longer.
        max_gib: Refuse to start what is forecast to leave more checkpoints and models, in GiB.
        tensorboard: Whether to write TensorBoard's event files.
        study_file: The file that declares the study, for provenance and imports.
        quiet: Print nothing.
    """

    storage: str | Place = Path("runs")
    address: str | None = None
    gpus_per_trial: float | None = None
    cpus_per_trial: float = 1
    data_root: Path | None = None
    checkpoint_seconds: float = 30
    keep_models: bool = False
    checkpoint_gib: float | None = None
    max_hours: float | None = None
    max_gib: float | None = None
    tensorboard: bool = False
    study_file: Path | None = None
    quiet: bool = False

    @property
    def limits(self) -> Limits:
        """What the study may take."""
        return Limits(self.max_hours, self.max_gib, self.checkpoint_gib, self.keep_models)


@dataclass(frozen=True)
class Outcome:
    """What a launch left behind.

    Args:
        directory: The study's directory.
        counts: Trials by status.
        unsettled: Cells in which every configuration diverged or failed.
        interrupted: Whether it was stopped before its end.
    """

    directory: Place
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
    directory: Place | None = None,
    extend: Extension | None = None,
) -> Outcome:
    """Run a study, or go on where an earlier launch of the same declaration ended.

    Args:
        study: The declaration.
        options: How to run it.
        directory: Where the study lies; by default in the folder of its name under ``options.storage``.
        extend: What to add to what the directory already asks for.

    Raises:
        DeclarationError: naming every problem of the study or of ``extend``, before anything starts or is written;
            and for a share of processors or GPUs that the cluster's nodes do not have.
        StudyDirectoryError: if the directory holds another declaration or another driver runs it.
        StorageError: if the disk is full or read-only; what was durable stays, and a later launch resumes.
        ClusterError: if a node of the cluster does not see the storage or runs other versions.
        HopelessStudyError: if the first trials all fail.
        LimitError: if the study is forecast to exceed the disk that is free or a limit of ``options``.
    """
    check_gpu_share(options.gpus_per_trial)
    data_root = options.data_root or os.environ.get("SPARSETUNE_DATA")
    data_root = Path(data_root).expanduser().resolve() if data_root else None
    if study.problems():
        require_runnable(study, data_root=data_root)  # raises: it may not even have a name
    home = StudyDirectory(directory or resolve_place(options.storage) / study.name)
    defaults_version = home.defaults_version()
    study = require_runnable(study.under_defaults(defaults_version), data_root=data_root)
    if read_content(home.declaration):
        # Refuses another declaration before its ledger is read.
        home.create(study, defaults_version)
    records = ledger.read_records(home.ledger)
    added = (
        extend.record(study, records, data_root) if extend else None
    )  # refuse before the lock's file changes
    expected = _checked_forecast(
        study.extended([*records, *([added] if added else [])]), records, home, options, data_root
    )
    home.create(study, defaults_version)
    with home.locked() as owner:
        records = ledger.read_records(home.ledger)
        added = extend.record(study, records, data_root) if extend else None
        home.record_launch(provenance.launch_facts(options.study_file))
        with closing(ledger.Ledger(home.ledger, owner)) as segment, home.journal_file() as journal:
            if added:
                records.append(added)
                segment.append(added)
            around = provenance.EnvironmentTracker(records, home.launches())
            study = study.extended(records)
            trials = ledger.fold_records(records)
            planner = Planner(study, trials, SearchJournal(journal, study, study.cells()))
            return _Launch(
                options, home, segment, trials, planner, data_root, around, expected
            ).run()


def _checked_forecast(
    study: Study,
    records: list[ledger.Record],
    home: StudyDirectory,
    options: Options,
    data_root: Path | None,
) -> Forecast:
    """What is left to run, timed here; refused where it does not fit. A cluster's size is known when it is connected.

    Raises:
        LimitError: naming what is exceeded.
    """
    quiet_optuna()
    planner = build_planner(study, ledger.fold_records(records))
    expected, slots = forecast_on_this_machine(
        planner, options.cpus_per_trial, options.gpus_per_trial, data_root
    )
    if not options.address:
        expected.require_memory()
        options.limits.check(expected, slots, home.path)
    return expected


@dataclass
class _Launch:
    """One launch, from its first line to its outcome."""

    options: Options
    directory: StudyDirectory
    segment: ledger.Ledger
    trials: dict[str, ledger.TrialState]
    planner: Planner
    data_root: Path | None
    surroundings: provenance.EnvironmentTracker
    expected: Forecast
    quota: CheckpointQuota | None = None

    def run(self) -> Outcome:
        """Run what is left of the study; Ray is started only where something is."""
        logging.getLogger("ray.tune").setLevel(
            logging.CRITICAL
        )  # the ledger has every reason, and the display says it
        progress = ProgressDisplay(self.planner, self.directory.path, quiet=self.options.quiet)
        events = (
            EventFileWriter(self.directory.path, self.planner) if self.options.tensorboard else None
        )
        followers: list[Callable[[ledger.Record], None]] = [
            progress.announce,
            *([events.take] if events else []),
        ]
        driver = Driver(
            self.directory,
            self.segment,
            self.trials,
            self.planner,
            self._worker_config(),
            1,
            followers,
        )
        driver.surroundings = self.surroundings
        interrupted = False
        with progress, interrupting_on_signals(), closing(events) if events else nullcontext():
            driver.note(*self.surroundings.changed)
            if events:
                events.catch_up()
            try:
                if self.expected.trials or not driver.finish():
                    self._train(driver)
                    interrupted = not (driver.complete or driver.stopped)
            except KeyboardInterrupt:
                interrupted = True
            if driver.stopped:
                raise driver.stopped
        unsettled = tuple(
            name
            for name, plan in self.planner.plans.items()
            if plan.searched and plan.winner is None
        )
        counts = Counter(trial.status for trial in self.trials.values())
        return Outcome(self.directory.path, counts, unsettled, interrupted)

    def _worker_config(self) -> dict[str, Any]:
        return {
            "data_root": str(self.data_root) if self.data_root else None,
            "threads": max(1, int(self.options.cpus_per_trial)),
            "checkpoint_seconds": self.options.checkpoint_seconds,
            "keep_models": self.options.keep_models,
            "python_path": python_path(self.options.study_file),
            "launch": secrets.token_hex(8),
        }

    def _train(self, driver: Driver) -> None:
        """Run trials on Ray until none is left, or a signal or a fault ends it."""
        while not self._run_session(driver) and not driver.stopped:
            pass

    def _run_session(self, driver: Driver) -> bool:
        """The same as far as one start of Ray goes; whether another is not needed."""
        options = self.options
        with ray_session(options.address) as resources:
            if options.address:
                require_equal_nodes(options.address, self.directory.path)
            share = resources_per_trial(
                options.cpus_per_trial, options.gpus_per_trial, resources["GPU"]
            )
            driver.slots = trials_at_once(
                share, [node["Resources"] for node in ray.nodes() if node["Alive"]]
            )
            quota = self.quota = self.quota or self._quota(driver)
            driver.worker |= {
                "device": "cuda" if share.gpu else "cpu",
                "checkpoint_room": quota.share,
            }
            stopping = StopRequest(driver.worker["launch"])
            with stopping.on_signals(partial(_announce_stop, driver)):
                ended = run_tune(driver, share, stopping)
            if not driver.stopped:
                quota.sweep()
        return ended

    def _quota(self, driver: Driver) -> CheckpointQuota:
        """The checkpoints' quota, in force; says what is forecast, and refuses what a cluster of this size cannot."""
        options = self.options
        limits = self.options.limits
        quota = CheckpointQuota(
            self.directory, self.trials, limits.quota(self.directory.path), driver.slots
        )
        if options.address:
            limits.check(self.expected, driver.slots, self.directory.path)
        driver.note(
            *self.expected.lines(driver.slots, keep_models=options.keep_models, quota=quota.size),
            kind="forecast",
        )
        driver.followers.append(quota.take)
        quota.sweep()
        return quota


def _announce_stop(driver: Driver) -> None:
    driver.interrupted = True
    line = f"stopping: running trials save their state, within {GRACE_SECONDS:.0f} s; once more stops at once"
    driver.note(line)
