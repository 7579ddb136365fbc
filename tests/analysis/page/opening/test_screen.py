"""The first screen, and all text that is open on the page."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

import analysis
from analysis.answers.answers import answers
from analysis.answers.groups import answer_groups, first_word, leading_sentences
from analysis.answers.page_sentences import PAGE_CATALOGUE, write_on_page
from analysis.answers.sentences import CATALOGUE, MAX_WORDS
from analysis.page.opening.notes import Note
from analysis.page.opening.screen import Screen, first_screen, no_warning
from analysis.tables.results import Results
from tests.analysis.exact import TWO_ARMS, Exact, planted
from tests.analysis.page.page_text import known, page_text, sentences_of
from tests.analysis.runs import runs_table
from tests.analysis.simulation import DIGITS, Simulation

LEVELS = {
    ("dense", 0, 1): 0.95,
    ("dense", 0, 4): 0.955,
    ("gmp", 0.95, 1): 0.93,
    ("gmp", 0.95, 4): 0.94,
    ("gmp", 0.98, 1): 0.90,
    ("gmp", 0.98, 4): 0.905,
    ("acdc", 0.95, 1): 0.90,
    ("acdc", 0.95, 4): 0.94,
    ("acdc", 0.98, 1): 0.80,
    ("acdc", 0.98, 4): 0.93,
}
OUR_WORDS = (
    "target=",
    "multiplier=",
    "epoch_",
    "test_",
    "val_",
    "not separated",
    "excluded",
    "n =",
)


@pytest.fixture(scope="module")
def two_arms(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("screen") / "two"
    return analysis.load(Exact(TWO_ARMS, folder, planted(LEVELS)).run())


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a whole study of digits."""
    folder = tmp_path_factory.mktemp("digits")
    return Path(analysis.report(Simulation(DIGITS, folder / "digits").run()))


def screen_of(results: Results) -> Screen:
    found = answers(results)
    return first_screen(results, found, answer_groups(found.answers), [])


def test_the_first_word_answers_and_the_arm_with_a_yes_leads(two_arms: Results) -> None:
    screen = screen_of(two_arms)
    assert screen.word == "Yes for AC/DC at 98 %"
    # GMP at 98 % gains as much as dense: it is asked first, and told after AC/DC.
    assert str(screen.sentences[0]).startswith(
        "From 8 to 32 epochs AC/DC at 98 % gains 13.00 points, the dense network 0.50: 12.50"
    )
    assert str(screen.sentences[1]) == "The answer is the same for AC/DC at 95 %."
    assert "GMP at 98 %" in str(screen.sentences[2])
    assert len(screen.sentences) == 3
    assert screen.facts[:2] == ["two-arms", "GMP and AC/DC at 95 and 98 %"]
    assert screen.facts[-2:] == ["5 seeds", "finished 14 Nov 2023"]


def test_a_study_that_has_not_ended_is_open(tmp_path: Path) -> None:
    run = Exact(TWO_ARMS, tmp_path / "s", planted(LEVELS))
    screen = screen_of(analysis.load(run.run(3)))
    assert screen.word == "Open"
    assert [sentence.name for sentence in screen.sentences] == ["open"]
    assert [step.sentence.name for step in screen.steps] == ["step_finish"]
    assert screen.facts[-1].startswith("not finished: 3 of ")


def test_a_table_gets_no_yes_and_hears_what_would_give_one() -> None:
    screen = screen_of(analysis.load_table(runs_table(arms=("gmp",)), name="told", select="all"))
    assert screen.word == "Not settled"
    assert (
        screen.question == "Does GMP gain more from twice the training than the dense network does?"
    )
    assert "nothing was selected" not in screen.question
    assert screen.steps[-1].sentence.name == "step_declare"


@pytest.mark.parametrize("severity", ["error", "warning", "note"])
def test_the_screen_does_not_deny_what_stands_beside_it(severity: str) -> None:
    note = Note("SPT035", severity, write_on_page("check_SPT035"))
    denies = no_warning([note]).name == "no_warning"
    assert denies == (severity == "note")
    assert no_warning([]).name == "no_warning"


def test_a_table_of_several_configurations_says_where_its_warnings_are(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "sparsity": [0.5, 0.5, 0.9, 0.9],
            "optim.lr": [0.1, 0.2] * 2,
            "test_accuracy": [0.9, 0.91, 0.8, 0.82],
        }
    )
    results = analysis.load_table(frame, name="gmp")
    assert "SPT035" in set(analysis.checks(results)["code"])
    page = analysis.report(results, tmp_path).read_text()
    assert PAGE_CATALOGUE["check_SPT035"].text in page
    assert PAGE_CATALOGUE["warnings_elsewhere"].text in page
    assert PAGE_CATALOGUE["no_warning"].text not in page


def test_other_kinds_follow_with_the_surest_first(two_arms: Results) -> None:
    groups = answer_groups(answers(two_arms).answers)
    words = [first_word([group]) for group in groups]
    assert words[0] == "Yes for AC/DC at 98 %"
    assert words[-1] == "Estimate"
    told = leading_sentences(groups, 20)
    assert len(told) == len({str(sentence) for sentence in told})
    kinds = [sentence.name.partition("_")[0] for sentence in told]
    assert kinds[:2] == ["extension", "others"]
    assert kinds.index("remaining") > kinds.index("under")


def test_the_open_text_is_short(digits: Path) -> None:
    text = page_text(digits)
    assert 300 < len(text.words) <= 1200
    assert digits.stat().st_size <= 5_855_236 / 2  # half of what it was with everything open


@pytest.mark.parametrize("cells", [None, 7, 0])
def test_every_open_sentence_is_in_the_catalogue_and_short(
    tmp_path: Path, cells: int | None
) -> None:
    page = Path(analysis.report(Simulation(DIGITS, tmp_path / "s").run(cells)))
    text = page_text(page)
    study_words = [DIGITS.question, *screen_of(analysis.load(tmp_path / "s")).facts]
    catalogue = known()
    seen = 0
    for block in text.blocks:
        for sentence in sentences_of(block):
            if sentence.endswith("?") or " · " in sentence or sentence in study_words:
                continue
            plain = re.sub(r"^((Yes|No|Not settled|Open|Estimate)[.]|How sure:) ?", "", sentence)
            if plain:
                seen += 1
                assert catalogue.fullmatch(plain), plain
                assert len(plain.split()) <= MAX_WORDS, plain
    assert seen > 6
    everything = " ".join(text.words)
    assert not [word for word in OUR_WORDS if word in everything]


def test_no_caption_stands_twice_and_exploration_is_named_once(digits: Path) -> None:
    text = digits.read_text()
    assert text.count(PAGE_CATALOGUE["exploration"].text) == 1
    captions = re.findall(r"<figcaption>(.*?)<span", text, flags=re.DOTALL)
    plain = [re.sub(r"<[^>]+>", "", caption).strip() for caption in captions]
    told = [sentence for caption in plain for sentence in sentences_of(caption)]
    assert len(told) == len(set(told))


def test_page_sentences_are_short_with_conditions_of_their_own() -> None:
    conditions = [template.condition for template in PAGE_CATALOGUE.values()]
    assert len(set(conditions)) == len(conditions)
    assert not CATALOGUE.keys() & PAGE_CATALOGUE.keys()
    for template in PAGE_CATALOGUE.values():
        assert template.text[-1] in ".?" or template.text.endswith("{question}")
        assert len(template.text.split()) <= MAX_WORDS
