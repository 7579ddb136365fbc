"""Event files read back with TensorBoard's own reader, and compared with the ledger."""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sparsetune.errors import FollowerError
from sparsetune.launch.followers.tensorboard import EventFolders
from sparsetune.launch.followers.tracker import Tracker
from sparsetune.launch.followers.trackers import build_tracker
from sparsetune.storage.announcements import Remark
from tests.launch.followers.followed import (
    RUN_NAME,
    TRIAL,
    Launch,
    ended,
    followed,
    row,
    started,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:tensorboard")


def read(folder: Path) -> EventAccumulator:
    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    return reader.Reload()


def single(value: float) -> float:
    """The value as event files hold it: in single precision."""
    return float(np.float32(value))


def scalars(folder: Path) -> dict[str, list[tuple[int, float, float]]]:
    """Step, value and time by tag, in the order of the file."""
    reader = read(folder)
    return {
        tag: [(event.step, event.value, event.wall_time) for event in reader.Scalars(tag)]
        for tag in reader.Tags()["scalars"]
    }


def text(folder: Path) -> str:
    (event,) = read(folder).Tensors("trial/text_summary")
    return "".join(part.decode() for part in event.tensor_proto.string_val)


def tracker(path: Path) -> Tracker:
    return Tracker(EventFolders(path))


def test_rows_as_they_come(tmp_path: Path) -> None:
    rows = [row(20, 0.5, 110.0), row(40, None, 120.0), row(50, math.nan, 125.0, at_target=True)]
    lines = followed(tracker(tmp_path), started(), *rows, row(60, 0.25, 130.0))
    assert lines == []
    assert scalars(tmp_path / RUN_NAME) == {
        "train_loss": [(20, 0.5, 110.0), (60, 0.25, 130.0)],  # what is missing is absent, not 0
        "lr": [(20, 0.5, 110.0), (40, 0.5, 120.0), (50, 0.5, 125.0), (60, 0.5, 130.0)],
        "epoch": [(20, 1.0, 110.0), (40, 2.0, 120.0), (50, 2.5, 125.0), (60, 3.0, 130.0)],
    }


def test_the_end_of_a_trial_with_its_searched_values(tmp_path: Path) -> None:
    rows = [started(), row(20, 0.5, 110.0, val_error=0.125)]
    assert followed(tracker(tmp_path), *rows, ended(test_loss=0.75, parameters=17_226)) == []
    folder = tmp_path / RUN_NAME
    found = scalars(folder)
    assert found["test_loss"] == [(20, 0.75, 140.0)]
    assert found["parameters"] == [(20, 17_226.0, 140.0)]
    for line in (f"| trial | {TRIAL} |", "| optim.lr | 0.25 |", "| status | COMPLETE |"):
        assert line in text(folder)
    content = read(folder).summary_metadata.values()
    hparams = [one.plugin_data for one in content if one.plugin_data.plugin_name == "hparams"]
    assert any(b"optim.lr" in one.content for one in hparams)


def test_no_step_is_there_twice_after_a_resume(tmp_path: Path) -> None:
    """Rows beyond the checkpoint are trained again; those before it stay."""
    rows = [row(20, 0.5, 110.0), row(40, 0.4, 120.0), row(60, 0.3, 130.0)]
    followed(tracker(tmp_path), started(), *rows)
    again = [row(60, 0.3, 230.0), row(80, 0.2, 240.0)]
    followed(tracker(tmp_path), started(40, attempt=2), *again, ended(), before=[started(), *rows])
    assert scalars(tmp_path / RUN_NAME)["train_loss"] == [
        (20, 0.5, 110.0),
        (40, single(0.4), 120.0),
        (60, single(0.3), 230.0),
        (80, single(0.2), 240.0),
    ]


def test_a_trial_that_ended_before_is_written_once(tmp_path: Path) -> None:
    """Also one whose file was cut short when an earlier launch was killed."""
    rows = [row(20, 0.5, 110.0), row(40, 0.25, 120.0)]
    followed(tracker(tmp_path), started(), rows[0])
    for _ in range(2):
        assert followed(tracker(tmp_path), before=[started(), *rows, ended()]) == []
        (file,) = (tmp_path / RUN_NAME).glob("events.*")
    assert scalars(tmp_path / RUN_NAME)["train_loss"] == [(20, 0.5, 110.0), (40, 0.25, 120.0)]
    written = file.stat().st_mtime_ns
    followed(tracker(tmp_path), before=[started(), *rows, ended()])
    assert file.stat().st_mtime_ns == written


def test_a_disk_that_was_full_has_everything_once_there_is_room(small_disk: Path) -> None:
    launch = Launch(tracker(small_disk))
    launch.announce(started())
    wait_for(lambda: any(small_disk.rglob("events.*")))
    fill = ["dd", "if=/dev/zero", f"of={small_disk / 'ballast'}", "bs=1k"]
    assert b"No space left" in subprocess.run(fill, capture_output=True).stderr
    launch.announce(*(row(step, 1 / step, 100.0 + step) for step in range(1, 201)))
    # An announcement takes the lines, if it comes after the failure.
    wait_for(lambda: launch.announce(Remark("still running")) or launch.lines)
    (line,) = launch.lines
    assert line.startswith("theirs failed (OSError: [Errno 28] No space left on device)")
    (small_disk / "ballast").unlink()
    launch.announce(ended())
    assert launch.close() == [line]
    losses = scalars(small_disk / RUN_NAME)["train_loss"]
    assert losses == [(step, single(1 / step), 100.0 + step) for step in range(1, 201)]


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise TimeoutError("the condition did not come true")


def test_an_object_store_is_refused() -> None:
    class Remote:
        """Not a folder."""

    with pytest.raises(FollowerError, match="`tensorboard` needs a study in a folder"):
        build_tracker("tensorboard", Remote(), "s")  # type: ignore[arg-type]
