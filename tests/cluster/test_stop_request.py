"""The signals of a launch, as long as it runs; what its workers do then is in
`tests/chaos/test_signals.py`.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest

from sparsetune.cluster.stop_request import StopRequest


def test_sigusr1_is_taken_back_from_whoever_takes_it_meanwhile() -> None:
    def of_tune(number: int, frame: Any) -> None: ...

    before = signal.getsignal(signal.SIGUSR1)
    request = StopRequest("launch")
    with request.on_signals(lambda: None):
        ours = signal.getsignal(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, of_tune)
        request.keep_signals()
        assert signal.getsignal(signal.SIGUSR1) is ours is not before
    assert signal.getsignal(signal.SIGUSR1) is before
    request.keep_signals()
    assert signal.getsignal(signal.SIGUSR1) is before


def test_a_closed_terminal_stops_a_launch_but_not_one_that_is_to_outlive_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    request = StopRequest("launch")
    monkeypatch.setattr(request, "request_stop", lambda: asked.append("stop"))
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with request.on_signals(lambda: None):
            signal.raise_signal(signal.SIGHUP)
        assert asked == ["stop"]
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
        with request.on_signals(lambda: None):
            signal.raise_signal(signal.SIGHUP)
        assert asked == ["stop"]
    finally:
        signal.signal(signal.SIGHUP, before)
