from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.datasets import FashionMNIST

from sparsetune.errors import DeclarationError, Problem
from sparsetune.launch.preflight import (
    check_study,
    examine_model,
    preflight_findings,
    preflight_problems,
)
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import AcdcSpec, RegrowSpec, SparsitySpec
from sparsetune.spec.task import DigitsTask, FolderTask, GrowthSpec, ImageTask
from sparsetune.study import Arm, Study
from sparsetune.study.space import Uniform

OWN = """
import torch
from torch import nn
def good(input_shape, n_classes):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, n_classes))
def raises(input_shape, n_classes):
    raise RuntimeError("out of ideas")
def misfit(input_shape, n_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(63, n_classes))
def few_classes(input_shape, n_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
def nothing_to_prune(input_shape, n_classes):
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64))
def lazy(input_shape, n_classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(n_classes))
def no_module(input_shape, n_classes):
    return 3
"""


def problems(base: TrialSpec, **fields: Any) -> dict[str, str]:
    found = preflight_problems(Study(name="study", base=base, **fields), needs_data=False)
    return {problem.path: str(problem) for problem in found}


def test_a_sound_study_has_none() -> None:
    sparsity = {"sparsity.method": "gmp"}
    sweep = {"sparsity.target": [0, 0.9], "schedule.epoch_multiplier": [1, 2]}
    search = {"sparsity.ramp.start": Uniform(0.0, 0.3), "sparsity.ramp.length": Uniform(0.2, 0.6)}
    assert problems(TrialSpec(), arms={"gmp": Arm(sparsity)}, sweep=sweep, search=search) == {}


@pytest.mark.parametrize(
    ("model", "rule"),
    [
        ("resnet", "wrn_22_2, a classification model of torchvision (resnet50,"),
        ("no_such_module:net", "No module named 'no_such_module'"),
        ("preflight_networks:raises", "RuntimeError: out of ideas"),
        ("preflight_networks:misfit", r"inputs of shape (1, 8, 8) (RuntimeError"),
        ("preflight_networks:few_classes", "must return logits of shape (n, 10), got (1, 3)"),
        ("preflight_networks:nothing_to_prune", "nothing can be pruned"),
        ("preflight_networks:lazy", "must give every layer its sizes"),
        ("preflight_networks:no_module", "must return a torch.nn.Module, got int"),
    ],
)
def test_a_faulty_model_is_one_problem(
    model: str, rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "preflight_networks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    found = problems(TrialSpec(task=DigitsTask(model=model)))
    assert list(found) == ["base.task.model"]
    assert rule in found["base.task.model"]
    assert "\n" not in found["base.task.model"]
    assert problems(TrialSpec(task=DigitsTask(model="preflight_networks:good"))) == {}


OWN_PARTS = """
import math
def square(fraction, ramp, target):
    return target * (1 - (1 - fraction) ** 2)
def sudden(fraction, ramp, target):
    return target
def text(fraction, ramp, target):
    return "much"
def falls(fraction, ramp, target):
    return target * math.sin(2 * math.pi * fraction)
def even(layers, sparsity, spec):
    from sparsetune.sparsity.masks.allocation import LayerGroup
    return [LayerGroup((one.name,), math.floor(sparsity * one.weights + 0.5)) for one in layers]
def first(layers, sparsity, spec):
    return even(layers[:1], sparsity, spec)
def raises(layers, sparsity, spec):
    raise RuntimeError("out of ideas")
def no_context():
    return None
"""


@pytest.mark.parametrize(
    ("field", "name", "text"),
    [
        ("sparsity.ramp.shape", "square", None),
        ("sparsity.ramp.shape", "sudden", "must start at its first sparsity, got 0.9 at 0 of a"),
        ("sparsity.ramp.shape", "falls", "a ramp must not fall, got"),
        ("sparsity.ramp.shape", "text", "must return a finite sparsity, got 'much' at 0"),
        ("sparsity.ramp.shape", "no_context", "must not raise (TypeError: no_context() takes 0"),
        ("sparsity.allocation", "even", None),
        ("sparsity.allocation", "first", "each layer must be in one group, got 1.weight at"),
        ("sparsity.allocation", "square", "must not raise (TypeError"),
        ("sparsity.allocation", "raises", "must not raise (RuntimeError: out of ideas)"),
        ("sparsity.score", "no_context", "must take one argument, a ScoreContext"),
        ("sparsity.score", "missing", "has no attribute 'missing'"),
        ("schedule.lr", "missing", "has no attribute 'missing'"),
        ("optim.name", "missing", "has no attribute 'missing'"),
    ],
)
def test_a_function_named_by_path_is_tried_before_the_start(
    field: str, name: str, text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "preflight_parts.py").write_text(OWN_PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    base = TrialSpec(sparsity=SparsitySpec(method="gmp", target=0.9))
    found = problems(base.edited({field: f"preflight_parts:{name}"}))
    if text is None:
        assert found == {}
        return
    assert list(found) == [f"base.{field}"]
    assert text in found[f"base.{field}"]
    assert "\n" not in found[f"base.{field}"]


def test_a_declaration_is_checked_without_importing_what_it_names() -> None:
    paths = {
        "optim.name": "no_such_lab:build",
        "schedule.lr": "no_such_lab:restarts",
        "sparsity.score": "no_such_lab:taylor",
        "sparsity.allocation": "no_such_lab:even",
        "sparsity.ramp.shape": "no_such_lab:square",
    }
    sparse = {"sparsity.method": "gmp", "sparsity.target": 0.9}
    study = Study(name="study", base=TrialSpec().edited(sparse | paths))
    assert study.validate_declaration() == []
    assert study.cells()[0].spec.columns()["sparsity.score"] == "no_such_lab:taylor"
    found = problems(study.base)
    # The allocation needs the layers, which are looked at once the rest is sound.
    assert {path.removeprefix("base.") for path in found} == {*paths} - {"sparsity.allocation"}


def test_arguments_of_an_optimizer_are_axes_and_their_faults_are_named_there() -> None:
    arms = {"adam": Arm({"optim.name": "adam"})}
    sweep = {"optim.arguments.eps": [1e-8, 1e-4]}
    study = Study(name="study", arms=arms, sweep=sweep)
    assert study.validate_declaration() == []
    assert [cell.spec.optim.arguments for cell in study.cells()] == [{"eps": 1e-8}, {"eps": 1e-4}]
    assert problems(TrialSpec(), arms=arms, sweep=sweep) == {}
    wrong = problems(TrialSpec(), arms=arms, search={"optim.arguments.epss": Uniform(0.1, 0.2)})
    assert list(wrong) == ["search.optim.arguments.epss"]
    assert "valid are `eps`, `amsgrad`" in wrong["search.optim.arguments.epss"]


def test_every_problem_is_named_at_once_and_where_it_was_declared() -> None:
    base = TrialSpec(task=DigitsTask(model="resnet"), schedule=ScheduleSpec(epochs=1))
    arms = {
        "acdc": Arm({"sparsity.method": "acdc", "sparsity.acdc.warmup": "10 epochs"}),
        "gmp": Arm({"sparsity.method": "gmp"}, search={"sparsity.ramp.length": Uniform(0.1, 0.9)}),
        "wide": Arm({"sparsity.method": "one_shot"}, sweep={"task.batch_size": [64, 5000]}),
    }
    found = problems(base, arms=arms, sweep={"sparsity.target": [0, 0.9]})
    assert set(found) == {
        "base.task.model",
        "arms.acdc.overrides.sparsity.acdc",
        "arms.gmp.search.sparsity.ramp",
        "arms.wide.sweep.task.batch_size",
    }
    assert "would do" in found["arms.acdc.overrides.sparsity.acdc"]


def test_a_schedule_too_short_names_the_value_that_would_do() -> None:
    acdc = SparsitySpec(
        method="acdc", target=0.9, acdc=AcdcSpec(compress="5 epochs", decompress="5 epochs")
    )
    found = problems(TrialSpec(schedule=ScheduleSpec(epochs=20), sparsity=acdc))
    assert (
        "`schedule.epochs` of 24 would do" in found["base.sparsity.acdc"]
    )  # 15 + 0.35 T <= T at T = 23.1


def test_missing_data_are_a_problem_only_where_data_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARSETUNE_CACHE", str(tmp_path))
    monkeypatch.setattr(FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    study = Study(name="study", base=TrialSpec(task=ImageTask()))
    assert preflight_problems(study, needs_data=False) == []
    (problem,) = preflight_problems(study, data_root=tmp_path / "nothing")
    assert problem.path == "base.task"
    assert "SPARSETUNE_DATA" in problem.rule


@pytest.mark.parametrize(
    ("model", "given", "path"),
    [
        (
            "resnet18",
            {"resolution": 64, "eval_resolution": 96, "growth": GrowthSpec(first=32)},
            None,
        ),
        ("vit_b_32", {"resolution": 224, "eval_resolution": 224}, None),
        ("vit_b_32", {"resolution": 192, "eval_resolution": 224}, "base.task.eval_resolution"),
        (
            "vit_b_32",
            {"resolution": 224, "growth": GrowthSpec(first=192)},
            "base.task.growth.first",
        ),
    ],
)
def test_a_network_must_take_every_size_that_it_will_be_shown(
    model: str, given: dict[str, Any], path: str | None
) -> None:
    study = Study(name="sides", base=TrialSpec(task=FolderTask(model=model, **given)))
    problems = preflight_problems(study, needs_data=False)
    assert [problem.path for problem in problems] == ([path] if path else [])
    assert all("must be a size that `vit_b_32` takes" in problem.rule for problem in problems)


def test_a_model_that_ignores_its_seed_is_refused_where_it_is_declared() -> None:
    model = "tests.train.test_initialisation:seeds_itself"
    study = Study(
        name="s",
        base=TrialSpec(task=DigitsTask(model="mlp")),
        sweep={"task.model": ["mlp", model]},
    )
    (problem,) = preflight_problems(study, needs_data=False)
    assert problem.path == "sweep.task.model" and "seed" in problem.rule
    with pytest.raises(DeclarationError, match="leave the seeds of random generators alone"):
        check_study(study, needs_data=False)
    # A directory that was launched before goes on, with the same sentence.
    assert problem in check_study(study, needs_data=False, known=study).warnings
    declared = study.base.edited({"task.initialisation": "fixed"})
    assert preflight_problems(study.with_changes(base=declared), needs_data=False) == []


def test_a_model_is_drawn_once_for_all_trials_that_share_it() -> None:
    study = Study(
        name="s",
        base=TrialSpec(task=ImageTask(model="tests.launch.test_preflight:counted")),
        sweep={"task.flip": [False, True], "task.label_smoothing": [0, 0.1]},
    )
    DRAWN.clear()
    assert preflight_problems(study, needs_data=False) == []
    assert len(DRAWN) == 3, "twice at one seed, and at another"


DRAWN: list[torch.nn.Module] = []


def counted(shape: tuple[int, ...], n: int) -> torch.nn.Module:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, n))
    if not model[1].weight.is_meta:
        DRAWN.append(model)
    return model


def test_what_a_model_does_to_torch_does_not_reach_the_next() -> None:
    examine_model(DigitsTask(model="tests.launch.test_preflight:doubling"))
    assert torch.get_default_dtype() is torch.float32


def doubling(shape: tuple[int, ...], n: int) -> torch.nn.Module:
    torch.set_default_dtype(torch.float64)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, n))


STYLES = "tests.sparsity.account.public_styles"


def findings(model: str, **sparsity: Any) -> list[Problem]:
    """What preflight says of a sparse trial of a network in a common style."""
    spec = SparsitySpec(**({"method": "gmp", "target": 0.9} | sparsity))
    base = TrialSpec(task=DigitsTask(model=f"{STYLES}:{model}"), sparsity=spec)
    return preflight_findings(Study(name="study", base=base), needs_data=False)


def test_what_is_left_dense_is_a_warning_and_names_layers_that_can_be_added() -> None:
    [warning] = findings("transposed_convolution")
    assert (warning.path, warning.severity) == ("base.sparsity.layers", "warning")
    assert "transposed convolution: `2.weight`" in warning.rule
    assert findings("transposed_convolution", layers=("2",)) == []
    assert findings("transposed_convolution", layers=("-2",)) == []
    [tied] = findings("tied_embedding")
    assert "shared with the embedding `classes`: `classes.weight`" in tied.rule
    assert findings("grouped") == []


@pytest.mark.parametrize(
    "model", ["weight_norm", "spectral_norm", "values_in_constructor", "values_in_forward"]
)
def test_usual_ways_to_build_and_run_a_network_pass(model: str) -> None:
    assert findings(model) == []


def test_a_frozen_layer_is_left_alone_and_refused_by_name_where_its_gradients_are_needed() -> None:
    [warning] = findings("frozen_body", method="rigl", regrow=RegrowSpec(every="2 steps"))
    assert (warning.severity, "frozen: `1.weight`" in warning.rule) == ("warning", True)
    regrow = RegrowSpec(every="2 steps")
    refused = findings("frozen_body", method="rigl", regrow=regrow, layers=("1",))
    assert ["`1.weight` (frozen)" in str(each) for each in refused] == [True]
    assert refused[0].severity == "refusal"
    assert findings("frozen_body", method="gmp", layers=("1",)) == []


@pytest.mark.parametrize(("model", "layer"), [("orthogonal", "1"), ("weight_standardisation", "0")])
def test_a_computed_weight_that_keeps_no_zeros_is_refused_by_name(model: str, layer: str) -> None:
    [refused] = findings(model)
    assert refused.severity == "refusal" and f"weight of `{layer}` is computed" in refused.rule
    assert findings(model, layers=(f"-{layer}",)) == []
    known = findings(model, prunable_by="modules")
    assert [each.severity for each in known if "computed" in each.rule] in ([], ["warning"])
