"""Report seeds until answers are settled: who gets them, and that the analysis says the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import analysis
from sparsetune import ArmsDiffer, BestValueMoves, ExtensionGain, RetuningGain, UnderTrained
from sparsetune.search.status import study_status
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.storage.ledger import read_records
from sparsetune.storage.records import Extended, Proposed
from sparsetune.study import Arm, Study
from sparsetune.study.fields import FIRST_REPORT_SEED
from sparsetune.study.space import LogUniform
from tests.launch.scripted import CHANCE_LOSS, Scripted

ARMS = {"gmp": Arm({"sparsity.method": "gmp"}), "acdc": Arm({"sparsity.method": "acdc"})}
STUDY = Study(
    name="settling",
    base=TrialSpec(schedule=ScheduleSpec(epochs=8)),
    arms=ARMS,
    sweep={"sparsity.target": [0, 0.95, 0.98], "schedule.epoch_multiplier": [1, 4]},
    questions=[UnderTrained("gmp"), UnderTrained("acdc"), ArmsDiffer("acdc", "gmp")],
    report_seeds=3,
    until_settled=12,
)
TRIALS = 30
"""Trials of its first look: three in each of ten cells, whose dense ones are the others' twins."""
SEARCHED = Study(
    name="searched",
    base=TrialSpec(optim=OptimSpec(lr=0.1)),
    arms={"gmp": ARMS["gmp"]},
    sweep={"sparsity.target": [0, 0.9, 0.95]},
    search={"optim.lr": LogUniform(0.01, 1)},
    configurations_per_cell=3,
    questions=[RetuningGain("gmp"), BestValueMoves("gmp", "optim.lr", margin=0.1)],
    report_seeds=2,
    until_settled=4,
)


def deviation(spec: TrialSpec) -> float:
    """What a seed adds to a score: a standard normal number of its own for each recipe."""
    return float(np.random.default_rng([spec.seed, int(spec.config_id(), 16)]).standard_normal())


def gains(**by_place: float) -> Callable[[TrialSpec], float]:
    """Scores of which longer training gains so much at ``gmp95`` say; nowhere else anything.

    Runs of one recipe vary by 0.1 points; those of AC/DC at 98 % by 2 points, and their scores are
    30 points higher.
    """

    def score(spec: TrialSpec) -> float:
        target = spec.sparsity.target
        place = f"{spec.sparsity.method}{100 * target:.0f}"
        is_long = spec.schedule.epoch_multiplier > 1
        level = 0.6 - 0.1 * target + by_place.get(place, 0) * is_long
        if place == "acdc98":
            return level + 0.3 + 0.02 * deviation(spec)
        return level + 0.001 * deviation(spec)

    return score


def seeds_by_use(run: Scripted) -> dict[tuple[str, str], set[int]]:
    """Numbers of the report seeds of each cell and role, from 0."""
    found: dict[tuple[str, str], set[int]] = {}
    for record in run.records():
        if isinstance(record, Proposed) and record.role != "search":
            seeds = found.setdefault((record.cell, record.role), set())
            seeds.add(record.seed - FIRST_REPORT_SEED)
    return found


def assert_as_the_analysis_says(looks: Any, path: Path) -> dict[tuple[str, str], Any]:
    """Compare every bound of a launch with the one of the analysis; returns the launch's."""
    results = analysis.load(path)
    found = analysis.answers(results)
    theirs = {
        (contrast.bound.question, contrast.bound.name): contrast.bound
        for answer in found.answers
        for contrast in answer.contrasts
    }
    ours = {(bound.question, bound.name): bound for bound in looks.bounds()}
    for key, bound in ours.items():
        if key[0].startswith("best-value") or theirs[key].mean == 0:
            continue  # decided without report seeds
        # A dataclass of numbers: NaN equals NaN in its text alone.
        assert repr(theirs[key]) == repr(bound)
    return ours


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Scripted:
    """A study whose long training gains much with GMP; with AC/DC at 98 % it varies widely."""
    path = tmp_path_factory.mktemp("settled") / "settling"
    run = Scripted(STUDY, path, gains(gmp95=0.3, gmp98=0.3, acdc95=0.3))
    run.launch()
    return run


def test_open_answers_get_whole_blocks_and_settled_ones_nothing(settled: Scripted) -> None:
    first, second = settled.grants()
    open_cells = {f"acdc/target=0.98/epoch_multiplier={times}" for times in (1, 4)}
    # Arms are compared after the longest training: both sides get the seeds.
    open_cells.add("gmp/target=0.98/epoch_multiplier=4")
    assert set(first.cells) == open_cells
    assert (first.look, first.report_seeds, second.look, second.report_seeds) == (2, 3, 3, 6)
    assert set(second.cells) <= open_cells
    found = seeds_by_use(settled)
    counts = {key: len(seeds) for key, seeds in found.items()}
    for cell in open_cells:
        assert counts[cell, "report"] == counts[cell, "twin"]
        assert found[cell, "report"] == found[cell, "twin"] == set(range(counts[cell, "report"]))
    assert counts["acdc/target=0.98/epoch_multiplier=1", "report"] == 12
    settled_cells = {cell for cell, _ in found} - open_cells
    assert {len(found[cell, "report"]) for cell in settled_cells} == {3}


def test_no_seed_starts_before_every_trial_of_the_look_has_ended(settled: Scripted) -> None:
    records = settled.records()
    (first, *_) = settled.grants()
    place = records.index(first)
    before = Counter(type(record).__name__ for record in records[:place])
    assert before["Ended"] == before["Started"]
    late = [
        record.seed - FIRST_REPORT_SEED
        for record in records
        if isinstance(record, Proposed) and records.index(record) < place
    ]
    assert max(late) == 2


def test_a_killed_launch_is_resumed_to_the_same_decisions(
    settled: Scripted, tmp_path: Path
) -> None:
    whole = len(read_records(settled.directory.ledger))
    for most in (1, TRIALS - 1, TRIALS, TRIALS + 1, TRIALS + 7):
        run = Scripted(STUDY, tmp_path / str(most) / "settling", settled.score)
        run.launch(most=most)
        run.launch()
        assert [(one.look, one.cells) for one in run.grants()] == [
            (one.look, one.cells) for one in settled.grants()
        ]
        assert len(run.records()) == whole
        assert seeds_by_use(run) == seeds_by_use(settled)
        run.launch()
        assert len(run.records()) == whole  # nothing is left to decide


def test_readers_know_how_many_seeds_each_cell_has(settled: Scripted) -> None:
    results = analysis.load(settled.path)
    cells = results.cells().set_index("cell")
    asked = {
        cell: len(seeds)
        for (cell, role), seeds in seeds_by_use(settled).items()
        if role == "report"
    }
    assert cells["report_trials_asked"].to_dict() == asked
    assert cells["finished"].all()
    assert results.looks == (1, 2, 3)
    earlier = results.at_look(2)
    assert earlier.cells()["report_trials"].max() == 6
    assert earlier.cells()["report_trials_asked"].max() == 6
    first = results.at_look(1)
    assert first.cells()["report_trials"].max() == 3
    # That some cells have more seeds than others is no fault.
    assert set(analysis.checks(results)["code"]) <= set(analysis.checks(first)["code"])


def test_status_says_how_many_trials_there_may_be(tmp_path: Path, settled: Scripted) -> None:
    run = Scripted(STUDY, tmp_path / "settling", settled.score)
    run.launch(most=TRIALS - 1)
    facts = study_status(run.path)
    assert (facts["expected"], facts["expected_at_most"]) == (TRIALS, 10 * 12)
    run.launch(most=2)
    # Only the three cells of open answers may get more. With each seed they run five trials: two
    # of the cells have the same length, and so the same dense twin.
    facts = study_status(run.path)
    assert (facts["expected"], facts["expected_at_most"]) == (TRIALS + 5 * 3, TRIALS + 5 * 9)
    facts = study_status(settled.path)
    assert facts["expected"] == facts["expected_at_most"]
    assert facts["progress"] == 1


def test_the_launch_and_the_analysis_give_the_same_answers(settled: Scripted) -> None:
    found = assert_as_the_analysis_says(settled.launch(), settled.path)
    longer = "gmp/target=0.95/epoch_multiplier=4"
    bound = next(bound for (_, name), bound in found.items() if name == longer)
    # It stays as it was settled: with the seeds and the level of the first look.
    assert (bound.verdict, bound.look, bound.n) == ("yes", 1, 3)
    # 5 % x 6 / pi^2, a share of 3 / 21; a third for the question, half of it for its other length.
    assert bound.level == pytest.approx(0.0303964 * 3 / 21 / 3 / 2, rel=1e-5)
    last = {bound.level for bound in found.values() if bound.look == 3}
    assert pytest.approx(min(last), rel=1e-5) == 0.0303964 * 12 / 21 / 3 / 2


def answers_of(spec: TrialSpec) -> NDArray[np.bool_]:
    """Right and wrong answers on 400 test examples, the same examples for every network."""
    score = gains(gmp95=0.05, gmp98=0.01, acdc95=0.03)(spec)
    difficulty = np.random.default_rng(0).random(400)
    noise = np.random.default_rng([spec.seed, int(spec.config_id(), 16)]).random(400)
    return np.asarray(0.7 * difficulty + 0.3 * noise < score)


def test_they_agree_over_test_examples_and_where_runs_are_missing(tmp_path: Path) -> None:
    def status(spec: TrialSpec) -> str:
        if spec.sparsity.method == "gmp" and spec.sparsity.target == 0.95:
            return "DIVERGED" if spec.seed == FIRST_REPORT_SEED + 1 else "COMPLETE"
        is_lost = spec.sparsity.method == "acdc" and spec.seed == FIRST_REPORT_SEED + 4
        return "FAILED" if is_lost else "COMPLETE"

    def train_loss(spec: TrialSpec) -> float:
        is_lost = spec.sparsity.target == 0.98 and spec.seed == FIRST_REPORT_SEED + 5
        return CHANCE_LOSS if is_lost else 0.1

    run = Scripted(
        STUDY.with_changes(questions=[*STUDY.questions, ExtensionGain()]),
        tmp_path / "settling",
        lambda spec: float(answers_of(spec).mean()),
        right=answers_of,
        train_loss=train_loss,
        status=status,
    )
    found = assert_as_the_analysis_says(run.launch(), run.path)
    reasons = {bound.reason for bound in found.values()}
    assert {"never measured", "collapses"} <= reasons
    assert {bound.look for bound in found.values()} >= {1, 2}


def test_what_seeds_cannot_mend_gets_none(tmp_path: Path) -> None:
    run = Scripted(
        STUDY.with_changes(questions=[UnderTrained("gmp")]),
        tmp_path / "settling",
        gains(),
        learned_nothing=lambda spec: spec.sparsity.target == 0.98,
        status=lambda spec: "DIVERGED" if spec.sparsity.target == 0.95 else "COMPLETE",
    )
    looks = run.launch()
    assert run.grants() == []
    assert {bound.reason for bound in looks.bounds()} == {"never measured"}


@pytest.mark.parametrize("chooses_dense_recipe", [False, True])
def test_a_control_gets_its_seeds_with_the_winner(
    tmp_path: Path, chooses_dense_recipe: bool
) -> None:
    def score(spec: TrialSpec) -> float:
        is_sparse = spec.sparsity.target > 0 and not chooses_dense_recipe
        distance = abs(np.log10(spec.optim.lr) + (1.0 if is_sparse else 0.5))
        noise = 0.02 * deviation(spec) if spec.seed >= FIRST_REPORT_SEED else 0.0
        return 0.8 - 0.01 * float(distance) + noise

    run = Scripted(SEARCHED, tmp_path / "searched", score)
    looks = run.launch()
    assert_as_the_analysis_says(looks, run.path)
    found = seeds_by_use(run)
    if chooses_dense_recipe:
        # It gains nothing over itself: a plain no, which no seed has to settle.
        assert run.grants() == []
        return
    (grant,) = run.grants()
    assert set(grant.cells) == {"gmp/target=0.9", "gmp/target=0.95"}
    for cell in grant.cells:
        roles = ("report", "twin", "control")
        assert [found[cell, role] for role in roles] == [{0, 1, 2, 3}] * 3
    assert found["dense", "report"] == {0, 1}


def test_seeds_that_are_added_end_the_looks(settled: Scripted, tmp_path: Path) -> None:
    run = Scripted(STUDY, tmp_path / "settling", settled.score)
    run.launch(most=TRIALS - 1)
    run.launch(added=Extended(report_seeds=2))
    assert run.grants() == []
    assert {len(seeds) for (_, role), seeds in seeds_by_use(run).items()} == {5}
    results = analysis.load(run.path)
    assert results.looks == (1, 4)
    bounds = [
        contrast.bound
        for answer in analysis.answers(results).answers
        for contrast in answer.contrasts
    ]
    assert {(bound.look, bound.n) for bound in bounds} == {(1, 3), (4, 5)}
    # The second stage may spend a quarter of what the first may.
    (level,) = {bound.level for bound in bounds if bound.look == 4 and bound.level < 0.002}
    assert level == pytest.approx(0.05 * 6 / np.pi**2 / 4 / 3 / 2)
