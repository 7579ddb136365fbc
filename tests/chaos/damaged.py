"""Damaged copies of a finished study: each is refused by name, or reads with the same numbers.

``python -m tests.chaos.damaged 10000`` damages as many copies, each in one way that its seed
chooses, reads them as `analysis.load` and ``sparsetune status`` do, and prints counts as JSON. A
second number is the first seed. ``--through report`` writes a report of each, ``prepare`` prepares
a launch that would resume it, which writes nothing, and ``resume`` resumes it.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

import analysis
from sparsetune.launch.launch import launch
from sparsetune.launch.options import Options
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.storage.trial_files import OUTCOMES_FILE, file_digests
from sparsetune.storage.trial_files.outcomes import Outcomes, encode_outcomes
from sparsetune.study import Arm, Study
from sparsetune.train.checkpoint import save_masks
from tests.analysis.simulation import Simulation
from tests.chaos.damage import damage
from tests.chaos.hang import Hang, time_limit
from tests.chaos.readings import LIMITS, READINGS

STUDY = Study(
    name="damaged",
    question="Which of its bits may be lost?",
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.9]},
    report_seeds=2,
)
TRAINED = STUDY.with_changes(base=TrialSpec(schedule=ScheduleSpec(epochs=2)))
"""The same study in so few epochs that what a damage takes away is trained again in seconds."""
PIECE = 10
"""Directories after which the counts so far are printed."""


class FinishedStudy(Simulation):
    """A finished study whose trials left their small files, as a worker does."""

    def close(self) -> Path:
        """Write the files of every trial that ended, then the ledger with their digests."""
        targets = {
            one["trial_id"]: one["spec"].get("sparsity", {}).get("target", 0.0)
            for one in self.records
            if one["type"] == "proposed"
        }
        recorded = []
        for record in self.records:
            if record["type"] == "ended":
                folder = Path(str(self.directory.attempt(record["trial_id"], 1)))
                _leave_files(folder, targets[record["trial_id"]])
                record = {**record, "files": file_digests(folder)}
            recorded.append(record)
        self.records = recorded
        return super().close()


def _leave_files(folder: Path, target: float) -> None:
    kept = round(64 * (1 - target))
    mask = torch.arange(64).reshape(8, 8) < kept
    layer = {"name": "1.weight", "shape": [8, 8], "weights": 64, "kept": kept, "zeros": 64 - kept}
    masks = [
        {"step": 9, "phase": "fixed", "sparsity": target, "iou_previous": None, "iou_final": 1.0}
    ]
    folder.mkdir(parents=True)
    (folder / "certificate.json").write_text(json.dumps({"layers": [layer]}, indent=1))
    (folder / "structure.json").write_text(json.dumps(masks, indent=1))
    save_masks({"1.weight": mask}, folder / "masks.safetensors")
    right = np.arange(360) % 9 > 0
    (folder / OUTCOMES_FILE).write_bytes(encode_outcomes(Outcomes(360, accuracy=right)))


def write_study(path: Path) -> Path:
    """The study with numbers from a formula, and its compacted tables."""
    FinishedStudy(STUDY, path).run()
    analysis.load(path, compact=True)
    return path


def train_study(path: Path) -> Path:
    """The study in two epochs, trained on Ray, with its report."""
    made = launch(TRAINED, Options(storage=path, quiet=True)).directory
    analysis.report(made)
    return Path(str(made))


WRITERS: dict[str, Callable[[Path], Path]] = {
    "load": write_study,
    "report": write_study,
    "prepare": train_study,
    "resume": train_study,
}
"""The study whose copies are damaged, by what they go through."""


def run(
    folder: Path,
    seeds: Sequence[int],
    through: str = "load",
    tell: Callable[[Counter[str], int], None] = lambda counts, seed: None,
) -> tuple[Counter[str], list[str]]:
    """Counts of outcomes over damaged copies, and a text for each defect.

    Args:
        folder: An empty folder.
        seeds: A copy is damaged for each.
        through: What the copies go through, a key of `READINGS`.
        tell: Called after each copy with the counts so far and its seed.
    """
    logging.getLogger("sparsetune").setLevel(logging.ERROR)
    whole = WRITERS[through](folder / "whole")
    copy = folder / "copy"
    shutil.copytree(whole, copy)
    # What is said of the whole study names the place of its copies too.
    reading = READINGS[through](copy)
    shutil.rmtree(copy)
    counts: Counter[str] = Counter()
    defects = []
    for seed in seeds:
        shutil.copytree(whole, copy)
        what = damage(copy, seed)
        found = outcome(reading, copy, LIMITS[through])
        shutil.rmtree(copy)
        counts[found.partition("\n")[0]] += 1
        if found[0].isupper():
            defects.append(f"seed {seed}, {what}: {found}")
        tell(counts, seed)
    return counts, defects


def outcome(reading: Callable[[Path], str], copy: Path, limits: tuple[float, float]) -> str:
    """How a damaged copy is read, in a word; a defect in capitals, with its text."""
    try:
        with time_limit(*limits):
            return reading(copy)
    except Hang:
        return f"HANG\n{traceback.format_exc()}"
    except BaseException:  # SystemExit among them
        return f"TRACEBACK\n{traceback.format_exc()}"


if __name__ == "__main__":
    np.seterr(all="ignore")
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("number", type=int)
    parser.add_argument("first", type=int, nargs="?", default=0)
    parser.add_argument("--through", choices=READINGS, default="load")
    parsed = parser.parse_args()

    def tell(counts: Counter[str], seed: int) -> None:
        done = seed + 1 - parsed.first
        if done % PIECE == 0 or done == parsed.number:
            facts = {"through": parsed.through, "first_seed": parsed.first, "directories": done}
            print(json.dumps({**facts, **counts}), flush=True)

    chosen = range(parsed.first, parsed.first + parsed.number)
    with tempfile.TemporaryDirectory() as made:
        _, lines = run(Path(made).resolve(), chosen, parsed.through, tell)
    for line in lines:
        print(line, file=sys.stderr)
    sys.exit(bool(lines))
