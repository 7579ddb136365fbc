"""How many trials fit on nodes, what is refused, and the device that a worker claims; no Ray."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsetune import Study
from sparsetune.cluster.placement import (
    TrialResources,
    check_gpu_share,
    claim_device,
    trials_at_once,
)
from sparsetune.errors import DeclarationError
from sparsetune.launch.launch import Options, launch

BOX = {"CPU": 64.0, "GPU": 8.0}


@pytest.mark.parametrize(
    ("share", "nodes", "expected"),
    [
        (TrialResources(1, 1), [BOX], 8),
        (TrialResources(1, 0.25), [BOX], 32),
        (
            TrialResources(1, 0.6),
            [BOX],
            8,
        ),  # two of 0.6 do not share a GPU, though 1.2 of 8 are little
        (TrialResources(1, 0.1), [BOX], 64),  # of 80 by the GPUs
        (TrialResources(16, 0), [BOX], 4),
        (TrialResources(0.5, 0), [{"CPU": 3}], 6),
        (TrialResources(0.1, 0), [{"CPU": 0.3}], 3),  # 0.3 / 0.1 is a little less than 3
        (
            TrialResources(3, 0),
            [{"CPU": 4}, {"CPU": 4}],
            2,
        ),  # one on each, though 8 / 3 is more than 2
        (TrialResources(1, 1), [{"CPU": 8}, {"CPU": 2, "GPU": 4}], 2),
        (TrialResources(0, 0.5), [{"CPU": 1, "GPU": 1}], 2),
    ],
)
def test_trials_at_once(
    share: TrialResources, nodes: list[dict[str, float]], expected: int
) -> None:
    assert trials_at_once(share, nodes) == expected


@given(
    cpu=st.integers(1, 8),
    tenths=st.integers(1, 10),
    nodes=st.lists(st.integers(0, 4), min_size=1, max_size=4),
)
def test_never_more_than_the_resources(cpu: int, tenths: int, nodes: list[int]) -> None:
    gpu = tenths / 10
    have = [{"CPU": 8.0, "GPU": float(gpus)} for gpus in nodes]
    fits = sum(TrialResources(cpu, gpu).trials_on(node) for node in have)
    assert all(
        TrialResources(cpu, gpu).trials_on(node) * gpu <= node["GPU"] + 1e-6 for node in have
    )
    assert fits * cpu <= 8 * len(nodes)
    one_more = [min(8 // cpu, gpus * int(1 / gpu + 1e-9)) for gpus in nodes]
    assert fits == sum(one_more)


@pytest.mark.parametrize(
    ("share", "nodes", "said"),
    [
        (
            TrialResources(1, 0.5),
            [{"CPU": 4}],
            "`gpus_per_trial`: no node has more than 0 GPUs; give at most that, got 0.5",
        ),
        (
            TrialResources(65, 0),
            [BOX],
            "`cpus_per_trial`: no node has more than 64 CPUs; give at most that, got 65",
        ),
        (
            TrialResources(4, 1),
            [{"CPU": 8}, {"CPU": 2, "GPU": 4}],
            "no node has 4 CPUs and 1 GPUs together; ask for less",
        ),
        (
            TrialResources(1, 0),
            [],
            "`cpus_per_trial`: no node has more than 0 CPUs; give at most that, got 1",
        ),
    ],
)
def test_what_no_node_has_is_refused(
    share: TrialResources, nodes: list[dict[str, float]], said: str
) -> None:
    with pytest.raises(DeclarationError) as refused:
        trials_at_once(share, nodes)
    assert str(refused.value) == f"1 problem in what a trial takes:\n  - {said}"


def test_a_trial_takes_at_most_one_gpu() -> None:
    for share in (1.5, 2, 8):
        with pytest.raises(DeclarationError) as refused:
            check_gpu_share(share)
        assert str(refused.value) == (
            "1 problem in what a trial takes:\n"
            "  - `gpus_per_trial`: must be at most 1: a trial trains"
            f" on one GPU, and more would stay idle; give 1 or less, got {share:g}"
        )
    for share in (None, 0, 0.25, 1):
        check_gpu_share(share)


def test_it_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    storage = tmp_path / "runs"
    with pytest.raises(DeclarationError, match="gpus_per_trial"):
        launch(Study(name="s"), Options(storage, gpus_per_trial=2.5))
    assert not storage.exists()


def test_a_worker_of_cpu_trials_hides_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert claim_device("cpu") == ("cpu", None)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_a_worker_whose_torch_sees_no_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    device, note = claim_device("cuda")
    assert device == "cpu" and note and "run on the CPU" in note
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert claim_device("cuda") == ("cuda", None)
