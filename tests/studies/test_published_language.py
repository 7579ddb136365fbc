"""The studies of BERT follow the published schedules, step for step; every number here was worked
out by hand.

MNLI without a validation split has 392,702 // 32 = 12,271 steps an epoch: 122,710 in 10 epochs,
368,130 in 30.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sparsetune.cli.main import main
from sparsetune.cli.studies import find_study
from sparsetune.launch.preview import preview_study
from sparsetune.spec import TrialSpec
from sparsetune.study import Study
from sparsetune.train import train

EPOCH = 12_271
GRADUAL = {
    "gmp_star": "gmp_star/target={}/epoch_multiplier=1",
    "gmp_star_30": "gmp_star/target={}/epoch_multiplier=3",
    "obert_10": "obert_10/target={}/epoch_multiplier=1",
    "obert_30": "obert_30/target={}/epoch_multiplier=1",
}
PUBLISHED = {"task.validation": 0, "distill.teacher.task.validation": 0}
"""Nothing is chosen in the publications."""


@cache
def cells(study: str) -> dict[str, TrialSpec]:
    return {
        cell.name: cell.spec.with_values(PUBLISHED)
        for cell in find_study(f"studies.{study}")[0].cells()
    }


@cache
def shown(study: str, cell: str) -> dict[str, Any]:
    (facts,) = preview_study(Study(name="one", base=cells(study)[cell]))["cells"]
    return dict(facts)


def gradual(arm: str, target: float) -> dict[str, Any]:
    return shown("glue_bert_gradual", GRADUAL[arm].format(target))


def pruned(facts: dict[str, Any]) -> dict[int, float]:
    """Sparsity by the step from which it holds."""
    assert facts["steps_per_epoch"] == EPOCH
    return {
        change["step"]: change["sparsity"]
        for change in facts["mask_changes"]
        if change["action"] == "prune"
    }


# ---- GMP* (Kurtic et al. 2024, appendix A)


@pytest.mark.parametrize(
    ("arm", "epochs", "last", "prunes"),
    # from epoch 2 to 8 and to 28, ten in every epoch, and the first
    [("gmp_star", 10, 98_168, 61), ("gmp_star_30", 30, 343_588, 261)],
)
def test_gmp_star_prunes_ten_times_an_epoch(arm: str, epochs: int, last: int, prunes: int) -> None:
    """Tenths of 12,271 steps: 1,227.1, 2,454.2, 3,681.3, 4,908.4, 6,135.5; halves upward."""
    facts = gradual(arm, 0.9)
    steps = list(pruned(facts))
    assert (facts["steps"], facts["batch_size"], facts["warmup_steps"]) == (epochs * EPOCH, 32, 0)
    assert steps[:6] == [24_542, 25_769, 26_996, 28_223, 29_450, 30_678]
    assert steps[10::10] == [epoch * EPOCH for epoch in range(3, epochs - 1)]
    assert (steps[-1], len(steps)) == (last, prunes)


@pytest.mark.parametrize(
    ("target", "half", "quarter"),
    # 0.9 - 0.2 / 8 and 0.9 - 0.2 * 27 / 64, and so on
    [(0.8, 0.7875, 0.7578125), (0.9, 0.875, 0.815625), (0.97, 0.93625, 0.85609375)],
)
def test_gmp_star_starts_at_70_percent_and_rises_along_a_cube(
    target: float, half: float, quarter: float
) -> None:
    """A quarter of the way from epoch 2 to 8 is 3.5, half is 5; from 2 to 28 they are 8.5 and
    15.
    """
    for arm, (quarter_at, half_at) in {
        "gmp_star": (42_949, 61_355),
        "gmp_star_30": (104_304, 184_065),
    }.items():
        reached = pruned(gradual(arm, target))
        assert reached[24_542] == 0.7
        assert reached[quarter_at] == pytest.approx(quarter, abs=2e-5)  # rounded to a step
        assert reached[half_at] == pytest.approx(half)
        assert list(reached.values())[-1] == target


@pytest.mark.parametrize(("arm", "epochs"), [("gmp_star", 10), ("gmp_star_30", 30)])
def test_rates_of_gmp_star_repeat_those_of_dense_fine_tuning(arm: str, epochs: int) -> None:
    """1e-4 to 1e-6 in two epochs, 5 and 15 times: half-way 5.05e-5."""
    facts = gradual(arm, 0.9)
    assert facts["learning_rate_rewinds"] == list(range(2 * EPOCH, epochs * EPOCH, 2 * EPOCH))
    rates = facts["learning_rate_at_epochs"][:-1]
    assert rates == pytest.approx([1e-4, 5.05e-5] * (epochs // 2))
    assert facts["learning_rate_at_epochs"][-1] == pytest.approx(1e-6 + 9.9e-5 / 24_542)


# ---- oBERT (Kurtic et al. 2022, arXiv 2203.07259, and SparseML's recipes)

OF_90 = [0.7, 0.784, 0.841, 0.875, 0.893, 0.899, 0.9]
OF_97 = [0.7, 0.814, 0.89, 0.936, 0.96, 0.969, 0.97]


@pytest.mark.parametrize(("target", "published"), [(0.9, OF_90), (0.97, OF_97)])
def test_obert_in_30_epochs_prunes_every_fourth(target: float, published: list[float]) -> None:
    facts = gradual("obert_30", target)
    reached = pruned(facts)
    assert list(reached) == [24_542, 73_626, 122_710, 171_794, 220_878, 269_962, 319_046]
    assert list(reached.values()) == pytest.approx(
        published, abs=5.1e-4
    )  # three digits; 0.81375 and 0.93625
    assert (facts["steps"], facts["mask_changes"][-1]["phase"]) == (368_130, "fixed")


def test_rates_of_obert_in_30_epochs_rewind_at_every_pruning_step() -> None:
    """5e-5 to 5e-6, in 2 epochs and then in 4: a quarter of the way 3.875e-5, half 2.75e-5."""
    facts = gradual("obert_30", 0.9)
    assert facts["learning_rate_rewinds"] == list(pruned(facts))
    rates = facts["learning_rate_at_epochs"]
    assert rates[:7] == pytest.approx([5e-5, 2.75e-5, 5e-5, 3.875e-5, 2.75e-5, 1.625e-5, 5e-5])
    assert rates[26:30] == pytest.approx([5e-5, 3.875e-5, 2.75e-5, 1.625e-5])
    assert rates[30] == pytest.approx(5e-6 + 4.5e-5 / 49_084)


def test_obert_in_10_epochs() -> None:
    """Two epochs dense, two prunes in each of the next six, two epochs fixed; half an epoch is
    6,135.5 steps.
    """
    facts = gradual("obert_10", 0.97)
    reached = pruned(facts)
    assert list(reached)[:4] == [24_542, 30_678, 36_813, 42_949]
    assert (list(reached)[-1], len(reached)) == (98_168, 13)
    assert (reached[24_542], reached[61_355], reached[98_168]) == (
        0.7,
        pytest.approx(0.93625),
        0.97,
    )
    assert facts["learning_rate_rewinds"] == [98_168]
    rates = facts["learning_rate_at_epochs"]
    assert rates[:10:4] == pytest.approx([8e-5, 5e-5, 8e-5])
    assert rates[7] == pytest.approx(2.75e-5)  # an eighth of the way from 2e-5
    assert rates[9] == pytest.approx(5e-5)


def test_recipes_of_gradual_pruning() -> None:
    found = {arm: cells("glue_bert_gradual")[cell.format(0.9)] for arm, cell in GRADUAL.items()}
    assert {
        (spec.optim.name, spec.optim.weight_decay, spec.task.max_length) for spec in found.values()
    } == {("adamw", 0, 128)}
    assert {
        arm: (spec.distill.hardness, spec.distill.temperature) for arm, spec in found.items()
    } == {
        "gmp_star": (1, 5.5),
        "gmp_star_30": (1, 5.5),
        "obert_10": (1, 2),
        "obert_30": (1, 2),
    }
    fisher = found["obert_30"].sparsity.fisher
    assert (fisher.gradients, fisher.block, fisher.dampening, fisher.batch_size) == (
        1024,
        50,
        1e-7,
        16,
    )
    teachers = {spec.distill.teacher.trial_id() for spec in found.values() if spec.distill.teacher}
    assert {
        spec.optim.clip_norm
        for study in ("glue_bert_gradual", "glue_bert_transfer", "glue_bert_ablation")
        for cell in cells(study).values()
        for spec in (cell, cell.distill.teacher or cell)
    } == {1}
    assert len(teachers) == 1


# ---- sparse transfer (arXiv 2203.07259)


@pytest.mark.parametrize(("arm", "target"), [("transfer_90", 0.9), ("transfer_97", 0.97)])
def test_sparse_transfer(arm: str, target: float) -> None:
    """8 epochs of 12,271 steps; 1.5e-4 to 1.5e-6 in a straight line: half-way 7.575e-5."""
    cell = f"{arm}/epoch_multiplier=1"
    facts = shown("glue_bert_transfer", cell)
    spec = cells("glue_bert_transfer")[cell]
    assert (facts["steps"], facts["warmup_steps"], facts["learning_rate_rewinds"]) == (
        98_168,
        0,
        [],
    )
    assert [(c["step"], c["phase"], c["sparsity"]) for c in facts["mask_changes"]] == [
        (0, "fixed", target)
    ]
    rates = facts["learning_rate_at_epochs"]
    assert (rates[0], rates[4]) == pytest.approx((1.5e-4, 7.575e-5))
    assert rates[8] == pytest.approx(1.5e-6 + 1.485e-4 / 98_168)
    assert (spec.distill.hardness, spec.distill.temperature) == (1, 5.5)


# ---- the ablations (Kurtic et al. 2024, tables 2 to 5)


def test_ablations_change_one_setting_of_gmp_star_at_a_time() -> None:
    center = (0.7, 1e-4, 1, 5.5)
    settings = {
        (spec.sparsity.ramp.first, spec.optim.lr, spec.distill.hardness, spec.distill.temperature)
        for spec in cells("glue_bert_ablation").values()
    }
    rows = [
        {setting[axis] for setting in settings if _others(setting, axis) == _others(center, axis)}
        for axis in range(4)
    ]
    assert rows == [
        {0, 0.3, 0.5, 0.7},
        {3e-5, 5e-5, 8e-5, 1e-4},
        {0.6, 0.8, 0.9, 1},
        {1, 2, 5.5, 8.5},
    ]
    assert len(settings) == 13
    assert {spec.sparsity.target for spec in cells("glue_bert_ablation").values()} == {0.9, 0.97}


def _others(setting: tuple[float, ...], axis: int) -> tuple[float, ...]:
    return setting[:axis] + setting[axis + 1 :]


def test_the_command_shows_rewinds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "studies.glue_bert_ablation", "--quick", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["cells"][0]["learning_rate_rewinds"] == [
        20,
        40,
        60,
    ]  # 320 sentences in batches of 32


# ---- quick forms

VERDICTS = {1: ["good", "fine", "warm"], 0: ["bad", "dull", "cold"]}


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    """A data root with 600 sentences in SST-2's layout, told apart by one word."""
    folder = tmp_path / "glue" / "SST-2"
    folder.mkdir(parents=True)
    rows = [f"the film number {i} was {VERDICTS[i % 2][i % 3]}\t{i % 2}" for i in range(600)]
    for name, part in {"train": rows, "dev": rows[:60]}.items():
        (folder / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *part, ""]))
    return tmp_path


@pytest.mark.parametrize(
    ("study", "arm"),
    [
        ("gradual", "gmp_star"),
        ("gradual", "obert_10"),
        ("transfer", "transfer_90"),
        ("ablation", "temperature_2"),
    ],
)
def test_a_trial_of_the_quick_form_learns_from_its_teacher(
    study: str, arm: str, sentences: Path
) -> None:
    quick = find_study(f"studies.glue_bert_{study}")[0].quick()
    spec = next(cell.spec for cell in quick.cells() if cell.arm == arm)
    rows: list[dict[str, Any]] = []
    final = train(spec, report=rows.append, data_root=sentences)
    assert (final.status, final.certified) == ("COMPLETE", True)
    assert rows[-1]["at_target"]
    assert rows[-1]["train_loss"] < 0.6  # log 2 where nothing is learned
