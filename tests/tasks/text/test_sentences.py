"""Texts in training: batches, padding, splits, resume within gradual pruning, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sparsetune.errors import DeclarationError
from sparsetune.launch.preflight import require_runnable
from sparsetune.spec import (
    DistillSpec,
    EvaluateSpec,
    OptimSpec,
    RewindSpec,
    ScheduleSpec,
    TrialSpec,
)
from sparsetune.spec.sparsity import FisherSpec, RampSpec, SparsitySpec
from sparsetune.study import Study
from sparsetune.tasks.kinds import data_digest, load_task
from sparsetune.tasks.text import encoders
from sparsetune.tasks.text.glue import read_glue
from sparsetune.tasks.text.sentences import TextSplit
from sparsetune.tasks.text.tokens import tokenised_task
from sparsetune.train import train
from tests.interruption import Interrupted, Stops
from tests.texts import text_task, write_sst2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sst2(tmp_path_factory.mktemp("glue") / "SST-2")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARSETUNE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def trial(folder: Path, **given: Any) -> TrialSpec:
    """Gradual pruning of a small encoder, with rewinds."""
    settings: dict[str, Any] = {
        "task": text_task(folder),
        "optim": OptimSpec(name="adamw", lr=2e-3, weight_decay=0),
        "schedule": ScheduleSpec(
            epochs=3, warmup=0, floor=0.01, rewind=RewindSpec(start=0.25, every=0.25)
        ),
        "sparsity": SparsitySpec(
            method="gmp", target=0.9, ramp=RampSpec(first=0.7, start=0.25, length=0.5, updates=10)
        ),
    }
    return TrialSpec(**{**settings, **given})


def rows(spec: TrialSpec, **how: Any) -> list[dict[str, Any]]:
    reported: list[dict[str, Any]] = []
    train(spec, report=reported.append, **how)
    return [{name: value for name, value in row.items() if name != "seconds"} for row in reported]


def split_of(folder: Path, **given: Any) -> TextSplit:
    split = load_task(text_task(folder, **given)).splits.train
    assert isinstance(split, TextSplit)
    return split


def test_splits_have_the_declared_sizes_and_share_no_text(folder: Path) -> None:
    splits = load_task(text_task(folder)).splits
    parts = (splits.train, splits.train_subset, splits.validation, splits.test)
    assert [len(part) for part in parts] == [160, 160, 40, 60]
    assert isinstance(splits.train, TextSplit) and isinstance(splits.validation, TextSplit)
    assert not {*splits.train.rows.tolist()} & {*splits.validation.rows.tolist()}


def test_a_batch_is_padded_as_transformers_does(folder: Path) -> None:
    task = text_task(folder)
    tokenizer = encoders.tokenizer_of("bert_tiny", None, list, tokenizer_key(task))
    split = split_of(folder)
    texts = read_glue(task, None)["train"].first
    index = torch.tensor([5, 0, 77])
    ((inputs, targets),) = split.read([index])
    expected = tokenizer(
        [texts[row] for row in split.rows[index].tolist()],
        truncation=True, max_length=16, padding="longest", return_tensors="pt",
    )  # fmt: skip
    assert isinstance(inputs, dict)
    assert {name: tensor.tolist() for name, tensor in inputs.items()} == {
        n: t.tolist() for n, t in expected.items()
    }
    assert targets.tolist() == split.targets[index].tolist()


def tokenizer_key(task: Any) -> str:
    from sparsetune.tasks.text.glue import glue_digest

    return glue_digest(task, None)


def test_every_epoch_takes_every_example_once_in_another_order(folder: Path) -> None:
    spec = trial(folder)
    seen = [index.tolist() for _, _, index in split_of(folder).training(spec, 0)]
    epochs = [[one for batch in seen[start : start + 10] for one in batch] for start in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(160)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    other = [
        index.tolist()
        for _, _, index in split_of(folder).training(spec.with_values({"seed": 1}), 0)
    ]
    assert other != seen


@pytest.mark.parametrize("first", [1, 9, 10, 17])
def test_batches_go_on_from_any_step(folder: Path, first: int) -> None:
    spec = trial(folder)
    split = split_of(folder)
    whole, rest = (list(split.training(spec, start)) for start in (0, first))
    for (a, _, i), (b, _, j) in zip(whole[first:], rest, strict=True):
        assert isinstance(a, dict) and isinstance(b, dict)
        assert torch.equal(i, j) and all(torch.equal(a[name], b[name]) for name in a)


def test_like_lengths_together_save_padding_and_leave_the_order_random(folder: Path) -> None:
    def padded(grouped: bool) -> tuple[int, list[int]]:
        spec = trial(folder, task=text_task(folder, group_by_length=grouped))
        batches = [inputs for inputs, _, _ in split_of(folder).training(spec, 0)]
        widths = [inputs["input_ids"].shape[1] for inputs in batches if isinstance(inputs, dict)]
        return sum(widths), widths

    (with_groups, widths), (without, _) = padded(True), padded(False)
    assert with_groups < 0.85 * without
    assert widths[:10] != sorted(widths[:10])


def test_chunks_hold_every_text_once(folder: Path) -> None:
    assert sorted(torch.cat(split_of(folder).chunks()).tolist()) == list(range(160))


def test_padding_changes_no_prediction(folder: Path) -> None:
    """Masked tokens are not attended to: a text says the same alone and beside a longer one."""
    from sparsetune.tasks.network import compute_outputs

    task = load_task(text_task(folder))
    torch.manual_seed(0)
    model = task.build_model().eval()
    split = split_of(folder)
    short = int(split.lengths.argmin())
    long = int(split.lengths.argmax())
    assert split.lengths[short] < split.lengths[long]
    with torch.no_grad():
        alone, together = (
            compute_outputs(model, inputs)[0]
            for inputs, _ in split.read([torch.tensor([short]), torch.tensor([short, long])])
        )
    assert torch.allclose(alone, together, atol=1e-5)


def test_a_small_encoder_learns_and_keeps_its_sparsity(folder: Path) -> None:
    spec = trial(folder, schedule=ScheduleSpec(epochs=8, warmup=0))
    final = rows(spec)[-1]
    assert final["val_accuracy"] > 0.9
    assert final["at_target"] and final["sparsity"] == pytest.approx(0.9, abs=1e-4)


def test_both_denominators_are_in_the_certificate(folder: Path) -> None:
    """Two blocks of 4 x 64 x 64 + 2 x 64 x 128 weights, and all else dense."""
    certificate = train(trial(folder)).certificate
    prunable = 2 * (4 * 64 * 64 + 2 * 64 * 128)
    assert (certificate["weights"], certificate["pruned"]) == (prunable, round(0.9 * prunable))
    assert certificate["parameters"] > prunable + 2000 * 64


def test_a_task_may_have_its_own_metric(folder: Path) -> None:
    plain, other = (
        rows(trial(folder, task=text_task(folder, metric=metric)))[-1]
        for metric in (None, "matthews")
    )
    assert plain["val_score"] == plain["val_accuracy"] == other["val_accuracy"]
    assert -1 <= other["val_score"] < other["val_accuracy"]
    assert other["val_error"] == 1 - other["val_score"]


def test_scores_are_predicted_as_numbers(tmp_path: Path) -> None:
    """STS-B: squared error, no accuracy and no entropy; the score is a correlation."""
    header = (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore"
    )
    for name, count in (("train", 120), ("dev", 30)):
        lines = [
            f"{i}\tn\tf\t2012\t{i}\ts\ts\tone two\t{'one ' * (i % 6)}two\t{i % 6}.000"
            for i in range(count)
        ]
        (tmp_path / f"{name}.tsv").write_text("\n".join([header, *lines]) + "\n")
    task = text_task(tmp_path, dataset="stsb", train_examples=80, validation=30)
    spec = TrialSpec(
        task=task,
        optim=OptimSpec(name="adamw", lr=2e-3),
        schedule=ScheduleSpec(epochs=20, warmup=0.1),
    )
    final = rows(spec)[-1]
    assert final["train_loss"] < 2.9  # a constant 2.5 has 2.92
    assert final["val_score"] > 0.5
    assert all(
        final[name] != final[name] for name in ("val_accuracy", "val_entropy", "train_entropy")
    )


OBERT = SparsitySpec(
    method="obert",
    target=0.9,
    ramp=RampSpec(first=0.7, start=0.25, length=0.5, updates=4),
    fisher=FisherSpec(gradients=8, batch_size=4, block=16, dampening=1e-5),
)


@pytest.mark.parametrize("method", ["gmp", "obert"])
@pytest.mark.parametrize("step", [8, 11, 15, 22])
def test_gradual_pruning_resumes_bit_for_bit(
    folder: Path, tmp_path: Path, method: str, step: int
) -> None:
    """Interrupted before the first pruning, between two, at one, and before the last.

    There are thirty steps, pruned from step 8 to 23.
    """
    spec = trial(folder) if method == "gmp" else trial(folder, sparsity=OBERT)
    assert not spec.problems()
    first: list[dict[str, Any]] = []
    with pytest.raises(Interrupted):
        train(spec, report=first.append, checkpoints=Stops(tmp_path, {step}))
    torch.manual_seed(99)  # another process life has another random state
    rest = rows(spec, resume_from=tmp_path / f"checkpoint-{step}.pt")
    before = [{name: value for name, value in row.items() if name != "seconds"} for row in first]
    assert [*before, *rest] == rows(spec)


def test_a_distilled_student_of_texts_learns_from_its_own_sentences(folder: Path) -> None:
    teacher = TrialSpec(
        task=text_task(folder),
        optim=OptimSpec(name="adamw", lr=2e-3),
        schedule=ScheduleSpec(epochs=8, warmup=0),
    )
    spec = trial(
        folder,
        schedule=ScheduleSpec(epochs=8, warmup=0),
        distill=DistillSpec(hardness=1, temperature=2, teacher=teacher),
    )
    assert rows(spec)[-1]["val_accuracy"] > 0.9  # of labels it has seen none


def test_the_training_loss_may_be_measured_on_fewer(folder: Path) -> None:
    """A part of the training split, the same for every trial; training itself is the same."""
    few, all_ = (
        rows(trial(folder, evaluate=EvaluateSpec(train_examples=n)))[-1] for n in (40, 160)
    )
    assert few["train_loss"] != all_["train_loss"]
    assert few["val_loss"] == all_["val_loss"]


def test_the_digest_names_texts_and_model(folder: Path, tmp_path: Path) -> None:
    other = write_sst2(tmp_path / "other", seed=1)
    digests = {data_digest(text_task(folder)), data_digest(text_task(other))}
    digests.add(data_digest(text_task(folder, model="bert_base")))
    assert len(digests) == 3
    assert all(digest.startswith("sst2=") for digest in digests)


def problems_of(task: Any) -> str:
    study = Study(name="t", base=TrialSpec(task=task, optim=OptimSpec(name="adamw", lr=1e-3)))
    with pytest.raises(DeclarationError) as caught:
        require_runnable(study)
    return str(caught.value)


@pytest.mark.parametrize(
    "given, words",
    [
        (
            {"max_length": 129},
            "`base.task.max_length`: must be at most 128, the tokens that `bert_tiny` takes,"
            " got 129",
        ),
        ({"train_examples": 400}, "task.train_examples"),
        ({"model": "nobody/nothing"}, "models/nobody/nothing"),
        ({"folder": "/nowhere"}, "must be there; set `task.folder`"),
    ],
)
def test_what_cannot_run_is_one_line(
    folder: Path, given: dict[str, Any], words: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("SPARSETUNE_DATA", str(folder))
    said = problems_of(text_task(folder).model_copy(update=given))
    assert words in said
    assert len(said.splitlines()) == 2, said


def test_tokens_of_a_study_are_made_once(folder: Path) -> None:
    task = text_task(folder)
    assert (
        tokenised_task(task, None)["train"]
        is tokenised_task(task.model_copy(update={"batch_size": 8}), None)["train"]
    )
