"""One trial in a Tune worker: train, and send ledger records to the driver."""

from __future__ import annotations

import gc
import json
import os
import platform
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from sparsetune.cluster.assignment import Assignment
from sparsetune.cluster.exit_note import ExitNote, end_process
from sparsetune.cluster.isolation import TrialIsolation
from sparsetune.cluster.placement import claim_device
from sparsetune.cluster.stop_request import StoppableCheckpoints, StopRequestedError
from sparsetune.cluster.study_folder import require_study_folder
from sparsetune.cluster.watchdog import Watchdog
from sparsetune.errors import DataError, StorageError
from sparsetune.import_path import append_to_path
from sparsetune.machine import processor_name
from sparsetune.own_code.modules import CodeReader, own_modules
from sparsetune.paths import Place, resolve_trial_place, storage_errors
from sparsetune.storage import translating_write_errors, write_durably
from sparsetune.storage.announcements import AttemptFailed, WorkerMessage
from sparsetune.storage.records import (
    COUNT_COLUMNS,
    Cause,
    ColumnValue,
    Ended,
    Note,
    Report,
    Started,
)
from sparsetune.storage.trial_files import (
    CERTIFICATE_FILE,
    OUTCOMES_FILE,
    STRUCTURE_FILE,
    file_digests,
)
from sparsetune.storage.trial_files.outcomes import encode_outcomes

if TYPE_CHECKING:
    from sparsetune.train.loop import TrialResult

FLUSH_SECONDS = 0.5
"""Seconds between messages to the driver: each costs milliseconds there."""
_CODE_READER = CodeReader()
"""Of the whole process, which imports each of a user's modules once."""


@dataclass
class DriverMessages:
    """Messages on their way to the driver.

    Args:
        assignment: The worker's trial.
        waiting: Messages that were not sent yet, oldest first.
        sent_at: Time of the last sending, by the monotonic clock in seconds.
        pause: Context that is open while the driver takes messages.
        stopped: Whether Tune has ended the trial.
    """

    assignment: Assignment
    waiting: list[WorkerMessage] = field(default_factory=list)
    sent_at: float = field(default_factory=time.monotonic)
    pause: Callable[[], AbstractContextManager[None]] = nullcontext
    stopped: bool = False

    def __post_init__(self) -> None:
        self._rungs = list(self.assignment.rungs)

    def add(self, message: WorkerMessage) -> None:
        """Queue a message; send what waits when it is time."""
        self.waiting.append(message)
        # A start is sent at once, so that the ledger has it even if the worker dies soon after.
        due = time.monotonic() - self.sent_at > FLUSH_SECONDS
        if due or isinstance(message, Started) or self._reaches_rung(message):
            self.send()

    def add_row(self, row: Mapping[str, ColumnValue]) -> None:
        """Queue a row of the trial's history."""
        given = self.assignment
        self.add(Report(trial_id=given.trial_id, attempt=given.attempt, row=row))

    def add_note(self, note: str) -> None:
        """Queue a remark on the trial."""
        given = self.assignment
        self.add(Note(trial_id=given.trial_id, attempt=given.attempt, note=note))

    def _reaches_rung(self, message: WorkerMessage) -> bool:
        """True if the driver may end the trial there: better now than an epoch later."""
        progress = message.progress if isinstance(message, Report) else 0.0
        reached = [rung for rung in self._rungs if rung <= progress]
        self._rungs = self._rungs[len(reached) :]
        return bool(reached)

    def send(self) -> None:
        """Send what waits, in one message."""
        waiting = self.waiting
        self.waiting = []
        self.sent_at = time.monotonic()
        try:
            with self.pause():
                tune.report({"records": waiting})
        except SystemExit:
            self.stopped = True  # so Tune ends a trial
            raise


def run_trial(config: dict[str, Any]) -> None:
    """Run or resume one trial.

    Args:
        config: The plain form of an `Assignment`.
    """
    given = Assignment.from_config(config)
    append_to_path(given.shared.python_path)
    _import_training()
    folder = resolve_trial_place(given.folder)
    note = ExitNote(folder)
    watchdog = Watchdog(note, given.shared.silence_seconds, given.shared.trial_seconds)
    messages = DriverMessages(given, pause=watchdog.waiting)
    finished = False
    leave = False
    isolation: TrialIsolation | None = None
    try:
        with note.noticing(), watchdog.watching():
            device, remark = claim_device(given.shared.device)
            _set_threads(given.shared.threads)
            # Before anything is imported, so that it is what this process will run.
            own_code = _CODE_READER.describe(given.spec)
            modules = own_modules(given.spec)
            isolation = TrialIsolation(modules, _CODE_READER.libraries(modules))
            start = _Start(device, remark, own_code)
            messages.add(_train(given, start, messages, watchdog))
        finished = True
    except StopRequestedError:
        pass  # the launch was asked to stop, and the trial saved
    except BaseException as error:
        if messages.stopped:
            raise
        # Raising would cost this worker, and starting another takes seconds.
        reason = _error_reason(error)
        cause = failure_cause(error)
        messages.add(AttemptFailed(given.trial_id, given.attempt, cause, reason))
        _write_traceback(folder, error)
        leave = _breaks_cuda(error)
        del error  # its traceback holds the network, and so the memory of the device
    finally:
        # Also where Tune ends the trial: its worker takes the next one.
        leave = bool(isolation and isolation.end()) or leave
        if leave and messages.stopped:
            end_process(1)
    if not (finished or leave):
        _empty_cuda_cache()
    messages.send()  # returns when the driver has made it durable
    # Not before: were the end lost, the trial would have to start from its beginning.
    if finished:
        _clear_checkpoints(given)
    if leave:
        end_process(1)  # what is wrong with this process would reach the next trial
    _free_network()


def _import_training() -> None:
    """Import what trains, which takes a new worker seconds and is none of its trial's time."""
    from sparsetune import train  # noqa: F401


def _set_threads(count: int) -> None:
    """Let torch use so many threads: sums change in the last bit with their number."""
    import torch

    torch.set_num_threads(count)


@dataclass(frozen=True)
class _Start:
    """What a trial starts with.

    Args:
        device: Its device, as torch names it.
        note: Why it is not the one that was asked for; None where it is.
        own_code: Digests of the user's own code; see `Started.own_code`.
    """

    device: str
    note: str | None
    own_code: str | None


def _train(given: Assignment, start: _Start, messages: DriverMessages, watchdog: Watchdog) -> Ended:
    """Train the trial, with its reports sent on the way; returns its end."""
    from sparsetune.costs import device_memory
    from sparsetune.spec import TrialSpec
    from sparsetune.tasks.kinds import data_digest
    from sparsetune.train import train
    from sparsetune.train.checkpoint import CheckpointAllowance, latest_checkpoint
    from sparsetune.train.distill import LOGITS_FILE

    shared = given.shared
    device = start.device
    spec = TrialSpec.model_validate(given.spec)
    data_root = Path(shared.data_root) if shared.data_root else None
    folder = resolve_trial_place(given.folder)
    earlier = [resolve_trial_place(path) for path in given.earlier]
    checkpoint = latest_checkpoint(earlier)
    processor = device_processor(device)
    data = data_digest(spec.task, data_root)
    memory = device_memory.device_bytes(device)
    device_memory.reset_peak(device)  # the worker may have run other trials
    messages.add(
        Started(
            trial_id=given.trial_id,
            attempt=given.attempt,
            resumed_from_step=checkpoint.step if checkpoint else 0,
            pid=os.getpid(),
            host=platform.node(),
            device=device,
            threads=shared.threads,
            processor=processor,
            data=data,
            own_code=start.own_code,
            device_memory=memory,
            reason=given.retry,
            note=start.note,
        )
    )
    # The ledger may be behind the checkpoint; the driver drops the rows that it has.
    for row in checkpoint.reports if checkpoint else []:
        messages.add_row(row)
    checkpoints = StoppableCheckpoints(shared.launch, folder, shared.checkpoint_seconds)
    checkpoints.heartbeat = watchdog.beat
    checkpoints.before_write = partial(require_study_folder, folder)
    checkpoints.room = CheckpointAllowance(shared.checkpoint_bytes, earlier, messages.add_note)
    # The mask of a dense trial says nothing.
    keeps_masks = given.read_test and spec.sparsity.target > 0
    final = train(
        spec,
        report=messages.add_row,
        resume_from=checkpoint,
        read_test=given.read_test,
        checkpoints=checkpoints,
        save_to=folder / "model.safetensors" if shared.keep_models else None,
        logits_to=folder / LOGITS_FILE if given.teaches else None,
        masks_to=folder / "masks.safetensors" if keeps_masks else None,
        teacher=resolve_trial_place(given.teacher) if given.teacher else None,
        data_root=data_root,
        device=device,
    )
    require_study_folder(folder)
    _write_json(folder / CERTIFICATE_FILE, final.certificate)
    _write_json(folder / STRUCTURE_FILE, final.structure)
    if final.outcomes is not None:
        _write(folder / OUTCOMES_FILE, encode_outcomes(final.outcomes))
    return _trial_end(given, final, device_memory.peak_bytes(device), file_digests(folder))


def _trial_end(
    given: Assignment, final: TrialResult, peak_memory: int, files: Mapping[str, str]
) -> Ended:
    """The end of a trial that was trained.

    Args:
        given: The trial.
        final: Its result.
        peak_memory: Largest memory of its device, in bytes.
        files: Digests of the files that it left, by name.
    """
    counts = {}
    if final.certificate:
        counts = {column: final.certificate[name] for column, name in COUNT_COLUMNS.items()}
    learned: dict[str, ColumnValue] = {}
    if final.outcomes is not None:
        learned = {
            "chance_loss": final.outcomes.chance_loss,
            "learned_nothing": final.outcomes.learned_nothing,
        }
    return Ended(
        trial_id=given.trial_id,
        attempt=given.attempt,
        status=final.status,
        error=final.error,
        certified=final.certified,
        files=files,
        columns={**counts, "peak_memory": peak_memory, **final.test, **learned},
    )


def _clear_checkpoints(given: Assignment) -> None:
    """Delete the trial's checkpoints; call it once the driver has the trial's end.

    Where the storage refuses, the driver's next sweep deletes them.
    """
    from sparsetune.train.checkpoint import Checkpoints

    with suppress(StorageError):
        for folder in (given.folder, *given.earlier):
            Checkpoints(resolve_trial_place(folder)).clear()


def device_processor(device: str) -> str:
    """Model name of the device that a trial runs on."""
    import torch

    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    return processor_name()


def _write_json(path: Place, facts: object) -> None:
    _write(path, json.dumps(facts, indent=1) + "\n")


def _write(path: Place, content: str | bytes) -> None:
    with translating_write_errors(path):
        write_durably(path, content)


def _error_reason(error: BaseException) -> str:
    """An error in one line, with the file and line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def _write_traceback(folder: Place, error: BaseException) -> None:
    """Write the traceback beside the trial; a disk that refuses it must not hide the reason."""
    with suppress(*storage_errors(), StorageError):
        require_study_folder(folder)
        write_durably(folder / "error.txt", "".join(traceback.format_exception(error)))


def failure_cause(error: BaseException) -> Cause:
    """Kind of failure that an exception is."""
    import torch

    out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if out_of_memory or "can't allocate memory" in str(error):
        return "memory"
    if isinstance(error, StorageError):
        return "storage"
    return "data" if isinstance(error, DataError) else "code"


def _breaks_cuda(error: BaseException) -> bool:
    """True if CUDA is in an undefined state: after any of its errors but out-of-memory."""
    import torch

    return "CUDA" in str(error) and not isinstance(error, torch.OutOfMemoryError)


def _free_network() -> None:
    """Free the trial's network, which is part of cycles that Python may collect late."""
    gc.collect()
    _freeze_modules()


@cache
def _freeze_modules() -> None:
    """Keep what the first trial has loaded out of later collections: modules are never garbage.

    `gc.get_freeze_count` would say whether it was done, but counts a million objects one by one.
    """
    gc.freeze()


def _empty_cuda_cache() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
