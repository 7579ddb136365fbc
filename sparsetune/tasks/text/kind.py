"""The kind of text tasks, read by an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from sparsetune.errors import DataError, Problem
from sparsetune.spec.task import TaskSpec, TextTask
from sparsetune.tasks.kind import ExportedFiles
from sparsetune.tasks.losses import class_loss
from sparsetune.tasks.measures import ClassMeasures, LossFunction, Measures
from sparsetune.tasks.model_folder import quiet_transformers
from sparsetune.tasks.task import Splits
from sparsetune.tasks.text import encoders
from sparsetune.tasks.text.hub import HubTexts
from sparsetune.tasks.text.sentences import BINS_OF_SCORES, EncoderNetwork, text_splits
from sparsetune.tasks.text.texts import class_names, count_outputs, texts_digest
from sparsetune.tasks.text.tokens import tokenised_task, tokenizer_for

LOADING_LINES = """\
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained(FOLDER)
tokenizer = AutoTokenizer.from_pretrained(FOLDER)"""


@dataclass(frozen=True)
class TextKind:
    """Texts with classes or scores; see `sparsetune.tasks.kind.TaskKind`."""

    spec: TextTask

    @property
    def strata(self) -> int:
        """Number of strata of the splits: the classes, or the bins of a score."""
        outputs = count_outputs(self.spec)
        return BINS_OF_SCORES if outputs == 1 else outputs

    def resolve(self, data_root: Path | None) -> TaskSpec:
        """See `TaskKind`."""
        if self.spec.is_resolved:
            return self.spec
        sizes = HubTexts.of(self.spec).sizes(self.spec, data_root)
        return self.spec.with_sizes((*self.spec.resolved, sizes))

    def data_only(self) -> TaskSpec:
        """See `TaskKind`."""
        # The model stays: its tokenizer makes the tokens.
        unused = {
            "batch_size": 1,
            "label_smoothing": 0,
            "weights": None,
            "initialisation": "drawn",
            "metric": None,
        }
        return self.spec.model_copy(update=unused)

    def prepare(self, data_root: Path | None) -> object:
        """Find or download texts and model, and tokenise; see `TaskKind`."""
        return tokenised_task(self.spec, data_root)

    def digest(self, data_root: Path | None) -> str:
        """See `TaskKind`."""
        return texts_digest(self.spec, data_root)

    def model_files(self, data_root: Path | None) -> str | None:
        """See `TaskKind`."""
        return f"{self.spec.model}={encoders.model_digest(self.spec.model, data_root)}"

    def export_sources(self, data_root: Path | None) -> str | None:
        """See `TaskKind`."""
        files = self.model_files(data_root)
        if self.spec.model not in encoders.UNTRAINED_ENCODERS:
            return files
        # The tokenizer is trained on the texts, so these must be the same too.
        return f"{self.spec.dataset_name()}={self.digest(data_root)} {files}"

    def splits(self, data_root: Path | None, device: str, subset: int) -> Splits:
        """See `TaskKind`."""
        return text_splits(self.spec, data_root, device, subset)

    def network(self, data_root: Path | None, checkpoint: str | None) -> EncoderNetwork:
        """See `TaskKind`."""
        outputs = count_outputs(self.spec)
        name = checkpoint or self.spec.model
        return EncoderNetwork(name, outputs, self.spec.max_length, data_root)

    def fit_problems(self, model: nn.Module) -> list[Problem]:
        """Problem of texts that may be longer than their encoder takes, or of the metric."""
        outputs = count_outputs(self.spec)
        if self.spec.metric == "f1" and outputs != 2:
            rule = "F1 is for two classes: must be accuracy or matthews"
            return [Problem("task.metric", rule, f"f1 for {outputs} classes")]
        limit = encoders.max_tokens(model.config)
        if self.spec.max_length <= limit:
            return []
        rule = f"must be at most {limit}, the tokens that `{self.spec.model}` takes"
        return [Problem("task.max_length", rule, str(self.spec.max_length))]

    def loss(self) -> LossFunction:
        """See `TaskKind`."""
        return partial(class_loss, label_smoothing=self.spec.label_smoothing)

    def measures(self) -> Measures:
        """See `TaskKind`."""
        return ClassMeasures(self.spec.headline())

    def export(
        self,
        weights: Mapping[str, torch.Tensor],
        folder: Path,
        data_root: Path | None,
        checkpoint: str | None,
    ) -> ExportedFiles:
        """Write the encoder, its configuration with the task's classes, and its tokenizer."""
        name = checkpoint or self.spec.model
        model = encoders.meta_encoder(name, count_outputs(self.spec), data_root)
        try:
            model.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            rule = f"`{name}` must have the shape that the trial started from"
            raise DataError(f"{rule}, got another") from error
        classes = class_names(self.spec)
        # Pipelines of transformers show these names.
        model.config.id2label = dict(enumerate(classes))
        model.config.label2id = {label: number for number, label in enumerate(classes)}
        is_regression = len(classes) == 1
        problem = "regression" if is_regression else "single_label_classification"
        model.config.problem_type = problem
        tokenizer = tokenizer_for(self.spec, data_root)
        tokenizer.model_max_length = self.spec.max_length
        with quiet_transformers():
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        facts = {"class_names": list(classes), "max_length": self.spec.max_length}
        return ExportedFiles("transformers", LOADING_LINES, facts)
