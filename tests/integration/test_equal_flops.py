"""A study of equal training FLOPs on a real Ray: what its trials record, and that it is not run
again.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import analysis
from analysis.estimates.equal_flops import flops_warnings
from sparsetune import Arm, LogUniform, RampSpec, ScheduleSpec, SparsitySpec, Study, TrialSpec
from sparsetune.launch.launch import Options, launch
from tests.integration.runs import assert_equal_to_training_alone, trials
from tests.ledger_records import plain_records

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300), pytest.mark.usefixtures("ray_session")]

STUDY = Study(
    name="equal",
    base=TrialSpec(
        schedule=ScheduleSpec(epochs=2), sparsity=SparsitySpec(ramp=RampSpec(updates=10))
    ),
    arms={
        "gmp": Arm({"sparsity.method": "gmp"}),
        "static": Arm({"sparsity.method": "static", "sparsity.allocation": "uniform"}),
    },
    sweep={"sparsity.target": [0, 0.8]},
    search={"optim.lr": LogUniform(0.02, 0.5)},
    configurations_per_cell=2,
    report_seeds=2,
    equal="train_flops",
)


def test_sparse_networks_train_on_to_the_flops_of_their_twins(tmp_path: Path) -> None:
    outcome = launch(STUDY, Options(storage=tmp_path, quiet=True))
    assert outcome.exit_status == 0
    results = analysis.load(outcome.directory)
    cells = results.cells().set_index("cell")
    for name in ("gmp/target=0.8", "static/target=0.8"):
        assert cells["flops_ratio"][name] == pytest.approx(1, abs=0.05)
    assert flops_warnings(results) == {}
    spent = results.trials().groupby(["arm", "role"])["epoch"].max()
    assert spent["dense", "report"] == 2
    assert spent["gmp", "report"] > 4
    assert spent["static", "report"] == 10
    assert "The study equals training FLOPs" in analysis.report(outcome.directory).read_text()

    stretched = next(
        state
        for state in trials(outcome.directory).values()
        if state.use.spec.get("schedule", {}).get("stretch")
    )
    assert_equal_to_training_alone(stretched)
    records = plain_records(outcome.directory / "ledger")
    again = launch(STUDY, Options(storage=tmp_path, quiet=True))
    assert plain_records(again.directory / "ledger") == records
