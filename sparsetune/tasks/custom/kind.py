"""The kind of a user's own tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from sparsetune.errors import DataError, DeclarationError, Problem, first_line
from sparsetune.imports import import_function
from sparsetune.spec.task import CustomTask, MetricSpec, TaskSpec
from sparsetune.tasks.custom.data import read_data
from sparsetune.tasks.custom.metrics import task_metric
from sparsetune.tasks.custom.network import CustomNetwork, model_arguments
from sparsetune.tasks.custom.sizes import fingerprint, resolve_task
from sparsetune.tasks.custom.splits import augment_function, custom_splits, normalise_function
from sparsetune.tasks.kind import ExportedFiles
from sparsetune.tasks.losses import LOSSES, smoothed_cross_entropy
from sparsetune.tasks.measures import CustomMeasures, LossFunction, Measures
from sparsetune.tasks.nested import Nested
from sparsetune.tasks.task import Splits

LOADING_LINES = """\
import inspect

import torch
from safetensors.torch import load_file

{imports}

arguments = {arguments}
asked = inspect.signature({function}).parameters
takes_all = any(one.kind is one.VAR_KEYWORD for one in asked.values())
model = {function}(**{{n: v for n, v in arguments.items() if takes_all or n in asked}})
model.load_state_dict(load_file("model.safetensors"))
model.eval()


def outputs(inputs):
    \"\"\"Outputs for inputs as your data function gives them.\"\"\"
    with torch.no_grad():
        return model({inputs})"""


@dataclass(frozen=True)
class CustomKind:
    """A task of a user's own; see `sparsetune.tasks.kind.TaskKind`."""

    spec: CustomTask

    @property
    def strata(self) -> int:
        """See `TaskKind`."""
        return self.spec.sizes().classes or 1

    def resolve(self, data_root: Path | None) -> TaskSpec:
        """See `TaskKind`."""
        return resolve_task(self.spec, data_root)

    def data_only(self) -> TaskSpec:
        """See `TaskKind`."""
        sizes = self.spec.find_sizes()
        used = self.spec.options if sizes is None else sizes.options
        unused = {
            "batch_size": 1,
            "label_smoothing": 0,
            "weights": None,
            "initialisation": "drawn",
            "model": self.spec.data,
            "options": used,
            "metrics": (),
            "loss": "cross_entropy",
        }
        return self.spec.model_copy(update=unused)

    def prepare(self, data_root: Path | None) -> object:
        """See `TaskKind`."""
        return read_data(self.spec, data_root)

    def digest(self, data_root: Path | None) -> str:
        """See `TaskKind`."""
        data = read_data(self.spec, data_root)
        targets = {name: part.all_targets() for name, part in data.parts.items()}
        return fingerprint(data, targets)

    def model_files(self, data_root: Path | None) -> str | None:
        """See `TaskKind`."""
        return None

    def export_sources(self, data_root: Path | None) -> str | None:
        """See `TaskKind`."""
        return None

    def splits(self, data_root: Path | None, device: str, subset: int) -> Splits:
        """See `TaskKind`."""
        return custom_splits(self.spec, data_root, device, subset)

    def network(self, data_root: Path | None, checkpoint: str | None) -> CustomNetwork:
        """See `TaskKind`."""
        return CustomNetwork(self.spec)

    def fit_problems(self, model: nn.Module) -> list[Problem]:
        """Problems of the loss, the metrics, and the functions that change inputs."""
        problems: list[Problem] = []
        checks: list[Callable[[], object]] = [
            self._plain_loss,
            lambda: normalise_function(self.spec),
            lambda: augment_function(self.spec),
        ]
        for metric in self.spec.all_metrics():
            checks += [partial(task_metric, metric), partial(self._require_two_classes, metric)]
        for check in checks:
            try:
                check()
            except DeclarationError as error:
                problems += error.problems
        return problems

    def _require_two_classes(self, metric: MetricSpec) -> None:
        outputs = self.spec.sizes().n_outputs
        if metric.name != "f1" or outputs <= 2:
            return
        rule = (
            "`f1` is that of two classes; of more, name a class of torchmetrics, such as"
            f" MetricSpec(name='MulticlassF1Score', arguments={{'num_classes': {outputs}}})"
        )
        raise DeclarationError([Problem("task.metrics", rule, f"{outputs} outputs")])

    def loss(self) -> LossFunction:
        """See `TaskKind`."""
        if self.spec.label_smoothing:
            return smoothed_cross_entropy(self.spec.label_smoothing)
        return self._plain_loss()

    def _plain_loss(self) -> LossFunction:
        name = self.spec.loss
        if name in LOSSES:
            return LOSSES[name]
        function = import_function(name, "task.loss")
        return _checked_loss(function, name)

    def measures(self) -> Measures:
        """See `TaskKind`."""
        return CustomMeasures(
            loss=self._plain_loss(),
            metrics={metric.column(): task_metric(metric) for metric in self.spec.all_metrics()},
            in_double=self.spec.loss in LOSSES,
            loss_name=self.spec.loss,
        )

    def export(
        self,
        weights: Mapping[str, torch.Tensor],
        folder: Path,
        data_root: Path | None,
        checkpoint: str | None,
    ) -> ExportedFiles:
        """See `TaskKind`."""
        save_file(dict(weights), folder / "model.safetensors", {"format": "pt"})
        return ExportedFiles("pytorch", _loading_lines(self.spec), _export_facts(self.spec))


def _checked_loss(function: Callable[..., Any], name: str) -> LossFunction:
    """A user's loss, which must return one number."""

    def checked(outputs: Nested, targets: Nested) -> torch.Tensor:
        try:
            loss = function(outputs, targets)
        except Exception as error:  # a user's function may raise anything
            got = f"{type(error).__name__}: {first_line(error)}"
            rule = f"the loss `{name}` must take the network's outputs and the targets"
            raise DataError(f"{rule}, got {got}") from error
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            shape = getattr(loss, "shape", None)
            got = type(loss).__name__ if shape is None else f"shape {tuple(shape)}"
            rule = f"the loss `{name}` must return one number, a mean over the batch"
            raise DataError(f"{rule}, got {got}")
        return loss.reshape(())

    return checked


def _loading_lines(task: CustomTask) -> str:
    # An export imports nothing that a study names: what the function asks for is found later.
    module, _, function = task.model.partition(":")
    paths = {f"from {module} import {function.partition('.')[0]}"}
    if task.normalise is not None and ":" in task.normalise:
        own_module, _, own_function = task.normalise.partition(":")
        paths.add(f"from {own_module} import {own_function.partition('.')[0]}")
    imports = "\n".join(sorted(paths))
    return LOADING_LINES.format(
        imports=imports,
        function=function,
        arguments=model_arguments(task),
        inputs=_input_text(task),
    )


def _input_text(task: CustomTask) -> str:
    """Expression of the network's arguments, from ``inputs``."""
    sizes = task.sizes()
    if isinstance(sizes.inputs, dict):
        return "**inputs"
    if isinstance(sizes.inputs, tuple):
        return "*inputs"
    if task.normalise is None:
        return "inputs"
    if task.normalise != "standard":
        return f"{task.normalise.partition(':')[2]}(inputs)"
    # One number for each channel, or feature; or one for all.
    shape = (-1, *[1] * max(0, len(sizes.inputs.shape) - 1))
    mean = f"torch.tensor({sizes.mean}).view{shape}"
    deviation = f"torch.tensor({sizes.deviation}).view{shape}"
    return f"(inputs - {mean}) / {deviation}"


def _export_facts(task: CustomTask) -> dict[str, Any]:
    """Input shape, normalisation and class names, as plain JSON values."""
    sizes = task.sizes()
    facts: dict[str, Any] = {
        "input_shape": sizes.input_shape(),
        "n_outputs": sizes.n_outputs,
    }
    if task.normalise == "standard":
        facts["normalisation"] = {"mean": list(sizes.mean), "deviation": list(sizes.deviation)}
    elif task.normalise:
        facts["normalisation"] = str(task.normalise)
    if sizes.class_names:
        facts["class_names"] = list(sizes.class_names)
    return facts
