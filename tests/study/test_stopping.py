"""The declaration of halving: what is refused, and that studies without it keep their digests."""

from __future__ import annotations

from typing import Any

import pytest

from sparsetune.spec.defaults import DEFAULTS_BY_VERSION
from sparsetune.study import Arm, Study
from sparsetune.study.samplers import GP, TPE, Sobol
from sparsetune.study.space import LogUniform
from sparsetune.study.stopping import EARLY_HALVING, Halving

SEARCH = {"optim.lr": LogUniform(0.01, 1)}


def study(**fields: Any) -> Study:
    return Study(**{"name": "s", "search": SEARCH, "configurations_per_cell": 4, **fields})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rungs": [0.5, 0.25]}, "`stopping.rungs`: rungs must rise"),
        ({"rungs": [0.5, 0.5]}, "`stopping.rungs`: rungs must rise"),
        ({"rungs": []}, "`stopping.rungs`: must not be empty"),
        ({"rungs": [0.5, 1.0]}, "`stopping.rungs.1`: must be less than 1"),
        ({"reduction": 1}, "`stopping.reduction`: must be greater than 1"),
        ({"settle": 1}, "`stopping.settle`: must be less than 1"),
        ({"grace": 3}, "`stopping.grace`: unknown field; valid are `rungs`, `reduction`, `settle`"),
    ],
)
def test_a_rule_that_cannot_hold_is_named_with_its_place(fields: dict[str, Any], said: str) -> None:
    (problem,) = study(stopping=Halving(**fields)).validate_declaration()
    assert str(problem).startswith(said)


@pytest.mark.parametrize("fields", [{"search": {}}, {"configurations_per_cell": 1}])
def test_stopping_needs_configurations_to_compare(fields: dict[str, Any]) -> None:
    (problem,) = study(stopping=Halving(), **fields).validate_declaration()
    assert problem.path == "stopping" and "at least 2 `configurations_per_cell`" in problem.rule


def test_a_search_of_one_arm_is_enough() -> None:
    arms = {
        "gmp": Arm({"sparsity.method": "gmp", "sparsity.target": 0.9}, search=SEARCH),
        "dense": Arm(),
    }
    assert study(search={}, arms=arms, stopping=Halving()).validate_declaration() == []


def test_a_rule_is_part_of_the_digest_and_no_rule_is_not() -> None:
    assert study().digest() == study(stopping=None).digest() != study(stopping=Halving()).digest()
    assert study(stopping=Halving()).digest() != study(stopping=Halving(reduction=2)).digest()


def test_the_quick_form_keeps_the_rule() -> None:
    quick = study(stopping=Halving(reduction=2)).quick()
    assert quick.stopping == Halving(reduction=2) and quick.validate_declaration() == []


@pytest.mark.parametrize(
    ("fields", "before", "now"),
    [
        ({}, (8, Sobol(), None), (16, GP(), EARLY_HALVING)),
        ({"stopping": None}, (8, Sobol(), None), (8, Sobol(), None)),
        ({"configurations_per_cell": 15}, (15, Sobol(), None), (15, Sobol(), None)),
        ({"configurations_per_cell": 16}, (16, Sobol(), None), (16, GP(), EARLY_HALVING)),
        (
            {"configurations_per_cell": 16, "stopping": Halving()},
            (16, Sobol(), Halving()),
            (16, GP(), Halving()),
        ),
        ({"sampler": TPE()}, (8, TPE(), None), (8, TPE(), None)),
        ({"search": {}}, (8, Sobol(), None), (8, Sobol(), None)),
    ],
)
def test_how_a_study_searches_where_it_leaves_that_out(
    fields: dict[str, Any], before: tuple[Any, ...], now: tuple[Any, ...]
) -> None:
    declared = Study(**{"name": "s", "search": SEARCH, **fields})
    for version, expected in ((3, before), (4, now)):
        resolved = declared.under_defaults(version)
        search = resolved.configurations_per_cell, resolved.sampler, resolved.stopping
        assert search == expected
        # What is stored keeps its meaning under every version.
        again = resolved.under_defaults(DEFAULTS_BY_VERSION.current)
        assert again.digest() == resolved.digest()
        assert (again.configurations_per_cell, again.sampler, again.stopping) == expected


def test_a_study_that_cannot_be_read_is_named_and_not_resolved() -> None:
    for arms in ({"gmp": LogUniform(0.1, 1)}, LogUniform(0.1, 1)):
        faulty = Study(name="s", search=SEARCH, arms=arms)
        assert all(
            problem.path.startswith("arms") for problem in faulty.under_defaults(4).problems()
        )
        assert faulty.under_defaults(4).problems() == faulty.problems() != []
