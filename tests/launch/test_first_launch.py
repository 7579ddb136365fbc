"""Rules of a first launch: refused before anything is written, warned of where a study goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sparsetune.costs.forecast import cost_kind, forecast_study
from sparsetune.costs.timing import TrialCost, measure_in_process
from sparsetune.errors import DeclarationError
from sparsetune.launch.extension import Extension
from sparsetune.launch.options import Options
from sparsetune.launch.preflight import check_study, preflight_problems
from sparsetune.launch.prepare import prepare_launch
from sparsetune.launch.preview import preview_study
from sparsetune.search.planner import build_planner
from sparsetune.spec import TrialSpec
from sparsetune.spec.task import CustomTask
from sparsetune.storage import StudyDirectory
from sparsetune.study import Arm, Maximize, Minimize, Study
from sparsetune.study.space import LogUniform

GMP = {"gmp": Arm({"sparsity.method": "gmp"})}
SEARCH = {"optim.lr": LogUniform(0.2, 1)}
OWN = """
import torch
from torch import nn
def half(input_shape, n_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, n_classes)).half()
def whole(input_shape, n_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, n_classes))
class Tires(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.steps = 0
        self.body = nn.Linear(64, n_classes)
    def forward(self, x):
        self.steps += self.training and not x.is_meta
        if self.steps == 30:
            raise RuntimeError("thirty steps are enough")
        return self.body(x.flatten(1))
def tires(input_shape, n_classes):
    return Tires(n_classes)
class Greedy(Tires):
    def forward(self, x):
        if not x.is_meta:
            torch.empty(2**60)
        return self.body(x.flatten(1))
def greedy(input_shape, n_classes):
    return Greedy(n_classes)
def data():
    x = torch.randn(64, 4)
    return {"train": (x, x[:, :1]), "test": (x, x[:, :1])}
def net(input_shape, n_outputs):
    return nn.Linear(4, n_outputs)
def regret(outputs, targets):
    return float((outputs - targets).abs().mean())
regret.higher_is_better = False
"""


def study(**fields: Any) -> Study:
    return Study(**{"name": "old", "report_seeds": 1, **fields})


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(storage=tmp_path / "runs", quiet=True)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_of_a_first_launch.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


def started(options: Options, declared: Study) -> Study:
    """The study with a directory, as a launch before the rule left it."""
    StudyDirectory(Path(options.storage) / declared.name).create(declared)
    return declared


OLD: dict[str, Study] = {
    "direction": study(search=SEARCH, known_base=True, objective=Minimize("val_accuracy")),
    "base outside": study(search=SEARCH, configurations_per_cell=2),
    "length": study(base=TrialSpec().edited({"schedule.warmup": "100 epochs"})),
    "equal values": study(arms=GMP, sweep={"sparsity.target": [0, 0.9, 0.3 * 3]}),
    "nothing left": study(
        base=TrialSpec().edited({"sparsity.method": "gmp", "sparsity.target": 0.99999})
    ),
    "name": study(arms={"": Arm()}),
}


@pytest.mark.parametrize("name", OLD)
def test_what_a_first_launch_refuses_an_old_study_is_warned_of(name: str, options: Options) -> None:
    declared = OLD[name]
    with pytest.raises(DeclarationError) as caught:
        prepare_launch(declared, options)
    assert not Path(options.storage).exists()
    started(options, declared)
    cells = [cell.name for cell in declared.cells()]
    prepared = prepare_launch(declared, options)
    assert list(prepared.warnings) == [str(problem) for problem in caught.value.problems]
    assert list(prepared.planner.plans) == cells  # ranges, cells and points are as they were
    assert prepared.declared.search == declared.search


def test_an_old_study_is_extended_but_brings_no_further_fault(options: Options) -> None:
    declared = started(options, OLD["equal values"])
    extend = Extension(report_seeds=1, sweep={"sparsity.target": [0.95]})
    prepared = prepare_launch(declared, options, extend=extend)
    assert [name for name in prepared.planner.plans if "0.95" in name] == ["gmp/target=0.95"]
    for values in ([0.7 + 0.2], [0.8999999999999999]):  # swept, to nine digits
        with pytest.raises(DeclarationError, match="swept already"):
            prepare_launch(declared, options, extend=Extension(sweep={"sparsity.target": values}))
    with pytest.raises(DeclarationError, match="less than or equal to 10000"):
        prepare_launch(declared, options, extend=Extension(report_seeds=10**20))


def test_an_extension_may_not_leave_a_network_without_weights(options: Options) -> None:
    declared = started(options, study(arms=GMP, sweep={"sparsity.target": [0, 0.9]}))
    with pytest.raises(DeclarationError, match="must leave a weight"):
        prepare_launch(declared, options, extend=Extension(sweep={"sparsity.target": [0.99999]}))


# ---- what is left of a network


def sparse(target: float, **fields: Any) -> Study:
    values = {f"sparsity.{name}": value for name, value in fields.items()}
    base = TrialSpec().edited({"sparsity.method": "gmp", "sparsity.target": target, **values})
    return Study(name="s", base=base)


def test_a_target_that_leaves_no_weight_is_known_before_the_start() -> None:
    (problem,) = preflight_problems(sparse(0.99999), needs_data=False)
    assert str(problem) == (
        "`base.sparsity.target`: must leave a weight in `1.weight`, `3.weight`, `5.weight`, 17,024"
        " in all; at most 0.9999706 would do, got 0.99999"
    )
    assert preflight_problems(sparse(0.9999706), needs_data=False) == []


@pytest.mark.parametrize("allocation", ["uniform", "erk", "er"])
def test_a_layer_without_weights_is_refused_where_each_layer_has_its_own(allocation: str) -> None:
    """The last layer has 640 weights; under `global` others may keep its share."""
    (problem,) = preflight_problems(sparse(0.9999, allocation=allocation), needs_data=False)
    assert "must leave a weight in `5.weight`, 640 in all; at most 0.99" in problem.rule
    highest = float(problem.rule.rpartition("at most ")[2].partition(" ")[0])
    assert preflight_problems(sparse(highest, allocation=allocation), needs_data=False) == []
    assert preflight_problems(sparse(0.9999), needs_data=False) == []


def test_an_explicit_layer_without_weights() -> None:
    layers = [["5", 0.9999], ["*", 0.5]]
    target = (640 * 0.9999 + (17_024 - 640) * 0.5) / 17_024
    study = sparse(round(target, 6), allocation="explicit", layers=layers)
    (problem,) = preflight_problems(study, needs_data=False)
    assert problem.path == "base.sparsity.layers" and "`5.weight`" in problem.rule


def test_fewer_weights_than_outputs_are_a_warning() -> None:
    (warning,) = check_study(sparse(0.999), needs_data=False).warnings
    assert "leaves fewer weights than outputs in `1.weight`" in str(warning)
    assert preview_study(sparse(0.999))["warnings"] == [str(warning)]
    assert check_study(sparse(0.9), needs_data=False).warnings == ()
    dense = Study(name="s", base=TrialSpec())
    assert check_study(dense, needs_data=False).warnings == ()


# ---- a metric's own direction


@pytest.mark.usefixtures("own")
def test_a_metric_that_says_its_direction_itself() -> None:
    module = "own_of_a_first_launch"
    task = CustomTask(
        data=f"{module}:data",
        model=f"{module}:net",
        loss="mse",
        metrics=[f"{module}:regret"],
        batch_size=16,
    )
    worse = Study(name="s", base=TrialSpec(task=task), objective=Maximize("val_regret"))
    assert worse.problems() == []  # imports nothing
    with pytest.raises(DeclarationError, match="`val_regret` is better when lower"):
        check_study(worse)
    check_study(worse.with_changes(objective=Minimize("val_regret")))


# ---- the launch's own timed steps


@pytest.mark.cluster  # an own model is timed in a process of its own
@pytest.mark.usefixtures("own")
def test_a_launch_stops_where_its_own_timed_steps_raise(options: Options) -> None:
    base = TrialSpec().edited({"task.model": "own_of_a_first_launch:half"})
    with pytest.raises(DeclarationError, match="first steps of a trial") as caught:
        prepare_launch(study(base=base), options)
    assert "must have the same dtype" in str(caught.value)
    assert not Path(options.storage).exists()
    declared = started(options, study(base=base))
    (warning,) = prepare_launch(declared, options).warnings
    assert "must have the same dtype" in warning


@pytest.mark.usefixtures("own")
def test_steps_that_raise_are_told_from_time_that_is_not_known() -> None:
    declared = study(base=TrialSpec().edited({"task.model": "own_of_a_first_launch:half"}))
    work = build_planner(declared, {}).remaining_work()
    (spec,) = [cell.spec for cell in work.cells]
    (reason,) = measure_in_process([spec], device="cpu", threads=1, data_root=None)
    (problem,) = forecast_study(work, {cost_kind(spec): reason}).problems()
    assert problem.rule.startswith("the first steps of a trial with the method `dense`")
    assert "must have the same dtype" in problem.got and "\n" not in problem.got
    assert forecast_study(work, {cost_kind(spec): "timing took more than 120 s"}).problems() == []
    names = ("whole", "tires", "greedy")
    others = [spec.edited({"task.model": f"own_of_a_first_launch:{name}"}) for name in names]
    whole, tires, greedy = measure_in_process(others, device="cpu", threads=1, data_root=None)
    assert isinstance(whole, TrialCost)
    # A later step raises for its own reasons, and memory may be there on another machine.
    assert tires == "RuntimeError: thirty steps are enough"
    assert "allocate memory" in str(greedy)
    for reason in (tires, greedy):
        assert forecast_study(work, {cost_kind(spec): reason}).problems() == []


def test_a_training_that_diverges_at_once_is_no_failure_of_its_steps(options: Options) -> None:
    values = {"optim.lr": 1e38, "task.batch_size": 1000, "schedule.epochs": 1}
    prepared = prepare_launch(study(base=TrialSpec().edited(values)), options)
    assert prepared.forecast.missing is None
