"""Points of the search space: pure functions of seeds, paired between cells, steered by what was
told.
"""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsetune.search.journal import Proposal, Result, SearchJournal
from sparsetune.search.sampling.optuna_form import optuna_distribution
from sparsetune.search.sampling.points import _sobol_points, sample_point
from sparsetune.study import Arm, Study
from sparsetune.study.cells import Cell
from sparsetune.study.samplers import TPE, Random, Sobol
from sparsetune.study.space import Choice, IntRange, LogUniform, Uniform, Value

SEARCH = {
    "optim.lr": LogUniform(0.001, 1),
    "optim.momentum": Uniform(0, 0.9),
    "task.batch_size": IntRange(16, 64),
    "schedule.lr": Choice(["linear", "cosine"]),
    "sparsity.ramp.start": Uniform(0, 0.4),
}
SAMPLERS = [Sobol(), Random()]


def study(sampler: Sobol | Random | TPE, **fields: Any) -> Study:
    arms = {"gmp": Arm({"sparsity.method": "gmp"})}
    declared = Study(
        **{
            "name": "s",
            "arms": arms,
            "sweep": {"sparsity.target": [0, 0.9]},
            "search": SEARCH,
            "sampler": sampler,
            "configurations_per_cell": 20,
            "known_base": True,
            **fields,
        }
    )
    assert declared.validate_declaration() == []
    return declared


def cell(declared: Study, name: str = "gmp/target=0.9") -> Cell:
    return next(cell for cell in declared.cells() if cell.name == name)


NOTHING = optuna.create_study


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_point_is_a_function_of_seed_and_index_alone(sampler: Sobol | Random) -> None:
    declared = study(sampler)
    points = [sample_point(declared, cell(declared), index, NOTHING()) for index in range(8)]
    backwards = [
        sample_point(study(sampler), cell(declared), index, NOTHING())
        for index in reversed(range(8))
    ]
    assert backwards[::-1] == points
    assert len({point["optim.lr"] for point in points}) == 8


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_studys_seed_matters(sampler: Sobol | Random) -> None:
    firsts = [
        sample_point(s, cell(s), 0, NOTHING())["optim.lr"]
        for s in (study(sampler), study(sampler, seed=1))
    ]
    assert firsts[0] != firsts[1]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("index", [0, 5, 63, 64, 200])
def test_cells_are_paired_on_the_axes_they_share(sampler: Sobol | Random, index: int) -> None:
    declared = study(sampler)
    dense, gmp = (
        sample_point(declared, cell(declared, n), index, NOTHING())
        for n in ("dense", "gmp/target=0.9")
    )
    assert dense.keys() == SEARCH.keys() - {"sparsity.ramp.start"}  # a dense cell has no ramp
    assert gmp == {**dense, "sparsity.ramp.start": gmp["sparsity.ramp.start"]}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_arms_with_axes_of_their_own_stay_paired(sampler: Sobol | Random) -> None:
    arms = {
        "gmp": Arm(
            {"sparsity.method": "gmp"}, search={"optim.weight_decay": LogUniform(1e-6, 1e-3)}
        ),
        "acdc": Arm({"sparsity.method": "acdc"}),
    }
    declared = study(sampler, arms=arms)
    names = ("gmp/target=0.9", "acdc/target=0.9")
    gmp, acdc = (sample_point(declared, cell(declared, name), 3, NOTHING()) for name in names)
    assert "optim.weight_decay" in gmp.keys() - acdc.keys()
    assert acdc == {path: gmp[path] for path in acdc}


@pytest.mark.parametrize("sampler", SAMPLERS)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), index=st.integers(0, 300))
def test_points_lie_within_their_axes(sampler: Sobol | Random, seed: int, index: int) -> None:
    declared = study(sampler, seed=seed)
    point = sample_point(declared, cell(declared), index, NOTHING())
    assert 0.001 <= point["optim.lr"] <= 1
    assert 0 <= point["optim.momentum"] <= 0.9
    assert point["task.batch_size"] in range(16, 65)
    assert point["schedule.lr"] in ("linear", "cosine")


def test_a_longer_sobol_sequence_begins_with_the_shorter_one() -> None:
    short = _sobol_points(7, 3, 6)
    long = _sobol_points(7, 3, 8)
    assert (len(short), len(long)) == (64, 256)
    assert (long[:64] == short).all()


def test_sobol_points_fill_every_stratum_once() -> None:
    declared = study(Sobol(), search={"optim.momentum": Uniform(0, 0.8)})
    points = [
        sample_point(declared, cell(declared), index, NOTHING())["optim.momentum"]
        for index in range(8)
    ]
    assert sorted(int(float(p) / 0.1) for p in points) == list(range(8))


TPE_SEARCH = {"optim.lr": LogUniform(0.001, 1), "optim.momentum": Uniform(0, 0.9)}


def tpe(**fields: Any) -> Study:
    return study(TPE(n_startup=4), search=TPE_SEARCH, **fields)


def told(declared: Study, values: list[float | None], name: str = "gmp/target=0.9") -> optuna.Study:
    """A cell whose first points were told these objectives; None diverged."""
    journal = SearchJournal(None, declared, declared.cells())
    random = declared.with_changes(sampler=Random())
    for index, value in enumerate(values):
        point = sample_point(random, cell(declared, name), index, NOTHING())
        journal.propose(name, Proposal(str(index), f"random:{index}", point))
        journal.tell(name, str(index), Result(value))
    return journal.optuna_study(name)


RISING = [0.1 * i for i in range(10)]


def suggestion(
    declared: Study, values: list[float | None], index: int = 10, name: str = "gmp/target=0.9"
) -> Any:
    return sample_point(declared, cell(declared, name), index, told(declared, values, name))


def test_a_suggestion_is_a_function_of_what_was_told() -> None:
    assert suggestion(tpe(), RISING) == suggestion(tpe(), RISING)
    assert suggestion(tpe(), RISING) != suggestion(tpe(), RISING[::-1])


def test_a_suggestion_differs_by_seed_cell_and_number() -> None:
    points = [
        suggestion(tpe(), RISING, 10),
        suggestion(tpe(), RISING, 11),
        suggestion(tpe(), RISING, name="dense"),
    ]
    points.append(sample_point(tpe(seed=1), cell(tpe()), 10, told(tpe(), RISING)))
    assert len({point["optim.lr"] for point in points}) == 4


def test_a_maximised_objective_turns_the_search_round() -> None:
    from sparsetune.study import Maximize

    up = tpe(objective=Maximize("val_accuracy"))
    assert suggestion(up, RISING) == suggestion(tpe(), [-value for value in RISING])
    assert suggestion(up, RISING) != suggestion(tpe(), RISING)


def test_startup_points_are_those_of_the_random_sampler_whatever_was_told() -> None:
    random = study(Random(), search=TPE_SEARCH)
    for index in range(4):
        expected = sample_point(random, cell(random), index, NOTHING())
        assert suggestion(tpe(), RISING, index) == expected
    assert suggestion(tpe(), RISING, 4) != sample_point(random, cell(random), 4, NOTHING())


def test_a_suggestion_that_repeats_itself_can_be_replaced_by_a_random_point() -> None:
    random = study(Random(), search=TPE_SEARCH)
    replaced = sample_point(tpe(), cell(tpe()), 10, told(tpe(), RISING), adaptive=False)
    assert replaced == sample_point(random, cell(random), 10, NOTHING())


def test_diverged_configurations_steer_the_search_away() -> None:
    """With a cliff at a learning rate of 0.1, beyond which everything diverges and below which
    larger is better.
    """

    def told_with(cliff: bool) -> list[float | None]:
        random = study(Random(), search=TPE_SEARCH)
        rates = [
            float(sample_point(random, cell(random), index, NOTHING())["optim.lr"])
            for index in range(16)
        ]
        return [(1 - rate) if rate < 0.1 else (None if cliff else 1 - rate) for rate in rates]

    def beyond(values: list[float | None]) -> int:
        cell_told = told(tpe(), values)
        return sum(
            float(sample_point(tpe(), cell(tpe()), 16 + k, cell_told)["optim.lr"]) >= 0.1
            for k in range(20)
        )

    assert beyond(told_with(cliff=False)) > 15
    assert beyond(told_with(cliff=True)) < 12


@pytest.mark.parametrize(
    ("axis", "inside", "outside"),
    [
        (LogUniform(0.01, 1), [0.01, 1.0], [0.009, 1.1]),
        (Uniform(0, 0.5), [0.0, 0.5], [-0.1, 0.6]),
        (IntRange(1, 4), [1, 4], [0, 5]),
    ],
)
def test_optunas_form_of_an_axis_has_its_bounds(
    axis: Any, inside: list[Value], outside: list[Value]
) -> None:
    form = optuna_distribution(axis)
    assert all(form._contains(form.to_internal_repr(value)) for value in inside)
    assert not any(form._contains(form.to_internal_repr(value)) for value in outside)
    assert getattr(form, "log", False) == isinstance(axis, LogUniform)


def test_optunas_form_of_a_choice_has_its_options() -> None:
    assert optuna_distribution(
        Choice(["linear", "cosine"])
    ) == optuna.distributions.CategoricalDistribution(("linear", "cosine"))
