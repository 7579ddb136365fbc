"""Generated declarations: neither a traceback nor a hang nor a contradiction; valid ones run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from sparsetune.spec.fields.trial import trial_fields
from sparsetune.study import Study
from tests.chaos.declarations import fuzz, valid
from tests.chaos.declarations.wild import IMPLAUSIBLE, PLAUSIBLE, Wild


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ask no hub for the models and data that declarations name."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    yield


QUICK = [seed for seed in range(60) if Wild(seed).kind != "text"][:20]
"""Seeds that do not load transformers."""


def defects(seeds: Sequence[int]) -> list[str]:
    found: list[str] = []
    fuzz.run(seeds, found.append)
    return found


def test_every_field_of_a_trial_has_values_to_try() -> None:
    assert {field.name for field in trial_fields()} <= PLAUSIBLE.keys()


def test_a_seed_is_one_declaration_and_seeds_differ() -> None:
    texts = [repr(Study(**Wild(seed).study()).digest()) for seed in (3, 3, 5)]
    assert texts[0] == texts[1] != texts[2]


def test_a_defect_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(study: Study) -> list[str]:
        raise KeyError("lost")

    monkeypatch.setattr(Study, "problems", broken)
    (found,) = defects([0])
    assert found.startswith("seed 0: TRACEBACK") and "lost" in found


def test_what_only_a_preview_says_is_a_contradiction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Study, "problems", lambda study: [])
    found = defects(QUICK[:3])
    assert any("CONTRADICTION: only preview says" in text for text in found)


FAILED_ONCE = (591, 680, 839, 863, 1008, 1580, 1846, 1897, 2149, 2794, 3137, 3344, 888, 5284)
"""Seeds whose declarations ended in a traceback or a hang."""


def test_declarations_that_failed_once() -> None:
    assert defects(FAILED_ONCE) == []


def test_twenty_declarations() -> None:
    assert defects(QUICK) == []


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_two_hundred_declarations() -> None:
    assert defects(range(20, 220)) == []


@pytest.mark.slow
@pytest.mark.timeout(40_000)
def test_ten_thousand_declarations() -> None:
    assert defects(range(10_000)) == []


def refused(seeds: range, trials: int) -> list[str]:
    found: list[str] = []
    counts = valid.run(seeds, trials, found.append)
    assert counts["trained"] == trials
    return found


def test_six_valid_declarations_of_which_one_is_trained() -> None:
    assert refused(range(100, 106), 1) == []


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_two_hundred_valid_declarations_the_projects_own_among_them() -> None:
    assert len(valid.shown_studies()) < 100
    assert refused(range(200), 6) == []


@pytest.mark.slow
@pytest.mark.timeout(20_000)
def test_a_thousand_valid_declarations() -> None:
    assert refused(range(1_000), valid.TRIALS) == []


@pytest.mark.parametrize("value", IMPLAUSIBLE, ids=lambda value: type(value).__name__)
def test_an_implausible_value_is_a_problem_in_one_line(value: object) -> None:
    for fields in ({"base": value}, {"arms": {"a": value}}, {"search": {"optim.lr": value}}):
        for problem in Study(**{"name": "a", **fields}).problems():
            assert str(problem).isprintable()
