"""The long form: twenty times kill -9 of the driver at random points of one study, its start
included.

What was seen is kept in `studies/records/chaos`; to make it anew:
``SPARSETUNE_CHAOS=studies/records/chaos uv run pytest -m slow tests/chaos``.
"""

from __future__ import annotations

import csv
import os
import random
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.chaos import Chaos

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]
KILLS = 20


def test_twenty_kills_at_random_points(tmp_path: Path, cluster: Any) -> None:
    study = Chaos(tmp_path, cluster.address)
    folder = Path(os.environ.get("SPARSETUNE_CHAOS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    for point in sorted(random.Random(0).sample(range(500), KILLS)):
        study.launch()
        study.wait(lambda enough=point: study.holds() and study.reports() >= enough)
        study.kill_driver()
        write(folder / "kills.csv", study.kills)
    study.launch()
    counts = study.finish()
    write(folder / "counts.csv", [counts])
    assert counts["driver killed"] == KILLS and counts["of them mid-ramp"] > 0


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
