"""The hooks by which a follower is told of a running study."""

from __future__ import annotations

from typing import Protocol

from sparsetune.errors import FollowerError
from sparsetune.launch.followers.followed_trial import FollowedTrial
from sparsetune.storage.records import Ended, Report

HOOKS = ("on_started", "on_report", "on_ended", "on_note", "close")
"""Methods that every follower has."""


# Each hook returns explicitly: a type checker takes a body without a statement for abstract.
class Follower(Protocol):
    """Hooks of a follower; derive from it, and write those that you need.

    They are called one at a time, in a thread of the follower's own, after the ledger has what
    they tell. What a follower raises is said once and ends nothing.
    """

    def on_started(self, trial: FollowedTrial) -> None:
        """Follow a trial whose attempt begins; a resumed trial begins again."""
        return

    def on_report(self, trial: FollowedTrial, row: Report) -> None:
        """Take one evaluation: ``row.step``, ``row.number("val_loss")``."""

    def on_ended(self, trial: FollowedTrial, outcome: Ended) -> None:
        """Take the end of a trial: ``outcome.status``, ``outcome.value("test_accuracy")``."""

    def on_note(self, trial: FollowedTrial | None, note: str) -> None:
        """Take a remark for people; ``trial`` is None where it is about the whole launch."""
        return

    def close(self) -> None:
        """End: nothing else is told. Trials that did not end were interrupted."""
        return


def require_hooks(callback: object) -> None:
    """Refuse a callback that lacks a hook.

    Raises:
        FollowerError: naming the hooks that it lacks.
    """
    lacking = [hook for hook in HOOKS if not callable(getattr(callback, hook, None))]
    if lacking:
        raise FollowerError(
            f"a callback must have the methods {', '.join(HOOKS)}, got"
            f" {type(callback).__name__} without {', '.join(lacking)};"
            " derive it from `sparsetune.Follower`, and give an instance"
        )
