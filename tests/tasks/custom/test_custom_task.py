"""Tasks of a user's own: what is learned from which data, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from sparsetune.errors import DataError, DeclarationError, SparsetuneError
from sparsetune.launch.preflight import require_runnable
from sparsetune.spec import EvaluateSpec, OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.spec.task import CustomTask, MetricSpec
from sparsetune.spec.task.measured import FALLING_FRACTIONS, RISING_FRACTIONS
from sparsetune.study import Study
from sparsetune.tasks.custom.data import forget_data
from sparsetune.tasks.kinds import data_digest, kind_of, load_task, resolve_task
from sparsetune.train import train
from tests.tasks.custom import own_code
from tests.train.test_resume import assert_resumed_equals_uninterrupted

OWN = "tests.tasks.custom.own_code"


def own(data: str, model: str = "build", **fields: Any) -> CustomTask:
    named = {"data": f"{OWN}:{data}", "model": f"{OWN}:{model}", "batch_size": 10}
    return CustomTask(**{**named, **fields})


def resolved(data: str, model: str = "build", **fields: Any) -> CustomTask:
    task = resolve_task(own(data, model, **fields), None)
    assert isinstance(task, CustomTask)
    return task


TASKS: dict[str, CustomTask] = {
    "vectors": own("vectors", augment=f"{OWN}:shake", normalise="standard"),
    "a torch data set": own("vectors_one_by_one", augment=f"{OWN}:shake"),
    "two inputs": own("pairs", "OfTwo", loss="mse"),
    "inputs by name": own("named_inputs", "OfNames"),
    "several heads": own(
        "several_heads", "Heads", loss=f"{OWN}:heads_loss", metrics=f"{OWN}:heads_right"
    ),
}


@pytest.mark.parametrize("name", list(TASKS))
def test_a_resumed_trial_equals_an_uninterrupted_one(name: str, tmp_path: Path) -> None:
    spec = TrialSpec(
        task=TASKS[name],
        optim=OptimSpec(lr=0.02),
        schedule=ScheduleSpec(epochs=4),
        sparsity=SparsitySpec(method="gmp", target=0.5, ramp={"start": 0.2, "length": 0.5}),
        evaluate=EvaluateSpec(every="3 steps"),
    )
    assert_resumed_equals_uninterrupted(spec, tmp_path, {2, 7, 13})


def test_splits_by_hand() -> None:
    task = resolved("vectors", validation=12)
    splits = load_task(task).splits
    inputs, targets = own_code.vectors()["train"]
    parts = [splits.train, splits.validation]
    read = [next(iter(part.read([torch.arange(len(part))]))) for part in parts]
    assert [len(part) for part in (*parts, splits.test)] == [48, 12, 20]
    # Together they are the training part, and each class gives a fifth of its examples.
    both = torch.cat([each[0] for each in read])
    assert torch.equal(both.sort(0).values, inputs.sort(0).values)
    counts = [torch.bincount(each[1], minlength=3) for each in read]
    assert torch.equal(sum(counts), torch.bincount(targets))
    assert (counts[1] - torch.bincount(targets) / 5).abs().max() < 1


def test_batches_are_augmented_by_seed_epoch_and_batch() -> None:
    spec = TrialSpec(
        task=resolved("vectors", augment=f"{OWN}:shake"), schedule=ScheduleSpec(epochs=2)
    )
    train_split = load_task(spec.task).splits.train
    whole = list(train_split.training(spec, 0))
    late = list(train_split.training(spec, 3))
    for (inputs, targets, index), (again, others, same) in zip(whole[3:], late, strict=True):
        assert torch.equal(inputs, again)
        assert torch.equal(targets, others)
        assert torch.equal(index, same)
    plain = next(iter(train_split.read([whole[0][2]])))[0]
    assert 0 < (whole[0][0] - plain).abs().mean() < 0.2
    other_seed = next(iter(train_split.training(spec.with_values({"seed": 1}), 0)))
    assert not torch.equal(other_seed[0], whole[0][0])


def test_both_forms_of_data_train_the_same_network() -> None:
    results = []
    for data in ("vectors", "vectors_one_by_one"):
        rows: list[dict[str, Any]] = []
        spec = TrialSpec(task=own(data), schedule=ScheduleSpec(epochs=2))
        final = train(spec, report=rows.append, read_test=True)
        results.append((final.test, [row["batch_loss"] for row in rows]))
    assert results[0] == results[1]


def test_measures_of_several_heads_by_hand() -> None:
    task = load_task(resolved("several_heads", "Heads", **_heads()))
    inputs, classes = own_code.vectors()["test"]
    model = task.build_model()
    with torch.no_grad():
        outputs = model(inputs)
    targets = {"class": classes, "sum": inputs.sum(1)}
    measured = task.measures.measure([(outputs, targets)], 20)
    loss = functional.cross_entropy(outputs["class"], classes)
    loss = loss + functional.mse_loss(outputs["sum"], inputs.sum(1))
    right = (outputs["class"].argmax(1) == classes).double().mean().item()
    assert measured.loss == pytest.approx(float(loss))
    assert (measured.score, measured.error) == (right, 1 - right)
    assert measured.columns("val")["val_heads_right"] == right


def _heads() -> dict[str, Any]:
    return {"loss": f"{OWN}:heads_loss", "metrics": f"{OWN}:heads_right"}


def test_a_metric_that_is_better_when_lower() -> None:
    metric = MetricSpec(f"{OWN}:absolute_error", higher_is_better=False)
    task = resolved("pairs", "OfTwo", loss="l1", metrics=(metric, "r2"))
    targets = torch.tensor([0.0, 1.0, 2.0, 5.0])
    outputs = torch.tensor([[1.0], [1.0], [2.0], [2.0]])
    measured = kind_of(task).measures().measure([(outputs, targets)], 4)
    # Errors of 1, 0, 0 and 3; squares of residuals 10, of deviations from the mean 2: 14.
    assert measured.loss == measured.error == -measured.score == 1.0
    assert measured.metrics == {"absolute_error": 1.0, "r2": pytest.approx(1 - 10 / 14)}


@pytest.mark.parametrize("split", [[4], [1, 3], [2, 2]])
def test_measures_do_not_depend_on_batches(split: list[int]) -> None:
    task = resolved("vectors", metrics=("iou", "accuracy", f"{OWN}:Share"))
    logits = torch.tensor([[2.0, 0, 0], [0, 2.0, 0], [0, 2.0, 0], [0, 0, 2.0]])
    targets = torch.tensor([0, 1, 2, 2])
    batches = list(zip(logits.split(split), targets.split(split), strict=True))
    measured = kind_of(task).measures().measure(batches, 4)
    assert measured.accuracy == measured.metrics["share"] == 0.75
    # Of one, one in two, and one in two.
    assert measured.score == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)


def test_a_metric_of_torchmetrics() -> None:
    metric = MetricSpec("MulticlassF1Score", arguments={"num_classes": 3, "average": "micro"})
    task = resolved("vectors", metrics=(metric,))
    logits = torch.eye(3)[[0, 1, 1, 2]]
    measured = kind_of(task).measures().measure([(logits, torch.tensor([0, 1, 2, 2]))], 4)
    assert measured.metrics == {"multiclass_f1_score": 0.75}


def test_what_is_known_of_metrics_holds_in_torchmetrics() -> None:
    from torchmetrics import classification, regression

    offered = vars(classification) | vars(regression)
    known: dict[str, Any] = {name: one for name, one in offered.items() if isinstance(one, type)}
    for name in (*RISING_FRACTIONS, *FALLING_FRACTIONS):
        for kind in ("", "Binary", "Multiclass", "Multilabel"):
            metric = known.get(f"{kind}{name}")
            if metric is None or metric.plot_upper_bound is None:  # a wrapper of the three kinds
                continue
            facts = MetricSpec(f"{kind}{name}").facts()
            assert (facts.is_fraction, metric.plot_upper_bound) == (True, 1.0)
            assert metric.higher_is_better in (None, facts.higher_is_better)
    errors = [name for name, metric in known.items() if name.endswith("Error")]
    assert len(errors) > 8
    for name in errors:
        assert known[name].higher_is_better in (None, False), name
        assert MetricSpec(name).facts().higher_is_better is False


def test_an_undeclared_fraction_has_no_part_in_names() -> None:
    assert MetricSpec("r2").given() == {"name": "r2"}
    assert MetricSpec("r2", fraction=True).given() == {"name": "r2", "fraction": True}


def test_standard_normalisation_by_hand() -> None:
    task = resolved("vectors", normalise="standard")
    inputs, _ = own_code.vectors()["train"]
    sizes = task.sizes()
    assert sizes.mean == pytest.approx(inputs.mean(0).tolist(), abs=1e-6)
    assert sizes.deviation == pytest.approx(inputs.std(0, correction=0).tolist(), abs=1e-6)
    test_inputs, _ = next(iter(load_task(task).splits.test.read([torch.arange(20)])))
    expected = (own_code.vectors()["test"][0] - inputs.mean(0)) / inputs.std(0, correction=0)
    assert torch.allclose(test_inputs, expected, atol=1e-6)


def test_names_do_not_depend_on_what_is_resolved() -> None:
    declared = TrialSpec(task=own("vectors"))
    known = TrialSpec(task=resolved("vectors"))
    assert declared.trial_id() == known.trial_id() == known.with_values({}).trial_id()
    assert known.with_values({"optim.lr": 0.5}).total_steps() == known.total_steps()
    with pytest.raises(LookupError, match="resolved when a study is launched"):
        declared.total_steps()


def test_data_that_changed_are_refused_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    task = resolved("vectors")
    before = data_digest(task)
    monkeypatch.setattr(own_code, "class_of", lambda inputs: (inputs[:, 0] > 0).long())
    forget_data()
    assert data_digest(task) != before, "other labels have another fingerprint"
    fewer = own_code.vectors(50)
    monkeypatch.setattr(own_code, "vectors", lambda: fewer)
    forget_data()
    with pytest.raises(DataError, match="60 examples in `train`, got 50"):
        load_task(task.model_copy(update={"split_seed": 9}))
    forget_data()


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no module": ({"data": "nolab.data:load"}, "ModuleNotFoundError: No module named 'nolab'"),
    "no name": ({"data": f"{OWN}:lod"}, "has no attribute 'lod'"),
    "raises": ({"data": f"{OWN}:raises"}, "ValueError: no such file"),
    "asks for more": (
        {"data": f"{OWN}:asks_for_more"},
        "may ask for `data_root`, got '.*asks_for_more, which asks for `folder`'",
    ),
    "a list": ({"data": f"{OWN}:a_list"}, "must return a dictionary with `train` and `test`"),
    "no test": ({"data": f"{OWN}:without_test"}, "must return `train` and `test`, got train"),
    "odd key": ({"data": f"{OWN}:with_an_odd_key"}, "may return train, .*, got dev"),
    "NaN": ({"data": f"{OWN}:with_nan"}, "`train`, inputs must be finite numbers, got 1 NaN"),
    "one class": ({"data": f"{OWN}:of_one_class"}, "at least two classes, got class 1 alone"),
    "lengths": ({"data": f"{OWN}:of_unequal_lengths"}, "got lengths of 59, 60"),
    "nothing": ({"data": f"{OWN}:of_nothing"}, "`test` must hold examples, and holds none"),
    "words": ({"data": f"{OWN}:of_words"}, "`test`, inputs must be numbers"),
    "restless": ({"data": f"{OWN}:restless"}, "must give the same example each time"),
    "option": ({"options": {"widht": 3}}, "`base.task.options.widht`: neither .* has an argument"),
    "no network": ({"model": f"{OWN}:no_module"}, "must return a torch.nn.Module, got int"),
    "too narrow": ({"model": f"{OWN}:too_narrow"}, r"logits of shape \(n, 3, …\), got \(1, 2\)"),
    "no metric": ({"metrics": "accurcy"}, "must be one of accuracy, .* torchmetrics.* 'accurcy'"),
    "no direction": ({"metrics": f"{OWN}:absolute_error"}, "must say its direction"),
    "wrong direction": (
        {"metrics": MetricSpec("MeanAbsoluteError", higher_is_better=True)},
        "is better when lower, got higher_is_better=True",
    ),
    "arguments": ({"metrics": "MulticlassF1Score"}, "must be made from its `arguments`"),
    "no augmentation": ({"augment": f"{OWN}:shke"}, "has no attribute 'shke'"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_bad_input_is_one_clear_message(name: str) -> None:
    fields, message = BAD[name]
    named = {"data": f"{OWN}:vectors", "model": f"{OWN}:build", "batch_size": 10}
    study = Study(name="own", base=TrialSpec(task=CustomTask(**{**named, **fields})))
    with pytest.raises(DeclarationError, match=message) as refused:
        require_runnable(study)
    assert len(refused.value.problems) == 1


def test_a_loss_of_each_example_is_refused_by_name() -> None:
    spec = TrialSpec(task=own("vectors", loss=f"{OWN}:loss_of_each", metrics="accuracy"))
    with pytest.raises(SparsetuneError, match=r"must return one number.* got shape \(10,\)"):
        train(spec)


def test_an_option_of_the_data_is_swept_not_searched() -> None:
    from sparsetune import Arm, IntRange

    task = own("vectors", options={"examples": 40})
    base = TrialSpec(task=task, schedule=ScheduleSpec(epochs=6))
    arms = {"gmp": Arm({"sparsity.method": "gmp"})}
    swept = Study(
        name="own",
        base=base,
        arms=arms,
        sweep={"task.options.examples": [40, 60], "sparsity.target": [0, 0.5]},
    )
    sizes = {cell.spec.task.pool() for cell in require_runnable(swept).cells()}
    assert sizes == {40, 60}
    searched = Study(
        name="own",
        base=base,
        arms=arms,
        sweep={"sparsity.target": [0, 0.5]},
        search={"task.options.examples": IntRange(40, 60)},
    )
    with pytest.raises(DeclarationError, match="sweep it, do not search it"):
        require_runnable(searched)
