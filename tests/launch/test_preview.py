"""The preview: schedules as published, trials as they would run, no data and no training."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsetune.errors import DeclarationError
from sparsetune.launch.preview import preview_study, print_preview
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import PUBLISHED_ACDC, RegrowSpec, SparsitySpec
from sparsetune.spec.task import FolderTask, GrowthSpec, ImageTask
from sparsetune.study import Arm, Study
from sparsetune.study.space import LogUniform


def published(**schedule: object) -> Study:
    base = TrialSpec(
        schedule=ScheduleSpec(**{"epochs": 100, **schedule}),
        sparsity=SparsitySpec(method="acdc", target=0.9, acdc=PUBLISHED_ACDC),
    )
    return Study(name="published", base=base)


def phases(study: Study) -> list[tuple[float, str, float]]:
    (cell,) = preview_study(study)["cells"]
    return [
        (change["epoch"], change["phase"], change["sparsity"]) for change in cell["mask_changes"]
    ]


def test_the_published_acdc_plan() -> None:
    """Peste et al. 2021: dense for 10 epochs, then 5 compressed and 5 not; 10 dense before the last
    15 of 100.
    """
    compressed = [(float(epoch), "compressed", 0.9) for epoch in (10, 20, 30, 40, 50, 60, 70)]
    dense = [(float(epoch), "decompressed", 0.0) for epoch in (15, 25, 35, 45, 55, 65, 75)]
    assert phases(published()) == [
        (0.0, "dense", 0.0),
        *sorted(compressed + dense),
        (85.0, "compressed", 0.9),
    ]


def test_the_learning_rate_at_every_epoch() -> None:
    base = TrialSpec(
        optim=OptimSpec(lr=0.2), schedule=ScheduleSpec(epochs=4, warmup=0, lr="linear")
    )
    (cell,) = preview_study(Study(name="s", base=base))["cells"]
    total = 80
    assert (cell["steps"], cell["steps_per_epoch"], cell["epochs"]) == (total, 20, 4)
    expected = [0.2 * (1 - step / total) for step in (0, 20, 40, 60, 79)]
    assert cell["learning_rate_at_epochs"] == pytest.approx(expected, rel=0.02)


def test_steps_of_falls_and_of_drop_and_grow() -> None:
    """Ten epochs of 20 steps of 64: falls at half and at 9 epochs; updates each 320 images until
    three quarters.
    """
    base = TrialSpec(
        schedule=ScheduleSpec(epochs=10, lr="step", anchors=(0.5, "9 epochs"), warmup="8 steps"),
        sparsity=SparsitySpec(method="rigl", target=0.9, regrow=RegrowSpec(every="320 samples")),
    )
    (cell,) = preview_study(Study(name="s", base=base))["cells"]
    assert (cell["batch_size"], cell["warmup_steps"], cell["learning_rate_falls"]) == (
        64,
        8,
        [100, 180],
    )
    assert cell["regrow"] == {
        "updates": list(range(5, 150, 5)),
        "until": 150,
        "samples_per_update": 320,
    }
    assert cell["resolution_at_epochs"] is None
    exchanged = {change["step"]: change["exchanged"] for change in cell["mask_changes"]}
    assert (exchanged[0], exchanged[75], exchanged[150]) == (0, pytest.approx(0.15), 0)
    (dense,) = preview_study(Study(name="s"))["cells"]
    assert (dense["regrow"], dense["learning_rate_falls"]) == (None, [])


def test_the_resolution_at_every_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    """Ten steps an epoch: 64 pixels until epoch 2, 128 from epoch 4, in multiples of 32 between."""
    task = FolderTask(
        examples=1000,
        classes=10,
        model="resnet18",
        batch_size=100,
        validation=0,
        resolution=128,
        growth=GrowthSpec(first=64, start="2 epochs", length="2 epochs"),
    )
    study = Study(name="s", base=TrialSpec(task=task, schedule=ScheduleSpec(epochs=5)))
    (cell,) = preview_study(study)["cells"]
    assert cell["resolution_at_epochs"] == [64, 64, 64, 96, 128, 128]
    print_preview(study)
    (line,) = (
        line.split()[-1]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("  resolution")
    )
    assert (line[0], line[-1], len(line)) == ("▅", "█", 60)


def searching() -> Study:
    return Study(
        name="s",
        question="Which [recipe]?",
        arms={"gmp": Arm({"sparsity.method": "gmp"})},
        sweep={"sparsity.target": [0, 0.9], "schedule.epoch_multiplier": [1, 2]},
        search={"optim.lr": LogUniform(0.01, 1)},
        configurations_per_cell=4,
        report_seeds=2,
    )


def test_totals_are_upper_bounds() -> None:
    facts = preview_study(searching())
    assert facts["trials_at_most"] == 4 * 4 + 2 * (4 + 2 + 2)
    assert facts["epochs_at_most"] == 4 * (8 + 2 + 6) + 8 * (8 + 2 + 6)
    assert {cell["cell"]: cell["search"] for cell in facts["cells"]}[
        "dense/epoch_multiplier=1"
    ] == ["optim.lr"]


def test_what_a_person_sees(capsys: pytest.CaptureFixture[str]) -> None:
    print_preview(searching())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "s Which [recipe]?"
    assert "searched in each cell: optim.lr, log uniform over [0.01, 1.0]" in lines
    assert lines[-1] == "At most 32 trials, 192 epochs of training in all."
    (row,) = (
        line.split() for line in lines if line.startswith("gmp/target=0.9/epoch_multiplier=2 ")
    )
    assert row[1:3] == ["8", "160"]
    sparsities = [line.split()[-1] for line in lines if line.startswith("  sparsity")]
    assert sparsities[0] == "▁" * 60
    assert (sparsities[1][0], sparsities[1][-1]) == ("▁", "█")


def test_no_data_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSETUNE_DATA", "/nowhere")
    facts = preview_study(Study(name="s", base=TrialSpec(task=ImageTask(train_examples=20_000))))
    assert facts["cells"][0]["steps_per_epoch"] == 20_000 // 128


def test_a_plan_that_is_too_short_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"base\.sparsity\.acdc.*compressed phases"):
        preview_study(published(epochs=20))


def test_time_and_bytes_only_where_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    study = Study(name="s", base=TrialSpec(schedule=ScheduleSpec(epochs=8)), report_seeds=2)
    assert preview_study(study)["forecast"] is None
    print_preview(study, probe=True)
    *_, time, size = capsys.readouterr().out.splitlines()
    assert time.startswith("About ")
    assert size.startswith("Writes at most ")
    assert size.endswith("of models with --keep-models.")
    facts = preview_study(study, probe=True)["forecast"]
    assert (facts["trials_left"], facts["epochs_left"]) == (2, 16)
    assert 20 < facts["seconds"] < 120
    assert facts["model_bytes"] == 2 * 68_904


@pytest.mark.cluster
def test_a_forecast_without_data_says_why(tmp_path: Path) -> None:
    study = Study(name="s", base=TrialSpec(task=ImageTask()))
    facts = preview_study(study, probe=True, data_root=tmp_path)["forecast"]
    assert facts["seconds"] is None
    assert str(tmp_path) in facts["summary"][0]


def test_known_points_and_the_budget_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    known = [{"optim.lr": 0.3}, {"optim.lr": 0.05}]
    declared = searching().with_changes(known=known, at_most={"epochs": 8})
    print_preview(declared)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("tried first")] == [
        "tried first: optim.lr 0.3",
        "tried first: optim.lr 0.05",
    ]
    assert "each searched configuration costs at most 8 epochs" in lines
    assert preview_study(declared)["tried_first"] == known
