import resource
from pathlib import Path

import pytest
import torch
from safetensors.torch import load as tensors

from sparsetune.errors import CheckpointError, StorageError
from sparsetune.paths import list_names as listed
from sparsetune.paths import resolve_place
from sparsetune.train import checkpoint as module
from sparsetune.train.checkpoint import (
    Checkpoints,
    Row,
    latest_checkpoint,
    load_checkpoint,
    save_weights,
)

ROWS: list[Row] = [{"step": 1, "val_loss": 0.5, "phase": "dense", "at_target": False}]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_is_read_back_and_the_last_two_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "attempt-1")
    for step in (1, 9, 10):
        checkpoints.write(step, "abc", ROWS, {"weight": torch.full((3,), step)})
    assert names(tmp_path / "attempt-1") == ["checkpoint-10.pt", "checkpoint-9.pt"]
    found = latest_checkpoint([tmp_path / "attempt-1", tmp_path / "missing"])
    assert found is not None
    assert (found.step, found.trial_id, found.reports) == (10, "abc", ROWS)
    assert found.state["weight"].tolist() == [10, 10, 10]
    checkpoints.clear()
    assert names(tmp_path / "attempt-1") == []
    assert latest_checkpoint([tmp_path / "attempt-1"]) is None


def test_the_newest_step_wins_over_all_attempts(tmp_path: Path) -> None:
    for attempt, step in ((1, 30), (2, 20)):
        Checkpoints(tmp_path / f"attempt-{attempt}").write(step, "abc", [], {})
    found = latest_checkpoint(sorted(tmp_path.iterdir()))
    assert found is not None
    assert found.path == tmp_path / "attempt-1" / "checkpoint-30.pt"


@pytest.mark.parametrize("kept", [0, 1, 100, -10])
def test_a_torn_one_falls_back_to_the_one_before(tmp_path: Path, kept: int) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.write(step, "abc", ROWS, {"weight": torch.zeros(1000)})
    torn = tmp_path / "checkpoint-2.pt"
    torn.write_bytes(torn.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="must be a whole checkpoint"):
        load_checkpoint(torn)
    found = latest_checkpoint([tmp_path])
    assert found is not None
    assert found.step == 1


def test_a_leftover_temporary_file_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-7.tmp").write_bytes(b"half")
    assert latest_checkpoint([tmp_path]) is None
    Checkpoints(tmp_path).clear()
    assert names(tmp_path) == []


def test_nothing_but_tensors_and_plain_values_is_ever_loaded(tmp_path: Path) -> None:
    content = {
        "schema": 1,
        "step": 1,
        "trial_id": "abc",
        "reports": [],
        "state": {"path": tmp_path},
    }
    torch.save(content, tmp_path / "checkpoint-1.pt")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "checkpoint-1.pt")


def test_another_schema_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Checkpoints(tmp_path).write(1, "abc", [], {})
    monkeypatch.setattr(module, "SCHEMA_VERSION", 99)
    with pytest.raises(CheckpointError, match="must have schema version 99, got 1"):
        load_checkpoint(path)


def test_a_disk_that_refuses_is_a_storage_error_and_loses_nothing(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path / "good").write(1, "abc", ROWS, {})
    with pytest.raises(StorageError):
        Checkpoints(path / "below-a-file").write(2, "abc", ROWS, {})
    assert load_checkpoint(path).step == 1


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(1, "abc", ROWS, {})
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))
    try:
        with pytest.raises(StorageError, match="File too large"):
            checkpoints.write(2, "abc", ROWS, {"weight": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert names(tmp_path) == ["checkpoint-1.pt"]
    found = latest_checkpoint([tmp_path])
    assert found is not None
    assert found.reports == ROWS


def test_when_one_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    checkpoints = Checkpoints(tmp_path, seconds=30, mid_epoch_seconds=300)
    now = 29
    assert not checkpoints.due(evaluated=True)
    now = 31
    assert checkpoints.due(evaluated=True)
    assert not checkpoints.due(evaluated=False)
    now = 301
    assert checkpoints.due(evaluated=False)
    checkpoints.write(1, "abc", [], {})
    assert not checkpoints.due(evaluated=True)


def test_an_object_store_keeps_the_last_two_and_falls_back_over_a_torn_one(bucket: str) -> None:
    folder = resolve_place(f"{bucket}/s/trials/abc/attempt-1")
    checkpoints = Checkpoints(folder)
    for step in (1, 9, 10):
        checkpoints.write(step, "abc", ROWS, {"weight": torch.full((3,), step)})
    assert listed(folder) == ["checkpoint-10.pt", "checkpoint-9.pt"]
    found = latest_checkpoint([folder, resolve_place(f"{bucket}/missing")])
    assert found is not None
    assert (found.path, found.step, found.reports) == (folder / "checkpoint-10.pt", 10, ROWS)
    assert found.state["weight"].tolist() == [10, 10, 10]
    whole = (folder / "checkpoint-10.pt").read_bytes()
    for kept in (0, 1, 100, -10):
        (folder / "checkpoint-10.pt").write_bytes(whole[:kept])
        found = latest_checkpoint([folder])
        assert found is not None and found.step == 9
    checkpoints.clear()
    assert listed(folder) == []
    assert latest_checkpoint([folder]) is None


def test_an_object_store_that_does_not_answer_is_no_torn_checkpoint(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = resolve_place(f"{bucket}/attempt-1")
    Checkpoints(folder).write(1, "abc", ROWS, {})

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(folder.fs, "cat_file", refuse)
    monkeypatch.setattr(folder.fs, "open", refuse)
    with pytest.raises(StorageError, match=r"checkpoint-1.pt` cannot be read: Access Denied"):
        latest_checkpoint([folder])


def test_a_model_is_read_back_from_where_it_was_written(tmp_path: Path, bucket: str) -> None:
    weights = {"layer.weight": torch.arange(6.0).reshape(2, 3).T}
    for folder in (tmp_path, resolve_place(bucket)):
        path = folder / "attempt-1" / "model.safetensors"
        kept = save_weights(weights, path)
        assert torch.equal(kept["layer.weight"], weights["layer.weight"])
        assert torch.equal(tensors(path.read_bytes())["layer.weight"], weights["layer.weight"])
    assert names(tmp_path / "attempt-1") == ["model.safetensors"]
