"""Declarations that cannot mean what they say are problems; their innocent neighbours are none."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import pytest

from sparsetune.spec import EvaluateSpec, OptimSpec, RewindSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.declaration import Declaration
from sparsetune.spec.fields.trial import trial_fields
from sparsetune.spec.sparsity import AcdcSpec, RampSpec, RegrowSpec, SparsitySpec
from sparsetune.spec.task import CustomTask, DigitsTask, FolderTask, GrowthSpec, TextTask
from sparsetune.spec.task.sizes import DataSizes, TensorSize
from sparsetune.study import Arm, Maximize, Minimize, Quick, Study
from sparsetune.study.samplers import Grid
from sparsetune.study.selection import objective_of, winner_of
from sparsetune.study.space import Choice, IntRange, LogUniform, Uniform

BASE = TrialSpec(task=DigitsTask(model="mlp"), schedule=ScheduleSpec(epochs=4))
GMP = {"gmp": Arm({"sparsity.method": "gmp"})}
TARGETS = {"sparsity.target": [0, 0.9]}
RATES = {"optim.lr": LogUniform(0.01, 1)}


def problems(**fields: Any) -> list[str]:
    return [str(problem) for problem in Study(**{"name": "a", "base": BASE, **fields}).problems()]


def problem(**fields: Any) -> str:
    (found,) = problems(**fields)
    assert "\n" not in found
    return found


# ---- direction of columns


@pytest.mark.parametrize(
    ("objective", "right"),
    [
        (Minimize("val_accuracy"), Maximize("val_accuracy")),
        (Minimize("val_score"), Maximize("val_score")),
        (Maximize("val_loss"), Minimize("val_loss")),
        (Maximize("train_loss"), Minimize("train_loss")),
        (Maximize("val_error"), Minimize("val_error")),
    ],
)
def test_the_worse_direction_of_a_column(objective: Any, right: Any) -> None:
    found = problem(arms=GMP, sweep=TARGETS, search=RATES, objective=objective)
    assert found.startswith(f"`objective`: `{objective.column}` is better when ")
    assert f"write {type(right).__name__}('{right.column}'), got " in found
    assert problems(arms=GMP, sweep=TARGETS, search=RATES, objective=right) == []


def test_an_entropy_has_no_better_direction() -> None:
    assert problems(search=RATES, objective=Minimize("val_entropy")) == []
    assert problems(search=RATES, objective=Maximize("val_entropy")) == []


def custom(**fields: Any) -> TrialSpec:
    sizes = DataSizes(
        data="own:data",
        train=1000,
        test=100,
        n_outputs=1,
        inputs=TensorSize(shape=(4,)),
        validation=fields.pop("own_validation", 0),
    )
    task = CustomTask(data="own:data", model="own:net", resolved=(sizes,), **fields)
    return TrialSpec(task=task)


def test_a_metric_declares_its_direction() -> None:
    metric = {"name": "own:regret", "higher_is_better": False}
    base = custom(loss="mse", metrics=[metric, "r2"])
    assert "better when lower" in problem(base=base, objective=Maximize("val_regret"))
    assert "better when higher" in problem(base=base, objective=Minimize("val_r2"))
    assert problems(base=base, objective=Minimize("val_regret")) == []
    assert problems(base=base, objective=Maximize("val_r2")) == []
    # Only the function's own attribute knows, which is not imported here.
    assert problems(base=custom(metrics=["own:regret"]), objective=Maximize("val_regret")) == []


# ---- what is never measured


def test_an_unknown_column_is_named_everywhere() -> None:
    assert problem(objective=Minimize("my_metric")).startswith("`objective.column`: must be one of")


def test_without_a_validation_split_nothing_is_compared_on_it() -> None:
    base = BASE.edited({"task.validation": 0})
    found = problem(base=base, search=RATES)
    assert found.startswith("`objective.column`: ")
    assert "`val_error` needs `task.validation` > 0" in found
    assert problems(base=base, search=RATES, objective=Minimize("train_loss")) == []
    assert problems(base=base) == []  # nothing is compared
    assert problems(base=base, search=RATES, configurations_per_cell=1) == []
    assert "needs `task.validation`" in problem(
        base=BASE.edited({"task.validation": 1e-6}), search=RATES
    )
    arms = {"all": Arm({"task.validation": 0}), "gmp": GMP["gmp"]}
    assert "cell `all" in problem(arms=arms, search=RATES)


def test_data_with_a_validation_part_of_their_own_need_none_held_out() -> None:
    own = custom(validation=0, own_validation=50)
    assert problems(base=own, search=RATES) == []
    assert problems(base=custom(validation=0), search=RATES) != []


@pytest.mark.parametrize(
    ("base", "column", "measured"),
    [
        (custom(loss="mse"), Maximize("val_accuracy"), False),
        (custom(loss="mse"), Minimize("train_entropy"), False),
        (custom(loss="mse"), Maximize("val_r2"), True),
        (custom(loss="bce_with_logits", metrics=["accuracy"]), Maximize("val_accuracy"), True),
        (custom(), Maximize("val_accuracy"), True),
        (TrialSpec(task=TextTask(dataset="stsb")), Maximize("val_accuracy"), False),
        (TrialSpec(task=TextTask(dataset="stsb")), Maximize("val_score"), True),
    ],
)
def test_a_task_without_classes_has_no_accuracy(
    base: TrialSpec, column: Any, measured: bool
) -> None:
    assert (problems(base=base, search=RATES, objective=column) == []) is measured


def test_nan_is_no_value_in_selection() -> None:
    nan = float("nan")
    assert objective_of([0.1, nan]) is None
    assert objective_of([0.1, float("inf")]) is None
    assert winner_of({"a": nan, "b": 0.2, "c": 0.3}, minimize=True) == "b"
    assert winner_of({"a": 0.2, "b": float("inf")}, minimize=False) == "a"
    assert winner_of({"a": nan}, minimize=True) is None


# ---- what never happens

GROWTH = FolderTask(
    examples=2_000,
    classes=4,
    validation=0.1,
    batch_size=32,
    growth=GrowthSpec(first=64, start="2 epochs", length="9 epochs"),
)
LENGTHS: list[tuple[str, Any, Any, dict[str, Any]]] = [
    ("schedule.warmup", "100 epochs", "4 epochs", {}),
    ("schedule.warmup", "1e6 samples", "256 samples", {}),
    ("schedule.anchors", ["30 epochs", "60 epochs"], ["2 epochs", "3 epochs"], {"lr": "step"}),
    ("schedule.anchors", [1.0], [0.5], {"lr": "step"}),
    ("schedule.rewind", {"start": "4 epochs"}, {"start": "2 epochs"}, {}),
    (
        "schedule.rewind",
        {"start": "1 epochs", "every": "9 epochs"},
        {"start": "1 epochs", "every": "1 epochs"},
        {},
    ),
    ("evaluate.every", "5 epochs", "2 epochs", {}),
    ("sparsity.ramp.start", "4 epochs", "1 epochs", {}),
    ("sparsity.ramp.length", "9 epochs", "2 epochs", {}),
    ("sparsity.ramp.tail", "4 epochs", "1 epochs", {}),
    ("sparsity.ramp.every", "3 epochs", "0.1 epochs", {}),
    ("sparsity.acdc.final", "5 epochs", 0.2, {"method": "acdc"}),
    ("sparsity.regrow.until", "5 epochs", "3 epochs", {"method": "rigl", "every": "5 steps"}),
    ("sparsity.regrow.every", "70 steps", "5 steps", {"method": "set"}),
]


@pytest.mark.parametrize(("path", "too_long", "fits", "more"), LENGTHS)
def test_a_length_that_no_trial_reaches(
    path: str, too_long: Any, fits: Any, more: Mapping[str, Any]
) -> None:
    values: dict[str, Any] = {
        "sparsity.method": more.get("method", "gmp"),
        "sparsity.target": 0.9,
        "schedule.lr": more.get("lr", "linear"),
    }
    if "every" in more:
        values["sparsity.regrow.every"] = more["every"]
    elif more.get("method") == "rigl" or path == "sparsity.regrow.every":
        values["sparsity.regrow.every"] = "5 steps"
    found = problems(base=BASE.edited({**values, path: too_long}))
    assert found and all(each.startswith(f"`base.{path}") for each in found)
    assert "cell `" in found[0] and " fits into 4 epochs of training, got " in found[0]
    assert problems(base=BASE.edited({**values, path: fits})) == []


def test_images_that_never_reach_their_size() -> None:
    base = TrialSpec(task=GROWTH, schedule=ScheduleSpec(epochs=8))
    assert "`base.task.growth.length`: no trial" in problem(base=base)
    assert problems(base=base.edited({"schedule.epochs": 11})) == []


def test_lengths_hold_after_multiplier_and_in_every_cell() -> None:
    base = BASE.edited({"schedule.warmup": "6 epochs"})
    sweep = {"schedule.epoch_multiplier": [2, 4]}
    assert problems(base=base, sweep=sweep) == []
    found = problem(base=base, sweep={"schedule.epoch_multiplier": [1, 2]})
    assert "cell `dense/epoch_multiplier=1` reaches" in found
    assert "`4 epochs` fits into 4 epochs" in found
    # A search adds the dense cell at multiplier 1, which gives the control.
    assert "epoch_multiplier=1" in problem(base=base, sweep=sweep, search=RATES)


def test_a_searched_length_is_judged_value_by_value_and_a_searched_training_by_its_longest() -> (
    None
):
    search = {"schedule.warmup": Choice([0.05, "9 epochs"])}
    assert problem(search=search).startswith("`search.schedule.warmup`: no trial")
    assert problems(search={"schedule.warmup": Choice([0.05, "3 epochs"])}) == []
    longer = {"schedule.epochs": IntRange(2, 20)}
    base = BASE.edited({"schedule.warmup": "9 epochs"})
    assert problems(base=base, search=longer, at_most={"epochs": 20}) == []


def test_lengths_of_a_teacher_and_of_unresolved_data_are_judged_too() -> None:
    teacher = BASE.edited({"schedule.warmup": "9 epochs"})
    base = BASE.edited({"distill.hardness": 0.5, "distill.teacher": teacher})
    assert problem(base=base).startswith("`base.distill.teacher.schedule.warmup`: no trial")
    unresolved = TrialSpec(
        task=CustomTask(data="own:data", model="own:net"), schedule=ScheduleSpec(warmup="9 epochs")
    )
    assert "`4 epochs` fits" in problem(base=unresolved)
    assert problems(base=unresolved.edited({"schedule.warmup": "9 steps"})) == []


def test_fields_that_do_not_apply_have_no_length() -> None:
    base = BASE.edited({"sparsity.ramp.start": "9 epochs", "sparsity.regrow.every": "70 steps"})
    assert problems(base=base) == []


# ---- values that are equal to nine digits


def test_equal_values_of_an_axis() -> None:
    sweep = {"sparsity.target": [0, 0.9, 0.3 * 3]}
    assert "must differ; 0.8999999999999999 is there already" in problem(arms=GMP, sweep=sweep)
    assert problems(arms=GMP, sweep={"sparsity.target": [0, 0.9, 0.90001]}) == []
    own = {"gmp": Arm({"sparsity.method": "gmp"}, sweep={"sparsity.target": [0.9, 0.3 * 3]})}
    assert problem(arms=own).startswith("`arms.gmp.sweep.sparsity.target`: the values")
    assert "the options of a choice" in problem(search={"optim.lr": Choice([0.1, 0.1, 0.2])})


def test_cells_that_differ_in_the_last_bit() -> None:
    arms = {
        "a": Arm({"sparsity.method": "gmp", "sparsity.target": 0.9}),
        "b": Arm({"sparsity.method": "gmp", "sparsity.target": 0.3 * 3}),
    }
    assert problem(arms=arms) == "cell `b` must differ from `a` within nine significant digits"
    arms["b"] = Arm({"sparsity.method": "gmp", "sparsity.target": 0.91})
    assert problems(arms=arms) == []


# ---- ranges

LENGTH = {"sparsity.ramp.length": Uniform(0.2, 0.5)}


def test_a_base_outside_a_searched_range_names_the_line_to_paste() -> None:
    found = problem(arms=GMP, sweep=TARGETS, search=LENGTH)
    assert found.startswith("`search.sparsity.ramp.length`: the base must lie inside what is")
    assert '`"sparsity.ramp.length": Uniform(0.2, 0.6),` or `known_base=True,`' in found
    pasted = {"sparsity.ramp.length": Uniform(0.2, 0.6)}
    assert problems(arms=GMP, sweep=TARGETS, search=pasted) == []
    assert problems(arms=GMP, sweep=TARGETS, search=LENGTH, known_base=True) == []
    moved = BASE.edited({"sparsity.ramp.length": 0.4})
    assert problems(base=moved, arms=GMP, sweep=TARGETS, search=LENGTH) == []
    assert problems(arms=GMP, sweep=TARGETS, search=LENGTH | RATES, known_base=True) == []


def test_known_base_is_no_part_of_a_name() -> None:
    fields: dict[str, Any] = {"name": "a", "arms": GMP, "sweep": TARGETS, "search": LENGTH}
    assert Study(**fields).digest() == Study(**fields, known_base=True).digest()


def test_a_base_at_the_end_of_a_range_lies_inside_and_known_points_may_lie_outside() -> None:
    base = BASE.edited({"optim.lr": 0.1 + 0.2})
    search = {"optim.lr": LogUniform(0.01, 0.3)}
    assert problems(base=base, search=search) == []
    assert problems(base=base, search=search, known=[{"optim.lr": 2.0}]) == []


def test_a_base_that_no_logarithm_holds_and_one_of_an_arm() -> None:
    base = BASE.edited({"optim.weight_decay": 0})
    found = problem(base=base, search={"optim.weight_decay": LogUniform(1e-6, 1e-3)})
    assert found.endswith("or paste `known_base=True,`")
    arms = {"gmp": Arm({"sparsity.method": "gmp", "optim.lr": 3.0})}
    found = problem(arms=arms, sweep={"sparsity.target": [0.9]}, search=RATES)
    assert "it is 3.0 in cell" in found and "LogUniform(0.01, 3)" in found


def test_the_quick_form_may_allow_its_own_base() -> None:
    form = Quick(overrides={"optim.lr": 5.0})
    quick = Study(name="a", base=BASE, search=RATES, quick_form=form).quick()
    assert "the base must lie inside" in str(quick.problems()[0])
    form = Quick(overrides={"optim.lr": 5.0}, known_base=True)
    assert Study(name="a", base=BASE, search=RATES, quick_form=form).quick().problems() == []


# ---- counts


def parts(part: type[Declaration]) -> list[type[Declaration]]:
    own = [part] if part.__module__.startswith("sparsetune.") else []
    return own + [inner for child in part.__subclasses__() for inner in parts(child)]


def test_every_count_of_a_declaration_has_an_upper_bound() -> None:
    unbounded = []
    for part in parts(Declaration):
        for name, field in part.model_fields.items():
            is_count = int in (field.annotation, *get_args(field.annotation))
            bounds = [item for item in field.metadata if hasattr(item, "le") or hasattr(item, "lt")]
            # Seeds of splits may be a word too, and have a rule of their own, tested below.
            has_rule = name == "split_seed" or part.__name__ in ("TensorSize", "DataSizes")
            if is_count and not bounds and not has_rule:
                unbounded.append(f"{part.__name__}.{name}")
    assert unbounded == []


ENDLESS = BASE.edited({"schedule.epochs": 1e6})
MANY = {
    "optim.lr": [k / 1e4 for k in range(1, 102)],
    "optim.momentum": [k / 200 for k in range(100)],
}


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"report_seeds": 10**20}, "`report_seeds`: must be less than or equal to 10000"),
        ({"configurations_per_cell": 10**9}, "less than or equal to 10000"),
        (
            {"base": {"task": {"kind": "digits", "split_seed": 10**20}}},
            "from 0 to 9,007,199,254,740,991",
        ),
        ({"base": {"schedule": {"epochs": 1e12}}}, "less than or equal to 1000000"),
        ({"base": ENDLESS.edited({"schedule.epoch_multiplier": 1e3})}, "100,000,000 optimizer"),
        ({"base": ENDLESS.edited({"evaluate.every": "1 steps"})}, "1,000,000"),
        ({"sweep": MANY}, "at most 10,000 cells"),
        (
            {"search": {"evaluate.train_examples": IntRange(1, 10**8)}, "sampler": Grid()},
            "10,000 p",
        ),
        ({"search": {"optim.lr": Choice([*range(1, 1200)])}}, "at most 1,000 values"),
    ],
)
def test_a_count_without_end(fields: dict[str, Any], rule: str) -> None:
    assert rule in problem(**fields)


# ---- plans that need neither torch nor data

RIGL = {"sparsity.method": "rigl", "sparsity.target": 0.9}
PLANS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"task.batch_size": 5000}, {"task.batch_size": 500}, "task.batch_size"),
    ({"task.validation": 2000}, {"task.validation": 200}, "task.validation"),
    (
        {**RIGL, "sparsity.regrow.every": "20 steps"},
        {**RIGL, "sparsity.regrow.every": "5 steps"},
        "sparsity.regrow",
    ),
    (
        {**RIGL, "sparsity.method": "acdc", "schedule.epochs": 0.5},
        {**RIGL, "sparsity.method": "acdc"},
        "sparsity.acdc",
    ),
    (
        {**RIGL, "sparsity.regrow.every": "5 steps", "sparsity.score": "fisher"},
        {**RIGL, "sparsity.regrow.every": "5 steps", "sparsity.score": "saliency"},
        "sparsity.score",
    ),
]


@pytest.mark.parametrize(("wrong", "right", "path"), PLANS)
def test_what_a_preview_says_without_a_network_is_a_problem(
    wrong: dict[str, Any], right: dict[str, Any], path: str
) -> None:
    assert problem(base=BASE.edited(wrong)).startswith(f"`base.{path}`: ")
    assert problems(base=BASE.edited(right)) == []
    teacher = BASE.edited(wrong)
    taught = BASE.edited({"distill.hardness": 0.5, "distill.teacher": teacher})
    assert any(f"`base.distill.teacher.{path}`" in each for each in problems(base=taught)) or (
        path.startswith("task.")  # a teacher with another split has a problem of its own
    )


def test_a_budget_in_epochs_holds_what_every_cell_tries() -> None:
    found = problem(base=BASE, search=RATES, at_most={"epochs": 3})
    assert found.startswith("`at_most.epochs`: must hold every base recipe and known point; 4, ")
    assert problems(base=BASE, search=RATES, at_most={"epochs": 4}) == []


def test_a_plan_is_named_at_the_arm_whose_axis_it_lies_on() -> None:
    arms = {"wide": Arm({"sparsity.method": "one_shot"}, sweep={"task.batch_size": [64, 5000]})}
    found = problem(arms=arms, sweep=TARGETS)
    assert found.startswith("`arms.wide.sweep.task.batch_size`: must be at most the training set's")


def itself() -> list[Any]:
    values: list[Any] = []
    values.append(values)
    return values


@pytest.mark.parametrize("value", [itself(), np.array([1.0, 2.0]), {1, 2}, {1: 2}, 1 + 2j])
def test_a_value_that_nothing_can_hold_is_a_problem(value: Any) -> None:
    assert problems(base=BASE.edited({"optim.lr": value}))
    assert problems(sweep={"optim.lr": [value]})
    assert problems(search={"optim.lr": LogUniform(value, 1)})
    assert problems(base=value) and problems(base={1: value})


def test_numbers_of_numpy_are_numbers() -> None:
    base = BASE.edited({"task.batch_size": np.int64(32), "optim.lr": np.array(0.5)})
    assert problems(base=base, sweep={"optim.momentum": [np.float64(0.5)]}) == []


def test_a_problem_is_one_line_whatever_came() -> None:
    found = problem(sweep={"optim.l\nr\x1b[2J": [1]})
    assert found.isprintable() and r"optim.l\nr\x1b[2J" in found


# ---- shapes


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"search": {"optim.lr": [0.1, 0.2]}}, "write `Choice([0.1, 0.2])`"),
        ({"search": {"optim.lr": 0.1}}, "must be `Uniform(…)` or `LogUniform(…)`"),
        ({"sweep": {"optim.lr": 0.1}}, "must be a list, as in `[0.1, 0.2]`"),
        ({"arms": {"": GMP["gmp"]}}, "1 to 100 printable characters, got ''"),
        ({"arms": {"a\x1b[2J": GMP["gmp"]}}, "printable characters"),
        ({"arms": ["gmp"]}, "must be a dictionary by name"),
        ({"objective": "val_loss"}, "must be `Minimize(…)` or `Maximize(…)`"),
        ({"base": {"schedule": {"lr": {}}}}, "`base.schedule.lr`: must be a valid string, got {}"),
        ({"base": {"sparsity": {"method": None}}}, "`base.sparsity.method`: must be 'dense'"),
        ({"base": {"distill": 3}}, "`base.distill`: must be `DistillSpec(…)`"),
        ({"search": {"optim.name": Choice([None, "sgd"])}}, "must be a valid string, got None"),
    ],
)
def test_a_wrong_shape_is_one_line(fields: dict[str, Any], text: str) -> None:
    assert text in problem(**fields)


def test_none_is_an_option_where_the_field_allows_it() -> None:
    assert problems(search={"optim.clip_norm": Choice([None, 1.0])}) == []
    assert problems(sweep={"optim.clip_norm": [None, 1.0]}) == []
    study = Study(
        name="a",
        base=BASE.edited({"sparsity.method": "gmp", "sparsity.target": 0.9}),
        search={"sparsity.score": Choice([None, "random"])},
    )
    assert study.problems() == []
    assert Study.model_validate(study.given()).digest() == study.digest()


def test_an_arms_name_may_be_of_any_language() -> None:
    assert problems(arms={"größe 2": GMP["gmp"]}, sweep=TARGETS) == []


def test_fractions_of_training_are_always_reached() -> None:
    spec = TrialSpec(
        optim=OptimSpec(),
        schedule=ScheduleSpec(epochs=8, rewind=RewindSpec(start=0.25, every=0.25)),
        sparsity=SparsitySpec(
            method="granet",
            target=0.5,
            ramp=RampSpec(),
            acdc=AcdcSpec(),
            regrow=RegrowSpec(every="5 steps"),
        ),
        evaluate=EvaluateSpec(every=0.5),
    )
    assert problems(base=spec) == []


WRONG = (None, {}, [], "", 0, -1, 1.5, True, [1, 2], {"a": 1}, float("nan"), 10**30, (1,), "a:b")
STUDY_FIELDS = ("base", "arms", "sweep", "search", "known", "objective", "sampler", "quick_form")
PARTS = ("task", "optim", "schedule", "sparsity", "evaluate", "compute", "distill")


def wrong_declarations() -> list[dict[str, Any]]:
    """Wrong values in every field of a study and a trial, in every place that takes one."""
    found: list[dict[str, Any]] = []
    paths = list(dict.fromkeys(field.name for field in trial_fields()))
    for value in WRONG:
        found += [{name: value} for name in STUDY_FIELDS]
        found += [{"base": {part: value}} for part in PARTS]
        for path in paths:
            sparse = {"sparsity.method": "gmp", "sparsity.target": 0.9}
            found.append({"base": TrialSpec().edited({path: value})})
            found.append({"arms": {"g": Arm({**sparse, path: value})}})
            found.append({"sweep": {path: [value]}})
            found.append({"search": {path: Choice([value, 0.1])}})
            found.append({"search": {path: LogUniform(0.1, 1)}, "known": [{path: value}]})
    return found


def test_a_wrong_value_anywhere_is_told_in_lines_of_text() -> None:
    for fields in random.Random(17).sample(wrong_declarations(), 700):
        for found in problems(**fields):
            assert "\n" not in found and "extract fields" not in found, fields
