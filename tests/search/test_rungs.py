"""Rungs by hand: who is compared with whom, when, and who goes on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.search.stopping.halving import (
    ComparisonGroup,
    HalvingRungs,
    RungCandidate,
    phase_span_at,
)
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import AcdcSpec, RampSpec, SparsitySpec
from sparsetune.storage.records import Ended, Report
from sparsetune.storage.trial_state import TrialState
from sparsetune.study import Maximize, Minimize
from sparsetune.study.stopping import Halving

EPOCH = TrialSpec().steps_per_epoch()
"""Twenty steps of digits."""
RULE = Halving(rungs=[0.25, 0.5, 0.75], reduction=3, settle=0.1)
RUNGS = HalvingRungs(RULE, Minimize("val_error"))


def spec(epochs: int = 20, **sparsity: Any) -> TrialSpec:
    return TrialSpec(schedule=ScheduleSpec(epochs=epochs), sparsity=SparsitySpec(**sparsity))


def gmp(start: float = 0.0, length: float = 0.1, epochs: int = 20) -> TrialSpec:
    return spec(epochs, method="gmp", target=0.9, ramp=RampSpec(start=start, length=length))


def trial(spec: TrialSpec, errors: dict[int, float | None], status: str = "RUNNING") -> TrialState:
    """A trial with these errors after so many epochs; phase and target as planned."""
    rows = {}
    for epoch, error in errors.items():
        step = epoch * EPOCH
        at = phase_span_at(spec, epoch * EPOCH)
        row = {
            "step": step,
            "epoch": float(epoch),
            "progress": step / spec.total_steps(),
            "phase": at.phase,
            "at_target": at.sparsity == spec.sparsity.target,
            "val_error": error,
            "val_accuracy": error,
        }
        rows[step] = Report(trial_id="t", attempt=1, row=row)
    ended = None
    if status != "RUNNING":
        ended = Ended(trial_id="t", attempt=1, status=status)
    return TrialState(attempts=1, ended=ended, reports=rows)


def candidate(
    spec: TrialSpec, *errors: dict[int, float | None], status: str = "RUNNING"
) -> RungCandidate:
    return RungCandidate(spec, [trial(spec, given, status) for given in errors])


def at_first_rung(*errors: float) -> list[RungCandidate]:
    return [candidate(gmp(), {5: error}) for error in errors]


@pytest.mark.parametrize(
    ("others", "own", "kept"),
    [
        ([], 0.9, True),  # the first to arrive goes on
        ([0.1], 0.2, False),  # of two, one goes on
        ([0.1], 0.1, True),  # a tie goes on
        ([0.1, 0.3], 0.2, False),  # of three, one
        ([0.1, 0.3, 0.4], 0.2, True),  # of four, two
        ([0.1, 0.15, 0.4], 0.2, False),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], 0.25, True),  # of nine, three
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], 0.35, False),
    ],
)
def test_the_best_third_goes_on(others: list[float], own: float, kept: bool) -> None:
    reason = RUNGS.stop_reason(candidate(gmp(), {5: own}), at_first_rung(*others), 0)
    assert (reason is None) == kept


def test_the_reason_says_where_by_what_and_against_how_many() -> None:
    reason = RUNGS.stop_reason(
        candidate(gmp(), {10: 0.1434}), [candidate(gmp(), {10: 0.1 * k}) for k in range(1, 9)], 1
    )
    assert reason is None  # second of nine
    reason = RUNGS.stop_reason(
        candidate(gmp(), {10: 0.65}), [candidate(gmp(), {10: 0.1 * k}) for k in range(1, 9)], 1
    )
    assert (
        reason == "stopped at rung 2 of 3 (50 % of training): val_error 0.65, rank 7 of 9,"
        " of which 3 may go on"
    )


def test_a_maximised_objective_keeps_the_highest() -> None:
    rungs = HalvingRungs(RULE, Maximize("val_accuracy"))
    others = at_first_rung(0.5, 0.6)
    assert rungs.stop_reason(candidate(gmp(), {5: 0.7}), others, 0) is None
    assert rungs.stop_reason(candidate(gmp(), {5: 0.4}), others, 0)


def test_another_reduction_keeps_another_share() -> None:
    own = candidate(gmp(), {5: 0.2})
    others = at_first_rung(0.1, 0.3, 0.4)
    assert HalvingRungs(Halving(reduction=4), Minimize("val_error")).stop_reason(own, others, 0)
    assert (
        HalvingRungs(Halving(reduction=1.5), Minimize("val_error")).stop_reason(
            candidate(gmp(), {5: 0.35}), others, 0
        )
        is None
    )


@pytest.mark.parametrize(
    ("ramp", "epoch", "rung", "compared"),
    [
        ((0.0, 0.1), 5, 0, True),  # at target from epoch 2, 3 epochs ago; settle is 2 epochs
        ((0.05, 0.1), 5, 0, True),  # from epoch 3: exactly 2 epochs ago
        ((0.1, 0.1), 5, 0, False),  # from epoch 4: at target, but not settled
        ((0.1, 0.1), 6, 0, True),  # evaluated an epoch later, it is
        ((0.2, 0.2), 5, 0, False),  # in its ramp
        ((0.6, 0.2), 10, 1, False),  # dense
        ((0.6, 0.2), 15, 2, False),
    ],
)
def test_a_network_is_compared_once_it_is_settled_at_target(
    ramp: tuple[float, float], epoch: int, rung: int, compared: bool
) -> None:
    given = candidate(gmp(*ramp), {epoch: 0.2})
    assert (RUNGS.standing_at(given, rung) == Standing_of(400, "fixed", 0.2)) == compared
    # Before that it is neither stopped nor counted.
    best = [candidate(gmp(*ramp), {epoch: 0.0})] * 5
    assert (RUNGS.stop_reason(given, at_first_rung(0.1) + best, rung) is not None) == compared
    assert (RUNGS.stop_reason(candidate(gmp(), {epoch: 0.2}), best, rung) is not None) == compared


def Standing_of(steps: int, phase: str, value: float) -> tuple[ComparisonGroup, float]:
    return ComparisonGroup(steps, phase), value


def test_a_dense_network_is_settled_from_the_start() -> None:
    assert RUNGS.standing_at(candidate(spec(), {5: 0.3}), 0) == Standing_of(400, "dense", 0.3)
    strict = HalvingRungs(Halving(rungs=[0.25], settle=0.3), Minimize("val_error"))
    assert strict.standing_at(candidate(spec(), {5: 0.3}), 0) is None


def acdc(compress: float, decompress: float) -> TrialSpec:
    lengths = {
        "warmup": 0.1,
        "compress": compress,
        "decompress": decompress,
        "last_dense": 0.1,
        "final": 0.1,
    }
    return spec(method="acdc", target=0.9, acdc=AcdcSpec(**lengths))


def test_an_own_ramp_is_not_imported_and_counts_as_rising_until_its_end() -> None:
    """GMP from epoch 0 to 2 of 20; the linear ramp that stands for it is half-way after one."""
    ramp = RampSpec(shape="no_such_lab:sudden", start=0.0, length=0.1)
    given = spec(method="gmp", target=0.9, ramp=ramp)
    assert phase_span_at(given, EPOCH).sparsity < 0.5
    assert phase_span_at(given, 2 * EPOCH).phase == "ramp"
    assert phase_span_at(given, 2 * EPOCH + 1) == (2 * EPOCH, "fixed", 0.9)


def test_acdc_is_compared_in_compressed_phases_that_lasted() -> None:
    given = acdc(
        0.2, 0.1
    )  # compressed in epochs 2 to 6, 8 to 12, 14 to the last dense phase; dense between
    phases = {epoch: phase_span_at(given, epoch * EPOCH).phase for epoch in (2, 3, 6, 7, 8, 9, 12)}
    assert phases == {
        2: "dense",
        3: "compressed",
        6: "compressed",
        7: "decompressed",
        8: "decompressed",
        9: "compressed",
        12: "compressed",
    }
    errors = {epoch: 0.2 for epoch in range(1, 20)}
    assert RUNGS.standing_at(candidate(given, errors), 0) == Standing_of(
        400, "compressed", 0.2
    )  # 3 epochs in
    assert RUNGS.standing_at(candidate(given, errors), 1) == Standing_of(
        400, "compressed", 0.2
    )  # 2 epochs in
    late = {
        epoch: 0.2 for epoch in (7, 9)
    }  # evaluated while decompressed, then an epoch into the next phase
    assert RUNGS.standing_at(candidate(given, late), 0) is None
    assert (
        HalvingRungs(Halving(rungs=[0.4], settle=0.1), Minimize("val_error")).standing_at(
            candidate(given, late), 0
        )
        is None
    )


def test_lengths_and_phases_are_never_compared_with_each_other() -> None:
    best = [candidate(gmp(epochs=40), {10: 0.0, 20: 0.0})] * 5
    static = [candidate(spec(method="static", target=0.9), {5: 0.0, 10: 0.0})]
    dynamic = [candidate(spec(method="set", target=0.9), {5: 0.0, 10: 0.0})]
    own = candidate(gmp(), {5: 0.5, 10: 0.5})
    assert RUNGS.stop_reason(own, best + dynamic, 0) is None
    assert RUNGS.stop_reason(own, static, 0)  # a fixed mask at target, as after a ramp
    assert {
        RUNGS.standing_at(c, 1).group
        for c in [*best, *static, *dynamic, own]
        if RUNGS.standing_at(c, 1)
    } == {
        ComparisonGroup(400, "fixed"),
        ComparisonGroup(800, "fixed"),
        ComparisonGroup(400, "dynamic"),
    }


def test_a_configuration_is_judged_by_the_mean_of_the_seeds_that_arrived() -> None:
    other = candidate(gmp(), {5: 0.2})
    assert (
        RUNGS.stop_reason(candidate(gmp(), {5: 0.1}, {4: 0.9}), [other], 0) is None
    )  # the second seed is not there yet
    own = candidate(gmp(), {5: 0.1}, {5: 0.4})
    assert RUNGS.standing_at(own, 0) == Standing_of(400, "fixed", 0.25)
    assert "val_error 0.25, rank 2 of 2" in str(RUNGS.stop_reason(own, [other], 0))


def test_a_diverged_configuration_stands_last_where_it_was_and_where_it_first_failed_to_be() -> (
    None
):
    fell = candidate(gmp(), {5: 0.1, 6: None}, status="DIVERGED")
    assert [RUNGS.standing_at(fell, rung) for rung in range(3)] == [
        Standing_of(400, "fixed", float("inf")),
        Standing_of(400, "fixed", float("inf")),
        None,
    ]
    assert RUNGS.stop_reason(candidate(gmp(), {5: 0.9}), [fell], 0) is None
    two = at_first_rung(0.1, 0.2)
    assert RUNGS.stop_reason(candidate(gmp(), {5: 0.15}), two, 0)  # of three, one goes on
    assert RUNGS.stop_reason(candidate(gmp(), {5: 0.15}), [*two, fell], 0) is None  # of four, two
    early = candidate(
        gmp(0.2, 0.1), {1: None}, status="DIVERGED"
    )  # it would not have been compared at the first rung
    assert [RUNGS.standing_at(early, rung) is not None for rung in range(3)] == [False, True, False]
    one_seed = RungCandidate(gmp(), [trial(gmp(), {5: 0.1}), trial(gmp(), {1: None}, "DIVERGED")])
    assert "a seed diverged, rank 2 of 2" in str(RUNGS.stop_reason(one_seed, at_first_rung(0.9), 0))


def test_values_are_those_of_the_rungs_where_it_was_compared() -> None:
    assert RUNGS.values(candidate(gmp(0.2, 0.1), {5: 0.5, 10: 0.2, 15: 0.1})) == {1: 0.2, 2: 0.1}
    assert RUNGS.values(candidate(gmp(), {5: 0.5, 6: None}, status="DIVERGED")) == {}


def test_a_rung_is_reached_once_by_the_first_row_at_or_after_it() -> None:
    given = trial(gmp(), dict.fromkeys([4, 5, 6, 16, 17], 0.1))
    reached = {row.step // EPOCH: RUNGS.rungs_reached(given, row) for row in given.reports.values()}
    assert reached == {4: [], 5: [0], 6: [], 16: [1, 2], 17: []}
    assert RUNGS.first_report(given, 1) == given.reports[16 * EPOCH]


@given(
    values=st.lists(st.floats(0, 1), min_size=1, max_size=12),
    own=st.floats(0, 1),
    reduction=st.floats(1.01, 10),
)
def test_the_best_always_goes_on_and_no_more_than_the_share_without_ties(
    values: list[float], own: float, reduction: float
) -> None:
    rungs = HalvingRungs(Halving(rungs=[0.25], reduction=reduction), Minimize("val_error"))
    everyone = at_first_rung(*values, own)
    kept = [
        c.trials[0].reports[5 * EPOCH].row["val_error"]
        for i, c in enumerate(everyone)
        if rungs.stop_reason(c, everyone[:i] + everyone[i + 1 :], 0) is None
    ]
    assert min([*values, own]) in kept
    assert len(set(kept)) <= len(everyone) / reduction + 1
    assert max(kept) <= min([v for v in [*values, own] if v not in kept], default=1.0)


def test_somebody_arrives_though_all_that_were_ahead_have_been_stopped_since() -> None:
    """A second seed may stop a configuration that others were stopped behind; then no winner would
    be left.
    """
    stopped = candidate(gmp(), {5: 0.1}, status="PRUNED")
    own = candidate(gmp(), {5: 0.2})
    assert RUNGS.stop_reason(own, [stopped], 0) is None
    assert RUNGS.stop_reason(own, [stopped, candidate(gmp(), {5: 0.15})], 0)
    assert RUNGS.stop_reason(own, [stopped, candidate(gmp(), {5: 0.15}, status="COMPLETE")], 0)


RATE = "linear, warm-up 0.05 fraction"
EARLY = HalvingRungs(
    Halving(rungs=[0.25, 0.5, 0.75], reduction=3, settle=0.1, early=True), Minimize("val_error")
)


@pytest.mark.parametrize(
    ("network", "epoch", "rung", "group"),
    [
        (gmp(0.6, 0.2), 5, 0, ComparisonGroup(400, "dense", (0,), RATE)),
        (gmp(0.6, 0.2), 10, 1, ComparisonGroup(400, "dense", (0,), RATE)),
        (gmp(0.6, 0.2), 15, 2, None),  # in its ramp
        (gmp(0.0, 0.1), 5, 0, ComparisonGroup(400, "fixed")),  # settled at target, as without
        (gmp(0.1, 0.1), 5, 0, None),  # at target, but not settled
        (spec(20, method="dense"), 1, 0, None),  # before the rung
        (spec(20, method="rigl", target=0.9), 5, 0, ComparisonGroup(400, "dynamic")),
    ],
)
def test_an_early_rule_compares_what_is_not_pruned_yet_too(
    network: TrialSpec, epoch: int, rung: int, group: ComparisonGroup | None
) -> None:
    standing = EARLY.standing_at(candidate(network, {epoch: 0.2}), rung)
    assert (standing.group if standing else None) == group


def test_who_is_not_pruned_yet_is_compared_with_none_that_is() -> None:
    whole = [candidate(gmp(0.6, 0.2), {5: error}) for error in (0.1, 0.2, 0.3)]
    settled = candidate(gmp(), {5: 0.4})
    assert EARLY.stop_reason(settled, whole, 0) is None
    assert EARLY.stop_reason(whole[2], [settled, *whole[:2]], 0)
    assert EARLY.stop_reason(whole[0], [settled, *whole[1:]], 0) is None


def test_who_is_not_pruned_yet_is_compared_under_a_like_rate_alone() -> None:
    cosine = gmp(0.6, 0.2).with_values({"schedule.lr": "cosine"})
    worse = candidate(cosine, {5: 0.9})
    others = [candidate(gmp(0.6, 0.2), {5: 0.1})] * 4
    assert EARLY.stop_reason(worse, others, 0) is None
    assert EARLY.stop_reason(worse, [candidate(cosine, {5: 0.1})] * 4, 0)


def test_networks_of_acdc_are_compared_in_one_phase_of_one_plan() -> None:
    plan = spec(40, method="acdc", target=0.9)
    compressed = candidate(plan, {10: 0.3})
    group = EARLY.planned_group(plan, 10 * EPOCH)
    # Dense for a tenth, then a twentieth compressed and one decompressed, and again.
    assert group == ComparisonGroup(800, "compressed", (0, 80, 120, 160), RATE)
    assert EARLY.stop_reason(compressed, [candidate(plan, {10: 0.1})] * 4, 0)
    other = plan.with_values({"sparsity.acdc.warmup": 0.2})
    assert EARLY.planned_group(other, 10 * EPOCH) != group
    assert RUNGS.planned_group(plan, 10 * EPOCH) is None


def test_a_diverged_network_stands_last_among_those_not_pruned_yet() -> None:
    late = gmp(0.6, 0.2)
    diverged = RungCandidate(late, [trial(late, {1: 0.9}, "DIVERGED")])
    own = candidate(late, {5: 0.5})
    assert EARLY.stop_reason(own, [diverged, diverged], 0) is None
    better = [candidate(late, {5: 0.1}), candidate(late, {5: 0.2})]
    assert EARLY.stop_reason(own, [*better, diverged], 0)


def test_who_is_settled_is_compared_from_a_fraction_on() -> None:
    rule = Halving(rungs=[0.25, 0.5], settled_from=0.5)
    rungs = HalvingRungs(rule, Minimize("val_error"))
    network = gmp(0.0, 0.1)
    assert rungs.standing_at(candidate(network, {5: 0.2}), 0) is None
    assert rungs.standing_at(candidate(network, {10: 0.2}), 1) == Standing_of(400, "fixed", 0.2)
    # What is not pruned yet is compared before, by an early rule.
    early = HalvingRungs(rule.model_copy(update={"early": True}), Minimize("val_error"))
    assert early.standing_at(candidate(gmp(0.6, 0.2), {5: 0.2}), 0)
    assert early.standing_at(candidate(network, {5: 0.2}), 0) is None
