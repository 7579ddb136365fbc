"""The full-size studies follow the published schedules, step for step; every number here was worked
out by hand.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from sparsetune.cli.studies import find_study
from sparsetune.launch.preview import preview_study
from sparsetune.spec import TrialSpec
from sparsetune.study import Study

Facts = dict[str, Any]


@cache
def cells(study: str) -> dict[str, TrialSpec]:
    return {cell.name: cell.spec for cell in find_study(f"studies.{study}")[0].cells()}


@cache
def shown(study: str, cell: str) -> Facts:
    return previewed(cells(study)[cell])


def previewed(spec: TrialSpec) -> Facts:
    (facts,) = preview_study(Study(name="one", base=spec))["cells"]
    return dict(facts)


def phases(facts: Facts) -> list[tuple[float, str]]:
    return [(change["epoch"], change["phase"]) for change in facts["mask_changes"]]


def alternating(*starts: int) -> list[tuple[float, str]]:
    """Compressed from each of these epochs, for five."""
    return sorted(
        [(epoch, "compressed") for epoch in starts]
        + [(epoch + 5, "decompressed") for epoch in starts]
    )


# ---- AC/DC (IST-DASLab/ACDC, configs/neurips, 100, 150, 200 epochs)

PUBLISHED_ACDC = "acdc_published/target=0.9/epoch_multiplier="
COMPRESSED_LAST = {
    100: ([10, 20, 30, 40, 50, 60, 70], 85),
    150: ([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120], 135),
    200: ([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150, 160, 170], 185),
}


@pytest.mark.parametrize(("epochs", "multiplier"), [(100, "1"), (150, "1.5"), (200, "2")])
def test_phases_of_acdc(epochs: int, multiplier: str) -> None:
    """Ten dense epochs, five compressed and five not, ten dense, fifteen compressed; half of all
    are compressed.
    """
    starts, final = COMPRESSED_LAST[epochs]
    facts = shown("imagenet_resnet50_methods", PUBLISHED_ACDC + multiplier)
    assert phases(facts) == [(0, "dense"), *alternating(*starts), (final, "compressed")]
    assert facts["epochs"] == epochs
    assert 5 * len(starts) + epochs - final == epochs / 2


@pytest.mark.parametrize(
    ("epochs", "cell"),
    [
        (100, "acdc/target=0.9/epochs=100"),
        (250, "acdc/target=0.9/epochs=250"),
        (500, "acdc/target=0.9/epochs=500"),
    ],
)
def test_longer_training_repeats_the_phases_of_acdc(epochs: int, cell: str) -> None:
    facts = shown("imagenet_resnet50_extension", cell)
    starts = range(10, epochs - 29, 10)
    final = epochs - 15
    assert phases(facts) == [(0, "dense"), *alternating(*starts), (final, "compressed")]


def test_learning_rate_of_acdc() -> None:
    """One value an epoch: 0.256 (e + 1) / 5, then 0.256 (1 + cos(pi (e - 5) / 95)) / 2; 5,004 steps
    of 256 images.
    """
    facts = shown("imagenet_resnet50_methods", PUBLISHED_ACDC + "1")
    assert (facts["batch_size"], facts["steps_per_epoch"], facts["steps"]) == (256, 5004, 500_400)
    rates = facts["learning_rate_at_epochs"]
    assert rates[:6] == pytest.approx([0.0512, 0.1024, 0.1536, 0.2048, 0.256, 0.256])
    # cosines of 36, 72, 108 and 144 degrees: 0.809017, 0.309017, -0.309017, -0.809017
    assert [rates[e] for e in (24, 43, 62, 81)] == pytest.approx(
        [0.231554, 0.167554, 0.088446, 0.024446], abs=1e-6
    )
    assert rates[99] == pytest.approx(0.256 * 2.7335e-4, rel=1e-3)  # (pi / 95)^2 / 4
    assert len(rates) == 101


def test_recipe_of_acdc() -> None:
    spec = cells("imagenet_resnet50_methods")[PUBLISHED_ACDC + "1"]
    optim = spec.optim
    assert (optim.momentum, optim.nesterov, optim.decay_bias_and_norm) == (0.875, False, True)
    assert optim.weight_decay == 0.000030517578125
    assert (spec.task.label_smoothing, spec.task.held_out(), spec.schedule.lr_per) == (
        0,
        0,
        "epoch",
    )
    resolved = spec.sparsity.resolved()
    assert (resolved.reset, resolved.allocation, resolved.score) == ("all", "global", "magnitude")


# ---- RigL on ImageNet (Evci et al. 2020, google-research/rigl)

RIGL = "imagenet_resnet50_rigl_extension"


def test_rigl_once() -> None:
    """Epochs of 1,281,167 / 4,096 = 312.785 steps: 30, 70 and 90 of them are 9,383.5, 21,894.9 and
    28,150.6 steps.
    """
    facts = shown(RIGL, "rigl/target=0.9/epoch_multiplier=1")
    assert (facts["steps"], facts["batch_size"], facts["warmup_steps"]) == (32_000, 4096, 1564)
    assert facts["learning_rate_falls"] == [9384, 21_895, 28_151]
    assert facts["regrow"]["until"] == 25_000
    assert facts["regrow"]["samples_per_update"] == 409_600
    assert facts["regrow"]["updates"] == list(range(100, 25_000, 100))
    rates = facts["learning_rate_at_epochs"]
    assert [rates[epoch] for epoch in (6, 40, 80, 100)] == pytest.approx([1.6, 0.16, 0.016, 0.0016])


def test_rigl_five_times() -> None:
    """Anchors and the end of updates stretch, the interval does not: 150, 350 and 450 of the
    original's epochs.

    They end at steps 46,917.7, 109,474.7 and 140,753.2; ours fall at the nearest step, the
    original's at the next.
    """
    facts = shown(RIGL, "rigl/target=0.9/epoch_multiplier=5")
    assert (facts["steps"], facts["warmup_steps"]) == (160_000, 7820)
    assert facts["learning_rate_falls"] == [46_918, 109_475, 140_753]
    assert facts["regrow"]["until"] == 125_000
    assert facts["regrow"]["updates"] == list(range(100, 125_000, 100))


def test_rigl_at_another_batch_size() -> None:
    """The same images in batches of 256: 16 times the steps, an update every 1,600 of 512,000, a
    sixteenth of 1.6.
    """
    spec = cells(RIGL)["rigl/target=0.9/epoch_multiplier=1"]
    smaller = spec.with_values(
        {"task.batch_size": 256, "schedule.epochs": 512_000 / 5004, "compute.accumulate": 1}
    )
    facts = previewed(smaller)
    assert (facts["steps"], facts["steps_per_epoch"]) == (512_000, 5004)
    assert facts["learning_rate_falls"] == [150_137, 350_319, 450_410]
    assert facts["regrow"] == {
        "updates": list(range(1600, 400_000, 1600)),
        "until": 400_000,
        "samples_per_update": 409_600,
    }
    assert facts["learning_rate_at_epochs"][10] == pytest.approx(0.1)


def test_rigl_exchanges_less_and_less() -> None:
    """0.15 (1 + cos(pi t / 25,000)) of a layer's kept weights: halves of 0.3 at the middle, 0.225
    at a third.
    """
    exchanged = {
        change["step"]: change["exchanged"]
        for change in shown(RIGL, "rigl/target=0.9/epoch_multiplier=1")["mask_changes"]
    }
    assert exchanged[12_500] == pytest.approx(0.15)
    assert exchanged[100] == pytest.approx(
        0.3 - 0.15 * 7.8957e-5, abs=1e-7
    )  # 1 - cos x = x^2 / 2, x = pi / 250
    assert exchanged[8300] == pytest.approx(0.15 * (1 + 0.503625), abs=1e-5)  # cos 59.76 degrees


def test_the_first_layer_stays_dense_at_99_percent() -> None:
    spec = cells(RIGL)["rigl_99/target=0.99/epoch_multiplier=5"]
    assert spec.sparsity.spared == ("conv1",)
    assert (spec.optim.nesterov, spec.optim.weight_decay, spec.task.label_smoothing) == (
        True,
        1e-4,
        0.1,
    )


# ---- GMP (Gale et al. 2019, state_of_sparsity)


def gmp(start: int, tail: int, every: int) -> Facts:
    recipe = f"start={start} steps/tail={tail} steps/every={every} steps/label_smoothing=0.1"
    return shown("imagenet_resnet50_gmp_ramp", f"gmp/target=0.9/{recipe}")


def test_ramp_of_gmp() -> None:
    """0.9 (1 - (1 - (t - 8,000) / 60,000)^3): at 10,000 one thirtieth of the way, at 38,000 half,
    at 53,000 3/4.
    """
    changes = gmp(8000, 60_000, 2000)["mask_changes"]
    assert [change["step"] for change in changes] == [0, *range(8000, 68_001, 2000)]
    reached = {change["step"]: change["sparsity"] for change in changes}
    assert [reached[step] for step in (8000, 10_000, 38_000, 68_000)] == pytest.approx(
        [0, 0.0870333, 0.7875, 0.9]
    )
    assert reached[56_000] == pytest.approx(0.9 * (1 - 0.2**3))
    assert [change["phase"] for change in changes[-2:]] == ["ramp", "fixed"]


def test_a_ramp_that_its_interval_does_not_divide() -> None:
    """From 8,000 to 68,000 every 8,000: the last before the end is at 64,000; the target is reached
    all the same.
    """
    changes = gmp(8000, 60_000, 8000)["mask_changes"]
    assert [change["step"] for change in changes] == [
        0,
        8000,
        16_000,
        24_000,
        32_000,
        40_000,
        48_000,
        56_000,
        64_000,
        68_000,
    ]
    assert changes[-2]["sparsity"] == pytest.approx(0.9 * (1 - 1 / 3375))
    assert changes[-1]["sparsity"] == 0.9


def test_a_late_ramp_of_gmp() -> None:
    """40,000 to 100,000 of 128,000 every 4,000 steps: a fifth of the way at 52,000, 0.9 (1 -
    0.8^3).
    """
    changes = gmp(40_000, 28_000, 4000)["mask_changes"]
    assert [change["step"] for change in changes] == [0, *range(40_000, 100_001, 4000)]
    assert changes[4]["sparsity"] == pytest.approx(0.4392)


def test_learning_rate_of_gmp() -> None:
    """0.4 in 5 epochs of 1,251.14 steps, a tenth from 30, 60 and 80 on: steps 37,534.2, 75,068.4,
    100,091.2.
    """
    facts = gmp(8000, 60_000, 2000)
    assert (facts["steps"], facts["steps_per_epoch"], facts["batch_size"]) == (128_000, 1251, 1024)
    assert (facts["warmup_steps"], facts["learning_rate_falls"]) == (
        6256,
        [37_535, 75_069, 100_092],
    )
    rates = facts["learning_rate_at_epochs"]
    assert [rates[epoch] for epoch in (6, 30, 31, 61, 81)] == pytest.approx(
        [0.4, 0.4, 0.04, 0.004, 0.0004]
    )


def test_every_published_recipe_of_gmp_is_a_cell_once() -> None:
    recipes = {
        (str(ramp.start), str(ramp.tail), str(ramp.every), spec.task.label_smoothing)
        for spec in cells("imagenet_resnet50_gmp_ramp").values()
        if (ramp := spec.sparsity.ramp) and spec.sparsity.method == "gmp"
    }
    assert len(recipes) == 54


# ---- WRN-22-2 on CIFAR-10 (rigl/cifar_resnet)

WRN = "cifar10_wrn22_methods"


@pytest.mark.parametrize("times", [1, 2])
def test_schedules_of_wrn22(times: int) -> None:
    """97,656 steps of 128; a fifth at 30,000, 60,000, 90,000; updates to 75,000; a ramp from 20,000
    to 75,000.
    """
    point = f"target=0.9/epoch_multiplier={times}"
    for arm in ("rigl", "set"):
        facts = shown(WRN, f"{arm}/{point}")
        assert (facts["steps"], facts["steps_per_epoch"], facts["warmup_steps"]) == (
            97_656 * times,
            390,
            0,
        )
        assert facts["learning_rate_falls"] == [30_000 * times, 60_000 * times, 90_000 * times]
        assert facts["regrow"]["updates"] == list(range(100, 75_000 * times, 100))
        assert facts["regrow"]["until"] == 75_000 * times
    ramp = [change["step"] for change in shown(WRN, f"gmp/{point}")["mask_changes"]]
    assert ramp == [0, *range(20_000 * times, 75_000 * times + 1, 1000)]


def test_learning_rate_of_wrn22() -> None:
    rates = shown(WRN, "static/target=0.9/epoch_multiplier=1")["learning_rate_at_epochs"]
    assert [rates[epoch] for epoch in (0, 76, 77, 154, 231, 250)] == pytest.approx(
        [0.1, 0.1, 0.02, 0.004, 0.0008, 0.0008]
    )


def test_all_methods_of_wrn22_share_layer_sparsities() -> None:
    sparse = [spec for spec in cells(WRN).values() if spec.sparsity.method != "dense"]
    assert {spec.sparsity.resolved().allocation for spec in sparse} == {"erk"}
    assert len(sparse) == 32


# ---- progressive resizing (ffcv-imagenet)


def test_images_grow_as_in_ffcv() -> None:
    """The 88-epoch configuration: 160 pixels to epoch 65, 192 from 76, and nearest multiples of 32
    between.
    """
    facts = shown("imagenet_resnet50_extension", "dense/epochs=88")
    sizes = facts["resolution_at_epochs"]
    assert (sizes[0], sizes[65], sizes[70], sizes[71], sizes[76], sizes[87]) == (
        160,
        160,
        160,
        192,
        192,
        192,
    )
    assert facts["learning_rate_at_epochs"][2] == pytest.approx(
        1.7 / 4
    )  # 4,096 images there, 1,024 here
    assert facts["learning_rate_at_epochs"][45] == pytest.approx(
        1.7 / 4 / 2
    )  # half-way from 2 to 88
