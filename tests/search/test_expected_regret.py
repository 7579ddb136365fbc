"""What `preview` expects of searches is what the record of replays says."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from sparsetune.launch.preview import preview_study
from sparsetune.search.expected_regret import RECORDED_SEARCHES, regret_sentence
from sparsetune.spec.defaults import DEFAULTS_BY_VERSION
from sparsetune.study import Study
from sparsetune.study.samplers import TPE, Sobol
from sparsetune.study.space import LogUniform

REGRET = Path(__file__).parents[2] / "studies" / "records" / "landscapes" / "regret.csv"
ROWS = {8: "8 whole", 16: "default", 32: "GP 32, early halving"}


def study(**fields: object) -> Study:
    declared = Study(name="s", search={"optim.lr": LogUniform(0.01, 1)}, **fields)
    return declared.under_defaults(DEFAULTS_BY_VERSION.current)


def test_numbers_are_those_of_the_held_out_landscapes() -> None:
    regret = pd.read_csv(REGRET)
    held_out = regret[regret["table"] == "landscapes, held out"].set_index("search")
    for recorded in RECORDED_SEARCHES:
        row = held_out.loc[ROWS[recorded.configurations]]
        assert recorded[1:] == tuple(
            round(float(row[f"regret_{name}"]), 2) for name in ("points", "low", "high")
        )


def test_a_default_search_of_any_size_is_told_what_to_expect_in_words() -> None:
    sentence = regret_sentence(study())
    assert sentence is not None
    for recorded in RECORDED_SEARCHES:
        word = "better" if recorded.regret < 0 else "worse"
        assert f"{abs(recorded.regret):.1f} points {word} (" in sentence
        assert f"with {recorded.configurations} configurations" in sentence
    assert regret_sentence(study(configurations_per_cell=8)) == sentence
    facts = preview_study(study())["expected_regret"]
    assert [fact["configurations"] for fact in facts] == [8, 16, 32]


@pytest.mark.parametrize(
    "fields",
    [
        {"sampler": TPE()},
        {"sampler": Sobol(), "configurations_per_cell": 32},
        {"stopping": None, "configurations_per_cell": 32},
    ],
)
def test_what_is_not_on_record_is_not_expected(fields: dict[str, object]) -> None:
    assert regret_sentence(study(**fields)) is None
    assert regret_sentence(Study(name="s")) is None
