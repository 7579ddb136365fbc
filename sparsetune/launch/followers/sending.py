"""What a follower lacks of a study, sent from the states of its trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from sparsetune.errors import FollowerError, StudyDirectoryError, first_line
from sparsetune.launch.followers.followed_trial import followed_trial
from sparsetune.launch.followers.follower import Follower
from sparsetune.launch.followers.tracker import Tracker
from sparsetune.launch.followers.trackers import build_tracker, require_clients
from sparsetune.paths import Place
from sparsetune.search.planner import Planner
from sparsetune.search.status import load_study_view
from sparsetune.storage import StudyDirectory
from sparsetune.storage.records import Ended
from sparsetune.storage.trial_state import TrialState


@dataclass
class Told:
    """What a follower was told of one trial.

    Args:
        before: Steps of evaluations from before the launch: the follower is not told of these.
        attempt: Number of the attempt whose start it was told; 0 before.
        steps: Steps of the evaluations that it was told.
        ended: The end that it was told; None before.
    """

    before: frozenset[int] = frozenset()
    attempt: int = 0
    steps: set[int] = field(default_factory=set)
    ended: Ended | None = None


def send_trial(follower: Follower, planner: Planner, state: TrialState, told: Told) -> None:
    """Tell a follower what it was not told of a trial, in order.

    Raises:
        Exception: whatever the follower raises; ``told`` has what it took before.
    """
    before = [report for step, report in state.reports.items() if step in told.before]
    trial = followed_trial(planner, state, before)
    if told.attempt < state.attempts:
        follower.on_started(trial)
        told.attempt = state.attempts
    for step, report in sorted(state.reports.items()):
        if step not in told.before and step not in told.steps:
            follower.on_report(trial, report)
            told.steps.add(step)
    if state.ended is not None and told.ended != state.ended:
        follower.on_ended(trial, state.ended)
        told.ended = state.ended


def send_to_tracker(tracker: Tracker, planner: Planner, state: TrialState) -> bool:
    """Send a trial that has begun to a tracker, unless it has the trial with its end.

    Returns:
        True if it was sent.

    Raises:
        Exception: whatever the tracker's client raises.
    """
    if not state.attempts:
        return False
    if state.finished and tracker.store.holds(followed_trial(planner, state, ())):
        return False
    send_trial(tracker, planner, state, Told())
    return True


@dataclass(frozen=True)
class Tracked:
    """What a tracker was sent of a study.

    Args:
        name: Name of the tracker.
        location: Folder or address of its runs.
        sent: Number of runs that it was sent, or a part of which.
        held: Number of runs that it had, with their ends.
    """

    name: str
    location: str
    sent: int
    held: int

    def facts(self) -> dict[str, str | int]:
        """The fields as plain JSON values."""
        return asdict(self)


def track_directory(path: Place, names: Sequence[str]) -> list[Tracked]:
    """Send what trackers lack of a study, from its directory alone.

    Args:
        path: The study's directory.
        names: Names of the trackers, as of ``--track``.

    Raises:
        FollowerError: if a tracker cannot be used, or does not take what it is sent.
        StudyDirectoryError: if this is no study directory, or the study runs now.
        StorageError: if the directory cannot be read.
    """
    require_clients(names)
    directory = StudyDirectory(path)
    planner = load_study_view(directory).planner
    # A launch may be writing the same runs.
    if driver := directory.driver():
        raise StudyDirectoryError(f"`{path}` is being run by {driver}; wait for its end")
    tracked = []
    for name in dict.fromkeys(names):
        tracker = build_tracker(name, directory.path, planner.study.name)
        try:
            tracked.append(_send_study(name, tracker, planner))
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise FollowerError(
                f"{name} did not take the study ({reason}) at {tracker.store.location};"
                " what it has is not sent again"
            ) from error
    return tracked


def _send_study(name: str, tracker: Tracker, planner: Planner) -> Tracked:
    begun = [state for state in planner.trials.values() if state.attempts]
    sent = sum(send_to_tracker(tracker, planner, state) for state in begun)
    tracker.close()
    return Tracked(name, tracker.store.location, sent, held=len(begun) - sent)
