"""A real launch with a callback that writes down what it is told, and one that always raises."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsetune import DigitsTask, FollowedTrial, ScheduleSpec, Study, TrialSpec
from sparsetune.launch.launch import Options, launch
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.storage.records import Report
from tests.integration.runs import assert_equal_to_training_alone, trials
from tests.launch.followers.followed import Diary

STUDY = Study(
    name="followed",
    base=TrialSpec(
        task=DigitsTask(),
        schedule=ScheduleSpec(epochs=4),
        sparsity=SparsitySpec(method="gmp", target=0.9),
    ),
    report_seeds=1,
)


class Broken(Diary):
    """Raises at every report."""

    def on_report(self, trial: FollowedTrial, row: Report) -> None:
        raise ValueError(f"no axis for {trial.name}")


@pytest.mark.cluster
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("ray_session")
def test_callbacks_of_a_launch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diary, broken = Diary(), Broken()
    outcome = launch(STUDY, Options(storage=tmp_path, callbacks=[diary, broken]))
    assert outcome.exit_status == 0
    states = trials(outcome.directory)
    for state in states.values():
        assert_equal_to_training_alone(state)
    told = [call[1:] for call in diary.calls if call[0] == "report"]
    recorded = [r for state in states.values() for r in state.reports.values()]
    assert sorted(told) == sorted((r.step, r.number("train_loss")) for r in recorded)
    names = {call[1] for call in diary.calls if call[0] == "started"}
    assert names == {"gmp 90% 4 epochs seed 1000", "gmp 90% 4 epochs twin seed 1000"}
    assert [call for call in diary.calls if call[0] == "ended"] == 2 * [("ended", "COMPLETE")]
    assert diary.calls[-1] == broken.calls[-1] == ("close",)
    said = capsys.readouterr().out
    assert said.count("callback 2 (Broken) failed (ValueError: no axis for gmp 90%") == 1
    assert said.count("callback 2 (Broken) did not take everything") == 1
    assert "callback 1" not in said
