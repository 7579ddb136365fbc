"""What runs next, by simulation: trials are handed out, end in any order with any outcome, and the
study is cut.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from sparsetune.search.journal import SearchJournal
from sparsetune.search.planner import Planner, TrialUse
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.columns import FINISHED_STATUSES, Status
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.storage.records import Record, plain_record
from sparsetune.storage.trial_state import TrialState, apply_record, fold_records
from sparsetune.study import Arm, Study
from sparsetune.study.budget import Budget, trained_epochs
from sparsetune.study.samplers import TPE, Grid, OptunaSampler, Random, Sobol
from sparsetune.study.space import Choice, IntRange, LogUniform, Uniform
from studies.fashion_mnist_extension import STUDY as EXTENSION
from tests.ledger_records import Plain, records
from tests.ledger_records import record as record_of

GMP = {"gmp": Arm({"sparsity.method": "gmp"})}
Outcomes = Callable[[Plain], Status]


def study(**fields: Any) -> Study:
    """Four cells: dense and 90 % at one and two times the epochs, four configurations each, two
    report seeds.
    """
    declared = Study(
        **{
            "name": "s",
            "arms": GMP,
            "sweep": {"sparsity.target": [0, 0.9], "schedule.epoch_multiplier": [1, 2]},
            "search": {"optim.lr": LogUniform(0.01, 1), "sparsity.ramp.start": Uniform(0, 0.3)},
            "configurations_per_cell": 4,
            "report_seeds": 2,
            "known_base": True,
            **fields,
        }
    )
    assert declared.validate_declaration() == []
    return declared


def error_of(record: Plain) -> float:
    """A synthetic objective whose best learning rate depends on sparsity and length."""
    spec = spec_of(json.dumps(record["spec"]))
    best = 0.3 if spec.sparsity.method == "dense" else 0.1 / spec.schedule.epoch_multiplier
    return round(abs(spec.optim.lr - best) + spec.sparsity.ramp.start.value / 10, 6)


@lru_cache(maxsize=10_000)
def spec_of(text: str) -> TrialSpec:
    return TrialSpec.model_validate_json(text)


def complete(record: Plain) -> Status:
    return "COMPLETE"


@dataclass
class Simulation:
    """Plays the driver's part of a launch over a ledger in memory."""

    study: Study
    records: list[Plain] = field(default_factory=list)
    outcome: Outcomes = complete
    slots: int = 1
    handed_out: list[TrialUse] = field(default_factory=list)

    def __post_init__(self) -> None:
        before = records(self.records)
        self.study = self.study.extended(before)
        self.trials: dict[str, TrialState] = fold_records(before)
        self.planner = Planner(
            self.study, self.trials, SearchJournal(None, self.study, self.study.cells())
        )
        self.running: list[Plain] = []

    def append(self, one: Plain | Record) -> None:
        known = record_of(one) if isinstance(one, dict) else one
        self.records.append(plain_record(known))
        apply_record(self.trials, known)

    def start(self) -> bool:
        """Start the next trial; False when there is none now."""
        use, notes = self.planner.next()
        for note in notes:
            self.append(note)
        if use is None:
            return False
        state = self.trials.get(use.trial_id)
        assert use.trial_id not in {record["trial_id"] for record in self.running}, (
            "handed out while it runs"
        )
        assert not (state and state.finished), "handed out after it finished"
        if not use.is_recorded_in(state):
            self.append(use.record())
        attempt = self.trials[use.trial_id].attempts + 1
        self.append(
            {
                "type": "started",
                "trial_id": use.trial_id,
                "attempt": attempt,
                "resumed_from_step": 0,
            }
        )
        self.running.append(plain_record(use.record()))
        self.handed_out.append(use)
        return True

    def end(self, which: int) -> None:
        record = self.running.pop(which % len(self.running))
        trial_id = record["trial_id"]
        status = self.outcome(record)
        if status == "COMPLETE":
            self.append(
                {"type": "report", "trial_id": trial_id, "step": 1, "val_error": error_of(record)}
            )
        self.append({"type": "ended", "trial_id": trial_id, "status": status})
        self.planner.ended(trial_id)

    def run(self, order: list[int] | None = None, steps: int | None = None) -> Simulation:
        """Run to the end, or for a number of ends; ``order`` picks which running trial ends next,
        again and again.
        """
        ended = 0
        while steps is None or ended < steps:
            while len(self.running) < self.slots and self.start():
                pass
            if not self.running:
                break
            self.end((order or [0])[ended % len(order or [0])])
            ended += 1
        return self

    def uses(self) -> set[tuple[Any, ...]]:
        names = ("cell", "role", "config_id", "seed")
        return {
            tuple(record[n] for n in names)
            for record in self.records
            if record["type"] == "proposed"
        }

    def searched(self, cell: str) -> list[Plain]:
        """The cell's configurations in the order in which they were proposed."""
        found = [
            r
            for r in self.records
            if r["type"] == "proposed" and (r["cell"], r["role"]) == (cell, "search")
        ]
        return list({record["config_id"]: record for record in found}.values())

    def of(self, cell: str, role: str) -> list[Plain]:
        return [
            r
            for r in self.records
            if r["type"] == "proposed" and (r["cell"], r["role"]) == (cell, role)
        ]


ORDERS = st.lists(st.integers(0, 5), min_size=1, max_size=12)


def by_digest(bad: int) -> Outcomes:
    """Diverge or fail for about a third of the trials, as a function of the trial alone."""
    outcomes: list[Status] = ["DIVERGED", "FAILED", *["COMPLETE"] * 4]
    return lambda record: outcomes[(int(record["trial_id"], 16) + bad) % 6]


@settings(max_examples=10, deadline=None)
@given(
    order=ORDERS,
    slots=st.integers(1, 3),
    bad=st.integers(0, 5) | st.none(),
    seed=st.integers(0, 50),
)
def test_the_rules_hold_in_any_order_of_ends(
    order: list[int], slots: int, bad: int | None, seed: int
) -> None:
    declared = study(seed=seed)
    done = Simulation(
        declared, slots=slots, outcome=complete if bad is None else by_digest(bad)
    ).run(order)
    once_each(done)
    the_search_is_as_declared(done)
    winners_are_reported(done)
    assert set(done.planner.expected_epochs()) == set(done.trials)


def once_each(done: Simulation) -> None:
    assert all(trial.finished for trial in done.trials.values())
    assert max(Counter(use.trial_id for use in done.handed_out).values()) == 1
    assert len(done.handed_out) == len(done.trials)
    assert len(done.uses()) == sum(record["type"] == "proposed" for record in done.records)


def the_search_is_as_declared(done: Simulation) -> None:
    dense_winner = done.planner.plans["dense/epoch_multiplier=1"].winner
    for name, plan in done.planner.plans.items():
        configurations = done.searched(name)
        assert len(configurations) == done.study.configurations_per_cell
        assert [c["index"] for c in configurations] == list(range(len(configurations)))
        assert (configurations[0]["source"], configurations[0]["config_id"]) == (
            "base",
            plan.cell.spec.config_id(),
        )
        controls = [c["index"] for c in configurations if c["source"] == "control"]
        if plan.cell.control_from and dense_winner and dense_winner.source != "base":
            assert controls == [1]
            expected = plan.cell.spec.with_values({"optim.lr": dense_winner.spec.optim.lr})
            assert configurations[1]["config_id"] == expected.config_id()
        else:
            assert controls == []


def winners_are_reported(done: Simulation) -> None:
    for name, plan in done.planner.plans.items():
        reports = done.of(name, "report")
        twins = done.of(name, "twin")
        assert plan.searched
        if plan.winner is None:
            assert reports == twins == done.of(name, "control") == []
            continue
        assert plan.winner.config_id == best_of(done, name)
        assert [(r["config_id"], r["seed"]) for r in sorted(reports, key=lambda r: r["seed"])] == [
            (plan.winner.config_id, seed) for seed in done.study.seeds("report")
        ]
        assert {t["trial_id"] for t in twins} == {r["twin_id"] for r in reports if "twin_id" in r}
        if plan.sparse:
            assert all(is_twin(r, t) for r, t in zip(by_seed(reports), by_seed(twins), strict=True))
        else:
            assert twins == []
        controls = {c["config_id"] for c in done.of(name, "control")}
        given_ = {plan.control.config_id} if plan.sparse and plan.control else set()
        assert controls == given_ - {plan.winner.config_id}


def by_seed(records: list[Plain]) -> list[Plain]:
    return sorted(records, key=lambda record: record["seed"])


def is_twin(sparse: Plain, twin: Plain) -> bool:
    expected = {name: part for name, part in sparse["spec"].items() if name != "sparsity"}
    return bool(twin["spec"] == expected and twin["arm"] == "dense")


def best_of(done: Simulation, cell: str) -> str:
    states = {c["config_id"]: done.trials[c["trial_id"]] for c in done.searched(cell)}
    errors = {
        config: s.last.row["val_error"] for config, s in states.items() if s.status == "COMPLETE"
    }
    return min(errors, key=lambda config: errors[config])


@cache
def uninterrupted(bad: int | None) -> Simulation:
    return Simulation(study(), outcome=complete if bad is None else by_digest(bad)).run()


@settings(max_examples=10, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 20), min_size=1, max_size=3),
    order=ORDERS,
    slots=st.integers(1, 3),
    bad=st.integers(0, 3) | st.none(),
)
def test_a_study_cut_anywhere_does_the_same_in_the_end(
    cuts: list[int], order: list[int], slots: int, bad: int | None
) -> None:
    outcome = complete if bad is None else by_digest(bad)
    whole = uninterrupted(bad)
    records: list[Plain] = []
    for cut in cuts:
        killed = Simulation(study(), records, outcome, slots).run(order, cut)
        while len(killed.running) < slots and killed.start():
            pass  # cut with trials running
        records = json.loads(json.dumps(killed.records))
    done = Simulation(study(), records, outcome, slots).run(order)
    assert done.uses() == whole.uses()
    finished = Counter(r["trial_id"] for r in done.records if r["type"] == "ended")
    assert set(finished.values()) == {1}
    assert {n: p.winner for n, p in done.planner.plans.items()} == {
        n: p.winner for n, p in whole.planner.plans.items()
    }


def test_a_cut_between_any_two_records_does_the_same_in_the_end() -> None:
    small = study(configurations_per_cell=2, report_seeds=1, sweep={"sparsity.target": [0, 0.9]})
    whole = Simulation(small, slots=2).run()
    for end in range(len(whole.records)):
        done = Simulation(small, whole.records[:end], slots=2).run()
        assert done.uses() == whole.uses()
        once_each_ended = Counter(r["trial_id"] for r in done.records if r["type"] == "ended")
        assert set(once_each_ended.values()) == {1}


def test_configuration_1_waits_until_the_dense_cell_is_settled() -> None:
    simulation = Simulation(study(), slots=100)
    simulation.run(steps=0)
    while simulation.start():
        pass
    at_first = [(use.plan.cell.name, use.configuration.source) for use in simulation.handed_out]
    dense = "dense/epoch_multiplier=1"
    others = [
        "dense/epoch_multiplier=2",
        "gmp/target=0.9/epoch_multiplier=1",
        "gmp/target=0.9/epoch_multiplier=2",
    ]
    assert at_first == [
        (dense, "base"),
        *((dense, f"sobol:{k}") for k in range(3)),
        *((name, "base") for name in others),
    ]
    for _ in range(3):
        simulation.end(0)
        assert not simulation.start()
    simulation.end(0)
    assert simulation.start()
    assert simulation.planner.plans[dense].searched


def test_a_control_keeps_the_cells_own_epochs_and_its_ramp() -> None:
    done = Simulation(study()).run()
    dense = done.planner.plans["dense/epoch_multiplier=1"].winner
    assert dense and dense.source != "base"
    record = done.searched("gmp/target=0.9/epoch_multiplier=2")[1]
    expected = TrialSpec.model_validate(
        {
            "optim": {"lr": dense.spec.optim.lr},
            "schedule": {"epoch_multiplier": 2},
            "sparsity": {"method": "gmp", "target": 0.9},
        }
    )
    assert TrialSpec.model_validate(record["spec"]) == expected


def test_a_cell_whose_best_is_the_base_gives_a_control_that_is_no_second_configuration() -> None:
    base = TrialSpec(optim=OptimSpec(lr=0.3))  # the dense optimum of `error_of`
    done = Simulation(study(base=base)).run()
    assert done.planner.plans["dense/epoch_multiplier=1"].winner.source == "base"  # type: ignore[union-attr]
    sources = [record["source"] for record in done.searched("gmp/target=0.9/epoch_multiplier=1")]
    assert sources == ["base", "sobol:0", "sobol:1", "sobol:2"]


def test_when_every_dense_configuration_diverges_the_others_go_on_without_a_control() -> None:
    dense = "dense/epoch_multiplier=1"
    done = Simulation(
        study(), outcome=lambda r: "DIVERGED" if r["cell"] == dense else "COMPLETE"
    ).run()
    assert done.planner.plans[dense].winner is None
    assert done.of(dense, "report") == []
    for name in ("dense/epoch_multiplier=2", "gmp/target=0.9/epoch_multiplier=1"):
        assert [record["source"] for record in done.searched(name)] == [
            "base",
            "sobol:0",
            "sobol:1",
            "sobol:2",
        ]
        assert (len(done.of(name, "report")), done.of(name, "control")) == (2, [])


@pytest.mark.parametrize("status", [status for status in FINISHED_STATUSES if status != "COMPLETE"])
def test_a_configuration_wins_only_when_every_search_seed_is_complete(status: Status) -> None:
    declared = study(
        search_seeds=2,
        sweep={"sparsity.target": [0]},
        configurations_per_cell=3,
        search={"optim.lr": LogUniform(0.01, 1)},
    )
    whole = Simulation(declared).run()
    best = whole.planner.plans["dense"].winner
    assert best
    spoiled = Simulation(
        declared,
        outcome=lambda r: (
            status if (r["config_id"], r["seed"]) == (best.config_id, 1) else "COMPLETE"
        ),
    ).run()
    assert list(Counter(r["config_id"] for r in spoiled.of("dense", "search")).values()) == [
        2,
        2,
        2,
    ]
    winner = spoiled.planner.plans["dense"].winner
    assert winner and winner.config_id != best.config_id


def test_a_study_without_search_axes_goes_straight_to_report_trials() -> None:
    plain = Study(name="s", arms=GMP, sweep={"sparsity.target": [0, 0.9]}, report_seeds=2)
    done = Simulation(plain).run()
    assert [(r["cell"], r["role"], r["seed"]) for r in done.records if r["type"] == "proposed"] == [
        ("dense", "report", 1000),
        ("dense", "report", 1001),
        ("gmp/target=0.9", "report", 1000),
        ("gmp/target=0.9", "twin", 1000),
        ("gmp/target=0.9", "report", 1001),
        ("gmp/target=0.9", "twin", 1001),
    ]
    assert (
        len(done.trials) == len(done.handed_out) == 4
    )  # the twins are the dense cell's own trials


def test_the_extension_study_runs_162_trials() -> None:
    done = Simulation(EXTENSION, slots=2).run()
    assert (len(done.planner.plans), len(done.handed_out)) == (54, 162)
    assert len(done.trials) == len(done.planner.expected_epochs()) == 162
    assert sum(len(trial.proposed) for trial in done.trials.values()) == 162 + 48 * 3


@pytest.mark.parametrize("sampler", [Sobol(), Random(), TPE(n_startup=2)])
def test_a_choice_space_is_used_up_and_then_settled(sampler: Sobol | Random | TPE) -> None:
    small = study(
        search={"optim.lr": Choice([0.05, 0.1, 0.2])}, sampler=sampler, configurations_per_cell=6
    )
    done = Simulation(small, slots=2).run()
    for name in done.planner.plans:
        assert sorted(
            record["spec"].get("optim", {}).get("lr", 0.1) for record in done.searched(name)
        ) == [
            0.05,
            0.1,
            0.2,
        ]
    assert set(done.planner.expected_epochs()) == set(done.trials)


def test_a_base_outside_its_search_ranges_is_tried_all_the_same() -> None:
    done = Simulation(
        study(search={"optim.lr": Choice([0.2, 0.4])}, configurations_per_cell=3)
    ).run()
    configurations = done.searched("dense/epoch_multiplier=1")
    assert (configurations[0]["source"], len(configurations)) == ("base", 3)


def test_a_searched_choice_may_rule_out_another_axis() -> None:
    search = {"optim.name": Choice(["sgd", "adamw"]), "optim.momentum": Uniform(0, 0.9)}
    done = Simulation(study(search=search, configurations_per_cell=6)).run()
    configurations = done.searched("dense/epoch_multiplier=1")
    adamw = [r for r in configurations if r["spec"].get("optim", {}).get("name") == "adamw"]
    assert (len(configurations), len(adamw)) == (6, 1)  # one: without a momentum all are the same
    assert "momentum" not in adamw[0]["spec"]["optim"]


def two_arms() -> Study:
    """Two cells that meet: configuration 1 of `wide`, whose base is 0.3, is configuration 0 of
    `narrow`.
    """
    arms = {
        "narrow": Arm({"sparsity.method": "gmp"}, search={"optim.lr": Choice([0.1, 0.3])}),
        "wide": Arm(
            {"sparsity.method": "gmp", "optim.lr": 0.3},
            search={"optim.lr": Choice([0.3, 0.1, 0.2])},
        ),
    }
    return Study(
        name="s",
        arms=arms,
        sweep={"sparsity.target": [0.9]},
        configurations_per_cell=3,
        report_seeds=1,
    )


def test_a_trial_of_two_cells_is_proposed_in_both_and_runs_once() -> None:
    done = Simulation(two_arms(), slots=2).run()
    uses: dict[str, set[str]] = defaultdict(set)
    for record in done.records:
        if record["type"] == "proposed" and record["role"] == "search":
            uses[record["trial_id"]].add(record["cell"])
    shared = [
        trial_id
        for trial_id, cells in uses.items()
        if {"narrow/target=0.9", "wide/target=0.9"} <= cells
    ]
    assert len(shared) == 2  # learning rates 0.1 and 0.3
    assert Counter(use.trial_id for use in done.handed_out if use.trial_id in shared).total() == 2


def test_configurations_keep_their_numbers_over_a_restart_though_cells_share_trials() -> None:
    whole = Simulation(two_arms()).run()
    again = Simulation(two_arms(), whole.records)
    for name, plan in whole.planner.plans.items():
        recalled = again.planner.plans[name].configurations
        assert list(recalled) == list(plan.configurations)
        assert [c.index for c in recalled.values()] == list(range(len(recalled)))
    assert not again.start()


@pytest.mark.parametrize(
    ("added", "new"),
    [
        ({"report_seeds": 1}, {"report", "twin", "control"}),
        ({"configurations_per_cell": 3}, {"search", "report", "twin", "control"}),
    ],
)
def test_an_extension_hands_out_only_what_is_new(added: dict[str, int], new: set[str]) -> None:
    before = Simulation(study()).run()
    done = Simulation(study(), [*before.records, {"type": "extended", **added}]).run()
    assert {use.role for use in done.handed_out} <= new
    assert not {use.trial_id for use in done.handed_out} & set(before.trials)
    per_cell = 4 + added.get("configurations_per_cell", 0)
    for name in done.planner.plans:
        assert len(done.searched(name)) == per_cell
        winner = done.planner.plans[name].winner
        reported = [
            r["seed"]
            for r in done.of(name, "report")
            if winner and r["config_id"] == winner.config_id
        ]
        assert sorted(reported) == [1000 + i for i in range(2 + added.get("report_seeds", 0))]
    if "report_seeds" in added:
        assert len(done.handed_out) == sum(use[3] == 1002 for use in done.uses()) - shared_uses(
            done, 1002
        )


def shared_uses(done: Simulation, seed: int) -> int:
    """Uses beyond the first of the trials with this seed."""
    trials = [t for t in done.trials.values() if t.proposed[0].seed == seed]
    return sum(len(trial.proposed) - 1 for trial in trials)


def test_an_extended_study_equals_one_that_was_declared_so_but_for_the_order() -> None:
    first = Simulation(study(configurations_per_cell=3)).run()
    extended = Simulation(
        study(configurations_per_cell=3), [*first.records, {"type": "extended", "report_seeds": 2}]
    )
    declared = Simulation(study(configurations_per_cell=3, report_seeds=4)).run()
    assert extended.run().uses() == declared.uses()


def retried(done: Simulation) -> list[Plain]:
    """The ledger of a study, and that its failed trials are to run again."""
    failed = [trial_id for trial_id, trial in done.trials.items() if trial.status == "FAILED"]
    assert failed
    return [*done.records, {"type": "extended", "retried": failed}]


@pytest.mark.parametrize("bad", range(6))
def test_retried_trials_run_once_more_and_change_what_follows_from_them(bad: int) -> None:
    before = uninterrupted(bad)
    outcome: Outcomes = lambda r: "DIVERGED" if by_digest(bad)(r) == "DIVERGED" else "COMPLETE"  # noqa: E731
    again = Simulation(study(), retried(before), outcome, slots=2).run()
    reruns = Counter(use.trial_id for use in again.handed_out)
    assert set(reruns.values()) == {1}
    failed = {trial_id for trial_id, trial in before.trials.items() if trial.status == "FAILED"}
    assert reruns.keys() & before.trials.keys() <= failed
    assert not [
        t
        for t, trial in again.trials.items()
        if trial.status == "FAILED" or not (trial.finished or trial.again)
    ]
    left = Simulation(study(), again.records)
    assert not left.start(), "what this launch left is what the next one finds done"
    assert {n: p.winner for n, p in left.planner.plans.items()} == {
        n: p.winner for n, p in again.planner.plans.items()
    }


def test_a_failed_control_source_that_is_retried_gives_its_new_winner_to_the_sparse_cells() -> None:
    dense = "dense/epoch_multiplier=1"
    best = uninterrupted(None).planner.plans["dense/epoch_multiplier=1"].winner
    assert best
    lost = best.trial(0)[0]
    before = Simulation(
        study(), outcome=lambda r: "FAILED" if r["trial_id"] == lost else "COMPLETE"
    ).run()
    assert before.planner.plans[dense].winner != best
    done = Simulation(study(), retried(before), slots=2).run()
    assert done.handed_out[0].trial_id == lost
    assert done.trials[lost].attempts == 2
    assert done.planner.plans[dense].winner == best
    for name in ("gmp/target=0.9/epoch_multiplier=1", "gmp/target=0.9/epoch_multiplier=2"):
        plan = done.planner.plans[name]
        assert plan.winner and plan.control
        if plan.winner.config_id != plan.control.config_id:
            controls = {(r["config_id"], r["seed"]) for r in done.of(name, "control")}
            assert {(plan.control.config_id, seed) for seed in (1000, 1001)} <= controls
    assert not Simulation(study(), done.records).start()


def test_a_trial_that_fails_again_is_not_run_by_the_next_launch() -> None:
    lost = uninterrupted(None).planner.plans["dense/epoch_multiplier=1"].winner.trial(0)[0]  # type: ignore[union-attr]
    fail: Outcomes = lambda record: "FAILED" if record["trial_id"] == lost else "COMPLETE"  # noqa: E731
    before = Simulation(study(), outcome=fail).run()
    again = Simulation(study(), retried(before), fail).run()
    assert [use.trial_id for use in again.handed_out] == [lost]
    assert not Simulation(study(), again.records).start()
    assert again.planner.plans["dense/epoch_multiplier=1"].searched


def test_retries_that_were_not_reached_are_run_by_the_next_launch() -> None:
    before = Simulation(
        study(), outcome=lambda r: "FAILED" if r["role"] == "search" else "COMPLETE"
    ).run()
    failed = [trial_id for trial_id, trial in before.trials.items() if trial.status == "FAILED"]
    cut = Simulation(study(), retried(before)).run(steps=3)
    done = Simulation(study(), cut.records).run()
    assert not {use.trial_id for use in cut.handed_out[:3]} & {
        use.trial_id for use in done.handed_out
    }
    assert len(failed) > 3 and all(
        done.trials[trial_id].status == "COMPLETE" for trial_id in failed
    )


@settings(max_examples=5, deadline=None)
@given(steps=st.integers(0, 30))
def test_the_outlook_never_promises_less_than_runs(steps: int) -> None:
    simulation = Simulation(study(), slots=2).run(steps=steps)
    promised = simulation.planner.expected_epochs()
    assert set(simulation.trials) <= set(promised)
    done = simulation.run()
    assert len(promised) >= len(done.trials) == len(done.planner.expected_epochs())


def test_the_outlook_of_a_study_that_has_not_begun() -> None:
    outlook = Simulation(study()).planner.expected_epochs()
    # 4 cells x 4 configurations, 2 seeds: report in 4 cells, twin and control in 2.
    assert len(outlook) == 4 * 4 + 2 * (4 + 2 + 2)
    assert sorted(Counter(outlook.values()).items()) == [(4, 8 + 2 + 2 + 4), (8, 8 + 2 + 2 + 4)]


@pytest.mark.parametrize("sampler", [Random(), TPE(n_startup=2)])
def test_every_sampler_fills_a_cell_with_distinct_configurations(sampler: Random | TPE) -> None:
    search = {"optim.lr": LogUniform(0.01, 1), "task.batch_size": IntRange(16, 64)}
    done = Simulation(
        study(sampler=sampler, search=search, configurations_per_cell=6), slots=2
    ).run()
    for name in done.planner.plans:
        configurations = done.searched(name)
        assert len({record["config_id"] for record in configurations}) == 6
        assert {record["source"].partition(":")[0] for record in configurations} <= {
            "base",
            "control",
            sampler.kind,
        }


def test_one_configuration_a_cell_is_the_base_and_needs_no_search() -> None:
    done = Simulation(study(configurations_per_cell=1)).run()
    assert {record["role"] for record in done.records if record["type"] == "proposed"} == {
        "report",
        "twin",
    }


def test_a_trial_that_was_lost_is_handed_out_again_and_comes_first() -> None:
    simulation = Simulation(study())
    simulation.start()
    lost = simulation.running.pop()
    simulation.planner.ended(lost["trial_id"])
    simulation.start()
    assert simulation.running[0]["trial_id"] == lost["trial_id"]
    assert simulation.trials[lost["trial_id"]].attempts == 2
    assert len(simulation.of("dense/epoch_multiplier=1", "search")) == 1


def test_added_sweep_values_run_only_what_is_new_and_end_like_a_study_declared_so() -> None:
    short = study(configurations_per_cell=3, report_seeds=1)
    added = {"sparsity.target": [0.97, 0.99]}
    before = Simulation(short).run()
    extended = Simulation(
        short, [*before.records, {"type": "extended", "sweep": added}], slots=2
    ).run()
    assert extended.handed_out and not {use.trial_id for use in extended.handed_out} & set(
        before.trials
    )
    assert {use.plan.cell.name.split("/")[1] for use in extended.handed_out} == {
        "target=0.97",
        "target=0.99",
    }
    whole = study(
        configurations_per_cell=3,
        report_seeds=1,
        sweep={"sparsity.target": [0, 0.9, 0.97, 0.99], "schedule.epoch_multiplier": [1, 2]},
    )
    assert extended.uses() == Simulation(whole).run().uses()


def test_known_points_come_after_the_base_and_the_control_and_the_sampler_fills_what_is_left() -> (
    None
):
    known = [
        {"optim.lr": 0.3, "sparsity.ramp.start": 0.2},
        {"optim.lr": 0.1},
        {"sparsity.ramp.start": 0.25},
    ]
    declared = study(known=known, configurations_per_cell=6, search_seeds=1)
    done = Simulation(declared, slots=2).run()
    sources = {
        name: [record["source"] for record in done.searched(name)] for name in done.planner.plans
    }
    # Dense: no ramp there, and 0.1 is the base's own rate. Its winner is the known rate of 0.3.
    assert sources["dense/epoch_multiplier=1"] == [
        "base",
        "known:0",
        *(f"sobol:{k}" for k in range(4)),
    ]
    known_2 = ["base", "control", "known:0", "known:2", "sobol:0", "sobol:1"]
    assert sources["gmp/target=0.9/epoch_multiplier=2"] == known_2
    records = {r["source"]: r["spec"] for r in done.searched("gmp/target=0.9/epoch_multiplier=2")}
    schedule = {"epoch_multiplier": 2}
    gmp = {"method": "gmp", "target": 0.9}
    assert TrialSpec.model_validate(records["known:0"]) == TrialSpec.model_validate(
        {"optim": {"lr": 0.3}, "schedule": schedule, "sparsity": {**gmp, "ramp": {"start": 0.2}}}
    )
    assert TrialSpec.model_validate(records["known:2"]) == TrialSpec.model_validate(
        {"schedule": schedule, "sparsity": {**gmp, "ramp": {"start": 0.25}}}
    )
    assert set(done.planner.expected_epochs()) == set(done.trials)


@pytest.mark.parametrize("cut", [0, 1, 3, 6, 9, 14])
def test_known_points_keep_the_samplers_place_over_a_restart(cut: int) -> None:
    declared = study(
        known=[{"optim.lr": rate} for rate in (0.2, 0.4, 0.5, 0.6)], configurations_per_cell=7
    )
    whole = Simulation(declared).run()
    killed = Simulation(declared).run(steps=cut)
    again = Simulation(declared, json.loads(json.dumps(killed.records))).run()
    assert again.uses() == whole.uses()
    sources = [record["source"] for record in again.searched("dense/epoch_multiplier=1")]
    assert sources == ["base", *(f"known:{k}" for k in range(4)), "sobol:0", "sobol:1"]


CHOOSING = {
    "sparsity.method": Choice(["gmp", "acdc"]),
    "sparsity.acdc.final": Uniform(0.1, 0.3),
    "optim.name": Choice(["sgd", "adamw"]),
    "optim.momentum": Uniform(0, 0.9),
    "optim.lr": LogUniform(0.01, 1),
}
DECIDES = {
    "sparsity.acdc.final": ("sparsity.method", "acdc"),
    "optim.momentum": ("optim.name", "sgd"),
}
NSGA = OptunaSampler("NSGAIISampler", {"population_size": 3}, n_startup=2)


def choosing(sampler: Any, **fields: Any) -> Study:
    base = TrialSpec(sparsity=SparsitySpec(method="gmp"))
    sweep = {"sparsity.target": [0, 0.9]}
    return study(
        **{
            "arms": {},
            "base": base,
            "sweep": sweep,
            "search": CHOOSING,
            "sampler": sampler,
            **fields,
        }
    )


@pytest.mark.parametrize(
    "sampler", [Sobol(), TPE(n_startup=3), NSGA], ids=["sobol", "tpe", "nsga-ii"]
)
def test_an_axis_that_another_choice_rules_out_is_nowhere_in_a_configuration(sampler: Any) -> None:
    done = Simulation(choosing(sampler, configurations_per_cell=9), slots=2).run()
    plan = done.planner.plans["gmp/target=0.9"]
    told = {
        t.user_attrs["config_id"]: t.params
        for t in done.planner.journal.optuna_study("gmp/target=0.9").trials
    }
    assert len(told) == len(plan.configurations) == 9
    for name, configuration in plan.configurations.items():
        values = configuration.values(plan.cell.search)
        applying = {
            path
            for path in CHOOSING
            if path not in DECIDES or values[DECIDES[path][0]] == DECIDES[path][1]
        }
        assert values.keys() == told[name].keys() == applying
        assert ("acdc" in configuration.spec.given()["sparsity"]) <= (
            values["sparsity.method"] == "acdc"
        )


@pytest.mark.parametrize("cut", [4, 13])
@pytest.mark.parametrize(
    "sampler", [Grid(points=2), TPE(n_startup=2), NSGA], ids=["grid", "tpe", "nsga-ii"]
)
def test_a_conditional_search_goes_on_where_it_was_cut(sampler: Any, cut: int) -> None:
    search = {path: axis for path, axis in CHOOSING.items() if path != "optim.lr"}
    declared = choosing(sampler, search=search, configurations_per_cell=11, report_seeds=1)
    whole = Simulation(declared).run()
    killed = Simulation(declared).run(steps=cut)
    again = Simulation(declared, json.loads(json.dumps(killed.records))).run()
    assert again.uses() == whole.uses()
    assert [r["source"] for r in again.searched("dense")] == [
        r["source"] for r in whole.searched("dense")
    ]


def test_a_grid_is_tried_in_order_and_then_the_cell_is_settled() -> None:
    search = {"optim.lr": LogUniform(0.01, 1), "optim.momentum": Choice([0, 0.9])}
    declared = study(search=search, sampler=Grid(points=3), configurations_per_cell=12)
    done = Simulation(declared, slots=2).run()
    dense = done.searched("dense/epoch_multiplier=1")
    assert [r["source"] for r in dense] == [
        "base",
        *(f"grid:{k}" for k in (0, 1, 2, 4, 5)),
    ]  # the base is grid:3
    assert [r["spec"]["optim"].get("lr", 0.1) for r in dense[1:]] == [0.01, 0.01, 0.1, 1.0, 1.0]
    assert all(plan.searched for plan in done.planner.plans.values())


def asked(planner: Planner, count: int) -> list[tuple[str, TrialSpec]]:
    uses = [planner.next()[0] for _ in range(count)]
    return [(use.configuration.source, use.configuration.spec) for use in uses if use]


def test_eight_workers_who_ask_at_once_get_eight_places() -> None:
    search = {"optim.lr": LogUniform(0.01, 1), "optim.momentum": Uniform(0, 0.8)}
    declared = study(
        search=search,
        sampler=TPE(n_startup=6),
        sweep={"sparsity.target": [0]},
        configurations_per_cell=20,
    )
    simulation = Simulation(declared).run(steps=7)  # the base and the start-up
    found = asked(simulation.planner, 8)
    assert [source for source, _ in found] == [f"tpe:{k}" for k in range(6, 14)]
    points = [
        (math.log(spec.optim.lr / 0.01) / math.log(100), spec.optim.momentum / 0.8)
        for _, spec in found
    ]
    distances = [math.dist(a, b) for a, b in itertools.combinations(points, 2)]
    assert min(distances) > 0.05  # without the lie: 0.01 to 0.03 for most seeds, and half the mean
    assert sum(distances) / len(distances) > 0.4


def costing(sampler: Any, **fields: Any) -> Study:
    """Two epochs in the base, up to eight searched, at most four allowed."""
    return study(
        **{
            "base": TrialSpec(schedule=ScheduleSpec(epochs=2)),
            "sampler": sampler,
            "at_most": Budget(epochs=4),
            "search": {"schedule.epochs": Uniform(1, 8), "optim.lr": LogUniform(0.01, 1)},
            "configurations_per_cell": 7,
            "report_seeds": 1,
            **fields,
        }
    )


def longer_is_better(record: Plain) -> float:
    return -spec_of(json.dumps(record["spec"])).total_steps()


@pytest.mark.parametrize("sampler", [Sobol(), TPE(n_startup=3)], ids=lambda s: s.kind)
def test_every_search_configuration_costs_at_most_the_budget(
    sampler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "error_of", longer_is_better)
    done = Simulation(costing(sampler, sweep={"sparsity.target": [0, 0.9]}), slots=2).run()
    numbers = []
    for name in done.planner.plans:
        configurations = done.searched(name)
        assert len(configurations) == 7
        assert all(trained_epochs(spec_of(json.dumps(r["spec"]))) <= 4 for r in configurations)
        numbers += [int(r["source"].split(":")[1]) for r in configurations if ":" in r["source"]]
    assert max(numbers) > 7  # points beyond it were skipped
    assert max(done.planner.expected_epochs().values()) <= 4


def test_a_control_that_would_cost_more_than_the_budget_is_not_tried() -> None:
    """The dense winner trains 4 epochs, which is the budget; in a cell at twice the epochs it would
    be 8.
    """
    fields = {"search": {"schedule.epochs": Choice([2, 3, 4])}, "configurations_per_cell": 3}
    simulation = Simulation(costing(Sobol(), **fields))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "error_of", longer_is_better)
        done = simulation.run()
    winner = done.planner.plans["dense/epoch_multiplier=1"].winner
    assert winner and winner.spec.schedule.epochs == 4
    assert "control" in {r["source"] for r in done.searched("gmp/target=0.9/epoch_multiplier=1")}
    for name in ("dense/epoch_multiplier=2", "gmp/target=0.9/epoch_multiplier=2"):
        assert [r["source"] for r in done.searched(name)] == [
            "base"
        ]  # 3 and 4 epochs would be 6 and 8
        assert done.of(name, "control") == []


@pytest.mark.parametrize("cut", [1, 6])
def test_a_search_under_a_budget_goes_on_where_it_was_cut(cut: int) -> None:
    declared = costing(TPE(n_startup=3), sweep={"sparsity.target": [0]})
    whole = Simulation(declared).run()
    killed = Simulation(declared).run(steps=cut)
    again = Simulation(declared, json.loads(json.dumps(killed.records))).run()
    assert again.uses() == whole.uses()
    assert [r["source"] for r in again.searched("dense")] == [
        r["source"] for r in whole.searched("dense")
    ]


def test_a_sampler_that_keeps_to_what_costs_too_much_is_replaced_by_random_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asks = []

    def stubborn(*arguments: Any) -> dict[str, Any]:
        asks.append(arguments)
        return {"schedule.epochs": 8.0, "optim.lr": 0.1 + len(asks) / 1000}

    monkeypatch.setattr("sparsetune.search.sampling.points.suggest_values", stubborn)
    done = Simulation(costing(TPE(n_startup=3), sweep={"sparsity.target": [0]})).run()
    assert len(done.searched("dense")) == 7
    assert len(asks) == 20 * 3  # for each of three configurations after the base and the start-up


def test_flops_are_a_budget_too() -> None:
    """A static mask of 90 % costs a tenth: eight epochs of it fit where the dense cell has four."""
    declared = costing(
        Sobol(),
        at_most=Budget(train_flops=4),
        arms={"static": Arm({"sparsity.method": "static"})},
        sweep={"sparsity.target": [0, 0.9]},
    )
    done = Simulation(declared).run()
    longest = {
        name: max(trained_epochs(spec_of(json.dumps(r["spec"]))) for r in done.searched(name))
        for name in done.planner.plans
    }
    assert longest["dense"] <= 4 < 6 < longest["static/target=0.9"]


@pytest.mark.parametrize("order", [[0], [2], [1, 0]])
def test_the_journals_best_trial_is_the_winner_of_every_cell(
    tmp_path: Path, order: list[int]
) -> None:
    """The base, beyond the range, ties with a known point, whichever of them ends first."""
    declared = study(
        base=TrialSpec().with_values({"optim.lr": 0.05}),
        sweep={"sparsity.target": [0, 0.9]},
        search={"optim.lr": LogUniform(0.12, 1)},
        known=[{"optim.lr": 0.15}],
        configurations_per_cell=5,
    )
    done = Simulation(declared, slots=3)
    done.planner.journal.move_to(tmp_path / "search.journal")
    done.run(order)
    for name, plan in done.planner.plans.items():
        backend = JournalFileBackend(str(tmp_path / "search.journal"))
        shown = optuna.load_study(study_name=name, storage=JournalStorage(backend))
        assert plan.winner
        assert shown.best_trial.user_attrs["config_id"] == plan.winner.config_id
        ids = [trial.user_attrs["config_id"] for trial in shown.trials]
        assert ids == list(plan.configurations)
    assert done.planner.plans["gmp/target=0.9"].winner.source == "base"
