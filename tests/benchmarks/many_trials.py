"""Study directories of many trials, with numbers from a formula, written as fast as lines can be
formatted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparsetune.spec import set_field
from sparsetune.spec.declaration import DIGEST_VERSION, digest_of
from sparsetune.storage import StudyDirectory
from sparsetune.storage.checksums import seal_lines
from sparsetune.storage.records import Closed, Opened, encode_record
from sparsetune.storage.segments import LedgerEnd
from sparsetune.study import Arm, Study
from sparsetune.study.cells import Cell
from sparsetune.study.space import LogUniform, Uniform

SEEDS = range(1000, 1003)
"""Report seeds of a cell."""
REPORT = (
    '{{"type":"report","time":1.7e9,"trial_id":"{trial}","attempt":1,"step":{step},"epoch":{epoch},'
    '"progress":{done!r},"phase":"{phase}","at_target":{at_target},"lr":{rate!r},"target":{target!r},'
    '"sparsity":{sparsity!r},"zeros_in_mask":0,"train_loss":{train_loss!r},"train_entropy":{train_entropy!r},'
    '"val_loss":{val_loss!r},"val_accuracy":{accuracy!r},"val_score":{accuracy!r},"val_error":{error!r},'
    '"val_entropy":{entropy!r},"batch_loss":{train_loss!r},"mask_iou":null,"ever_active":1.0,'
    '"train_flops":{flops!r},"extra_flops":0.0,"inference_flops":{density!r},"seconds":{seconds!r}}}\n'
)
"""A line of the ledger."""


def many_trials(trials: int) -> Study:
    """A study of about that many trials, dense twins not counted."""
    made = Study(
        name=f"many-{trials}",
        question="How long does it take to read this?",
        arms={"gmp": Arm({"sparsity.method": "gmp"})},
        sweep={"sparsity.target": [0, 0.8, 0.9, 0.95, 0.98], "schedule.epoch_multiplier": [1, 2]},
        search={
            "optim.lr": LogUniform(0.01, 1.0),
            "optim.weight_decay": LogUniform(1e-6, 1e-3),
            "sparsity.ramp.start": Uniform(0.0, 0.3),
            "sparsity.ramp.length": Uniform(0.3, 0.7),
        },
        report_seeds=len(SEEDS),
    )
    return made.with_changes(
        configurations_per_cell=max(2, trials // len(made.cells()) - len(SEEDS))
    )


def write_study(path: Path, trials: int, evaluations: int) -> Path:
    """A finished study directory, as a launch that ended by itself leaves it."""
    study = many_trials(trials)
    home = StudyDirectory(path)
    home.create(study)
    home.record_launch(
        {
            "time": 1.7e9,
            "command": "sparsetune run many",
            "packages": {"torch": "2.15"},
            "git": None,
        }
    )
    home.ledger.mkdir()
    random = np.random.default_rng(0)
    units = random.random(
        (study.configurations_per_cell, len(study.search))
    )  # the same in every cell
    end = LedgerEnd().chain
    opened = Opened(previous=None, lines=0, last=end.digits, launches=1)
    with open(home.ledger / "000001.jsonl", "wb") as file:

        def write(lines: list[bytes]) -> None:
            nonlocal end
            sealed, end = seal_lines(lines, end)
            file.write(sealed)

        write([encode_record(opened)])
        for cell in study.cells():
            write([line.encode() for line in _Cell(cell, evaluations, random).lines(units)])
        write([encode_record(Closed(lines=end.lines, last=end.digits))])
    return path


class _Cell:
    """The lines of one cell."""

    def __init__(self, cell: Cell, evaluations: int, random: np.random.Generator) -> None:
        self.cell = cell
        self.evaluations = evaluations
        self.random = random
        self.given = cell.spec.given()
        self.target = float(cell.spec.sparsity.target)

    def lines(self, units: Any) -> Iterator[str]:
        """Its search, then report trials of the best configuration with their dense twins."""
        points = [
            {p: a.at(u) for (p, a), u in zip(self.cell.search.items(), row, strict=False)}
            for row in units.tolist()
        ]
        off = np.log10([point["optim.lr"] for point in points]) + 1
        finals = (
            0.1
            + 0.1 * self.target**2
            + 0.02 * off**2
            + 0.002 * self.random.standard_normal(len(off))
        ).tolist()
        best = finals.index(min(finals))
        for index, (point, final) in enumerate(zip(points, finals, strict=True)):
            yield from self.trial("search", index, self.spec(point), 0, final)
        for seed in SEEDS:
            noise = (0.003 * self.random.standard_normal(2)).tolist()
            spec = self.spec(points[best])
            final = finals[best] + noise[0]
            dense = {part: values for part, values in spec.items() if part != "sparsity"}
            pair = _id_of(dense, seed) if self.target else None
            yield from self.trial("report", best, spec, seed, final, pair)
            if pair:
                yield from self.trial("twin", best, dense, seed, 0.1 + noise[1])

    def spec(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """The declaration at a point."""
        spec: dict[str, Any] = json.loads(json.dumps(self.given))
        for path, value in point.items():
            set_field(spec, path, value)
        return spec

    def trial(
        self,
        role: str,
        index: int,
        spec: dict[str, Any],
        seed: int,
        final: float,
        twin: str | None = None,
    ) -> Iterator[str]:
        """One trial from proposal to end."""
        trial = _id_of(spec, seed)
        target = 0.0 if role == "twin" else self.target
        key = {"trial_id": trial, "attempt": 1}
        use = {
            "cell": self.cell.name,
            "arm": self.cell.arm,
            "index": index,
            "source": f"sobol:{index}",
            "seed": seed,
        }
        use |= {
            "config_id": _id_of(spec, 0),
            "role": role,
            "twin_id": twin,
            "spec": _seeded(spec, seed),
        }
        yield _line("proposed", trial_id=trial, **use)
        yield _line("started", **key, resumed_from_step=0, host="h", device="cpu", threads=1)
        yield from self.reports(trial, target, final)
        test = {f"test_{name}": 1 - final for name in ("accuracy", "score")} | {
            "test_loss": 3 * final
        }
        counts = {
            "pruned_weights": round(17_024 * target),
            "prunable_weights": 17_024,
            "parameters": 17_226,
        }
        yield _line("ended", **key, status="COMPLETE", certified=True, error=None, **counts, **test)

    def reports(self, trial: str, target: float, final: float) -> Iterator[str]:
        """Its evaluations."""
        progress = np.arange(1, self.evaluations + 1) / self.evaluations
        noise = 0.002 * self.random.standard_normal(self.evaluations) * (progress < 1)
        errors = (final + 0.3 * (1 - progress) ** 2 + noise).tolist()
        for epoch, (done, error) in enumerate(zip(progress.tolist(), errors, strict=True), start=1):
            yield REPORT.format(
                **{
                    "trial": trial,
                    "step": 79 * epoch,
                    "epoch": float(epoch),
                    "done": done,
                    "target": target,
                },
                **{
                    "phase": "fixed" if done > 0.5 else "ramp",
                    "at_target": "true" if done > 0.5 else "false",
                },
                **{
                    "rate": 0.1 * (1 - done),
                    "sparsity": target * min(1.0, 2 * done),
                    "density": 1 - target,
                },
                **{
                    "train_loss": 2.7 * error,
                    "train_entropy": 2.6 * error,
                    "val_loss": 3.1 * error,
                    "error": error,
                },
                **{
                    "accuracy": 1 - error,
                    "entropy": 2.9 * error,
                    "flops": epoch * (1 - target / 2),
                },
                seconds=0.517 * epoch,
            )


def _seeded(spec: dict[str, Any], seed: int) -> dict[str, Any]:
    """The declaration of a trial in its shortest form: 0 is the default seed."""
    return {**spec, "seed": seed} if seed else spec


def _id_of(spec: dict[str, Any], seed: int) -> str:
    return digest_of({"schema": DIGEST_VERSION, **_seeded(spec, seed)})


def _line(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, "time": 1.7e9, **fields}, separators=(",", ":")) + "\n"
