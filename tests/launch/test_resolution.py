"""Sizes of data that a launch finds: folders of images, and data sets of the library `datasets`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sparsetune.errors import DeclarationError
from sparsetune.launch.launch import Options, launch
from sparsetune.launch.preflight import require_runnable
from sparsetune.launch.preview import preview_study, print_preview
from sparsetune.spec import DistillSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.defaults import DEFAULTS_BY_VERSION
from sparsetune.spec.sparsity import RampSpec, SparsitySpec
from sparsetune.spec.task import DatasetTask, FolderTask, ImageTask, SizedTask
from sparsetune.storage import StudyDirectory
from sparsetune.study import Arm, Study
from sparsetune.tasks.images.folder import _list_images
from tests.hub_data import digit_sets
from tests.pictures import write_folder

GMP = {"sparsity.method": "gmp"}
SWEEP = {"sparsity.target": [0, 0.9]}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSETUNE_CACHE", str(tmp_path / "cache"))
    _list_images.cache_clear()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of 36 images in 3 classes, and 12 to test."""
    return write_folder(tmp_path / "images").parent


def study(task: DatasetTask, **given: Any) -> Study:
    ramp = RampSpec(start="1 epochs", length="4 epochs")
    base = TrialSpec(task=task, schedule=ScheduleSpec(epochs=6), sparsity=SparsitySpec(ramp=ramp))
    declared = Study(
        name="sized", **{"base": base, "arms": {"gmp": Arm(GMP)}, "sweep": SWEEP, **given}
    )
    return declared.under_defaults(DEFAULTS_BY_VERSION.current)


def folder(**given: Any) -> FolderTask:
    own = {"folder": "images", "model": "resnet8", "resolution": 32, "batch_size": 8}
    return FolderTask(**{**own, **given})


def faults(declared: Study, data_root: Path) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        require_runnable(declared, data_root=data_root)
    return [str(problem) for problem in caught.value.problems]


def test_a_folder_tells_its_sizes_and_no_name_changes(images: Path) -> None:
    declared = study(folder())
    ready = require_runnable(declared, data_root=images)
    task = ready.base.task
    assert isinstance(task, FolderTask)
    assert (task.pool(), task.class_count(), task.held_out(), task.train_size()) == (36, 3, 4, 32)
    assert task.sizes().class_names == ("class0", "class1", "class2")
    assert ready.digest() == declared.digest()
    names = [[cell.spec.trial_id() for cell in each.cells()] for each in (ready, declared)]
    assert names[0] == names[1]
    columns = ready.base.columns()
    assert (columns["task.eval_resolution"], columns["task.eval_resize"]) == (32, 37)
    assert (columns["task.examples"], columns["task.classes"]) == (36, 3)


def test_a_wrong_count_is_said_alone(images: Path) -> None:
    (told,) = faults(study(folder(examples=2000)), images)
    assert told.startswith("`base.task.examples`: must be 36, the images of ")
    assert told.endswith("images/train`; leave it out to have them counted, got 2000")


def test_a_wrong_split_is_said_without_what_follows_from_it(images: Path) -> None:
    declared = study(folder(examples=36, classes=3, validation=40))
    told = faults(declared, images)
    assert told == [
        "`base.task.validation`: must hold out fewer examples than the 36 that there are"
        ", got 40 examples"
    ]


def test_without_the_data_the_preview_says_what_is_unresolved(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = study(folder())
    facts = preview_study(declared, data_root=tmp_path / "nowhere")
    assert facts["unresolved"]
    assert [cell["cell"] for cell in facts["cells"]] == ["dense", "gmp/target=0.9"]
    print_preview(declared, data_root=tmp_path / "nowhere")
    assert "unresolved: steps, schedules and cost follow from the data" in capsys.readouterr().out
    (dense, _) = preview_study(declared, data_root=images)["cells"]
    assert dense["steps_per_epoch"] == 4  # 32 / 8
    print_preview(declared, data_root=images)
    assert "At most" in capsys.readouterr().out


def test_a_launch_without_the_data_says_where_it_looked(tmp_path: Path) -> None:
    (told,) = faults(study(folder()), tmp_path)
    assert told.startswith(
        f"`base.task.folder`: `{tmp_path}/images/train` must hold a folder of imag"
    )


def test_an_arm_may_name_data_of_its_own(tmp_path: Path) -> None:
    digit_sets().save_to_disk(str(tmp_path / "digits"))
    digit_sets(200).save_to_disk(str(tmp_path / "fewer"))
    names = {"image": "picture", "label": "digit", "batch_size": 32}
    task = ImageTask(dataset="hf:digits", **names)
    ready = require_runnable(
        study(task, arms={"fewer": Arm({"task.dataset": "hf:fewer"})}, sweep={}),
        data_root=tmp_path,
    )
    assert sorted(cell.spec.task.pool() for cell in ready.cells()) == [200]
    arms = {"whole": Arm(), "fewer": Arm({"task.dataset": "hf:fewer"})}
    ready = require_runnable(study(task, arms=arms, sweep={}), data_root=tmp_path)
    assert sorted(cell.spec.task.pool() for cell in ready.cells()) == [200, 300]


def test_an_arm_of_another_kind_is_refused(images: Path) -> None:
    arms = {"folder": Arm({"task.kind": "folder", "task.folder": "images"})}
    declared = study(ImageTask(), arms=arms, sweep={})
    (told,) = faults(declared, images)
    assert told.startswith(
        "`arms.folder.overrides.task.kind`: a task whose sizes are found at the "
    )


def test_a_teacher_knows_the_sizes_too(tmp_path: Path) -> None:
    digit_sets().save_to_disk(str(tmp_path / "digits"))
    task = ImageTask(dataset="hf:digits", image="picture", label="digit", batch_size=32)
    teacher = TrialSpec(task=task, schedule=ScheduleSpec(epochs=1))
    base = TrialSpec(
        task=task,
        schedule=ScheduleSpec(epochs=3),
        distill=DistillSpec(hardness=0.5, teacher=teacher),
    )
    ready = require_runnable(study(task, base=base, arms={}, sweep={}), data_root=tmp_path)
    taught = ready.cells()[0].spec.distill.teacher
    assert taught is not None
    assert taught.total_steps() == 8  # whole batches of 32 in 270 examples


@pytest.mark.cluster
def test_a_study_of_saved_images_is_launched_and_extended(tmp_path: Path) -> None:
    digit_sets().save_to_disk(str(tmp_path / "digits"))
    task = ImageTask(dataset="hf:digits", image="picture", label="digit", batch_size=32)
    options = Options(storage=tmp_path / "runs", data_root=tmp_path, quiet=True)
    declared = study(task, report_seeds=1)
    outcome = launch(declared, options)
    assert outcome.counts == {"COMPLETE": sum(outcome.counts.values())}
    stored = StudyDirectory(tmp_path / "runs/sized").study().base.task
    assert isinstance(stored, SizedTask)
    assert stored.sizes().train == 300
    again = launch(declared, options)
    assert again.counts == outcome.counts
