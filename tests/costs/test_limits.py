"""What is refused before it starts, and what the message offers instead, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sparsetune.costs import limits
from sparsetune.costs.forecast import START_SECONDS, Forecast
from sparsetune.costs.limits import Limits, free_bytes
from sparsetune.errors import LimitError
from sparsetune.units import GIB_BYTES

FACTS: dict[str, Any] = {
    "trials": 10,
    "epochs": 40.0,
    "seconds": 36_000.0,
    "checkpoint": GIB_BYTES,
    "models": 5.0 * GIB_BYTES,
    "kept": GIB_BYTES,
    "records": GIB_BYTES / 2,
}


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A hundred GiB are free, or what a test asks for."""
    space = getattr(request, "param", 100)
    monkeypatch.setattr(
        limits, "free_bytes", lambda path: None if space is None else int(space * GIB_BYTES)
    )


def refusal(limit: Limits, slots: int = 2, **facts: Any) -> str:
    with pytest.raises(LimitError) as caught:
        limit.check(Forecast(**{**FACTS, **facts}), slots, Path("runs/x"))
    return str(caught.value)


def test_what_fits_is_not_refused() -> None:
    """Ten hours of work take five at two at once, and six checkpoints, six GiB."""
    Limits(hours=5.01, gib=12, keep_models=True).check(Forecast(**FACTS), 2, Path("runs/x"))
    Limits(gib=6).check(Forecast(**FACTS), 2, Path("runs/x"))


def test_too_long() -> None:
    assert START_SECONDS == 20
    assert refusal(Limits(hours=5)) == (
        "the study must end within --max-hours 5,"
        " got a forecast of 5.01 hours for 10 trials, 2 at once;"
        " --max-hours 5.01 would do, as would 3 trials at once"
    )


def test_too_long_however_many_run_at_once() -> None:
    assert refusal(Limits(hours=0.5)).endswith("--max-hours 5.01 would do")


def test_more_than_was_asked_for() -> None:
    rule = "checkpoints and models must take at most --max-gib "
    listed = "got a forecast of 12 GiB: 6 GiB of checkpoints, 6 GiB of models; "
    both = Limits(gib=11, keep_models=True)
    assert refusal(both) == f"{rule}11, {listed}--checkpoint-gib 5 would do"
    assert (
        refusal(Limits(gib=6, keep_models=True))
        == f"{rule}6, {listed}without --keep-models it takes 6 GiB"
    )
    assert refusal(Limits(gib=4, keep_models=True)) == (
        f"{rule}4, {listed}--checkpoint-gib 4 without --keep-models would do"
    )
    with_quota = Limits(gib=11, keep_models=True, checkpoint_gib=5)
    with_quota.check(Forecast(**FACTS), 2, Path("runs/x"))


@pytest.mark.parametrize("_room", [8.5], indirect=True)
def test_a_disk_that_is_too_small() -> None:
    """Checkpoints take at most a tenth of it by default; models are what does not fit."""
    said = refusal(Limits(keep_models=True), models=9.25 * GIB_BYTES)
    assert said == (
        "`runs/x` must have room for the study, with 8.5 GiB free, got a forecast of 10.6 GiB:"
        " 870 MiB of checkpoints, 9.25 GiB of models, 512 MiB of records;"
        " without --keep-models it takes 1.35 GiB"
    )
    assert refusal(Limits(checkpoint_gib=8.4), slots=3).endswith("--checkpoint-gib 8 would do")
    Limits(checkpoint_gib=8).check(Forecast(**FACTS), 3, Path("runs/x"))


@pytest.mark.parametrize("_room", [0.4], indirect=True)
def test_a_disk_without_room_for_the_ledger() -> None:
    assert refusal(Limits()).endswith("512 MiB of records; choose another --storage")


@pytest.mark.parametrize("_room", [0], indirect=True)
def test_what_could_not_be_forecast_is_never_refused() -> None:
    unknown = Forecast(10, 40.0, missing="no data")
    Limits(hours=0.0, gib=0.0).check(unknown, 1, Path("runs/x"))


@pytest.mark.parametrize("_room", [None], indirect=True)
def test_an_object_store_is_never_full() -> None:
    Limits(keep_models=True).check(Forecast(**{**FACTS, "models": 1e18}), 2, Path("runs/x"))
    assert Limits().quota(Path("runs/x")) == float("inf")


def test_the_quota_of_checkpoints() -> None:
    assert Limits().quota(Path("runs/x")) == pytest.approx(10 * GIB_BYTES)
    assert Limits(checkpoint_gib=3).quota(Path("runs/x")) == 3 * GIB_BYTES


def test_free_space_is_that_of_the_folder_that_will_hold_it(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "new" / "study") == pytest.approx(free_bytes(tmp_path), rel=0.01)
