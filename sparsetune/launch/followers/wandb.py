"""Runs of Weights & Biases, offline or online as its own settings say."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from sparsetune.launch.followers.followed_trial import FollowedTrial
from sparsetune.launch.followers.tracker import finite_numbers
from sparsetune.storage.records import Ended, Report

GOOD_STATUSES = ("COMPLETE", "PRUNED")
"""Ends that are no failure of the trial."""


class WandbRuns:
    """A project with the study's name, a group for each cell; a run's id is the trial's `run_id`.

    Offline, each attempt writes the whole run into a new folder, in place of the earlier one:
    `wandb sync` takes a run from one folder. Online, a resumed trial continues its run.

    Args:
        folder: Folder in which the client makes its folder ``wandb``.
    """

    def __init__(self, folder: Path) -> None:
        self.location = str(folder / "wandb")
        self._folder = folder

    def holds(self, trial: FollowedTrial) -> bool:
        """True if a folder of the run holds its end."""
        return any((path / trial.trial_id).exists() for path in self._run_folders(trial))

    def open(self, trial: FollowedTrial) -> WandbRun:
        """The trial's run.

        Raises:
            Exception: whatever the client raises, such as for a server that does not answer.
        """
        offline = _mode() == "offline"
        for path in self._run_folders(trial) if offline else ():
            shutil.rmtree(path, ignore_errors=True)
        return WandbRun(trial, self._folder, offline=offline)

    def _run_folders(self, trial: FollowedTrial) -> list[Path]:
        """Folders that the run's attempts left, one a launch."""
        return list((self._folder / "wandb").glob(f"*run-*-{trial.run_id}"))


class WandbRun:
    """One run, open for writing.

    Args:
        trial: The trial.
        folder: Folder in which the client makes its folder ``wandb``.
        offline: Whether it is written into a folder only.
    """

    def __init__(self, trial: FollowedTrial, folder: Path, *, offline: bool) -> None:
        import wandb

        self._trial = trial
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or trial.study,
            id=trial.run_id,
            name=trial.name,
            group=trial.cell,
            job_type=trial.role,
            tags=[trial.trial_id],
            config={**trial.recipe, "trial_id": trial.trial_id, "config_id": trial.config_id},
            dir=str(folder),
            mode="offline" if offline else None,
            resume=None if offline else "allow",
            # Several trials run at once, and a user's own run may be open as well.
            reinit="create_new",
            settings=_quiet_settings(),
        )
        # A resumed run starts after the last step that the server has.
        self.steps = range(self._run.step)

    def add_row(self, row: Report) -> None:
        """Write the numbers of one evaluation, at its own time."""
        self._run.log({**finite_numbers(row.row), "_timestamp": row.time}, step=row.step)

    def end(self, outcome: Ended | None, step: int) -> None:
        """Write final numbers and the status into the summary; close the run."""
        if outcome is None:
            self._run.finish(exit_code=1)
            return
        facts = {"status": outcome.status, "error": outcome.error, "certified": outcome.certified}
        given = {name: value for name, value in facts.items() if value is not None}
        self._run.summary.update({**finite_numbers(outcome.columns), **given})
        folder = Path(self._run.settings.sync_dir)
        self._run.finish(exit_code=0 if outcome.status in GOOD_STATUSES else 1)
        (folder / self._trial.trial_id).touch()


def _mode() -> str:
    """``WANDB_MODE``; without it offline, unless a key is known: the client would ask for one."""
    import wandb

    return os.environ.get("WANDB_MODE") or ("online" if wandb.api.api_key else "offline")


def _quiet_settings() -> Any:
    """Settings under which the client writes nothing but the run."""
    import wandb

    return wandb.Settings(
        console="off",
        silent=True,
        disable_git=True,
        disable_code=True,
        save_code=False,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
