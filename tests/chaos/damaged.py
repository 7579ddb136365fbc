"""Damaged copies of a finished study: each is refused by name, or reads with the same numbers.

``python -m tests.chaos.damaged 10000`` damages as many copies, each in one way that its seed
chooses, reads them as `analysis.load` and ``sparsetune status`` do, and prints counts as JSON.
"""

from __future__ import annotations

import json
import logging
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import analysis
from analysis.load import StudyResults
from sparsetune.errors import SparsetuneError
from sparsetune.search.status import study_status
from sparsetune.storage.trial_files import OUTCOMES_FILE, AttemptFiles, file_digests
from sparsetune.storage.trial_files.outcomes import Outcomes, encode_outcomes
from sparsetune.study import Arm, Study
from sparsetune.train.checkpoint import save_masks
from tests.analysis.simulation import Simulation

TABLES = ("trials", "history", "cells", "uses")
MAX_SECONDS = 10.0
"""A reading that takes longer counts as a hang."""
STUDY = Study(
    name="damaged",
    question="Which of its bits may be lost?",
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.9]},
    report_seeds=2,
)


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
    """The study, with its compacted tables."""
    FinishedStudy(STUDY, path).run()
    analysis.load(path, compact=True)
    return path


# One function for each way of damage: new bytes of a file from its own.


def flip(data: bytes, luck: random.Random) -> bytes:
    """One bit is another."""
    if not data:
        return b"\x01"
    changed = bytearray(data)
    changed[luck.randrange(len(data))] ^= 1 << luck.randrange(8)
    return bytes(changed)


def cut(data: bytes, luck: random.Random) -> bytes:
    """The end is missing."""
    return data[: luck.randrange(len(data))] if data else data


def hole(data: bytes, luck: random.Random) -> bytes:
    """A block is zero, as a disk that lost power leaves it."""
    start = luck.randrange(max(1, len(data)))
    size = min(len(data) - start, luck.randrange(1, 513))
    return data[:start] + bytes(size) + data[start + size :]


def drop(data: bytes, luck: random.Random) -> bytes:
    """A line is missing."""
    lines = data.splitlines(keepends=True)
    if lines:
        del lines[luck.randrange(len(lines))]
    return b"".join(lines)


def swap(data: bytes, luck: random.Random) -> bytes:
    """Two lines are in each other's place."""
    lines = data.splitlines(keepends=True)
    if len(lines) > 1:
        a, b = luck.sample(range(len(lines)), 2)
        lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


def double(data: bytes, luck: random.Random) -> bytes:
    """A line is there twice."""
    lines = data.splitlines(keepends=True)
    if lines:
        lines.insert(luck.randrange(len(lines) + 1), luck.choice(lines))
    return b"".join(lines)


WRONG_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 7.5, 1e400, 10**30, "0.99", "", "\ud800", "../x", [], {}, [[]]),
    *(float("nan"), "GREAT", {"a": {"b": []}}),
)


def retype(data: bytes, luck: random.Random) -> bytes:
    """A value of a JSON object in it is of another type or out of its range."""
    lines = data.splitlines(keepends=True)
    for _ in range(8):
        number = luck.randrange(max(1, len(lines)))
        text = data if luck.random() < 0.3 or not lines else lines[number]
        try:
            values = json.loads(text)
        except ValueError:
            continue
        if isinstance(values, dict) and values:
            values[luck.choice(list(values))] = luck.choice(WRONG_VALUES)
            made = json.dumps(values, separators=(",", ":")).encode() + b"\n"
            if text is data:
                return made
            lines[number] = made
            return b"".join(lines)
    return flip(data, luck)


def nest(data: bytes, luck: random.Random) -> bytes:
    """A line of thousands of brackets, open or closed, alone or within an object."""
    depth = luck.choice((50, 3_000, 100_000))
    inner = b"[" * depth + b"]" * (depth * luck.randrange(2))
    line = luck.choice((b"%s", b'{"type":"report","a":%s}', b'{"type":"note","a":%s}')) % inner
    lines = data.splitlines(keepends=True)
    lines.insert(luck.randrange(len(lines) + 1), line + b"\n")
    return b"".join(lines)


def pad(data: bytes, luck: random.Random) -> bytes:
    """Something stands before or after it: a byte order mark, spaces, line ends, other bytes."""
    extra = luck.choice((b"\xef\xbb\xbf", b" ", b"\n", b"\r\n", b"\x00" * 64, b"\xff\xfe", b"{}\n"))
    return extra + data if luck.random() < 0.5 else data + extra


def empty(data: bytes, luck: random.Random) -> bytes:
    """Nothing is left."""
    return b""


WAYS: Sequence[Callable[[bytes, random.Random], bytes]] = (
    *(flip, flip, flip, flip, cut, cut, hole, drop, swap, double, retype, retype, nest, pad, empty),
)
"""Ways of damage; those that are frequent in life are there more than once."""


def damage(path: Path, seed: int) -> str:
    """Damage one file of a study in one way; returns which and how."""
    luck = random.Random(seed)
    files = sorted(one for one in path.rglob("*") if one.is_file())
    # Half of all damage is in the ledger and the declaration, which have the numbers.
    core = [one for one in files if one.parent == path or one.parent.name == "ledger"]
    file = luck.choice(core if luck.random() < 0.6 else files)
    name = str(file.relative_to(path))
    if luck.random() < 0.03:
        file.unlink()
        return f"{name}: gone"
    way = luck.choice(WAYS)
    before = file.read_bytes()
    after = way(before, luck)
    file.write_bytes(after)
    return f"{name}: {way.__name__}" + (" (unchanged)" if after == before else "")


class Numbers:
    """What a study's directory says, to be compared."""

    def __init__(self, results: StudyResults) -> None:
        self.tables = [getattr(results, name)() for name in TABLES]
        self.layers = analysis.density_profile(results).frame()

    def equals(self, other: Numbers) -> bool:
        """True if every number is the same."""
        pairs = zip([*self.tables, self.layers], [*other.tables, other.layers], strict=True)
        return all(mine.equals(theirs) for mine, theirs in pairs)


def outcome(path: Path, whole: Numbers) -> str:
    """How a damaged copy is read: ``refused``, ``named``, ``same``, or a defect in capitals."""
    began = time.monotonic()
    refusals = []
    try:
        try:
            results = analysis.load(path)
            numbers = Numbers(results)
            files = _file_faults(results)
        except SparsetuneError as error:
            refusals.append(str(error))
        try:
            facts = study_status(path)
        except SparsetuneError as error:
            refusals.append(str(error))
    except Exception:
        return f"TRACEBACK\n{traceback.format_exc()}"
    if time.monotonic() - began > MAX_SECONDS:
        return "HANG"
    if refusals:
        return "refused" if len(refusals) == 2 else f"DISAGREEMENT\n{refusals}"
    if list(results.notices) != facts["notices"]:
        return f"DISAGREEMENT\n{results.notices}\n{facts['notices']}"
    if results.notices or files:
        return "named"
    return "same" if numbers.equals(whole) else "CHANGED"


def _file_faults(results: StudyResults) -> list[str]:
    found: list[str] = []
    try:
        results.directory.launches()
    except SparsetuneError as error:
        found.append(str(error))
    for trial_id, state in results.states.items():
        found += AttemptFiles.of(results.directory, trial_id, state).faults()
    return found


def run(folder: Path, seeds: Sequence[int]) -> tuple[Counter[str], list[str]]:
    """Counts of outcomes over damaged copies, and a text for each defect."""
    logging.getLogger("sparsetune").setLevel(logging.ERROR)
    whole_path = write_study(folder / "whole")
    whole = Numbers(analysis.load(whole_path))
    counts: Counter[str] = Counter()
    defects = []
    copy = folder / "copy"
    for seed in seeds:
        shutil.copytree(whole_path, copy)
        what = damage(copy, seed)
        found = outcome(copy, whole)
        shutil.rmtree(copy)
        counts[found.partition("\n")[0]] += 1
        if found[0].isupper():
            defects.append(f"seed {seed}, {what}: {found}")
    return counts, defects


if __name__ == "__main__":
    np.seterr(all="ignore")
    number = int(sys.argv[1])
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as made:
        found, lines = run(Path(made), range(first, first + number))
    print(json.dumps({"directories": number, "first_seed": first, **found}, indent=1))
    for line in lines:
        print(line, file=sys.stderr)
    sys.exit(bool(lines))
