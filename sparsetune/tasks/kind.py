"""What a kind of task supplies: data, network, loss, measures, and how a network is exported.

The built-in kinds and a user's own task fulfil one protocol, and no code asks which it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from sparsetune.errors import Problem
from sparsetune.spec.task import TaskSpec
from sparsetune.tasks.measures import LossFunction, Measures
from sparsetune.tasks.network import Network
from sparsetune.tasks.task import Splits


@dataclass(frozen=True)
class ExportedFiles:
    """How an exported network is loaded.

    Args:
        library: Library that loads it, as the Hugging Face hub names it.
        loading_lines: Lines of Python that load it, run in the folder.
        facts: What else a user needs to get the recorded score, by name, as plain JSON values.
    """

    library: str
    loading_lines: str
    facts: Mapping[str, Any]


class TaskKind(Protocol):
    """A declared task. Making one reads nothing."""

    @property
    def strata(self) -> int:
        """Classes that splits are stratified by; 1 where there are none."""

    def resolve(self, data_root: Path | None) -> TaskSpec:
        """Declaration that knows the sizes of its data; itself where it knows them already.

        Raises:
            DeclarationError: if a user's function cannot be imported or called.
            DataError: if the data are missing, or cannot be learned from.
        """

    def data_only(self) -> TaskSpec:
        """Declaration with every field that the splits do not depend on at a fixed value.

        Tasks for which it is equal share their splits within a process.
        """

    def prepare(self, data_root: Path | None) -> object:
        """Download, unpack or find what the task needs, so that trials only read.

        Raises:
            DataError: in one line, where it looked and what to set.
        """

    def digest(self, data_root: Path | None) -> str:
        """Twelve hexadecimal digits that name what is read.

        Raises:
            DataError: if the data are missing.
        """

    def model_files(self, data_root: Path | None) -> str | None:
        """Name and digest of files that the untrained network is made from, as ``name=0a1b…``; None
        if it is made from none.

        Raises:
            DataError: if they are missing.
        """

    def export_sources(self, data_root: Path | None) -> str | None:
        """Part of a trial's recorded data that an export reads again; None if it reads none.

        Raises:
            DataError: if it is missing.
        """

    def splits(self, data_root: Path | None, device: str, subset: int) -> Splits:
        """Examples of the task.

        Args:
            data_root: Folder that data sets lie in.
            device: As torch names it.
            subset: Number of training examples on which the training loss is measured.

        Raises:
            DataError: if the data are missing.
        """

    def network(self, data_root: Path | None, checkpoint: str | None) -> Network:
        """Network before training.

        Args:
            data_root: Folder that models lie in.
            checkpoint: Sparse model to start from, where the kind has such.
        """

    def fit_problems(self, model: nn.Module) -> list[Problem]:
        """Problems of showing the declared examples to a network of this task, and of the functions
        that it names.
        """

    def loss(self) -> LossFunction:
        """Loss that is optimised."""

    def measures(self) -> Measures:
        """What evaluations measure."""

    def export(
        self,
        weights: Mapping[str, torch.Tensor],
        folder: Path,
        data_root: Path | None,
        checkpoint: str | None,
    ) -> ExportedFiles:
        """Write a trained network.

        Args:
            weights: Its state dict.
            folder: Where to.
            data_root: Folder that models lie in.
            checkpoint: Sparse model that training started from.

        Raises:
            DataError: if what it started from is missing or has another shape.
        """
