"""Train one trial: a flat loop that reads from top to bottom and knows no Ray."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn.utils import clip_grad_norm_

from sparsetune.errors import CheckpointError, DataError, DeclarationError, Problem
from sparsetune.imports import import_modules
from sparsetune.own_code.modules import own_modules
from sparsetune.paths import Place
from sparsetune.seeds import derived_seed, seed_generators
from sparsetune.sparsity.account.account import Account, gradient_problems
from sparsetune.sparsity.account.exactness import as_warnings, computed_names, exactness_problems
from sparsetune.sparsity.account.trace import ForwardTrace
from sparsetune.sparsity.certificate import certify
from sparsetune.sparsity.combinations import layer_problems
from sparsetune.sparsity.contracts import own_function_problems
from sparsetune.sparsity.flops import ForwardFlops, forward_flops, prunable_flops
from sparsetune.sparsity.method_contracts import own_method_problems
from sparsetune.sparsity.plans.schedule import mask_schedule_problems
from sparsetune.sparsity.sparsifier import Sparsifier
from sparsetune.sparsity.transfer import transfer_problems
from sparsetune.spec import TrialSpec
from sparsetune.spec.rates import decay_problems, image_resolution, learning_rate
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.storage.trial_files.outcomes import Outcomes
from sparsetune.study.rules.combinations import combination_problems
from sparsetune.tasks.kinds import load_task, network_of, resolve_task
from sparsetune.tasks.network import compute_outputs, outline_of
from sparsetune.tasks.task import Task
from sparsetune.train.average import WeightAverage
from sparsetune.train.checkpoint import (
    Checkpoint,
    Checkpoints,
    Row,
    load_checkpoint,
    restore_rng_state,
    rng_state,
    save_masks,
    save_weights,
)
from sparsetune.train.compute import ComputedModel
from sparsetune.train.distill import (
    LOGITS_FILE,
    DistillationLoss,
    compute_split_logits,
    read_logits,
)
from sparsetune.train.evaluate import evaluate_model
from sparsetune.train.initialisation import initialisation_seed
from sparsetune.train.optim import build_optimizer, held_parameters, optimizer_problems
from sparsetune.train.outcomes import OutcomeRecorder
from sparsetune.train.probe import GradientProbe
from sparsetune.train.rows import evaluation_steps, find_divergence, loss_columns, mask_columns


@dataclass(frozen=True)
class TrialResult:
    """Result of a trial that ended.

    Args:
        status: COMPLETE; DIVERGED, where a loss became NaN or infinite; INVALID, where the
            certificate failed.
        error: Loss that diverged and when, or faults that the certificate found; None if complete.
        certified: The weights have the sparsity asked for; None if the trial diverged.
        certificate: See `sparsetune.sparsity.certificate.certify`; empty if the trial diverged.
        structure: See `sparsetune.sparsity.structure.MaskRecorder.summary`; empty if the trial
            diverged.
        test: ``test_loss test_accuracy test_score test_entropy``; empty unless the test set was
            read.
        outcomes: Outcomes on each test example; None unless the test set was read.
    """

    status: Literal["COMPLETE", "DIVERGED", "INVALID"]
    error: str | None = None
    certified: bool | None = None
    certificate: dict[str, Any] = field(default_factory=dict)
    structure: list[dict[str, Any]] = field(default_factory=list)
    test: dict[str, float] = field(default_factory=dict)
    outcomes: Outcomes | None = None


def _ignore_row(row: Row) -> None:
    pass


def train(
    spec: TrialSpec,
    *,
    report: Callable[[Row], None] = _ignore_row,
    resume_from: Path | Checkpoint | None = None,
    read_test: bool = False,
    checkpoints: Checkpoints | None = None,
    save_to: Place | None = None,
    logits_to: Place | None = None,
    masks_to: Place | None = None,
    teacher: Place | torch.Tensor | None = None,
    data_root: Path | None = None,
    device: str = "cpu",
) -> TrialResult:
    """Train the declared trial.

    On one kind of CPU and one number of threads, its rows are a function of ``spec`` alone.

    Args:
        spec: The trial's declaration.
        report: Called at every evaluation with a row: the progress and measured columns of
            `sparsetune.spec.columns`.
        resume_from: A checkpoint of the same trial; rows that it holds are not reported again.
        read_test: Measure the test split at the end.
        checkpoints: Writer of checkpoints, which knows when one is due; None to write none.
        save_to: File for the final effective weights, as safetensors. The certificate is made from
            the file's content.
        logits_to: File for the final logits of the training split, which students learn from.
        masks_to: File for the final masks; see `sparsetune.train.checkpoint.save_masks`.
        teacher: File with the logits of the trial's teacher, or the logits, (n, outputs). Where the
            trial has a teacher and this is None, the teacher is trained first.
        data_root: Folder that data sets lie in; see `sparsetune.tasks.kinds.prepare_data`.
        device: As torch names it.

    Raises:
        DeclarationError: if the declaration cannot run.
        DataError: if the data are missing.
        CheckpointError: if ``resume_from`` is torn or of another trial.
        StorageError: if a checkpoint cannot be written.
    """
    started = time.perf_counter()
    spec = spec.checked().canonical()
    # What a module does when it is imported comes first, in a new process as in an old one.
    import_modules(own_modules(spec.given()))
    # A study's trial brings the sizes of its data along.
    spec = spec.with_task(resolve_task(spec.task, data_root))
    # A user's own method and functions first: what follows may call them.
    _require_none(own_method_problems(spec))
    _require_none(
        decay_problems(spec), optimizer_problems(spec), own_function_problems(spec.sparsity)
    )
    _require_none(combination_problems(spec.sparsity), mask_schedule_problems(spec))
    trial_id = spec.trial_id()
    total = spec.total_steps()
    per_epoch = spec.steps_per_epoch()

    # Data and teacher.
    task = load_task(
        spec.task_of_seed(),
        data_root=data_root,
        device=device,
        subset=spec.evaluate.train_examples,
        checkpoint=spec.sparsity.checkpoint,
    )
    distillation = _load_teacher(spec, teacher, len(task.splits.train), data_root, device)

    # Network, optimizer and sparsifier. Training has a seed of its own, so that it draws the same
    # numbers whatever is drawn here.
    seed_generators(initialisation_seed(spec.task, spec.seed))
    model = task.build_model().to(device).train()
    # Moves the weights in memory, so it comes before anything that refers to them.
    compute = ComputedModel(spec.compute, model, device)
    optimizer = build_optimizer(spec.optim, model)
    trained = held_parameters(model, optimizer)
    account, trace = task.account(model, spec.sparsity)
    weights = account.prunable(model)
    _require_none(
        account.problems,
        gradient_problems(account, spec.sparsity),
        _exactness_problems(model, task, account, trace, spec.sparsity),
        layer_problems(account.layers, spec.sparsity) if account.layers else (),
        transfer_problems(weights, spec.sparsity),
    )
    probe = GradientProbe(task, model, weights, spec.task.batch_size, spec.seed, compute.arithmetic)
    # Directories of before counted only what reads the weights as they are.
    flops = prunable_flops(trace, weights, computed=spec.sparsity.prunable_by != "modules")
    sparsifier = Sparsifier(spec, weights, optimizer, flops, probe, account.layers)
    if distillation:
        sparsifier.extra_steps += per_epoch * _teacher_epoch_cost(spec, flops, data_root)
    average = WeightAverage(model, spec.optim.ema) if spec.optim.ema else None
    seed_generators(derived_seed(spec.seed, "training"))

    # State of training: that of a new trial, or the checkpoint's.
    first = 0
    earlier_seconds = 0.0
    evaluated_at = 0
    reports: list[Row] = []
    # On the device: reading the loss in every step would make a GPU wait.
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    if resume_from is not None:
        checkpoint = _load_own_checkpoint(resume_from, trial_id)
        state = checkpoint.state
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        sparsifier.load(state["sparsifier"])
        if average:
            average.load(state["average"])
        loss_sum.copy_(state["loss_sum"])
        first = checkpoint.step
        earlier_seconds = state["seconds"]
        evaluated_at = state["evaluated_at"]
        reports = list(checkpoint.reports)
        # Last, since nothing may draw between here and the first step.
        restore_rng_state(state["rng"], device)

    # Training.
    due = evaluation_steps(spec)
    learning_rate_at = learning_rate(spec)
    flops_scale_at = _flops_scale(spec, flops, model)
    batches = task.splits.train.training(spec, first)
    for step, batch in zip(range(first, total), batches, strict=True):
        sparsifier.before_forward(step)
        sparsifier.step_scale = flops_scale_at(step)
        # A function of the step, unlike torch's schedulers, has no state to checkpoint.
        lr = learning_rate_at(step)
        for group in optimizer.param_groups:
            group["lr"] = lr

        optimizer.zero_grad()
        for inputs, targets, index in compute.parts(batch):
            with compute.arithmetic():
                outputs = compute_outputs(compute.network, inputs)
                if distillation:
                    loss = distillation.loss(outputs, targets, index, task.loss)
                else:
                    loss = task.loss(outputs, targets)
                loss = compute.part_of_mean(loss)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            loss_sum += loss.detach()
        sparsifier.after_backward()
        if not sparsifier.replaces_step:
            if spec.optim.clip_norm is not None:
                # After the sparsifier, so that weights outside the mask do not count.
                clip_grad_norm_(trained, spec.optim.clip_norm)
            optimizer.step()
        sparsifier.after_step()
        if average:
            average.update(step)

        done = step + 1
        if done == total:
            # Before the last evaluation, so that it measures the final mask.
            sparsifier.finish()
        if done in due:
            with measured_weights(sparsifier, average), compute.arithmetic():
                sparsifier.record_dynamic_mask()
                row: Row = {
                    "step": done,
                    "epoch": done / per_epoch,
                    "progress": done / total,
                    "lr": lr,
                    **mask_columns(sparsifier, per_epoch),
                    **loss_columns(model, task),
                    "target": float(spec.sparsity.target),
                    "batch_loss": loss_sum.item() / (done - evaluated_at),
                    "seconds": earlier_seconds + time.perf_counter() - started,
                }
            reports.append(row)
            report(row)
            if reason := find_divergence(row, has_validation=len(task.splits.validation) > 0):
                return TrialResult("DIVERGED", reason)
            loss_sum.zero_()
            evaluated_at = done
        # After the evaluation, so that the checkpoint has its row.
        if checkpoints is not None and checkpoints.due(evaluated=done in due):
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "sparsifier": sparsifier.state(),
                "average": average.state() if average else [],
                "loss_sum": loss_sum,
                "seconds": earlier_seconds + time.perf_counter() - started,
                "evaluated_at": evaluated_at,
                "rng": rng_state(device),
            }
            checkpoints.write(done, trial_id, reports, state)

    # Final weights: certificate, test, files.
    with measured_weights(sparsifier, average), compute.arithmetic():
        final = {name: weight.detach() for name, weight in model.state_dict().items()}
        if save_to is not None:
            # Read back, so that the certificate is about what the file holds.
            final = save_weights(final, save_to)
        certificate = certify(
            {name: final[name] for name in weights},
            sparsifier.masks(),
            sparsifier.groups(),
            spec.sparsity.pattern,
            account.parameters,
            account.facts() if spec.sparsity.target else (),
        )
        structure = sparsifier.structure.summary()
        if certificate["faults"]:
            faults = "; ".join(certificate["faults"])
            return TrialResult("INVALID", faults, False, certificate, structure)
        test: dict[str, float] = {}
        outcomes = None
        if read_test:
            recorder = OutcomeRecorder()
            measured = evaluate_model(model, task.splits.test, task.measures, recorder)
            test.update(measured.columns("test"))
            outcomes = recorder.outcomes(measured)
        if logits_to is not None:
            save_weights({"logits": compute_split_logits(model, task.splits.train)}, logits_to)
        if masks_to is not None:
            save_masks(sparsifier.masks(), masks_to)
    return TrialResult("COMPLETE", None, True, certificate, structure, test, outcomes)


def _require_none(*problems: Iterable[Problem]) -> None:
    """Refuse a declaration that has problems, all of them at once.

    Raises:
        DeclarationError: if there are any.
    """
    found = [each for each in chain.from_iterable(problems) if each.severity == "refusal"]
    if found:
        raise DeclarationError(found, "the TrialSpec")


def _exactness_problems(
    model: torch.nn.Module,
    task: Task,
    account: Account,
    trace: ForwardTrace,
    sparsity: SparsitySpec,
) -> list[Problem]:
    """Problems of weights that are computed from what is pruned; see `exactness_problems`."""
    names = computed_names(account, trace)
    if not names or not sparsity.prunes:
        return []
    problems = exactness_problems(model, task.network.example(), account, names)
    return as_warnings(problems, sparsity)


def _load_own_checkpoint(given: Path | Checkpoint, trial_id: str) -> Checkpoint:
    """Checkpoint to resume from.

    Raises:
        CheckpointError: if it is torn or of another trial.
    """
    checkpoint = load_checkpoint(given) if isinstance(given, Path) else given
    if checkpoint.trial_id != trial_id:
        rule = f"`{checkpoint.path}` must be of trial {trial_id}"
        raise CheckpointError(f"{rule}, got {checkpoint.trial_id}")
    return checkpoint


@contextmanager
def measured_weights(sparsifier: Sparsifier, average: WeightAverage | None) -> Iterator[None]:
    """While open, the network has the weights that are measured and saved.

    They are masked, and averaged where the trial declares that.
    """
    averaged = average.averaged_weights(sparsifier.apply_masks) if average else nullcontext()
    with averaged, sparsifier.effective_weights():
        yield


def _load_teacher(
    spec: TrialSpec,
    given: Place | torch.Tensor | None,
    examples: int,
    data_root: Path | None,
    device: str,
) -> DistillationLoss | None:
    """Loss of a trial with a teacher, whose logits are on the device; None without a teacher.

    Args:
        spec: Declaration of the trial.
        given: File of the teacher's logits, or the logits; None to train the teacher now.
        examples: Number of examples in the training split.
        data_root: Folder that data sets lie in.
        device: As torch names it.
    """
    if spec.distill.teacher is None:
        return None
    if isinstance(given, torch.Tensor):
        logits = given
    elif given is not None:
        logits = read_logits(given, examples)
    else:
        logits = _train_teacher(spec.distill.teacher, examples, data_root, device)
    return DistillationLoss(spec.distill, logits.to(device))


def _train_teacher(
    spec: TrialSpec, examples: int, data_root: Path | None, device: str
) -> torch.Tensor:
    """Logits of a teacher that is trained now, (examples, outputs).

    Raises:
        DataError: if the teacher diverges.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / LOGITS_FILE
        result = train(spec, logits_to=file, data_root=data_root, device=device)
        if result.status != "COMPLETE":
            got = f"{result.status} ({result.error})"
            raise DataError(f"the teacher must end well, got {got}; change its recipe")
        return read_logits(file, examples)


def _teacher_epoch_cost(spec: TrialSpec, flops: ForwardFlops, data_root: Path | None) -> float:
    """Cost of the teacher's logits of the training split, in dense epochs of the student."""
    assert spec.distill.teacher is not None
    network = network_of(spec.distill.teacher.task, data_root)
    teacher = prunable_flops(outline_of(network).trace, ())
    # A training step costs three forward passes.
    return teacher.total / (3 * flops.total)


def _flops_scale(
    spec: TrialSpec, flops: ForwardFlops, model: torch.nn.Module
) -> Callable[[int], float]:
    """Function from a step to the FLOPs of an example, as a fraction of those at full size."""

    @cache
    def scale_of(side: int | None) -> float:
        if side is None:
            return 1.0
        return forward_flops(model, (3, side, side)).total / flops.total

    return lambda step: scale_of(image_resolution(spec, step))
