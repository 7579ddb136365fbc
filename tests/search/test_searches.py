"""Whole searches over a recorded cell, worked by hand, and landscapes read back as written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparsetune.cluster.tune_schedulers import build_asha, build_median_stopping
from sparsetune.errors import StudyDirectoryError
from sparsetune.search.replay.clock import RecordedTrial, build_halving
from sparsetune.search.replay.landscape import read_landscape, write_landscape
from sparsetune.search.replay.searches import (
    RecordedCell,
    RecordedConfiguration,
    SearchMethod,
    replay_search,
)
from sparsetune.search.sampling.optuna_form import to_optuna_trial
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.columns import Status
from sparsetune.storage import StudyDirectory
from sparsetune.storage.records import Report
from sparsetune.storage.trial_state import fold_records
from sparsetune.study import Arm, Study
from sparsetune.study.samplers import GP, Sobol
from sparsetune.study.space import LogUniform
from sparsetune.study.stopping import Halving
from tests.analysis.simulation import Simulation

EPOCHS = 4
STUDY = Study(
    name="searches",
    base=TrialSpec(schedule=ScheduleSpec(epochs=EPOCHS)),
    search={"optim.lr": LogUniform(0.001, 1)},
    search_seeds=3,
)
STEPS = STUDY.base.steps_per_epoch()


def trial(spec: TrialSpec, seed: int, errors: Sequence[float], status: Status) -> RecordedTrial:
    name = f"{spec.config_id()}-{seed}"
    rows = []
    for epoch, error in enumerate(errors, 1):
        row = {
            "step": epoch * STEPS,
            "epoch": float(epoch),
            "progress": epoch / EPOCHS,
            "phase": "dense",
            "at_target": True,
            "seconds": float(epoch),
            "val_error": error,
            "val_loss": math.log(10) * error / 0.9,  # at chance where nine of ten are wrong
        }
        rows.append(Report(trial_id=name, attempt=1, row=row))
    return RecordedTrial(name, spec.config_id(), spec, status, rows)


def cell_of(*configurations: Sequence[Sequence[float]]) -> RecordedCell:
    """A cell whose configurations have these errors by seed and epoch; short ones diverged."""
    cell = STUDY.cells()[-1]
    made = []
    for number, by_seed in enumerate(configurations):
        values = {"optim.lr": 10 ** (-3 + 3 * (number + 0.5) / len(configurations))}
        spec = cell.at(values)
        point = to_optuna_trial(cell, values, None)
        assert point is not None
        seeds = {
            seed: trial(spec, seed, errors, "COMPLETE" if len(errors) == EPOCHS else "DIVERGED")
            for seed, errors in enumerate(by_seed)
        }
        made.append(RecordedConfiguration(spec.config_id(), point, seeds))
    return RecordedCell(STUDY, cell, made)


SLOW = [[0.9, 0.7, 0.4, 0.1], [0.9, 0.7, 0.4, 0.3], [0.9, 0.7, 0.4, 0.5]]
QUICK = [[0.3, 0.25, 0.22, 0.2], [0.3, 0.25, 0.2, 0.16], [0.3, 0.25, 0.2, 0.18]]
BAD = [[0.8, 0.8, 0.8, 0.8]] * 3
DIVERGED = [[0.9, 0.9], *SLOW[1:]]


def test_a_whole_search_chooses_by_the_seed_it_sees_and_is_judged_by_the_others() -> None:
    cell = cell_of(SLOW, QUICK, BAD)
    whole = SearchMethod("whole", Sobol(), 3)
    for seed, chosen, fresh in ((0, 0, 0.4), (1, 1, 0.19), (2, 1, 0.18)):
        outcome = replay_search(cell, whole, seed, cell.configurations)
        assert outcome.chosen is cell.configurations[chosen]
        assert outcome.epochs == 12
        assert cell.fresh_loss(outcome.chosen, seed) == pytest.approx(fresh)
    fewer = replay_search(cell, SearchMethod("two", Sobol(), 2), 0, cell.configurations[1:])
    assert (fewer.chosen, fewer.epochs) == (cell.configurations[1], 8)


def test_runs_that_diverged_or_collapsed_are_counted_apart() -> None:
    collapsed = [0.9, 0.9, 0.9, 0.9]
    quick = [0.3, 0.25, 0.22, 0.2]
    cell = cell_of([quick, collapsed, [*quick[:3], 0.4]], [quick, [0.9, 0.9], collapsed])
    first, second = cell.configurations
    assert (cell.fresh_loss(first, 0), cell.failure_rate(first, 0)) == (0.4, 0.5)
    assert (cell.fresh_loss(first, 1), cell.failure_rate(first, 1)) == (pytest.approx(0.3), 0)
    assert (cell.fresh_loss(second, 0), cell.failure_rate(second, 0)) == (math.inf, 1)
    assert cell.worst_loss(0) == 0.4
    # 0.86 removes less than a twentieth of the loss of chance, 0.85 more.
    near = cell_of([[0.5] * 4, [0.5, 0.5, 0.5, 0.86], [0.5, 0.5, 0.5, 0.85]])
    assert [near.has_failed(one) for one in near.configurations[0].seeds.values()] == [0, 1, 0]


def test_the_spread_over_seeds_is_that_of_the_better_half() -> None:
    flat = [0.3, 0.3, 0.3]
    cell = cell_of(
        [[*flat, 0.2], [*flat, 0.4]],  # variance 0.02
        [[*flat, 0.3], [*flat, 0.3]],  # as good, variance 0
        [[*flat, 0.1], [*flat, 0.7]],
        [[*flat, 0.1], [*flat, 0.9]],  # collapsed on one seed
    )
    assert cell.seed_deviation == pytest.approx(0.1)  # of the better two of three
    alone = cell_of([[*flat, 0.2]])
    assert math.isnan(alone.seed_deviation)


def test_a_diverged_configuration_is_never_chosen() -> None:
    cell = cell_of(DIVERGED, BAD)
    outcome = replay_search(cell, SearchMethod("whole", Sobol(), 2), 0, cell.configurations)
    assert outcome.chosen is cell.configurations[1] and outcome.epochs == 6
    assert math.isinf(cell.loss(cell.configurations[0].seeds[0]))
    alone = cell_of(DIVERGED)
    outcome = replay_search(alone, SearchMethod("whole", Sobol(), 1), 0, alone.configurations)
    assert outcome.chosen is None


def test_one_epoch_for_all_trains_the_best_of_it_to_its_end() -> None:
    cell = cell_of(SLOW, QUICK, BAD)
    method = SearchMethod("half", Sobol(), 3, fraction=0.5)
    outcome = replay_search(cell, method, 0, cell.configurations)
    # Three times two epochs, and two more of the one that was best there.
    assert (outcome.chosen, outcome.epochs) == (cell.configurations[1], 8)


def test_a_rule_stops_and_costs_what_was_trained() -> None:
    cell = cell_of(QUICK, BAD, SLOW)
    rule = Halving(rungs=[0.5], reduction=2)
    method = SearchMethod("halving", Sobol(), 3, partial(build_halving, rule=rule))
    outcome = replay_search(cell, method, 0, cell.configurations)
    # The first is not compared; the second is worse; of three two go on, the slow one too.
    assert (outcome.chosen, outcome.epochs) == (cell.configurations[2], 4 + 2 + 4)


@pytest.mark.parametrize(
    "maker", [partial(build_asha, reduction=2), partial(build_asha, reduction=2, brackets=2),
              build_median_stopping],
)  # fmt: skip
def test_schedulers_of_ray_save_epochs(maker) -> None:  # type: ignore[no-untyped-def]
    worse = [[[error] * EPOCHS] * 3 for error in (0.5, 0.6, 0.7)]
    cell = cell_of(*[QUICK, *worse] * 3)
    method = SearchMethod("ray", Sobol(), 12, maker)
    outcome = replay_search(cell, method, 0, cell.configurations)
    assert outcome.chosen in cell.configurations[::4]
    assert 12 <= outcome.epochs < 48


def test_the_process_finds_what_few_points_of_a_sequence_miss() -> None:
    def errors(number: int) -> list[list[float]]:
        error = 0.1 + abs(number - 41) / 64
        return [[error] * EPOCHS] * 3

    cell = cell_of(*map(errors, range(64)))
    shuffled = [cell.configurations[(37 * place) % 64] for place in range(64)]
    found = {}
    for sampler in (Sobol(), GP(n_startup=4)):
        outcome = replay_search(cell, SearchMethod(sampler.kind, sampler, 12), 0, shuffled)
        assert outcome.chosen and outcome.epochs == 48
        found[sampler.kind] = cell.fresh_loss(outcome.chosen, 0)
    assert found["gp"] == pytest.approx(0.1)
    assert found["sobol"] > 0.11


def test_a_landscape_is_read_as_it_was_written(tmp_path: Path) -> None:
    study = Study(
        name="written",
        arms={"gmp": Arm({"sparsity.method": "gmp"})},
        sweep={"sparsity.target": [0, 0.9]},
        search={"optim.lr": LogUniform(0.01, 1)},
        configurations_per_cell=5,
        search_seeds=2,
    )
    directory = StudyDirectory(Simulation(study, tmp_path / "study").run())
    file = tmp_path / "written.parquet"
    trials = write_landscape(directory, file)
    cells = read_landscape(file)
    assert [cell.cell.name for cell in cells] == [cell.name for cell in study.cells()]
    assert cells[0].study.search == study.search
    counted = 0
    by_use = {
        (use.config_id, use.seed): state
        for state in fold_records(directory.recorded().records).values()
        for use in state.proposed
        if use.role == "search"
    }
    for cell in cells:
        assert cell.seeds == study.seeds("search")
        for configuration in cell.configurations:
            assert configuration.trial.params.keys() == cell.cell.search.keys()
            for seed, read in configuration.seeds.items():
                counted += 1
                state = by_use[configuration.config_id, seed]
                written = [state.reports[step].row for step in sorted(state.reports)]
                assert read.status == state.status
                for row, one in zip(read.rows, written, strict=True):
                    assert {**row.row} == {name: one[name] for name in row.row}
    assert counted == trials > 10


def test_a_file_that_is_no_landscape_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"cell": ["dense"]}), tmp_path / "other.parquet")
    with pytest.raises(StudyDirectoryError, match="must be written by `write_landscape`"):
        read_landscape(tmp_path / "other.parquet")
    empty = Simulation(STUDY, tmp_path / "empty")
    with pytest.raises(StudyDirectoryError, match="must hold search trials that ended"):
        write_landscape(StudyDirectory(empty.close()), tmp_path / "none.parquet")
