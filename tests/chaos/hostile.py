"""Study directories as somebody who means harm would send them, with valid checksums.

``python -m tests.chaos.hostile 500`` makes as many, each after its seed, and reads them with every
command that only reads, in one process. Nothing outside them may be written and nothing that they
name imported; no text of theirs may reach the terminal as more than text.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import random
import re
import shutil
import socket
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

import analysis
from sparsetune.cli.main import main
from sparsetune.errors import SparsetuneError
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.spec.task import CustomTask, ImageTask
from sparsetune.spec.task.sizes import DataSizes
from sparsetune.storage.trial_files import OUTCOMES_FILE, file_digests
from sparsetune.storage.trial_files.outcomes import Outcomes, encode_outcomes
from sparsetune.study import Arm, Study
from sparsetune.study.budget import Budget
from sparsetune.study.space import LogUniform, Uniform
from sparsetune.study.stopping import Halving
from sparsetune.train.checkpoint import save_masks
from tests.analysis.simulation import Simulation
from tests.chaos.hang import Hang, time_limit

PAYLOAD = "hostile_payload"
"""Module that a study names in every field that takes one, and that leaves a mark if imported."""
OWN = f"{PAYLOAD}:fn"
TITLE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
"""Text that would give a terminal another title, clear it, colour it and turn it round."""
FORMULA = '=HYPERLINK("http://evil")'
MAX_SECONDS = 20.0
"""Processor seconds after which a command counts as one that hangs."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
VICTIM = b"precious\n"
WRITTEN = (
    *("tables/trials.csv", "tables/cells.csv", "tables/reports.parquet", "tables/compact.json"),
    *("report/index.html", "figures/replay.csv", "figures/replay.png", "driver.lock"),
    *("tables/trials.csv.tmp", "report/index.html.tmp", "search.journal", "ledger/000009.jsonl"),
)
"""Files that a command may write, which the sender can have there before."""

_SIZES = DataSizes(
    data=OWN,
    train=1000,
    test=100,
    n_outputs=2,
    classes=2,
    class_names=(TITLE, FORMULA),
    fingerprint="0" * 12,
)
_SPARSE = {"sparsity.target": [0, 0.9]}
_SEARCH = {
    "optim.lr": LogUniform(0.01, 1.0),
    "sparsity.ramp.start": Uniform(0.0, 0.3),
    "sparsity.ramp.length": Uniform(0.3, 0.6),
}


def _study(name: str, base: TrialSpec, **fields: Any) -> Study:
    given = {"arms": {"gmp": Arm({"sparsity.method": "gmp"})}, "sweep": _SPARSE, "report_seeds": 2}
    return Study(name=name, question=f"Owned? {TITLE}", base=base, **{**given, **fields})


def hostile_studies() -> list[Study]:
    """Studies that name the payload wherever a field takes one, and are what a reader works out."""
    plain = TrialSpec(schedule=ScheduleSpec(epochs=10))
    model = TrialSpec(task=ImageTask(model=OWN), schedule=ScheduleSpec(epochs=10))
    everywhere = TrialSpec(
        task=ImageTask(model=OWN),
        optim=OptimSpec(name=OWN),
        schedule=ScheduleSpec(epochs=10, lr=OWN),
        sparsity=SparsitySpec(
            method="gmp", target=0.9, score=OWN, allocation=OWN, ramp={"shape": OWN}
        ),
    )
    custom = TrialSpec(
        task=CustomTask(
            data=OWN,
            model=OWN,
            loss=OWN,
            metrics=(OWN,),
            normalise=OWN,
            augment=OWN,
            resolved=(_SIZES,),
        ),
        schedule=ScheduleSpec(epochs=10),
    )
    search: dict[str, Any] = {"search": _SEARCH, "configurations_per_cell": 3, "known_base": True}
    names = {f"{FORMULA}{TITLE}": Arm({"sparsity.method": "gmp"}), "../../outside/x": Arm()}
    return [
        _study("plain", plain),
        _study("named", plain, arms=names),
        _study("everywhere", everywhere),
        _study("searched", everywhere, **search, stopping=Halving()),
        _study("equal", model, equal="train_flops"),
        _study("equal-searched", everywhere, **search, equal="train_flops"),
        _study("budget", model, **search, at_most=Budget(train_flops=20)),
        _study("custom", custom),
    ]


class HostileStudy(Simulation):
    """A finished study whose texts are hostile and whose trials left their files."""

    def close(self) -> Path:
        """Write the files of every trial that ended, then the ledger with their digests."""
        targets = {
            one["trial_id"]: one["spec"].get("sparsity", {}).get("target", 0.0)
            for one in self.records
            if one["type"] == "proposed"
        }
        recorded: list[Mapping[str, Any]] = []
        for record in self.records:
            if record["type"] == "started":
                record = {**record, "host": TITLE, "device": "cpu", "reason": TITLE}
            if record["type"] == "ended":
                folder = Path(str(self.directory.attempt(record["trial_id"], 1)))
                counts = _leave_files(folder, targets[record["trial_id"]])
                error = f"{FORMULA}{TITLE}" if record["status"] != "COMPLETE" else None
                record = {**record, **counts, "error": error, "files": file_digests(folder)}
            recorded.append(record)
            if record["type"] == "ended":
                note = {"type": "note", "time": 1.7e9, "note": TITLE}
                recorded.append({**note, "trial_id": record["trial_id"], "attempt": 1})
        self.records = recorded
        return super().close()


def _leave_files(folder: Path, target: float) -> dict[str, int]:
    kept = round(64 * (1 - target))
    mask = torch.arange(64).reshape(8, 8) < kept
    layer = {"name": "1.weight", "shape": [8, 8], "weights": 64, "kept": kept, "zeros": 64 - kept}
    totals = {"weights": 64, "kept": kept, "zeros": 64 - kept, "pruned": 64 - kept}
    shares = {"sparsity": (64 - kept) / 64, "sparsity_of_parameters": (64 - kept) / 64}
    certificate = {"layers": [layer], **totals, **shares, "parameters": 64}
    masks = [{"step": 9, "phase": TITLE, "sparsity": target, "iou_final": 1.0}]
    folder.mkdir(parents=True)
    (folder / "certificate.json").write_text(json.dumps(certificate))
    (folder / "structure.json").write_text(json.dumps(masks))
    save_masks({"1.weight": mask}, folder / "masks.safetensors")
    right = np.arange(360) % 9 > 0
    (folder / OUTCOMES_FILE).write_bytes(encode_outcomes(Outcomes(360, accuracy=right)))
    save_file({"1.weight": mask.float()}, folder / "model.safetensors")
    return {"pruned_weights": 64 - kept, "prunable_weights": 64, "parameters": 64}


def write_studies(folder: Path, code: Path) -> list[Path]:
    """The hostile studies, each in a folder of its own.

    Args:
        folder: Where they are written.
        code: Folder of the payload, which their provenance names.
    """
    made = []
    for study in hostile_studies():
        fails = {"COMPLETE": 3, "FAILED": 1}
        luck = random.Random(study.name)
        statuses = luck.choices(list(fails), list(fails.values()), k=1000)
        outcomes = iter(statuses)
        simulated = HostileStudy(
            study, folder / study.name, outcome=lambda cell, role, seed, left=outcomes: next(left)
        )
        simulated.directory.record_launch(
            {
                **{"time": 1.7e9, "command": TITLE, "folder": str(code), "path": [str(code)]},
                **{"study_file": str(code / f"{PAYLOAD}.py"), "data_root": str(code)},
                **{"packages": {TITLE: FORMULA}, "processor": TITLE, "python": TITLE, "git": None},
            }
        )
        made.append(simulated.run())
    return made


# One function for each attack: changes the copy of a study, given what lies outside of it.


def link_file(study: Path, outside: Path, luck: random.Random) -> str:
    """A file of the study is a link: to a victim, to nothing, to itself, to a device."""
    file = luck.choice(sorted(one for one in study.rglob("*") if one.is_file()))
    target = luck.choice((outside / "victim", outside / "new", file, Path("/dev/zero")))
    file.unlink()
    file.symlink_to(target)
    return f"{file.relative_to(study)} -> {target.name}"


def link_folder(study: Path, outside: Path, luck: random.Random) -> str:
    """A folder of the study is a link to one outside, where the same files lie."""
    folders = sorted(one for one in study.rglob("*") if one.is_dir() and not one.is_symlink())
    folder = luck.choice(folders)
    away = outside / f"away-{luck.randrange(10**9)}"
    shutil.move(folder, away)
    folder.symlink_to(away)
    return f"{folder.relative_to(study)} -> away"


def plant_link(study: Path, outside: Path, luck: random.Random) -> str:
    """A name that a command would write is a link to a victim, or a second name of it."""
    name = luck.choice(WRITTEN)
    place = _cleared(study / name)
    if luck.random() < 0.3:
        os.link(outside / "victim", place)
        return f"{name} = victim"
    place.symlink_to(outside / luck.choice(("victim", "new")))
    return f"{name} -> victim"


def link_output(study: Path, outside: Path, luck: random.Random) -> str:
    """A folder that a command writes into is a link to a folder outside."""
    name = luck.choice(("tables", "figures", "report"))
    place = study / name
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(outside / luck.choice(("folder", "new-folder")))
    return f"{name} -> folder"


def plant_special(study: Path, outside: Path, luck: random.Random) -> str:
    """A name that a command reads or writes is a FIFO, a socket, a device or a folder."""
    files = sorted(str(one.relative_to(study)) for one in study.rglob("*") if one.is_file())
    name = luck.choice((*WRITTEN, *luck.sample(files, min(8, len(files)))))
    place = _cleared(study / name)
    kind = luck.choice(("FIFO", "socket", "device", "folder"))
    if kind == "FIFO":
        os.mkfifo(place)
    elif kind == "socket":
        _bind(place)
    elif kind == "device":
        try:
            os.mknod(place, 0o600 | 0o020000, os.makedev(1, 5))
        except OSError:  # not everybody may
            place.symlink_to("/dev/zero")
    else:
        place.mkdir()
    return f"{name}: {kind}"


def lead_upwards(study: Path, outside: Path, luck: random.Random) -> str:
    """What a trial left is named by a way upwards, in the ledger and by a folder."""
    trials = study / "trials"
    named = trials / luck.choice(("..x", "\x1b[2J", "$(id)", "-rf"))
    if trials.is_dir() and not trials.is_symlink():
        named.mkdir(exist_ok=True)
        (named / "attempt-1").symlink_to(outside)
    return f"trials/{named.name!r}/attempt-1 -> outside"


def name_folders(study: Path, outside: Path, luck: random.Random) -> str:
    """Modules of names that are imported lie beside the study's files."""
    for name in ("analysis", "torch", "plotly", "wandb", PAYLOAD):
        package = study / name
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text(f"open({str(outside / 'mark')!r}, 'w').close()\n")
    return "modules beside"


ATTACKS: Sequence[Callable[[Path, Path, random.Random], str]] = (
    *(link_file, link_folder, plant_link, plant_link, link_output, plant_special, plant_special),
    *(lead_upwards, name_folders),
)


def _cleared(place: Path) -> Path:
    """A free name in a folder of the study's own."""
    if place.parent.is_symlink():
        return place.parent.parent / f"spare-{place.name}"
    place.parent.mkdir(exist_ok=True)
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    return place


def _bind(place: Path) -> None:
    here = os.getcwd()
    os.chdir(place.parent)  # the whole path may be too long for a socket
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(place.name)
    finally:
        os.chdir(here)


def attack(study: Path, outside: Path, seed: int) -> str:
    """Attack a study in one to three ways; returns which."""
    luck = random.Random(seed)
    done = []
    for way in luck.sample(ATTACKS, luck.choice((1, 1, 2, 3))):
        with contextlib.suppress(OSError, IndexError):  # an earlier attack left no place for it
            done.append(way(study, outside, luck))
    return ", ".join(done)


def snapshot(folder: Path) -> dict[str, Any]:
    """Everything in a folder, links not followed: kind, size, time and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found[str(path.relative_to(folder))] = (facts.st_mode, facts.st_mtime_ns, content)
    return found


def command_faults(arguments: Sequence[str]) -> Iterator[str]:
    """What a command did that it must not, while only its output was looked at."""
    out = io.StringIO()
    err = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            time_limit(MAX_SECONDS),
        ):
            status = main(arguments)
    except Hang:
        yield f"{arguments[0]} HANGS"
        return
    except BaseException:
        yield f"{arguments[0]} TRACEBACK\n{traceback.format_exc()}"
        return
    if status not in (0, 2):
        yield f"{arguments[0]} ended with {status}"
    for text in (out.getvalue(), err.getvalue()):
        if found := CONTROL.search(text):
            around = text[max(0, found.start() - 40) : found.end() + 20]
            yield f"{arguments[0]} prints control characters: {around!r}"


def load_faults(study: Path) -> Iterator[str]:
    """What `analysis.load` did that it must not."""
    try:
        with time_limit(MAX_SECONDS):
            results = analysis.load(study)
            for name in ("trials", "history", "cells", "uses"):
                getattr(results, name)()
    except SparsetuneError as error:
        if CONTROL.search(str(error)):
            yield f"load raises control characters: {str(error)!r}"
    except Hang:
        yield "load HANGS"
    except Exception:
        yield f"load TRACEBACK\n{traceback.format_exc()}"


def read_all(study: Path, whole: Path, out: Path, *, reports: bool) -> list[str]:
    """Read a study with everything that only reads; returns what went wrong."""
    faults = [*load_faults(study)]
    trials = study / "trials"
    ids = sorted(os.listdir(trials)) if trials.is_dir() else []
    commands = [
        ["status", str(study)],
        ["status", str(study), "--json"],
        ["diff", str(study), str(whole)],
        ["replay", str(study)],
        *(["export", str(trials / trial_id), str(out / trial_id)] for trial_id in ids[-1:]),
    ]
    if reports:
        commands.append(["report", str(study)])
    for arguments in commands:
        faults += command_faults(arguments)
    return faults


def hostile_modules(folder: Path) -> list[str]:
    """Names of modules that were imported from a folder, and the payload's own."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if name == PAYLOAD or file.startswith(f"{folder}{os.sep}"):
            found.append(name)
    return found


def run(
    folder: Path, seeds: Sequence[int], *, report_every: int = 1
) -> tuple[Counter[str], list[str]]:
    """Counts over hostile directories, and a text for each defect.

    Args:
        folder: An empty folder.
        seeds: A directory is made for each.
        report_every: A report is written of every so many directories; 0 for none.
    """
    logging.getLogger("sparsetune").setLevel(logging.ERROR)
    code = folder / "code"
    code.mkdir()
    mark = folder / "outside" / "mark"
    (code / f"{PAYLOAD}.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    studies = write_studies(folder / "studies", code)
    counts: Counter[str] = Counter()
    defects = []
    sys.path.append(str(code))  # as the current folder is of `python -m`
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for number, seed in enumerate(seeds):
                whole = studies[seed % len(studies)]
                found, what = _case(
                    folder, whole, seed, reports=bool(report_every) and number % report_every == 0
                )
                counts["defects" if found else "harmless"] += 1
                defects += [f"seed {seed}, {whole.name}, {what}: {one}" for one in found]
    finally:
        sys.path.remove(str(code))
    return counts, defects


def _case(folder: Path, whole: Path, seed: int, *, reports: bool) -> tuple[list[str], str]:
    outside = folder / "outside"
    copy = folder / "copy"
    (outside / "folder").mkdir(parents=True)
    (outside / "victim").write_bytes(VICTIM)
    shutil.copytree(whole, copy, symlinks=True)
    # The first are as the sender wrote them, with nothing but their texts.
    what = attack(copy, outside, seed) if seed >= len(hostile_studies()) else "as sent"
    before = snapshot(outside)
    exported = folder / "exported"
    found = read_all(copy, whole, exported, reports=reports)
    after = snapshot(outside)
    touched = [name for name in {*before, *after} if before.get(name) != after.get(name)]
    found += [f"TOUCHED {name}" for name in sorted(touched)]
    found += [f"IMPORTED {name}" for name in hostile_modules(folder)]
    for name in hostile_modules(folder):
        del sys.modules[name]
    for made in (outside, copy, exported):
        shutil.rmtree(made, ignore_errors=True)
    return found, what


if __name__ == "__main__":
    number = int(sys.argv[1])
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as made:
        found, lines = run(Path(made).resolve(), range(first, first + number))
    print(json.dumps({"directories": number, "first_seed": first, **found}, indent=1))
    for line in lines:
        print(line, file=sys.stderr)
    sys.exit(bool(lines))
