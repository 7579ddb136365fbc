"""Images of a data set that the library `datasets` reads: sizes, pixels, trials, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from sparsetune.errors import DataError
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.task import ImageTask
from sparsetune.tasks.images.hub import HubImages, forget_images
from sparsetune.tasks.kinds import data_digest, kind_of, load_task, resolve_task
from sparsetune.tasks.task import evaluated_together
from sparsetune.train import train
from tests.hub_data import digit_images, digit_sets, png_bytes


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSETUNE_CACHE", str(tmp_path / "cache"))
    forget_images()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    digit_sets().save_to_disk(str(tmp_path / "digits"))
    return tmp_path


def task(dataset: str = "digits", **given: Any) -> ImageTask:
    names = {"image": "picture", "label": "digit", "batch_size": 32, "validation": 60}
    return ImageTask(**{"dataset": f"hf:{dataset}", **names, **given})


def resolved(data_root: Path, **given: Any) -> ImageTask:
    found = resolve_task(task(**given), data_root)
    assert isinstance(found, ImageTask)
    return found


def test_sizes_are_those_of_the_data(saved: Path) -> None:
    declared = task()
    assert not declared.is_resolved
    found = resolved(saved)
    sizes = found.sizes()
    assert (found.pool(), found.held_out(), found.train_size()) == (300, 60, 240)
    assert (sizes.test, sizes.n_outputs, sizes.input_shape()) == (100, 10, (1, 8, 8))
    assert sizes.class_names == tuple(f"d{number}" for number in range(10))
    assert TrialSpec(task=found).trial_id() == TrialSpec(task=declared).trial_id()
    assert data_digest(found, saved) == f"hf:digits={sizes.fingerprint}"


def test_inputs_have_mean_0_and_variance_1_over_the_training_split(saved: Path) -> None:
    splits = load_task(resolved(saved, validation=0), data_root=saved).splits
    (inputs, targets) = next(iter(splits.train.read([torch.arange(300)])))
    assert isinstance(inputs, torch.Tensor)
    assert float(inputs.mean()) == pytest.approx(0, abs=1e-5)
    assert float(inputs.std(correction=0)) == pytest.approx(1, abs=1e-5)
    _, classes = digit_images(0, 300)
    assert isinstance(targets, torch.Tensor)
    assert targets.tolist() == classes


def test_a_parquet_file_of_the_same_images_is_the_same_data(saved: Path) -> None:
    (saved / "parquet").mkdir()
    for name, rows in digit_sets().items():
        rows.to_parquet(str(saved / "parquet" / f"{name}.parquet"))
    assert resolved(saved, dataset="parquet").sizes().fingerprint == (
        resolved(saved).sizes().fingerprint
    )


def test_a_csv_file_names_images_by_paths_below_it(tmp_path: Path) -> None:
    images, classes = digit_images(0, 40)
    lines = ["picture,digit"]
    for number, image in enumerate(images):
        image.convert("RGB").save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{classes[number]}")
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    cut = {"train_split": "train[:30]", "test_split": "train[30:]", "validation": 0}
    sizes = resolved(tmp_path, dataset="rows.csv", **cut).sizes()
    assert (sizes.input_shape(), sizes.train, sizes.class_names[0]) == ((3, 8, 8), 30, "0")


def test_a_trial_learns(saved: Path) -> None:
    rows: list[dict[str, Any]] = []
    spec = TrialSpec(task=task(model="lenet_300_100", crop=1), schedule=ScheduleSpec(epochs=4))
    result = train(spec, data_root=saved, report=rows.append)
    assert result.status == "COMPLETE"
    assert rows[-1]["val_accuracy"] > 0.5


def test_an_export_says_how_pixels_become_inputs_and_predicts(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = kind_of(resolved(saved, model="lenet_300_100"))
    model = kind.network(saved, None).build().eval()
    out = tmp_path / "out"
    out.mkdir()
    exported = kind.export(model.state_dict(), out, saved, None)
    assert exported.facts["class_names"][:2] == ["d0", "d1"]
    monkeypatch.chdir(out)
    given: dict[str, Any] = {}
    exec(exported.loading_lines, given)
    pixels, _ = HubImages.of(task())(saved)["test"]
    splits = load_task(resolved(saved, model="lenet_300_100"), data_root=saved).splits
    ((inputs, _),) = splits.test.read([torch.arange(100)])
    with torch.no_grad():
        assert torch.equal(given["predict"](pixels), model(inputs).argmax(1))


def several(tmp_path: Path, *sides: tuple[int, int]) -> None:
    features = datasets.Features({"picture": datasets.Image(), "digit": datasets.Value("int64")})
    stored = [{"bytes": png_bytes(Image.new("L", side, 9)), "path": None} for side in sides]
    columns = {"picture": stored, "digit": [row % 2 for row in range(len(sides))]}
    rows = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(str(tmp_path / "several"))


def test_images_of_several_sizes_are_resized_or_refused(tmp_path: Path) -> None:
    several(tmp_path, (8, 8), (8, 8), (12, 10))
    told = r"one size, got 8 x 8 and, in `train`, row 2, 12 x 10; set `task.resize`.*`FolderTask`"
    with pytest.raises(DataError, match=told):
        resolved(tmp_path, dataset="several")
    assert resolved(tmp_path, dataset="several", resize=6).sizes().input_shape() == (1, 6, 6)


def test_a_transparent_image_is_refused_with_its_row(tmp_path: Path) -> None:
    sets = digit_sets(20, 10)
    clear = png_bytes(Image.new("RGBA", (8, 8)))
    features = sets["train"].features
    extra = datasets.Dataset.from_dict(
        {"picture": [{"bytes": clear, "path": None}], "digit": [0]}, features=features
    )
    sets["train"] = datasets.concatenate_datasets([sets["train"], extra])
    sets.save_to_disk(str(tmp_path / "clear"))
    with pytest.raises(DataError, match=r"`train`, row 20, `picture` must be an image .*transpar"):
        resolved(tmp_path, dataset="clear")


def test_a_column_that_is_not_there_is_refused(saved: Path) -> None:
    with pytest.raises(DataError, match=r"column `image`, its columns are picture, digit; set `ta"):
        resolved(saved, image="image")
    with pytest.raises(
        DataError, match=r"`digit` must be an image, its bytes or the path .*got in"
    ):
        resolved(saved, image="digit")


def test_other_data_than_at_the_launch_are_refused(saved: Path) -> None:
    found = resolved(saved)
    forget_images()
    digit_sets(280, 100).save_to_disk(str(saved / "digits"))
    with pytest.raises(
        DataError, match=r"launched with, of shape \(300, 1, 8, 8\) in `train`, got"
    ):
        load_task(found, data_root=saved)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"dataset": "mnist"}, "must be 'fashion_mnist', 'cifar10', .*, or 'hf:owner/name'"),
        ({"dataset": "hf:"}, "or 'hf:owner/name' or 'hf:path' for data of yours"),
        ({"image": "img"}, "`image` is for a data set `hf:…`, got the data set `fashion_mnist`"),
        ({"label": "y"}, "`label` is for a data set `hf:…`"),
        ({"resize": 32}, "`resize` is for a data set `hf:…`"),
        ({"test_split": "validation"}, "`test_split` is for a data set `hf:…`"),
    ],
)
def test_what_means_nothing_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        ImageTask.model_validate(given)


def test_columns_of_tables_have_what_applies() -> None:
    assert "task.image" not in TrialSpec(task=ImageTask()).columns()
    columns = TrialSpec(task=task()).columns()
    assert (columns["task.image"], columns["task.test_split"]) == ("picture", None)
    assert not any(name.startswith("task.resolved") for name in columns)


def test_so_many_images_are_evaluated_at_once_as_fit_the_memory() -> None:
    # 4,194,304 / (3 * 224 * 224) = 27.9
    assert evaluated_together(3 * 224 * 224) == 27
    assert evaluated_together(28 * 28) == 1000
    assert evaluated_together(2**23) == 1
