"""Searches compared over records: methods by name, regrets worked by hand, and the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

import analysis
from analysis.drawing.files import render_files
from analysis.exhibit import NotShownError
from analysis.frontiers.search_exhibits import search_exhibits
from analysis.frontiers.searches import SearchFront
from sparsetune.cli.main import main
from sparsetune.cluster.tune_schedulers import stopping_rules
from sparsetune.errors import DeclarationError, StudyDirectoryError
from sparsetune.search.replay import search_comparison
from sparsetune.search.replay.landscape import write_landscape
from sparsetune.search.replay.methods import NamedSearch, default_methods, parse_methods
from sparsetune.search.replay.regret import (
    CellDraws,
    RegretEstimate,
    SearchReplay,
    front,
    regret_estimate,
    resampled_pool,
)
from sparsetune.search.replay.search_comparison import SearchComparison, compare_searches
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.storage import StudyDirectory
from sparsetune.study import Arm, Study
from sparsetune.study.cells import Cell
from sparsetune.study.samplers import GP, Sobol
from sparsetune.study.space import Choice, LogUniform, Uniform
from sparsetune.study.stopping import Halving
from tests.analysis.simulation import Simulation
from tests.search.test_searches import BAD, DIVERGED, QUICK, SLOW, cell_of

RULES = stopping_rules()
NAMES = (*RULES, "epoch:1/2")
UNKNOWN = np.full((2, 2), np.nan)
NONE_FAILED = np.zeros((2, 2))
STUDY = Study(
    name="compared",
    base=TrialSpec(schedule=ScheduleSpec(epochs=12)),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.9]},
    search={"optim.lr": LogUniform(0.01, 1)},
    configurations_per_cell=10,
    search_seeds=2,
    report_seeds=2,
)


def parse(*texts: str, size: int = 32) -> list[NamedSearch]:
    return parse_methods(texts, RULES, size)


def compare(source: Path, *methods: str, **how: Any) -> SearchComparison:
    return compare_searches(source, methods, rules=RULES, **{"resamples": 2, **how})


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two cells, with eight or more configurations of two seeds in each."""
    return Simulation(STUDY, tmp_path_factory.mktemp("recorded") / "compared").run()


def test_a_method_is_a_sampler_a_number_and_a_rule() -> None:
    found = parse("sobol", "sobol:8", "gp:1/2", "asha:4", "gp:16+early", "sobol:8+epoch:1/3")
    methods = [one.method for one in found]
    assert [one.configurations for one in methods] == [32, 8, 16, 32, 16, 8]
    assert [type(one.sampler) for one in methods] == [Sobol, Sobol, GP, Sobol, GP, Sobol]
    assert [one.scheduler is None for one in methods] == [True, True, True, False, False, True]
    assert [one.fraction for one in methods] == [1, 1, 1, 1, 1, pytest.approx(1 / 3)]
    assert [one.words for one in found] == [
        "32 whole",
        "8 whole",
        "GP 16 whole",
        "ASHA 4",
        "GP 16, early halving",
        "8, all to 1/3",
    ]
    assert [one.method.name for one in parse("sobol", "sobol")] == ["sobol"]


def test_all_mistakes_in_methods_are_named_at_once() -> None:
    texts = {
        "tpe:8+asha": "samplers are sobol, gp",
        "bohb": "stopping rules are epoch, asha, hyperband, median, halving, early; samplers",
        "gp+": "stopping rules are",
        "sobol:64": "must be whole, from 1 to 32",
        "sobol:2/": "must be whole",
        "sobol:1.5": "must be whole",
        "epoch": "needs a fraction of training between 0 and 1",
        "epoch:1": "needs a fraction",
        "gp+epoch:1/2": "follows the recorded sequence",
        "asha:1": "the reduction of asha must be a number greater than 1",
        "median:2": "median takes no number",
    }
    with pytest.raises(DeclarationError) as caught:
        parse("sobol", *texts)
    text = str(caught.value)
    for method, message in texts.items():
        assert repr(method) in text and message in text
    assert "'sobol'" not in text


def test_the_process_is_compared_where_the_record_gives_it_a_choice() -> None:
    assert "gp:16+early" in default_methods(32, 254)
    assert "gp:16" in default_methods(24, 24)
    assert not [text for text in default_methods(16, 16) if text.startswith("gp")]
    assert len(parse(*default_methods(32, 254))) == 17


def test_regret_and_epochs_are_those_worked_by_hand() -> None:
    """Each search has one configuration that is slow and one that is quick, in some order.

    Whole training chooses the slow one where its seed makes it best, 0.1 against 0.2: 0.4 on the
    other seeds. At half of training the quick one is always ahead, with 0.17 there.
    """
    replay = SearchReplay([cell_of(*[SLOW, QUICK] * 2)], size=2, resamples=5)
    whole, half = parse("sobol", "epoch:1/2", size=2)
    (draws,) = replay.draws(half.method)
    assert draws.regrets == pytest.approx(np.repeat([[0.17 - 0.4], [0], [0]], 5, axis=1))
    # Both train for two epochs, and one of them for two more, of eight in all.
    assert draws.fractions == pytest.approx(np.full((3, 5), 6 / 8))
    assert draws.independent_pools == 2
    estimate = regret_estimate([draws])
    deviation = np.std([-0.23, 0, 0], ddof=1) / 3**0.5
    reach = t.ppf(0.975, 2) * deviation
    assert estimate[:4] == pytest.approx((-0.23 / 3, -0.23 / 3 - reach, -0.23 / 3 + reach, 0.75))
    assert estimate.optimism == pytest.approx(0)  # -0.03, 0.03 and 0 by the seed that chose
    at_end = regret_estimate(replay.draws(whole.method))
    assert at_end[:4] == (0, 0, 0, 1)
    assert at_end.optimism == pytest.approx((0.3 + 0.03 + 0) / 3)


def test_a_search_that_finds_nothing_has_the_worst_loss() -> None:
    never = [[0.9, 0.9]] * 3
    cell = cell_of(*[never, QUICK] * 2, *[BAD, QUICK] * 2)
    replay = SearchReplay([cell], size=4, resamples=40)
    (alone,) = parse("sobol:1", size=4)
    (draws,) = replay.draws(alone.method)
    # Whole training always has a quick one, with 0.17 on fresh seeds where it sees the first.
    assert {round(value, 9) for value in draws.regrets[0]} == {0, round(0.8 - 0.17, 9)}


def test_the_interval_counts_seeds_and_pools() -> None:
    draws = CellDraws(
        np.array([[1.0, 3.0], [5.0, 7.0]]), np.full((2, 2), 0.5), 2, UNKNOWN, NONE_FAILED
    )
    # Means by seed 2 and 6: variance 8 of two; means by pool 3 and 5: variance 2 of two.
    variance = 8 / 2 + 2 / 2
    freedom = variance**2 / (4**2 / 1 + 1**2 / 1)
    reach = t.ppf(0.975, freedom) * variance**0.5
    assert regret_estimate([draws])[:4] == pytest.approx((4, 4 - reach, 4 + reach, 0.5))
    # A record that holds one such pool tells of one alone.
    freedom = 6**2 / (4**2 / 1 + 2**2 / 1)
    reach = t.ppf(0.975, freedom) * 6**0.5
    overlapping = regret_estimate([draws._replace(independent_pools=1)])
    assert (overlapping.low, overlapping.high) == pytest.approx((4 - reach, 4 + reach))
    one_seed = CellDraws(
        np.array([[1.0, 3.0]]), np.full((1, 2), 0.5), 2, UNKNOWN[:1], NONE_FAILED[:1]
    )
    reach = t.ppf(0.975, 1)
    assert regret_estimate([one_seed])[:4] == pytest.approx((2, 2 - reach, 2 + reach, 0.5))


def test_pools_are_stretches_of_a_long_record_and_draws_of_a_short_one() -> None:
    cell = cell_of(*[QUICK] * 4)
    ids = [one.config_id for one in cell.configurations]
    stretch = resampled_pool(cell, 2, np.random.default_rng(1))
    first = ids.index(stretch[0].config_id)
    assert [one.config_id for one in stretch] == [*ids[first:], *ids[:first]]
    drawn = resampled_pool(cell, 3, np.random.default_rng(1))
    names = [one.config_id for one in drawn]
    assert len(set(names)) == len(names) == 4
    originals = {name.rpartition("-")[0] for name in names}
    assert originals < set(ids)  # one of this draw comes twice
    assert all(one.seeds[0].config_id == one.config_id for one in drawn)
    assert len({one.seeds[0].trial_id for one in drawn}) == 4


def test_the_front_is_what_nothing_beats_in_both() -> None:
    def at(epochs: float, regret: float) -> RegretEstimate:
        return RegretEstimate(regret, regret, regret, epochs)

    points = [at(1, 0), at(0.5, 0), at(0.25, 1), at(0.5, 2), at(0.25, 1)]
    assert front(points) == [False, True, True, False, True]


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_spends_less_than_whole_training(recorded: Path, name: str) -> None:
    found = compare(recorded, "sobol", name, cells=["dense"])
    whole, ruled = [row for row in found.table if row["cell"] is None]
    assert (whole["epochs_fraction"], whole["regret"]) == (1, 0)
    assert 0 < ruled["epochs_fraction"] < 1
    assert ruled["low"] <= ruled["regret"] <= ruled["high"]
    # Hyperband, too, repeats itself.
    assert compare(recorded, "sobol", name, cells=["dense"]).table == found.table


def test_cells_and_all_of_them(recorded: Path) -> None:
    found = compare(recorded, "sobol:1/2", "asha")
    assert [row["cell"] for row in found.table[::2]] == ["dense", "gmp/target=0.9", None]
    dense, sparse, both = found.table[::2]
    assert both["regret"] == pytest.approx((dense["regret"] + sparse["regret"]) / 2)
    assert both["recorded"] == dense["recorded"] + sparse["recorded"]
    assert (found.left_out, found.seeds, found.skipped, found.warnings) == (0, 2, [], [])
    with pytest.raises(StudyDirectoryError, match=r"among dense, gmp/target=0\.9; got acdc"):
        compare(recorded, cells=["acdc"])
    with pytest.raises(DeclarationError, match="must be from 2 to"):
        compare(recorded, configurations=99)


def test_a_landscape_gives_what_its_study_gives(recorded: Path, tmp_path: Path) -> None:
    file = tmp_path / "compared.parquet"
    write_landscape(StudyDirectory(recorded), file)
    assert compare(file, "asha", "sobol:4").table == compare(recorded, "asha", "sobol:4").table
    with pytest.raises(StudyDirectoryError, match="there is none"):
        compare(tmp_path / "missing.parquet")


class TwoOptimizers(Simulation):
    """Configurations of two optimizers, of which one has a momentum."""

    def configurations(self, cell: Cell) -> Iterator[tuple[int, str, dict[str, Any]]]:
        for k in range(10):
            momentum = {} if k % 2 else {"optim.momentum": 0.5 + 0.03 * k}
            name = "adamw" if k % 2 else "sgd"
            yield k, f"sobol:{k}", {"optim.name": name, "optim.lr": 0.01 * 1.3**k} | momentum


def test_axes_that_apply_under_a_choice(tmp_path: Path) -> None:
    search = {
        "optim.name": Choice(["sgd", "adamw"]),
        "optim.momentum": Uniform(0.4, 0.95),
        "optim.lr": LogUniform(0.01, 1),
    }
    chosen = STUDY.with_changes(search=search, sweep={"sparsity.target": [0]})
    path = TwoOptimizers(chosen, tmp_path / "chosen").run()
    found = compare(path, "gp:10+asha")
    assert (found.left_out, found.table[0]["recorded"]) == (0, 10)
    write_landscape(StudyDirectory(path), tmp_path / "chosen.parquet")
    assert compare(tmp_path / "chosen.parquet", "gp:10+asha").table == found.table


def test_what_was_stopped_is_left_out_and_too_little_is_refused(tmp_path: Path) -> None:
    def outcome(cell: str, role: str, seed: int) -> str:
        return "PRUNED" if cell == "dense" and role == "search" else "COMPLETE"

    mixed = Simulation(STUDY, tmp_path / "mixed", outcome=outcome).run()
    found = compare(mixed, "sobol")
    assert found.left_out > 0 and set(found.names) == {"gmp/target=0.9"}
    assert any(f"Left out: {found.left_out} config" in text for text in found.warnings)
    few = STUDY.with_changes(configurations_per_cell=6)
    with pytest.raises(StudyDirectoryError, match="at least 8 configurations"):
        compare(Simulation(few, tmp_path / "few").run())


def test_cells_that_learned_nothing_are_skipped() -> None:
    assert not search_comparison._is_replayable(cell_of(*[[[0.9]] * 3] * 8))
    assert search_comparison._is_replayable(cell_of(*[DIVERGED, QUICK] * 4))
    assert not search_comparison._is_replayable(cell_of(*[QUICK] * 7))


def test_one_seed_is_judged_on_itself_with_a_warning(tmp_path: Path) -> None:
    single = STUDY.with_changes(search_seeds=1, sweep={"sparsity.target": [0.9]})
    found = compare(Simulation(single, tmp_path / "single").run(), "sobol", "sobol:1/2", "asha")
    assert any("has one seed" in text for text in found.warnings)
    # Nothing beats whole training on the seed that chooses.
    assert min(row["regret"] for row in found.table) == 0
    assert max(row["regret"] for row in found.table) > 0


def test_the_command_prints_draws_and_keeps(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = tmp_path / "front.png"
    how = ["--resamples", "2", "--figure", str(figure)]
    assert main(["replay", str(recorded), "--methods", "sobol", "gp:4+early", "asha:2", *how]) == 0
    printed = capsys.readouterr().out
    assert "gp:4+early" in printed and "All 2 networks" in printed and "(points)" in printed
    lines = printed.splitlines()
    assert all(len(line) <= 80 for line in lines if "file" not in line and str(tmp_path.parent) not
               in line)  # fmt: skip
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert main(["replay", str(recorded), "--methods", "asha:2", "--resamples", "2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {row["method"] for row in facts["table"]} == {"asha:2"}
    assert (facts["seeds"], facts["resamples"], facts["left_out"]) == (2, 2, 0)
    assert Path(facts["file"]).is_file()


def test_mistakes_on_the_command_line(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(recorded), "--methods", "bohb", "asha:1"]) == 2
    told = capsys.readouterr().err
    assert "'bohb'" in told and "'asha:1'" in told
    assert main(["replay", str(recorded), "--methods", "sobol", "--workers", "2"]) == 2
    assert "`--workers`: does not go with --methods" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["replay", str(recorded), "--figure", "front.gif"])
    assert "must end in .png, .pdf, .svg" in capsys.readouterr().err


def test_the_report_shows_a_replay_until_trials_have_ended_since(tmp_path: Path) -> None:
    stopped = STUDY.with_changes(stopping=Halving())
    path = Simulation(stopped, tmp_path / "compared").run()
    assert list(search_exhibits(analysis.load(path))) == []
    assert main(["replay", str(path), "--methods", "sobol", "asha", "--resamples", "2"]) == 0
    page = Path(analysis.report(path)).read_text()
    assert "What other searches would have found" in page and "ASHA" in page
    assert (path / "figures" / "searches.svg").is_file()
    kept = path / "tables" / "searches.json"
    facts = json.loads(kept.read_text())
    kept.write_text(json.dumps(facts | {"trials": facts["trials"] - 1}))
    with pytest.raises(NotShownError, match="trials have ended after `sparsetune replay`"):
        list(search_exhibits(analysis.load(path)))
    for damaged in ("{", "[]", json.dumps(facts | {"table": [{"cell": 1}]})):
        kept.write_text(damaged)
        assert list(search_exhibits(analysis.load(path))) == []


def test_labels_cover_neither_marks_nor_each_other() -> None:
    rows = [
        {
            "cell": None,
            "method": "asha:3",
            "words": f"Search {place}",
            "recorded": 8,
            "epochs_fraction": 0.4 + 0.02 * (place % 4),
            "regret": 0.01 * (place // 4),
            "low": -0.01,
            "high": 0.03,
            "front": place == 0,
        }
        for place in range(12)
    ]
    found = SearchFront.of(STUDY, rows, configurations=8, seeds=2)
    figure = found.plot()
    render_files(figure)
    (panel,) = figure.axes
    boxes = [text.get_window_extent() for text in panel.texts]
    assert len(boxes) == 12
    marks = panel.transData.transform([(100 * row["epochs_fraction"], 100 * row["regret"])
                                       for row in rows])  # fmt: skip
    for place, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:place])
        assert not any(box.contains(*mark) for mark in marks)
        assert panel.bbox.fully_containsx(box.x0) and panel.bbox.fully_containsx(box.x1)
