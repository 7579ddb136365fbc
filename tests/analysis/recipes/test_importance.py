from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.recipes.importance.evaluators import BETTER_SHARE, Band
from analysis.recipes.importance.exhibits import importance_exhibits
from analysis.recipes.importance.importance import MATTERS, importance
from analysis.testing import ResultsBuilder
from sparsetune.errors import SparsetuneError
from sparsetune.study.space import Axis, Choice, IntRange, LogUniform, Uniform
from tests.analysis.recipes.test_optima import sobol

AXES: dict[str, Axis] = {
    "optim.lr": LogUniform(0.01, 1.0),
    "optim.weight_decay": LogUniform(1e-6, 1e-3),
}


def noise(n: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 0.002, n)


def test_the_planted_axis_matters_in_its_band_and_no_axis_does_without_an_effect() -> None:
    x = sobol(32, 2)
    made = ResultsBuilder().search(
        "lr", AXES, x, {"val_error": 0.1 + 0.1 * (x[:, 0] - 0.5) ** 2 + noise(32)}, target=0.9
    )
    made.search(
        "decay", AXES, x, {"val_error": 0.1 + 0.1 * (x[:, 1] - 0.5) ** 2 + noise(32)}, target=0.98
    )
    made.search("none", AXES, x, {"val_error": noise(32, 4)}, target=0.99)
    found = importance(made)
    rows = found.frame().set_index(["band", "axis"])
    assert list(dict.fromkeys(found.frame()["band"])) == ["90 %", "98 %", "99 %"]
    matters = rows.index[rows["verdict"] == MATTERS]
    assert set(matters) == {("90 %", "optim.lr"), ("98 %", "optim.weight_decay")}
    assert (rows["share"].groupby("band").sum() - 1).abs().max() < 1e-9
    assert rows.loc[("90 %", "optim.lr"), "share"] > 0.7
    assert (rows["n"] == 32).all()
    assert not {"low", "high"} & set(found.frame())
    filled = [
        line.get_markerfacecolor() for line in found.plot().axes[2].lines if len(line.get_xdata())
    ]
    assert filled == ["white"]


def test_cells_of_one_sparsity_are_ranked_before_they_are_pooled() -> None:
    x = sobol(32, 2)
    y = 0.1 * (x[:, 0] - 0.5) ** 2 + noise(32)
    made = ResultsBuilder().search("short", AXES, x, {"val_error": 0.5 + y}, target=0.9, epochs=4)
    made.search("long", AXES, x, {"val_error": 0.1 + y}, target=0.9, epochs=16)
    frame = importance(made).frame()
    assert set(frame["n"]) == {64}
    assert set(frame["cells"]) == {2}
    assert frame.set_index("axis").loc["optim.lr", "share"] > 0.7


def test_few_configurations_are_pooled_in_bands_and_fewer_say_nothing() -> None:
    x = sobol(32, 2)
    y = 0.1 * (x[:, 0] - 0.5) ** 2 + noise(32)
    made = ResultsBuilder()
    for k, target in enumerate([0.96, 0.97, 0.98]):
        made.search(
            f"c{k}", AXES, x[8 * k : 8 * k + 8], {"val_error": y[8 * k : 8 * k + 8]}, target=target
        )
    frame = importance(made).frame()
    assert set(frame["band"]) == {"above 95 %"}
    assert set(frame["n"]) == {24}
    assert set(importance(made, by="sparsity").frame()["verdict"]) == {"too few configurations"}
    few = ResultsBuilder().search("c", AXES, x[:9], {"val_error": y[:9]})
    assert importance(few).frame()["share"].isna().all()
    assert list(importance_exhibits(few)) == []
    assert len(list(importance_exhibits(made))) == 1


def test_bands_end_at_ninety_and_ninety_five_percent() -> None:
    x = sobol(32, 2)[:4]
    made = ResultsBuilder()
    for k, target in enumerate([0, 0.89, 0.9, 0.95, 0.951]):
        made.search(f"c{k}", AXES, x, {"val_error": noise(4, k)}, target=target, arm="gmp")
    frame = importance(made, by="band").frame()
    counts = dict(zip(frame["band"], frame["cells"], strict=True))
    assert counts == {"dense": 1, "below 90 %": 1, "90 to 95 %": 2, "above 95 %": 1}


def test_diverged_configurations_count_as_the_worst() -> None:
    x = sobol(32, 2)
    y = np.where(x[:, 0] > 0.6, np.nan, noise(32))
    row = (
        importance(ResultsBuilder().search("c", AXES, x, {"val_error": y}))
        .frame()
        .set_index("axis")
        .loc["optim.lr"]
    )
    assert row["diverged"] == (x[:, 0] > 0.6).sum()
    assert row["verdict"] == MATTERS


def test_choices_whole_numbers_and_values_beyond_their_range_are_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    x = sobol(32, 3)
    axes: dict[str, Axis] = {
        "optim.name": Choice(["sgd", "adamw"]),
        "a.b": IntRange(1, 4),
        "c.d": Uniform(0, 1),
    }
    made = ResultsBuilder().search("c", axes, x, {"val_error": (x[:, 0] > 0.5) * 0.1 + noise(32)})
    made.trial_rows[0]["c.d"] = 1.5
    frame = importance(made).frame().set_index("axis")
    assert frame["share"].idxmax() == "optim.name"
    assert frame.loc["optim.name", "verdict"] == MATTERS
    assert capsys.readouterr() == ("", "")


def test_p_hardly_depends_on_the_seed_of_the_orders() -> None:
    # A weak effect: with 39 orders p went from 0.050 to 0.275.
    x = sobol(16, 2)
    values = 0.006 * (x[:, 0] - 0.5) ** 2 + noise(16, 1)
    made = ResultsBuilder().search("c", AXES, x, {"val_error": values})
    p = np.array([importance(made, seed=seed).frame()["p"] for seed in range(8)])
    assert 0 < np.ptp(p, axis=0).max() < 0.1


def test_cells_that_repeat_each_other_are_no_further_evidence() -> None:
    x = sobol(16, 2)
    alone = []
    repeated = []
    for seed in range(10):
        values = {"val_error": noise(16, seed)}
        one = ResultsBuilder().search("c", AXES, x, values)
        many = ResultsBuilder()
        for k in range(6):
            many.search(f"c{k}", AXES, x, values, epochs=k + 1)
        alone.append(importance(one).frame()["p"].min())
        repeated.append(importance(many).frame()["p"].min())
    # Shuffled apart, six cells of one noise were said to show an axis in 8 of these 10 draws.
    assert np.mean(np.array(repeated) <= 0.05) <= 0.2
    assert np.abs(np.subtract(alone, repeated)).mean() < 0.15


def test_the_seed_is_used_and_fanova_agrees() -> None:
    x = sobol(16, 2)
    made = ResultsBuilder().search(
        "c", AXES, x, {"val_error": 0.1 * (x[:, 0] - 0.5) ** 2 + noise(16)}
    )
    first, again, other = (importance(made, seed=seed).frame() for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first["p"].equals(other["p"])
    assert first["share"].equals(other["share"])
    trees_too = importance(made, evaluator="fanova").frame()
    assert trees_too["p"].equals(first["p"])
    tried = made.trials().assign(score=noise(16) + 0.1 * x[:, 0])
    trees = [Band.of(tried, made.ranges, "fanova", seed).importances()[0] for seed in (0, 0, 1)]
    assert (trees[0] == trees[1]).all()
    assert (trees[0] != trees[2]).any()
    assert trees[0].argmax() == 0


def optunas(tried: pd.DataFrame, axes: dict[str, Axis], scores: NDArray[np.float64]) -> list[float]:
    """What Optuna's evaluator says of one order."""
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator

    band = Band(axes, tried, "ped_anova", 0)
    before = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        evaluator = PedAnovaImportanceEvaluator(target_quantile=BETTER_SHARE)
        found = evaluator.evaluate(
            band.study, list(axes), target=lambda trial: float(scores[trial.number])
        )
        optuna.logging.set_verbosity(before)
    return [found[path] for path in axes]


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 40), high=st.integers(2, 80), seed=st.integers(0, 2**32 - 1))
def test_ped_anova_of_many_orders_is_what_optuna_says_of_each(n: int, high: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    axes: dict[str, Axis] = {
        "a.log": LogUniform(0.001, 1.0),
        "a.flat": Uniform(-1, 2),
        "a.whole": IntRange(1, high),
    }
    axes["a.choice"] = Choice(["x", "y", "z"])
    columns = {"a.log": 10 ** random.uniform(-3, 0, n), "a.flat": 3 * random.beta(0.3, 0.4, n) - 1}
    columns |= {
        "a.whole": random.integers(1, high + 1, n),
        "a.choice": random.choice(["x", "y", "z"], n),
    }
    scores = random.normal(size=(4, n)).round(1)  # with ties
    scores[1:, 2:][random.random((3, n - 2)) < 0.4] = np.nan
    tried = pd.DataFrame(columns).assign(score=0.0)
    found = Band(axes, tried, "ped_anova", 0).importances(scores)
    for own, order in zip(found, scores, strict=True):
        assert own == pytest.approx(optunas(tried, axes, order), abs=1e-9)


def test_wrong_names_are_answered_with_the_right_ones() -> None:
    x = sobol(16, 2)
    made = ResultsBuilder().search("c", AXES, x, {"val_error": noise(16)})
    with pytest.raises(
        SparsetuneError, match=r"`evaluator` must be one of ped_anova, fanova, got `shap`"
    ):
        importance(made, evaluator="shap")  # type: ignore[arg-type]
    with pytest.raises(
        SparsetuneError, match=r"`by` must be one of None, sparsity, band, got `arm`"
    ):
        importance(made, by="arm")  # type: ignore[arg-type]
    with pytest.raises(SparsetuneError, match=r"must be one of sparsity\.target, .*got `arm`"):
        importance(made, where={"arm": "gmp"})
    made.objective = None
    pd.testing.assert_frame_equal(importance(made).frame(), importance(made, "val_error").frame())
    unranked = ResultsBuilder().search("c", AXES, x, {"train_loss": noise(16)})
    unranked.objective = None
    with pytest.raises(SparsetuneError, match=r"give `y`"):
        importance(unranked)
    assert list(importance_exhibits(unranked)) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_without_an_effect_few_studies_show_an_important_axis() -> None:
    x = sobol(32, 4)
    alarms = []
    axes = {
        **AXES,
        "sparsity.ramp.start": Uniform(0, 0.5),
        "sparsity.ramp.length": Uniform(0.1, 0.5),
    }
    for k in range(100):
        made = ResultsBuilder().search("a", axes, x, {"val_error": noise(32, 2 * k)}, target=0.9)
        made.search("b", axes, x, {"val_error": noise(32, 2 * k + 1)}, target=0.99)
        alarms.append((importance(made, seed=k).frame()["verdict"] == MATTERS).any())
    assert np.mean(alarms) <= 0.1  # 5 % expected; of 100
