from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import analysis
from analysis.estimates import surface
from analysis.estimates.surface import (
    _negative_log_posterior,
    normal_scores,
    sample_effects,
    sample_minima,
)
from analysis.recipes.optima.exhibits import optimum_exhibits
from analysis.recipes.optima.figures import draw_response
from analysis.recipes.optima.optima import Optima, optima
from analysis.recipes.optima.shifts import SHIFT_COLUMNS
from analysis.recipes.tuning_gain.retuning import retuning_gain
from analysis.testing import ResultsBuilder
from sparsetune.errors import SparsetuneError
from sparsetune.study import Arm, Study
from sparsetune.study.space import Axis, LogUniform, Uniform

Floats = NDArray[np.float64]
AXES = ("lr", "decay", "start", "length")
PLANTED = Study(
    name="planted",
    question="Where?",
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.9], "schedule.epoch_multiplier": [1, 2]},
    search={"optim.lr": LogUniform(0.01, 1.0), "sparsity.ramp.start": Uniform(0.0, 0.3)},
    configurations_per_cell=26,
    report_seeds=2,
)


def sobol(n: int = 32, axes: int = 4) -> Floats:
    from scipy.stats import qmc

    return np.asarray(qmc.Sobol(axes, seed=3).random(32))[:n]


def planted(
    x: Floats, best: Floats, random: np.random.Generator, sd: float = 0.002, kind: str = "cliff"
) -> Floats:
    """A validation error with a known best point and seed noise.

    Above the best learning rate there is a cliff, then NaN.
    """
    away = x - best
    if kind == "quadratic":
        return np.asarray(0.12 + away**2 @ [0.1, 0.03, 0.015, 0.01] + random.normal(0, sd, len(x)))
    decay = 0.03 * np.maximum(away[:, 1], 0) ** 2 + 0.006 * np.minimum(away[:, 1], 0) ** 2
    joint = 0.02 * away[:, 0] * away[:, 1] if kind == "joint" else 0.0
    smooth = 0.06 * away[:, 0] ** 2 + decay + away[:, 2:] ** 2 @ [0.015, 0.01] + joint
    cliff = 1.6 * np.maximum(away[:, 0] - 0.25, 0) ** 2
    y = 0.12 + smooth + cliff + random.normal(0, sd, len(x))
    return np.where(away[:, 0] > 0.4, np.where(random.random(len(x)) < 0.5, np.nan, 0.9), y)


def trials(
    count: int, kind: str, sd: float, moved: float, seed: int = 0, points: int = 32
) -> pd.DataFrame:
    """One row per draw of two cells and axis: coverage of the truth, width, the shift's interval.

    The second cell's best learning rate lies ``moved`` of the range higher.
    """
    random = np.random.default_rng(seed)
    x = sobol(points)
    rows = []
    for number in range(count):
        best = random.uniform(0.2, 0.8 - np.array([moved, 0, 0, 0]))
        other = best + np.array([moved, 0, 0, 0])
        here, there = (
            sample_minima(x, planted(x, b, random, sd, kind), draws=4000, seed=number)
            for b in (best, other)
        )
        ends = np.quantile(here, [0.025, 0.975], axis=0)
        shift = np.quantile(there - here, [0.025, 0.975], axis=0)
        for k, axis in enumerate(AXES):
            covers = ends[0, k] - 0.005 <= best[k] <= ends[1, k] + 0.005
            seen = shift[0, k] > 0 or shift[1, k] < 0
            error = np.median(here[:, k]) - best[k]
            rows.append(
                {
                    "axis": axis,
                    "covers": covers,
                    "width": ends[1, k] - ends[0, k],
                    "error": error,
                    "seen": seen,
                }
            )
    return pd.DataFrame(rows)


def test_levelled_values_keep_the_order_and_forget_the_cliff() -> None:
    scores = normal_scores([0.3, np.nan, 0.1, 0.2, 0.9])
    assert list(np.argsort(scores)) == [2, 3, 0, 4, 1]
    assert scores[2] == pytest.approx(-scores[1])
    assert scores[0] == pytest.approx(0, abs=1e-12)
    assert normal_scores([0.3, 5.0, 0.1, 0.2, 0.9]) == pytest.approx(
        normal_scores([0.3, np.nan, 0.1, 0.2, 0.9])
    )
    assert normal_scores([0.5, 0.5, 0.5]) == pytest.approx([0, 0, 0])


@given(st.lists(st.floats(0.01, 0.9), min_size=3, max_size=12))
def test_levelled_values_are_normalised_and_blind_to_scale(values: list[float]) -> None:
    scores = normal_scores(values)
    assert scores.mean() == pytest.approx(0, abs=1e-9)
    assert scores == pytest.approx(normal_scores([100 * v for v in values]))


def test_the_lowest_point_of_a_clean_bowl_is_found_and_a_flat_axis_is_not() -> None:
    x = sobol(32, 2)
    found = sample_minima(x, (x[:, 0] - 0.7) ** 2, draws=2000)
    assert np.quantile(found[:, 0], [0.025, 0.5, 0.975]) == pytest.approx(0.7, abs=0.05)
    noise = np.random.default_rng(0).normal(size=32)
    low, high = np.quantile(sample_minima(x, noise, draws=2000)[:, 1], [0.025, 0.975])
    assert high - low > 0.75


def test_an_endless_length_is_a_constant_and_no_warning() -> None:
    x = np.linspace(0, 1, 5)
    prior = np.zeros(3), np.ones(3)
    values = [
        _negative_log_posterior(np.array([0.0, size, 0.0]), (x[:, None] - x)[None] ** 2, x, prior)
        for size in (300.0, 400.0)
    ]
    assert [
        value - size**2 / 2 for (value, _), size in zip(values, (300, 400), strict=True)
    ] == pytest.approx([values[0][0] - 300**2 / 2] * 2)
    assert values[1][1] == pytest.approx(values[0][1] + np.array([0, 100, 0]))


def test_the_seed_of_the_draws_matters_and_repeats() -> None:
    x = sobol(16, 2)
    y = planted(np.hstack([x, x]), np.full(4, 0.5), np.random.default_rng(0))
    assert (sample_minima(x, y, draws=200, seed=1) == sample_minima(x, y, draws=200, seed=1)).all()
    assert (sample_minima(x, y, draws=200, seed=1) != sample_minima(x, y, draws=200, seed=2)).any()


def test_the_flat_region_is_where_noise_hides_a_loss() -> None:
    x = sobol(32, 2)
    random = np.random.default_rng(0)
    for curvature, half in (
        (0.05, 0.2),
        (0.2, 0.1),
    ):  # half: the root of the noise's sd over the curvature
        y = curvature * (x[:, 0] - 0.5) ** 2 + random.normal(0, 0.002, 32)
        (low, high), _ = sample_effects(x, y, draws=1000).flat_ranges()
        assert (high - low) / 2 == pytest.approx(half, rel=0.6)
        assert low < 0.5 < high
    flat = sample_effects(x, random.normal(0, 0.002, 32), draws=1000).flat_ranges()
    assert (flat[:, 1] - flat[:, 0]).mean() > 0.6


def test_planted_optima_are_covered_and_a_planted_shift_is_seen() -> None:
    rows = trials(8, "cliff", 0.002, moved=0.3)
    assert rows["covers"].mean() >= 0.85
    by_axis = rows.groupby("axis")
    assert by_axis["seen"].mean()["lr"] >= 0.75
    assert rows.loc[rows["axis"] != "lr", "seen"].mean() <= 0.1


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["cliff", "quadratic", "joint"])
@pytest.mark.parametrize("sd", [0.0015, 0.003])
def test_coverage_and_false_alarms_over_two_hundred_draws(kind: str, sd: float) -> None:
    rows = trials(200, kind, sd, moved=0.0)
    _print_table(kind, sd, rows)
    assert rows["covers"].mean() >= 0.9
    assert rows["seen"].mean() <= 0.05


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["cliff", "quadratic", "joint"])
def test_ten_points_that_a_process_shares_raise_few_false_alarms(kind: str) -> None:
    """What cells share under `GP` of 22 configurations and more; maps read nothing else."""
    rows = trials(200, kind, 0.002, moved=0.0, points=10)
    _print_table(kind, 0.002, rows)
    assert rows["covers"].mean() >= 0.9
    assert rows["seen"].mean() <= 0.05


def _print_table(kind: str, sd: float, rows: pd.DataFrame) -> None:
    table = rows.groupby("axis", sort=False)[["covers", "width", "seen"]].mean()
    table["rmse"] = (rows["error"] ** 2).groupby(rows["axis"]).mean() ** 0.5
    print(kind, sd, table.round(3), sep="\n")


def run(
    simulation: Any,
    path: Path,
    study: Study,
    best: dict[tuple[float, float], float],
    **options: Any,
) -> Optima:
    """A study whose best learning rate is planted by sparsity and multiplier, on the unit scale.

    Ramps have no effect.
    """
    runner = simulation(study, path, **options)
    rows = runner.rows

    def planted_rows(spec: Any) -> Any:
        unit = np.log10(spec.optim.lr / 0.01) / 2
        at = best[spec.sparsity.target, spec.schedule.epoch_multiplier]
        noise = np.random.default_rng(int(spec.trial_id(), 16)).normal(0, 0.0015)
        error = 0.12 + 0.1 * (unit - at) ** 2 + noise
        for row in rows(spec):
            yield {**row, "val_error": error, "val_accuracy": 1 - error, "val_score": 1 - error}

    def configurations(cell: Any) -> Any:
        yield 0, "base", {}
        control = runner.winners.get(cell.control_from, {}) if cell.control_from else None
        if control is not None:
            yield (
                1,
                "control",
                {path: value for path, value in control.items() if path in cell.search},
            )
        first = 1 if control is None else 2
        for k, point in enumerate(sobol(study.configurations_per_cell - first, 2)):
            values = {
                path: axis.at(u)
                for (path, axis), u in zip(cell.search.items(), point, strict=False)
            }
            yield first + k, f"sobol:{k}", values

    runner.rows, runner.configurations = planted_rows, configurations
    return optima(analysis.load(runner.run()))


@pytest.fixture(scope="module")
def moving(simulation: Any, tmp_path_factory: pytest.TempPathFactory) -> Optima:
    best = {(0, 1): 0.3, (0, 2): 0.3, (0.9, 1): 0.7, (0.9, 2): 0.3}
    return run(simulation, tmp_path_factory.mktemp("runs") / "planted", PLANTED, best)


def test_optima_and_shifts_are_read_from_a_study(moving: Optima) -> None:
    frame = moving.frame().set_index(["cell", "axis"])
    names = {"dense": "dense/epoch_multiplier=1", "sparse": "gmp/target=0.9/epoch_multiplier=1"}
    dense, sparse = (frame.loc[(names[kind], "optim.lr")] for kind in ("dense", "sparse"))
    for row, place in ((dense, 0.3), (sparse, 0.7)):
        assert (
            row["low"] / 1.2 <= 0.01 * 100**place <= row["high"] * 1.2
        )  # one draw: an interval may just miss
        assert row["quarter_low"] <= 0.01 * 100**place <= row["quarter_high"] * 1.3
        assert row["verdict"] == "located"
    start = frame.loc[(names["sparse"], "sparsity.ramp.start")]
    assert start["verdict"] == "not located"
    assert (names["dense"], "sparsity.ramp.start") not in frame.index
    shifts = moving.shifts("optim.lr").set_index(["along", "cell"])
    seen = shifts.loc[("sparsity.target", names["sparse"])]
    assert seen["low"] / 1.3 <= 100**0.4 <= seen["high"]
    assert seen["verdict"].startswith("higher by a factor ")
    assert seen["reference"] == names["dense"]
    back = shifts.loc[("schedule.epoch_multiplier", "gmp/target=0.9/epoch_multiplier=2")]
    assert back["verdict"].startswith("lower by a factor ")
    assert (
        shifts.loc[("sparsity.target", "gmp/target=0.9/epoch_multiplier=2"), "verdict"]
        == "no evidence of a shift"
    )


def test_only_points_that_all_cells_share_count(moving: Optima) -> None:
    first, *others = (set(own["source"]) for _, own in moving.points.groupby("cell"))
    assert all(other == first for other in others)
    assert first == {
        "base",
        *(f"sobol:{k}" for k in range(24)),
    }  # dense cells try no control, and one point more
    assert (moving.frame()["n"] == 25).all()
    cell = "gmp/target=0.9/epoch_multiplier=1"
    assert set(moving.response(cell)["axis"]) == {"optim.lr", "sparsity.ramp.start"}


def test_comparisons_are_counted_and_corrected(moving: Optima) -> None:
    shifts = moving.shifts()
    assert (
        len(shifts) == 2 + 2 + 1
    )  # sparsity and length for the rate; length for the ramp, which dense has not
    assert (shifts["p_holm"] >= shifts["p"]).all()
    first = shifts.sort_values("p").iloc[0]
    assert first["p_holm"] == pytest.approx(min(1, 5 * first["p"]))


def test_an_optimum_beyond_the_range_is_at_its_edge(simulation: Any, tmp_path: Path) -> None:
    best = {(0, 1): 1.2, (0, 2): -0.2, (0.9, 1): 0.5, (0.9, 2): 0.5}
    frame = run(simulation, tmp_path / "s", PLANTED, best).frame().set_index(["cell", "axis"])
    high, low = (frame.loc[(f"dense/epoch_multiplier={k}", "optim.lr")] for k in (1, 2))
    assert (high["verdict"], high["high"]) == ("at least", pytest.approx(1.0))
    assert (low["verdict"], low["low"]) == ("at most", pytest.approx(0.01))


def test_diverged_configurations_count_as_the_worst(simulation: Any, tmp_path: Path) -> None:
    best = dict.fromkeys([(0, 1), (0, 2), (0.9, 1), (0.9, 2)], 0.4)

    def lost(cell: str, role: str, seed: int) -> str:
        return "DIVERGED" if cell.startswith("gmp") and role == "search" else "COMPLETE"

    frame = run(simulation, tmp_path / "s", PLANTED, best, outcome=lost).frame()
    sparse = frame[frame["arm"] == "gmp"]
    assert (sparse["diverged"] == sparse["n"]).all()
    assert set(sparse["verdict"]) == {"too few configurations"}
    assert (frame.loc[frame["arm"] == "dense", "diverged"] == 0).all()


def test_few_configurations_locate_nothing(small: Path) -> None:
    found = optima(analysis.load(small))
    assert set(found.frame()["verdict"]) == {"too few configurations"}
    assert found.shifts().empty
    assert list(found.shifts()) == SHIFT_COLUMNS


def test_a_study_that_searches_nothing_and_one_without_trials_have_no_rows(
    simulation: Any, studies: Any, tmp_path: Path, small: Path
) -> None:
    plain = analysis.load(
        simulation(studies["small"].with_changes(search={}), tmp_path / "plain").run()
    )
    (tmp_path / "study.json").write_text((small / "study.json").read_text())
    for results in (plain, analysis.load(tmp_path)):
        assert optima(results).frame().empty
        assert optima(results).shifts().empty
        assert retuning_gain(results).empty


def test_of_very_many_points_some_are_read_and_tell_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("analysis.estimates.surface.MAX_POINTS", 64)
    random = np.random.default_rng(0)
    x = random.random((600, 2))
    y = (x[:, 0] - 0.3) ** 2 + random.normal(0, 0.01, 600)
    few, again, other = (
        sample_effects(x, y, draws=500, seed=seed).minimum_places()[:, 0] for seed in (0, 0, 1)
    )
    assert (
        np.median(few) == pytest.approx(0.3, abs=0.05)
        and (few == again).all()
        and (few != other).any()
    )
    read: list[int] = []
    scales = surface._scales

    def counted(squares: np.ndarray, *rest: Any) -> np.ndarray:
        read.append(squares.shape[-1])
        return scales(squares, *rest)

    monkeypatch.setattr(surface, "_scales", counted)
    sample_effects(x, y, draws=20)
    sample_effects(x[:50], y[:50], draws=20)
    assert read == [64, 50]


def test_wrong_names_are_answered_with_the_right_ones(moving: Optima, small: Path) -> None:
    with pytest.raises(SparsetuneError, match=r"one of optim\.lr, sparsity\.ramp\.start, got `lr`"):
        moving.shifts("lr")
    with pytest.raises(SparsetuneError, match=r"one of dense/epoch_multiplier=1, .* got `nowhere`"):
        moving.response("nowhere")
    with pytest.raises(SparsetuneError, match=r"`y` must be one of .*val_loss.*, got `loss`"):
        optima(analysis.load(small), "loss")


def test_the_gain_of_retuning_is_the_winner_minus_the_control_by_seed(small: Path) -> None:
    results = analysis.load(small)
    gains = retuning_gain(results).set_index("cell")
    trials = results.trials().set_index("trial_id")
    uses = results.uses()
    cells = results.cells().set_index("cell")
    other = cells[cells["control_id"].notna() & (cells["control_id"] != cells["winner_id"])]
    assert list(gains.index) == list(other.index)
    assert len(gains)
    for cell, row in gains.iterrows():
        own = uses[
            (uses["cell"] == cell) & uses["role"].isin(["report", "control"])
        ].drop_duplicates("trial_id")
        values = own.assign(y=own["trial_id"].map(trials["test_accuracy"])).pivot(
            index="seed", columns="config_id", values="y"
        )
        expected = values[other.loc[cell, "winner_id"]] - values[other.loc[cell, "control_id"]]
        assert row["gain"] == pytest.approx(float(expected.mean()))
        assert row["n"] == 2


RATE = LogUniform(0.01, 1.0)
START = Uniform(0.0, 0.3)


def moves(
    best: dict[float, float],
    path: str = "optim.lr",
    axis: LogUniform | Uniform = RATE,
    own: int = 0,
) -> ResultsBuilder:
    """Cells whose optimum is at ``best`` of the range.

    Each has ``own`` random points, or 24 that all share.
    """
    made = ResultsBuilder(sweep=("sparsity.target",))
    random = np.random.default_rng(0)
    for target, at in best.items():
        x = random.random((own, 1)) if own else sobol(24, 1)
        y = 0.1 + 0.1 * (x[:, 0] - at) ** 2 + random.normal(0, 0.002, len(x))
        made.search(f"c{target:g}", {path: axis}, x, {"val_error": y}, target=target, arm="gmp")
        for row in made.trial_rows:
            row["source"] = row["config_id"] if own else row["source"]
    return made


@pytest.mark.parametrize(
    ("dense", "sparse", "said"),
    [
        (-0.6, 0.5, "higher by at least a factor "),
        (0.5, 1.6, "higher by at least a factor "),
        (0.5, -0.6, "lower by at least a factor "),
    ],
)
def test_a_shift_beyond_the_range_is_bounded_on_one_side(
    dense: float, sparse: float, said: str
) -> None:
    found = optima(moves({0: dense, 0.9: sparse}))
    row = found.shifts().iloc[0]
    assert row["verdict"].startswith(said)
    assert row["low"] <= 100 ** (sparse - dense) <= row["high"]
    assert np.isinf(row["high"]) if sparse > dense else row["low"] == 0
    bound = row["low"] if sparse > dense else row["high"]
    assert row["verdict"].endswith(f" {max(bound, 1 / bound):.2g}")
    shown = {exhibit.name: exhibit for exhibit in optimum_exhibits(moves({0: dense, 0.9: sparse}))}
    words = "at least" if sparse > dense else "at most"
    assert shown["shifts"].frame["moved"].iloc[0] == f"{words} times {bound:.3g}"


def test_two_optima_beyond_the_same_end_say_nothing_of_a_shift() -> None:
    for best in ({0: -0.8, 0.9: -0.3}, {0: 1.3, 0.9: 1.9}):
        row = optima(moves(best)).shifts().iloc[0]
        assert (row["low"], row["high"], row["p"]) == (0, np.inf, 1)
        assert np.isnan(row["shift"])
        assert row["verdict"] == "no evidence of a shift; a large one is possible"


def test_nothing_lies_beyond_a_natural_end_so_a_shift_from_there_is_bounded() -> None:
    row = optima(moves({0.5: -0.3, 0.9: 0.6}, "sparsity.ramp.start", START)).shifts().iloc[0]
    assert row["verdict"].startswith("higher by 0.1")
    assert np.isfinite(row[["low", "high"]].astype(float)).all()
    row = optima(moves({0.5: 1.4, 0.9: 0.5}, "sparsity.ramp.start", START)).shifts().iloc[0]
    assert row["verdict"].startswith("lower by at least 0.1")
    assert row["low"] == -np.inf


def test_independent_searches_count_each_cells_own_configurations() -> None:
    found = optima(moves({0: 0.3, 0.9: 0.3, 0.98: 0.7}, own=30))
    frame = found.frame()
    assert not found.shared
    assert list(frame["n"]) == [30, 30, 30]
    assert list(frame["verdict"]) == ["located"] * 3
    assert "from 30 configurations, each network's own" in found.note()
    assert (
        "Fewer than 10 configurations are shared, so networks may also differ by what was tried."
        in found.note()
    )
    shifts = found.shifts("optim.lr")
    assert shifts["verdict"].iloc[0] == "no evidence of a shift"
    assert shifts["verdict"].iloc[1].startswith("higher by a factor ")
    assert shifts["verdict"].iloc[1].endswith("; each cell's own configurations")
    # Configurations that a cell's own results chose are compared with no other cell's.
    adaptive = replace(found, adaptive=True)
    assert adaptive.shifts().empty
    assert "Whether best values move is not asked" in adaptive.note()
    assert "not asked" not in found.note()
    shared = optima(moves({0: 0.3, 0.98: 0.7}))
    assert shared.shared
    assert len(replace(shared, adaptive=True).shifts()) == len(shared.shifts()) > 0
    assert shared.shifts()["verdict"].iloc[0].endswith("]")
    assert "that all networks share" in shared.note()
    few = optima(moves({0: 0.3, 0.98: 0.7}, own=9))
    assert list(few.frame()["verdict"]) == ["too few configurations"] * 2
    assert few.shifts("optim.lr").empty


def test_flat_regions_hold_the_optimum_and_are_whole_where_nothing_matters(moving: Optima) -> None:
    frame = moving.frame().set_index("axis")
    rates = frame.loc["optim.lr"]
    starts = frame.loc["sparsity.ramp.start"]
    assert ((rates["flat_low"] <= rates["value"]) & (rates["value"] <= rates["flat_high"])).all()
    assert (rates["flat_high"] / rates["flat_low"] < 10).all()
    assert (starts["flat_high"] - starts["flat_low"]).mean() > 0.15


def test_the_objective_has_a_map_and_nothing_searched_has_none() -> None:
    x = sobol(32, 2)
    random = np.random.default_rng(0)
    made = ResultsBuilder()
    for epochs in (4, 8):
        y = 0.1 + 0.1 * (x[:, 0] - 0.4) ** 2 + random.normal(0, 0.002, 32)
        values = {"val_error": y, "val_accuracy": 1 - y, "val_loss": 1 + (x[:, 0] - 0.8) ** 2}
        made.search(f"c{epochs}", dict(PLANTED.search), x, values, epochs=epochs)
    shown = {exhibit.name: exhibit for exhibit in optimum_exhibits(made)}
    assert {"optimum", "shifts", "response-optim_lr"} <= set(shown)
    caption = shown["shifts"].caption
    assert caption.startswith("No best value is shown to move. The p values are corrected")
    assert "for all 2 comparisons (Holm)" in caption
    for exhibit in shown.values():
        assert {name for column in exhibit.columns or () for name in column.names} <= set(
            exhibit.frame
        )
    assert set(optima(made, where={"schedule.epochs": 8}).frame()["cell"]) == {"c8"}
    frames = {
        y: optima(made, y).frame().set_index("axis")
        for y in ("val_error", "val_accuracy", "val_loss")
    }
    assert frames["val_accuracy"]["value"].to_numpy() == pytest.approx(
        frames["val_error"]["value"].to_numpy()
    )
    assert (
        frames["val_loss"].loc["optim.lr", "value"]
        > 2 * frames["val_error"].loc["optim.lr", "value"]
    ).all()
    with pytest.raises(
        SparsetuneError, match=r"`where` must be one of sparsity\.target, .*got `optim\.lr`"
    ):
        optima(made, where={"optim.lr": 1})
    assert list(optimum_exhibits(ResultsBuilder())) == []


def test_the_figure_shows_every_located_optimum(moving: Optima) -> None:
    figure = moving.plot()
    assert [axis.get_title() for axis in figure.axes] == [
        "Learning rate",
        "Ramp start (% of training)",
    ]
    assert figure.axes[0].get_yscale() == "log"
    drawn = {
        round(float(y), 6) for line in figure.axes[0].lines for y in np.atleast_1d(line.get_ydata())
    }
    rates = moving.frame().query("axis == 'optim.lr' and verdict == 'located'")["value"]
    assert {round(value, 6) for value in rates} <= drawn
    assert len(draw_response(moving, "optim.lr").axes) == 4


def interacting(strength: float) -> Optima:
    """Two axes whose best together is at 0.05 and 0.95 of their ranges.

    The nearer ``strength`` is to 1, the longer is the ridge from there to the middle; at 0 the axes
    do not interact.
    """
    from scipy.stats import qmc

    x = qmc.Sobol(2, seed=3).random(128)
    away = x - [0.05, 0.95]
    values = (away**2).sum(axis=1) + 2 * strength * away.prod(axis=1)
    noise = np.random.default_rng(0).normal(0, 2e-4, 128)
    axes: dict[str, Axis] = {
        "optim.lr": LogUniform(0.01, 1.0),
        "sparsity.ramp.start": Uniform(0.0, 0.3),
    }
    return optima(ResultsBuilder().search("c", axes, x, {"val_error": 0.1 + 0.1 * values + noise}))


def test_on_a_ridge_the_best_on_average_is_named_so_and_the_best_together_stands_beside() -> None:
    found = interacting(0.95)
    row = found.frame().set_index("axis").loc["optim.lr"]
    # Averaged over the other axis the ridge's lowest place is 0.05 + 0.95 (0.95 - 0.5) = 0.48.
    together = 0.01 * 100**0.05
    assert row["verdict"] == "located"
    assert together < row["low"] < 0.01 * 100**0.48 < row["high"]
    assert row["winner"] == pytest.approx(together, rel=0.5)
    (axes, *_) = found.plot().axes
    assert axes.get_ylabel() == "Best on average for validation error"
    crosses = [line for line in axes.get_lines() if line.get_marker() == "x"]
    assert [list(np.asarray(line.get_ydata())) for line in crosses] == [[row["winner"]]]
    assert "on average over the others" in found.note() and "A cross is the winner" in found.note()
    apart = interacting(0.0).frame().set_index("axis").loc["optim.lr"]
    # Axes that do not interact agree, but for the smoothing of the surface near its end.
    assert row["value"] > 3 * together
    assert apart["value"] == pytest.approx(together, rel=0.5)


def test_tables_of_optima_name_both_kinds_of_best() -> None:
    x = sobol(32, 2)
    axes: dict[str, Axis] = {
        "optim.lr": LogUniform(0.01, 1.0),
        "sparsity.ramp.start": Uniform(0.0, 0.3),
    }
    noise = np.random.default_rng(0).normal(0, 2e-4, 32)
    values = {"val_error": 0.1 + (x[:, 0] - 0.4) ** 2 + noise}
    exhibit = next(iter(optimum_exhibits(ResultsBuilder().search("c", axes, x, values))))
    assert exhibit.columns is not None
    headings = [column.heading for column in exhibit.columns]
    assert "Best on average over\nthe others [95 % interval]" in headings
    assert "Best together\n(the winner)" in headings
    assert "best on average over the others" in exhibit.title
