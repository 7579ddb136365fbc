"""The peak memory of a trial, read in the process that ran it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sparsetune.tune import meter


def took(megabytes: int) -> int:
    """The peak in MiB of a trial that uses so many more."""
    meter.start("cpu")
    np.ones(megabytes << 20, dtype=np.uint8)
    return meter.peak("cpu") >> 20


@pytest.mark.skipif(not meter.CLEAR.exists(), reason="only Linux forgets a peak")
def test_a_cpu_trial_does_not_count_the_trial_before_it() -> None:
    large, small = took(300), took(20)
    assert 230 < large - small < 330


def test_a_system_that_keeps_no_peak_gives_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = meter.peak("cpu")
    monkeypatch.setattr(meter, "CLEAR", meter.CLEAR / "missing")
    monkeypatch.setattr(meter, "STATUS", meter.STATUS / "missing")
    meter.start("cpu")
    assert meter.peak("cpu") >= 0.9 * measured > 50 << 20


def test_the_memory_of_the_machine() -> None:
    assert 1 << 28 < meter.available("cpu") < 1 << 46


@pytest.mark.gpu
def test_a_gpu_trial_does_not_count_the_trial_before_it() -> None:
    for megabytes in (512, 64):
        meter.start("cuda")
        tensor = torch.ones(megabytes << 20, dtype=torch.uint8, device="cuda")
        del tensor
        assert megabytes <= meter.peak("cuda") >> 20 < megabytes + 32
    assert meter.peak("cuda") < meter.available("cuda")
