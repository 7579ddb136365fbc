"""The peak memory of a trial, read in the process that ran it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sparsetune import machine
from sparsetune.costs import device_memory


def took(megabytes: int) -> int:
    """The peak in MiB of a trial that uses so many more."""
    device_memory.reset_peak("cpu")
    np.ones(megabytes << 20, dtype=np.uint8)
    return device_memory.peak_bytes("cpu") >> 20


@pytest.mark.skipif(not machine.PROC.exists(), reason="only Linux forgets a peak")
def test_a_cpu_trial_does_not_count_the_trial_before_it() -> None:
    large = took(300)
    small = took(20)
    assert 230 < large - small < 330


def test_a_system_that_keeps_no_peak_gives_that_of_the_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    measured = device_memory.peak_bytes("cpu")
    monkeypatch.setattr(machine, "PROC", tmp_path / "missing")
    device_memory.reset_peak("cpu")
    assert device_memory.peak_bytes("cpu") >= 0.9 * measured > 50 << 20


def test_the_memory_of_the_machine() -> None:
    assert 1 << 28 < device_memory.device_bytes("cpu") < 1 << 46


@pytest.mark.gpu
def test_a_gpu_trial_does_not_count_the_trial_before_it() -> None:
    for megabytes in (512, 64):
        device_memory.reset_peak("cuda")
        tensor = torch.ones(megabytes << 20, dtype=torch.uint8, device="cuda")
        del tensor
        assert megabytes <= device_memory.peak_bytes("cuda") >> 20 < megabytes + 32
    assert device_memory.peak_bytes("cuda") < device_memory.device_bytes("cuda")
