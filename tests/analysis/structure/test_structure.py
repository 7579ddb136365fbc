"""Structure of networks: densities, masks and overlaps by hand, and only from trial folders."""

from __future__ import annotations

import ast
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import analysis
from analysis.estimates.intervals import t_interval
from analysis.load import StudyResults
from analysis.structure.account import dense_text, parameter_account
from analysis.structure.density import density_profile
from analysis.structure.exhibits import structure_exhibits
from analysis.structure.figures import short_layer_names
from analysis.structure.final_masks import (
    UNTRAINED_ENCODERS,
    FinalMask,
    final_masks,
    read_final_mask,
)
from analysis.structure.mask_history import ever_active, mask_history
from analysis.structure.mask_overlap import _overlaps, jackknife_interval, mask_overlap
from analysis.tables.selection import report_rows
from analysis.testing import MadeResults
from sparsetune.errors import SparsetuneError
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.storage.trial_files import AttemptFiles
from sparsetune.study import Arm, Study
from tests.analysis.simulation import Simulation

STUDY = Study(
    name="two-recipes",
    base=TrialSpec(schedule=ScheduleSpec(epochs=10)),
    arms={
        "dense": Arm({"sparsity.method": "dense"}, sweep={"sparsity.target": [0]}),
        "gmp": Arm({"sparsity.method": "gmp"}, sweep={"sparsity.target": [0.5]}),
        "acdc": Arm({"sparsity.method": "acdc"}, sweep={"sparsity.target": [0.5]}),
    },
    report_seeds=3,
)
A, B, C = ([int(bit) for bit in bits] for bits in ("11110000", "11001100", "10101010"))
"""Masks of eight weights, any two of which share two of six."""
NONE = [0] * 8


def certificate(folder: Path, masks: Mapping[str, Sequence[int]]) -> None:
    """What a worker leaves of these masks, but for the masks themselves."""
    folder.mkdir(parents=True, exist_ok=True)
    layers = [
        {
            "name": name,
            "shape": [len(mask)],
            "weights": len(mask),
            "kept": sum(mask),
            "zeros": len(mask) - sum(mask),
        }
        for name, mask in masks.items()
    ]
    (folder / "certificate.json").write_text(json.dumps({"layers": layers}))


def packed(folder: Path, masks: Mapping[str, Sequence[int]]) -> None:
    save_file(
        {name: np.packbits(mask) for name, mask in masks.items()}, folder / "masks.safetensors"
    )


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose trials left nothing in their folders."""
    return Simulation(STUDY, tmp_path_factory.mktemp("runs") / "two-recipes").run()


@pytest.fixture
def study(bare: Path, tmp_path: Path) -> StudyResults:
    """The same, with folders of its own."""
    results = analysis.load(bare)
    directory = type(results.directory)(tmp_path / "study")
    return replace(results, directory=directory)


def trial_folders(results: StudyResults, arm: str) -> list[Path]:
    """Of an arm's report trials, in order of their seeds."""
    rows = report_rows(results).sort_values("seed")
    return [Path(results.directory.attempt(t, 1)) for t in rows.loc[rows["arm"] == arm, "trial_id"]]


def masked(
    results: StudyResults, arm: str, masks: Iterable[Sequence[int]], second: Sequence[int] = A
) -> None:
    """Final masks of an arm's trials: a layer of its own each, and one that all share."""
    for folder, mask in zip(trial_folders(results, arm), masks, strict=True):
        certificate(folder, {"net.1.weight": mask, "net.2.weight": second})
        packed(folder, {"net.1.weight": mask, "net.2.weight": second})


def test_density_by_layer_with_its_interval(study: StudyResults) -> None:
    """2, 4 and 6 of 8 weights: 0.25, 0.5 and 0.75."""
    for folder, kept in zip(trial_folders(study, "gmp"), (2, 4, 6), strict=True):
        certificate(folder, {"in.weight": [1] * kept + [0] * (8 - kept), "out.weight": A})
    frame = density_profile(study).frame()
    assert frame["layer"].tolist() == ["in.weight", "out.weight"] and frame[
        "position"
    ].tolist() == [0, 1]
    first = frame.iloc[0]
    assert (first["n"], first["mean"], first["kept"]) == (3, 0.5, 2)
    low, high = t_interval(0.5, 0.25, 3)
    # It would reach from -12 to 112 %: carried to the logit scale, whose slope is 4 here.
    assert low < 0 and high > 1
    odds = np.exp(4 * (float(high) - 0.5))
    assert (first["low"], first["high"]) == pytest.approx((1 / (1 + odds), odds / (1 + odds)))
    assert frame.iloc[1]["mean"] == 0.5 and math.isnan(
        frame.iloc[1]["low"]
    )  # three equal seeds prove nothing


def test_a_dead_layer_is_named_and_a_living_one_is_not(study: StudyResults) -> None:
    for folder, mask in zip(trial_folders(study, "gmp"), (A, NONE, NONE), strict=True):
        certificate(folder, {"in.weight": mask, "out.weight": A})
    profile = density_profile(study)
    assert (
        profile.dead() == ["gmp at 50 %: `in.weight` in 2 trials"]
        and "No weight is left" in profile.note()
    )
    crosses = [line for line in profile.plot().axes[0].get_lines() if line.get_marker() == "x"]
    assert [list(line.get_xdata()) for line in crosses] == [[0]]
    for folder in trial_folders(study, "gmp"):
        certificate(folder, {"in.weight": A, "out.weight": A})
    assert density_profile(study).dead() == [] and "No weight" not in density_profile(study).note()


def structured(folder: Path, rows: Sequence[tuple[int, float, float | None, float | None]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    keys = ("step", "sparsity", "iou_previous", "iou_final")
    masks = [{"phase": "ramp", "density": {}, **dict(zip(keys, row, strict=True))} for row in rows]
    (folder / "structure.json").write_text(json.dumps(masks))


def test_masks_over_training_by_hand(study: StudyResults) -> None:
    """Densities 0.8, 0.5, 0.5 of ten weights.

    The first and the last mask share 4 of 9, the others 4 of 6.
    """
    steps = int(report_rows(study)["step"].iloc[0])
    for folder in trial_folders(study, "gmp"):
        structured(
            folder,
            [
                (steps // 2, 0.2, None, 4 / 9),
                (steps - 2, 0.5, 3 / 10, 4 / 6),
                (steps, 0.5, 4 / 6, 1.0),
            ],
        )
    history = mask_history(study)
    rows = history.frame()
    assert len(rows) == 9
    assert rows["iou_most"].tolist()[:3] == pytest.approx([math.nan, 0.5 / 0.8, 1], nan_ok=True)
    assert rows["of_final"].tolist()[:3] == pytest.approx([0.8, 0.8, 1])
    assert (
        rows["progress"].iloc[0] == pytest.approx(steps // 2 / steps)
        and rows["progress"].iloc[2] == 1
    )
    assert not history.is_nested() and "The other panel shows" in history.note()
    assert history.at_target().to_dict("records") == [
        {"cell": rows["cell"].iloc[0], "masks": 3, "iou_at_target": 4 / 6}
    ]
    visible = [axis for axis in history.plot().axes if axis.get_visible()]
    drawn = [[line for line in axis.get_lines() if len(line.get_xdata())] for axis in visible]
    assert [len(lines) for lines in drawn] == [3, 3]


def test_nested_masks_need_no_second_panel_and_a_mask_that_never_moved_none(
    study: StudyResults,
) -> None:
    for folder in trial_folders(study, "gmp"):
        structured(folder, [(1, 0.2, None, 0.5 / 0.8), (9, 0.5, 0.5 / 0.8, 1.0)])
    for folder in trial_folders(study, "acdc"):
        structured(folder, [(0, 0.5, None, 1.0)])
    history = mask_history(study)
    assert history.is_nested() and "Every mask held the whole final one" in history.note()
    assert len(history.plot().axes) == 1 and set(history.changed_rows()["arm"]) == {"gmp"}


def test_overlap_of_three_seeds_that_chance_explains(study: StudyResults) -> None:
    """Half of eight weights each, any two masks share 2 of 6: d / (2 - d) at d = 1/2."""
    masked(study, "gmp", (A, B, C), second=B)
    frame = mask_overlap(study).frame().set_index("layer")
    row = frame.loc["net.1.weight"]
    assert (row["iou"], row["chance"], row["n"], row["pairs"]) == pytest.approx(
        (1 / 3, 1 / 3, 3, 3)
    )
    assert (
        row["verdict"] == "no interval" and not row["same_seed"] and not row["same_start"]
    )  # all pairs are alike
    assert frame.loc["net.2.weight", "iou"] == 1
    assert frame.loc["all", "iou"] == pytest.approx((2 + 4) / (6 + 4))
    assert frame.loc["all", "chance"] == pytest.approx(1 / 3)


def test_overlap_is_above_chance_where_its_interval_says_so(study: StudyResults) -> None:
    """Pairs share 2 of 6, 3 of 5 and 2 of 6.

    Then they share 30, 29 and 30 of 40 weights, of which a quarter is kept.
    """
    masked(study, "gmp", (A, B, [1, 1, 1, 0, 0, 0, 0, 1]))
    frame = mask_overlap(study).frame().set_index("layer")
    assert frame.loc["net.1.weight", "verdict"] == "not settled against chance"
    near = [[1] * 30 + [0] * 90, [1] * 29 + [0] * 90 + [1], [0] + [1] * 30 + [0] * 89]
    masked(study, "gmp", near)
    frame = mask_overlap(study).frame().set_index("layer")
    assert frame.loc["net.1.weight", "verdict"] == "above chance"


def test_recipes_are_compared_with_one_seed_and_with_two(study: StudyResults) -> None:
    masked(study, "gmp", (A, B, C))
    masked(study, "acdc", (A, B, C))
    frame = (
        mask_overlap(study)
        .frame()
        .query("layer == 'net.1.weight'")
        .set_index(["recipe", "other", "same_seed"])
    )
    same = frame.loc[("gmp", "acdc", True)]
    two = frame.loc[("gmp", "acdc", False)]
    assert (same["iou"], same["n"], same["pairs"], bool(same["same_start"])) == (1, 3, 3, True)
    assert (two["iou"], two["pairs"], bool(two["same_start"])) == (pytest.approx(1 / 3), 6, False)
    assert len(frame) == 4, "gmp with itself, acdc with itself, and both kinds between them"
    text = [t.get_text() for t in mask_overlap(study).plot().axes[0].texts]
    assert len(text) == 4 and "(33)" in text[0]


def test_layers_that_differ_are_never_compared(study: StudyResults) -> None:
    masked(study, "gmp", (A, B, C))
    for folder, mask in zip(trial_folders(study, "acdc"), (A, B, C), strict=True):
        certificate(folder, {"net.1.weight": mask * 2, "net.2.weight": A})
        packed(folder, {"net.1.weight": mask * 2, "net.2.weight": A})
    frame = mask_overlap(study).frame()
    assert set(zip(frame["recipe"], frame["other"], strict=True)) == {
        ("gmp", "gmp"),
        ("acdc", "acdc"),
    }


def test_the_jackknife_of_pairs_by_hand() -> None:
    """Leaving out seed 1, 2 or 3 leaves 0.6, 0.5 or 0.4: variance 2/3 * 0.02."""
    mean, low, high, n = jackknife_interval(
        np.array([0.4, 0.5, 0.6]), [(1, 2), (1, 3), (2, 3)], 0.95
    )
    half = 4.302652729911275 * math.sqrt(2 / 3 * 0.02)
    assert (mean, low, high, n) == pytest.approx((0.5, 0.5 - half, 0.5 + half, 3))
    assert math.isnan(jackknife_interval(np.array([0.4]), [(1, 2)], 0.95)[1]), (
        "two seeds are one pair: no interval"
    )


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_for_pairs_of_one_seed_it_is_the_t_interval(values: list[float]) -> None:
    given = np.array(values)
    mean, low, high, _ = jackknife_interval(given, [(k, k) for k in range(len(values))], 0.95)
    expected = t_interval(given.mean(), given.std(ddof=1), len(values))
    assert (mean, low, high) == pytest.approx(
        (given.mean(), *map(float, expected)), abs=1e-9, nan_ok=True
    )


@pytest.mark.parametrize("n", [3, 5])
def test_the_jackknife_covers_the_mean_over_pairs_of_unlike_seeds(n: int) -> None:
    """A pair has the sum of its seeds' effects, so their mean varies like 2 sd / sqrt(n)."""
    random = np.random.default_rng(n)
    pairs = list(itertools.combinations(range(n), 2))
    covered = 0
    for effects in random.normal(size=(800, n)):
        _, low, high, _ = jackknife_interval(
            np.array([effects[i] + effects[j] for i, j in pairs]), pairs, 0.95
        )
        covered += low <= 0 <= high
    assert 0.93 <= covered / 800 <= 0.97


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 200), min_size=1, max_size=4))
def test_chance_is_what_random_masks_of_the_same_densities_give(seed: int, kept: list[int]) -> None:
    random = np.random.default_rng(seed)
    layers = {f"layer{k}": 400 for k in range(len(kept))}

    def final(number: int) -> FinalMask:
        bits = {
            n: np.packbits(random.permutation(400) < k) for n, k in zip(layers, kept, strict=True)
        }
        return FinalMask("gmp", 0.9, number, f"seed {number}", bits, layers)

    rows = pd.DataFrame(_overlaps([final(number) for number in range(12)], 0.95)).set_index("layer")
    density = kept[0] / 400
    assert rows.loc["layer0", "chance"] == pytest.approx(density / (2 - density))
    assert rows.loc["all", "iou"] == pytest.approx(rows.loc["all", "chance"], abs=0.06)


def test_a_mask_is_read_from_bits_or_else_from_the_model_and_only_if_it_is_what_was_certified(
    tmp_path: Path,
) -> None:
    layers = {"net.1.weight": [*A, 1], "net.2.weight": B}
    certificate(tmp_path, layers)
    assert read_final_mask(AttemptFiles(tmp_path)) == ({}, {}), "an older study left none"
    weights = {name: np.array(mask, np.float32) * 0.3 for name, mask in layers.items()} | {
        "norm.bias": np.ones(3)
    }
    save_file(weights, tmp_path / "model.safetensors")
    bits, sizes = read_final_mask(AttemptFiles(tmp_path))
    assert sizes == {"net.1.weight": 9, "net.2.weight": 8}
    assert bits["net.1.weight"].tolist() == [0b11110000, 0b10000000]
    packed(tmp_path, layers)
    (tmp_path / "model.safetensors").unlink()
    again, _ = read_final_mask(AttemptFiles(tmp_path))
    assert all((again[name] == bits[name]).all() for name in bits)
    packed(tmp_path, {"net.1.weight": [*A, 0], "net.2.weight": B})
    assert read_final_mask(AttemptFiles(tmp_path)) == ({}, {}), (
        "of another count than the certificate"
    )
    (tmp_path / "masks.safetensors").write_bytes(b"torn")
    assert read_final_mask(AttemptFiles(tmp_path)) == ({}, {})


def test_trials_without_a_mask_are_counted_and_said(study: StudyResults) -> None:
    masked(study, "gmp", (A, B, C))
    trial_folders(study, "gmp")[0].joinpath("masks.safetensors").unlink()
    found = mask_overlap(study)
    assert found.missing == 4 and "4 runs left no final mask" in found.note()
    masked(study, "gmp", (A, B, C))
    masked(study, "acdc", (A, B, C))
    assert (
        mask_overlap(study).missing == 0 and "left no final mask" not in mask_overlap(study).note()
    )


def with_trials(study: StudyResults, trials: pd.DataFrame) -> None:
    """Another table of trials, and nothing kept of what was worked out from the one before."""
    study.__dict__["_trials"] = trials
    study.__dict__.pop("_known", None)


def test_seeds_that_start_from_one_pretrained_network_are_said_to(study: StudyResults) -> None:
    masked(study, "gmp", (A, B, C))
    assert (
        not mask_overlap(study).frame()["same_start"].any()
        and "pre-trained" not in mask_overlap(study).note()
    )
    trials = study._trials.assign(**{"task.kind": "text", "task.model": "owner/encoder"})
    with_trials(study, trials)
    assert (
        mask_overlap(study).frame()["same_start"].all()
        and "pre-trained" in mask_overlap(study).note()
    )
    with_trials(study, trials.assign(**{"task.model": UNTRAINED_ENCODERS[0]}))
    assert not mask_overlap(study).frame()["same_start"].any()


def test_untrained_encoders_are_those_of_the_training_side() -> None:
    """Read from its text: transformers takes seconds to import."""
    source = (
        Path(__file__).parents[3] / "sparsetune" / "tasks" / "text" / "encoder_shapes.py"
    ).read_text()
    (declared,) = (
        n
        for n in ast.parse(source).body
        if isinstance(n, ast.AnnAssign) and ast.unparse(n.target) == "UNTRAINED_ENCODERS"
    )
    assert isinstance(declared.value, ast.Dict)
    assert {ast.literal_eval(key) for key in declared.value.keys if key} == set(UNTRAINED_ENCODERS)


def test_what_was_ever_active_needs_only_its_column(study: StudyResults) -> None:
    trials = study._trials
    seeds = trials["seed"].astype("float64")
    with_trials(
        study,
        trials.assign(ever_active=0.7 + 0.05 * (seeds - seeds.min()) / (seeds.max() - seeds.min())),
    )
    for results in (study, MadeResults.copy_of(study)):
        frame = ever_active(results)
        assert frame["arm"].tolist() == ["gmp", "acdc"] and (frame["n"] == 3).all()
        assert frame["mean"].between(0.7, 0.75).all() and (frame["low"] < frame["mean"]).all()
    with_trials(study, study._trials.assign(ever_active=math.nan))
    assert ever_active(study).empty


def test_a_whole_report_has_all_exhibits_and_tables_alone_have_none_from_folders(
    study: StudyResults,
) -> None:
    assert [e.name for e in structure_exhibits(study)] == ["ever-active"]
    (alone,) = structure_exhibits(study)
    assert "No final mask was kept" in alone.caption
    for arm in ("gmp", "acdc"):
        masked(study, arm, (A, B, C))
        for folder in trial_folders(study, arm):
            structured(folder, [(1, 0.2, None, 0.5), (9, 0.5, 0.4, 1.0)])
    shown = {e.name: e for e in structure_exhibits(study)}
    assert list(shown) == [
        "density-profile",
        "mask-history",
        "ever-active",
        "mask-overlap",
        "mask-overlap-layers",
    ]
    for exhibit in shown.values():
        assert exhibit.draw is None or exhibit.draw().axes
        assert {name for column in exhibit.columns or () for name in column.names} <= set(
            exhibit.frame
        )
    assert "No final mask was kept" not in shown["ever-active"].caption
    assert [e.name for e in structure_exhibits(MadeResults.copy_of(study))] == ["ever-active"]


def test_the_account_shows_the_sparsity_of_all_parameters_and_what_is_left_dense(
    study: StudyResults,
) -> None:
    account = [
        {"name": "body.weight", "shape": [4, 5], "status": "pruned", "reason": ""},
        {"name": "tokens.weight", "shape": [8, 5], "status": "dense", "reason": "embedding"},
        {"name": "head.weight", "shape": [2, 5], "status": "spared", "reason": "taken away"},
    ]
    counts = {"layers": [], "weights": 20, "parameters": 80, "sparsity": 0.5}
    for arm, facts in (("gmp", {"account": account}), ("acdc", {})):
        for folder in trial_folders(study, arm):
            folder.mkdir(parents=True, exist_ok=True)
            whole = counts | {"sparsity_of_parameters": 0.125} | facts
            (folder / "certificate.json").write_text(json.dumps(whole))
    frame = parameter_account(study)
    assert frame["arm"].tolist() == ["acdc", "gmp"]
    assert frame["of_parameters"].tolist() == [0.125, 0.125]
    assert frame["left_dense"].tolist() == [
        "not recorded",
        "embedding: tokens.weight (40); taken away: head.weight (10); biases, norms",
    ]
    [exhibit] = [e for e in structure_exhibits(study) if e.name == "what-is-pruned"]
    assert {name for column in exhibit.columns or () for name in column.names} <= set(frame)
    many = [{**account[1], "name": f"table{index}"} for index in range(4)]
    assert dense_text(many).startswith("embedding: table0, table1 and 2 more (160)")
    assert dense_text([account[0]]) == "biases, norms alone"


def test_equal_profiles_share_a_panel_and_others_do_not(study: StudyResults) -> None:
    masked(study, "gmp", (A, B, C))
    masked(study, "acdc", (A, A, A))
    (axis,) = density_profile(study).plot().axes
    assert axis.get_title() == "GMP, AC/DC"
    masked(study, "acdc", (A, A, A), second=[*A[:-1], 1])
    assert [axis.get_title() for axis in density_profile(study).plot().axes] == ["GMP", "AC/DC"]


def test_where_is_checked_and_a_damaged_file_costs_its_own_trial(study: StudyResults) -> None:
    with pytest.raises(SparsetuneError, match=r"must be one of .*optim\.lr.* got `lr`"):
        mask_overlap(study, {"lr": 1})
    assert density_profile(study, {"schedule.epochs": 99}).frame().empty
    for folder in trial_folders(study, "gmp"):
        certificate(folder, {"a": A})
    folder = trial_folders(study, "gmp")[0]
    whole = len(density_profile(study).layers)
    (folder / "certificate.json").write_text("{")
    assert len(density_profile(study).layers) == whole - 1
    assert any("certificate.json` is damaged" in fault for fault in AttemptFiles(folder).faults())


def test_what_a_worker_writes_is_what_is_read(study: StudyResults) -> None:
    import torch

    from sparsetune.train.checkpoint import save_masks

    folder = trial_folders(study, "gmp")[0]
    masks = {"conv.weight": torch.rand(5, 3, 3, 3) > 0.7, "fc.weight": torch.rand(7, 5) > 0.5}
    certificate(folder, {name: mask.flatten().int().tolist() for name, mask in masks.items()})
    save_masks(masks, folder / "masks.safetensors")
    bits, sizes = read_final_mask(AttemptFiles(folder))
    assert sizes == {"conv.weight": 135, "fc.weight": 35}
    for name, mask in masks.items():
        assert (
            np.unpackbits(bits[name], count=sizes[name]).astype(bool).tolist()
            == mask.flatten().tolist()
        )
    ((found, missing),) = final_masks(study)
    assert ([mask.recipe for mask in found], missing) == (["gmp"], 5)


def test_names_of_layers_lose_what_they_share() -> None:
    assert short_layer_names(["net.0.conv.weight", "net.1.fc.weight"]) == ["0.conv", "1.fc"]
    assert short_layer_names(["1.weight", "3.weight"]) == ["1", "3"] and short_layer_names(
        ["fc.weight"]
    ) == ["fc"]
