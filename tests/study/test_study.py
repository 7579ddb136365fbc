"""Cells by hand, and faults of a study named together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sparsetune.errors import DeclarationError
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import RampSpec, SparsitySpec
from sparsetune.study import (
    Arm,
    Maximize,
    Minimize,
    Quick,
    Study,
    declaration_differences,
    require_valid,
)
from sparsetune.study import cells as cells_module
from sparsetune.study.cells import Cell
from sparsetune.study.samplers import TPE, OptunaSampler, Random, Sobol
from sparsetune.study.space import Choice, IntRange, LogUniform, Uniform

GMP = Arm({"sparsity.method": "gmp"})
ACDC = Arm({"sparsity.method": "acdc"})
LR = LogUniform(0.01, 1)


def study(**fields: Any) -> Study:
    return Study(**{"name": "s", "sweep": {"sparsity.target": [0, 0.9]}, **fields})


def cells(**fields: Any) -> dict[str, Cell]:
    declared = study(**fields)
    assert declared.validate_declaration() == []
    return {cell.name: cell for cell in declared.cells()}


def faults(**fields: Any) -> list[str]:
    return [str(problem) for problem in study(**fields).validate_declaration()]


def test_arms_are_crossed_with_sweep_axes_and_share_one_dense_cell_a_multiplier() -> None:
    found = cells(
        arms={"gmp": GMP, "acdc": ACDC},
        sweep={"sparsity.target": [0, 0.9], "schedule.epoch_multiplier": [1, 2]},
    )
    assert list(found) == [
        "dense/epoch_multiplier=1",
        "dense/epoch_multiplier=2",
        "gmp/target=0.9/epoch_multiplier=1",
        "gmp/target=0.9/epoch_multiplier=2",
        "acdc/target=0.9/epoch_multiplier=1",
        "acdc/target=0.9/epoch_multiplier=2",
    ]
    cell = found["gmp/target=0.9/epoch_multiplier=2"]
    assert cell.arm == "gmp"
    assert cell.point == {"sparsity.target": 0.9, "schedule.epoch_multiplier": 2}
    expected = TrialSpec(
        schedule=ScheduleSpec(epoch_multiplier=2), sparsity=SparsitySpec(method="gmp", target=0.9)
    )
    assert cell.spec == expected
    assert found["dense/epoch_multiplier=2"].spec == expected.dense()


def test_a_study_without_arms_has_one_named_by_its_method() -> None:
    assert list(cells(base=TrialSpec(sparsity=SparsitySpec(method="gmp")))) == [
        "dense",
        "gmp/target=0.9",
    ]


def test_an_axis_that_does_not_apply_in_a_cell_is_absent_there() -> None:
    found = cells(
        arms={"gmp": GMP, "acdc": ACDC},
        sweep={"sparsity.target": [0, 0.9], "sparsity.acdc.final": [0.1, 0.2]},
        search={"optim.lr": LR, "sparsity.ramp.start": Uniform(0, 0.3)},
    )
    assert {name: (sorted(cell.point), sorted(cell.search)) for name, cell in found.items()} == {
        "dense": ([], ["optim.lr"]),
        "gmp/target=0.9": (["sparsity.target"], ["optim.lr", "sparsity.ramp.start"]),
        "acdc/target=0.9/final=0.1": (["sparsity.acdc.final", "sparsity.target"], ["optim.lr"]),
        "acdc/target=0.9/final=0.2": (["sparsity.acdc.final", "sparsity.target"], ["optim.lr"]),
    }


def test_an_arm_brings_its_own_axes_which_replace_the_studys() -> None:
    own = Arm(
        {"sparsity.method": "gmp"},
        sweep={"sparsity.target": [0.5], "sparsity.ramp.start": [0, 0.2]},
        search={"optim.lr": LogUniform(0.1, 0.2)},
    )
    found = cells(arms={"own": own, "acdc": ACDC}, search={"optim.lr": LR})
    assert {name: cell.search["optim.lr"] for name, cell in found.items() if not cell.added} == {
        "dense": LR,
        "own/target=0.5/start=0": LogUniform(0.1, 0.2),
        "own/target=0.5/start=0.2": LogUniform(0.1, 0.2),
        "acdc/target=0.9": LR,
    }


def test_an_explicit_dense_arm_is_the_dense_cell_of_the_other_arms() -> None:
    assert list(cells(arms={"gmp": GMP, "baseline": Arm({"sparsity.method": "dense"})})) == [
        "baseline",
        "gmp/target=0.9",
    ]


def test_different_dense_recipes_of_two_arms_stay_apart_each_with_its_own_control() -> None:
    adamw = Arm({"sparsity.method": "acdc", "optim.name": "adamw"})
    found = cells(arms={"gmp": GMP, "acdc": adamw}, search={"optim.lr": LR})
    assert {name: (cell.spec.optim.name, cell.control_from) for name, cell in found.items()} == {
        "dense": ("sgd", None),
        "dense-acdc": ("adamw", None),
        "gmp/target=0.9": ("sgd", "dense"),
        "acdc/target=0.9": ("adamw", "dense-acdc"),
    }


def test_the_same_dense_recipe_searched_differently_stays_apart_too() -> None:
    gmp = Arm({"sparsity.method": "gmp"}, search={"optim.lr": LR})
    acdc = Arm({"sparsity.method": "acdc"}, search={"optim.weight_decay": LogUniform(1e-6, 1e-3)})
    found = cells(arms={"gmp": gmp, "acdc": acdc})
    assert {name: (sorted(cell.search), cell.control_from) for name, cell in found.items()} == {
        "dense": (["optim.lr"], None),
        "dense-acdc": (["optim.weight_decay"], None),
        "gmp/target=0.9": (["optim.lr"], "dense"),
        "acdc/target=0.9": (["optim.weight_decay"], "dense-acdc"),
    }


@pytest.mark.parametrize(
    ("sweep", "added"),
    [
        ({"sparsity.target": [0, 0.9], "schedule.epoch_multiplier": [1, 2]}, []),
        (
            {"sparsity.target": [0.9], "schedule.epoch_multiplier": [1, 2]},
            ["dense/epoch_multiplier=1"],
        ),
        (
            {"sparsity.target": [0, 0.9], "schedule.epoch_multiplier": [2, 4]},
            ["dense/epoch_multiplier=1"],
        ),
        ({"sparsity.target": [0.9]}, ["dense"]),
    ],
)
def test_the_control_is_the_dense_cell_at_multiplier_1_added_where_it_is_not_swept(
    sweep: dict[str, Any], added: list[str]
) -> None:
    found = cells(
        arms={"gmp": GMP},
        sweep=sweep,
        search={"optim.lr": LR, "sparsity.ramp.start": Uniform(0, 0.2)},
    )
    first, *rest = found.values()
    assert [name for name, cell in found.items() if cell.added] == added
    assert first.spec == TrialSpec()
    assert first.search == {"optim.lr": LR}
    assert first.control_from is None
    assert {cell.control_from for cell in rest} == {first.name}


def test_nothing_is_controlled_where_nothing_is_searched() -> None:
    found = cells(arms={"gmp": GMP}, sweep={"sparsity.target": [0.9]})
    assert {name: cell.control_from for name, cell in found.items()} == {"gmp/target=0.9": None}


def test_dense_cells_come_first_however_they_are_declared() -> None:
    found = cells(
        arms={"gmp": GMP}, sweep={"sparsity.target": [0.9, 0.5, 0]}, search={"optim.lr": LR}
    )
    assert list(found) == ["dense", "gmp/target=0.9", "gmp/target=0.5"]


def test_seeds_of_search_and_report_never_meet() -> None:
    declared = study(search_seeds=2, report_seeds=3, seed=7)
    assert declared.seeds("search") == [7, 8]
    assert declared.seeds("report") == [1007, 1008, 1009]


def test_a_pinned_sweep_axis_keeps_one_value_and_a_pinned_search_axis_goes() -> None:
    declared = study(
        arms={"gmp": GMP}, search={"optim.lr": LR, "sparsity.ramp.start": Uniform(0, 0.2)}
    )
    pinned = require_valid(
        declared.pinned({"sparsity.target": 0.8, "sparsity.ramp.start": 0.15, "schedule.epochs": 2})
    )
    dense, gmp = pinned.cells()
    assert (dense.name, dense.added, gmp.name) == ("dense", True, "gmp/target=0.8")
    assert sorted(gmp.search) == ["optim.lr"]
    assert (gmp.spec.sparsity.ramp.start.value, gmp.spec.schedule.epochs) == (0.15, 2)


def test_pinning_reaches_arms_too() -> None:
    arm = Arm({"sparsity.method": "gmp", "optim.lr": 0.5}, sweep={"optim.momentum": [0, 0.9]})
    pinned = require_valid(
        study(arms={"gmp": arm}).pinned({"optim.lr": 0.3, "optim.momentum": 0.8})
    )
    assert [cell.name for cell in pinned.cells()] == [
        "dense/momentum=0.8",
        "gmp/target=0.9/momentum=0.8",
    ]
    assert {cell.spec.optim.lr for cell in pinned.cells()} == {0.3}


def test_a_target_pinned_to_zero_leaves_the_dense_cell() -> None:
    assert [
        cell.name
        for cell in require_valid(study(arms={"gmp": GMP}).pinned({"sparsity.target": 0})).cells()
    ] == ["dense"]


def test_the_quick_form_is_the_ends_of_every_sweep_and_few_trials() -> None:
    base = TrialSpec(sparsity=SparsitySpec(ramp=RampSpec(start=0.25)))
    arm = Arm({"sparsity.method": "gmp"}, sweep={"optim.momentum": [0, 0.5, 0.9]})
    quick = study(
        base=base,
        arms={"gmp": arm},
        sweep={"sparsity.target": [0, 0.5, 0.9]},
        configurations_per_cell=20,
    ).quick()
    assert quick.name == "s-quick"
    assert (quick.configurations_per_cell, quick.search_seeds, quick.report_seeds) == (2, 1, 2)
    assert [cell.name for cell in require_valid(quick).cells()][2:] == [
        "gmp/target=0.9/momentum=0",
        "gmp/target=0.9/momentum=0.9",
    ]
    assert quick.cells()[-1].spec.sparsity.ramp.start.value == 0.25


def test_a_study_states_its_own_quick_form() -> None:
    form = Quick(overrides={"schedule.epochs": 1}, sweep={"sparsity.target": [0.9]}, report_seeds=1)
    quick = study(arms={"gmp": GMP}, quick_form=form).quick()
    assert [(cell.name, cell.spec.schedule.epochs) for cell in require_valid(quick).cells()] == [
        ("gmp/target=0.9", 1)
    ]
    assert quick.report_seeds == 1


def test_a_quick_form_replaces_overrides_and_axes_of_arms() -> None:
    axes = {"sparsity.target": [0.8, 0.9, 0.95], "schedule.epochs": [2, 4, 8]}
    arm = Arm({"sparsity.method": "gmp", "schedule.lr": "cosine"}, sweep=axes)
    form = Quick(arms={"gmp": Arm({"sparsity.method": "gmp"}, sweep={"schedule.epochs": [1]})})
    declared = study(arms={"gmp": arm}, sweep={}, search={}, quick_form=form)
    cells = require_valid(declared.quick()).cells()
    assert [cell.name for cell in cells] == ["gmp/target=0.8/epochs=1", "gmp/target=0.95/epochs=1"]
    assert {cell.spec.schedule.lr for cell in cells} == {"linear"}
    unknown = declared.with_changes(quick_form=Quick(arms={"gpm": Arm()}))
    assert [str(problem) for problem in unknown.validate_declaration()] == [
        "`quick_form.arms.gpm`: must be an arm of the study: gmp"
    ]


def test_the_quick_form_of_an_adaptive_study_is_valid() -> None:
    declared = study(arms={"gmp": GMP}, sampler=TPE(n_startup=3), search={"optim.lr": LR})
    assert require_valid(declared).sampler == TPE(n_startup=3)
    assert require_valid(declared.quick()).sampler == Random()
    named = declared.with_changes(sampler=OptunaSampler("GPSampler", n_startup=3))
    assert (require_valid(named).sampler, require_valid(named.quick()).sampler) == (
        named.sampler,
        Random(),
    )


FULL = Study(
    name="full",
    question="Why?",
    base=TrialSpec(optim=OptimSpec(lr=0.2)),
    arms={"gmp": GMP, "acdc": Arm({"sparsity.method": "acdc", "sparsity.acdc.final": "2 epochs"})},
    sweep={"sparsity.target": [0, 0.9], "optim.nesterov": [True, False]},
    search={
        "optim.lr": LR,
        "task.batch_size": IntRange(16, 64),
        "schedule.lr": Choice(["linear", "cosine"]),
        "sparsity.ramp.start": Uniform(0, 0.2),
    },
    objective=Maximize("val_accuracy"),
    sampler=TPE(n_startup=2),
    quick_form=Quick(overrides={"schedule.epochs": 1}),
)


def test_a_study_survives_json_with_its_cells_and_digest() -> None:
    again = Study.model_validate(json.loads(json.dumps(FULL.given())))
    assert again == require_valid(FULL)
    assert again.digest() == FULL.digest()
    assert again.cells() == FULL.cells()


CHOOSING = {
    "sparsity.method": Choice(["gmp", "acdc"]),
    "sparsity.acdc.final": Uniform(0.1, 0.3),
    "sparsity.ramp.start": Uniform(0, 0.3),
    "optim.name": Choice(["sgd", "adamw"]),
    "optim.momentum": Uniform(0, 0.9),
}


def choosing(**fields: Any) -> Study:
    """Method and optimizer are searched; `beta1`, `recalibrate` apply under some choices only."""
    base = TrialSpec(
        optim=OptimSpec(beta1=0.8), sparsity=SparsitySpec(method="gmp", recalibrate=64)
    )
    return study(**{"base": base, "search": CHOOSING, **fields})


def test_a_searched_choice_brings_the_axes_that_apply_under_any_of_its_options() -> None:
    dense, sparse = require_valid(choosing()).cells()
    assert sorted(dense.search) == ["optim.momentum", "optim.name"]
    assert sorted(sparse.search) == sorted(CHOOSING)
    assert sparse.deciding_choices == ("sparsity.method", "optim.name")
    assert [
        (tuple(setting.chosen.values()), sorted(setting.free)) for setting in sparse.settings
    ] == [
        (("gmp", "sgd"), ["optim.momentum", "sparsity.ramp.start"]),
        (("gmp", "adamw"), ["sparsity.ramp.start"]),
        (("acdc", "sgd"), ["optim.momentum", "sparsity.acdc.final"]),
        (("acdc", "adamw"), ["sparsity.acdc.final"]),
    ]


def test_a_point_keeps_the_values_that_apply_under_its_choices() -> None:
    cell = choosing().cells()[1]
    point = {
        "sparsity.method": "acdc", "sparsity.acdc.final": 0.2, "sparsity.ramp.start": 0.1,
        "optim.name": "adamw", "optim.momentum": 0.5,
    }  # fmt: skip
    assert cell.applicable_values(point) == {
        "sparsity.method": "acdc",
        "sparsity.acdc.final": 0.2,
        "optim.name": "adamw",
    }
    assert cell.at(point) == cell.at(cell.applicable_values(point))


def test_fields_of_the_base_that_another_choice_needs_are_kept_for_it() -> None:
    cell = choosing().cells()[1]
    assert cell.spec.optim == OptimSpec()  # SGD has no betas
    assert cell.at({"optim.name": "adamw"}).optim == OptimSpec(name="adamw", beta1=0.8)
    assert cell.at({"optim.name": "adamw", "sparsity.method": "acdc"}).sparsity.recalibrate == 64
    assert cell.at({}) == cell.spec


def test_an_axis_of_one_option_is_checked_under_that_option() -> None:
    (problem,) = choosing(
        search={**CHOOSING, "sparsity.acdc.final": Uniform(0.1, 1.5)}
    ).validate_declaration()
    assert (problem.path, problem.got) == ("search.sparsity.acdc.final", "1.5")
    assert "must lie in [0, 1]" in problem.rule


def test_an_axis_that_applies_under_no_option_is_still_refused() -> None:
    search = {**CHOOSING, "sparsity.regrow.fraction": Uniform(0.1, 0.3)}
    (problem,) = choosing(search=search).validate_declaration()
    assert (
        str(problem)
        == "`sparsity.regrow.fraction`: this axis applies to no cell: it would change nothing"
    )


def test_a_swept_axis_may_apply_under_a_searched_option_only() -> None:
    fields = {"sweep": {"sparsity.target": [0, 0.9], "sparsity.acdc.warmup": [0.1, 0.2]}}
    dense, *sparse = require_valid(choosing(**fields)).cells()
    assert [cell.name for cell in sparse] == [
        "gmp/target=0.9/warmup=0.1",
        "gmp/target=0.9/warmup=0.2",
    ]
    found = [cell.at({"sparsity.method": "acdc"}).sparsity.acdc.warmup.value for cell in sparse]
    assert (found, dense.name) == ([0.1, 0.2], "dense")


def test_corners_without_deciding_choices_are_each_axis_at_its_ends_and_all_together() -> None:
    cell = study(
        search={"optim.lr": LogUniform(0.1, 0.2), "optim.momentum": Choice([0, 0.5, 0.9])}, sweep={}
    ).cells()[0]
    pairs = [(spec.optim.lr, spec.optim.momentum) for spec in cell.corner_recipes()]
    ends = [(0.1, 0.9), (0.2, 0.9), (0.1, 0), (0.1, 0.5), (0.1, 0.9), (0.1, 0), (0.2, 0.9)]
    assert sorted(set(pairs)) == sorted(set(ends))


def test_the_digest_names_what_runs() -> None:
    assert FULL.with_changes(question="Really?").digest() == FULL.digest()
    assert FULL.with_changes(report_seeds=4).digest() != FULL.digest()
    assert (
        study(sweep={"sparsity.target": [0.0]}).digest()
        == study(sweep={"sparsity.target": [0]}).digest()
    )


def test_differences_name_every_changed_field() -> None:
    changed = FULL.with_changes(
        base=FULL.base.edited({"optim.lr": 0.3}), sweep={"sparsity.target": [0, 0.9]}
    )
    assert declaration_differences(FULL.given(), changed.given()) == [
        "`base.optim.lr`: 0.2 -> 0.3",
        "`sweep.optim.nesterov`: [True, False] -> (absent)",
    ]
    assert declaration_differences(study(arms={"a": Arm()}).given(), study().given()) == [
        "`arms.a`: {} -> (absent)"
    ]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"name": "a/b"}, "`name`: "),
        ({"sweep": {"sparsity.target": []}}, "`sweep.sparsity.target`: must not be empty"),
        (
            {"sweep": {"sparsity.target": [0, 1.0]}},
            "`sweep.sparsity.target`: must be less than 1, got 1.0",
        ),
        (
            {"sweep": {"sparsity.target": [0, 90]}},
            "`sweep.sparsity.target`: must be less than 1, got 90",
        ),
        (
            {"sweep": {"sparsity.target": [0.5, 0.5]}},
            "`sweep.sparsity.target`: the values of a sweep axis must differ",
        ),
        (
            {"search": {"optim.lr": LogUniform(-1, 1)}},
            "`search.optim.lr`: a logarithmic range must have a low bound",
        ),
        (
            {"search": {"optim.lr": Uniform(-1, 1)}},
            "`search.optim.lr`: must be greater than 0, got -1",
        ),
        (
            {"search": {"optim.lrr": LR}},
            "`search.optim.lrr`: unknown field; valid are `name`, `lr`",
        ),
        (
            {"search": {"sparsity.target": Uniform(0.1, 0.2)}},
            "`search.sparsity.target`: an axis is either swept or",
        ),
        (
            {"search": {"schedule.epochs": IntRange(1, 9)}},
            "`search.schedule.epochs`: changes a trial's cost",
        ),
        (
            {"search": {"sparsity.acdc.final": Uniform(0.1, 0.2)}},
            "`sparsity.acdc.final`: this axis applies to no cell",
        ),
        ({"sweep": {"sparsity.target": [0.9], "seed": [1, 2]}}, "`seed`: seeds are no axis"),
        ({"objective": Minimize("test_error")}, "`objective.column`: must be one of train_loss, "),
        (
            {"sampler": TPE(n_startup=4)},
            "`sampler.n_startup`: must be below half of `configurations_per_cell`",
        ),
        (
            {"sampler": OptunaSampler("GPSampler", n_startup=4)},
            "`sampler.n_startup`: must be below half of",
        ),
        (
            {"sampler": {"kind": "optuna", "name": "GPSampler"}},
            "`sampler.n_startup`: must be given",
        ),
        (
            {"sampler": OptunaSampler("GPSampler", {"f": print}, n_startup=2)},
            "`sampler.arguments.f`: ",
        ),
        (
            {"sampler": {"kind": "bayes"}},
            "`sampler`: `kind` must be one of 'sobol', 'random', 'grid', 'tpe', 'gp', 'optuna'",
        ),
        (
            {"base": TrialSpec(optim=OptimSpec(lr=-1))},
            "`base.optim.lr`: must be greater than 0, got -1",
        ),
        ({"base": {"optim": {"lr": -1}}}, "`base.optim.lr`: must be greater than 0, got -1"),
        (
            {"arms": {"gmp": Arm({"sparsity.metod": "gmp"})}},
            "`arms.gmp.overrides.sparsity.metod`: unknown field",
        ),
        (
            {"arms": {"gmp": {"sparsity.method": "gmp"}}},
            "`arms.gmp.sparsity.method`: unknown field; valid are",
        ),
        (
            {"configurations_per_cell": 0},
            "`configurations_per_cell`: must be greater than or equal to 1, got 0",
        ),
        ({"report_sedes": 1}, "`report_sedes`: unknown field; valid are `name`, `question`"),
    ],
)
def test_a_fault_is_named_where_it_was_declared(fields: dict[str, Any], fault: str) -> None:
    (problem,) = faults(**{"arms": {"gmp": GMP}, **fields})
    assert problem.startswith(fault)


SEARCH = {
    "optim.lr": LR,
    "sparsity.ramp.start": Uniform(0, 0.3),
    "task.batch_size": IntRange(16, 64),
}


def known(*points: Any, **fields: Any) -> Study:
    return study(**{"arms": {"gmp": GMP}, "search": SEARCH, "known": points, **fields})


def test_known_points_are_part_of_the_declaration_and_none_leave_the_digest() -> None:
    declared = known({"optim.lr": 0.3, "task.batch_size": 32}, {"optim.lr": 0.1})
    assert declared.validate_declaration() == []
    again = Study.model_validate(json.loads(json.dumps(declared.given())))
    assert (again.known, again.digest()) == (
        ({"optim.lr": 0.3, "task.batch_size": 32}, {"optim.lr": 0.1}),
        declared.digest(),
    )
    assert known().digest() == study(arms={"gmp": GMP}, search=SEARCH).digest() != declared.digest()


@pytest.mark.parametrize(
    ("point", "fault"),
    [
        (
            {"optim.lrr": 0.1},
            "`known.0.optim.lrr`: no search axis; searched are optim.lr, sparsity.ramp.start,"
            " task.batch",
        ),
        ({"optim.momentum": 0.1}, "`known.0.optim.momentum`: no search axis; searched are"),
        (
            {"optim.lr": True},
            "`known.0.optim.lr`: must be a number, as in LogUniform(0.01, 1), got True",
        ),
        ({"optim.lr": "much"}, "`known.0.optim.lr`: must be a number, as in LogUniform(0.01, 1)"),
        ({"optim.lr": -1}, "`known.0.optim.lr`: must be greater than 0"),
        (
            {"task.batch_size": 32.5},
            "`known.0.task.batch_size`: must be a valid integer",
        ),
        ({}, "`known.0`: a known point must set a searched field"),
    ],
)
def test_a_known_point_that_cannot_be(point: dict[str, Any], fault: str) -> None:
    (problem,) = (str(problem) for problem in known(point).validate_declaration())
    assert problem.startswith(fault)


def test_known_points_must_differ_and_may_lie_outside_the_ranges() -> None:
    own = Arm({"sparsity.method": "acdc"}, search={"optim.lr": LogUniform(0.01, 0.2)})
    faulty = known({"optim.lr": 0.3}, {"optim.lr": 0.3}, arms={"gmp": GMP, "own": own})
    assert [str(problem) for problem in faulty.validate_declaration()] == [
        "`known.1`: a known point must set a searched field, and differ from the others, got"
        " {'optim.lr': 0.3}",
    ]


def test_known_points_must_make_a_trial_that_can_be() -> None:
    """The ends of the axes do, alone and all low or all high; this pair is none of those."""
    axes = {"sparsity.ramp.start": Choice([0.5, 0.1]), "sparsity.ramp.length": Uniform(0.2, 0.6)}
    point = {"sparsity.ramp.start": 0.5, "sparsity.ramp.length": 0.6}
    base = TrialSpec(sparsity=SparsitySpec(ramp=RampSpec(length=0.3)))
    assert known(search=axes, base=base).validate_declaration() == []
    (problem,) = known(point, search=axes, base=base).validate_declaration()
    assert str(problem).startswith("`known.0.sparsity.ramp`: `start` + `length` must be at most 1")


@pytest.mark.parametrize(("configurations", "fits"), [(5, True), (4, False)])
def test_known_points_count_within_the_configurations_beside_base_and_control(
    configurations: int, fits: bool
) -> None:
    points = [{"optim.lr": rate} for rate in (0.2, 0.3, 0.4)]
    problems = known(*points, configurations_per_cell=configurations).validate_declaration()
    assert [problem.path for problem in problems] == ([] if fits else ["known"])
    assert fits or problems[0].rule.endswith("; 5 would do")
    dense = study(
        sweep={}, search={"optim.lr": LR}, known=points, configurations_per_cell=configurations - 1
    )
    assert [problem.path for problem in dense.validate_declaration()] == ([] if fits else ["known"])


def test_known_points_follow_pins_and_the_quick_form() -> None:
    declared = known(
        {"optim.lr": 0.3, "task.batch_size": 32},
        {"optim.lr": 0.1},
        {"optim.lr": 0.2, "task.batch_size": 32},
    )
    assert require_valid(declared.pinned({"optim.lr": 0.05})).known == ({"task.batch_size": 32},)
    assert require_valid(declared.quick()).known == ()
    quick = declared.with_changes(quick_form=Quick(configurations_per_cell=3)).quick()
    assert require_valid(quick).known == ({"optim.lr": 0.3, "task.batch_size": 32},)


def test_an_axis_of_an_arm_is_blamed_in_that_arm_and_must_apply_there() -> None:
    arm = Arm(
        {"sparsity.method": "gmp"},
        sweep={"optim.momentum": [0, 2]},
        search={"sparsity.acdc.final": LR},
    )
    assert faults(arms={"gmp": arm}) == [
        "`arms.gmp.sweep.optim.momentum`: must be less than 1, got 2"
    ]
    arm = Arm({"sparsity.method": "gmp"}, search={"sparsity.acdc.final": LR})
    assert faults(arms={"gmp": arm}) == [
        "`sparsity.acdc.final`: this axis applies to no cell: it would change nothing"
    ]


def test_a_target_swept_over_a_dense_study_would_change_nothing() -> None:
    assert faults() == ["`sparsity.target`: this axis applies to no cell: it would change nothing"]


def test_ramps_are_checked_where_their_axes_meet() -> None:
    axes = {"sparsity.ramp.start": Uniform(0, 0.6), "sparsity.ramp.length": Uniform(0.2, 0.5)}
    problems = faults(
        arms={"gmp": GMP},
        search=axes,
        base=TrialSpec(sparsity=SparsitySpec(ramp=RampSpec(length=0.3))),
    )
    assert problems == [
        "`search.sparsity.ramp`: `start` + `length` must be at most 1 (the end of training), got"
        " 0.6 + 0.5 = 1.1; a length of 0.4 would do"
    ]


def test_everything_wrong_is_reported_at_once() -> None:
    with pytest.raises(DeclarationError) as caught:
        require_valid(
            Study(
                name="no good",
                base=TrialSpec(optim=OptimSpec(lr=-1, momentums=1)),
                arms={
                    "gmp": Arm(
                        {"sparsity.method": "gmp"}, search={"sparsity.prune_at": LogUniform(0, 1)}
                    ),
                    "typo": Arm({"sparsity.method": "gpm"}),
                },
                sweep={"sparsity.target": [0, 0.9], "schedule.epochs": []},
                search={"schedule.epoch_multiplier": IntRange(1, 4)},
                objective=Minimize("loss"),
                report_seeds=0,
            )
        )
    assert [problem.path for problem in caught.value.problems] == [
        "arms.gmp.search.sparsity.prune_at",
        "arms.typo.overrides.sparsity.method",
        "base.optim.lr",
        "base.optim.momentums",
        "name",
        "objective.column",
        "report_seeds",
        "search.schedule.epoch_multiplier",
        "sweep.schedule.epochs",
    ]
    assert str(caught.value).startswith("9 problems in study `no good`:")


def test_a_valid_study_is_returned_as_it_is() -> None:
    assert require_valid(FULL).sampler == TPE(n_startup=2)
    assert require_valid(study(arms={"gmp": GMP})).sampler == Sobol()


@pytest.mark.parametrize("arms", [{1: GMP}, {None: GMP}])
def test_values_count_in_their_plain_form(arms: Any) -> None:
    declared = study(arms=arms)
    assert declared.problems() == []
    assert declared.arms == {str(name): Arm(**arm.given()) for name, arm in arms.items()}
    assert len(declared.pinned({"optim.lr": 0.5}).cells()) == 2


def test_a_key_that_is_no_text_is_an_unknown_field_in_words() -> None:
    arms = {"a": Arm({None: 1}), "b": Arm(GMP)}
    paths = {problem.path for problem in study(arms=arms).problems()}
    assert paths == {"arms.a.overrides.None", "arms.b.overrides.overrides"}
    assert [problem.path for problem in study(search={("x",): LR}).problems()] == ["search.('x',)"]


def test_a_length_beyond_all_numbers_is_a_problem() -> None:
    base = TrialSpec().edited({"schedule.warmup": 10**400})
    (found,) = [each for each in faults(base=base) if "warmup" in each]
    assert "a length must be a fraction of training" in found


def test_many_cells_that_cannot_be_built_are_not_all_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    build = cells_module._build_cell
    monkeypatch.setattr(
        cells_module, "_build_cell", lambda name, *rest: (built.append(name), build(name, *rest))[1]
    )
    faulty = study(sweep={"optim.lr": [-1 - k for k in range(2_000)]})
    assert len(faulty.problems()) == 200
    repeated = study(sweep={"sparsity.target": [0, 0.9], "optim.lr": [0.1] * 4_000})
    assert any("must differ" in problem.rule for problem in repeated.problems())
    assert len(built) < 500
    declared = study(arms={"gmp": GMP})
    built.clear()
    assert declared.cells() == declared.cells() and declared.problems() == []
    assert len(built) <= 4, "once for the study, once for the part of it that can be read"
