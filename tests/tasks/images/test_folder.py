"""Images in folders: augmented by seed, epoch and example, and refused where broken."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pyarrow import parquet

from sparsetune.errors import DataError
from sparsetune.spec import ComputeSpec, OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.rates import image_resolution
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.spec.task import FolderTask, GrowthSpec
from sparsetune.tasks.images import folder
from sparsetune.tasks.images.folder import CHANNEL_DEVIATION, CHANNEL_MEAN, _list_images
from sparsetune.tasks.kinds import data_digest, load_task, prepare_data, resolve_task
from sparsetune.tasks.task import Batch
from sparsetune.train import train
from tests.pictures import write_folder


@pytest.fixture(autouse=True)
def forget() -> None:
    _list_images.cache_clear()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "images")


def task(images: Path, **given: Any) -> FolderTask:
    sizes = {
        "resolution": 32,
        "eval_resolution": 32,
        "eval_resize": 36,
        "examples": 36,
        "classes": 3,
    }
    return FolderTask(
        **{
            "folder": str(images),
            "model": "resnet8",
            "batch_size": 8,
            "validation": 6,
            **sizes,
            **given,
        }
    )


def trial(folder: Path, seed: int = 0, **given: Any) -> TrialSpec:
    return TrialSpec(task=task(folder, **given), schedule=ScheduleSpec(epochs=2), seed=seed)


def batches(spec: TrialSpec, first: int = 0) -> list[Batch]:
    return [
        (inputs, targets)
        for inputs, targets, _ in load_task(spec.task).splits.train.training(spec, first)
    ]


def equal(ours: list[Batch], theirs: list[Batch]) -> bool:
    return all(
        torch.equal(a, b)
        for x, y in zip(ours, theirs, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_splits_have_the_declared_sizes_and_every_class(images: Path) -> None:
    splits = load_task(task(images)).splits
    assert [
        len(part) for part in (splits.train, splits.train_subset, splits.validation, splits.test)
    ] == [
        30,
        30,
        6,
        12,
    ]
    ((inputs, targets),) = splits.validation.read([torch.arange(6)])
    assert inputs.shape == (6, 3, 32, 32)
    assert targets.bincount().tolist() == [2, 2, 2]


def test_an_evaluated_image_is_the_centre_of_the_resized_one(images: Path) -> None:
    """A uniform image keeps its colour through resizing, and is normalised per channel."""
    for path in images.glob("val/*/*.jpg"):
        Image.new("RGB", (50, 40), (255, 0, 51)).save(path, format="png")
    inputs, _ = next(iter(load_task(task(images)).splits.test.read([torch.tensor([3])])))
    expected = [
        (value - m) / d
        for value, m, d in zip((1, 0, 0.2), CHANNEL_MEAN, CHANNEL_DEVIATION, strict=True)
    ]
    assert inputs[0, :, 5, 7].tolist() == pytest.approx(expected, rel=1e-5)
    assert inputs[0].flatten(1).std(1).max() < 1e-6


def test_augmentation_is_a_function_of_seed_epoch_and_example(images: Path) -> None:
    spec = trial(images)
    whole = batches(spec)
    assert len(whole) == 6
    assert equal(whole, batches(spec))
    assert equal(whole[4:], batches(spec, first=4))
    assert not equal(whole, batches(trial(images, seed=1)))
    first, second = (
        torch.cat([inputs.flatten(1) for inputs, _ in whole[i : i + 3]]) for i in (0, 3)
    )
    assert not any(
        torch.equal(row, other) for row in first for other in second
    )  # another epoch, other crops


def test_numbers_do_not_depend_on_workers_nor_on_what_was_drawn_before(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = batches(trial(images))
    torch.manual_seed(7)
    state = torch.get_rng_state()
    monkeypatch.setattr(folder, "count_workers", lambda _: 2)
    assert equal(batches(trial(images)), alone)
    assert torch.equal(torch.get_rng_state(), state)


def test_flip_and_crop_are_as_declared(images: Path) -> None:
    plain = trial(images, flip=False, least_area=1.0)
    assert not equal(batches(plain), batches(trial(images, flip=True, least_area=1.0)))
    assert not equal(batches(plain), batches(trial(images, flip=False, least_area=0.2)))


def test_images_grow_by_schedule(images: Path) -> None:
    growth = GrowthSpec(first=16, start=0.3, length=0.5, multiple=8)
    spec = trial(images, growth=growth)
    # six steps: growth from 1.8 to 4.8 steps, 16 + 16 (t - 1.8) / 3 pixels, to a multiple of 8
    assert [image_resolution(spec, step) for step in range(6)] == [16, 16, 16, 24, 24, 32]
    assert [inputs.shape[2] for inputs, _ in batches(spec)] == [16, 16, 16, 24, 24, 32]


def test_ffcv_sizes_by_hand() -> None:
    """160 pixels to epoch 65 of 88, then in steps of 32 to 192 at epoch 76."""
    growth = GrowthSpec(first=160, start=65 / 88, length=11 / 88)
    spec = TrialSpec(
        task=FolderTask(resolution=192, growth=growth, validation=0),
        schedule=ScheduleSpec(epochs=88),
    )
    per_epoch = spec.steps_per_epoch()
    sides = [image_resolution(spec, epoch * per_epoch) for epoch in range(88)]
    assert sides == [160] * 71 + [192] * 17


def test_smaller_images_cost_less(images: Path) -> None:
    rows: list[Any] = []
    train(
        trial(images, growth=GrowthSpec(first=16, start=1.0, length=0.0, multiple=8)),
        report=rows.append,
    )
    assert rows[-1]["train_flops"] == pytest.approx(
        2 / 4, rel=0.01
    )  # two epochs at a quarter of the pixels


def test_a_trial_on_files_reads_the_test_split_once_at_its_end(images: Path) -> None:
    spec = trial(images).edited({"sparsity.method": "static", "sparsity.target": 0.5})
    final = train(spec, read_test=True)
    assert final.status == "COMPLETE" and final.certified
    assert 0 <= final.test["test_accuracy"] <= 1


def test_batch_norm_is_recalibrated_from_files(images: Path) -> None:
    sparsity = SparsitySpec(method="one_shot", target=0.5, recalibrate=20)
    assert train(trial(images).model_copy(update={"sparsity": sparsity})).status == "COMPLETE"


@pytest.mark.parametrize("content", [b"", b"no image", None])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_image_is_one_line_with_its_path(
    images: Path, content: bytes | None, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = images / "train" / "class1" / "004.jpg"
    path.write_bytes(path.read_bytes()[:300] if content is None else content)
    monkeypatch.setattr(folder, "count_workers", lambda _: workers)
    with pytest.raises(DataError) as caught:
        batches(trial(images, validation=0))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_an_image_that_went_missing_is_named(images: Path) -> None:
    ready = load_task(task(images, split_seed=3))
    for path in images.glob("train/class2/*.jpg"):
        path.unlink()
    with pytest.raises(DataError, match=r"train/class2/0.*FileNotFoundError"):
        list(ready.splits.train.training(trial(images, split_seed=3), 0))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"examples": 35}, r"must hold `examples` images, 35, got 36; leave `task.examples` out"),
        ({"classes": 4}, r"must hold `classes` folders of images, 4, got 3; leave `task.cl"),
        (
            {"folder": "nowhere"},
            r"nowhere/train` must hold a folder of images for every class.*SPARSETUNE_DATA",
        ),
    ],
)
def test_a_folder_that_is_not_as_declared_is_refused(
    images: Path, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(DataError, match=told):
        prepare_data(task(images, **given), images.parent)


def test_classes_must_be_the_same_in_both_parts(images: Path) -> None:
    shutil.move(images / "val" / "class2", images / "val" / "klass2")
    with pytest.raises(
        DataError, match="must hold the same classes, class2, klass2 stand in one of them alone"
    ):
        prepare_data(task(images), None)


def test_the_digest_names_every_file_and_size(images: Path) -> None:
    first = data_digest(task(images))
    assert first.startswith("images=") and data_digest(task(images, batch_size=4)) == first
    (images / "val" / "class0" / "012.jpg").write_bytes(b"longer or shorter")
    assert data_digest(task(images)) != first


@pytest.mark.data("cifar10-jpeg")
@pytest.mark.parametrize(
    "method",
    ["acdc", *(pytest.param(method, marks=pytest.mark.slow) for method in ("dense", "rigl"))],
)
def test_resnet50_takes_real_steps_on_real_pictures(
    method: str, tmp_path: Path, data_root: Path
) -> None:
    """The full-size model, recipe and reader; small pictures of CIFAR's JPEG copy and few steps.

    At 64 pixels batch normalisation averages 4 images x 4 places. At 32 it has 4 numbers, and then
    rounding, which differs between processors, decides whether a loss overflows.
    """
    for part, count in (("train", 40), ("test", 20)):
        table = parquet.read_table(data_root / "cifar10-jpeg" / f"cifar10_{part}_jpeg.parquet")
        for i, row in enumerate(table.slice(0, count).to_pylist()):
            path = (
                tmp_path / {"train": "train", "test": "val"}[part] / row["label_name"] / f"{i}.jpg"
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(row["image_jpeg"])
    sizes = {"examples": 40, "classes": 10, "validation": 0, "batch_size": 4}
    pixels = {"resolution": 64, "eval_resolution": 64, "eval_resize": 72}
    spec = TrialSpec(
        task=task(tmp_path, model="resnet50", label_smoothing=0.1, **sizes, **pixels),
        optim=OptimSpec(lr=0.05, lr_batch=1024, ema=0.9),
        schedule=ScheduleSpec(epochs=2, warmup="2 steps"),
        compute=ComputeSpec(channels_last=True, accumulate=2),
    ).edited({"sparsity.method": method, "sparsity.target": 0.9 * (method != "dense")})
    spec = spec.edited({"sparsity.regrow.every": "1 step"}).canonical()
    rows: list[Any] = []
    final = train(spec, report=rows.append, save_to=tmp_path / "model.safetensors")
    assert final.status == "COMPLETE" and final.certified, final.error
    assert rows[-1]["sparsity"] == pytest.approx(spec.sparsity.target, abs=1e-6)
    # ln(10) = 2.3 is the loss of a network that has learned nothing.
    assert all(row[loss] < 4 for row in rows for loss in ("batch_loss", "train_loss"))


def test_a_gpu_has_readers_for_all_its_cpus_and_a_cpu_computes_on_them() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert (folder.count_workers("cuda:0"), folder.count_workers("cpu")) == (3, 0)
    finally:
        torch.set_num_threads(before)


def test_what_is_evaluated_follows_the_resolution_and_fits_the_memory(images: Path) -> None:
    following = {"eval_resolution": None, "eval_resize": None, "eval_batch": None}
    splits = load_task(task(images, **following)).splits
    ((inputs, _),) = splits.validation.read(splits.validation.chunks())
    assert isinstance(inputs, torch.Tensor)
    assert inputs.shape == (6, 3, 32, 32)
    large = load_task(task(images, resolution=224, **following)).splits
    # 4,194,304 / (3 * 224 * 224) = 27.9
    assert [len(index) for index in large.train.chunks()] == [27, 3]
    old = load_task(task(images, resolution=224)).splits
    assert [len(index) for index in old.train.chunks()] == [30]


def test_sizes_that_are_left_out_are_counted(images: Path) -> None:
    left_out = trial(images, examples=None, classes=None)
    counted, declared = [], []
    train(left_out, report=counted.append)
    train(trial(images), report=declared.append)
    for row in (*counted, *declared):
        del row["seconds"]
    assert counted == declared


def test_a_folder_that_changed_since_its_launch_is_refused(images: Path) -> None:
    resolved = resolve_task(task(images, examples=None, classes=None), None)
    (images / "train/class0/000.jpg").unlink()
    _list_images.cache_clear()
    with pytest.raises(DataError, match="must hold the 36 images that the study was launched with"):
        prepare_data(resolved, None)
