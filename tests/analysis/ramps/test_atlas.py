from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.ramps.atlas import ramp_atlas
from analysis.ramps.exhibits import ramp_exhibits
from analysis.ramps.plane import RAMP_LENGTH_FIELD, RAMP_START_FIELD
from analysis.testing import ResultsBuilder
from sparsetune.errors import SparsetuneError
from sparsetune.study.space import LogUniform, Uniform
from tests.analysis.recipes.test_optima import sobol

Floats = NDArray[np.float64]
AXES = {
    "optim.lr": LogUniform(0.01, 1.0),
    RAMP_START_FIELD: Uniform(0.0, 0.5),
    RAMP_LENGTH_FIELD: Uniform(0.1, 0.5),
}


def error(x: Floats, effect: float, seed: int = 0) -> Floats:
    """A validation error that grows with the square of the ramp's start, plus a bowl in `lr`."""
    noise = np.random.default_rng(seed).normal(0, 0.002, len(x))
    return np.asarray(0.12 + 0.06 * (x[:, 0] - 0.4) ** 2 + effect * x[:, 1] ** 2 + noise)


def test_an_early_ramp_is_found_best_and_a_ramp_without_effect_is_not_drawn() -> None:
    x = sobol(32, 3)
    made = ResultsBuilder().search("early", AXES, x, {"val_error": error(x, 0.05)}, target=0.99)
    made.search("any", AXES, x, {"val_error": error(x, 0.0, 1)}, target=0.9)
    atlas = ramp_atlas(made)
    regions = atlas.regions().set_index("cell")
    assert regions["supported"].to_dict() == {"early": True, "any": False}
    early = regions.loc["early"]
    assert early["start_low"] == 0
    assert early["start_high"] < 0.25
    assert early["contrast"] == pytest.approx(0.05, rel=0.35)
    assert early["verdict"].startswith("best from a start at 0 to ")
    assert regions.loc["any", "verdict"] == "no evidence that the ramp matters"
    plane = atlas.planes["early"]
    assert (plane.end[:, 0] - plane.start[:, 0]) == pytest.approx(0.1)
    assert (plane.end[:, -1] - plane.start[:, -1]) == pytest.approx(0.5)
    assert (np.diff(plane.value.mean(axis=1)[5:]) > 0).all()
    lines = [len(axis.collections) for axis in atlas.plot().axes[:2]]
    assert lines[0] == lines[1] + 1  # the contours
    assert "in 1 of 2 networks" in atlas.note()


def test_points_end_where_they_start_plus_their_length_and_one_is_best() -> None:
    x = sobol(16, 3)
    y = error(x, 0.02)
    y[3] = np.nan
    frame = ramp_atlas(ResultsBuilder().search("c", AXES, x, {"val_error": y})).frame()
    assert frame["ramp_end"].to_numpy() == pytest.approx(0.5 * x[:, 1] + 0.1 + 0.4 * x[:, 2])
    assert list(np.flatnonzero(frame["best"])) == [int(np.nanargmin(y))]
    assert frame.loc[frame["diverged"].astype(bool), "value"].isna().all()
    assert frame["diverged"].sum() == 1


def test_of_a_score_the_highest_is_best_and_surfaces_keep_its_sign() -> None:
    x = sobol(32, 3)
    y = error(x, 0.05)
    lower = ramp_atlas(ResultsBuilder().search("c", AXES, x, {"val_error": y}))
    higher = ramp_atlas(
        ResultsBuilder().search("c", AXES, x, {"val_error": y, "val_accuracy": 1 - y}),
        "val_accuracy",
    )
    assert list(lower.frame()["best"]) == list(higher.frame()["best"])
    assert 1 - lower.planes["c"].value == pytest.approx(higher.planes["c"].value)


def test_one_axis_or_few_configurations_have_points_but_no_surface() -> None:
    x = sobol(32, 3)
    few = ResultsBuilder().search("few", AXES, x[:9], {"val_error": error(x[:9], 0.1)})
    assert list(ramp_atlas(few).regions()["verdict"]) == ["too few configurations"]
    assert ramp_atlas(few).planes == {}
    only = {RAMP_START_FIELD: AXES[RAMP_START_FIELD]}
    made = ResultsBuilder().search("one", only, x[:, :1], {"val_error": error(x, 0.1)})
    for row in made.trial_rows:
        row[RAMP_LENGTH_FIELD] = 0.3
    assert list(ramp_atlas(made).regions()["verdict"]) == ["only one end of the ramp was searched"]
    assert len(ramp_atlas(made).plot().axes) == 2


def test_exhibits_are_of_the_loss_or_the_objective_and_silent_without_a_ramp() -> None:
    x = sobol(16, 3)
    y = error(x, 0.05)
    shown = list(
        ramp_exhibits(ResultsBuilder().search("c", AXES, x, {"val_error": y, "val_loss": 3 * y}))
    )
    assert [exhibit.name for exhibit in shown] == ["ramp-atlas-val_loss", "ramp-regions-val_loss"]
    (first, _) = ramp_exhibits(ResultsBuilder().search("c", AXES, x, {"val_error": y}))
    assert first.name == "ramp-atlas-val_error"
    plain = ResultsBuilder().search("c", {"optim.lr": AXES["optim.lr"]}, x[:, :1], {"val_error": y})
    assert list(ramp_exhibits(plain)) == []
    with pytest.raises(SparsetuneError, match=r"needs a finished search of sparsity\.ramp\.start"):
        ramp_atlas(plain)


def test_the_seed_of_the_draws_matters_and_repeats() -> None:
    x = sobol(16, 3)
    made = ResultsBuilder().search("c", AXES, x, {"val_error": error(x, 0.01)})
    first, again, other = (ramp_atlas(made, seed=seed).regions()["p"].iloc[0] for seed in (0, 0, 1))
    assert first == again != other


def test_of_few_configurations_a_report_says_how_many_it_takes() -> None:
    few = ResultsBuilder().search("c", AXES, sobol(9, 3), {"val_error": error(sobol(9, 3), 0.05)})
    with pytest.raises(SparsetuneError, match="needs 10 configurations of a network, and has at"):
        list(ramp_exhibits(few))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ramps_without_effect_are_seldom_supported() -> None:
    x = sobol(32, 3)
    made = ResultsBuilder()
    for k in range(200):
        made.search(f"c{k}", AXES, x, {"val_error": error(x, 0.0, k)})
    assert ramp_atlas(made).regions()["supported"].mean() <= 0.05
