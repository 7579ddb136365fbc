"""The peak memory of a trial, read in the process that ran it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sparsetune.costs import device_memory


def took(megabytes: int) -> int:
    """The peak in MiB of a trial that uses so many more."""
    device_memory.start("cpu")
    np.ones(megabytes << 20, dtype=np.uint8)
    return device_memory.peak("cpu") >> 20


@pytest.mark.skipif(not device_memory.CLEAR.exists(), reason="only Linux forgets a peak")
def test_a_cpu_trial_does_not_count_the_trial_before_it() -> None:
    large = took(300)
    small = took(20)
    assert 230 < large - small < 330


def test_a_system_that_keeps_no_peak_gives_that_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured = device_memory.peak("cpu")
    monkeypatch.setattr(device_memory, "CLEAR", device_memory.CLEAR / "missing")
    monkeypatch.setattr(device_memory, "STATUS", device_memory.STATUS / "missing")
    device_memory.start("cpu")
    assert device_memory.peak("cpu") >= 0.9 * measured > 50 << 20


def test_the_memory_of_the_machine() -> None:
    assert 1 << 28 < device_memory.available("cpu") < 1 << 46


@pytest.mark.gpu
def test_a_gpu_trial_does_not_count_the_trial_before_it() -> None:
    for megabytes in (512, 64):
        device_memory.start("cuda")
        tensor = torch.ones(megabytes << 20, dtype=torch.uint8, device="cuda")
        del tensor
        assert megabytes <= device_memory.peak("cuda") >> 20 < megabytes + 32
    assert device_memory.peak("cuda") < device_memory.available("cuda")
