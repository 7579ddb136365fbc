"""Sentences as token ids, held on the device whole; batches are padded to their longest, and group like lengths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sparsetune.seeds import derived_seed
from sparsetune.spec import TrialSpec
from sparsetune.spec.task import TaskSpec, TextTask
from sparsetune.tasks.network import Inputs
from sparsetune.tasks.task import Batch, Splits, TrainingBatch, epoch_order, split_indices
from sparsetune.tasks.text import encoders, glue
from sparsetune.tasks.text.tokens import Tokens, tokenised_task

EVALUATED_TOGETHER = 256
"""Texts of a forward pass in evaluations, sorted by length; part of the numbers in their last bit."""
SORTED_TOGETHER = 50
"""Batches whose examples are sorted by length together, as transformers' trainer does: their lengths stay mixed
over an epoch."""
BINS_OF_SCORES = 6
"""STS-B's scores, 0 to 5, are stratified by their nearest integers."""


@dataclass(frozen=True)
class TextSplit:
    """Tokenised texts on the device.

    Args:
        tokens: Of a whole set of the task, on the device.
        rows: Which of its texts the split has, in ascending order (n,), on the CPU.
    """

    tokens: Tokens
    rows: torch.Tensor
    lengths: torch.Tensor
    """Tokens of each text of the split (n,), on the CPU: a batch's width must be known there."""
    targets: torch.Tensor
    """(n,) class numbers, or scores."""

    @classmethod
    def of(cls, tokens: Tokens, rows: torch.Tensor, lengths: torch.Tensor) -> TextSplit:
        """The split with these rows of a set whose texts have these lengths."""
        return cls(tokens, rows, lengths[rows], tokens.labels[rows.to(tokens.labels.device)])

    def __len__(self) -> int:
        return len(self.rows)

    def chunks(self) -> list[torch.Tensor]:
        """See `sparsetune.tasks.task.Examples`; like lengths together."""
        return list(torch.split(torch.sort(self.lengths, stable=True).indices, EVALUATED_TOGETHER))

    def read(self, chosen: Iterable[torch.Tensor]) -> Iterator[Batch]:
        """See `sparsetune.tasks.task.Examples`."""
        for index in chosen:
            yield self._padded(index), self.targets[index.to(self.targets.device)]

    def training(self, spec: TrialSpec, first: int) -> Iterator[TrainingBatch]:
        """See `sparsetune.tasks.task.Examples`."""
        assert isinstance(spec.task, TextTask)
        per_epoch = spec.steps_per_epoch()
        batches = torch.empty(0)
        for step in range(first, spec.total_steps()):
            epoch, number = divmod(step, per_epoch)
            if number == 0 or step == first:
                batches = self._batches(spec.seed, epoch, per_epoch, spec.task)
            index = batches[number]
            on_device = index.to(self.targets.device, non_blocking=True)
            yield self._padded(index), self.targets[on_device], on_device

    def _batches(self, seed: int, epoch: int, count: int, task: TextTask) -> torch.Tensor:
        """The epoch's batches of indices (count, size), each of like lengths where the task wants that."""
        order = epoch_order(seed, epoch, len(self))[: count * task.batch_size]
        if task.group_by_length:
            together = torch.split(order, SORTED_TOGETHER * task.batch_size)
            order = torch.cat(
                [part[torch.sort(self.lengths[part], stable=True).indices] for part in together]
            )
            generator = torch.Generator().manual_seed(derived_seed(seed, "batches", epoch))
            return order.view(count, -1)[torch.randperm(count, generator=generator)]
        return order.view(count, -1)

    def _padded(self, index: torch.Tensor) -> Inputs:
        """The texts of a batch as the network takes them, filled up to the longest."""
        tokens = self.tokens
        lengths = self.lengths[index]
        device = tokens.ids.device
        rows = self.rows[index].to(device, non_blocking=True)
        ends = lengths.to(device, non_blocking=True)[:, None]
        columns = torch.arange(int(lengths.max()), device=device)
        inside = columns < ends
        at = tokens.starts[rows][:, None] + torch.minimum(columns, ends - 1)
        whole = {
            "input_ids": tokens.ids[at].long().masked_fill_(~inside, tokens.pad),
            "attention_mask": inside.long(),
            "token_type_ids": tokens.types[at].long().masked_fill_(~inside, 0),
        }
        return {name: whole[name] for name in tokens.inputs}


@dataclass(frozen=True)
class TextSource:
    """A task of GLUE as a data set; see `sparsetune.spec.task.TextTask`."""

    spec: TextTask

    @property
    def n_classes(self) -> int:
        """Groups that splits are stratified by."""
        return BINS_OF_SCORES if glue.output_count(self.spec) == 1 else glue.output_count(self.spec)

    def prepare(self, data_root: Path | None) -> object:
        """Find or download texts and model, and tokenise.

        Raises:
            DataError: in one line, what is missing or wrong, and where it was looked for.
        """
        return tokenised_task(self.spec, data_root)

    def digest(self, data_root: Path | None) -> str:
        """Twelve hexadecimal digits that name every byte read of texts and model."""
        return glue.glue_digest(self.spec, data_root)

    def splits(self, spec: TaskSpec, data_root: Path | None, device: str, subset: int) -> Splits:
        """The four splits; GLUE's dev set is the test split."""
        assert isinstance(spec, TextTask)
        sets = tokenised_task(spec, data_root)
        labels = sets["train"].labels.double().round().long().numpy()
        chosen = split_indices(labels, spec.held_out(), spec.train_size(), spec.split_seed, subset)
        lengths = {name: tokens.starts.diff() for name, tokens in sets.items()}
        held = {name: tokens.to(device) for name, tokens in sets.items()}

        def split(name: str, rows: torch.Tensor) -> TextSplit:
            return TextSplit.of(held[name], rows, lengths[name])

        return Splits(
            **{
                name: split("train", torch.from_numpy(np.ascontiguousarray(rows)))
                for name, rows in chosen.items()
            },
            test=split("test", torch.arange(len(lengths["test"]))),
        )


@dataclass(frozen=True)
class EncoderNetwork:
    """An encoder with a head for the task: the linear layers of its stack of blocks may be pruned.

    Args:
        name: See `sparsetune.spec.task.TextTask.model`.
        outputs: Classes, or 1 where a number is predicted.
        max_length: Tokens of a text of full size.
        data_root: Where local folders lie.
    """

    name: str
    outputs: int
    max_length: int
    data_root: Path | None = None

    def build(self) -> nn.Module:
        """See `sparsetune.tasks.network.Network`."""
        network: nn.Module = encoders.build_encoder(self.name, self.outputs, self.data_root)
        return network

    def meta(self) -> nn.Module:
        """See `sparsetune.tasks.network.Network`."""
        network: nn.Module = encoders.meta_encoder(self.name, self.outputs, self.data_root)
        return network

    def example(self) -> dict[str, torch.Tensor]:
        """See `sparsetune.tasks.network.Network`: ids alone, since a mask's values would be asked for."""
        return {"input_ids": torch.zeros((1, self.max_length), dtype=torch.long, device="meta")}

    def prunable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """See `sparsetune.tasks.network.Network`."""
        return encoders.encoder_weights(self.name, model)
