"""Kinds of image tasks: sets that lie on the device whole, and folders of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from sparsetune.errors import Problem, first_line
from sparsetune.sparsity.flops import forward_flops
from sparsetune.spec.task import DigitsTask, FolderTask, ImageTask, TaskSpec
from sparsetune.tasks.images.exported import (
    FOLDER_FORM,
    PIXEL_FORMS,
    PixelForm,
    folder_lines,
    image_facts,
    loading_lines,
)
from sparsetune.tasks.images.folder import FolderSource
from sparsetune.tasks.images.hub import HubImages, hub_source
from sparsetune.tasks.images.resident import ResidentSource
from sparsetune.tasks.images.sources import SOURCES
from sparsetune.tasks.kind import ExportedFiles
from sparsetune.tasks.losses import class_loss
from sparsetune.tasks.measures import ClassMeasures, LossFunction, Measures
from sparsetune.tasks.network import ImageNetwork
from sparsetune.tasks.task import Splits


class _ImageKind:
    """What all kinds of image tasks share; see `sparsetune.tasks.kind.TaskKind`."""

    spec: DigitsTask | ImageTask | FolderTask

    @property
    def source(self) -> ResidentSource | FolderSource:
        """Data set."""
        raise NotImplementedError

    @property
    def strata(self) -> int:
        """Number of classes."""
        return self.source.n_classes

    def data_only(self) -> TaskSpec:
        """See `TaskKind`."""
        unused = {
            "batch_size": 1,
            "label_smoothing": 0,
            "weights": None,
            "initialisation": "drawn",
            "model": "",
        }
        return self.spec.model_copy(update=unused)

    def prepare(self, data_root: Path | None) -> object:
        """See `TaskKind`."""
        return self.source.prepare(data_root)

    def digest(self, data_root: Path | None) -> str:
        """See `TaskKind`."""
        return self.source.digest(data_root)

    def model_files(self, data_root: Path | None) -> str | None:
        """See `TaskKind`."""
        return None

    def export_sources(self, data_root: Path | None) -> str | None:
        """See `TaskKind`."""
        return None

    def network(self, data_root: Path | None, checkpoint: str | None) -> ImageNetwork:
        """See `TaskKind`."""
        return ImageNetwork(self.spec.model, self.source.input_shape, self.source.n_classes)

    def fit_problems(self, model: nn.Module) -> list[Problem]:
        """See `TaskKind`."""
        return []

    def loss(self) -> LossFunction:
        """See `TaskKind`."""
        return partial(class_loss, label_smoothing=self.spec.label_smoothing)

    def measures(self) -> Measures:
        """See `TaskKind`."""
        return ClassMeasures()

    def export(
        self,
        weights: Mapping[str, torch.Tensor],
        folder: Path,
        data_root: Path | None,
        checkpoint: str | None,
    ) -> ExportedFiles:
        """See `TaskKind`."""
        save_file(dict(weights), folder / "model.safetensors", {"format": "pt"})
        return self._described(self.network(data_root, checkpoint), data_root)

    def _described(self, network: ImageNetwork, data_root: Path | None) -> ExportedFiles:
        """How a network of this kind is loaded and used."""
        raise NotImplementedError


@dataclass(frozen=True)
class ResidentKind(_ImageKind):
    """Digits, or a set of small images."""

    spec: DigitsTask | ImageTask

    @property
    def source(self) -> ResidentSource:
        """Data set."""
        if isinstance(self.spec, ImageTask) and self.spec.is_hub:
            return hub_source(self.spec)
        return SOURCES[self.spec.dataset_name()]

    def resolve(self, data_root: Path | None) -> TaskSpec:
        """See `TaskKind`."""
        if isinstance(self.spec, DigitsTask) or self.spec.is_resolved:
            return self.spec
        sizes = HubImages.of(self.spec).sizes(self.spec, data_root)
        return self.spec.with_sizes((*self.spec.resolved, sizes))

    def splits(self, data_root: Path | None, device: str, subset: int) -> Splits:
        """See `TaskKind`."""
        return self.source.splits(self.spec, data_root, device, subset)

    def _described(self, network: ImageNetwork, data_root: Path | None) -> ExportedFiles:
        form = self._pixel_form()
        lines = loading_lines(network, form)
        return ExportedFiles("pytorch", lines, image_facts(network, form))

    def _pixel_form(self) -> PixelForm:
        if isinstance(self.spec, ImageTask) and self.spec.is_hub:
            sizes = self.spec.sizes()
            return PixelForm(255, sizes.mean, sizes.deviation, sizes.class_names)
        return PIXEL_FORMS[self.spec.dataset_name()]


@dataclass(frozen=True)
class FolderKind(_ImageKind):
    """Images in folders by class."""

    spec: FolderTask

    @property
    def source(self) -> FolderSource:
        """Data set."""
        return FolderSource(self.spec)

    def resolve(self, data_root: Path | None) -> TaskSpec:
        """See `TaskKind`."""
        if self.spec.is_resolved:
            return self.spec
        return self.spec.with_sizes((*self.spec.resolved, self.source.resolve(data_root)))

    def splits(self, data_root: Path | None, device: str, subset: int) -> Splits:
        """See `TaskKind`."""
        return self.source.splits(data_root, device, subset)

    def _described(self, network: ImageNetwork, data_root: Path | None) -> ExportedFiles:
        facts = dict(image_facts(network, FOLDER_FORM))
        facts["eval_resize"] = self.spec.evaluated_resize()
        facts["eval_resolution"] = self.spec.evaluated_side()
        names = self.source.class_names(data_root)
        if names:
            facts["class_names"] = names
        return ExportedFiles("pytorch", folder_lines(network, self.spec), facts)

    def fit_problems(self, model: nn.Module) -> list[Problem]:
        """First problem of a size of images that the network cannot take."""
        spec = self.spec
        sides = {"task.eval_resolution": spec.evaluated_side()}
        if spec.growth:
            sides["task.growth.first"] = spec.growth.first
        for path, side in sides.items():
            try:
                forward_flops(model, (3, side, side))
            except Exception as error:  # a network may refuse a size in any way
                built_for = f"built for {spec.resolution} pixels"
                rule = f"must be a size that `{spec.model}` takes, {built_for}"
                got = f"{side} ({type(error).__name__}: {first_line(error)})"
                return [Problem(path, rule, got)]
        return []
