"""A model's file is edited between two launches: said, named and found, at every place."""

from __future__ import annotations

from pathlib import Path

import pytest

import analysis
from analysis.checks import checks
from sparsetune import DigitsTask, ScheduleSpec, Study, TrialSpec
from sparsetune.launch.extension import Extension
from sparsetune.launch.launch import Options, launch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("ray_session"),
]

NET = """
from torch import nn
from edited_layers import ACTIVATION


def net(shape, n):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), ACTIVATION(), nn.Linear(32, n))
"""
LAYERS = "from torch import nn\n\nACTIVATION = nn.ReLU\n"


def test_an_edit_between_two_launches_is_said_named_and_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "edited_net.py").write_text(NET)
    layers = tmp_path / "edited_layers.py"
    layers.write_text(LAYERS)
    study = Study(
        name="edited",
        base=TrialSpec(task=DigitsTask(model="edited_net:net"), schedule=ScheduleSpec(epochs=1)),
        report_seeds=1,
    )
    options = Options(storage=tmp_path, path=[tmp_path], cpus_per_trial=2)
    directory = launch(study, options).directory
    # What changes no number is no change.
    layers.write_text("# activations\n" + LAYERS)
    launch(study, options, extend=Extension(report_seeds=1))
    assert "edited_layers" not in capsys.readouterr().out
    assert "SPT023" not in set(checks(analysis.load(directory))["code"])

    layers.write_text(LAYERS.replace("ReLU", "Sigmoid"))
    launch(study, options, extend=Extension(report_seeds=1))
    said = capsys.readouterr().out
    assert "the code of `edited_layers` is another (" in said
    assert "`edited_net` is another" not in said
    results = analysis.load(directory)
    first, second, third = results.trials().sort_values("seed")["own_code"]
    assert first == second != third
    assert third.partition(" ")[2] == first.partition(" ")[2], "the model's own file is the same"
    assert first.startswith("edited_layers=") and " edited_net=" in first
    (finding,) = checks(results).query("code == 'SPT023'").to_dict("records")
    assert finding["severity"] == "error" and "`edited_layers` as " in finding["message"]
