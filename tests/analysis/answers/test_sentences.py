"""The catalogue of sentences: every one is printed in some case, none is printed outside it."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import analysis
from analysis.answers.answers import Answers
from analysis.answers.sentences import CATALOGUE, MAX_WORDS, Sentence
from analysis.testing import report_results
from sparsetune import (
    ArmsDiffer,
    BestValueMoves,
    ExtensionGain,
    Remaining,
    RetuningGain,
    UnderTrained,
)
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.task import CustomTask
from sparsetune.spec.task.sizes import DataSizes
from sparsetune.study import Arm, Study
from sparsetune.study.space import LogUniform
from tests.analysis.exact import TWO_ARMS, Exact, planted, seed_number

Case = Callable[[Path], Answers]
CASES: dict[str, Case] = {}
"""Studies and tables that together print every sentence, by name."""
SHORT, LONG = 1, 4


def case(build: Case) -> Case:
    """Register a case under its function's name."""
    CASES[build.__name__] = build
    return build


def answered(path: Path, study: Study, score: Any, **options: Any) -> Answers:
    """Answers of a study that was run with these scores."""
    return analysis.answers(analysis.load(Exact(study, path, score, **options).run()))


def two_arms(*questions: Any, **fields: Any) -> Study:
    return TWO_ARMS.with_changes(questions=questions, **fields)


def levels(
    *, gmp: float = 0.0, acdc: float = 0.0, dense: float = 0.0, arms: float = 0.0
) -> dict[tuple[str, float, float], float]:
    """Scores of which longer training gains so much, and that differ so much between arms."""
    found: dict[tuple[str, float, float], float] = {}
    gains = {"gmp": gmp, "acdc": acdc, "dense": dense}
    for method, gain in gains.items():
        for target in (0,) if method == "dense" else (0.95, 0.98):
            score = 0.9 + arms * (method == "acdc")
            found[method, target, SHORT] = score
            found[method, target, LONG] = score + gain
    return found


@case
def gains_are_shown(path: Path) -> Answers:
    study = two_arms(ExtensionGain("gmp"), UnderTrained("gmp"), Remaining("gmp"))
    return answered(path, study, planted(levels(gmp=0.05)))


@case
def there_are_no_gains(path: Path) -> Answers:
    asked = (ExtensionGain("gmp", margin=0.02), UnderTrained("gmp", margin=0.02))
    study = two_arms(*asked, ArmsDiffer("acdc", "gmp", margin=0.02))
    return answered(path, study, planted(levels()))


@case
def longer_training_harms_and_one_arm_wins(path: Path) -> Answers:
    study = two_arms(UnderTrained("gmp"), ArmsDiffer("acdc", "gmp"))
    return answered(path, study, planted(levels(gmp=-0.05, acdc=0.02)))


@case
def the_other_arm_wins(path: Path) -> Answers:
    return answered(path, two_arms(ArmsDiffer("acdc", "gmp")), planted(levels(arms=-0.05)))


@case
def only_twins_are_dense(path: Path) -> Answers:
    sweep = {"sparsity.target": [0.95, 0.98], "schedule.epoch_multiplier": [1, 4]}
    study = two_arms(ExtensionGain("gmp"), Remaining("gmp"), sweep=sweep)
    return answered(path, study, planted(levels(gmp=0.05)))


@case
def seeds_are_few_and_differ(path: Path) -> Answers:
    study = two_arms(UnderTrained("gmp"), ExtensionGain("gmp"), report_seeds=2)
    return answered(path, study, planted(levels(gmp=0.010), spread=0.01))


@case
def the_sparser_network_alone_is_settled(path: Path) -> Answers:
    scores = levels(gmp=0.08)
    scores["gmp", 0.95, LONG] -= 0.069
    study = two_arms(UnderTrained("gmp"), report_seeds=5)
    return answered(path, study, planted(scores, spread=0.004))


@case
def an_effect_is_tiny(path: Path) -> Answers:
    study = two_arms(UnderTrained("gmp", margin=0.0001))
    return answered(path, study, planted(levels(gmp=0.0001), spread=0.01))


@case
def there_is_one_seed(path: Path) -> Answers:
    study = two_arms(UnderTrained("gmp"), report_seeds=1)
    return answered(path, study, planted(levels(gmp=0.05)))


@case
def all_seeds_are_equal(path: Path) -> Answers:
    return answered(path, two_arms(UnderTrained("gmp")), planted(levels(gmp=0.05), spread=0))


@case
def a_cell_diverged(path: Path) -> Answers:
    def outcome(cell: str, role: str, seed: int) -> str:
        is_bad = cell == "gmp/target=0.98/epoch_multiplier=4" and seed == 1000
        return "DIVERGED" if is_bad else "COMPLETE"

    study = two_arms(UnderTrained("gmp"), Remaining("gmp"))
    return answered(path, study, planted(levels(gmp=0.05)), outcome=outcome)


@case
def some_runs_collapsed(path: Path) -> Answers:
    def train_loss(spec: TrialSpec) -> float:
        is_long = spec.schedule.epoch_multiplier == LONG and spec.sparsity.target == 0.98
        return 2.3 if is_long and seed_number(spec) < 2 else 0.1

    study = two_arms(UnderTrained("gmp"))
    return answered(path, study, planted(levels(gmp=0.05)), train_loss=train_loss)


@case
def the_study_has_not_ended(path: Path) -> Answers:
    def outcome(cell: str, role: str, seed: int) -> str:
        return "WAITING" if seed == 1004 else "COMPLETE"

    return answered(path, TWO_ARMS, planted(levels(gmp=0.05)), outcome=outcome)


class Extendable(Exact):
    """A study to which seeds are added after its first report."""

    def extend(self, more: int, *, asked: Any = ()) -> Path:
        """Add report seeds, run them all, and write what happened."""
        self.records.append(
            {"type": "extended", "time": 1.7e9, "report_seeds": more, "asked": asked}
        )
        self.study = self.study.with_changes(report_seeds=self.study.report_seeds + more)
        for cell in self.study.cells():
            self.cell(cell)
        return self.close()


@case
def seeds_were_added(path: Path) -> Answers:
    study = two_arms(UnderTrained("gmp"), report_seeds=3)
    written = Extendable(study, path, planted(levels(gmp=0.05)))
    written.run()
    home = written.extend(2, asked=[ExtensionGain("gmp", times=4).given()])
    return analysis.answers(analysis.load(home))


@case
def a_table_was_not_asked_anything(path: Path) -> Answers:
    rows = [
        {"arm": arm, "sparsity": sparsity, "epochs": epochs, "seed": seed, "test_accuracy": 0.9 + k}
        for arm, sparsity in (("dense", 0.0), ("gmp", 0.9), ("gmp", 0.8))
        for epochs in (4, 8)
        for seed, k in ((0, 0.01 * epochs), (1, 0.012 * epochs * epochs))
        if sparsity != 0.8 or seed == 0
    ]
    return analysis.answers(report_results(rows).replace(fresh_seeds=False))


@case
def a_score_is_no_fraction(path: Path) -> Answers:
    sizes = DataSizes(data="mine:data", train=1000, test=200, n_outputs=1)
    task = CustomTask(
        data="mine:data", model="mine:net", loss="mse", metrics=("r2",), resolved=(sizes,)
    )
    study = TWO_ARMS.with_changes(base=TrialSpec(task=task, schedule=ScheduleSpec(epochs=8)))
    return answered(path, study, planted(levels(gmp=0.05)))


@case
def the_test_set_is_small(path: Path) -> Answers:
    examples = 100

    def right(spec: TrialSpec) -> NDArray[np.bool_]:
        answers = np.arange(examples) < 80
        if spec.sparsity.target and spec.schedule.epoch_multiplier == LONG:
            # Ten examples more are right and nine are wrong, on every seed; and one by the seed.
            answers[80:90] = True
            answers[:9] = False
            answers[20 + seed_number(spec)] = seed_number(spec) % 2
        return answers

    study = two_arms(UnderTrained("gmp"), Remaining("gmp"))
    return answered(path, study, lambda spec: float(right(spec).mean()), right=right)


@case
def networks_have_learned_nothing(path: Path) -> Answers:
    def learned_nothing(spec: TrialSpec) -> bool:
        return spec.sparsity.target == 0.98 and spec.sparsity.method == "gmp"

    study = two_arms(UnderTrained("gmp"), ArmsDiffer("acdc", "gmp"), Remaining("gmp"))
    return answered(path, study, planted(levels(gmp=0.05)), learned_nothing=learned_nothing)


SEARCHED = Study(
    name="searched",
    base=TrialSpec(schedule=ScheduleSpec(epochs=8)),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.98]},
    search={"optim.lr": LogUniform(0.01, 1.0)},
    configurations_per_cell=14,
    search_seeds=3,
    report_seeds=4,
)
"""Searches a learning rate with three seeds, so that the best value has a spread."""


def by_rate(
    best: dict[float, float], *, loss: float = 0.05, spread: float = 0.001, wander: float = 0.02
) -> Any:
    """A score that falls with the distance from the best learning rate, by sparsity, in decades."""

    def score(spec: TrialSpec) -> float:
        target = spec.sparsity.target
        # The best rate of a search seed lies a little beside it.
        shift = wander * (spec.seed % 3 - 1) * (1 + (target > 0))
        decades = np.log10(spec.optim.lr) - best[target] - shift
        luck = spread * (seed_number(spec) % 4) * (1 + decades**2)
        return float(0.95 - loss * decades**2 + luck)

    return score


def searched(*questions: Any, **fields: Any) -> Study:
    return SEARCHED.with_changes(questions=questions, **fields)


@case
def re_tuning_pays_and_the_best_rate_is_higher(path: Path) -> Answers:
    asked = (RetuningGain("gmp"), BestValueMoves("gmp", "optim.lr", margin=0.05))
    return answered(path, searched(*asked), by_rate({0: -1.6, 0.98: -0.4}))


@case
def the_best_rate_is_lower(path: Path) -> Answers:
    asked = BestValueMoves("gmp", "optim.lr", margin=0.05)
    return answered(path, searched(asked), by_rate({0: -0.4, 0.98: -1.6}))


@case
def the_best_rate_stays(path: Path) -> Answers:
    asked = (BestValueMoves("gmp", "optim.lr", margin=1.9), RetuningGain("gmp"))
    return answered(path, searched(*asked), by_rate({0: -1.0, 0.98: -1.0}, wander=0.2))


@case
def seeds_double_until_settled(path: Path) -> Answers:
    study = searched(RetuningGain("gmp"), until_settled=8)
    return answered(path, study, by_rate({0: -1.0, 0.98: -0.7}, loss=0.01))


@case
def re_tuning_pays_less_than_the_margin(path: Path) -> Answers:
    study = searched(RetuningGain("gmp", margin=0.05))
    return answered(path, study, by_rate({0: -1.0, 0.98: -0.7}, loss=0.01))


@case
def the_dense_recipe_diverged(path: Path) -> Answers:
    def outcome(cell: str, role: str, seed: int) -> str:
        return "DIVERGED" if role == "control" and seed == 1000 else "COMPLETE"

    study = searched(RetuningGain("gmp"))
    return answered(path, study, by_rate({0: -1.6, 0.98: -0.4}), outcome=outcome)


@case
def a_table_without_a_choice_among_its_configurations(path: Path) -> Answers:
    rates = [0.01, 0.03, 0.1]
    table = pd.DataFrame(
        {"sparsity": [0.9] * 3, "optim.lr": rates, "test_accuracy": [0.8, 0.82, 0.81]}
    )
    return analysis.answers(analysis.load_table(table, name="gmp"))


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answers]:
    """Answers of every case."""
    folder = tmp_path_factory.mktemp("sentences")
    found = {}
    for name, build in CASES.items():
        found[name] = build(folder / name)
    return found


def sentences_of(found: Answers) -> Iterator[Sentence]:
    """Every sentence that answers hold."""
    for answer in found.answers:
        for contrast in answer.contrasts:
            yield from contrast.sentences
        yield from answer.summary()
    yield from found.how_sure
    yield from found.warnings
    yield from (step.sentence for step in found.steps)


def test_every_sentence_of_the_catalogue_is_printed(printed: dict[str, Answers]) -> None:
    names = {sentence.name for found in printed.values() for sentence in sentences_of(found)}
    assert sorted(CATALOGUE.keys() - names) == []


def test_what_is_printed_is_of_the_catalogue(printed: dict[str, Answers]) -> None:
    for found in printed.values():
        for sentence in sentences_of(found):
            assert _pattern(CATALOGUE[sentence.name].text).fullmatch(sentence.text), sentence
        texts = {sentence.text for sentence in sentences_of(found)}
        assert set(found.sentences()) <= texts
        screen = found.first_screen()
        assert {
            str(one) for one in (*screen.sentences, *screen.how_sure, *screen.warnings)
        } <= texts


def _pattern(template: str) -> re.Pattern[str]:
    """A pattern of a template's sentences."""
    parts = [
        re.escape(text) + (".*" if name else "")
        for text, name, _, _ in string.Formatter().parse(template)
    ]
    first, rest = "".join(parts)[:1], "".join(parts)[1:]
    # A sentence begins with a capital letter, be it that of a name or of a clause.
    return re.compile(f"(?:{first}|{first.upper()}){rest}" if first.isalpha() else first + rest)


def test_sentences_are_short_and_without_our_words(printed: dict[str, Answers]) -> None:
    ours = ("target=", "epoch_multiplier", "saturated", "not separated", "excluded", "test_")
    for found in printed.values():
        for sentence in sentences_of(found):
            assert len(sentence.text.split()) <= MAX_WORDS, sentence.text
            assert sentence.text[0].isupper() or not sentence.text[0].isalpha()
            assert sentence.text.endswith("."), sentence.text
            assert not any(word in sentence.text for word in ours), sentence.text
            assert "  " not in sentence.text
            assert "nan" not in sentence.text.lower().split()


def test_conditions_are_unlike_and_templates_use_each_name(printed: dict[str, Answers]) -> None:
    conditions = [template.condition for template in CATALOGUE.values()]
    assert len(set(conditions)) == len(conditions)
    assert not any(template.condition[0].isupper() for template in CATALOGUE.values())


def test_verdicts_of_planted_cases(printed: dict[str, Answers]) -> None:
    verdicts = {
        name: [answer.verdict for answer in found.answers] for name, found in printed.items()
    }
    assert verdicts["gains_are_shown"] == ["yes", "under-trained", "estimate"]
    assert verdicts["there_are_no_gains"] == ["no", "enough", "no"]
    assert verdicts["longer_training_harms_and_one_arm_wins"] == ["over-trained", "yes"]
    assert verdicts["the_other_arm_wins"] == ["opposite"]
    assert verdicts["there_is_one_seed"] == ["not settled"]
    assert verdicts["all_seeds_are_equal"] == ["not settled"]
    assert verdicts["some_runs_collapsed"] == ["not settled"]
    assert verdicts["re_tuning_pays_and_the_best_rate_is_higher"] == ["yes", "yes"]
    assert verdicts["the_best_rate_is_lower"] == ["opposite"]
    assert verdicts["the_best_rate_stays"] == ["no", "no"]
    assert verdicts["networks_have_learned_nothing"] == ["not settled", "not settled", "estimate"]
    assert verdicts["re_tuning_pays_less_than_the_margin"] == ["no"]
