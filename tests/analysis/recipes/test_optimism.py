from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

import analysis
from analysis.recipes.tuning_gain.exhibits import optimism_exhibits
from analysis.recipes.tuning_gain.optimism import expected_maximum, optimism
from sparsetune.spec import TrialSpec
from sparsetune.study import Maximize

matplotlib.use("Agg")


@pytest.fixture
def results(simulation: Any, studies: Any, tmp_path: Path) -> Callable[..., analysis.Results]:
    """The small study: 0.9 in the search, 0.88, 0.89 ... less ``worse`` on report seeds."""

    def make(worse: float = 0.0, **changes: Any) -> analysis.Results:
        class Given(simulation):  # type: ignore[misc]
            def rows(self, spec: TrialSpec) -> Iterator[Any]:
                report = spec.seed >= 1000
                accuracy = 0.88 - worse + 0.01 * (spec.seed - 1000) if report else 0.9
                for row in super().rows(spec):
                    yield {**row, "val_score": accuracy, "val_error": 1 - accuracy}

        path = tmp_path / f"s{worse}{len(changes)}"
        Given(studies["small"].with_changes(**changes), path).run()
        return analysis.load(path)

    return make


def test_luck_by_hand(results: Callable[..., analysis.Results]) -> None:
    frame = optimism(results()).frame()
    assert list(frame["sparsity"]) == [0, 0, 0.9, 0.9]
    assert list(frame["search"]) == pytest.approx([0.1] * 4)
    assert list(frame["report"]) == pytest.approx([0.115] * 4)
    assert list(frame["luck"]) == pytest.approx([0.015] * 4)
    # two cells of two seeds in each sparsity: sd 0.01 / sqrt 2, df 2, t = 4.302653
    assert list(frame["luck_low"]) == pytest.approx([0.015 - 4.302653 * 0.005] * 4)
    assert list(frame["luck_high"]) == pytest.approx([0.015 + 4.302653 * 0.005] * 4)
    best = [expected_maximum(int(n)) for n in frame["configurations"]]
    assert list(frame["expected"]) == pytest.approx([b * 0.01 / 2**0.5 for b in best])


def test_a_search_that_promised_too_little_was_no_luck(
    results: Callable[..., analysis.Results],
) -> None:
    assert list(optimism(results(worse=-0.03)).frame()["luck"]) == pytest.approx([-0.015] * 4)


def test_a_score_to_maximize_has_the_same_luck(results: Callable[..., analysis.Results]) -> None:
    frame = optimism(results(objective=Maximize("val_score"))).frame()
    assert list(frame["luck"]) == pytest.approx([0.015] * 4)
    assert list(frame["luck_low"]) == pytest.approx([0.015 - 4.302653 * 0.005] * 4)


def test_search_seeds_share_the_luck(results: Callable[..., analysis.Results]) -> None:
    one = optimism(results()).frame()
    four = optimism(results(search_seeds=4)).frame()
    assert list(four["expected"]) == pytest.approx([value / 2 for value in one["expected"]])


def test_nothing_searched_leaves_nothing_to_flatter(
    results: Callable[..., analysis.Results],
) -> None:
    found = results(search={})
    assert optimism(found).frame().empty
    assert "No winner of a search was run again." in optimism(found).note()
    assert not list(optimism_exhibits(found))


def test_the_expected_maximum_of_normals() -> None:
    # closed forms: 1 / sqrt pi, 3 / (2 sqrt pi); tables: 1.1629645, 1.5387527, 2.5075936
    known = {
        1: 0.0,
        2: np.pi**-0.5,
        3: 1.5 * np.pi**-0.5,
        5: 1.1629644736,
        10: 1.5387527308,
        100: 2.5075936372,
    }
    assert [expected_maximum(n) for n in known] == pytest.approx(list(known.values()), abs=1e-9)


def test_the_best_of_many_equals_is_as_lucky_as_expected() -> None:
    values = np.random.default_rng(0).normal(size=(20_000, 8)).max(axis=1)
    assert values.mean() == pytest.approx(expected_maximum(8), abs=4 * values.std() / 20_000**0.5)


def test_the_picture_shows_the_search_beside_fresh_seeds(
    results: Callable[..., analysis.Results],
) -> None:
    (exhibit,) = optimism_exhibits(results())
    assert exhibit.draw is not None
    (axis,) = exhibit.draw().axes
    hollow = [line for line in axis.get_lines() if line.get_markerfacecolor() == "white"]
    assert [x for line in hollow for x in line.get_xdata()] == pytest.approx([10] * 4)
    filled = [bars.lines[0] for bars in axis.containers]
    assert [x for line in filled for x in line.get_xdata()] == pytest.approx([11.5] * 4)
    assert next(label.get_text() for label in axis.get_yticklabels()) == "dense, 4 epochs"
    assert "flattered winners by 1.50 points on average over 4 networks" in exhibit.caption
