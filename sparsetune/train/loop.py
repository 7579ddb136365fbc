"""Train one trial: a flat loop that reads from top to bottom and knows no Ray."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch

from sparsetune.durations import round_half_up
from sparsetune.errors import CheckpointError, DeclarationError
from sparsetune.paths import Place
from sparsetune.seeds import derived_seed
from sparsetune.sparsity.certificate import certify
from sparsetune.sparsity.combinations import combination_problems, layer_problems
from sparsetune.sparsity.flops import ForwardFlops, forward_flops
from sparsetune.sparsity.layers import layers_of
from sparsetune.sparsity.methods.plan import mask_schedule_problems
from sparsetune.sparsity.sparsifier import Sparsifier
from sparsetune.sparsity.transfer import transfer_problems
from sparsetune.spec import TrialSpec
from sparsetune.spec.rates import image_resolution, learning_rate
from sparsetune.tasks import Task, compute_logits, epoch_order, load_task, network_of
from sparsetune.train.average import WeightAverage
from sparsetune.train.checkpoint import (
    Checkpoint,
    Checkpoints,
    Row,
    load_checkpoint,
    save_masks,
    save_weights,
)
from sparsetune.train.compute import ComputedModel
from sparsetune.train.distill import (
    DistillationLoss,
    compute_split_logits,
    read_logits,
    train_teacher,
)
from sparsetune.train.evaluate import evaluate_model
from sparsetune.train.optim import build_optimizer
from sparsetune.train.probe import GradientProbe

__all__ = ["Row", "TrialResult", "epoch_order", "evaluation_steps", "train"]


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended.

    Args:
        status: COMPLETE; DIVERGED, where a loss became NaN or infinite; INVALID, where the certificate failed.
        error: What diverged and when, or what the certificate found; None if all is well.
        certified: Whether the weights have the sparsity asked for; None if the trial diverged.
        certificate: See `sparsetune.sparsity.certificate.certify`; empty if the trial diverged.
        structure: See `sparsetune.sparsity.structure.MaskRecorder.summary`; empty if the trial diverged.
        test: ``test_loss test_accuracy test_score test_entropy``; empty unless the test set was read.
    """

    status: Literal["COMPLETE", "DIVERGED", "INVALID"]
    error: str | None = None
    certified: bool | None = None
    certificate: dict[str, Any] = field(default_factory=dict)
    structure: list[dict[str, Any]] = field(default_factory=list)
    test: dict[str, float] = field(default_factory=dict)


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
    """Train the declared trial; on one kind of CPU and thread count its rows are a function of ``spec`` alone.

    Args:
        spec: The trial.
        report: Called with a row of the progress and measured columns of `sparsetune.spec.columns` at every evaluation.
        resume_from: A checkpoint of the same trial; rows that it holds are not reported again.
        read_test: Whether to measure the test split at the end.
        checkpoints: Where and how often to write checkpoints; none by default.
        save_to: A file for the final effective weights, as safetensors; the certificate is made from what it reads.
        logits_to: A file for the final logits of the training split, which students learn from.
        masks_to: A file for the final masks, a bit a weight; see `sparsetune.train.checkpoint.save_masks`.
        teacher: That file of the trial's teacher, or its logits; where the trial has a teacher and there is neither,
            the teacher is trained first.
        data_root: The folder that data sets lie in; see `sparsetune.tasks.prepare_data`.
        device: As torch names it.

    Raises:
        DeclarationError: if the declaration cannot run.
        DataError: if the data are missing.
        CheckpointError: if ``resume_from`` is torn or of another trial.
        StorageError: if a checkpoint cannot be written.
    """
    started = time.perf_counter()
    spec = spec.checked().canonical()
    if problems := [*combination_problems(spec.sparsity), *mask_schedule_problems(spec)]:
        raise DeclarationError(problems, "the TrialSpec")
    trial_id = spec.trial_id()
    total = spec.total_steps()
    per_epoch = spec.steps_per_epoch()
    batch_size = spec.task.batch_size

    task = load_task(
        spec.task,
        data_root=data_root,
        device=device,
        subset=spec.evaluate.train_examples,
        checkpoint=spec.sparsity.checkpoint,
    )
    taught = _load_teacher(spec, teacher, len(task.splits.train), data_root, device)
    torch.manual_seed(derived_seed(spec.seed, "initialisation"))
    model = task.build_model().to(device).train()
    compute = ComputedModel(
        spec.compute, model, device
    )  # before anything holds on to the weights' memory
    optimizer = build_optimizer(spec.optim, model)
    weights = task.prunable(model)
    if problems := [
        *layer_problems(layers_of(weights), spec.sparsity),
        *transfer_problems(weights, spec.sparsity),
    ]:
        raise DeclarationError(problems, "the TrialSpec")
    probe = GradientProbe(task, model, weights, batch_size, spec.seed, compute.arithmetic)
    flops = forward_flops(model, example=task.network.example(), prunable=weights)
    sparsifier = Sparsifier(spec, weights, optimizer, flops, probe)
    if taught:
        sparsifier.extra_steps += per_epoch * _teacher_flops(spec, flops, data_root)
    average = WeightAverage(model, spec.optim.ema) if spec.optim.ema else None
    torch.manual_seed(derived_seed(spec.seed, "training"))

    reports: list[Row] = []
    first = 0
    seconds = 0.0
    evaluated_at = 0
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    if resume_from is not None:
        checkpoint = load_checkpoint(resume_from) if isinstance(resume_from, Path) else resume_from
        if checkpoint.trial_id != trial_id:
            raise CheckpointError(
                f"`{checkpoint.path}` must be of trial {trial_id}, got {checkpoint.trial_id}"
            )
        state = checkpoint.state
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        sparsifier.load(state["sparsifier"])
        if average:
            average.load(state["average"])
        loss_sum.copy_(state["loss_sum"])
        first = checkpoint.step
        seconds = state["seconds"]
        evaluated_at = state["evaluated_at"]
        reports = list(checkpoint.reports)
        load_rng_state(state["rng"], device)

    due = evaluation_steps(spec)
    rate = learning_rate(spec)
    scale = _step_flops_scale(spec, flops, model)
    for step, batch in zip(
        range(first, total), task.splits.train.training(spec, first), strict=True
    ):
        sparsifier.before_forward(step)
        sparsifier.step_scale = scale(step)
        lr = rate(step)
        for group in optimizer.param_groups:
            group["lr"] = lr

        optimizer.zero_grad()
        for inputs, targets, index in compute.parts(batch):
            with compute.arithmetic():
                outputs = compute_logits(compute.network, inputs)
                loss = (
                    taught.loss(outputs, targets, index, task.loss)
                    if taught
                    else task.loss(outputs, targets)
                )
                loss = compute.part_of_mean(loss)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            loss_sum += loss.detach()
        sparsifier.after_backward()
        if not sparsifier.replaces_step:
            optimizer.step()
        sparsifier.after_step()
        if average:
            average.update(step)

        done = step + 1
        if done == total:
            sparsifier.finish()
        if done in due:
            with measured_weights(sparsifier, average), compute.arithmetic():
                sparsifier.record_dynamic_mask()
                row: Row = {
                    "step": done,
                    "epoch": done / per_epoch,
                    "progress": done / total,
                    "lr": lr,
                    **_mask_columns(sparsifier, per_epoch),
                    **_loss_columns(model, task),
                    "target": float(spec.sparsity.target),
                    "batch_loss": loss_sum.item() / (done - evaluated_at),
                    "seconds": seconds + time.perf_counter() - started,
                }
            reports.append(row)
            report(row)
            if reason := find_divergence(row, has_validation=len(task.splits.validation) > 0):
                return TrialResult("DIVERGED", reason)
            loss_sum.zero_()
            evaluated_at = done
        if checkpoints is not None and checkpoints.due(evaluated=done in due):
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "sparsifier": sparsifier.state(),
                "average": average.state() if average else [],
                "loss_sum": loss_sum,
                "seconds": seconds + time.perf_counter() - started,
                "evaluated_at": evaluated_at,
                "rng": rng_state(device),
            }
            checkpoints.write(done, trial_id, reports, state)

    with measured_weights(sparsifier, average), compute.arithmetic():
        final = {name: weight.detach() for name, weight in model.state_dict().items()}
        if save_to is not None:
            final = save_weights(final, save_to)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        certificate = certify(
            {name: final[name] for name in weights},
            sparsifier.masks(),
            sparsifier.groups(),
            spec.sparsity.pattern,
            parameters,
        )
        structure = sparsifier.structure.summary()
        if certificate["faults"]:
            return TrialResult(
                "INVALID", "; ".join(certificate["faults"]), False, certificate, structure
            )
        test = (
            dict(evaluate_model(model, task.splits.test, task.metric).columns("test"))
            if read_test
            else {}
        )
        if logits_to is not None:
            save_weights({"logits": compute_split_logits(model, task.splits.train)}, logits_to)
        if masks_to is not None:
            save_masks(sparsifier.masks(), masks_to)
    return TrialResult("COMPLETE", None, True, certificate, structure, test)


@contextmanager
def measured_weights(sparsifier: Sparsifier, average: WeightAverage | None) -> Iterator[None]:
    """While open, the network has the weights that are measured and saved: masked, and averaged where declared."""
    with (
        average.averaged_weights(sparsifier.apply_masks) if average else nullcontext(),
        sparsifier.effective_weights(),
    ):
        yield


def _load_teacher(
    spec: TrialSpec,
    given: Place | torch.Tensor | None,
    examples: int,
    data_root: Path | None,
    device: str,
) -> DistillationLoss | None:
    """The teacher of a trial, if it has one, with its logits on the device."""
    if spec.distill.teacher is None:
        return None
    if given is None:
        how = {"spec": spec.distill.teacher, "data_root": data_root, "device": device}
        given = train_teacher(train, how, examples)
    logits = given if isinstance(given, torch.Tensor) else read_logits(given, examples)
    return DistillationLoss(spec.distill, logits.to(device))


def _teacher_flops(spec: TrialSpec, flops: ForwardFlops, data_root: Path | None) -> float:
    """Of the teacher's forward pass over the training split, in dense epochs of the student."""
    assert spec.distill.teacher is not None
    network = network_of(spec.distill.teacher.task, data_root)
    return forward_flops(network.meta(), example=network.example()).total / (3 * flops.total)


def _step_flops_scale(
    spec: TrialSpec, flops: ForwardFlops, model: torch.nn.Module
) -> Callable[[int], float]:
    """By step, the FLOPs of an example of its size, as a multiple of those at the task's full resolution."""

    @cache
    def of(side: int | None) -> float:
        return 1.0 if side is None else forward_flops(model, (3, side, side)).total / flops.total

    return lambda step: of(image_resolution(spec, step))


def _mask_columns(sparsifier: Sparsifier, per_epoch: int) -> Row:
    return {
        "phase": sparsifier.phase,
        "at_target": sparsifier.at_target(),
        "sparsity": sparsifier.sparsity(),
        "zeros_in_mask": float(sparsifier.zeros_in_mask()),
        "mask_iou": sparsifier.mask_iou,
        "ever_active": sparsifier.structure.ever_active(),
        "train_flops": sparsifier.dense_steps / per_epoch,
        "extra_flops": sparsifier.extra_steps / per_epoch,
        "inference_flops": sparsifier.inference_flops,
    }


def _loss_columns(model: torch.nn.Module, task: Task) -> Row:
    on_train = evaluate_model(model, task.splits.train_subset, task.metric)
    on_validation = evaluate_model(model, task.splits.validation, task.metric)
    return {
        "train_loss": on_train.loss,
        "train_entropy": on_train.entropy,
        **on_validation.columns("val"),
        "val_error": 1 - on_validation.score,
    }


def evaluation_steps(spec: TrialSpec) -> frozenset[int]:
    """The steps, from 1 to the last, after which a trial is evaluated: epochs' ends, ``evaluate.every``, the last."""
    total = spec.total_steps()
    per_epoch = spec.steps_per_epoch()
    steps = {*range(per_epoch, total + 1, per_epoch), total}
    if spec.evaluate.every is not None:
        every = spec.evaluate.every.steps(spec.clock())
        steps |= {round_half_up(k * every) for k in range(1, math.floor(total / every) + 1)}
    return frozenset(steps)


def find_divergence(row: Row, *, has_validation: bool) -> str | None:
    """Which loss of a row is NaN or infinite, in words; None if none is."""
    columns: Sequence[tuple[str, str]] = [
        ("batch_loss", "batch loss"),
        ("train_loss", "train loss"),
    ]
    if has_validation:
        columns = [*columns, ("val_loss", "validation loss")]
    for column, words in columns:
        value = row[column]
        if isinstance(value, float) and not math.isfinite(value):
            return f"{words} became {value} by step {row['step']}"
    return None


def rng_state(device: str) -> dict[str, torch.Tensor]:
    """The state of torch's global generators that the trial draws from, which dropout does."""
    states = {"cpu": torch.get_rng_state()}
    return states | (
        {"cuda": torch.cuda.get_rng_state(device)} if device.startswith("cuda") else {}
    )


def load_rng_state(states: dict[str, torch.Tensor], device: str) -> None:
    """Go on drawing from where ``rng_state`` was taken."""
    torch.set_rng_state(states["cpu"])
    if device.startswith("cuda") and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
