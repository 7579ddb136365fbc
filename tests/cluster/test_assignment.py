"""What a worker is given, and the plain form that Tune carries to it."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from sparsetune.cluster.assignment import Assignment, LaunchSettings
from tests.assignments import SETTINGS

GIVEN = Assignment(
    trial_id="t",
    attempt=3,
    spec={"seed": 1},
    read_test=True,
    folder="/runs/s/trials/t/attempt-3",
    earlier=("/runs/s/trials/t/attempt-1", "/runs/s/trials/t/attempt-2"),
    retry="the worker died",
    rungs=(0.25, 0.5),
    teaches=True,
    teacher=None,
    shared=SETTINGS,
)


def test_an_assignment_survives_the_way_to_the_worker() -> None:
    assert Assignment.from_config(GIVEN.to_config()) == GIVEN


def test_its_plain_form_is_json() -> None:
    assert Assignment.from_config(json.loads(json.dumps(GIVEN.to_config()))) == GIVEN


@pytest.mark.parametrize("part", [Assignment, LaunchSettings])
def test_every_field_is_written_down(part: Any) -> None:
    documented = [line.partition(":")[0].strip() for line in (part.__doc__ or "").splitlines()]
    assert {one.name for one in fields(part)} <= set(documented)
