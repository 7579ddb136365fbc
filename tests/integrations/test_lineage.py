"""A training that goes on under another recipe: the new one acts, and the name says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sparsetune import OptimSpec, ScheduleSpec, SparsitySpec, TrialSpec
from sparsetune.errors import CheckpointError, DeclarationError
from sparsetune.integrations.lineage import (
    LINEAGE_FILE,
    Lineage,
    read_lineage,
    under_recipe,
)
from sparsetune.train import train
from sparsetune.train.checkpoint import Checkpoint, latest_checkpoint
from tests.interruption import Interrupted, Stops

DONOR = TrialSpec(
    schedule=ScheduleSpec(epochs=2, lr="constant", warmup=0),
    optim=OptimSpec(momentum=0, weight_decay=0.001),
)
GMP = TrialSpec(schedule=ScheduleSpec(epochs=2), sparsity=SparsitySpec(method="gmp", target=0.9))


def stopped_at(step: int, spec: TrialSpec, folder: Path, **options: Any) -> Checkpoint:
    """Checkpoint of a trial after a step."""
    with pytest.raises(Interrupted):
        train(spec, checkpoints=Stops(folder, {step}), **options)
    checkpoint = latest_checkpoint([folder])
    assert checkpoint is not None
    return checkpoint


def rows_without_seconds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: repr(row[name]) for name in row if name != "seconds"} for row in rows]


def test_the_new_recipe_acts_from_the_next_step_on(tmp_path: Path) -> None:
    # SGD without momentum: w' = w - lr (g + decay w). From the same weights and batch, two decays
    # differ by lr (0.5 - 0.001) w in matrices, which are decayed, and by nothing in biases.
    donor = stopped_at(30, DONOR, tmp_path / "donor")
    decayed = DONOR.with_values({"optim.weight_decay": 0.5})
    after = {}
    for name, spec in {"same": DONOR, "decayed": decayed}.items():
        taken_over = under_recipe(donor, DONOR, spec, None)
        reached = stopped_at(31, spec, tmp_path / name, resume_from=taken_over)
        after[name] = reached.state["model"]
    for name, weight in donor.state["model"].items():
        moved = after["same"][name] - after["decayed"][name]
        expected = 0.1 * 0.499 * weight if weight.dim() > 1 else torch.zeros_like(weight)
        torch.testing.assert_close(moved, expected, atol=1e-7, rtol=1e-4)
    assert donor.state["model"]["1.weight"].abs().max() > 0.01  # else the above shows nothing


def test_momentum_starts_where_the_donor_had_none(tmp_path: Path) -> None:
    donor = stopped_at(30, DONOR, tmp_path / "donor")
    fast = DONOR.with_values({"optim.momentum": 0.9, "optim.lr": 0.01})
    reached = stopped_at(
        32, fast, tmp_path / "fast", resume_from=under_recipe(donor, DONOR, fast, None)
    )
    saved = reached.state["optimizer"]
    assert [group["momentum"] for group in saved["param_groups"]] == [0.9, 0.9]
    assert [group["weight_decay"] for group in saved["param_groups"]] == [0.001, 0.0]
    assert saved["state"][0]["momentum_buffer"].abs().sum() > 0
    assert saved["param_groups"][0]["lr"] == 0.01


def test_an_unchanged_recipe_continues_exactly(tmp_path: Path) -> None:
    alone: list[dict[str, Any]] = []
    train(GMP, report=alone.append)
    rows: list[dict[str, Any]] = []
    halfway = stopped_at(25, GMP, tmp_path, report=rows.append)
    train(GMP, report=rows.append, resume_from=under_recipe(halfway, GMP, GMP, None))
    assert rows_without_seconds(rows) == rows_without_seconds(alone)


def test_a_lineage_is_no_declared_trial(tmp_path: Path) -> None:
    after = DONOR.with_values({"optim.lr": 0.02})
    lineage = Lineage.of(DONOR).continued(after, 30)
    assert Lineage.of(DONOR).digest() == DONOR.trial_id()
    assert lineage.digest() not in (DONOR.trial_id(), after.trial_id())
    assert Lineage.from_json(lineage.to_json()) == lineage
    assert lineage.changes() == "step 30: optim.lr 0.1 -> 0.02"
    assert lineage.continued(after, 40) is lineage
    # Back to the first recipe is a third part, unless the second has not trained yet.
    assert len(lineage.continued(DONOR, 40).segments) == 3
    assert len(lineage.continued(DONOR.with_values({"optim.lr": 0.3}), 30).segments) == 2

    # What a study would do with its checkpoint: refuse it.
    checkpoint = stopped_at(30, DONOR, tmp_path)
    named = torch.load(checkpoint.path, weights_only=True) | {"trial_id": lineage.digest()}
    torch.save(named, checkpoint.path)
    with pytest.raises(CheckpointError, match=f"must be of trial {after.trial_id()}"):
        train(after, resume_from=checkpoint.path)
    (tmp_path / LINEAGE_FILE).write_text(lineage.to_json())
    assert read_lineage(tmp_path)[0] == lineage
    (tmp_path / LINEAGE_FILE).write_text(Lineage.of(DONOR).to_json())
    with pytest.raises(CheckpointError, match=f"training {DONOR.trial_id()}, got"):
        read_lineage(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sparsity.target", 0.8),
        ("schedule.epochs", 3),
        ("seed", 1),
        ("optim.name", "adamw"),
        ("optim.ema", 0.9),
        ("optim.decay_bias_and_norm", True),
        ("task.batch_size", 32),
    ],
)
def test_what_training_left_behind_may_not_change(field: str, value: object) -> None:
    changed = GMP.with_values({field: value, "optim.lr": 0.02})
    with pytest.raises(DeclarationError, match="during training") as caught:
        Lineage.of(GMP).continued(changed, 20)
    assert field in [problem.path for problem in caught.value.problems]
    assert "optim.lr" not in [problem.path for problem in caught.value.problems]


def test_every_changeable_field_is_one() -> None:
    from sparsetune.integrations.lineage import CHANGEABLE_FIELDS

    for path in CHANGEABLE_FIELDS - {"optim.clip_norm"}:
        part, _, name = path.partition(".")
        assert name.partition(".")[0] in type(getattr(GMP, part)).model_fields, path
