"""One trial in a Tune worker: train, and send ledger records to the driver."""

from __future__ import annotations

import gc
import os
import platform
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import tune

from sparsetune.ledger import Record

FLUSH_SECONDS = 0.5
"""Records go to the driver this often: a message costs milliseconds there, and checkpoints hold what is on its way."""


@dataclass
class Messages:
    """Records on their way to the driver."""

    trial_id: str
    attempt: int
    waiting: list[Record] = field(default_factory=list)
    sent: float = field(default_factory=time.monotonic)

    def add(self, kind: str, **fields: Any) -> None:
        """Queue a record; send what waits when it is time."""
        names = {"type": kind, "time": time.time(), "trial_id": self.trial_id, "attempt": self.attempt}
        self.waiting.append({**names, **fields})
        if kind == "started" or time.monotonic() - self.sent > FLUSH_SECONDS:
            self.send()

    def send(self) -> None:
        """Send what waits, in one message."""
        waiting, self.waiting, self.sent = self.waiting, [], time.monotonic()
        tune.report({"records": waiting})


def run_trial(config: dict[str, Any]) -> None:
    """Run or continue one trial.

    Args:
        config: ``trial_id``, ``attempt``, ``spec``, ``read_test``, ``folder`` (of this attempt), ``earlier`` (folders
            of earlier attempts), ``data_root``, ``device``, ``threads``, ``checkpoint_seconds``, ``keep_models``,
            ``python_path``.
    """
    sys.path += [path for path in config["python_path"] if path not in sys.path]
    messages = Messages(config["trial_id"], config["attempt"])
    try:
        messages.add("ended", **_train(config, messages))
    except Exception as error:
        # Raising would cost this worker, and starting another takes seconds.
        messages.add("ended", status="FAILED", error=_reason(error), certified=None)
        _keep_traceback(Path(config["folder"]), error)
        leave = _spoils_worker(error)
        del error
        if leave:
            messages.send()
            os._exit(1)
        _free_memory()
    messages.send()


def _train(config: Mapping[str, Any], messages: Messages) -> dict[str, Any]:
    import torch

    from sparsetune.checkpoint import Checkpoints, latest
    from sparsetune.spec import TrialSpec
    from sparsetune.train import train

    torch.set_num_threads(config["threads"])
    checkpoint = latest(map(Path, config["earlier"]))
    resumed = checkpoint.step if checkpoint else 0
    machine = {"host": platform.node(), "device": config["device"], "threads": config["threads"]}
    messages.add("started", resumed_from_step=resumed, pid=os.getpid(), **machine)
    for row in checkpoint.reports if checkpoint else []:
        messages.add("report", **row)  # the ledger may be behind the checkpoint; the driver drops what it has
    checkpoints = Checkpoints(Path(config["folder"]), seconds=config["checkpoint_seconds"])
    final = train(
        TrialSpec.model_validate(config["spec"]),
        report=lambda row: messages.add("report", **row),
        resume_from=checkpoint,
        read_test=config["read_test"],
        checkpoints=checkpoints,
        save_to=Path(config["folder"]) / "model.safetensors" if config["keep_models"] else None,
        data_root=Path(config["data_root"]) if config["data_root"] else None,
        device=config["device"],
    )
    for name, facts in (("certificate", final.certificate), ("structure", final.structure)):
        _write_json(Path(config["folder"]) / f"{name}.json", facts)
    for folder in [config["folder"], *config["earlier"]]:
        Checkpoints(Path(folder)).clear()
    counts = {"pruned_weights": "pruned", "prunable_weights": "weights", "parameters": "parameters"}
    counted = {column: final.certificate[name] for column, name in counts.items() if final.certificate}
    return {"status": final.status, "error": final.error, "certified": final.certified, **counted, **final.test}


def _write_json(path: Path, facts: object) -> None:
    import json

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts, indent=1) + "\n")


def _reason(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def _keep_traceback(folder: Path, error: BaseException) -> None:
    """For whoever looks for the cause; a disk that refuses it must not hide the reason."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "error.txt").write_text("".join(traceback.format_exception(error)))
    except OSError:
        pass


def _spoils_worker(error: BaseException) -> bool:
    """Whether CUDA is in an undefined state: after any of its errors but out-of-memory, the process must end."""
    import torch

    return "CUDA" in str(error) and not isinstance(error, torch.OutOfMemoryError)


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
