from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import analysis
from analysis.tables.selection import report_rows
from sparsetune.errors import StudyDirectoryError
from sparsetune.spec.columns import HISTORY_COLUMNS, TRIAL_COLUMNS
from sparsetune.storage.ledger import Ledger, read_records
from sparsetune.storage.records import Extended, encode_record
from sparsetune.storage.trial_state import fold_records
from tests.ledger_records import plain_records, record


def test_tables_follow_the_contract(small: Path) -> None:
    results = analysis.load(small)
    for frame, columns in ((results.trials(), TRIAL_COLUMNS), (results.history(), HISTORY_COLUMNS)):
        assert list(frame)[: len(columns)] == [column.name for column in columns]
        assert {c.name: str(frame[c.name].dtype) for c in columns} == {
            c.name: c.dtype for c in columns
        }
        dotted = list(frame)[len(columns) :]
        assert "optim.lr" in dotted
        assert all("." in name for name in dotted)


def test_rows_are_those_of_the_ledger(small: Path) -> None:
    results = analysis.load(small)
    states = fold_records(read_records(results.directory.ledger))
    trials = results.trials().set_index("trial_id")
    history = results.history()
    assert list(trials.index) == list(states)
    assert len(history) == sum(len(state.reports) for state in states.values())
    for trial_id, state in states.items():
        assert trials.at[trial_id, "val_loss"] == state.last.row["val_loss"]
        assert trials.at[trial_id, "test_accuracy"] == state.ended.columns["test_accuracy"]
        assert trials.at[trial_id, "role"] == state.use.role
        own = history[history["trial_id"] == trial_id]
        assert list(own["step"]) == sorted(state.reports)
        assert list(own["val_loss"]) == [
            state.reports[step].row["val_loss"] for step in own["step"]
        ]


def test_a_trial_of_several_uses_is_one_row(simulation: Any, studies: Any, tmp_path: Path) -> None:
    results = analysis.load(
        simulation(studies["small"].with_changes(search={}), tmp_path / "s").run()
    )
    uses = results.uses()
    shared = uses["trial_id"].value_counts()
    assert (shared > 1).any()  # a dense report trial is also the twin of a sparse one
    trials = results.trials()
    assert trials["trial_id"].is_unique
    assert set(trials["role"]) == {"report"}


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    events=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["start", 1, 2, 3, 4]), st.integers(0, 4)),
        max_size=25,
    )
)
def test_rows_of_earlier_attempts_are_dropped_as_fold_drops_them(
    small: Path, tmp_path: Path, events: list[tuple[str, str | int, int]]
) -> None:
    (tmp_path / "study.json").write_text((small / "study.json").read_text())
    (tmp_path / "ledger").mkdir(exist_ok=True)
    proposed = [r for r in plain_records(small / "ledger") if r["type"] == "proposed"][:2]
    records: list[dict[str, Any]] = [*proposed]
    ids = dict(zip("ab", [one["trial_id"] for one in proposed], strict=True))
    attempts = {"a": 0, "b": 0}
    for number, (trial, event, at) in enumerate(events):
        if event == "start":
            attempts[trial] += 1
            records.append(
                {
                    "type": "started",
                    "trial_id": ids[trial],
                    "attempt": attempts[trial],
                    "resumed_from_step": at,
                }
            )
        else:
            row = {
                "trial_id": ids[trial],
                "attempt": max(1, attempts[trial]),
                "step": event,
                "val_loss": float(number),
            }
            records.append({"type": "report", **row})
    typed = [record(one) for one in records]
    (tmp_path / "ledger" / "000001.jsonl").write_bytes(b"".join(map(encode_record, typed)))
    history = analysis.load(tmp_path).history()
    expected = [
        (trial, step, row.attempt, row.row["val_loss"])
        for trial, state in fold_records(typed).items()
        for step, row in sorted(state.reports.items())
    ]
    assert (
        list(
            history[["trial_id", "step", "attempt", "val_loss"]].itertuples(index=False, name=None)
        )
        == expected
    )


def test_a_torn_last_record_is_ignored_and_a_damaged_one_named(small: Path, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text((small / "study.json").read_text())
    (tmp_path / "ledger").mkdir()
    segment = tmp_path / "ledger" / "000001.jsonl"
    lines = (small / "ledger" / "000001.jsonl").read_bytes().splitlines(keepends=True)[:10]
    segment.write_bytes(b"".join(lines) + b'{"type":"report","trial')
    assert len(analysis.load(tmp_path).history()) == sum(
        line.startswith(b'{"type":"report"') for line in lines
    )
    segment.write_bytes(b"".join(lines) + b'{"type":"report","trial\n')
    with pytest.raises(StudyDirectoryError, match=r"line 11 of `.*000001.jsonl` is damaged"):
        analysis.load(tmp_path)


def test_other_directories_are_refused(small: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyDirectoryError, match="not a study directory"):
        analysis.load(tmp_path)
    declared = json.loads((small / "study.json").read_text())
    (tmp_path / "study.json").write_text(json.dumps({**declared, "schema": 99}))
    with pytest.raises(StudyDirectoryError, match="schema version 99"):
        analysis.load(tmp_path)


def test_an_empty_study_has_empty_tables(small: Path, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text((small / "study.json").read_text())
    results = analysis.load(tmp_path)
    assert len(results.trials()) == len(results.history()) == 0
    assert list(results.cells()["finished"]) == [False] * 4
    assert results.cells()["winner_id"].isna().all()


def test_missing_is_na_never_zero(simulation: Any, studies: Any, tmp_path: Path) -> None:
    status = {0: "WAITING", 1000: "RUNNING", 1001: "DIVERGED"}
    run = simulation(
        studies["small"], tmp_path / "s", outcome=lambda cell, role, seed: status[seed]
    )
    run.cell(studies["small"].cells()[0])
    cell = studies["small"].cells()[0]
    for seed in (1000, 1001):
        run.trial(cell, "report", cell.spec, 0, "base", seed)
    run.close()
    trials = analysis.load(tmp_path / "s").trials().set_index("seed")
    assert set(trials.loc[0, "status"]) == {"WAITING"}
    assert trials.loc[0, "val_loss"].isna().all()
    assert trials.loc[0, "attempt"].isna().all()
    assert trials.at[1000, "status"] == "RUNNING"
    assert pd.isna(trials.at[1000, "test_accuracy"])
    assert trials.at[1001, "error"] == "diverged <b>here</b>"


def test_extensions_count(small: Path, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text((small / "study.json").read_text())
    shutil.copytree(small / "ledger", tmp_path / "ledger")
    with closing(Ledger(tmp_path / "ledger")) as ledger:
        ledger.append(Extended(report_seeds=2, configurations_per_cell=4))
    before = analysis.load(small)
    after = analysis.load(tmp_path)
    assert before.cells()["finished"].all()
    assert not after.cells()["finished"].any()
    assert set(after.cells()["report_trials_asked"]) == {4}
    assert set(after.cells()["configurations_asked"]) == {7}


def test_added_sweep_values_are_cells_that_are_not_finished(small: Path, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text((small / "study.json").read_text())
    shutil.copytree(small / "ledger", tmp_path / "ledger")
    with closing(Ledger(tmp_path / "ledger")) as ledger:
        ledger.append(Extended(sweep={"sparsity.target": [0.97]}))
    before, after = (analysis.load(path).cells().set_index("cell") for path in (small, tmp_path))
    new = after[~after.index.isin(before.index)]
    assert set(new["sparsity.target"]) == {0.97} and not new["finished"].any()
    assert after.loc[before.index, "finished"].all()


def test_import_is_light() -> None:
    heavy = {"torch", "ray", "optuna", "matplotlib", "jinja2"}
    code = f"import analysis, sys; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["trials", "history", "cells", "uses"])
def test_a_table_that_is_changed_stays_as_it_was_for_others(small: Path, name: str) -> None:
    results = analysis.load(small)
    before = getattr(results, name)().copy()
    changed = getattr(results, name)()
    changed["arm"] = "mine"
    changed.loc[0, "cell"] = "mine"
    pd.testing.assert_frame_equal(getattr(results, name)(), before)
    rows = report_rows(results)
    rows.loc[:, "val_loss"] = 0.0
    assert (report_rows(results)["val_loss"] > 0).all()
