import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from sparsetune.errors import DataError
from sparsetune.spec import DistillSpec, OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.spec.task import DigitsTask, ImageTask
from sparsetune.train import train
from sparsetune.train.distill import LOGITS_FILE, DistillationLoss, distillation_loss, read_logits
from tests.interruption import Interrupted, Stops

TASK = DigitsTask(batch_size=128)
TEACHER = TrialSpec(task=TASK, schedule=ScheduleSpec(epochs=2), seed=7)


def student(**given: Any) -> TrialSpec:
    return TrialSpec(
        task=TASK,
        schedule=ScheduleSpec(epochs=3),
        sparsity=SparsitySpec(method="gmp", target=0.9),
        distill=DistillSpec(**{"hardness": 0.5, "temperature": 2, "teacher": TEACHER, **given}),
    )


def rows(spec: TrialSpec, **how: Any) -> list[dict[str, Any]]:
    reported: list[dict[str, Any]] = []
    train(spec, report=reported.append, **how)
    return [{name: value for name, value in row.items() if name != "seconds"} for row in reported]


def test_divergence_by_hand() -> None:
    """T = 2: the teacher's (ln 9, 0) / 2 is (3/4, 1/4), the student's (0, 0) is (1/2, 1/2)."""
    teacher = torch.tensor([[math.log(9), 0.0]])
    said = torch.zeros(1, 2)
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert distillation_loss(teacher, said, 2).item() == pytest.approx(4 * expected)
    assert distillation_loss(teacher, teacher, 2).item() == pytest.approx(0, abs=1e-6)


def test_a_mean_over_examples_and_heads() -> None:
    generator = torch.Generator().manual_seed(0)
    teacher, said = (torch.randn(3, 2, 5, generator=generator) for _ in range(2))
    each = [
        distillation_loss(teacher[i, h][None], said[i, h][None], 3)
        for i in range(3)
        for h in range(2)
    ]
    assert distillation_loss(teacher, said, 3).item() == pytest.approx(
        torch.stack(each).mean().item()
    )


def test_the_square_of_the_temperature_keeps_the_gradient() -> None:
    """At high T the gradient is (z_s - z_t) / classes (Hinton et al. 2015, equation 4)."""
    teacher = torch.tensor([[0.3, -0.3]])
    for temperature in (50.0, 100.0):
        said = torch.zeros(1, 2, requires_grad=True)
        distillation_loss(teacher, said, temperature).backward()
        assert said.grad is not None
        assert said.grad.flatten().tolist() == pytest.approx([-0.15, 0.15], rel=1e-3)


@pytest.mark.parametrize("hardness", [0.25, 1.0])
def test_hardness_weighs_the_teacher(hardness: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, said = (torch.randn(4, 3, generator=generator) for _ in range(2))
    index = torch.tensor([2, 0])
    targets = torch.tensor([1, 2])
    teacher = DistillationLoss(
        DistillSpec(hardness=hardness, temperature=2, teacher=TEACHER), logits
    )
    loss = teacher.loss(said[:2], targets, index, functional.cross_entropy).item()
    label = functional.cross_entropy(said[:2], targets)
    taught = distillation_loss(logits[index], said[:2], 2)
    assert loss == pytest.approx(((1 - hardness) * label + hardness * taught).item())


def test_a_teacher_is_trained_first_where_there_is_none_and_its_logits_are_the_same(
    tmp_path: Path,
) -> None:
    train(TEACHER, logits_to=tmp_path / LOGITS_FILE)
    logits = read_logits(tmp_path / LOGITS_FILE, TASK.train_size())
    alone = rows(student())
    shared = rows(student(), teacher=tmp_path / LOGITS_FILE)
    assert alone == shared == rows(student(), teacher=logits)


def test_logits_are_those_of_each_example_in_its_order(tmp_path: Path) -> None:
    """The share of examples that the teacher's logits get right is its accuracy on them."""
    from sparsetune.tasks.kinds import load_task

    last = []
    train(TEACHER, report=last.append, logits_to=tmp_path / LOGITS_FILE)
    split = load_task(TASK).splits.train
    logits = read_logits(tmp_path / LOGITS_FILE, len(split))
    ((_, targets),) = split.read([torch.arange(len(split))])
    loss = functional.cross_entropy(logits.double(), targets).item()
    assert loss == pytest.approx(last[-1]["train_loss"], rel=1e-5)


@pytest.mark.parametrize(
    "changed",
    [{"hardness": 0.9}, {"temperature": 4}, {"teacher": TEACHER.with_values({"seed": 8})}],
)
def test_every_field_matters(changed: dict[str, Any]) -> None:
    assert rows(student(**changed))[-1]["train_loss"] != rows(student())[-1]["train_loss"]


def test_without_hardness_there_is_no_teacher() -> None:
    without = student().with_values({"distill.hardness": 0})
    assert without.distill == DistillSpec()
    assert without.trial_id() == student().with_values({"distill": {}}).trial_id()


def test_losses_that_are_measured_are_plain(tmp_path: Path) -> None:
    """The measured loss of a student of its teacher alone is cross-entropy against labels."""
    spec = student(hardness=1, temperature=1, teacher=TEACHER)
    train(TEACHER, logits_to=tmp_path / LOGITS_FILE)
    wrong = torch.zeros(TASK.train_size(), 10)
    wrong[:, 3] = 5  # a teacher that takes every digit for a three
    last = rows(spec, teacher=wrong)[-1]
    assert last["train_loss"] > last["batch_loss"]
    assert last["val_accuracy"] < 0.2


def test_the_teachers_pass_is_counted() -> None:
    """A teacher of the student's size passes forward once: a third of an epoch of training."""
    assert rows(student(), teacher=torch.zeros(TASK.train_size(), 10))[-1][
        "extra_flops"
    ] == pytest.approx(1 / 3)


def test_a_student_resumes_bit_for_bit(tmp_path: Path) -> None:
    logits = torch.randn(TASK.train_size(), 10, generator=torch.Generator().manual_seed(1))
    spec = student()
    first: list[dict[str, Any]] = []
    with pytest.raises(Interrupted):
        train(spec, report=first.append, teacher=logits, checkpoints=Stops(tmp_path, {17}))
    rest = rows(spec, teacher=logits, resume_from=tmp_path / "checkpoint-17.pt")
    before = [{name: value for name, value in row.items() if name != "seconds"} for row in first]
    assert [*before, *rest] == rows(spec, teacher=logits)


def test_a_diverged_teacher_ends_a_student_with_one_message() -> None:
    exploding = TrialSpec(task=TASK, optim=OptimSpec(lr=1e9), schedule=ScheduleSpec(epochs=1))
    with pytest.raises(
        DataError, match=r"the teacher must end well, got DIVERGED .*change its recipe"
    ):
        train(student(teacher=exploding))


def test_logits_of_another_split_are_refused(tmp_path: Path) -> None:
    train(TEACHER, logits_to=tmp_path / LOGITS_FILE)
    with pytest.raises(DataError, match="must hold logits of 99 examples, got 1293"):
        read_logits(tmp_path / LOGITS_FILE, 99)
    (tmp_path / LOGITS_FILE).write_bytes(b"torn")
    with pytest.raises(DataError, match="must hold the logits of a teacher"):
        read_logits(tmp_path / LOGITS_FILE, 1293)
    with pytest.raises(DataError, match="got nothing"):
        read_logits(tmp_path / "gone", 1293)


@pytest.mark.parametrize(
    "spec, rule",
    [
        (
            TrialSpec(distill=DistillSpec(hardness=0.5)),
            "a `distill.hardness` of 0.5 needs a `distill.teacher`",
        ),
        (
            TrialSpec(
                distill=DistillSpec(hardness=1, teacher=TrialSpec(task=DigitsTask(split_seed=1)))
            ),
            "must have the trial's data and training split.*got another `task.split_seed`",
        ),
        (
            TrialSpec(
                task=ImageTask(flip=True),
                distill=DistillSpec(hardness=1, teacher=TrialSpec(task=ImageTask())),
            ),
            "no random crops, flips, cutout",
        ),
        (
            TrialSpec(distill=DistillSpec(hardness=1, teacher=student())),
            "must learn from labels alone",
        ),
    ],
)
def test_what_cannot_teach_is_refused(spec: TrialSpec, rule: str) -> None:
    (problem,) = (p for p in spec.problems() if not p.path.startswith("distill.teacher."))
    with pytest.raises(AssertionError, match=rule):
        raise AssertionError(problem.rule)
