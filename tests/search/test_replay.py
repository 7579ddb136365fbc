"""Replays of recorded studies: a synthetic record whose best configuration is known, on a clock
worked by hand.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsetune.cli.main import main
from sparsetune.cluster.tune_schedulers import RayScheduler, build_schedulers
from sparsetune.errors import DeclarationError, StudyDirectoryError
from sparsetune.search.replay import comparison as replay
from sparsetune.search.replay.clock import (
    NoStopping,
    RampAwareHalving,
    RecordedTrial,
    WorkerPool,
)
from sparsetune.search.replay.comparison import ReplayResult, recorded_cells
from sparsetune.search.stopping.halving import HalvingRungs, phase_span_at
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import RampSpec, SparsitySpec
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import Ledger, read_records
from sparsetune.storage.records import Report
from sparsetune.study import Minimize, Study
from sparsetune.study.space import LogUniform, Uniform
from sparsetune.study.stopping import Halving
from tests.ledger_records import record as record_of


def replay_study(
    path: Path, changes: Mapping[str, Any] = {}, workers: int = 2, compared: Any = None
) -> ReplayResult:
    """A replay of the schedulers that the command compares, or of others."""
    schedulers = build_schedulers if compared is None else lambda rule: compared
    return replay.replay_study(path, changes, schedulers=schedulers, workers=workers)


EPOCHS = 20
BASE = TrialSpec(
    optim=OptimSpec(lr=0.1),
    schedule=ScheduleSpec(epochs=EPOCHS),
    sparsity=SparsitySpec(method="gmp", target=0.9, ramp=RampSpec(start=0.2, length=0.1)),
)
STEPS = BASE.steps_per_epoch()
LATE = 0.5
EARLY = 0.0
RUNGS = HalvingRungs(Halving(), Minimize("val_error"))


def study(**fields: Any) -> Study:
    search = {"sparsity.ramp.start": Uniform(0, 0.6), "optim.lr": LogUniform(0.01, 1)}
    declared = Study(
        **{
            "name": "s",
            "base": BASE,
            "sweep": {"sparsity.target": [0.9, 0.95]},
            "search": search,
            **fields,
        }
    )
    assert declared.validate_declaration() == []
    return declared


def spec(start: float, lr: float = 0.1, target: float = 0.9, seed: int = 0) -> TrialSpec:
    values = {"sparsity.ramp.start": start, "optim.lr": lr, "sparsity.target": target, "seed": seed}
    return BASE.with_values(values)


def rows(given: TrialSpec, final: float, falls: float = 0.0, seconds: float = 1.0) -> list[Report]:
    """A row an epoch; the error is 0.5 in the dense phase, worse in the ramp, then goes to
    ``final``.
    """
    found = []
    for epoch in range(1, EPOCHS + 1):
        at = phase_span_at(given, epoch * STEPS)
        error = {"dense": 0.5, "ramp": 0.9}.get(at.phase, final + falls * (EPOCHS - epoch))
        row = {
            "step": epoch * STEPS,
            "epoch": float(epoch),
            "progress": epoch / EPOCHS,
            "phase": at.phase,
            "at_target": at.phase == "fixed",
            "val_error": error,
            "seconds": seconds * epoch,
            "batch_loss": 1.0,
            "train_loss": 1.0,
        }
        found.append(Report(trial_id=given.trial_id(), attempt=1, row=row, time=1.0))
    return found


def trial(given: TrialSpec, final: float, status: str = "COMPLETE", **how: Any) -> RecordedTrial:
    told = rows(given, final, **how)
    told = told if status == "COMPLETE" else told[:3]
    return RecordedTrial(
        given.trial_id(), given.with_values({"seed": 0}).config_id(), given, status, told
    )


def record(
    directory: StudyDirectory, declared: Study, trials: dict[str, list[RecordedTrial]]
) -> None:
    """Write a study directory in which the trials of each cell ran as given."""
    directory.create(declared)
    with closing(Ledger(directory.ledger)) as segment:
        for cell, of_cell in trials.items():
            for number, one in enumerate(of_cell):
                names = {"trial_id": one.trial_id, "attempt": 1, "time": 1.0}
                segment.append(
                    record_of(
                        {
                            "type": "proposed",
                            **names,
                            "config_id": one.config_id,
                            "cell": cell,
                            "arm": "gmp",
                            "role": "search",
                            "index": number,
                            "source": f"sobol:{number}",
                            "seed": one.spec.seed,
                            "spec": one.spec.given(),
                        }
                    ),
                    record_of({"type": "started", **names, "resumed_from_step": 0}),
                    *one.rows,
                    record_of({"type": "ended", **names, "status": one.status, "certified": True}),
                )


EARLIER = [trial(spec(EARLY, 0.1 + k / 100), 0.2 + k / 100) for k in range(6)]
WINNER = trial(spec(LATE), 0.1)
OTHERS = [trial(spec(0.2, 0.1 + k / 100, target=0.95), 0.3 + k / 100) for k in range(4)]
CELL = "gmp/target=0.9"
OTHER = "gmp/target=0.95"


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    """Seven configurations in one cell, of which the one with a late ramp wins; four in another."""
    found = StudyDirectory(tmp_path / "s")
    record(found, study(), {CELL: [*EARLIER, WINNER], OTHER: OTHERS})
    return found


def by_name(table: list[dict[str, Any]], cell: str = CELL) -> dict[str, dict[str, Any]]:
    return {row["scheduler"]: row for row in table if row["cell"] == cell}


def test_plain_asha_stops_the_late_ramp_that_wins_and_ours_keeps_it(
    directory: StudyDirectory,
) -> None:
    found = replay_study(directory.path, {"rungs": [0.25, 0.4]}, workers=1)
    rows = by_name(found.table)
    assert list(rows) == ["no stopping", "ASHA on epochs", "ramp-aware halving"]
    plain, asha, ours = rows.values()
    assert (plain["configurations"], plain["stopped"], plain["epochs"], plain["seconds"]) == (
        7,
        0,
        140,
        140,
    )
    assert (plain["winner_survived"], plain["regret"], plain["epochs_fraction"]) == (True, 0, 1)
    # At three epochs the early ramps have an error of 0.2, and the late one, dense still, of 0.5.
    assert (asha["winner_survived"], asha["regret"]) == (False, pytest.approx(0.1))
    assert (ours["winner_survived"], ours["regret"]) == (True, 0)
    # The first early ramp goes on, the five that are worse end at the first rung: 20 + 5 * 5 + 20
    # epochs.
    assert (ours["stopped"], ours["epochs"], ours["seconds"]) == (5, 65, 65)
    assert ours["epochs_fraction"] == pytest.approx(65 / 140)


def test_the_ramps_of_who_is_left_stand_beside_those_of_the_better_half(
    directory: StudyDirectory,
) -> None:
    _, asha, ours = by_name(
        replay_study(directory.path, {"rungs": [0.25, 0.4]}, workers=1).table
    ).values()
    assert (ours["ramp_start"], ours["ramp_end"]) == pytest.approx((0.5 / 2, (0.1 + 0.6) / 2))
    assert (asha["ramp_start"], asha["ramp_end"]) == pytest.approx((0, 0.1))
    half = 0.5 / 4  # the better four of seven, of which one starts late
    assert (ours["top_ramp_start"], ours["top_ramp_end"]) == pytest.approx((half, half + 0.1))


def test_a_rule_that_stops_nothing_spends_all_epochs(directory: StudyDirectory) -> None:
    for row in by_name(replay_study(directory.path, {"settle": 0.99}).table).values():
        if row["scheduler"] != "ASHA on epochs":
            assert (row["stopped"], row["epochs"], row["winner_survived"]) == (0, 140, True)


def test_what_another_cell_did_changes_nothing(directory: StudyDirectory, tmp_path: Path) -> None:
    alone = StudyDirectory(tmp_path / "alone")
    record(alone, study(), {OTHER: OTHERS[::-1], CELL: [*EARLIER, WINNER]})
    both = replay_study(directory.path)
    one = replay_study(alone.path)
    assert by_name(both.table) == by_name(one.table)
    assert by_name(both.table, OTHER) != by_name(one.table, OTHER)  # its own order does count


@settings(max_examples=10)
@given(order=st.randoms(use_true_random=False), workers=st.integers(1, 4))
def test_whatever_the_order_all_epochs_are_counted_and_the_best_survives_ours(
    order: random.Random, workers: int
) -> None:
    trials = [*EARLIER, WINNER]
    order.shuffle(trials)
    pool = WorkerPool(trials, RampAwareHalving(RUNGS, trials), workers).run()
    assert WINNER.trial_id not in pool.stopped
    assert set(pool.epochs) == {one.trial_id for one in trials}
    for one in trials:
        assert pool.epochs[one.trial_id] in ({5, 10, 15} if one.trial_id in pool.stopped else {20})
    assert pool.seconds <= sum(pool.epochs.values()) <= pool.seconds * workers


def test_workers_take_trials_in_order_and_are_free_when_one_is_stopped() -> None:
    """Two workers: trials of 20 s, 40 s and 20 s; the third starts after 20 s and ends with the
    second.
    """
    trials = [
        trial(spec(EARLY, 0.1), 0.1),
        trial(spec(EARLY, 0.2), 0.2, seconds=2),
        trial(spec(EARLY, 0.3), 0.3),
    ]
    assert WorkerPool(trials, NoStopping(), 2).run().seconds == 40
    assert WorkerPool(trials, NoStopping(), 1).run().seconds == 80
    assert WorkerPool(trials, NoStopping(), 5).run().seconds == 40
    pool = WorkerPool(trials, RampAwareHalving(RUNGS, trials), 2).run()
    # The second stops at 10 s after 5 epochs, so that the third runs from 10 s and stops at 15 s;
    # the first ends at 20.
    assert (pool.seconds, list(pool.epochs.values())) == (20, [20, 5, 5])


def test_a_stop_ends_all_seeds_running_and_waiting() -> None:
    good = [trial(spec(EARLY, 0.1, seed=seed), 0.1) for seed in range(3)]
    bad = [trial(spec(EARLY, 0.2, seed=seed), 0.2, seconds=2) for seed in range(3)]
    trials = [good[0], *bad, *good[1:]]
    pool = WorkerPool(trials, RampAwareHalving(RUNGS, trials), 3).run()
    assert pool.stopped == {one.trial_id for one in bad}
    # Two seeds reach the rung together at 10 s: the first of them ends both; the third had no
    # worker and never starts.
    assert [pool.epochs.get(one.trial_id) for one in bad] == [5, 5, None]
    assert [pool.epochs.get(one.trial_id) for one in good] == [20, 20, 20]


def test_diverged_trials_are_replayed_to_their_end_and_cannot_win(tmp_path: Path) -> None:
    directory = StudyDirectory(tmp_path / "s")
    record(directory, study(), {CELL: [*EARLIER, trial(spec(EARLY, 0.9), 0.0, "DIVERGED")]})
    found = replay_study(directory.path)
    row = by_name(found.table)["no stopping"]
    assert (row["configurations"], row["epochs"], row["winner_survived"]) == (7, 6 * 20 + 3, True)
    lost = [point for point in found.configurations if point["objective"] is None]
    assert len(lost) == 3 and not any(point["winner"] or point["top_half"] for point in lost)


def test_what_did_not_train_to_its_end_is_left_out_and_counted(tmp_path: Path) -> None:
    directory = StudyDirectory(tmp_path / "s")
    record(directory, study(), {CELL: [*EARLIER, trial(spec(LATE), 0.0, "PRUNED")]})
    found = replay_study(directory.path)
    assert (found.left_out, by_name(found.table)["no stopping"]["configurations"]) == (1, 6)
    empty = StudyDirectory(tmp_path / "empty")
    record(empty, study(), {CELL: [trial(spec(LATE), 0.0, "PRUNED"), EARLIER[0]]})
    with pytest.raises(
        StudyDirectoryError, match="at least two configurations that trained to their end"
    ):
        replay_study(empty.path)


def test_a_configuration_with_a_seed_missing_is_left_out(tmp_path: Path) -> None:
    directory = StudyDirectory(tmp_path / "s")
    seeds = [trial(spec(EARLY, lr, seed=seed), lr) for lr in (0.1, 0.2, 0.3) for seed in (0, 1)]
    record(directory, study(search_seeds=2), {CELL: seeds[:-1]})
    found = replay_study(directory.path)
    assert (found.left_out, by_name(found.table)["no stopping"]["configurations"]) == (1, 2)


def test_any_of_rays_schedulers_that_stops_may_be_compared(directory: StudyDirectory) -> None:
    from ray.tune.schedulers import HyperBandScheduler, MedianStoppingRule

    def median(study: Study, trials: list[RecordedTrial]) -> RayScheduler:
        how = {"time_attr": "training_iteration", "metric": "val_error", "mode": "min"}
        return RayScheduler(MedianStoppingRule(**how, grace_period=6, min_samples_required=2))

    compared = {"no stopping": build_schedulers(Halving())["no stopping"], "median": median}
    found = by_name(replay_study(directory.path, compared=compared, workers=1).table)
    assert found["median"]["stopped"] > 0 and found["median"]["epochs"] < 140

    def pauses(study: Study, trials: list[RecordedTrial]) -> RayScheduler:
        return RayScheduler(HyperBandScheduler(metric="val_error", mode="min", max_t=20))

    with pytest.raises((ValueError, AttributeError)):
        replay_study(directory.path, compared={"hyperband": pauses})


def test_a_rule_is_checked_before_it_is_replayed(directory: StudyDirectory) -> None:
    with pytest.raises(DeclarationError, match="rungs must rise"):
        replay_study(directory.path, {"rungs": [0.5, 0.25]})


def test_the_studys_own_rule_is_the_default(directory: StudyDirectory, tmp_path: Path) -> None:
    assert replay_study(directory.path).rule == {
        "rungs": [0.25, 0.5, 0.75],
        "reduction": 3,
        "settle": 0.1,
        "settled_from": 0.0,
        "early": False,
    }
    own = StudyDirectory(tmp_path / "own")
    record(own, study(stopping=Halving(reduction=2)), {CELL: EARLIER})
    assert replay_study(own.path, {"settle": 0.2}).rule == {
        "rungs": [0.25, 0.5, 0.75],
        "reduction": 2,
        "settle": 0.2,
        "settled_from": 0.0,
        "early": False,
    }


def test_trials_are_taken_in_order_of_proposal(directory: StudyDirectory) -> None:
    cells, left_out = recorded_cells(study(), read_records(directory.ledger))
    assert [(cell.name, [one.trial_id for one in trials]) for cell, trials in cells] == [
        (CELL, [one.trial_id for one in [*EARLIER, WINNER]]),
        (OTHER, [one.trial_id for one in OTHERS]),
    ]
    assert left_out == 0


def test_the_command_prints_a_table_and_writes_a_figure(
    directory: StudyDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(directory.path), "--rungs", "0.25,0.4", "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert "ramp-aware halving" in printed and "65 (46 %)" in printed and "0 to 10 %" in printed
    assert all(len(line) <= 80 for line in printed.splitlines() if not line.startswith("Figure: "))
    figures = directory.path / "figures"
    assert {path.name for path in figures.iterdir()} == {
        "replay.csv",
        "replay.pdf",
        "replay.png",
        "replay.svg",
    }
    with open(figures / "replay.csv") as file:
        assert [row["scheduler"] for row in csv.DictReader(file)][:3] == list(
            build_schedulers(Halving())
        )
    svg = (figures / "replay.svg").read_text()
    assert all(
        text in svg
        for text in (CELL, OTHER, "Ramp-aware halving", "Validation error (%)", "winner")
    )


def test_json_and_mistakes(
    directory: StudyDirectory, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["replay", str(directory.path), "--json", "--reduction", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rule"]["reduction"], len(found["table"]), found["left_out"]) == (2, 6, 0)
    assert main(["replay", str(directory.path), "--reduction", "1"]) == 2
    assert "`reduction`: must be greater than 1" in capsys.readouterr().err
    assert main(["replay", str(tmp_path)]) == 2
    assert "not a study directory" in capsys.readouterr().err
