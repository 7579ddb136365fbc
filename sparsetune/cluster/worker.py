"""One trial in a Tune worker: train, and send ledger records to the driver."""

from __future__ import annotations

import gc
import os
import platform
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import tune

from sparsetune.cluster.placement import claim_device
from sparsetune.cluster.stop_request import StoppableCheckpoints, StopRequestedError
from sparsetune.errors import DataError, StorageError
from sparsetune.launch.failures import Cause
from sparsetune.paths import Place, resolve_place, storage_errors
from sparsetune.storage import translating_write_errors, write_durably
from sparsetune.storage.ledger import Record
from sparsetune.storage.provenance import processor_name

FLUSH_SECONDS = 0.5
"""Records go to the driver this often: a message costs milliseconds there, and checkpoints hold what is on its way."""


@dataclass
class DriverMessages:
    """Records on their way to the driver."""

    trial_id: str
    attempt: int
    waiting: list[Record] = field(default_factory=list)
    sent: float = field(default_factory=time.monotonic)
    rungs: list[float] = field(default_factory=list)

    def add(self, kind: str, **fields: Any) -> None:
        """Queue a record; send what waits when it is time."""
        names = {
            "type": kind,
            "time": time.time(),
            "trial_id": self.trial_id,
            "attempt": self.attempt,
        }
        self.waiting.append({**names, **fields})
        due = time.monotonic() - self.sent > FLUSH_SECONDS
        if kind == "started" or self._at_rung(fields.get("progress", 0.0)) or due:
            self.send()

    def _at_rung(self, progress: float) -> bool:
        """Whether a rung was reached, where the driver may end the trial: better now than an epoch later."""
        reached = [rung for rung in self.rungs if rung <= progress]
        self.rungs = self.rungs[len(reached) :]
        return bool(reached)

    def send(self) -> None:
        """Send what waits, in one message."""
        waiting = self.waiting
        self.waiting = []
        self.sent = time.monotonic()
        tune.report({"records": waiting})


def run_trial(config: dict[str, Any]) -> None:
    """Run or continue one trial.

    Args:
        config: ``trial_id``, ``attempt``, ``spec``, ``read_test``, ``folder`` (of this attempt), ``earlier`` (folders
            of earlier attempts), ``data_root``, ``device``, ``threads``, ``checkpoint_seconds``, ``checkpoint_room``
            (bytes), ``keep_models``, ``python_path``, ``retry`` (why the attempt before failed, or None),
            ``rungs`` (fractions of training at which the driver may stop it), ``teaches`` (whether it leaves logits for
            others to learn from), ``teacher`` (where the teacher's are, or None).
    """
    sys.path += [path for path in config["python_path"] if path not in sys.path]
    messages = DriverMessages(config["trial_id"], config["attempt"], rungs=list(config["rungs"]))
    finished = False
    try:
        messages.add("ended", **_train(config, messages))
        finished = True
    except StopRequestedError:
        pass  # the launch was asked to stop, and the trial saved
    except Exception as error:
        # Raising would cost this worker, and starting another takes seconds.
        messages.add("failed", error=_error_reason(error), cause=failure_cause(error))
        _write_traceback(resolve_place(config["folder"]), error)
        leave = _breaks_cuda(error)
        del error
        if leave:
            messages.send()
            os._exit(1)
        _empty_cuda_cache()
    messages.send()  # returns when the driver has made it durable
    if finished:
        _clear_checkpoints(config)
    _free_network()


def _train(config: Mapping[str, Any], messages: DriverMessages) -> dict[str, Any]:
    import torch

    from sparsetune.costs import device_memory
    from sparsetune.spec import TrialSpec
    from sparsetune.tasks.kinds import data_digest
    from sparsetune.train import train
    from sparsetune.train.checkpoint import CheckpointAllowance, latest_checkpoint
    from sparsetune.train.distill import LOGITS_FILE

    device, note = claim_device(config["device"])
    torch.set_num_threads(config["threads"])
    checkpoint = latest_checkpoint(map(resolve_place, config["earlier"]))
    resumed = checkpoint.step if checkpoint else 0
    spec = TrialSpec.model_validate(config["spec"])
    data_root = config["data_root"] and Path(config["data_root"])
    machine = {"host": platform.node(), "device": device, "threads": config["threads"]}
    machine |= {"processor": device_processor(device), "data": data_digest(spec.task, data_root)}
    machine["device_memory"] = device_memory.device_bytes(device)
    device_memory.reset_peak(device)
    retry = {"reason": config["retry"]} if config["retry"] else {}
    messages.add("started", resumed_from_step=resumed, pid=os.getpid(), **machine, **retry, **note)
    for row in checkpoint.reports if checkpoint else []:
        messages.add(
            "report", **row
        )  # the ledger may be behind the checkpoint; the driver drops what it has
    checkpoints = StoppableCheckpoints(
        config["launch"], resolve_place(config["folder"]), config["checkpoint_seconds"]
    )
    earlier = [resolve_place(folder) for folder in config["earlier"]]
    checkpoints.room = CheckpointAllowance(
        config["checkpoint_room"], earlier, lambda why: messages.add("note", note=why)
    )
    reported = (
        config["read_test"] and spec.sparsity.target > 0
    )  # the mask of a dense trial says nothing
    final = train(
        spec,
        report=lambda row: messages.add("report", **row),
        resume_from=checkpoint,
        read_test=config["read_test"],
        checkpoints=checkpoints,
        save_to=resolve_place(config["folder"]) / "model.safetensors"
        if config["keep_models"]
        else None,
        logits_to=resolve_place(config["folder"]) / LOGITS_FILE if config["teaches"] else None,
        masks_to=resolve_place(config["folder"]) / "masks.safetensors" if reported else None,
        teacher=resolve_place(config["teacher"]) if config["teacher"] else None,
        data_root=data_root,
        device=device,
    )
    for name, facts in (("certificate", final.certificate), ("structure", final.structure)):
        _write_json(resolve_place(config["folder"]) / f"{name}.json", facts)
    counts = {"pruned_weights": "pruned", "prunable_weights": "weights", "parameters": "parameters"}
    counted = {
        column: final.certificate[name] for column, name in counts.items() if final.certificate
    }
    ended = {"status": final.status, "error": final.error, "certified": final.certified}
    return {**ended, **counted, "peak_memory": device_memory.peak_bytes(device), **final.test}


def _clear_checkpoints(config: Mapping[str, Any]) -> None:
    """Call once the driver has the trial's end; where the storage refuses, the driver's next sweep sees to it."""
    from sparsetune.train.checkpoint import Checkpoints

    with suppress(StorageError):
        for folder in [config["folder"], *config["earlier"]]:
            Checkpoints(resolve_place(folder)).clear()


def device_processor(device: str) -> str:
    """The model name of what a trial runs on."""
    import torch

    return (
        str(torch.cuda.get_device_name(device)) if device.startswith("cuda") else processor_name()
    )


def _write_json(path: Place, facts: object) -> None:
    import json

    with translating_write_errors(path):
        write_durably(path, json.dumps(facts, indent=1) + "\n")


def _error_reason(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def _write_traceback(folder: Place, error: BaseException) -> None:
    """For whoever looks for the cause; a disk that refuses it must not hide the reason."""
    with suppress(*storage_errors()):
        write_durably(folder / "error.txt", "".join(traceback.format_exception(error)))


def failure_cause(error: Exception) -> Cause:
    """What kind of failure an exception is."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(
        error
    ):
        return "memory"
    if isinstance(error, StorageError):
        return "storage"
    return "data" if isinstance(error, DataError) else "code"


def _breaks_cuda(error: BaseException) -> bool:
    """Whether CUDA is in an undefined state: after any of its errors but out-of-memory, the process must end."""
    import torch

    return "CUDA" in str(error) and not isinstance(error, torch.OutOfMemoryError)


def _free_network() -> None:
    """Give back the trial's network, which is part of cycles: Python may let many pile up before it looks.

    What was loaded on use is never garbage: frozen after the first trial, it does not make collecting slow.
    """
    gc.collect()
    if not gc.get_freeze_count():
        gc.freeze()


def _empty_cuda_cache() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
