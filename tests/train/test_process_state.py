"""Global state: everything that user code changes is found, and put back or named."""

from __future__ import annotations

import gc
import locale
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd.anomaly_mode import set_detect_anomaly

from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.train import train
from sparsetune.train.process_state import SETTINGS, ProcessState, restored_process_state

CHANGES: dict[str, Callable[[], object]] = {
    "torch.set_default_dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch.set_default_device": lambda: torch.set_default_device("meta"),
    "torch.use_deterministic_algorithms": lambda: torch.use_deterministic_algorithms(True),
    "torch.set_float32_matmul_precision": lambda: torch.set_float32_matmul_precision("medium"),
    "torch.set_grad_enabled": lambda: torch.set_grad_enabled(False),
    "torch.autograd.set_detect_anomaly": lambda: set_detect_anomaly(True),
    "torch.set_flush_denormal": lambda: torch.set_flush_denormal(True),
    "torch.set_num_threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch's cudnn_benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "torch's cudnn_deterministic": lambda: setattr(torch.backends.cudnn, "deterministic", True),
    "torch's cublas_allow_tf32": lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    "torch's cublas_allow_bf16_reduced_precision_reduction": lambda: setattr(
        torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", False
    ),
    "torch.backends.mkldnn.fp32_precision": lambda: setattr(
        torch.backends.mkldnn, "fp32_precision", "bf16"
    ),
    "torch's mkldnn_enabled": lambda: torch._C._set_mkldnn_enabled(False),
    "torch's deterministic_fill_uninitialized_memory": lambda: setattr(
        torch.utils.deterministic, "fill_uninitialized_memory", False
    ),
    "torch's math attention": lambda: torch.backends.cuda.enable_math_sdp(False),
    "autocast on cpu": lambda: torch.set_autocast_enabled("cpu", True),
    "hooks of all modules (_global_forward_hooks)": lambda: (
        nn.modules.module.register_module_forward_hook(lambda *_: None)
    ),
    "Linear.reset_parameters": lambda: setattr(nn.Linear, "reset_parameters", lambda self: None),
    "torch.nn.functional.relu": lambda: setattr(nn.functional, "relu", torch.sigmoid),
    "numpy.seterr": lambda: np.seterr(all="raise"),
    "working directory": lambda: os.chdir("/"),
    "environment": lambda: os.environ.update(OMP_NUM_THREADS="7", NEW_ONE="1"),
    "sys.path": lambda: sys.path.insert(0, "/nowhere"),
    "sys.setrecursionlimit": lambda: sys.setrecursionlimit(5_000),
    "sys.stdin, sys.stdout, sys.stderr": lambda: setattr(sys, "stdout", sys.__stderr__),
    "warnings.filters": lambda: warnings.simplefilter("error", ImportWarning),
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C"),
    "gc.disable": gc.disable,
}
"""What a user's code may do, by what it is called."""


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_found_named_and_undone(name: str) -> None:
    before = ProcessState.now()
    assert before.changes() == []
    CHANGES[name]()
    try:
        assert name in before.changes()
    finally:
        assert before.restore() == []


def test_many_changes_at_once_are_undone(tmp_path: Path) -> None:
    before = ProcessState.now()
    for change in CHANGES.values():
        change()
    assert len(before.changes()) >= len(CHANGES)
    assert before.restore() == []


def test_generators_are_put_back_and_are_no_change() -> None:
    before = ProcessState.now()
    drawn = [random.random(), np.random.random(), torch.rand(1).item()]
    assert before.changes() == []
    before.restore()
    assert [random.random(), np.random.random(), torch.rand(1).item()] == drawn
    before.restore()


def test_what_cannot_be_undone_is_named() -> None:
    """In a thread of its own, with which its modes end."""
    found: list[list[str]] = []

    def enter() -> None:
        before = ProcessState.now()
        with ExitStack() as modes:
            modes.enter_context(torch.inference_mode())
            modes.enter_context(torch.device("meta"))
            found.append(before.restore())
        found.append(before.changes())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert "torch.inference_mode" in found[0] and "modes of torch's functions" in found[0]
    assert found[1] == []


def test_a_working_directory_that_is_gone_is_left_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    with restored_process_state():
        os.chdir(folder)
        folder.rmdir()
    assert Path.cwd() == tmp_path


def test_a_training_changes_nothing() -> None:
    spec = TrialSpec(schedule=ScheduleSpec(epochs=1))
    train(spec)  # the first use of torch's optimizers changes them
    before = ProcessState.now()
    train(spec)
    assert before.changes() == []


def test_every_setting_can_be_read_here() -> None:
    assert [setting.name for setting in SETTINGS if "unreadable" in str(setting.value())] == []
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS) > 60
