"""Equal training FLOPs in the planner: what is proposed, compared, previewed and found again."""

from __future__ import annotations

from typing import Any

import pytest

from sparsetune.costs.equal_flops import match_dense_flops
from sparsetune.costs.training_flops import train_flops
from sparsetune.launch.preview import preview_study, print_preview
from sparsetune.search.planner import build_planner
from sparsetune.search.stopping.halving import HalvingRungs
from sparsetune.spec import TrialSpec
from sparsetune.storage.trial_state import fold_records
from sparsetune.study import Arm, Minimize, Study
from sparsetune.study.budget import Budget, trained_epochs
from sparsetune.study.space import Choice, LogUniform, Uniform
from sparsetune.study.stopping import Halving
from tests.search.test_planner import Simulation

SEARCH = {"optim.lr": LogUniform(0.01, 1), "sparsity.ramp.length": Uniform(0.3, 0.8)}
CELL = "gmp/target=0.9"


def study(**fields: Any) -> Study:
    """A dense and a 90 % cell, three configurations each, two report seeds."""
    declared = Study(
        **{
            "name": "s",
            "arms": {"gmp": Arm({"sparsity.method": "gmp"})},
            "sweep": {"sparsity.target": [0, 0.9]},
            "search": SEARCH,
            "configurations_per_cell": 3,
            "report_seeds": 2,
            "equal": "train_flops",
            **fields,
        }
    )
    assert declared.validate_declaration() == []
    return declared


def finished(declared: Study) -> Simulation:
    simulation = Simulation(declared)
    while simulation.start():
        simulation.end(0)
    return simulation


def specs(simulation: Simulation, cell: str, *roles: str) -> list[TrialSpec]:
    records = [
        record
        for record in simulation.records
        if record["type"] == "proposed" and record["cell"] == cell
    ]
    return [
        TrialSpec.model_validate(record["spec"]) for record in records if record["role"] in roles
    ]


def test_every_configuration_costs_what_its_dense_twin_does() -> None:
    simulation = finished(study())
    tried = specs(simulation, CELL, "search", "report", "control")
    assert (
        len({trained_epochs(spec) for spec in tried}) == 2
    )  # a ramp of another length saves another share
    for spec in tried:
        assert train_flops(spec) == pytest.approx(4, rel=0.01)
        assert spec == match_dense_flops(spec)
    assert {trained_epochs(spec) for spec in specs(simulation, CELL, "twin")} == {4}
    assert {spec.schedule.stretch for spec in specs(simulation, "dense", "search", "report")} == {1}


def test_the_control_is_the_dense_recipe_stretched() -> None:
    simulation = finished(study())
    control = simulation.planner.plans[CELL].control
    winner = simulation.planner.plans["dense"].winner
    assert control and winner
    assert control.spec.optim == winner.spec.optim
    assert control.spec == match_dense_flops(control.spec)
    assert control.spec.schedule.stretch > 1


def test_a_cell_without_a_search_is_stretched_too() -> None:
    simulation = finished(study(search={}))
    (spec,) = {spec.with_values({"seed": 0}) for spec in specs(simulation, CELL, "report")}
    assert spec == match_dense_flops(simulation.planner.plans[CELL].cell.spec)


@pytest.mark.parametrize("cut", [3, 10, 20])
def test_a_resumed_study_finds_its_configurations_again(cut: int) -> None:
    whole = finished(study())
    resumed = Simulation(study(), whole.records[:cut])
    while resumed.start():
        resumed.end(0)
    assert {r["trial_id"] for r in resumed.records} == {r["trial_id"] for r in whole.records}
    again = Simulation(study(), whole.records)
    assert not again.start()


@pytest.mark.parametrize("search", [SEARCH, {}])
def test_a_stretch_that_was_planned_otherwise_stays(search: dict[str, Any]) -> None:
    """Another version may forecast other densities: what the ledger has is not run again at another
    length.
    """
    whole = finished(study(search=search))
    records = []
    for record in whole.records:
        if record["type"] == "proposed" and record["spec"].get("schedule", {}).get("stretch"):
            spec = TrialSpec.model_validate(record["spec"])
            spec = spec.with_values({"schedule.stretch": round(1.1 * spec.schedule.stretch, 3)})
            renamed = {
                "trial_id": spec.trial_id(),
                "config_id": spec.config_id(),
                "spec": spec.given(),
            }
            records.append((record["trial_id"], {**record, **renamed}))
    names = {old: new["trial_id"] for old, new in records}
    again = iter(new for _, new in records)
    older = [
        next(again)
        if record["type"] == "proposed" and record["trial_id"] in names
        else {**record, "trial_id": names.get(record["trial_id"], record["trial_id"])}
        for record in whole.records
    ]
    assert older != whole.records
    assert not Simulation(study(search=search), older).start()


def test_a_known_point_is_stretched() -> None:
    simulation = finished(study(known=[{"sparsity.ramp.length": 0.4}]))
    (known,) = (
        r
        for r in simulation.records
        if r.get("source") == "known:0" and r["cell"] == CELL and r["role"] == "search"
    )
    assert known["spec"]["schedule"]["stretch"] > 1
    assert known["spec"]["sparsity"]["ramp"]["length"] == 0.4


def test_a_budget_bounds_stretched_epochs() -> None:
    search = {"sparsity.ramp.length": Choice([0.3, 0.5, 0.6])}
    longest = {
        length: trained_epochs(match_dense_flops(planned(length))) for length in (0.3, 0.5, 0.6)
    }
    assert longest[0.3] > longest[0.5] > longest[0.6] > 4
    simulation = finished(study(search=search, at_most=Budget(epochs=longest[0.5])))
    lengths = {spec.sparsity.ramp.length.value for spec in specs(simulation, CELL, "search")}
    assert lengths == {0.5, 0.6}


def planned(length: float) -> TrialSpec:
    cell = study().cells()[1]
    return cell.at({"sparsity.ramp.length": length})


def test_halving_compares_configurations_of_different_length() -> None:
    """Their progress is compared; alone in its group, none would ever be stopped."""
    halving = Halving(rungs=[0.9], settle=0)
    short, long = (match_dense_flops(planned(length)) for length in (0.3, 0.6))
    assert short.total_steps() > long.total_steps()

    def groups(rungs: HalvingRungs) -> set[Any]:
        return {
            rungs.planned_group(spec, round(0.9 * spec.total_steps())) for spec in (short, long)
        }

    assert len(groups(HalvingRungs(halving, Minimize("val_error")))) == 2
    (group,) = groups(HalvingRungs(halving, Minimize("val_error"), "train_flops"))
    assert group is not None
    assert group.steps == 80
    rungs = build_planner(study(stopping=halving), {}).judge.rungs
    assert rungs is not None
    assert len(groups(rungs)) == 1


def test_what_is_expected_counts_the_longest_stretch() -> None:
    planner = build_planner(study(), fold_records([]))
    longest = max(
        trained_epochs(match_dense_flops(spec)) for spec in study().cells()[1].corner_recipes()
    )
    outlook = planner.expected_epochs()
    assert outlook[f"{CELL}/search/0"] == longest
    assert outlook["dense/search/0"] == 4


def test_the_preview_shows_stretched_epochs(capsys: pytest.CaptureFixture[str]) -> None:
    facts = preview_study(study())
    dense, sparse = facts["cells"]
    assert (dense["epochs"], dense["train_flops"]) == (4, 4)
    assert sparse["epochs"] == trained_epochs(match_dense_flops(study().cells()[1].spec)) > 8
    assert sparse["train_flops"] == pytest.approx(4, rel=0.01)
    assert sparse["mask_changes"][-1]["epoch"] > 4
    print_preview(study())
    printed = capsys.readouterr().out
    assert f"{sparse['epochs']:g}" in printed
    assert "to the FLOPs of their dense twins" in printed
