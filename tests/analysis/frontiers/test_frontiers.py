from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.frontiers.budgets import best_at, cell_spending
from analysis.frontiers.exhibits import frontier_exhibits
from analysis.frontiers.iso_flops import iso_flops
from analysis.frontiers.pareto import domination_matrix, pareto_front
from analysis.testing import ResultsBuilder
from sparsetune.errors import SparsetuneError

NEAR = [-0.001, 0.0, 0.001]


def cells(*rows: tuple[str, float, float, float, float], spread: float = 1.0) -> ResultsBuilder:
    """Report trials of cells: name, target, epochs, training FLOPs, validation error.

    The loss is three times the error.
    """
    made = ResultsBuilder()
    for name, target, epochs, flops, error in rows:
        errors = error + spread * np.array(NEAR)
        values = {
            "val_error": errors,
            "test_accuracy": 1 - errors,
            "val_loss": 3 * errors,
            "train_flops": flops,
        }
        made.report(name, {**values, "seconds": 360 * flops}, target=target, epochs=epochs)
    return made


def scattered(made: ResultsBuilder) -> ResultsBuilder:
    """Errors and losses that differ between cells by other amounts on every seed."""
    for k, row in enumerate(made.trial_rows):
        for name in ("val_error", "val_loss"):
            row[name] += 0.001 * (k * k % 7)
    return made


THREE = (("short", 0.9, 4, 2.0, 0.20), ("middle", 0.9, 8, 4.0, 0.15), ("long", 0.9, 16, 8.0, 0.25))


@pytest.mark.parametrize(
    ("budget", "best"),
    [
        ({"epochs": 4}, "short"),
        ({"epochs": 16}, "middle"),
        ({"train_flops": 3.9}, "short"),
        ({"gpu_hours": 0.4}, "middle"),
    ],
)
def test_the_best_within_a_budget_is_chosen_on_validation_and_reported_on_test(
    budget: dict[str, float], best: str
) -> None:
    frame = best_at(cells(*THREE), budget).frame()
    row = frame.iloc[0]
    assert len(frame) == 1
    assert row["cell"] == best
    assert row["mean"] == pytest.approx({"short": 0.80, "middle": 0.85}[best])
    assert row["n"] == 3
    assert row["low"] < row["mean"] < row["high"]
    assert row["gpu_hours"] == pytest.approx(row["train_flops"] / 10)


def test_the_test_set_chooses_nothing() -> None:
    made = cells(*THREE)
    for row in made.trial_rows:
        row["test_accuracy"] = {"short": 0.5, "middle": 0.6, "long": 0.99}[row["cell"]]
    assert best_at(made, {"epochs": 16}).frame()["cell"].iloc[0] == "middle"
    made = replace(made, objective=None)  # as of a table: the first validation column chooses
    assert best_at(made, {"epochs": 16}).by.column == "val_error"
    made = replace(
        made,
        trial_rows=[row | {"val_error": np.nan, "val_loss": np.nan} for row in made.trial_rows],
    )
    with pytest.raises(
        SparsetuneError, match=r"chosen on validation: no report trial has any of val_error"
    ):
        best_at(made, {"epochs": 16})
    # Fronts choose nothing: they compare on the test set, and say so.
    shown = list(frontier_exhibits(made, "test_accuracy"))
    assert [exhibit.name for exhibit in shown] == ["iso-flops", "pareto-front"]
    assert "do not choose a network by it" in shown[1].caption


def test_rivals_that_are_not_settled_are_counted_and_others_are_not() -> None:
    close = (("a", 0.9, 4, 2.0, 0.2), ("b", 0.9, 8, 4.0, 0.2001), ("c", 0.9, 16, 8.0, 0.4))
    made = cells(*close)
    for row, shift in zip(
        [r for r in made.trial_rows if r["cell"] == "b"], (0.004, -0.001, 0.003), strict=True
    ):
        row["val_error"] += shift
    row = best_at(made, {"epochs": 16}).frame().iloc[0]
    assert (row["cells"], row["rivals"]) == (3, 1)
    assert row["verdict"] == "not settled against 1 other with 3 seeds"
    assert row["more_seeds"] > 0
    assert "In 1 of 1 " in best_at(made, {"epochs": 16}).note()
    alone = best_at(scattered(cells(*THREE)), {"epochs": [4, 16]}).frame()
    assert list(alone["verdict"]) == ["the only one", "best of 3"]


def test_every_length_and_every_dense_cost_is_a_limit_where_none_is_given() -> None:
    dense = (("dense-4", 0, 4, 4.0, 0.1), ("dense-8", 0, 8, 8.0, 0.1))
    made = cells(*THREE, *dense)
    assert sorted(set(best_at(made, {"epochs": None}).frame()["limit"])) == [4, 8, 16]
    assert sorted(set(best_at(made, {"train_flops": None}).frame()["limit"])) == [4, 8]


def test_budgets_that_say_nothing_are_refused() -> None:
    made = cells(*THREE)
    with pytest.raises(SparsetuneError, match=r"one of epochs, train_flops, gpu_hours, got flops"):
        best_at(made, {"flops": 3})
    with pytest.raises(
        SparsetuneError, match=r'gpu_hours with its limit, \{"epochs": 10\} say, got 10'
    ):
        best_at(made, budget=10)  # type: ignore[arg-type]
    with pytest.raises(SparsetuneError, match=r"must be a positive number, got -1"):
        best_at(made, {"epochs": -1})
    made = replace(made, trial_rows=[row | {"seconds": np.nan} for row in made.trial_rows])
    with pytest.raises(SparsetuneError, match=r"needs gpu_hours of finished report trials"):
        best_at(made, {"gpu_hours": 1})
    assert {e.name for e in frontier_exhibits(made, "test_accuracy")} >= {
        "best-at-epochs",
        "pareto-front",
    }
    assert "best-at-gpu-hours" not in {e.name for e in frontier_exhibits(made, "test_accuracy")}


def test_passes_that_only_choose_a_mask_cost_too() -> None:
    made = cells(*THREE)
    for row in made.trial_rows:
        row["extra_flops"] = 0.5 if row["cell"] == "short" else np.nan
    assert cell_spending(made)["train_flops"].to_dict() == {
        "short": 2.5,
        "middle": 4.0,
        "long": 8.0,
    }


def test_cells_of_equal_cost_are_paired_by_seed() -> None:
    made = cells(
        ("sparse", 0.98, 16, 4.0, 0.15), ("dense", 0, 4, 4.2, 0.2), ("far", 0.9, 8, 4.5, 0.3)
    )
    for k, row in enumerate(row for row in made.trial_rows if row["cell"] == "sparse"):
        row["val_loss"] = 0.6 + 3 * NEAR[k] - [0.14, 0.15, 0.16][k]
    for k, row in enumerate(row for row in made.trial_rows if row["cell"] == "far"):
        row["val_loss"] += [0.0, 0.01, -0.01][k]
    found = iso_flops(made)
    row = found.frame().iloc[0]
    assert len(found.frame()) == 1  # 4.5 is 7 % above 4.2
    assert (row["cell"], row["other_cell"], row["n"]) == ("sparse", "dense", 3)
    assert row["difference"] == pytest.approx(-0.15)
    assert row["high"] - row["low"] == pytest.approx(
        2 * 4.302653 * 0.01 / 3**0.5
    )  # t at 2 degrees of freedom
    assert row["p"] == pytest.approx(0.00148, abs=1e-5)  # t = 25.98
    assert row["better"] == "sparse"
    assert row["verdict"].startswith("sparse lower by 0.15 [")
    assert "the denser one is better in 0" in found.note()
    assert len(iso_flops(made, tolerance=0.15).frame()) == 3
    three = iso_flops(made, tolerance=0.15).frame().sort_values("p")
    assert list(three["p_holm"] / three["p"]) == pytest.approx([3, 2, 1])


def test_equal_losses_are_not_settled_and_without_a_pair_that_is_said() -> None:
    made = cells(("a", 0.98, 16, 4.0, 0.2), ("b", 0.9, 8, 4.0, 0.2))
    for k, row in enumerate(row for row in made.trial_rows if row["cell"] == "a"):
        row["val_loss"] += (0.01, -0.02, 0.015)[k]
    row = iso_flops(made).frame().iloc[0]
    assert row["better"] == ""
    assert row["verdict"] == "not settled with 3 seeds"
    apart = iso_flops(cells(*THREE))
    assert apart.frame().empty
    assert (
        apart.note()
        == "No two networks of another sparsity or arm are within 5 % in training FLOPs."
    )
    with pytest.raises(SparsetuneError, match=r"in \[0, 1\), got 5"):
        iso_flops(made, tolerance=5)


def test_of_equal_differences_nothing_is_certain() -> None:
    rows = (("a", 0.98, 16, 4.0, 0.20), ("b", 0.9, 8, 4.0, 0.21))
    found = iso_flops(cells(*rows))  # 0.03 lower on every seed, up to rounding
    row = found.frame().iloc[0]
    assert row[["low", "high", "p", "p_holm"]].isna().all()
    assert (row["better"], row["verdict"]) == ("", "not settled with 3 seeds: no spread was seen")
    assert "0 of 1 pairs are shown to differ" in found.note()
    assert (
        iso_flops(scattered(cells(rows[0], ("b", 0.9, 8, 4.0, 0.25)))).frame().iloc[0]["better"]
        == "a"
    )
    same = cells(*rows, spread=0.0)
    assert list(pareto_front(same).frame()["verdict"]) == ["not surely beaten by a", "on the front"]
    best = best_at(cells(*THREE), {"epochs": 16}).frame().iloc[0]
    assert (best["rivals"], best["verdict"]) == (2, "not settled against 2 others with 3 seeds")


def test_what_is_missing_for_a_comparison_by_cost_is_said() -> None:
    made = cells(*THREE)
    bare = replace(made, trial_rows=[row | {"val_loss": np.nan} for row in made.trial_rows])
    free = replace(made, trial_rows=[row | {"train_flops": np.nan} for row in made.trial_rows])
    for analysed in (iso_flops, pareto_front):
        with pytest.raises(
            SparsetuneError, match=r"no finished run has `val_loss`; measured were .*val_error"
        ):
            analysed(bare, "val_loss")
        # Without the loss, the column that chooses stands in for it.
        assert analysed(bare).y.column == "val_error"
        assert analysed(made).y.column == "val_loss"
        with pytest.raises(
            SparsetuneError, match=r"needs `val_loss` and `train_flops` of finished report trials"
        ):
            analysed(free)
        assert len(analysed(bare, "val_error").frame()) == len(analysed(made).frame())
    fronts = {"iso-flops", "pareto-front"}
    assert fronts <= {exhibit.name for exhibit in frontier_exhibits(bare, "test_accuracy")}
    assert not fronts & {exhibit.name for exhibit in frontier_exhibits(free, "test_accuracy")}


def test_the_front_by_hand() -> None:
    made = cells(
        ("cheap", 0.9, 4, 2.0, 0.20),
        ("beaten", 0.9, 8, 4.0, 0.25),
        ("sparser", 0.98, 8, 4.0, 0.22),
        ("dense", 0, 8, 8.0, 0.10),
        ("tied", 0.9, 4, 2.01, 0.2004),
    )
    frame = pareto_front(made).frame().set_index("cell")
    assert frame["front"].to_dict() == {
        "cheap": True,
        "tied": False,
        "beaten": False,
        "sparser": True,
        "dense": True,
    }
    assert frame["sure"].to_dict() == {
        "cheap": False,
        "tied": False,
        "beaten": True,
        "sparser": True,
        "dense": True,
    }
    assert frame.loc["beaten", "dominated_by"] == "cheap"
    assert frame.loc["tied", "verdict"] == "not surely beaten by cheap"
    assert frame.loc["cheap", "verdict"] == "on the front, but another may be as good"
    assert "the 3 of 5 networks" in pareto_front(made).note()
    assert "for 2 networks intervals overlap" in pareto_front(made).note()


def test_of_a_score_the_front_holds_the_highest() -> None:
    frame = pareto_front(cells(*THREE), "test_accuracy").frame().set_index("cell")
    assert frame["front"].to_dict() == {"short": True, "middle": True, "long": False}
    assert frame.loc["long", "dominated_by"] == "middle"


triple = st.tuples(
    st.sampled_from([0.5, 0.9, 0.98]),
    st.sampled_from([1.0, 2.0, 4.0]),
    st.sampled_from([0.1, 0.2, 0.3]),
)


@given(st.lists(triple, min_size=1, max_size=12))
def test_no_cell_of_the_front_is_beaten_and_every_other_is(
    points: list[tuple[float, float, float]],
) -> None:
    sparsity, cost, loss = np.array(points).T
    losers = domination_matrix(loss, sparsity, cost).any(axis=0)
    for k, (s, f, m) in enumerate(points):
        beaten = any(t >= s and g <= f and n <= m and (t, g, n) != (s, f, m) for t, g, n in points)
        assert losers[k] == beaten


def test_every_exhibit_draws_and_one_length_has_no_budgets() -> None:
    made = cells(*THREE, ("dense", 0, 4, 4.0, 0.1))
    shown = {exhibit.name: exhibit for exhibit in frontier_exhibits(made, "test_accuracy")}
    assert list(shown) == [
        "best-at-epochs",
        "best-at-train-flops",
        "best-at-gpu-hours",
        "iso-flops",
        "pareto-front",
    ]
    assert shown["best-at-epochs"].draw is None
    figures = {
        name: shown[name].draw for name in ("best-at-train-flops", "iso-flops", "pareto-front")
    }
    drawn = {name: draw().axes[0] for name, draw in figures.items() if draw}
    assert drawn["best-at-train-flops"].get_ylabel() == "Test accuracy (%)"
    assert drawn["iso-flops"].get_xscale() == "log"
    for exhibit in shown.values():
        assert {name for column in exhibit.columns or () for name in column.names} <= set(
            exhibit.frame
        )
    single = cells(("a", 0.9, 4, 2.0, 0.2), ("b", 0.98, 4, 1.0, 0.3))
    assert [exhibit.name for exhibit in frontier_exhibits(single, "test_accuracy")] == [
        "iso-flops",
        "pareto-front",
    ]


def test_costs_within_one_percent_are_equal_and_no_further() -> None:
    loss = np.array([0.2, 0.1])
    sparsity = np.array([0.9, 0.9])
    beaten = {
        dearer: bool(domination_matrix(loss, sparsity, np.array([2.0, dearer]))[1, 0])
        for dearer in (2.015, 2.03)
    }
    assert beaten == {2.015: True, 2.03: False}
