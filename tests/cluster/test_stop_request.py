"""The signals of a launch, as long as it runs; what its workers do then is in
`tests/chaos/test_signals.py`.
"""

from __future__ import annotations

import signal
from typing import Any

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
