"""Templates of ``sparsetune init``, from an empty folder and the built wheel to a report."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.integration.wheel import install_wheel
from tests.texts import write_sst2

pytestmark = [pytest.mark.docs, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Workplace:
    """An empty folder of a user who has installed the wheel.

    Args:
        folder: The folder.
        environment: Variables of the user's commands.
    """

    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str) -> dict[str, Any]:
        """What a command prints as JSON; it must end well."""
        done = subprocess.run(
            [sys.executable, "-m", "sparsetune", *arguments, "--json"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        facts: dict[str, Any] = json.loads(done.stdout)
        return facts


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of commands of the installed wheel."""
    return install_wheel(tmp_path_factory.mktemp("wheel"))[1]


@pytest.fixture
def workplace(wheel: dict[str, str], tmp_path: Path) -> Workplace:
    """An empty folder."""
    return Workplace(tmp_path, wheel)


def require_report(facts: dict[str, Any]) -> None:
    """Every trial of a launch is complete, and its report is there."""
    assert set(facts["trials"]) == {"COMPLETE"}
    assert "<svg" in Path(facts["report"]).read_text()


def write_images(folder: Path, train: int, val: int) -> None:
    """Two classes of 24-pixel images, dark and bright; so many of each class."""
    rng = np.random.RandomState(0)
    for part, count in (("train", train), ("val", val)):
        for name, brightness in (("dark", 90), ("bright", 160)):
            (folder / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.normal(brightness, 30, (24, 24, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{number}.jpg")


@pytest.mark.parametrize("template", ["tabular", "images", "own"])
def test_an_empty_folder_ends_in_a_report(workplace: Workplace, template: str) -> None:
    written = workplace.run("init", "s.py", "--template", template)
    assert written["next"] == "sparsetune run s.py"
    require_report(workplace.run("run", "s.py"))


def test_a_folder_of_images_needs_its_marked_lines_edited(workplace: Workplace) -> None:
    write_images(workplace.folder / "photos", train=100, val=20)
    workplace.run("init", "s.py", "--template", "folder")
    file = workplace.folder / "s.py"
    edits = {'"my_images"': '"photos"', "= 32  #": "= 24  #"}
    lines = file.read_text().splitlines(keepends=True)
    marked = [number for number, line in enumerate(lines) if "  # <- " in line]
    assert len(marked) == len(edits)
    for number, (old, new) in zip(marked, edits.items(), strict=True):
        assert old in lines[number]
        lines[number] = lines[number].replace(old, new)
    file.write_text("".join(lines))
    require_report(workplace.run("run", "s.py"))


def test_sentences_in_the_layout_of_glue_end_in_a_report(workplace: Workplace) -> None:
    write_sst2(workplace.folder / "data" / "glue" / "SST-2", train=2_100, dev=60)
    workplace.run("init", "s.py", "--template", "text")
    require_report(workplace.run("run", "s.py", "--data-root", "data"))
