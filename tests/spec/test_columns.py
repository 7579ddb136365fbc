"""The table contract holds the design's columns, and what may be optimised."""

from __future__ import annotations

from typing import get_args

from sparsetune.spec import columns
from sparsetune.storage.trial_state import ROLE_ORDER

IDENTITY = "study arm cell config_id trial_id seed role attempt status"
PROGRESS = "step epoch progress phase at_target"
MEASURED = (
    "lr target sparsity zeros_in_mask train_loss train_entropy val_loss val_accuracy val_score"
    " val_error val_entropy batch_loss mask_iou ever_active train_flops extra_flops inference_flops"
    " seconds"
)
FINAL = (
    "test_loss test_accuracy test_score test_entropy chance_loss learned_nothing certified"
    " pruned_weights prunable_weights parameters peak_memory error own_code twin_id"
)


def test_both_tables_have_the_columns_of_the_design_in_order() -> None:
    history = [column.name for column in columns.HISTORY_COLUMNS]
    assert history == f"{IDENTITY} {PROGRESS} {MEASURED}".split()
    assert [column.name for column in columns.TRIAL_COLUMNS] == [*history, *FINAL.split()]


def test_every_column_is_named_once_and_explained() -> None:
    names = [column.name for column in columns.TRIAL_COLUMNS]
    assert len(names) == len(set(names))
    assert all(
        column.meaning and column.dtype in get_args(columns.Dtype)
        for column in columns.TRIAL_COLUMNS
    )


def test_a_study_optimises_validation_or_training_never_test() -> None:
    allowed = "train_loss train_entropy val_loss val_accuracy val_score val_error val_entropy"
    assert " ".join(columns.OBJECTIVE_COLUMNS) == allowed


def test_waiting_and_running_trials_are_the_unfinished_ones() -> None:
    assert set(get_args(columns.Status)) - set(columns.FINISHED_STATUSES) == {"WAITING", "RUNNING"}


def test_every_role_has_its_place_in_the_order_of_display() -> None:
    assert sorted(ROLE_ORDER) == sorted(get_args(columns.Role))
