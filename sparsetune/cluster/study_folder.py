"""The study's folder as a worker sees it: it writes below it, and never makes it."""

from __future__ import annotations

from pathlib import Path

from sparsetune.errors import StorageError
from sparsetune.paths import Place
from sparsetune.storage.owner import gone_folder_text


def require_study_folder(attempt: Place) -> None:
    """Refuse to write where the study was: its folder was renamed or deleted.

    Args:
        attempt: Folder of an attempt, ``STUDY/trials/TRIAL/attempt-N``.

    Raises:
        StorageError: if the study is gone from there.
    """
    if isinstance(attempt, Path) and not attempt.parents[2].is_dir():
        raise StorageError(gone_folder_text(attempt.parents[2]))
