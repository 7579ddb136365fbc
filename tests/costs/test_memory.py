"""Peak memory by model and batch size, and the shares that follow, by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.costs.memory import PeakMemory, peak_memory
from sparsetune.storage.trial_state import TrialState, fold_records
from sparsetune.units import GIB_BYTES, format_bytes
from tests.ledger_records import records


def on_gpu(peak: float, available: float | None = 80 * GIB_BYTES) -> PeakMemory:
    return PeakMemory("resnet50", 256, "cuda", peak, 3, available)


@pytest.mark.parametrize(
    ("peak", "share"),
    [
        (10 * GIB_BYTES, 0.2),  # 12.5 GiB of 80 are 0.156
        (6.25 * GIB_BYTES, 0.1),  # 8 GiB are 0.1 exactly
        (6.26 * GIB_BYTES, 0.15),
        (60 * GIB_BYTES, 0.95),  # 72.5 GiB are 0.906
        (70 * GIB_BYTES, 1.0),  # it ran, so a whole GPU holds it
        (0.001 * GIB_BYTES, 0.05),
    ],
)
def test_a_gpu_share_holds_the_peak_with_a_margin_and_cuda_itself(
    peak: float, share: float
) -> None:
    assert on_gpu(peak).gpu_share == share
    assert on_gpu(peak).advice == f"--gpus-per-trial {share:g}"
    assert on_gpu(peak).at_once is None


@given(st.floats(1, 80 * GIB_BYTES), st.sampled_from([16, 40, 80, 141]))
def test_a_share_is_a_twentieth_and_holds_what_fits(peak: float, gibs: int) -> None:
    share = on_gpu(peak, gibs * GIB_BYTES).gpu_share
    assert share is not None
    assert 0 < share <= 1
    assert round(20 * share) == pytest.approx(20 * share)
    if share < 1:
        assert share * gibs * GIB_BYTES >= 1.2 * peak + GIB_BYTES / 2 - 1
        assert (share - 0.05) * gibs * GIB_BYTES < 1.2 * peak + GIB_BYTES / 2 + 1


def test_an_unknown_gpu_gives_no_advice() -> None:
    peak = on_gpu(GIB_BYTES, None)
    assert (peak.gpu_share, peak.at_once, peak.advice) == (None, None, "")


@pytest.mark.parametrize(
    ("peak", "at_once"), [(2 * GIB_BYTES, 6), (2.5 * GIB_BYTES, 5), (20 * GIB_BYTES, 1)]
)
def test_trials_that_fit_in_ram(peak: float, at_once: int) -> None:
    """16 GiB hold 6.67 times 2.4 GiB, and 5.33 times 3 GiB; one runs in any case."""
    on_cpu = PeakMemory("mlp", 64, "cpu", peak, 1, 16 * GIB_BYTES)
    assert (on_cpu.at_once, on_cpu.gpu_share) == (at_once, None)
    assert on_cpu.advice == f"{at_once} at once fit in RAM"


def trial(
    name: str,
    task: dict[str, Any],
    peak: float | None,
    device: str = "cpu",
    memory: float | None = 4e9,
) -> list[Any]:
    started = {"resumed_from_step": 0, "attempt": 1, "device": device}
    return [
        {
            "type": "proposed",
            "trial_id": name,
            "role": "search",
            "spec": {"task": task} if task else {},
        },
        {
            "type": "started",
            "trial_id": name,
            **started,
            **({"device_memory": memory} if memory else {}),
        },
        {
            "type": "ended",
            "trial_id": name,
            "status": "COMPLETE",
            **({"peak_memory": peak} if peak else {}),
        },
    ]


def states(*trials: list[Any]) -> list[TrialState]:
    return list(fold_records(records(line for one in trials for line in one)).values())


def test_the_most_by_model_and_batch_size() -> None:
    wide = {"kind": "digits", "batch_size": 32}
    found = peak_memory(
        states(
            trial("a", {}, 3e8),
            trial(
                "b", {"kind": "digits", "model": "mlp"}, 5e8, memory=2e9
            ),  # the default by its name
            trial("c", wide, 7e8),
            trial("d", wide, 6e9, device="cuda:0", memory=8e10),
            [*trial("e", {}, 9e9), trial("e", {}, None)[1]],  # it runs again: not measured yet
            trial("f", {}, None),  # recorded before peaks were
        )
    )
    default = found[0]
    assert (default.device, default.peak, default.trials, default.available) == ("cpu", 5e8, 2, 2e9)
    assert [(p.batch_size, p.device, p.peak, p.available) for p in found[1:]] == [
        (32, "cpu", 7e8, 4e9),
        (32, "cuda", 6e9, 8e10),
    ]
    assert found[2].facts()["gpu_share"] == 0.1  # 7.2e9 + 0.54e9 of 8e10 bytes are 0.097


def test_a_ledger_without_device_memory_still_has_peaks() -> None:
    (found,) = peak_memory(states(trial("a", {}, 3e8, memory=None)))
    assert (found.peak, found.available, found.advice) == (3e8, None, "")


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (1.5 * GIB_BYTES, "1.5 GiB"),
        (GIB_BYTES, "1 GiB"),
        (320 << 20, "320 MiB"),
        (3000, "3 KiB"),
        (0, "0 KiB"),
    ],
)
def test_bytes_for_people(size: float, words: str) -> None:
    assert format_bytes(size) == words
