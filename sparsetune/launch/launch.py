"""Run or resume a study as Ray Tune trials. The study directory is the truth, Ray is the engine."""

from __future__ import annotations

import logging
import math
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from sparsetune.cluster.assignment import LaunchSettings
from sparsetune.cluster.engine import run_tune
from sparsetune.cluster.nodes import require_equal_nodes
from sparsetune.cluster.placement import resources_per_trial, trials_at_once
from sparsetune.cluster.session import living_nodes, ray_session
from sparsetune.cluster.stop_request import GRACE_SECONDS, StopRequest, interrupting_on_signals
from sparsetune.import_path import append_to_path
from sparsetune.launch.driver import Driver, Listener, python_path
from sparsetune.launch.extension import Extension
from sparsetune.launch.failures import FailureCounter
from sparsetune.launch.followers.checkpoint_quota import CheckpointQuota
from sparsetune.launch.followers.follower import Follower, require_hooks
from sparsetune.launch.followers.follower_thread import (
    CLOSE_SECONDS,
    INTERRUPTED_CLOSE_SECONDS,
    FollowerThread,
    close_followers,
)
from sparsetune.launch.followers.progress import ProgressDisplay
from sparsetune.launch.followers.trackers import build_tracker, require_clients
from sparsetune.launch.options import DEFAULT_OPTIONS, Options
from sparsetune.launch.prepare import PreparedLaunch, prepare_launch
from sparsetune.own_code.modules import CodeReader, own_modules
from sparsetune.paths import Place, command_path
from sparsetune.search.looks import Looks
from sparsetune.storage.announcements import Announcement, ForecastLine, Remark
from sparsetune.storage.ledger import Ledger
from sparsetune.storage.provenance import EnvironmentTracker, launch_facts
from sparsetune.study import Study

__all__ = ["Options", "Outcome", "launch"]


@dataclass(frozen=True)
class Outcome:
    """Outcome of a launch.

    Args:
        directory: The study's directory.
        counts: Number of trials by status.
        unsettled: Names of cells in which every configuration diverged or failed.
        interrupted: Whether it was stopped before its end.
    """

    directory: Place
    counts: Counter[str] = field(default_factory=Counter)
    unsettled: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def exit_status(self) -> int:
        """130 when interrupted, 1 for failed or invalid trials or unsettled cells, else 0."""
        if self.interrupted:
            return 130  # 128 + SIGINT, as shells have it
        return int(bool(self.counts["FAILED"] or self.counts["INVALID"] or self.unsettled))


def launch(
    study: Study,
    options: Options = DEFAULT_OPTIONS,
    *,
    directory: Place | None = None,
    extend: Extension | None = None,
) -> Outcome:
    """Run a study, or resume it where an earlier launch of the same declaration ended.

    Args:
        study: The declaration.
        options: How to run it.
        directory: The study's directory; None for the folder of its name under ``options.storage``.
        extend: What to add to what the directory already asks for.

    Raises:
        DeclarationError: naming every problem of the study or of ``extend``, before anything starts
            or is written; and for a share of CPUs or GPUs that the cluster's nodes do not have.
        StudyDirectoryError: if the directory holds another declaration or another driver runs it.
        StorageError: if the disk is full or read-only; what was durable stays, and a later launch
            resumes.
        FollowerError: if a callback lacks a hook, or a tracker's client is not installed.
        ClusterError: if a node of the cluster does not see the storage or runs other versions.
        HopelessStudyError: if the first trials all fail.
        LimitError: if the study is forecast to exceed the disk that is free or a limit of
            ``options``.
    """
    search_path = python_path(options.study_file, options.path)
    append_to_path(search_path)
    require_clients(options.trackers)
    for callback in options.callbacks:
        require_hooks(callback)
    prepared = prepare_launch(study, options, directory, extend)
    home = prepared.directory
    followers = _named_followers(prepared)
    # Before the lock, which lies in the directory; creating it twice is harmless.
    stretches = prepared.planner.resolved_stretches()
    home.create(prepared.declared, prepared.defaults_version, stretches)
    with home.locked() as owner:
        # Another launch may have added to the ledger between its reading and the lock.
        prepared = prepared.up_to_date()
        own_code = CodeReader().digests(own_modules(prepared.planner.study.given()))
        home.record_launch(
            launch_facts(
                options.study_file,
                data_root=options.data_root,
                search_path=search_path,
                own_code=own_code,
            )
        )
        opened = home.open_ledger(owner, prepared.ledger_end)
        with closing(opened) as ledger, home.journal_file() as journal:
            if prepared.added:
                ledger.append(prepared.added)  # before any trial that it asks for
            search_journal = prepared.planner.journal
            assert search_journal is not None  # a launch proposes
            search_journal.move_to(journal)
            environment = EnvironmentTracker(prepared.records, home.launches())
            environment.changed += environment.describe_code_changes(own_code)
            return StudyRun(prepared, ledger, environment, followers).run()


def _named_followers(prepared: PreparedLaunch) -> dict[str, Follower]:
    """The trackers and the callbacks of a launch, by their names in messages.

    Raises:
        FollowerError: if a tracker needs a folder, and the study lies in an object store.
    """
    options = prepared.options
    path = prepared.directory.path
    named: dict[str, Follower] = {}
    for name in options.trackers:
        named[name] = build_tracker(name, path, prepared.declared.name)
    for number, callback in enumerate(options.callbacks, start=1):
        named[f"callback {number} ({type(callback).__name__})"] = callback
    return named


class StudyRun:
    """A prepared launch while it runs: trials on Ray until nothing is left, or something ends it.

    Args:
        prepared: The launch; nothing else writes its directory.
        ledger: The study's ledger, open for appending.
        environment: What the study's trials ran on so far.
        followers: The study's followers by name.
    """

    def __init__(
        self,
        prepared: PreparedLaunch,
        ledger: Ledger,
        environment: EnvironmentTracker,
        followers: Mapping[str, Follower],
    ) -> None:
        self._prepared = prepared
        self._options = prepared.options
        self._directory = prepared.directory
        self._planner = prepared.planner
        self._ledger = ledger
        self._environment = environment
        self._failures = FailureCounter(command_path(prepared.directory.path))
        self._name = secrets.token_hex(8)
        self._quota: CheckpointQuota | None = None
        path = prepared.directory.path
        self._progress = ProgressDisplay(self._planner, path, quiet=self._options.quiet)
        self._looks = None
        if prepared.declared.until_settled is not None:
            questions = self._directory.questions() or ()
            self._looks = Looks(prepared.declared, questions, self._planner, self._directory)
        self._threads = [
            FollowerThread(name, follower, self._planner) for name, follower in followers.items()
        ]
        self._listeners: list[Listener] = [self._progress.announce, self._tell_followers]
        # Records the last notes where nothing is left to train; each Ray session has its own.
        self._driver = self._build_driver("cpu", math.inf, 1, self._listeners)

    def run(self) -> Outcome:
        """Run what is left of the study; Ray is started only where something is.

        Raises:
            SparsetuneError: why the launch had to end.
        """
        # The ledger has every reason of a failure, and the display shows it.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        interrupted = True
        with self._progress, interrupting_on_signals():
            try:
                interrupted = self._run_trials()
            finally:
                self._close_followers(INTERRUPTED_CLOSE_SECONDS if interrupted else CLOSE_SECONDS)
            if self._driver.stopped:
                raise self._driver.stopped
        plans = self._planner.plans.items()
        unsettled = [name for name, plan in plans if plan.searched and plan.winner is None]
        counts = Counter[str](trial.status for trial in self._prepared.trials.values())
        return Outcome(self._directory.path, counts, tuple(unsettled), interrupted)

    def _run_trials(self) -> bool:
        """Run what is left; returns True if it was interrupted."""
        for line in self._prepared.warnings:
            self._announce(Remark(f"warning: {line}"))
        for line in (*self._prepared.notices, *self._environment.changed):
            self._announce(Remark(line))
        try:
            # The forecast counts seeds that later looks may ask for, and may never need.
            if self._planner.remaining_work().is_left or not self._driver.finish():
                self._train()
                return not (self._driver.complete or self._driver.stopped)
        except KeyboardInterrupt:
            return True
        return False

    def _announce(self, message: Announcement) -> None:
        for listener in self._listeners:
            listener(message)

    def _tell_followers(self, message: Announcement) -> None:
        """Queue a message for every follower, and say what troubles one, once."""
        for thread in self._threads:
            thread.announce(message)
            for line in thread.take_lines():
                self._progress.announce(Remark(line))

    def _close_followers(self, seconds: float) -> None:
        """Give the followers some seconds for what they lack, and say what is left unsent."""
        path = command_path(self._directory.path)
        for line in close_followers(self._threads, seconds, path):
            self._progress.announce(Remark(line))

    def _build_driver(
        self, device: str, checkpoint_bytes: float, slots: int, listeners: Sequence[Listener]
    ) -> Driver:
        settings = LaunchSettings(
            launch=self._name,
            device=device,
            threads=max(1, int(self._options.cpus_per_trial)),
            checkpoint_seconds=self._options.checkpoint_seconds,
            checkpoint_bytes=checkpoint_bytes,
            keep_models=self._options.keep_models,
            data_root=str(self._prepared.data_root) if self._prepared.data_root else None,
            python_path=tuple(python_path(self._options.study_file, self._options.path)),
            silence_seconds=60 * self._options.silence_minutes,
            trial_seconds=60 * (self._options.trial_minutes or 0),
        )
        return Driver(
            self._directory,
            self._ledger,
            self._prepared.trials,
            self._planner,
            settings,
            slots,
            listeners,
            self._failures,
            self._environment,
            self._looks,
        )

    def _train(self) -> None:
        """Run trials in Ray sessions until none is left, or a signal or a fault ends it."""
        while not self._run_session():
            if self._driver.stopped or self._driver.interrupted:
                return

    def _run_session(self) -> bool:
        """Run trials in one Ray session; returns True when no further session is needed."""
        options = self._options
        with ray_session(options.address) as resources:
            if options.address:
                require_equal_nodes(options.address, self._directory.path)
            share = resources_per_trial(
                options.cpus_per_trial, options.gpus_per_trial, resources["GPU"]
            )
            slots = trials_at_once(share, living_nodes())
            if self._quota is None:
                self._quota = self._start_quota(slots)
            quota = self._quota
            listeners = [*self._listeners, quota.follow]
            device = "cuda" if share.gpu else "cpu"
            driver = self._build_driver(device, quota.share, slots, listeners)
            self._driver = driver
            stopping = StopRequest(self._name)
            with stopping.on_signals(partial(_announce_stop, driver)):
                ended = run_tune(driver, share, stopping)
            # A storage that refuses files may refuse this too, and would hide the first reason.
            if not driver.stopped:
                quota.sweep()
        return ended

    def _start_quota(self, slots: int) -> CheckpointQuota:
        """The checkpoints' quota, with the forecast announced.

        Args:
            slots: Trials at once.

        Raises:
            LimitError: if a cluster of this size exceeds a limit.
        """
        limits = self._options.limits
        forecast = self._prepared.forecast
        path = self._directory.path
        size = limits.quota(path)
        quota = CheckpointQuota(self._directory, self._planner.trials, size, slots)
        if self._options.address:
            limits.check(forecast, slots, path)
        for line in forecast.lines(slots, keep_models=self._options.keep_models, quota=size):
            self._announce(ForecastLine(line))
        quota.sweep()
        return quota


def _announce_stop(driver: Driver) -> None:
    driver.interrupted = True
    driver.announce(
        Remark(
            "stopping: running trials save their state,"
            f" within {GRACE_SECONDS:.0f} s; once more stops at once"
        )
    )
